"""Gradient descent on one flat vector: SGD and Adam.

The gradient arrives as S summands, one from each shard of the batch.

Shapes: P parameters, S shards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .types import Array

if TYPE_CHECKING:
    from .reference import Reference


def sgd_update(params: Array, grads: Array, lr: float) -> None:
    """params -= lr * grad, in place (Eq. 2.8); shapes (P,), (S, P)."""
    params -= lr * grads.sum(axis=0)


class AdamRates(NamedTuple):
    """The numbers of one step of Adam."""

    step: float  # counted from 1
    lr: float
    beta1: float
    beta2: float
    eps: float


def adam_update(
    params: Array, grads: Array, m: Array, v: Array, rates: AdamRates
) -> None:
    """One step of Adam (Kingma & Ba 2015, Algorithm 1), in place (Eq. 2.9 to 2.11).

    Shapes: params, m, v (P,), grads (S, P). m and v start at zero.
    """
    step, lr, beta1, beta2, eps = rates
    grad = grads.sum(axis=0)
    m[...] = beta1 * m + (1 - beta1) * grad  # Eq. 2.9
    v[...] = beta2 * v + (1 - beta2) * grad * grad
    m_hat = m / (1 - beta1**step)  # Eq. 2.10
    v_hat = v / (1 - beta2**step)
    params -= lr * m_hat / (np.sqrt(v_hat) + eps)  # Eq. 2.11


class SGD:
    """Plain gradient descent."""

    def __init__(self, params: Array, code: Reference, lr: float) -> None:
        """Take params (P,), which every update changes in place."""
        self.params, self.code, self.lr = params, code, lr

    def advance(self) -> None:
        """Begin a step: nothing to count here."""

    def update(self, grads: Array, part: slice = slice(None)) -> None:
        """Apply this step's grads (S, P) to a part of the parameters."""
        self.code.sgd_update(self.params[part], grads[:, part], self.lr)


class Adam:
    """Adam, with its two moments `m` and `v` (P,) and its count of steps."""

    def __init__(
        self,
        params: Array,
        code: Reference,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        """Take params (P,), which every update changes in place."""
        self.params, self.code = params, code
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.m, self.v = np.zeros_like(params), np.zeros_like(params)
        self.step = 0

    def advance(self) -> None:
        """Begin a step; the parts of the parameters follow, in any order."""
        self.step += 1

    def update(self, grads: Array, part: slice = slice(None)) -> None:
        """Apply this step's grads (S, P) to a part of the parameters."""
        rates = AdamRates(self.step, self.lr, self.beta1, self.beta2, self.eps)
        m, v = self.m[part], self.v[part]
        self.code.adam_update(self.params[part], grads[:, part], m, v, rates)
