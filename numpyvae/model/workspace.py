"""Arrays that a step writes to: allocated once, used again at the next step."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from ..pairs.dense import Array


class Allocate(Protocol):
    """Whatever hands out an array of a shape and dtype under a name."""

    def __call__(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array whose contents are to be overwritten."""
        ...


def fresh(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A new array each time: for whoever keeps the results."""
    return np.empty(shape, dtype)


class Workspace:
    """The same array for the same name; a shorter batch gets a view of it.

    One step's results are overwritten by the next. A thread has its own.
    """

    def __init__(self) -> None:
        """Start with nothing allocated."""
        self._arrays: dict[str, Array] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """The array `name`, grown if it is too small."""
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or array.size < size or array.dtype != dtype:
            array = self._arrays[name] = np.empty(size, dtype)
        return array[:size].reshape(shape)
