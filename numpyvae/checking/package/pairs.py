"""The pairs of pairs/ but for the convolutions, one by one.

Shapes: B batch, N inputs, M outputs, D pixels, Z latents, K samples.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ...kernels.active_pixels import active_pixels
from ...kernels.backends import compiled
from ...pairs.dense import ACTIVATIONS, Array
from ...pairs.objectives import Elbo, Iwae
from .tracked import suited
from .trials import Subject, Trial, normal, sizes

# ---- The dense layer -----------------------------------------------------------------


def _dense(activation: str) -> Subject:
    def draw(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
        B, N, M = sizes(rng, 3)

        def forward(x: Array, W: Array, b: Array) -> Array:
            return f.dense_forward(x, W, b, activation)

        def backward(dy: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
            return f.dense_backward(dy, x, forward(x, W, b), W, activation)

        args = normal(rng, B, N), normal(rng, N, M), normal(rng, M)
        return Trial(forward, backward, args, ("x", "W", "b"))

    return Subject(f"dense, {activation}", "2.1 to 2.7", draw, has_twin=True)


def _dense_on_data(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, N, M = sizes(rng, 3)
    activation = str(rng.choice(ACTIVATIONS))
    bits = (rng.random((B, N)) < 0.3).astype(np.uint8)
    x = active_pixels(bits) if f is compiled else bits.astype(float)

    def forward(W: Array, b: Array) -> Array:
        return f.dense_forward(x, W, b, activation)

    def backward(dy: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return f.dense_backward_weights(dy, x, forward(W, b), activation)

    return Trial(forward, backward, (normal(rng, N, M), normal(rng, M)), ("W", "b"))


# ---- The posterior -------------------------------------------------------------------


def _sigma(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    def backward(dsigma: Array, logvar: Array) -> Array:
        return f.sigma_backward(dsigma, f.sigma_forward(logvar))

    args = (normal(rng, *sizes(rng, 2)),)
    return Trial(f.sigma_forward, backward, args, ("logvar",))


def _reparameterize(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = sizes(rng, 2)
    eps = normal(rng, B, Z)

    def forward(mu: Array, sigma: Array) -> Array:
        return f.reparameterize_forward(mu, sigma, eps)

    def backward(dz: Array, mu: Array, sigma: Array) -> tuple[Array, ...]:
        return f.reparameterize_backward(dz, eps)

    args = normal(rng, B, Z), np.exp(normal(rng, B, Z))
    return Trial(forward, backward, args, ("mu", "sigma"))


def _kl(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = sizes(rng, 2)
    args = normal(rng, B, Z), normal(rng, B, Z)
    return Trial(f.kl_forward, f.kl_backward, args, ("mu", "logvar"))


def _cholesky(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = sizes(rng, 2)

    def backward(dL: Array, entries: Array) -> Array:
        return f.cholesky_backward(dL, f.cholesky_forward(entries))

    args = (normal(rng, B, Z * (Z + 1) // 2),)
    return Trial(f.cholesky_forward, backward, args, ("entries",))


def _correlate(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = sizes(rng, 2)
    eps = normal(rng, B, Z)

    def forward(mu: Array, L: Array) -> Array:
        return f.correlate_forward(mu, L, eps)

    def backward(dz: Array, mu: Array, L: Array) -> tuple[Array, ...]:
        return f.correlate_backward(dz, eps)

    args = normal(rng, B, Z), normal(rng, B, Z, Z)
    return Trial(forward, backward, args, ("mu", "L"))


def _full_kl(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    """As a function of L's entries: a step of differences keeps its diagonal > 0."""
    B, Z = sizes(rng, 2)

    def forward(mu: Array, entries: Array) -> Array:
        return f.full_kl_forward(mu, f.cholesky_forward(entries))

    def backward(dkl: Array, mu: Array, entries: Array) -> tuple[Array, Array]:
        L = f.cholesky_forward(entries)
        dmu, dL = f.full_kl_backward(dkl, mu, L)
        return dmu, f.cholesky_backward(dL, L)

    args = normal(rng, B, Z), normal(rng, B, Z * (Z + 1) // 2)
    return Trial(forward, backward, args, ("mu", "entries"))


def _sampled_kl(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = sizes(rng, 2)
    eps = normal(rng, B, Z)

    def forward(z: Array, logdet: Array) -> Array:
        return f.sampled_kl_forward(z, eps, logdet)

    def backward(dkl: Array, z: Array, logdet: Array) -> tuple[Array, ...]:
        return f.sampled_kl_backward(dkl, z)

    args = normal(rng, B, Z), normal(rng, B)
    return Trial(forward, backward, args, ("z", "logdet"))


# ---- The likelihood ------------------------------------------------------------------


def _bernoulli(binary: bool) -> Subject:
    def draw(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
        B, D = sizes(rng, 2)
        x: Any = normal(rng, B, D) ** 2 % 1
        if binary:
            bits = (x < 0.3).astype(np.uint8)
            x = active_pixels(bits) if f is compiled else bits.astype(float)

        def forward(logits: Array) -> Array:
            return f.bernoulli_forward(logits, x)[0]

        def backward(dnll: Array, logits: Array) -> Array:
            return f.bernoulli_backward(dnll, f.bernoulli_forward(logits, x)[1], x)

        return Trial(forward, backward, (4 * normal(rng, B, D),), ("logits",))

    kind = "binary" if binary else "grey"
    return Subject(f"Bernoulli, {kind} x", "11.2, 11.3", draw, has_twin=True)


def _continuous_bernoulli(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, D = sizes(rng, 2)
    x = rng.random((B, D))

    def forward(logits: Array) -> Array:
        return f.continuous_bernoulli_forward(logits, x)[0]

    def backward(dnll: Array, logits: Array) -> Array:
        mean = suited(f, logits).continuous_bernoulli_forward(logits, x)[1]
        return f.continuous_bernoulli_backward(dnll, mean, x)

    # From the series around 0 to where the mean is 0 or 1.
    logits = normal(rng, B, D) * 10.0 ** rng.integers(-3, 2, (B, D))
    return Trial(forward, backward, (logits,), ("logits",))


def _isotropic(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, D = sizes(rng, 2)
    x = normal(rng, B, D)

    def forward(mean: Array, logvar: Array) -> Array:
        return f.isotropic_forward(mean, logvar, x)

    def backward(dnll: Array, mean: Array, logvar: Array) -> tuple[Array, ...]:
        return f.isotropic_backward(dnll, mean, logvar, x)

    args = normal(rng, B, D), normal(rng, 1)
    return Trial(forward, backward, args, ("mean", "logvar"))


def _gaussian(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, D = sizes(rng, 2)
    x = normal(rng, B, D)

    def forward(mean: Array, logvar: Array) -> Array:
        return f.gaussian_forward(mean, logvar, x)

    def backward(dnll: Array, mean: Array, logvar: Array) -> tuple[Array, ...]:
        return f.gaussian_backward(dnll, mean, logvar, x)

    args = normal(rng, B, D), normal(rng, B, D)
    return Trial(forward, backward, args, ("mean", "logvar"))


# ---- The objective -------------------------------------------------------------------


def _objective(importance_weighted: bool) -> Subject:
    def draw(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
        B, K = sizes(rng, 2)
        objective = Iwae(K) if importance_weighted else Elbo(rng.uniform(0, 2), K)

        def forward(recon: Array, kl: Array) -> Array:
            return objective.forward(recon, kl)[0]

        def backward(dloss: Array, recon: Array, kl: Array) -> tuple[Array, Array]:
            return objective.backward(dloss, objective.forward(recon, kl)[1])

        args = 3 * normal(rng, B, K), 3 * normal(rng, B, K)
        return Trial(forward, backward, args, ("recon", "kl"))

    if importance_weighted:
        return Subject("importance weights", "15.3, 15.4", draw, has_twin=False)
    return Subject("ELBO of K samples", "10.1, 10.3", draw, has_twin=False)


SUBJECTS = (
    *map(_dense, ACTIVATIONS),
    Subject("dense, on binary data", "2.1 to 2.4", _dense_on_data, has_twin=True),
    Subject("sigma", "9.1, 9.2", _sigma, has_twin=False),
    Subject("reparameterization", "9.3, 9.4", _reparameterize, has_twin=False),
    Subject("KL to N(0, I)", "8.4, 8.5", _kl, has_twin=False),
    Subject("Cholesky factor", "9.5, 9.6", _cholesky, has_twin=False),
    Subject("correlated sample", "9.7, 9.8", _correlate, has_twin=False),
    Subject("KL, full covariance", "8.6, 8.7", _full_kl, has_twin=False),
    Subject("KL at one sample", "9.10, 9.11", _sampled_kl, has_twin=False),
    _bernoulli(binary=True),
    _bernoulli(binary=False),
    Subject("continuous Bernoulli", "11.10, 11.12", _continuous_bernoulli, False),
    Subject("Gaussian, one variance", "11.7 to 11.9", _isotropic, has_twin=False),
    Subject("Gaussian likelihood", "11.4 to 11.6", _gaussian, has_twin=False),
    _objective(importance_weighted=False),
    _objective(importance_weighted=True),
)
