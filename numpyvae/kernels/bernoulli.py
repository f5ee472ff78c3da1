"""The compiled twins of pairs/bernoulli.py, of grey images and of lists of pixels.

Shapes: B batch, D pixels.
"""

import math

import numpy as np

from ..pairs.types import Array, Input
from .dense import expect
from .jit import jit


def bernoulli_forward(
    logits: Array, x: Input, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`pairs.bernoulli.bernoulli_forward`.

    NumPy's exp is the vectorized one, so exp(-|l|) is taken between two loops.
    """
    if out is None:
        out = np.empty(len(logits), logits.dtype), np.empty_like(logits)
    nll, p = out
    expect("x", x, logits.shape)
    expect("p", p, logits.shape)
    expect("nll", nll, logits.shape[:1])
    _minus_abs(logits, p)
    np.exp(p, out=p)
    _softplus_and_sigmoid(logits, p, nll)
    if isinstance(x, np.ndarray):
        _subtract_weighted_logits(logits, x, nll)
    else:
        _subtract_active_logits(logits, x.columns, x.starts, nll)
    return out


@jit
def _minus_abs(logits, e):
    for i in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            e[i, j] = -abs(logits[i, j])


@jit
def _softplus_and_sigmoid(logits, p, nll):
    """nll = sum of softplus(l), and p = sigmoid(l) over the exp(-|l|) it holds.

    The sum of log(1 + e) over up to 64 terms, each in (1, 2], is the log of their
    product, which stays below 2^64.
    """
    zero, one = p.dtype.type(0), p.dtype.type(1)
    width = logits.shape[1]
    for i in range(logits.shape[0]):
        total = 0.0
        for start in range(0, width, 64):
            product, positive = one, zero
            for j in range(start, min(start + 64, width)):
                logit, e = logits[i, j], p[i, j]
                product *= one + e
                positive += max(logit, zero)
                p[i, j] = (one if logit > zero else e) / (one + e)
            total += math.log(product) + positive
        nll[i] = total


@jit
def _subtract_active_logits(logits, columns, starts, nll):
    for i in range(logits.shape[0]):
        total = 0.0
        for a in range(starts[i], starts[i + 1]):
            total += logits[i, columns[a]]
        nll[i] -= total


@jit
def _subtract_weighted_logits(logits, x, nll):
    for i in range(logits.shape[0]):
        total = 0.0
        for j in range(logits.shape[1]):
            total += x[i, j] * logits[i, j]
        nll[i] -= total


def bernoulli_backward(
    dnll: Array, p: Array, x: Input, out: Array | None = None
) -> Array:
    """`pairs.bernoulli.bernoulli_backward`."""
    dlogits = np.empty_like(p) if out is None else out
    expect("x", x, p.shape)
    if isinstance(x, np.ndarray):
        np.subtract(p, x, out=dlogits)
        dlogits *= dnll[:, None]
    else:
        expect("dnll", dnll, p.shape[:1])
        np.multiply(dnll[:, None], p, out=dlogits)
        _subtract_at_active(dnll, x.columns, x.starts, dlogits)
    return dlogits


@jit
def _subtract_at_active(dnll, columns, starts, dlogits):
    for i in range(dlogits.shape[0]):
        for a in range(starts[i], starts[i + 1]):
            dlogits[i, columns[a]] -= dnll[i]
