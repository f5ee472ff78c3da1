"""The dense layer with its activation: a forward/backward pair in plain NumPy.

Written to be read beside lesson 2; `kernels/dense.py` holds the compiled twins.

Shapes: B batch, N inputs of a layer, M outputs. The dtype that comes in goes out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "softplus")


def activate(a: Array, activation: str) -> Array:
    """The activation y = f(a), element by element, for any real a without overflow.

    Sigmoid and softplus are written in exp(-|a|) (Eq. 2.6); |a| and max(a, 0) are
    spelled with `where`, which stays analytic when the complex step passes through. A
    NaN stays one.
    """
    match activation:
        case "identity":
            return a
        case "relu":
            return np.where(a.real <= 0, 0, a)
        case "tanh":
            return np.tanh(a)
        case "sigmoid":
            e = exp_minus_abs(a)
            return np.where(a.real > 0, 1, e) / (1 + e)
        case "softplus":
            return np.where(a.real > 0, a, 0) + np.log1p(exp_minus_abs(a))
    raise ValueError(f"unknown activation {activation!r}")


def activation_slope(y: Array, activation: str) -> Array:
    """The derivative f'(a), read off the output y = f(a) (Eq. 2.7)."""
    match activation:
        case "identity":
            return np.ones_like(y)
        case "relu":
            return (y.real > 0).astype(y.dtype)
        case "tanh":
            return 1 - y * y
        case "sigmoid":
            return y * (1 - y)
        case "softplus":
            return -np.expm1(-y)
    raise ValueError(f"unknown activation {activation!r}")


def exp_minus_abs(a: Array) -> Array:
    """exp(-|a|), which lies in (0, 1] and never overflows."""
    return np.exp(np.where(a.real > 0, -a, a))


def dense_forward(x: Array, W: Array, b: Array, activation: str) -> Array:
    """A dense layer, y = f(x W + b) (Eq. 2.1).

    Shapes: x (B, N), W (N, M), b (M,) -> y (B, M).
    """
    return activate(x @ W + b, activation)


def dense_backward(
    dy: Array, x: Array, y: Array, W: Array, activation: str
) -> tuple[Array, Array, Array]:
    """The gradients of a dense layer: dx, dW, db from dy (Eq. 2.2 to 2.5).

    Shapes: dy, y (B, M), x (B, N), W (N, M) -> dx (B, N), dW (N, M), db (M,).
    """
    da = dy * activation_slope(y, activation)  # Eq. 2.2
    dW = x.T @ da  # Eq. 2.3
    db = da.sum(axis=0)  # Eq. 2.4
    dx = da @ W.T  # Eq. 2.5
    return dx, dW, db


def dense_backward_weights(
    dy: Array, x: Array, y: Array, activation: str
) -> tuple[Array, Array]:
    """`dense_backward` for a layer whose input is data: dW and db (Eq. 2.2 to 2.4).

    Nobody asks for the gradient of an image, and dx of the first layer would cost as
    much as dW does.
    """
    da = dy * activation_slope(y, activation)  # Eq. 2.2
    return x.T @ da, da.sum(axis=0)  # Eq. 2.3, 2.4
