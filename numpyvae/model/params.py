"""All parameters of a model in one flat vector, with a named view of each block.

Optimizer, checkpoint and gradient check see one array; a layer sees its W and b.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ArgumentError
from ..pairs.types import Array, Shapes


def merged(*tables: Shapes) -> dict[str, tuple[int, ...]]:
    """The parts' tables as one. Raises ArgumentError for a name that two have."""
    whole: dict[str, tuple[int, ...]] = {}
    for table in tables:
        for name, shape in table.items():
            if name in whole:
                raise ArgumentError(
                    f"parameters: found {name!r} in two parts, expected names of "
                    "their own"
                )
            whole[name] = shape
    return whole


class Parameters(Mapping[str, Array]):
    """A flat vector of parameters (or of gradients) and its views by name.

    `flat` has shape (P,); `parameters["encoder.0.W"]` is a view of it with the shape
    that the table gives. Writing to either changes both. `blocks` are the views alone,
    for whoever asks often.
    """

    def __init__(self, shapes: Shapes, flat: Array) -> None:
        """Lay the blocks of `shapes` one after the other over `flat` (P,)."""
        self.shapes = dict(shapes)
        self.flat = flat
        size = sum(math.prod(shape) for shape in self.shapes.values())
        if flat.shape != (size,):
            raise ValueError(f"the table needs {(size,)}, the vector has {flat.shape}")
        views, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            views[name] = flat[start:stop].reshape(shape)
            start = stop
        self.blocks: Mapping[str, Array] = MappingProxyType(views)

    @classmethod
    def zeros(cls, shapes: Shapes, dtype: DTypeLike) -> Parameters:
        """A vector of zeros for the table."""
        size = sum(math.prod(shape) for shape in shapes.values())
        return cls(shapes, np.zeros(size, dtype))

    def like(self, flat: Array) -> Parameters:
        """The same table over another vector (P,): a gradient, a perturbed copy."""
        return Parameters(self.shapes, flat)

    def unwritten(self) -> Parameters:
        """The same table over NaN: what a backward pass leaves unwritten is seen."""
        return self.like(np.full_like(self.flat, np.nan))

    def __reduce__(self) -> tuple[type[Parameters], tuple[Shapes, Array]]:
        """Copy and pickle table and vector; the views are laid out anew."""
        return Parameters, (self.shapes, self.flat)

    def __getitem__(self, name: str) -> Array:
        """The view of one block."""
        return self.blocks[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the vector."""
        return iter(self.blocks)

    def __len__(self) -> int:
        """The number of blocks."""
        return len(self.blocks)
