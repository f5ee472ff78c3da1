"""What the pairs' signatures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast

from numpy.typing import NDArray

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]  # of parameters, by name


class PixelList(Protocol):
    """Binary images as lists of their active pixels; kernels/active_pixels.py."""

    columns: Array
    starts: Array
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(B, D), as the images themselves would have it."""
        ...

    def __len__(self) -> int:
        """B."""
        ...


Input = Array | PixelList


class Named(Protocol):
    """A part that is chosen by its name."""

    @property
    def name(self) -> str:
        """As the command line and `config.json` have it."""
        ...


Part = TypeVar("Part")


class Registry(dict[str, Part]):
    """The parts of one kind, by name; `add` takes another, also a user's own."""

    def add(self, part: Part) -> Part:
        """Keep `part` under its name; returns it. Raises ValueError if that is taken.

        A run's config names its parts: another one of that name would be taken for it.
        """
        name = cast(Named, part).name
        if self.get(name, part) != part:
            raise ValueError(
                f"{name}: found another part of that name, expected a new one; `del` "
                "the other before"
            )
        self[name] = part
        return part
