"""The posterior q(z|x): from the encoder's outputs h to a code z, and log q(z|x).

Written to be read beside lessons 8 and 9. A posterior is put together of two things. A
head makes the statistics s of h; a family makes z of s and of noise from outside. One
backward is the derivative of both, of z and of log q(z|x).

Shapes: B batch, Z latents, E outputs of the encoder, S statistics, T = Z (Z + 1) / 2
entries of a triangle. The dtype that comes in goes out. Units: nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from .types import Array, Registry, Shapes
from .work import Work

LOG_2PI = math.log(2 * math.pi)


class Code(NamedTuple):
    """What a family made of its statistics and of eps."""

    s: Array  # (B, S) the statistics
    mu: Array  # (B, Z) the first of them
    scale: Any  # sigma (B, Z), L (B, Z, Z), or what else stretched eps
    z: Array  # (B, Z)


class Family(Protocol):
    """How statistics and noise make a code."""

    statistics: int  # S
    has_density: bool

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        ...

    def shapes(self) -> Shapes:
        """The parameters of its own, which start at 0."""
        ...

    def forward(self, s: Array, eps: Array, work: Work) -> Code:
        """z and what it was made of; s (B, S), eps (B, Z) from N(0, I)."""
        ...

    def log_prob(self, code: Code, eps: Array) -> Array:
        """log q(z|x) at z itself (B,)."""
        ...

    def backward(
        self, dz: Array, dlog: Array | None, code: Code, eps: Array, work: Work
    ) -> Array:
        """ds (B, S) from dz and, if it was asked for, that of `log_prob` (B,).

        Overwrites the gradients of its own parameters.
        """
        ...

    def moments(self, s: Array, work: Work) -> tuple[Array, Array]:
        """Mean and standard deviation of each latent, (B, Z) and (B, Z)."""
        ...


def normal_log_prob(eps: Array) -> Array:
    """log N(eps; 0, I) of each row (Eq. 9.9); (B, Z) -> (B,)."""
    return -((eps * eps).sum(axis=1) + eps.shape[1] * LOG_2PI) / 2


# ---- Diagonal covariance: N(mu, diag(sigma^2)) ---------------------------------------


def sigma_forward(logvar: Array) -> Array:
    """The standard deviation sigma = exp(logvar / 2) (Eq. 9.1); (B, Z) -> (B, Z)."""
    return np.exp(logvar / 2)


def sigma_backward(dsigma: Array, sigma: Array) -> Array:
    """dlogvar = dsigma * sigma / 2 (Eq. 9.2); (B, Z) -> (B, Z)."""
    return dsigma * sigma / 2


def reparameterize_forward(mu: Array, sigma: Array, eps: Array) -> Array:
    """A sample z = mu + sigma * eps, with eps ~ N(0, I) from outside (Eq. 9.3).

    Shapes: all (B, Z).
    """
    return mu + sigma * eps


def reparameterize_backward(dz: Array, eps: Array) -> tuple[Array, Array]:
    """dmu = dz, dsigma = dz * eps (Eq. 9.4), with the eps that made z.

    Shapes: all (B, Z).
    """
    return dz, dz * eps


class Diagonal:
    """N(mu, diag(sigma^2)): s holds mu and logvar."""

    has_density = True

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent, self.statistics = latent, 2 * latent

    def shapes(self) -> Shapes:
        """See `Family`."""
        return {}

    def forward(self, s: Array, eps: Array, work: Work) -> Code:
        """See `Family`."""
        mu, sigma = s[:, : self.latent], sigma_forward(s[:, self.latent :])
        return Code(s, mu, sigma, reparameterize_forward(mu, sigma, eps))

    def log_prob(self, code: Code, eps: Array) -> Array:
        """log N(eps) less log|det dz/deps|, the sum of log sigma (Eq. 9.9)."""
        return normal_log_prob(eps) - code.s[:, self.latent :].sum(axis=1) / 2

    def backward(
        self, dz: Array, dlog: Array | None, code: Code, eps: Array, work: Work
    ) -> Array:
        """See `Family`."""
        ds = work.arrays["ds", code.s.shape, code.s.dtype]
        ds[:, : self.latent], dsigma = reparameterize_backward(dz, eps)
        ds[:, self.latent :] = sigma_backward(dsigma, code.scale)
        if dlog is not None:
            ds[:, self.latent :] -= dlog[:, None] / 2
        return ds

    def moments(self, s: Array, work: Work) -> tuple[Array, Array]:
        """See `Family`."""
        return s[:, : self.latent], sigma_forward(s[:, self.latent :])


# ---- Full covariance: N(mu, L L^T) ---------------------------------------------------


def cholesky_forward(entries: Array) -> Array:
    """The lower triangular L of a covariance L L^T from free entries (Eq. 9.5).

    Shapes: entries (B, T) -> L (B, Z, Z). The first Z entries are the logarithms of the
    diagonal, which is thus positive; the others lie below it, row by row.
    """
    Z = math.isqrt(2 * entries.shape[1])  # the root of 2 T is between Z and Z + 1
    L = np.zeros_like(entries, shape=(len(entries), Z, Z))
    i, (rows, columns) = np.arange(Z), np.tril_indices(Z, -1)
    L[:, i, i] = np.exp(entries[:, :Z])
    L[:, rows, columns] = entries[:, Z:]
    return L


def cholesky_backward(dL: Array, L: Array) -> Array:
    """dentries: dL_ii L_ii on the diagonal, dL_ij below it (Eq. 9.6).

    Shapes: dL, L (B, Z, Z) -> (B, T). What dL has above the diagonal is not read.
    """
    Z = L.shape[1]
    i, (rows, columns) = np.arange(Z), np.tril_indices(Z, -1)
    return np.hstack([dL[:, i, i] * L[:, i, i], dL[:, rows, columns]])


def correlate_forward(mu: Array, L: Array, eps: Array) -> Array:
    """A sample z = mu + L eps, with eps ~ N(0, I) from outside (Eq. 9.7).

    Shapes: mu, eps (B, Z), L (B, Z, Z) -> (B, Z).
    """
    return mu + (L @ eps[:, :, None])[:, :, 0]


def correlate_backward(dz: Array, eps: Array) -> tuple[Array, Array]:
    """dmu = dz, dL = dz eps^T (Eq. 9.8); (B, Z), (B, Z) -> (B, Z), (B, Z, Z)."""
    return dz, dz[:, :, None] * eps[:, None, :]


class Full:
    """N(mu, L L^T): s holds mu and the entries of the Cholesky factor L."""

    has_density = True

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent = latent
        self.statistics = latent + latent * (latent + 1) // 2

    def shapes(self) -> Shapes:
        """See `Family`."""
        return {}

    def forward(self, s: Array, eps: Array, work: Work) -> Code:
        """See `Family`."""
        mu, L = s[:, : self.latent], cholesky_forward(s[:, self.latent :])
        return Code(s, mu, L, correlate_forward(mu, L, eps))

    def log_prob(self, code: Code, eps: Array) -> Array:
        """log N(eps) less log|det dz/deps|, the sum of log L_ii (Eq. 9.9)."""
        return normal_log_prob(eps) - code.s[:, self.latent : 2 * self.latent].sum(1)

    def backward(
        self, dz: Array, dlog: Array | None, code: Code, eps: Array, work: Work
    ) -> Array:
        """See `Family`."""
        dmu, dL = correlate_backward(dz, eps)
        ds = np.hstack([dmu, cholesky_backward(dL, code.scale)])
        if dlog is not None:
            ds[:, self.latent : 2 * self.latent] -= dlog[:, None]
        return ds

    def moments(self, s: Array, work: Work) -> tuple[Array, Array]:
        """See `Family`."""
        L = cholesky_forward(s[:, self.latent :])
        return s[:, : self.latent], np.sqrt((L * L).sum(axis=2))


# ---- A point -------------------------------------------------------------------------


class Point:
    """No distribution: z = mu(x). The model is then an auto-encoder."""

    has_density = False

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.statistics = latent

    def shapes(self) -> Shapes:
        """See `Family`."""
        return {}

    def forward(self, s: Array, eps: Array, work: Work) -> Code:
        """z = s; eps is not read."""
        return Code(s, s, None, s)

    def log_prob(self, code: Code, eps: Array) -> Array:
        """Raises ValueError: a point has no density."""
        raise ValueError("point: found no density, expected another posterior")

    def backward(
        self, dz: Array, dlog: Array | None, code: Code, eps: Array, work: Work
    ) -> Array:
        """ds = dz."""
        return dz

    def moments(self, s: Array, work: Work) -> tuple[Array, Array]:
        """s, and zeros."""
        return s, np.zeros_like(s)


# ---- Heads: the statistics of h ------------------------------------------------------


class FromEncoder:
    """All statistics are outputs of the encoder."""

    def __init__(self, family: Family, latent: int) -> None:
        """For the statistics of `family`."""
        self.outputs = family.statistics

    def shapes(self) -> Shapes:
        """No parameters of its own."""
        return {}

    def forward(self, h: Array, params: Mapping[str, Array]) -> Array:
        """s = h."""
        return h

    def backward(self, ds: Array, grads: Mapping[str, Array]) -> Array:
        """dh = ds."""
        return ds


class SharedVariance:
    """mu comes from the encoder; one logvar, learned, is that of every x."""

    def __init__(self, family: Family, latent: int) -> None:
        """For Z = `latent`; ValueError for another family than a Diagonal."""
        _expect_diagonal(family)
        self.outputs = self.latent = latent

    def shapes(self) -> Shapes:
        """The logvar that is shared; it starts at 0."""
        return {"posterior.logvar": (self.latent,)}

    def forward(self, h: Array, params: Mapping[str, Array]) -> Array:
        """mu and, in each row the same, logvar: (B, Z) -> (B, 2 Z)."""
        return np.hstack([h, np.repeat(params["posterior.logvar"][None], len(h), 0)])

    def backward(self, ds: Array, grads: Mapping[str, Array]) -> Array:
        """dh; the shared variance gathers from all images."""
        grads["posterior.logvar"][...] = ds[:, self.latent :].sum(axis=0)
        return ds[:, : self.latent]


class FixedVariance:
    """mu comes from the encoder; sigma = 1/2 for every x."""

    LOGVAR = math.log(0.25)

    def __init__(self, family: Family, latent: int) -> None:
        """For Z = `latent`; ValueError for another family than a Diagonal."""
        _expect_diagonal(family)
        self.outputs = self.latent = latent

    def shapes(self) -> Shapes:
        """No parameters of its own."""
        return {}

    def forward(self, h: Array, params: Mapping[str, Array]) -> Array:
        """mu and a constant: (B, Z) -> (B, 2 Z)."""
        return np.hstack([h, np.full_like(h, self.LOGVAR)])

    def backward(self, ds: Array, grads: Mapping[str, Array]) -> Array:
        """dh."""
        return ds[:, : self.latent]


def _expect_diagonal(family: Family) -> None:
    if not isinstance(family, Diagonal):
        raise ValueError(f"posterior: found {family}, expected a Diagonal family")


Head = FromEncoder | SharedVariance | FixedVariance

# ---- Which there are -----------------------------------------------------------------


@dataclass(frozen=True)
class Posterior:
    """A kind of posterior: a family, and where its statistics come from."""

    name: str
    family: type[Family]
    equations: str  # where it is derived
    head: type[Head] = FromEncoder


POSTERIORS: Registry[Posterior] = Registry()
POSTERIORS.add(Posterior("diagonal", Diagonal, "9.1 to 9.4, 9.9"))
POSTERIORS.add(Posterior("shared", Diagonal, "9.1 to 9.4, 9.9", SharedVariance))
POSTERIORS.add(Posterior("fixed", Diagonal, "9.1 to 9.4, 9.9", FixedVariance))
POSTERIORS.add(Posterior("full", Full, "9.5 to 9.9"))
POSTERIORS.add(Posterior("point", Point, ""))
