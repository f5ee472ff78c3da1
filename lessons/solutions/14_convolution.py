"""Solution 14 · A dilated convolution.

The kernel's entry (i, j) meets the pixel di, dj away from where the window begins:

    T(x, W, y) = sum over n k l i j c m of x[n, sk + di - p, sl + dj - p, c]
                                           W[i, j, c, m]  y[n, k, l, m].

A window now covers d (K - 1) + 1 pixels, from its first entry to its last; with that
in place of K, (14.1) holds: H' = floor((H + 2p - d (K - 1) - 1) / s) + 1.

T is still linear in each of the three, so y is its derivative in y, dx its derivative
in x at dy, and dW its derivative in W at dy. In the code only the slice changes: over
all places k, the entry i meets the pixels di, di + s, di + 2s, ... of the frame.
"""

import numpy as np


def dilated_size(H, K, s, p, d):
    size = (H + 2 * p - d * (K - 1) - 1) // s + 1
    return size


def dilated_forward(x, W, s, p, d):
    size = [dilated_size(n, len(W), s, p, d) for n in x.shape[1:3]]
    y = np.zeros((len(x), *size, W.shape[3]), np.result_type(x, W))
    for i, j, met in _slices(len(W), size, s, d):
        y += _framed(x, p)[met] @ W[i, j]
    return y


def dilated_backward(dy, x, W, s, p, d):
    frame = _framed(x, p)
    dframe, dW = np.zeros_like(frame), np.zeros_like(W)
    for i, j, met in _slices(len(W), dy.shape[1:3], s, d):
        dframe[met] += dy @ W[i, j].T
        dW[i, j] = np.einsum("nklc,nklm->cm", frame[met], dy)
    dx = dframe[:, p : p + x.shape[1], p : p + x.shape[2]]
    return dx, dW


def _framed(x, p):
    return np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))


def _slices(K, size, s, d):
    for i, j in np.ndindex(K, K):
        rows = slice(d * i, d * i + s * size[0], s)
        yield i, j, (slice(None), rows, slice(d * j, d * j + s * size[1], s))


def draw_size(rng, K, H):
    return H + int(rng.integers(8, 20)), K, 2, 4, 3


def draw(rng, B, K, H, C, M):
    x = rng.normal(size=(B, H, H + 1, C))
    return x, rng.normal(size=(K, K, C, M)), 2, 4, 3


def draw_backward(rng, B, K, H, C, M):
    x, W, s, p, d = draw(rng, B, K, H, C, M)
    return rng.normal(size=dilated_forward(x, W, s, p, d).shape), x, W, s, p, d


EXERCISES = {
    dilated_size: draw_size,
    dilated_forward: draw,
    dilated_backward: draw_backward,
}
