"""The compiled twins of pairs/conv.py: same names, same argument order, same meaning.

Each window of an image becomes a row, and a convolution one matrix product (Eq. 14.11).
The batch is taken a few images at a time, so that the rows stay in the cache.

Shapes: as in pairs/conv.py; n the images of a part, L = K K C the entries of a window.
An `out` is contiguous.
"""

from collections.abc import Iterator

import numpy as np

from ..pairs.conv import Window, conv_size, transpose_size
from ..pairs.types import Array
from .dense import expect
from .jit import jit

ENTRIES = 1 << 18  # of a part's windows: 1 MB, half an L2 cache

# ---- Windows as rows -----------------------------------------------------------------


@jit
def _gather(frame, windows, K, stride):
    """Copy the windows (n, H', V', L) out of the padded images (n, H, V, C)."""
    pixels = frame.reshape(frame.shape[0], frame.shape[1], -1)
    run = windows.shape[3] // K  # K pixels side by side
    step = stride * (run // K)
    for n in range(windows.shape[0]):
        for h in range(windows.shape[1]):
            for v in range(windows.shape[2]):
                for i in range(K):
                    row = windows[n, h, v, i * run : (i + 1) * run]
                    met = pixels[n, h * stride + i, v * step : v * step + run]
                    for k in range(run):
                        row[k] = met[k]


@jit
def _scatter(windows, frame, K, stride):
    """Add the windows (n, H', V', L) into the padded images (n, H, V, C)."""
    pixels = frame.reshape(frame.shape[0], frame.shape[1], -1)
    run = windows.shape[3] // K
    step = stride * (run // K)
    for n in range(windows.shape[0]):
        for h in range(windows.shape[1]):
            for v in range(windows.shape[2]):
                for i in range(K):
                    row = windows[n, h, v, i * run : (i + 1) * run]
                    met = pixels[n, h * stride + i, v * step : v * step + run]
                    for k in range(run):
                        met[k] += row[k]


def _parts(
    x: Array, y: Array, K: int, stride: int, padding: int
) -> Iterator[tuple[slice, Array, Array]]:
    """Slices of the batch, each with room for its padded images and their windows.

    The same room each time, zeros at first: (n, H + 2 padding, V + 2 padding, C) and
    (n, H', V', L).
    """
    B, H, V, C = x.shape
    height, width = (conv_size(n, K, stride, padding) for n in (H, V))
    expect("images", x, (B, H, V, C))
    expect("maps", y, (B, height, width, y.shape[-1]))
    L = K * K * C
    n = max(1, min(B, ENTRIES // (height * width * L)))
    frame = np.zeros((n, H + 2 * padding, V + 2 * padding, C), y.dtype)
    windows = np.empty((n, height, width, L), y.dtype)
    for start in range(0, B, n):
        stop = min(start + n, B)
        yield slice(start, stop), frame[: stop - start], windows[: stop - start]


def _inside(frame: Array, padding: int) -> Array:
    H, V = frame.shape[1:3]
    return frame[:, padding : H - padding, padding : V - padding]


def _rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


# ---- The three derivatives of one sum ------------------------------------------------


def _convolve(x: Array, W: Array, y: Array, stride: int, padding: int) -> None:
    """y = `pairs.conv.convolve(x, W)`."""
    K = len(W)
    for part, frame, windows in _parts(x, y, K, stride, padding):
        _inside(frame, padding)[...] = x[part]
        _gather(frame, windows, K, stride)
        np.matmul(_rows(windows), _rows(W), out=_rows(y[part]))


def _convolve_transposed(
    y: Array, W: Array, x: Array, stride: int, padding: int
) -> None:
    """x = `pairs.conv.convolve_transposed(y, W)`."""
    K = len(W)
    for part, frame, windows in _parts(x, y, K, stride, padding):
        np.matmul(_rows(y[part]), _rows(W).T, out=_rows(windows))
        frame[...] = 0
        _scatter(windows, frame, K, stride)
        x[part] = _inside(frame, padding)


def _convolve_weights(x: Array, y: Array, W: Array, stride: int, padding: int) -> None:
    """W = `pairs.conv.convolve_weights(x, y)`."""
    K = len(W)
    W[...] = 0
    for part, frame, windows in _parts(x, y, K, stride, padding):
        _inside(frame, padding)[...] = x[part]
        _gather(frame, windows, K, stride)
        W += (_rows(windows).T @ _rows(y[part])).reshape(W.shape)


# ---- The layers ----------------------------------------------------------------------


def conv_forward(
    x: Array, W: Array, b: Array, window: Window, out: Array | None = None
) -> Array:
    """`pairs.conv.conv_forward`."""
    if out is None:
        size = (conv_size(n, len(W), *window) for n in x.shape[1:3])
        out = np.empty((len(x), *size, len(b)), W.dtype)
    _convolve(x, W, out, *window)
    _add_bias(_rows(out), b)
    return out


def conv_backward(
    da: Array,
    x: Array,
    W: Array,
    window: Window,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """`pairs.conv.conv_backward`."""
    if out is None:
        out = np.empty(x.shape, W.dtype), np.empty(W.shape, W.dtype), _bias(da)
    dx, dW, db = out
    _convolve_weights(x, da, dW, *window)
    _sum_pixels(da, db)
    _convolve_transposed(da, W, dx, *window)
    return out


def conv_backward_weights(
    da: Array, x: Array, K: int, window: Window, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`pairs.conv.conv_backward_weights`."""
    if out is None:
        out = np.empty((K, K, x.shape[-1], da.shape[-1]), da.dtype), _bias(da)
    dW, db = out
    _convolve_weights(x, da, dW, *window)
    _sum_pixels(da, db)
    return out


def conv_transpose_forward(
    x: Array,
    W: Array,
    b: Array,
    window: Window,
    output_padding: int,
    out: Array | None = None,
) -> Array:
    """`pairs.conv.conv_transpose_forward`."""
    if out is None:
        size = (
            transpose_size(n, len(W), *window, output_padding) for n in x.shape[1:3]
        )
        out = np.empty((len(x), *size, len(b)), W.dtype)
    _convolve_transposed(x, W, out, *window)
    _add_bias(_rows(out), b)
    return out


def conv_transpose_backward(
    da: Array,
    x: Array,
    W: Array,
    window: Window,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """`pairs.conv.conv_transpose_backward`."""
    if out is None:
        out = np.empty(x.shape, W.dtype), np.empty(W.shape, W.dtype), _bias(da)
    dx, dW, db = out
    _convolve_weights(da, x, dW, *window)
    _sum_pixels(da, db)
    _convolve(da, W, dx, *window)
    return out


def _bias(da: Array) -> Array:
    return np.empty(da.shape[-1], da.dtype)


def _add_bias(rows: Array, b: Array) -> None:
    expect("b", b, rows.shape[1:])
    _add_to_rows(rows, b)


@jit
def _add_to_rows(rows, b):
    """NumPy's loop would be as long as b only: slow for a few channels."""
    for i in range(rows.shape[0]):
        for k in range(b.shape[0]):
            rows[i, k] += b[k]


def _sum_pixels(da: Array, db: Array) -> None:
    """db, as a product with ones: nine times faster than a sum over an outer axis."""
    rows = _rows(da)
    np.matmul(np.ones(len(rows), rows.dtype), rows, out=db)
