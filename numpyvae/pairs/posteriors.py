"""The posterior q(z|x): from the encoder's outputs h to a code z and its KL.

One interface for all: the encoder gives `outputs` numbers, `forward` draws z with an
eps from outside, `kl` and `logdet` say what z costs, in nats. Each has its backward.
The functions are those of pairs/gaussian.py; here they are only put together.

Shapes: B batch, Z latents, E outputs of the encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .dense import Array


class Code(NamedTuple):
    """What a posterior made of h and eps."""

    mu: Array  # (B, Z)
    spread: Any  # logvar (B, Z), or the entries of a Cholesky factor (B, T)
    scale: Any  # sigma (B, Z), or L (B, Z, Z)
    z: Array  # (B, Z)


class Diagonal:
    """N(mu(x), diag(sigma(x)^2)): h holds mu and logvar."""

    name = "diagonal"

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent = latent
        self.outputs = 2 * latent
        self.learned: dict[str, tuple[int, ...]] = {}

    def statistics(self, h: Array, params: Mapping[str, Array]) -> tuple[Array, Array]:
        """mu (B, Z) and logvar, which broadcasts to it."""
        return h[:, : self.latent], h[:, self.latent :]

    def forward(
        self, h: Array, eps: Array, params: Mapping[str, Array], f: SimpleNamespace
    ) -> Code:
        """A sample z = mu + sigma eps; h (B, E), eps (B, Z)."""
        mu, logvar = self.statistics(h, params)
        sigma = f.sigma_forward(logvar)
        return Code(mu, logvar, sigma, f.reparameterize_forward(mu, sigma, eps))

    def backward(
        self, dz: Array, eps: Array, code: Code, f: SimpleNamespace
    ) -> tuple[Array, Array]:
        """dmu and dlogvar of `forward`, from dz."""
        dmu, dsigma = f.reparameterize_backward(dz, eps)
        return dmu, f.sigma_backward(dsigma, code.scale)

    def kl_forward(self, code: Code, f: SimpleNamespace) -> Array:
        """KL(q(z|x) || N(0, I)) by its formula (B,)."""
        return f.kl_forward(code.mu, code.spread)

    def kl_backward(
        self, dkl: Array, code: Code, f: SimpleNamespace
    ) -> tuple[Array, Array]:
        """dmu and dlogvar of `kl_forward`."""
        return f.kl_backward(dkl, code.mu, code.spread)

    def logdet_forward(self, code: Code) -> Array:
        """log|det dz/deps| (B,), the sum of log sigma (Eq. 9.9)."""
        return code.spread.sum(axis=1) / 2

    def logdet_backward(self, dlogdet: Array, code: Code) -> Array:
        """dlogvar of `logdet_forward`."""
        return np.repeat(dlogdet[:, None] / 2, self.latent, axis=1)

    def gather(
        self, dmu: Array, dspread: Array, grads: Mapping[str, Array], out: Array
    ) -> Array:
        """dh (B, E) into `out`; overwrites the `grads` of parameters of its own."""
        out[:, : self.latent] = dmu
        out[:, self.latent :] = dspread
        return out

    def deviations(self, code: Code) -> Array:
        """The standard deviation of each latent (B, Z)."""
        return code.scale


class Shared(Diagonal):
    """N(mu(x), diag(sigma^2)), sigma being learned and the same for every x."""

    name = "shared"

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent = self.outputs = latent
        self.learned = {"posterior.logvar": (latent,)}

    def statistics(self, h: Array, params: Mapping[str, Array]) -> tuple[Array, Array]:
        """mu (B, Z) and logvar (B, Z), each of whose rows is the same."""
        return h, np.repeat(params["posterior.logvar"][None], len(h), axis=0)

    def gather(
        self, dmu: Array, dspread: Array, grads: Mapping[str, Array], out: Array
    ) -> Array:
        """dh (B, E) into `out`; the shared variance gathers from all images."""
        grads["posterior.logvar"][...] = dspread.sum(axis=0)
        out[...] = dmu
        return out


class Fixed(Diagonal):
    """N(mu(x), sigma^2 I) with sigma = 1/2 for every x."""

    name = "fixed"
    LOGVAR = np.log(0.25)

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent = self.outputs = latent
        self.learned = {}

    def statistics(self, h: Array, params: Mapping[str, Array]) -> tuple[Array, Array]:
        """mu (B, Z) and logvar (B, Z), all of it the same."""
        return h, np.full_like(h, self.LOGVAR)

    def gather(
        self, dmu: Array, dspread: Array, grads: Mapping[str, Array], out: Array
    ) -> Array:
        """dh (B, E) into `out`."""
        out[...] = dmu
        return out


class Full(Diagonal):
    """N(mu(x), L(x) L(x)^T): h holds mu and the entries of the Cholesky factor L."""

    name = "full"

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent = latent
        self.outputs = latent + latent * (latent + 1) // 2
        self.learned = {}

    def forward(
        self, h: Array, eps: Array, params: Mapping[str, Array], f: SimpleNamespace
    ) -> Code:
        """A sample z = mu + L eps; h (B, E), eps (B, Z)."""
        mu, entries = self.statistics(h, params)
        L = f.cholesky_forward(entries)
        return Code(mu, entries, L, f.correlate_forward(mu, L, eps))

    def backward(
        self, dz: Array, eps: Array, code: Code, f: SimpleNamespace
    ) -> tuple[Array, Array]:
        """dmu and dentries of `forward`, from dz."""
        dmu, dL = f.correlate_backward(dz, eps)
        return dmu, f.cholesky_backward(dL, code.scale)

    def kl_forward(self, code: Code, f: SimpleNamespace) -> Array:
        """KL(q(z|x) || N(0, I)) by its formula (B,)."""
        return f.full_kl_forward(code.mu, code.scale)

    def kl_backward(
        self, dkl: Array, code: Code, f: SimpleNamespace
    ) -> tuple[Array, Array]:
        """dmu and dentries of `kl_forward`."""
        dmu, dL = f.full_kl_backward(dkl, code.mu, code.scale)
        return dmu, f.cholesky_backward(dL, code.scale)

    def logdet_forward(self, code: Code) -> Array:
        """log|det dz/deps| (B,), the sum of log L_ii (Eq. 9.9)."""
        return code.spread[:, : self.latent].sum(axis=1)

    def logdet_backward(self, dlogdet: Array, code: Code) -> Array:
        """dentries of `logdet_forward`."""
        dentries = np.zeros_like(code.spread)
        dentries[:, : self.latent] = dlogdet[:, None]
        return dentries

    def deviations(self, code: Code) -> Array:
        """The standard deviation of each latent (B, Z)."""
        return np.sqrt((code.scale * code.scale).sum(axis=2))


class Point(Diagonal):
    """No distribution: z = mu(x), at no cost. The model is then an auto-encoder."""

    name = "point"

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent = self.outputs = latent
        self.learned = {}

    def forward(
        self, h: Array, eps: Array, params: Mapping[str, Array], f: SimpleNamespace
    ) -> Code:
        """z = h; eps is not read."""
        return Code(h, None, None, h)

    def backward(
        self, dz: Array, eps: Array, code: Code, f: SimpleNamespace
    ) -> tuple[Array, Array]:
        """dmu = dz."""
        return dz, np.zeros_like(dz)

    def kl_forward(self, code: Code, f: SimpleNamespace) -> Array:
        """Zeros (B,)."""
        return np.zeros(len(code.mu), code.mu.dtype)

    def kl_backward(
        self, dkl: Array, code: Code, f: SimpleNamespace
    ) -> tuple[Array, Array]:
        """Zeros."""
        return np.zeros_like(code.mu), np.zeros_like(code.mu)

    def gather(
        self, dmu: Array, dspread: Array, grads: Mapping[str, Array], out: Array
    ) -> Array:
        """dh (B, E) into `out`."""
        out[...] = dmu
        return out

    def deviations(self, code: Code) -> Array:
        """Zeros (B, Z)."""
        return np.zeros_like(code.mu)


POSTERIORS = {p.name: p for p in (Diagonal, Shared, Fixed, Full, Point)}
Posterior = Diagonal
