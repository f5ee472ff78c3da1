"""What parts are handed to compute with, and what they may ask of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from .reference import Reference
from .types import Array, Shapes


class Arrays(Protocol):
    """Work arrays, by name, shape and dtype; what they hold is to be overwritten."""

    def __getitem__(self, key: tuple[str, tuple[int, ...], DTypeLike], /) -> Array:
        """`arrays["dx", (B, N), x.dtype]`."""
        ...


class Work(Protocol):
    """What one thread computes with: parameters, its gradients, its arrays, a code."""

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters, by name."""
        ...

    @property
    def grads(self) -> Mapping[str, Array]:
        """Their gradients: a backward pass overwrites its own."""
        ...

    @property
    def arrays(self) -> Arrays:
        """Arrays to be used again at the next step."""
        ...

    @property
    def code(self) -> Reference:
        """The pairs that have a compiled twin: the reference, or the twins."""
        ...


class Traced(Protocol):
    """What a layer leaves behind."""

    @property
    def y(self) -> Array:
        """Its outputs."""
        ...


class Net(Protocol):
    """A network, as far as a prior asks for one."""

    def shapes(self) -> Shapes:
        """The table of its parameters."""
        ...

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """Draw its parameters."""
        ...

    def with_dx(self) -> Net:
        """The same layers; their `backward` gives dx, also where the input was data."""
        ...

    def forward(self, x: Any, work: Work) -> Sequence[Traced]:
        """What every layer made; the last y is the network's."""
        ...

    def backward(self, dy: Array, traces: Any, work: Work) -> Any:
        """dx; overwrites the gradients of its parameters."""
        ...
