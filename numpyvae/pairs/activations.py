"""The activations y = f(a): one row for each, with its derivative beside it.

Written to be read beside lesson 2. A backward takes dy, the input a and the output y,
and reads what is cheaper or keeps more digits. Where it reads y alone, a layer may
write y over a.

Shapes: any, element by element. The dtype that comes in goes out. `where` spells what
depends on a sign, so that the complex step passes through; a NaN stays one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .types import Array, Registry


@dataclass(frozen=True)
class Activation:
    """y = f(a), element by element, with its derivative."""

    name: str
    forward: Callable[[Array], Array]  # y from a
    backward: Callable[[Array, Array, Array], Array]  # da from dy, a, y (Eq. 2.2)
    equations: str = ""  # where it is derived
    reads_input: bool = True  # or y alone: then y may be written over a


ACTIVATIONS: Registry[Activation] = Registry()


def exp_minus_abs(a: Array) -> Array:
    """exp(-|a|), which lies in (0, 1] and never overflows."""
    return np.exp(np.where(a.real > 0, -a, a))


# ---- Identity ------------------------------------------------------------------------


def identity_forward(a: Array) -> Array:
    """a itself: of the last layer of a network."""
    return a


def identity_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy (Eq. 2.7)."""
    return dy


IDENTITY = ACTIVATIONS.add(
    Activation(
        "identity", identity_forward, identity_backward, "2.7", reads_input=False
    )
)

# ---- ReLU ----------------------------------------------------------------------------


def relu_forward(a: Array) -> Array:
    """max(a, 0)."""
    return np.where(a.real <= 0, 0, a)


def relu_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy where y > 0 (Eq. 2.7)."""
    return dy * (y.real > 0)


RELU = ACTIVATIONS.add(
    Activation("relu", relu_forward, relu_backward, "2.7", reads_input=False)
)

# ---- tanh ----------------------------------------------------------------------------


def tanh_forward(a: Array) -> Array:
    """tanh(a)."""
    return np.tanh(a)


def tanh_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy (1 - y^2) (Eq. 2.7)."""
    return dy * (1 - y * y)


TANH = ACTIVATIONS.add(
    Activation("tanh", tanh_forward, tanh_backward, "2.7", reads_input=False)
)

# ---- Sigmoid -------------------------------------------------------------------------


def sigmoid_forward(a: Array) -> Array:
    """1 / (1 + exp(-a)), written in exp(-|a|) (Eq. 2.6)."""
    e = exp_minus_abs(a)
    return np.where(a.real > 0, 1, e) / (1 + e)


def sigmoid_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy y (1 - y) (Eq. 2.7)."""
    return dy * (y * (1 - y))


SIGMOID = ACTIVATIONS.add(
    Activation(
        "sigmoid", sigmoid_forward, sigmoid_backward, "2.6, 2.7", reads_input=False
    )
)

# ---- Softplus ------------------------------------------------------------------------


def softplus_forward(a: Array) -> Array:
    """log(1 + exp(a)), written in exp(-|a|) (Eq. 2.6)."""
    return np.where(a.real > 0, a, 0) + np.log1p(exp_minus_abs(a))


def softplus_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy (1 - exp(-y)) (Eq. 2.7)."""
    return dy * -np.expm1(-y)


SOFTPLUS = ACTIVATIONS.add(
    Activation(
        "softplus", softplus_forward, softplus_backward, "2.6, 2.7", reads_input=False
    )
)

# ---- GELU ----------------------------------------------------------------------------

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # of Hendrycks and Gimpel


def gelu_forward(a: Array) -> Array:
    """a sigmoid(2 u), u = sqrt(2 / pi) (a + 0.044715 a^3) (Eq. 2.19).

    The tanh form of Hendrycks and Gimpel (2016), within 5e-4 of a Phi(a), Phi being
    the normal distribution function: NumPy has no erf.
    """
    return a * _gate(a)


def gelu_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy (g + y (1 - g) 2 u'), g = sigmoid(2 u) (Eq. 2.20).

    Where y < 0, two a have the same y: so a has to be kept.
    """
    g = _gate(a)
    return dy * (g + y * (1 - g) * (2 * ROOT) * (1 + 3 * CUBIC * a * a))


def _gate(a: Array) -> Array:
    return sigmoid_forward(2 * ROOT * (a + CUBIC * a * a * a))


GELU = ACTIVATIONS.add(Activation("gelu", gelu_forward, gelu_backward, "2.19, 2.20"))

# ---- ELU -----------------------------------------------------------------------------


def elu_forward(a: Array) -> Array:
    """a where a > 0, else exp(a) - 1 (Eq. 2.21)."""
    return np.where(a.real > 0, a, np.expm1(np.where(a.real > 0, 0, a)))


def elu_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy where y > 0, else dy (y + 1) (Eq. 2.22)."""
    return dy * np.where(y.real > 0, 1, y + 1)


ELU = ACTIVATIONS.add(
    Activation("elu", elu_forward, elu_backward, "2.21, 2.22", reads_input=False)
)

# ---- Leaky ReLU ----------------------------------------------------------------------

LEAK = 0.01


def leaky_relu_forward(a: Array) -> Array:
    """a where a > 0, else a / 100 (Eq. 2.21)."""
    return np.where(a.real > 0, a, LEAK * a)


def leaky_relu_backward(dy: Array, a: Array, y: Array) -> Array:
    """da = dy where y > 0, else dy / 100 (Eq. 2.22)."""
    return np.where(y.real > 0, dy, LEAK * dy)


LEAKY_RELU = ACTIVATIONS.add(
    Activation(
        "leaky-relu",
        leaky_relu_forward,
        leaky_relu_backward,
        "2.21, 2.22",
        reads_input=False,
    )
)
