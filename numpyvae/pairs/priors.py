"""The prior p(z): the density of a code, and codes drawn from it.

Written to be read beside lessons 5 and 9. A prior may have parameters and noise of its
own, and may ask the model's encoder: what it then adds to the encoder's gradient it
returns.

Shapes: B codes, Z latents, N numbers of noise that the prior wants for each code.
Units: nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .posteriors import LOG_2PI, Family, Head
from .types import Array, Registry, Shapes
from .work import Net, Work

Grads = Mapping[str, Array]  # of parameters that another pass has used as well
NONE: Grads = {}


class Parts(Protocol):
    """What a prior may be made of: the model, as far as it stands."""

    pixels: int
    latent: int
    classes: int
    top: tuple[int, ...]

    @property
    def encoder(self) -> Net:
        """Of x."""
        ...

    @property
    def head(self) -> Head:
        """From its outputs to the statistics of q(z|x)."""
        ...

    @property
    def family(self) -> Family:
        """Of q(z|x)."""
        ...

    def network(self, name: str, widths: Sequence[int]) -> Net:
        """Dense layers with the model's activation; their input wants its gradient."""
        ...


class Prior(Protocol):
    """A distribution of codes."""

    name: str
    noise: int  # N
    takes_top: bool  # whether `Parts.top` are widths of its own
    about: str  # in words, for the pictures
    equations: str  # where it is derived

    def __init__(self, parts: Parts) -> None:
        """For a model, as far as it stands; ValueError where it does not go with it."""
        ...

    def shapes(self) -> Shapes:
        """The parameters of its own."""
        ...

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """Draw the parameters of its own."""
        ...

    def forward(self, z: Array, eps: Array, work: Work) -> tuple[Array, Any]:
        """-log p(z) (B,) and what `backward` needs; z (B, Z), eps (B, N)."""
        ...

    def backward(
        self, dnll: Array, z: Array, kept: Any, eps: Array, work: Work
    ) -> tuple[Array, Grads]:
        """dz (B, Z) from dnll (B,); overwrites the gradients of its own parameters.

        Also what is to be added to the gradients of parameters that are not its own.
        """
        ...

    def sample(self, count: int, rng: np.random.Generator, work: Work) -> Array:
        """Codes (count, Z)."""
        ...

    def moments(self, work: Work) -> tuple[Array, Array]:
        """Mean and standard deviation of each latent, (Z,) and (Z,)."""
        ...


PRIORS: Registry[type[Prior]] = Registry()

# ---- N(0, I) -------------------------------------------------------------------------


def standard_normal_forward(z: Array) -> Array:
    """-log N(z; 0, I) of each row (Eq. 9.10); (B, Z) -> (B,)."""
    return ((z * z).sum(axis=1) + z.shape[1] * LOG_2PI) / 2


def standard_normal_backward(dnll: Array, z: Array) -> Array:
    """dz = dnll z (Eq. 9.11); (B,), (B, Z) -> (B, Z)."""
    return dnll[:, None] * z


class StandardNormal:
    """N(0, I)."""

    name, noise, about, equations = "standard", 0, "N(0, I)", "9.10, 9.11"
    takes_top = False

    def __init__(self, parts: Parts) -> None:
        """For the model's Z."""
        self.latent = parts.latent

    def shapes(self) -> Shapes:
        """No parameters."""
        return {}

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """Nothing to draw."""

    def forward(self, z: Array, eps: Array, work: Work) -> tuple[Array, Any]:
        """See `Prior`."""
        return standard_normal_forward(z), None

    def backward(
        self, dnll: Array, z: Array, kept: Any, eps: Array, work: Work
    ) -> tuple[Array, Grads]:
        """See `Prior`."""
        return standard_normal_backward(dnll, z), NONE

    def sample(self, count: int, rng: np.random.Generator, work: Work) -> Array:
        """See `Prior`."""
        return rng.standard_normal((count, self.latent))

    def moments(self, work: Work) -> tuple[Array, Array]:
        """Zeros and ones."""
        return np.zeros(self.latent), np.ones(self.latent)


PRIORS.add(StandardNormal)
