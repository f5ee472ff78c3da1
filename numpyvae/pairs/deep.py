"""A second layer of latents: a prior p(z) that is a VAE of codes itself.

Written to be read beside lesson 15. A code z comes from latents u of its own: u is
drawn from N(0, I), then z from N(m(u), diag(t(u)^2)). What -log p(z) would be is an
integral over u; it is bounded at one u from q(u|z), as log p(x) is by the ELBO. The two
bounds add up, and so do all gradients of z.

Shapes: B codes, Z latents, U latents of the second layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .likelihoods import gaussian_backward, gaussian_forward
from .posteriors import Code, Diagonal
from .priors import (
    NONE,
    PRIORS,
    Grads,
    Parts,
    standard_normal_backward,
    standard_normal_forward,
)
from .types import Array, Shapes
from .work import Traced, Work


class Kept(NamedTuple):
    """What `Deep.backward` needs of the pass."""

    hs: Sequence[Traced]  # of the encoder q(u|z)
    code: Code  # of u
    gs: Sequence[Traced]  # of the decoder p(z|u)


class Deep:
    """p(z) = E[N(z; m(u), diag(t(u)^2))] over u from N(0, I) (Eq. 15.15)."""

    name, equations, takes_top = "deep", "15.15 to 15.17", True

    def __init__(self, parts: Parts) -> None:
        """For the model's Z, with hidden layers and then U from its `top`.

        Raises ValueError without them.
        """
        if not parts.top:
            raise ValueError(
                "top: found no widths with the prior 'deep', expected those of the "
                "second layer's hidden layers and, last, its latents, such as 100 50"
            )
        *hidden, self.noise = parts.top
        self.latent, self.family = parts.latent, Diagonal(self.noise)
        inward = (parts.latent, *hidden, 2 * self.noise)
        outward = (self.noise, *reversed(hidden), 2 * parts.latent)
        self.encoder = parts.network("prior.encoder", inward)
        self.decoder = parts.network("prior.decoder", outward)
        self.about = f"a second layer of {self.noise} latents"

    def shapes(self) -> Shapes:
        """See `Prior`."""
        return {**self.encoder.shapes(), **self.decoder.shapes()}

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """See `Prior`."""
        self.encoder.initialise(params, rng)
        self.decoder.initialise(params, rng)

    def forward(self, z: Array, eps: Array, work: Work) -> tuple[Array, Kept]:
        """-log p(z|u) + log q(u|z) - log p(u) at u = mu + sigma eps (Eq. 15.16)."""
        hs = self.encoder.forward(z, work)
        code = self.family.forward(hs[-1].y, eps, work)
        gs = self.decoder.forward(code.z, work)
        mean, logvar = self._halves(gs[-1].y)
        nll = gaussian_forward(mean, logvar, z)
        nll = nll + self.family.log_prob(code, eps) + standard_normal_forward(code.z)
        return nll, Kept(hs, code, gs)

    def backward(
        self, dnll: Array, z: Array, kept: Kept, eps: Array, work: Work
    ) -> tuple[Array, Grads]:
        """The calls of `forward`, mirrored; z has gone two ways (Eq. 15.17)."""
        hs, code, gs = kept
        mean, logvar = self._halves(gs[-1].y)
        dmean, dlogvar = gaussian_backward(dnll, mean, logvar, z)
        du = self.decoder.backward(np.hstack([dmean, dlogvar]), gs, work)
        du = du + standard_normal_backward(dnll, code.z)
        ds = self.family.backward(du, dnll, code, eps, work)
        dz = self.encoder.backward(ds, hs, work)
        return dz - dmean, NONE  # z and the mean meet in their difference alone

    def sample(self, count: int, rng: np.random.Generator, work: Work) -> Array:
        """u from N(0, I), and z from p(z|u)."""
        kind = work.params["prior.decoder.0.W"].dtype
        u = rng.standard_normal((count, self.noise)).astype(kind)
        mean, logvar = self._halves(self.decoder.forward(u, work)[-1].y)
        return mean + np.exp(logvar / 2) * rng.standard_normal((count, self.latent))

    def moments(self, work: Work) -> tuple[Array, Array]:
        """Of z at the 2 U points +-sqrt(U) e_i, with the moments of N(0, I) (Eq. 9.23).

        Exact where m is affine in u.
        """
        kind = work.params["prior.decoder.0.W"].dtype
        u = np.sqrt(self.noise) * np.vstack([np.eye(self.noise), -np.eye(self.noise)])
        out = self.decoder.forward(u.astype(kind), work)[-1].y
        mean, logvar = self._halves(out)
        variance = mean.var(axis=0) + np.exp(logvar).mean(axis=0)
        return mean.mean(axis=0), np.sqrt(variance)

    def _halves(self, out: Array) -> tuple[Array, Array]:
        return out[:, : self.latent], out[:, self.latent :]


PRIORS.add(Deep)
