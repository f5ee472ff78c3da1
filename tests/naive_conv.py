"""The oracle of the convolutions: one multiplication at a time, as they are defined.

Slow, and meant to be believed at a glance. Imports nothing of the package it judges.

Shapes: B images of height H, width V and C channels; maps of height H', width V' and M
channels; K the kernel's height and width. Without activation.
"""

import numpy as np


def conv(x, W, b, stride, padding):
    """x (B, H, V, C), W (K, K, C, M), b (M,) -> (B, H', V', M)."""
    (B, H, V, C), (K, _, _, M) = x.shape, W.shape
    tops = range(-padding, H + padding - K + 1, stride)  # where a window can begin
    lefts = range(-padding, V + padding - K + 1, stride)
    y = np.zeros((B, len(tops), len(lefts), M))
    for n in range(B):
        for k, top in enumerate(tops):
            for l, left in enumerate(lefts):  # noqa: E741
                for m in range(M):
                    a = float(b[m])
                    for i in range(K):
                        for j in range(K):
                            h, v = top + i, left + j
                            if 0 <= h < H and 0 <= v < V:
                                for c in range(C):
                                    a += float(x[n, h, v, c]) * float(W[i, j, c, m])
                    y[n, k, l, m] = a
    return y


def conv_transpose(x, W, b, stride, padding, output_padding):
    """x (B, H', V', M), W (K, K, C, M), b (C,) -> (B, H, V, C)."""
    (B, height, width, M), (K, _, C, _) = x.shape, W.shape
    H = (height - 1) * stride - 2 * padding + K + output_padding
    V = (width - 1) * stride - 2 * padding + K + output_padding
    y = np.zeros((B, H, V, C))
    for n in range(B):
        for h in range(H):
            for v in range(V):
                for c in range(C):
                    a = float(b[c])
                    for k in range(height):
                        for l in range(width):  # noqa: E741
                            i, j = h - stride * k + padding, v - stride * l + padding
                            if 0 <= i < K and 0 <= j < K:
                                for m in range(M):
                                    a += float(x[n, k, l, m]) * float(W[i, j, c, m])
                    y[n, h, v, c] = a
    return y
