"""What a subject of the check is, and the random arrays that it is tried on.

Inputs are random views, contiguous or not; dimensions begin at 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from ...pairs.types import Array
from ..gradcheck import Function


class Trial(NamedTuple):
    """A pair at one place: what `gradcheck` takes."""

    forward: Function
    backward: Function
    args: tuple[Array, ...]
    names: tuple[str, ...]


class Subject(NamedTuple):
    """A pair, or a model, to be tried at random places with either code."""

    name: str
    equations: str
    draw: Callable[[np.random.Generator, SimpleNamespace], Trial]
    has_twin: bool


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Random numbers in an array that is contiguous, transposed or strided."""
    layout = rng.integers(3)
    if layout == 0:
        return rng.standard_normal(shape)
    if layout == 1:
        return rng.standard_normal(shape[::-1]).T
    return rng.standard_normal([2 * n for n in shape])[
        tuple([slice(None, None, 2)] * len(shape))
    ]


def block(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Parameters of a layer, of a size that keeps its outputs near 1."""
    return normal(rng, *shape) / np.sqrt(math.prod(shape[:-1] or shape))


def sizes(rng: np.random.Generator, count: int, largest: int = 8) -> list[int]:
    """Dimensions from 1 to `largest`."""
    return [int(n) for n in rng.integers(1, largest + 1, count)]
