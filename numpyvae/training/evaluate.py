"""What a trained model is worth: its ELBO, and log p(x) itself, in nats.

Shapes: N images, Z latents, K samples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..datasets.corrupt import Corruption
from ..kernels.active_pixels import ActivePixels, rows_of
from ..model.arguments import expect_bytes, expect_labels
from ..model.vae import VAE
from ..model.workspace import Reused, Workspace
from ..pairs.objectives import Elbo
from ..pairs.types import Array, Input
from .batches import Batches
from .fused.likelihood import FusedLikelihood, fits
from .workers import Workers

BLOCK = 500  # images that are drawn from one generator
CHUNK = 500  # samples of an image that are decoded at once
STREAM = 1  # beside the seed: noise of its own, not training's
SAMPLED = Elbo(kl="sampled")


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


class Estimate(NamedTuple):
    """The importance-weighted estimate of -log p(x), in nats."""

    nll: float  # mean over the images
    standard_error: float  # of that mean, from the spread over images


def evaluate(
    model: VAE,
    images: NDArray[np.uint8],
    binarize: str,
    seed: int,
    workers: Workers,
    labels: NDArray[np.uint8] | None = None,
    corruption: Corruption | None = None,
) -> Evaluation:
    """The ELBO of images (N, H, W), each with one z from its posterior.

    `labels` (N,) are read if the model takes them; with a corruption, the encoder sees
    corrupted images.

    Pixels and z are drawn from `seed`, the same at every call and for any number of
    threads; `dynamic` and `static` are therefore one thing here. Raises ArgumentError
    for images of another size than the model's.
    """
    count, draw = _blocks(model, images, binarize, seed, labels, corruption)

    @np.errstate(all="ignore")  # a loss of inf or NaN says it all
    def evaluate_block(i: int) -> tuple[float, float, Array]:
        rng, x, given = draw(i)
        eps = rng.standard_normal((len(x), model.noise)).astype(model.dtype)
        work = model.workspace()
        forward = model.forward(x, eps, work=work, **given)
        mean, _ = model.family.moments(forward.code.s, work)
        recon, kl = (t.sum(dtype=np.float64) for t in (forward.recon, forward.kl))
        return float(recon), float(kl), mean.copy()

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
    labels: NDArray[np.uint8] | None = None,
) -> Estimate:
    """-log p(x) of images (N, H, W), estimated with K = `samples` each (Eq. 15.3).

    The estimate is an upper bound in expectation and falls to the truth as K grows.
    The pixels are the ones that `evaluate` draws from this seed. `progress` shows a bar
    on a terminal.
    """
    count, draw = _blocks(model, images, binarize, seed, labels, None)
    blocks = workers.map(draw, count)
    nlls = np.empty(len(images))
    bar = tqdm(
        total=len(images), unit="image", leave=False, disable=None if progress else True
    )

    def estimate(n: int, work: Workspace, fused: FusedLikelihood | None) -> float:
        rng, logs = np.random.default_rng([seed, STREAM, n]), np.empty(samples)
        _, x, given = blocks[n // BLOCK]
        one = slice(n % BLOCK, n % BLOCK + 1)
        x, label = rows_of(x, one), given["labels"]
        label = None if label is None else label[one]
        for start in range(0, samples, CHUNK):
            k = min(CHUNK, samples - start)
            eps = rng.standard_normal((k, model.noise), np.float32)
            eps = eps.astype(model.dtype, copy=False)
            if fused and isinstance(x, ActivePixels):
                logs[start : start + k] = fused.log_weights(x, eps)
            else:
                forward = model.forward(x, eps, SAMPLED, work, labels=label)
                logs[start : start + k] = -(forward.recon + forward.kl)  # Eq. 15.1
        peak = logs.max()
        return float(-peak - np.log(np.exp(logs - peak).mean()))

    ended = threading.Event()  # by Ctrl-C or an error: the others need not go on

    @np.errstate(all="ignore")
    def estimate_some(first: int) -> None:
        work = model.workspace()._replace(arrays=Reused())
        fused = FusedLikelihood(model) if fits(model) else None
        try:
            for n in range(first, len(images), workers.threads):
                if ended.is_set():
                    return
                nlls[n] = estimate(n, work, fused)
                bar.update()
        except BaseException:
            ended.set()
            raise

    with bar:
        workers.map(estimate_some, workers.threads)
    return Estimate(float(nlls.mean()), float(nlls.std() / np.sqrt(len(nlls))))


def _blocks(
    model: VAE,
    images: NDArray[np.uint8],
    binarize: str,
    seed: int,
    labels: NDArray[np.uint8] | None,
    corruption: Corruption | None,
) -> tuple[int, Callable[[int], tuple[np.random.Generator, Input, dict[str, Any]]]]:
    """The number of blocks, and what draws one: its generator, x, and what goes along.

    That is a model's labels, and what its encoder sees.
    """
    seeds = np.random.SeedSequence([seed, STREAM])
    batches = Batches(images, binarize, np.random.default_rng(seeds))
    expect_bytes(batches.images, model.pixels, binary=False)
    count = -(-len(images) // BLOCK)
    block_seeds = seeds.spawn(count)
    if model.classes:
        expect_labels(labels, len(images), model.classes)

    def draw(i: int) -> tuple[np.random.Generator, Input, dict[str, Any]]:
        rng = np.random.default_rng(block_seeds[i])
        rows = slice(i * BLOCK, (i + 1) * BLOCK)
        x, seen = batches.draw(model, rows, rng, corruption)
        given = labels[rows] if model.classes and labels is not None else None
        return rng, x, {"labels": given, "seen": seen}

    return count, draw
