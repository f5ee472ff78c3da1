"""The priors "mixture" and "vamp": many Gaussians in place of one.

Written to be read beside lesson 13. A mixture may have components of its own, or those
that the encoder makes of learned pseudo-images (VampPrior; Tomczak & Welling 2018).
The best prior for an encoder is the mean of its posteriors, which the second imitates.

Shapes: B codes, Z latents, K components, D pixels. The dtype that comes in goes out.
Units: nats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .activations import sigmoid_backward, sigmoid_forward
from .posteriors import LOG_2PI, Diagonal
from .priors import NONE, PRIORS, Grads, Parts
from .reference import Reference
from .types import Array, Shapes
from .work import Arrays, Work

COMPONENTS = 50  # K


def log_softmax(logits: Array) -> Array:
    """log pi, for weights pi that add up to 1 (Eq. 13.12); (K,) -> (K,)."""
    low = logits - logits.real.max()
    return low - np.log(np.exp(low).sum())


def mixture_forward(
    z: Array, mu: Array, logvar: Array, logits: Array
) -> tuple[Array, Array]:
    """-log sum_k pi_k N(z; mu_k, diag(exp(logvar_k))) of each row (Eq. 13.13).

    Also the responsibilities r: the share of each component in that sum (Eq. 13.14).
    Shapes: z (B, Z), mu, logvar (K, Z), logits (K,) -> (B,), r (B, K).
    """
    off = z[:, None] - mu  # expanding the square would cancel digits
    squares = (off * off * np.exp(-logvar)).sum(axis=2)
    logs = log_softmax(logits) - (squares + (logvar + LOG_2PI).sum(axis=1)) / 2
    peak = logs.real.max(axis=1)[:, None]
    shares = np.exp(logs - peak)
    total = shares.sum(axis=1)
    return -np.log(total) - peak[:, 0], shares / total[:, None]


def mixture_backward(
    dnll: Array, z: Array, mu: Array, logvar: Array, logits: Array, r: Array
) -> tuple[Array, Array, Array, Array]:
    """dz, dmu, dlogvar, dlogits from dnll (B,) (Eq. 13.15).

    Shapes: z (B, Z), mu, logvar (K, Z), logits (K,), r (B, K) -> as the arguments.
    """
    w = dnll[:, None] * r
    off, precision = z[:, None] - mu, np.exp(-logvar)
    pull = w[:, :, None] * off * precision
    dlogvar = (w[:, :, None] - pull * off).sum(axis=0) / 2
    dlogits = np.exp(log_softmax(logits)) * dnll.sum() - w.sum(axis=0)
    return pull.sum(axis=1), -pull.sum(axis=0), dlogvar, dlogits


class Components(NamedTuple):
    """The Gaussians of a mixture."""

    mu: Array  # (K, Z)
    logvar: Array  # (K, Z)
    logits: Array  # (K,)

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Codes (count, Z): a component by its weight, then from it."""
        pi = np.exp(log_softmax(self.logits.astype(np.float64)))
        k = rng.choice(len(pi), count, p=pi)
        sigma = np.exp(self.logvar[k] / 2)
        return self.mu[k] + sigma * rng.standard_normal(sigma.shape)

    def moments(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each latent (Eq. 13.16)."""
        pi = np.exp(log_softmax(self.logits))
        mean = pi @ self.mu
        off = self.mu - mean
        return mean, np.sqrt(pi @ (np.exp(self.logvar) + off * off))


# ---- Components of its own -----------------------------------------------------------


class Mixture:
    """50 diagonal Gaussians with learned means, variances and weights."""

    name, noise, equations = "mixture", 0, "13.12 to 13.15"
    takes_top = False
    about = f"a mixture of {COMPONENTS} Gaussians"

    def __init__(self, parts: Parts) -> None:
        """For the model's Z."""
        self.latent = parts.latent

    def shapes(self) -> Shapes:
        """The components, in the order of `Components`."""
        square = (COMPONENTS, self.latent)
        return {
            "prior.mu": square,
            "prior.logvar": square,
            "prior.logits": (COMPONENTS,),
        }

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """Means from N(0, I), so that components differ; the others are 0."""
        params["prior.mu"][...] = rng.standard_normal((COMPONENTS, self.latent))
        params["prior.logvar"][...] = 0
        params["prior.logits"][...] = 0

    def _components(self, work: Work) -> Components:
        return Components(*(work.params[name] for name in self.shapes()))

    def forward(self, z: Array, eps: Array, work: Work) -> tuple[Array, Any]:
        """See `Prior`."""
        return mixture_forward(z, *self._components(work))

    def backward(
        self, dnll: Array, z: Array, kept: Any, eps: Array, work: Work
    ) -> tuple[Array, Grads]:
        """See `Prior`."""
        dz, *grads = mixture_backward(dnll, z, *self._components(work), kept)
        for name, grad in zip(self.shapes(), grads, strict=True):
            work.grads[name][...] = grad
        return dz, NONE

    def sample(self, count: int, rng: np.random.Generator, work: Work) -> Array:
        """See `Prior`."""
        return self._components(work).sample(count, rng)

    def moments(self, work: Work) -> tuple[Array, Array]:
        """See `Prior`."""
        return self._components(work).moments()


# ---- Components that the encoder makes -----------------------------------------------


class Renamed:
    """Work arrays under names of their own."""

    def __init__(self, arrays: Arrays) -> None:
        """For a pass beside another whose arrays are still needed."""
        self.arrays = arrays

    def __getitem__(self, key: tuple[str, tuple[int, ...], DTypeLike]) -> Array:
        """See `Arrays`."""
        name, shape, dtype = key
        return self.arrays[f"apart: {name}", shape, dtype]


class Apart(NamedTuple):
    """A second pass through a network whose first is still needed: a `Work`."""

    params: Mapping[str, Array]
    grads: Mapping[str, Array]
    arrays: Arrays
    code: Reference


class Vamp:
    """The mean of q(z|u_k) over 50 pseudo-images u_k, which are learned (Eq. 13.17).

    Pixels u = sigmoid(a) of free numbers a. They go through the model's own encoder.
    """

    name, noise, equations = "vamp", 0, "13.17, 13.18"
    takes_top = False
    about = f"the posteriors of {COMPONENTS} pseudo-images"

    def __init__(self, parts: Parts) -> None:
        """Raises ValueError unless q(z|u) is a diagonal Gaussian and asks no label."""
        if type(parts.family) is not Diagonal:
            raise ValueError(
                f"prior: found 'vamp' for the family {type(parts.family).__name__}, "
                "expected a posterior of the family Diagonal, such as 'diagonal'"
            )
        if parts.classes:
            raise ValueError(
                f"prior: found 'vamp' with {parts.classes} classes, expected none: its "
                "pseudo-images have no label"
            )
        self.pixels, self.latent = parts.pixels, parts.latent
        self.encoder, self.head = parts.encoder.with_dx(), parts.head

    def shapes(self) -> Shapes:
        """The pseudo-images, before the sigmoid."""
        return {"prior.inputs": (COMPONENTS, self.pixels)}

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """From N(0, 1): greys, so that components differ."""
        shape = COMPONENTS, self.pixels
        params["prior.inputs"][...] = rng.standard_normal(shape)

    def _encoded(self, work: Work) -> tuple[Array, Any, Components]:
        """The pseudo-images, the encoder's layers, and what comes out (Eq. 13.17)."""
        u, Z = sigmoid_forward(work.params["prior.inputs"]), self.latent
        hs = self.encoder.forward(u, self._apart(work, {}))
        s = self.head.forward(hs[-1].y, work.params)
        even = np.zeros_like(u, shape=COMPONENTS)
        return u, hs, Components(s[:, :Z], s[:, Z:], even)

    def _apart(self, work: Work, shapes: Shapes) -> Apart:
        """With gradients of these shapes, NaN until they are written."""
        arrays = Renamed(work.arrays)
        grads = {
            name: arrays[f"d {name}", shape, work.params[name].dtype]
            for name, shape in shapes.items()
        }
        for grad in grads.values():
            grad[...] = np.nan
        return Apart(work.params, grads, arrays, work.code)

    def forward(self, z: Array, eps: Array, work: Work) -> tuple[Array, Any]:
        """See `Prior`."""
        u, hs, components = self._encoded(work)
        nll, r = mixture_forward(z, *components)
        return nll, (u, hs, components, r)

    def backward(
        self, dnll: Array, z: Array, kept: Any, eps: Array, work: Work
    ) -> tuple[Array, Grads]:
        """See `Prior` (Eq. 13.18).

        The shared gradients are the encoder's and the head's.
        """
        u, hs, (mu, logvar, even), r = kept
        apart = self._apart(work, {**self.encoder.shapes(), **self.head.shapes()})
        dz, dmu, dlogvar, _ = mixture_backward(dnll, z, mu, logvar, even, r)
        dh = self.head.backward(np.hstack([dmu, dlogvar]), apart.grads)
        du = self.encoder.backward(dh, hs, apart)
        a, da = work.params["prior.inputs"], work.grads["prior.inputs"]
        da[...] = sigmoid_backward(du, a, u)
        return dz, apart.grads

    def sample(self, count: int, rng: np.random.Generator, work: Work) -> Array:
        """See `Prior`."""
        return self._encoded(work)[2].sample(count, rng)

    def moments(self, work: Work) -> tuple[Array, Array]:
        """See `Prior`."""
        return self._encoded(work)[2].moments()


PRIORS.add(Mixture)
PRIORS.add(Vamp)
