"""The pairs that are no part of their own: dense layers, objectives.

Shapes: B batch, N inputs, M outputs, K samples.
"""

from __future__ import annotations

import numpy as np

from ...kernels.active_pixels import active_pixels
from ...kernels.backends import compiled
from ...pairs.objectives import Elbo, Iwae
from ...pairs.reference import Reference
from ...pairs.types import Array, Input
from .trials import Subject, Trial, code_for, normal, sizes


def _dense(rng: np.random.Generator, code: Reference) -> Trial:
    B, N, M = sizes(rng, 3)

    def forward(x: Array, W: Array, b: Array) -> Array:
        return code_for(code, W).dense_forward(x, W, b)

    def backward(da: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return code_for(code, W).dense_backward(da, x, W)

    args = normal(rng, B, N), normal(rng, N, M), normal(rng, M)
    return Trial(forward, backward, args, ("x", "W", "b"))


def _dense_on_data(rng: np.random.Generator, code: Reference) -> Trial:
    B, N, M = sizes(rng, 3)
    bits = (rng.random((B, N)) < 0.3).astype(np.uint8)
    x: Input = active_pixels(bits) if code is compiled else bits.astype(float)

    def forward(W: Array, b: Array) -> Array:
        return code_for(code, W).dense_forward(x, W, b)

    def backward(da: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return code_for(code, W).dense_backward_weights(da, x)

    return Trial(forward, backward, (normal(rng, N, M), normal(rng, M)), ("W", "b"))


def _elbo(rng: np.random.Generator, code: Reference) -> Trial:
    B, K = sizes(rng, 2)
    return _objective(rng, Elbo(rng.uniform(0, 2), K), B)


def _iwae(rng: np.random.Generator, code: Reference) -> Trial:
    B, K = sizes(rng, 2)
    return _objective(rng, Iwae(K), B)


def _objective(rng: np.random.Generator, objective: Elbo | Iwae, B: int) -> Trial:
    def forward(recon: Array, kl: Array) -> Array:
        return objective.forward(recon, kl)[0]

    def backward(dloss: Array, recon: Array, kl: Array) -> tuple[Array, Array]:
        return objective.backward(dloss, objective.forward(recon, kl)[1])

    K = objective.samples
    args = 3 * normal(rng, B, K), 3 * normal(rng, B, K)
    return Trial(forward, backward, args, ("recon", "kl"))


SUBJECTS = (
    Subject("dense", "2.1, 2.3 to 2.5", _dense, has_twin=True),
    Subject("dense, on binary data", "2.1, 2.3, 2.4", _dense_on_data, has_twin=True),
    Subject("ELBO of K samples", "10.1, 10.3", _elbo, has_twin=False),
    Subject("importance weights", "15.3, 15.4", _iwae, has_twin=False),
)
