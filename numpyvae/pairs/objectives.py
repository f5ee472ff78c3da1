"""The objective: how K samples of an image become the loss that is differentiated.

Written to be read beside lessons 10, 13 and 15.

Shapes: B batch, K samples of each image. Units: nats per image. `recon` is
-log p(x|z), `kl` is KL(q || p), or log q(z|x) - log p(z) at the sample itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .types import Array

KLS = ("closed", "sampled")


def elbo_forward(recon: Array, kl: Array, beta: float) -> Array:
    """-ELBO of each image, the mean over its samples of recon + beta kl (Eq. 10.1).

    Shapes: recon, kl (B, K) -> (B,).
    """
    return (recon + beta * kl).sum(axis=1) / recon.shape[1]


def elbo_backward(dloss: Array, samples: int, beta: float) -> tuple[Array, Array]:
    """drecon = dloss / K, dkl = beta dloss / K (Eq. 10.3); (B,) -> (B, K), (B, K)."""
    drecon = np.repeat(dloss[:, None] / samples, samples, axis=1)
    return drecon, beta * drecon


def iwae_forward(recon: Array, kl: Array) -> tuple[Array, Array]:
    """-log of the mean importance weight exp(-recon - kl) of each image (Eq. 15.3).

    Also each sample's share of that sum. Shapes: recon, kl (B, K) -> (B,), (B, K).
    """
    logs = -(recon + kl)
    peak = logs.real.max(axis=1)[:, None]
    weights = np.exp(logs - peak)
    total = weights.sum(axis=1)
    loss = math.log(recon.shape[1]) - np.log(total) - peak[:, 0]
    return loss, weights / total[:, None]


def iwae_backward(dloss: Array, shares: Array) -> tuple[Array, Array]:
    """drecon = dkl = dloss times the sample's share (Eq. 15.4).

    Shapes: dloss (B,), shares (B, K) -> (B, K), (B, K).
    """
    drecon = dloss[:, None] * shares
    return drecon, drecon


@dataclass(frozen=True)
class Elbo:
    """The evidence lower bound, with its KL weighted by beta.

    `kl` is "closed" for a formula, where the posterior and the prior have one, or
    "sampled" for log q - log p at each of the K `samples`. Raises ValueError for a
    value out of range.
    """

    beta: float = 1.0
    samples: int = 1
    kl: str = "closed"

    def __post_init__(self) -> None:
        """Check every value."""
        _expect_samples(self.samples)
        beta: Any = self.beta
        if not isinstance(beta, int | float | np.floating) or not 0 <= beta < math.inf:
            raise ValueError(f"beta: found {self.beta!r}, expected 0 or more")
        if self.kl not in KLS:
            raise ValueError(f"kl: found {self.kl!r}, expected {' or '.join(KLS)}")

    def forward(self, recon: Array, kl: Array) -> tuple[Array, Array | None]:
        """The loss of each image (B,), and what `backward` needs of the pass: None."""
        return elbo_forward(recon, kl, self.beta), None

    def backward(self, dloss: Array, shares: Array | None) -> tuple[Array, Array]:
        """drecon and dkl (B, K)."""
        return elbo_backward(dloss, self.samples, self.beta)


@dataclass(frozen=True)
class Iwae:
    """The importance-weighted bound of Burda et al. (2015): tighter for more samples.

    An importance weight is p(x, z) / q(z|x) at the sample itself. Raises ValueError for
    a value out of range.
    """

    samples: int = 5
    kl: ClassVar[str] = "sampled"

    def __post_init__(self) -> None:
        """Check the number of samples."""
        _expect_samples(self.samples)

    def forward(self, recon: Array, kl: Array) -> tuple[Array, Array | None]:
        """The loss of each image (B,), and the samples' shares (B, K)."""
        return iwae_forward(recon, kl)

    def backward(self, dloss: Array, shares: Array | None) -> tuple[Array, Array]:
        """drecon and dkl (B, K)."""
        assert shares is not None
        return iwae_backward(dloss, shares)


def _expect_samples(samples: int) -> None:
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(
            f"samples: found {samples!r}, expected a whole number from 1 on"
        )


Objective = Elbo | Iwae
ELBO = Elbo()
