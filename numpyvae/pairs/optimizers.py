"""Gradient descent on one flat vector: SGD and Adam.

The gradient arrives as S summands, one from each shard of the batch.

Shapes: P parameters, S shards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .types import Array


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
