"""Convolution and transposed convolution, each the other's backward, in plain NumPy.

One sum T(x, W, y) over images, kernels and maps has three derivatives (Eq. 14.3): all
four functions below are made of these. `kernels/conv.py` holds the compiled twins.

Shapes: B images of height H, width V and C channels; maps of height H', width V' and M
channels; K the kernel's height and width. W (K, K, C, M) for both directions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import ArgumentError, expect_whole
from .dense import Array, activate, activation_slope

# ---- Sizes ---------------------------------------------------------------------------


def conv_size(H: int, K: int, stride: int, padding: int) -> int:
    """H', the height (or width) of the map of an image of H (Eq. 14.1).

    Raises ArgumentError when the kernel does not fit into the padded image.
    """
    expect_whole("image size", H, 1)
    expect_whole("kernel size", K, 1)
    expect_whole("stride", stride, 1)
    expect_whole("padding", padding, 0)
    if H + 2 * padding < K:
        raise ArgumentError(
            f"kernel size: found {K}, expected at most {H + 2 * padding}, the size of "
            f"the image ({H}) with its padding ({padding} on each side)"
        )
    return (H + 2 * padding - K) // stride + 1


def transpose_size(
    H: int, K: int, stride: int, padding: int, output_padding: int
) -> int:
    """The height (or width) of the image that is made of a map of H (Eq. 14.8).

    `output_padding` < stride chooses among the sizes that have a map of H. Raises
    ArgumentError when it is larger or when no image is left within the padding.
    """
    expect_whole("map size", H, 1)
    expect_whole("kernel size", K, 1)
    expect_whole("stride", stride, 1)
    expect_whole("padding", padding, 0)
    expect_whole("output_padding", output_padding, 0)
    if output_padding >= stride:
        raise ArgumentError(
            f"output_padding: found {output_padding}, expected less than the stride, "
            f"{stride}"
        )
    padded = (H - 1) * stride + K + output_padding
    if padded <= 2 * padding:
        raise ArgumentError(
            f"padding: found {padding}, expected less than half of {padded}, the size "
            f"of the image before the padding is cut off"
        )
    return padded - 2 * padding


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


def conv_forward(
    x: Array, W: Array, b: Array, activation: str, stride: int, padding: int
) -> Array:
    """A convolution with its activation, y = f(x * W + b) (Eq. 14.2).

    Shapes: x (B, H, V, C), W (K, K, C, M), b (M,) -> y (B, H', V', M).
    """
    return activate(convolve(x, W, stride, padding) + b, activation)


def conv_backward(
    dy: Array, x: Array, y: Array, W: Array, activation: str, stride: int, padding: int
) -> tuple[Array, Array, Array]:
    """The gradients of a convolution: dx, dW, db from dy (Eq. 14.7).

    Shapes: dy, y (B, H', V', M), x (B, H, V, C), W (K, K, C, M) -> those of x, W, b.
    """
    da = dy * activation_slope(y, activation)
    dW = convolve_weights(x, da, len(W), stride, padding)
    db = da.sum(axis=(0, 1, 2))
    dx = convolve_transposed(da, W, x.shape[1:3], stride, padding)
    return dx, dW, db


def conv_backward_weights(
    dy: Array, x: Array, y: Array, K: int, activation: str, stride: int, padding: int
) -> tuple[Array, Array]:
    """`conv_backward` for a layer whose input is data: dW and db (Eq. 14.7)."""
    da = dy * activation_slope(y, activation)
    return convolve_weights(x, da, K, stride, padding), da.sum(axis=(0, 1, 2))


def conv_transpose_forward(
    x: Array,
    W: Array,
    b: Array,
    activation: str,
    stride: int,
    padding: int,
    output_padding: int,
) -> Array:
    """A transposed convolution with its activation (Eq. 14.9).

    Shapes: x (B, H', V', M), W (K, K, C, M), b (C,) -> y (B, H, V, C).
    """
    K = len(W)
    size = tuple(
        transpose_size(n, K, stride, padding, output_padding) for n in x.shape[1:3]
    )
    return activate(convolve_transposed(x, W, size, stride, padding) + b, activation)


def conv_transpose_backward(
    dy: Array, x: Array, y: Array, W: Array, activation: str, stride: int, padding: int
) -> tuple[Array, Array, Array]:
    """The gradients of a transposed convolution: dx, dW, db from dy (Eq. 14.10).

    Shapes: dy, y (B, H, V, C), x (B, H', V', M), W (K, K, C, M) -> those of x, W, b.
    """
    da = dy * activation_slope(y, activation)
    dW = convolve_weights(da, x, len(W), stride, padding)
    db = da.sum(axis=(0, 1, 2))
    dx = convolve(da, W, stride, padding)
    return dx, dW, db
