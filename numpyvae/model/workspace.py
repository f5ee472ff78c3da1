"""What one thread computes with: parameters, gradients, arrays, and a code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..pairs.reference import Reference
from ..pairs.types import Array
from ..pairs.work import Arrays

Key = tuple[str, tuple[int, ...], DTypeLike]


class Reused(dict[Key, Array]):
    """Work arrays, the same for the same name; a shorter batch gets a view of it.

    One step's results are overwritten by the next. A thread has its own.
    """

    def __init__(self) -> None:
        """Start with nothing allocated."""
        self._whole: dict[tuple[str, DTypeLike], Array] = {}

    def __missing__(self, key: Key) -> Array:
        """The view of this shape; the array behind it is grown if it is too small."""
        name, shape, dtype = key
        size = math.prod(shape)
        whole = self._whole.get((name, dtype))
        if whole is None or whole.size < size:
            for old in [k for k in self if (k[0], k[2]) == (name, dtype)]:
                del self[old]
            whole = self._whole[name, dtype] = np.empty(size, dtype)
        self[key] = view = whole[:size].reshape(shape)
        return view


class Fresh:
    """A new array each time: for whoever keeps the results."""

    def __getitem__(self, key: Key) -> Array:
        """`fresh[name, shape, dtype]`."""
        _, shape, dtype = key
        return np.empty(shape, dtype)


class Workspace(NamedTuple):
    """See `pairs.work.Work`."""

    params: Mapping[str, Array]
    grads: Mapping[str, Array]
    arrays: Arrays
    code: Reference
