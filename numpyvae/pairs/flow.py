"""The posterior "flow": a Gaussian bent by inverse autoregressive steps.

Written to be read beside lesson 9. After Kingma et al. (2016), with conditioners that
are linear in z: what bends the density of an x are its own contexts a and c, what turns
it are matrices learned for all x.

Shapes: B batch, Z latents, T = Z (Z - 1) / 2 entries of a triangle without diagonal.
The dtype that comes in goes out. Units: nats.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .activations import sigmoid_forward, softplus_forward
from .posteriors import (
    POSTERIORS,
    Code,
    Posterior,
    normal_log_prob,
    reparameterize_backward,
    reparameterize_forward,
    sigma_backward,
    sigma_forward,
)
from .types import Array, Shapes
from .work import Work

# What a gate is before it has learned: sigmoid(2) = 0.88. At 0 each step would halve z,
# and four would leave a sixteenth of the encoder's own code.
OPEN = 2.0


def triangle_forward(entries: Array, latent: int) -> Array:
    """A strictly upper triangular matrix, row by row from its entries (Eq. 9.20).

    Shapes: (T,) -> (Z, Z), Z = `latent`.
    """
    M = np.zeros_like(entries, shape=(latent, latent))
    M[np.triu_indices(latent, 1)] = entries
    return M


def triangle_backward(dM: Array) -> Array:
    """dentries: dM_ij above the diagonal; the rest is not read (Eq. 9.20).

    Shapes: (Z, Z) -> (T,).
    """
    return dM[np.triu_indices(len(dM), 1)]


def iaf_forward(
    z: Array, M: Array, G: Array, a: Array, c: Array
) -> tuple[Array, Array, Array, Array]:
    """A step z' = g z + (1 - g) m, m = z M + a, g = sigmoid(z G + c + 2) (Eq. 9.20).

    M and G are triangular without a diagonal: entry j of m and g depends on z_i with
    i < j alone (i > j for lower triangles). So the step's Jacobian is a triangle with g
    on its diagonal. Shapes: z, a, c (B, Z), M, G (Z, Z) -> z' (B, Z), log|det| (B,)
    (Eq. 9.21), m and g (B, Z).
    """
    m, gate = z @ M + a, z @ G + c + OPEN
    g = sigmoid_forward(gate)
    return m + g * (z - m), -softplus_forward(-gate).sum(axis=1), m, g


def iaf_backward(
    d: tuple[Array, Array], z: Array, M: Array, G: Array, m: Array, g: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """dz, dM, dG, da, dc from d, which are dz' and dlog|det| (Eq. 9.22).

    Shapes: dz', z, m, g (B, Z), dlog|det| (B,), M, G (Z, Z) -> as z, M, G, a, c. dM and
    dG are full squares, of which the triangles are to be taken.
    """
    dnext, dlogdet = d
    dm = dnext * (1 - g)
    dgate = (dnext * (z - m) * g + dlogdet[:, None]) * (1 - g)
    dz = dnext * g + dm @ M.T + dgate @ G.T
    return dz, z.T @ dm, z.T @ dgate, dm, dgate


class Step(NamedTuple):
    """What one step saw and made."""

    z: Array  # (B, Z) before it
    M: Array  # (Z, Z)
    G: Array
    m: Array  # (B, Z)
    g: Array
    logdet: Array  # (B,)


class Flow:
    """z_0 = mu + sigma eps, then four steps, each second one from the last latent on.

    s holds mu, logvar and the contexts a_1, c_1, ..., a_4, c_4. The matrices are
    learned and begin at 0: the model begins with a diagonal covariance.
    """

    has_density = True
    STEPS = 4

    def __init__(self, latent: int) -> None:
        """For Z = `latent`."""
        self.latent, self.statistics = latent, 2 * latent * (1 + self.STEPS)

    def shapes(self) -> Shapes:
        """The entries of M and G of each step; none where there is one latent."""
        T = self.latent * (self.latent - 1) // 2
        steps = range(self.STEPS) if T else ()
        return {f"posterior.{k}.{name}": (T,) for k in steps for name in "MG"}

    def _matrix(self, k: int, name: str, s: Array, work: Work) -> Array:
        """M or G of step k, which are upper triangular in even steps, else lower."""
        if self.latent == 1:
            return np.zeros_like(s, shape=(1, 1))
        entries = work.params[f"posterior.{k}.{name}"]
        M = triangle_forward(entries, self.latent)
        return M.T if k % 2 else M

    def forward(self, s: Array, eps: Array, work: Work) -> Code:
        """See `Family` (Eq. 9.19)."""
        mu, logvar, *contexts = self._parts(s)
        sigma = sigma_forward(logvar)
        z, steps = reparameterize_forward(mu, sigma, eps), []
        for k in range(self.STEPS):
            M, G = (self._matrix(k, name, s, work) for name in "MG")
            a, c = contexts[2 * k : 2 * k + 2]
            after, logdet, m, g = iaf_forward(z, M, G, a, c)
            steps.append(Step(z, M, G, m, g, logdet))
            z = after
        return Code(s, mu, (sigma, steps), z)

    def log_prob(self, code: Code, eps: Array) -> Array:
        """log N(eps) less all log|det|, of mu + sigma eps and the steps (Eq. 9.19)."""
        log_q = normal_log_prob(eps) - self._parts(code.s)[1].sum(axis=1) / 2
        for step in code.scale[1]:
            log_q = log_q - step.logdet
        return log_q

    def backward(
        self, dz: Array, dlog: Array | None, code: Code, eps: Array, work: Work
    ) -> Array:
        """See `Family` (Eq. 9.22): the steps from the last to the first."""
        sigma, steps = code.scale
        ds = work.arrays["ds", code.s.shape, code.s.dtype]
        dmu, dlogvar, *dcontexts = self._parts(ds)
        dlogdet = np.zeros_like(dz[:, 0]) if dlog is None else -dlog
        for k, step in reversed([*enumerate(steps)]):
            z, M, G, m, g, _ = step
            dz, dM, dG, da, dc = iaf_backward((dz, dlogdet), z, M, G, m, g)
            dcontexts[2 * k][...], dcontexts[2 * k + 1][...] = da, dc
            for name, dsquare in (("M", dM), ("G", dG)):
                if self.latent > 1:
                    entries = triangle_backward(dsquare.T if k % 2 else dsquare)
                    work.grads[f"posterior.{k}.{name}"][...] = entries
        dmu[...], dsigma = reparameterize_backward(dz, eps)
        dlogvar[...] = sigma_backward(dsigma, sigma) + dlogdet[:, None] / 2
        return ds

    def moments(self, s: Array, work: Work) -> tuple[Array, Array]:
        """See `Family`: those of z at the 2 Z points eps = +-sqrt(Z) e_i (Eq. 9.23).

        They have the mean and the covariance of eps, and that is exact as long as z is
        affine in eps, as it is while the matrices are 0.
        """
        points = np.sqrt(self.latent) * np.eye(self.latent)
        zs = [
            self.forward(s, np.repeat(point[None].astype(s.dtype), len(s), 0), work).z
            for point in (*points, *-points)
        ]
        return np.mean(zs, axis=0), np.std(zs, axis=0)

    def _parts(self, s: Array) -> list[Array]:
        """Views of s (B, S), Z columns each: mu, logvar, a_1, c_1, a_2, ..."""
        Z = self.latent
        return [s[:, i : i + Z] for i in range(0, self.statistics, Z)]


POSTERIORS.add(Posterior("flow", Flow, equations="9.19 to 9.22"))
