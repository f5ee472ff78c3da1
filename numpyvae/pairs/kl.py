"""What a code costs: KL(q(z|x) || p(z)), by a formula or at a sample.

Written to be read beside lessons 8 and 9. CLOSED holds the formulas, by the types of
the posterior's family and of the prior; where it has none, the KL is estimated by
log q(z|x) - log p(z) at the sample itself.

Shapes: B codes, Z latents, S statistics. Units: nats.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from .posteriors import Code, Diagonal, Family, Full, Point, cholesky_backward
from .priors import NONE, Grads, Prior, StandardNormal
from .types import Array
from .work import Work


class RateGradient(NamedTuple):
    """What a rate gives back: gradients of all that a code is made of."""

    dz: Array | float  # (B, Z)
    dlog: Array | None  # (B,) of log q(z|x), where that was asked for
    ds: Array | float  # (B, S)
    shared: Grads  # of parameters that another pass has used as well


class Rate(Protocol):
    """The KL of each code, in terms that have names."""

    @property
    def equations(self) -> str:
        """Where it is derived."""
        ...

    def forward(
        self, code: Code, eps: Array, work: Work
    ) -> tuple[dict[str, Array], Any]:
        """Terms (B,) that add up to the KL, and what `backward` needs.

        eps (B, Z + N) is the noise that made z and, behind it, the prior's own.
        """
        ...

    def backward(
        self, drate: Array, code: Code, kept: Any, eps: Array, work: Work
    ) -> RateGradient:
        """The gradients from that of the KL (B,), the same for each term."""
        ...


# ---- Closed forms, of N(0, I) as the prior -------------------------------------------


def kl_forward(mu: Array, logvar: Array) -> Array:
    """KL(N(mu, diag(exp(logvar))) || N(0, I)) of each row, in nats (Eq. 8.4).

    Shapes: mu, logvar (B, Z) -> (B,). exp(logvar) - 1 is taken as expm1, which keeps
    its digits near logvar = 0.
    """
    return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2


def kl_backward(dkl: Array, mu: Array, logvar: Array) -> tuple[Array, Array]:
    """dmu = dkl * mu, dlogvar = dkl * (exp(logvar) - 1) / 2 (Eq. 8.5).

    Shapes: dkl (B,), mu, logvar (B, Z) -> (B, Z), (B, Z).
    """
    return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2


class DiagonalKL:
    """The KL of a Diagonal to N(0, I)."""

    equations = "8.4, 8.5"

    def forward(
        self, code: Code, eps: Array, work: Work
    ) -> tuple[dict[str, Array], Any]:
        """See `Rate`."""
        Z = code.mu.shape[1]
        return {"kl": kl_forward(code.mu, code.s[:, Z:])}, None

    def backward(
        self, drate: Array, code: Code, kept: Any, eps: Array, work: Work
    ) -> RateGradient:
        """See `Rate`."""
        Z = code.mu.shape[1]
        ds = work.arrays["ds of the KL", code.s.shape, code.s.dtype]
        ds[:, :Z], ds[:, Z:] = kl_backward(drate, code.mu, code.s[:, Z:])
        return RateGradient(0.0, None, ds, NONE)


def full_kl_forward(mu: Array, L: Array) -> Array:
    """KL(N(mu, L L^T) || N(0, I)) of each row, in nats (Eq. 8.6).

    Shapes: mu (B, Z), L (B, Z, Z) -> (B,).
    """
    diagonal = np.diagonal(L, axis1=1, axis2=2)
    squares = (mu * mu).sum(axis=1) + (L * L).sum(axis=(1, 2)) - mu.shape[1]
    return squares / 2 - np.log(diagonal).sum(axis=1)


def full_kl_backward(dkl: Array, mu: Array, L: Array) -> tuple[Array, Array]:
    """dmu = dkl mu, dL = dkl (L - diag(1 / L_ii)) (Eq. 8.7).

    Shapes: dkl (B,), mu (B, Z), L (B, Z, Z) -> (B, Z), (B, Z, Z).
    """
    i = np.arange(mu.shape[1])
    dL = L.copy()
    dL[:, i, i] -= 1 / L[:, i, i]
    return dkl[:, None] * mu, dkl[:, None, None] * dL


class FullKL:
    """The KL of a Full to N(0, I)."""

    equations = "8.6, 8.7"

    def forward(
        self, code: Code, eps: Array, work: Work
    ) -> tuple[dict[str, Array], Any]:
        """See `Rate`."""
        return {"kl": full_kl_forward(code.mu, code.scale)}, None

    def backward(
        self, drate: Array, code: Code, kept: Any, eps: Array, work: Work
    ) -> RateGradient:
        """See `Rate`."""
        dmu, dL = full_kl_backward(drate, code.mu, code.scale)
        ds = np.hstack([dmu, cholesky_backward(dL, code.scale)])
        return RateGradient(0.0, None, ds, NONE)


class NoKL:
    """A point costs nothing."""

    equations = ""

    def forward(
        self, code: Code, eps: Array, work: Work
    ) -> tuple[dict[str, Array], Any]:
        """Zeros."""
        return {"kl": np.zeros_like(code.mu, shape=len(code.mu))}, None

    def backward(
        self, drate: Array, code: Code, kept: Any, eps: Array, work: Work
    ) -> RateGradient:
        """Nothing."""
        return RateGradient(0.0, None, 0.0, NONE)


CLOSED: dict[tuple[type[Family], type[Prior]], Rate] = {
    (Diagonal, StandardNormal): DiagonalKL(),
    (Full, StandardNormal): FullKL(),
    (Point, StandardNormal): NoKL(),
}

# ---- Any posterior, any prior: at the sample -----------------------------------------


class SampledKL(NamedTuple):
    """log q(z|x) - log p(z) at z itself: unbiased for the KL (Eq. 9.10)."""

    family: Family
    prior: Prior
    equations: str = "9.10, 9.11"

    def forward(
        self, code: Code, eps: Array, work: Work
    ) -> tuple[dict[str, Array], Any]:
        """See `Rate`."""
        Z = code.z.shape[1]
        nll, kept = self.prior.forward(code.z, eps[:, Z:], work)
        log_q = self.family.log_prob(code, eps[:, :Z])
        return {"log q(z|x)": log_q, "-log p(z)": nll}, kept

    def backward(
        self, drate: Array, code: Code, kept: Any, eps: Array, work: Work
    ) -> RateGradient:
        """See `Rate` (Eq. 9.11)."""
        own = eps[:, code.z.shape[1] :]
        dz, shared = self.prior.backward(drate, code.z, kept, own, work)
        return RateGradient(dz, drate, 0.0, shared)
