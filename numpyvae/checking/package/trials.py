"""What a subject of the check is, and the random arrays that it is tried on.

Inputs are random views, contiguous or not; dimensions begin at 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...model.workspace import Key, Reused, Workspace
from ...pairs.reference import Reference
from ...pairs.types import Array
from ..gradcheck import Function
from ..rounding import Tracked
from .tracked import tracked


class Trial(NamedTuple):
    """A pair at one place: what `gradcheck` takes."""

    forward: Function
    backward: Function
    args: tuple[Array, ...]
    names: tuple[str, ...]


class Subject(NamedTuple):
    """A pair, a part or a model, to be tried at random places with either code."""

    name: str
    equations: str
    draw: Callable[[np.random.Generator, Reference], Trial]
    has_twin: bool


class TrackedArrays:
    """Work arrays of a pass whose rounding is tracked."""

    def __getitem__(self, key: Key) -> Any:
        """A new one each time."""
        return Tracked(np.empty(key[1]))


def code_for(code: Reference, like: Any) -> Reference:
    """The code; for Tracked arrays, the one that takes them."""
    return tracked if isinstance(like, Tracked) else code


def work_for(code: Reference, blocks: Mapping[str, Any], like: Any) -> Workspace:
    """What a pass computes with, given its parameters.

    The gradients are NaN until a backward pass has written them.
    """
    is_tracked = isinstance(like, Tracked)
    kind = Tracked if is_tracked else np.asarray
    grads = {name: kind(np.full(W.shape, np.nan)) for name, W in blocks.items()}
    arrays = TrackedArrays() if is_tracked else Reused()
    return Workspace(blocks, grads, arrays, code_for(code, like))  # type: ignore[arg-type]


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
