"""SGD and Adam: what they keep between their updates of pairs/optimizers.py.

Shapes: P parameters, S shards.
"""

from __future__ import annotations

import numpy as np

from ..pairs.optimizers import AdamRates
from ..pairs.reference import Reference
from ..pairs.types import Array


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
