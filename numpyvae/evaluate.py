"""What a trained model is worth: its ELBO on a set of images, in nats.

Shapes: N images, Z latents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .datasets.binarize import Batches
from .models import VAE
from .ops import Array
from .workers import Workers
from .workspace import Workspace

BLOCK = 500  # images that a thread takes at a time
STREAM = 1  # beside the seed: noise of its own, not training's


class Evaluation(NamedTuple):
    """Means over the images, in nats, and where the images lie in latent space."""

    recon: float  # -E[log p(x|z)], one sampled z per image
    kl: float  # KL(q(z|x) || p(z))
    mu: Array  # (N, Z)

    @property
    def elbo(self) -> float:
        """The evidence lower bound on log p(x): -(recon + kl)."""
        return -(self.recon + self.kl)


def evaluate(
    model: VAE, images: NDArray[np.uint8], binarize: str, seed: int, workers: Workers
) -> Evaluation:
    """The ELBO of images (N, H, W), each with one z from its posterior.

    Pixels and z are drawn from `seed`, the same at every call and for any number of
    threads; `dynamic` and `static` are therefore one thing here. Raises ArgumentError
    for images of another size than the model's.
    """
    seeds = np.random.SeedSequence([seed, STREAM])
    batches = Batches(images, binarize, np.random.default_rng(seeds))
    count = -(-len(images) // BLOCK)
    block_seeds = seeds.spawn(count)

    @np.errstate(over="ignore", invalid="ignore")  # a loss of inf or NaN says it all
    def evaluate_block(i: int) -> tuple[float, float, Array]:
        rng = np.random.default_rng(block_seeds[i])
        rows = batches.rows(slice(i * BLOCK, (i + 1) * BLOCK), rng)
        x = model.as_input(rows, binary=batches.binary)
        eps = rng.standard_normal((len(rows), model.latent)).astype(model.dtype)
        forward = model.forward(x, eps, Workspace())
        return forward.recon_sum, forward.kl_sum, forward.mu.copy()

    recons, kls, mus = zip(*workers.map(evaluate_block, count), strict=True)
    n = len(images)
    return Evaluation(sum(recons) / n, sum(kls) / n, np.concatenate(mus))


def principal_plane(codes: Array) -> Array:
    """Codes (N, Z) in the plane of their first two principal components, (N, 2).

    Two latents are left as they are; a single one is set beside a zero.
    """
    if codes.shape[1] == 1:
        return np.hstack([codes, np.zeros_like(codes)])
    if codes.shape[1] == 2:
        return codes
    centred = codes - codes.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)  # by rising variance
    return centred @ directions[:, :-3:-1]
