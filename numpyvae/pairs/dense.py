"""The dense layer a = x W + b: a forward/backward pair in plain NumPy.

Written to be read beside lesson 2; its activation is a pair of activations.py,
`kernels/dense.py` holds the compiled twin.

Shapes: B batch, N inputs of a layer, M outputs. The dtype that comes in goes out.
"""

from .types import Array


def dense_forward(x: Array, W: Array, b: Array) -> Array:
    """The sums of a dense layer, a = x W + b (Eq. 2.1).

    Shapes: x (B, N), W (N, M), b (M,) -> a (B, M).
    """
    return x @ W + b


def dense_backward(da: Array, x: Array, W: Array) -> tuple[Array, Array, Array]:
    """The gradients of a dense layer: dx, dW, db from da (Eq. 2.3 to 2.5).

    Shapes: da (B, M), x (B, N), W (N, M) -> dx (B, N), dW (N, M), db (M,).
    """
    dW = x.T @ da  # Eq. 2.3
    db = da.sum(axis=0)  # Eq. 2.4
    dx = da @ W.T  # Eq. 2.5
    return dx, dW, db


def dense_backward_weights(da: Array, x: Array) -> tuple[Array, Array]:
    """`dense_backward` for a layer whose input is data: dW and db (Eq. 2.3, 2.4).

    Nobody asks for the gradient of an image, and dx of the first layer would cost as
    much as dW does.
    """
    return x.T @ da, da.sum(axis=0)
