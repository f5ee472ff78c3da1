"""What a trained model is worth: its ELBO, and log p(x) itself, in nats.

Shapes: N images, Z latents, K samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from .datasets.binarize import Batches
from .kernels import ActivePixels, Input
from .models import VAE
from .ops import Array
from .workers import Workers
from .workspace import Allocate, Workspace

BLOCK = 500  # images that a thread takes at a time
CHUNK = 250  # samples of an image that are decoded at once
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

    @property
    def active_units(self) -> int:
        """The number of latents with Var[mu] > 0.01, as Burda et al. (2015) count."""
        return int((self.mu.var(axis=0) > 0.01).sum())


class Likelihood(NamedTuple):
    """The importance-weighted estimate of -log p(x), in nats."""

    nll: float  # mean over the images
    standard_error: float  # of that mean, from the spread over images


def evaluate(
    model: VAE, images: NDArray[np.uint8], binarize: str, seed: int, workers: Workers
) -> Evaluation:
    """The ELBO of images (N, H, W), each with one z from its posterior.

    Pixels and z are drawn from `seed`, the same at every call and for any number of
    threads; `dynamic` and `static` are therefore one thing here. Raises ArgumentError
    for images of another size than the model's.
    """
    count, draw = _blocks(model, images, binarize, seed)

    @np.errstate(over="ignore", invalid="ignore")  # a loss of inf or NaN says it all
    def evaluate_block(i: int) -> tuple[float, float, Array]:
        rng, x = draw(i)
        eps = rng.standard_normal((len(x), model.latent)).astype(model.dtype)
        forward = model.forward(x, eps, Workspace())
        return forward.recon_sum, forward.kl_sum, forward.mu.copy()

    recons, kls, mus = zip(*workers.map(evaluate_block, count), strict=True)
    n = len(images)
    return Evaluation(sum(recons) / n, sum(kls) / n, np.concatenate(mus))


def likelihood(
    model: VAE,
    images: NDArray[np.uint8],
    binarize: str,
    seed: int,
    samples: int,
    workers: Workers,
    progress: bool = False,
) -> Likelihood:
    """-log p(x) of images (N, H, W), estimated with K = `samples` each (Eq. 15.3).

    The estimate is an upper bound in expectation and falls to the truth as K grows.
    The pixels are the ones that `evaluate` draws from this seed. `progress` shows a bar
    on a terminal.
    """
    count, draw = _blocks(model, images, binarize, seed)
    nlls = np.empty(len(images))
    bar = tqdm(
        total=len(images), unit="image", leave=False, disable=None if progress else True
    )

    def estimate_block(i: int) -> None:
        array = Workspace()
        rng, x = draw(i)
        mu, logvar = model.encode(x)
        for row in range(len(x)):
            one = slice(row, row + 1)
            logs = np.empty(samples)
            for start in range(0, samples, CHUNK):
                k = min(CHUNK, samples - start)
                eps = rng.standard_normal((k, model.latent), np.float32)
                logs[start : start + k] = log_weights(
                    model, _repeat(x, row, k), mu[one], logvar[one],
                    eps.astype(model.dtype, copy=False), array,
                )  # fmt: skip
            peak = logs.max()
            nlls[i * BLOCK + row] = -peak - np.log(np.exp(logs - peak).mean())
            bar.update()

    with bar:
        workers.map(estimate_block, count)
    return Likelihood(float(nlls.mean()), float(nlls.std() / np.sqrt(len(nlls))))


def log_weights(
    model: VAE, x: Input, mu: Array, logvar: Array, eps: Array, array: Allocate
) -> Array:
    """log w = log p(x|z) + log p(z) - log q(z|x) of K samples z (Eq. 15.1).

    Shapes: x (K, D), one image K times; mu, logvar (1, Z), eps (K, Z) -> (K,).
    """
    f = model.pairs
    z = f.reparameterize_forward(mu, f.sigma_forward(logvar), eps)
    logits = model.decoder.forward(z, model.params, f, array)[-1]
    p = array("p", logits.shape, logits.dtype)
    recon, _ = f.bernoulli_forward(
        logits, x, out=(array("recon", (len(z),), p.dtype), p)
    )
    zero = np.zeros_like(mu)
    return f.gaussian_forward(mu, logvar, z) - recon - f.gaussian_forward(zero, zero, z)


def _blocks(
    model: VAE, images: NDArray[np.uint8], binarize: str, seed: int
) -> tuple[int, Callable[[int], tuple[np.random.Generator, Input]]]:
    """The number of blocks, and what draws one: its generator and its input."""
    seeds = np.random.SeedSequence([seed, STREAM])
    batches = Batches(images, binarize, np.random.default_rng(seeds))
    count = -(-len(images) // BLOCK)
    block_seeds = seeds.spawn(count)

    def draw(i: int) -> tuple[np.random.Generator, Input]:
        rng = np.random.default_rng(block_seeds[i])
        rows = batches.rows(slice(i * BLOCK, (i + 1) * BLOCK), rng)
        return rng, model.as_input(rows, binary=batches.binary)

    return count, draw


def _repeat(x: Input, row: int, count: int) -> Input:
    """One image of x, `count` times."""
    if not isinstance(x, ActivePixels):
        return np.broadcast_to(x[row], (count, x.shape[1]))
    columns = x.columns[x.starts[row] : x.starts[row + 1]]
    starts = np.arange(count + 1, dtype=np.int32) * np.int32(len(columns))
    return ActivePixels(np.tile(columns, count), starts, x.width)


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
