"""Convolution and transposed convolution, each the other's backward, in plain NumPy.

One sum T(x, W, y) over images, kernels and maps has three derivatives (Eq. 14.3): all
four functions below are made of these. `kernels/conv.py` holds the compiled twins.

Shapes: B images of height H, width V and C channels; maps of height H', width V' and M
channels; K the kernel's height and width. W (K, K, C, M) for both directions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .types import Array

# ---- Sizes ---------------------------------------------------------------------------


class Window(NamedTuple):
    """How a kernel goes over an image: how far at a time, in a frame how wide."""

    stride: int
    padding: int


def conv_size(H: int, K: int, stride: int, padding: int) -> int:
    """H', the height (or width) of the map of an image of H (Eq. 14.1).

    Raises ValueError when the kernel does not fit into the padded image.
    """
    _expect_least(1, H=H, K=K, stride=stride)
    _expect_least(0, padding=padding)
    if H + 2 * padding < K:
        raise ValueError(
            f"kernel size: found {K}, expected at most {H + 2 * padding}, the size of "
            f"the image ({H}) with its padding ({padding} on each side)"
        )
    return (H + 2 * padding - K) // stride + 1


def transpose_size(
    H: int, K: int, stride: int, padding: int, output_padding: int
) -> int:
    """The height (or width) of the image that is made of a map of H (Eq. 14.8).

    `output_padding` < stride chooses among the sizes that have a map of H. Raises
    ValueError when it is larger or when no image is left within the padding.
    """
    _expect_least(1, H=H, K=K, stride=stride)
    _expect_least(0, padding=padding, output_padding=output_padding)
    if output_padding >= stride:
        raise ValueError(
            f"output_padding: found {output_padding}, expected less than the stride, "
            f"{stride}"
        )
    padded = (H - 1) * stride + K + output_padding
    if padded <= 2 * padding:
        raise ValueError(
            f"padding: found {padding}, expected less than half of {padded}, the size "
            f"of the image before the padding is cut off"
        )
    return padded - 2 * padding


def _expect_least(least: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < least:
            raise ValueError(
                f"{name}: found {size!r}, expected a whole number from {least} on"
            )


# ---- The three derivatives of one sum ------------------------------------------------


def convolve(x: Array, W: Array, stride: int, padding: int) -> Array:
    """dT/dy, linear in x: each map pixel gathers from a window of the image (Eq. 14.4).

    Shapes: x (B, H, V, C), W (K, K, C, M) -> (B, H', V', M).
    """
    K, M = len(W), W.shape[-1]
    size = tuple(conv_size(n, K, stride, padding) for n in x.shape[1:3])
    y = np.zeros((len(x), *size, M), np.result_type(x, W))
    x = _padded(x, padding)
    for i, j, met in _meetings(K, size, stride):
        y += x[met] @ W[i, j]
    return y


def convolve_transposed(
    y: Array, W: Array, size: tuple[int, ...], stride: int, padding: int
) -> Array:
    """dT/dx, linear in y: each map pixel scatters to its window (Eq. 14.5).

    Shapes: y (B, H', V', M), W (K, K, C, M), size (H, V) -> (B, H, V, C).
    """
    K, C = len(W), W.shape[2]
    H, V = size
    x = _padded(np.zeros((len(y), H, V, C), np.result_type(y, W)), padding)
    for i, j, met in _meetings(K, y.shape[1:3], stride):
        x[met] += y @ W[i, j].T
    return x[:, padding : padding + H, padding : padding + V]


def convolve_weights(x: Array, y: Array, K: int, stride: int, padding: int) -> Array:
    """dT/dW: what each kernel entry met in the image, times the map (Eq. 14.6).

    Shapes: x (B, H, V, C), y (B, H', V', M) -> (K, K, C, M).
    """
    C, M = x.shape[-1], y.shape[-1]
    W = np.empty((K, K, C, M), np.result_type(x, y))
    x = _padded(x, padding)
    for i, j, met in _meetings(K, y.shape[1:3], stride):
        W[i, j] = x[met].reshape(-1, C).T @ y.reshape(-1, M)
    return W


def _meetings(
    K: int, size: tuple[int, ...], stride: int
) -> Iterator[tuple[int, int, Any]]:
    """Each kernel entry i, j, and the pixel it meets of the image for each of the map.

    `size` is (H', V').
    """
    H, V = size
    for i, j in np.ndindex(K, K):
        yield i, j, np.s_[:, i : i + H * stride : stride, j : j + V * stride : stride]


def _padded(x: Array, padding: int) -> Array:
    """The images x (B, H, V, C) in a frame of zeros."""
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


# ---- The layers ----------------------------------------------------------------------


def conv_forward(x: Array, W: Array, b: Array, window: Window) -> Array:
    """The sums of a convolution, a = x * W + b (Eq. 14.2).

    Shapes: x (B, H, V, C), W (K, K, C, M), b (M,) -> a (B, H', V', M).
    """
    return convolve(x, W, *window) + b


def conv_backward(
    da: Array, x: Array, W: Array, window: Window
) -> tuple[Array, Array, Array]:
    """The gradients of a convolution: dx, dW, db from da (Eq. 14.7).

    Shapes: da (B, H', V', M), x (B, H, V, C), W (K, K, C, M) -> those of x, W, b.
    """
    dW = convolve_weights(x, da, len(W), *window)
    db = da.sum(axis=(0, 1, 2))
    dx = convolve_transposed(da, W, x.shape[1:3], *window)
    return dx, dW, db


def conv_backward_weights(
    da: Array, x: Array, K: int, window: Window
) -> tuple[Array, Array]:
    """`conv_backward` for a layer whose input is data: dW and db (Eq. 14.7)."""
    return convolve_weights(x, da, K, *window), da.sum(axis=(0, 1, 2))


def conv_transpose_forward(
    x: Array, W: Array, b: Array, window: Window, output_padding: int
) -> Array:
    """The sums of a transposed convolution (Eq. 14.9).

    Shapes: x (B, H', V', M), W (K, K, C, M), b (C,) -> a (B, H, V, C).
    """
    H, V = (transpose_size(n, len(W), *window, output_padding) for n in x.shape[1:3])
    return convolve_transposed(x, W, (H, V), *window) + b


def conv_transpose_backward(
    da: Array, x: Array, W: Array, window: Window
) -> tuple[Array, Array, Array]:
    """The gradients of a transposed convolution: dx, dW, db from da (Eq. 14.10).

    Shapes: da (B, H, V, C), x (B, H', V', M), W (K, K, C, M) -> those of x, W, b.
    """
    dW = convolve_weights(da, x, len(W), *window)
    db = da.sum(axis=(0, 1, 2))
    dx = convolve(da, W, *window)
    return dx, dW, db
