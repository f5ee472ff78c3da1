"""The likelihood p(x|z): what the decoder's outputs say about an image.

Written to be read beside lesson 11; `kernels.py` holds the compiled twins.

Shapes: B batch, D pixels. The dtype that comes in goes out. Units: nats.
"""

import math

import numpy as np

from .ops import Array, activate

LOG_2PI = math.log(2 * math.pi)


def bernoulli_forward(logits: Array, x: Array) -> tuple[Array, Array]:
    """-log Ber(x; p) of each image, and its means p = sigmoid(logits) (Eq. 11.2).

    Shapes: logits, x (B, D), x in [0, 1] -> nll (B,), p (B, D). Taken from the logits,
    as softplus(l) - x l: finite for every finite logit, with nothing clipped. For grey
    x it is the cross-entropy, which is no density.
    """
    nll = (activate(logits, "softplus") - x * logits).sum(axis=1)
    return nll, activate(logits, "sigmoid")


def bernoulli_backward(dnll: Array, p: Array, x: Array) -> Array:
    """dlogits = dnll * (p - x) (Eq. 11.3); shapes dnll (B,), p, x (B, D) -> (B, D)."""
    return dnll[:, None] * (p - x)


def gaussian_forward(mean: Array, logvar: Array, x: Array) -> Array:
    """-log N(x; mean, diag(exp(logvar))) of each row, in nats (Eq. 11.4).

    Shapes: mean, logvar, x (B, D) -> (B,).
    """
    residual = x - mean
    terms = residual * residual * np.exp(-logvar) + logvar + LOG_2PI
    return terms.sum(axis=1) / 2


def gaussian_backward(
    dnll: Array, mean: Array, logvar: Array, x: Array
) -> tuple[Array, Array]:
    """dmean and dlogvar of `gaussian_forward` (Eq. 11.5, 11.6).

    Shapes: dnll (B,), mean, logvar, x (B, D) -> (B, D), (B, D).
    """
    residual, precision = x - mean, np.exp(-logvar)
    dmean = -dnll[:, None] * residual * precision  # Eq. 11.5
    dlogvar = dnll[:, None] * (1 - residual * residual * precision) / 2  # Eq. 11.6
    return dmean, dlogvar
