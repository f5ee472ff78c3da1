"""Two numerical derivatives of a function, which need its values alone.

The complex step is exact to rounding but wants analytic code; Ridders' differences take
any code and are good to nine digits or more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..pairs.types import Array

STEP = 2.0**-100  # of the complex step; scaling by a power of two rounds nothing
GOOD_ENOUGH = 1e-12  # relative error at which Ridders' extrapolation stops


def complex_step(loss: Callable[[Array], Any], x: Array, direction: Array) -> float:
    """The derivative of an analytic `loss` at x: Im loss(x + ihv) / h, h = STEP."""
    return float(loss(x + 1j * STEP * direction).imag) / STEP


def ridders(loss: Callable[[Array], Any], x: Array, direction: Array) -> float:
    """The derivative of `loss` at x along a direction, by extrapolated differences.

    Ridders (1982): a tableau of central differences extrapolated to h = 0, the entry
    kept that differs least from its neighbours. Begun anew from smaller steps until
    one is small enough to cross no kink.
    """
    best, best_error = np.nan, np.inf
    for h in (0.1, 1e-2, 1e-3, 1e-4):
        row: list[float] = []
        for level in range(6):
            t = h / 2**level
            new = [float(loss(x + t * direction) - loss(x - t * direction)) / (2 * t)]
            for k, old in enumerate(row):
                power = 4.0 ** (k + 1)
                new.append((power * new[k] - old) / (power - 1))
                spread = max(abs(new[k + 1] - new[k]), abs(new[k + 1] - old))
                if spread < best_error:
                    best, best_error = new[k + 1], spread
            row = new
        if best_error <= GOOD_ENOUGH * abs(best):
            break
    return best
