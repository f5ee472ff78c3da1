"""`numpyvae evaluate`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ...analysis.pca import largest_angle, principal_axes
from ...datasets import Dataset
from ...errors import ArgumentError, expect_whole
from ...model.vae import VAE, as_floats
from ...pairs.likelihoods import Gaussian
from ...runs.run import Run
from ...training.batches import Batches
from ...training.evaluate import evaluate, likelihood
from ...training.settings import Settings
from ...training.trainer import threads_for
from ...training.workers import Workers
from ..presets import PRESETS


def evaluate_run(
    folder: str,
    seed: int | None,
    threads: int | None,
    data_dir: str | None,
    samples: int | None,
) -> int:
    """Print a ledger of the test set under a finished run's model, in nats."""
    if samples is not None:
        expect_whole("samples", samples, 1)
    run = Run.open(Path(folder))
    model, data = run.load_model(), run.load_data(data_dir)
    if samples is not None and not model.family.has_density:
        raise ArgumentError(
            f"--samples: found {samples} for an auto-encoder, expected a model with a "
            "density: there is no p(x) to estimate"
        )
    training = run.config["training"]
    settings = Settings(
        binarize=training["binarize"],
        corrupt=training.get("corrupt", "none"),
        level=training.get("level", 0.0),
        seed=training["seed"] if seed is None else seed,
        threads=threads,
    )
    print(
        f"{len(data.test_images):,} test images of {data.name}, binarization "
        f"{settings.binarize}, seed {settings.seed}; nats per image"
    )
    with Workers(threads_for(settings)) as workers:
        print_ledger(model, data, settings, workers)
        if samples is not None:
            found = likelihood(
                model, data.test_images, settings.binarize, settings.seed, samples,
                workers, True, data.test_labels,
            )  # fmt: skip
            print(
                f"-log p(x)       {found.nll:9.3f}   importance-weighted, {samples:,} "
                f"samples each; standard error {found.standard_error:.3f}"
            )
            print_bits(model, found.nll, "-log p(x)")
    if is_linear(model):
        print_pca(model, data, settings)
    preset = PRESETS.get(run.config["preset"])
    if data.name == "mnist" and preset and preset.published:
        print(f"published       {preset.published}")
    return 0


def print_ledger(
    model: VAE, data: Dataset, settings: Settings, workers: Workers
) -> None:
    """Reconstruction, KL, ELBO, active units; of an auto-encoder the first alone."""
    test = evaluate(
        model, data.test_images, settings.binarize, settings.seed, workers,
        data.test_labels, settings.corruption(),
    )  # fmt: skip
    seen = f", from images with {settings.corrupt} {settings.level:g}"
    seen *= settings.corrupt != "none"
    if not model.family.has_density:
        print(f"reconstruction  {test.recon:9.3f}   an auto-encoder{seen}; no density")
        return
    print(
        f"reconstruction  {test.recon:9.3f}   one z each{seen}\n"
        f"KL              {test.kl:9.3f}\n"
        f"ELBO            {test.elbo:9.3f}"
    )
    print_bits(model, -test.elbo, "-ELBO")
    print(
        f"active units    {test.active_units:9d}   of {model.latent}",
        flush=True,
    )


def print_bits(model: VAE, nats: float, name: str) -> None:
    """What a code for grey levels needs (Eq. 11.20), if they have probabilities."""
    if model.likelihood.levels:
        bits = nats / (model.pixels * math.log(2))
        print(f"bits per pixel  {bits:9.3f}   {name} / ({model.pixels} log 2)")


def is_linear(model: VAE) -> bool:
    """Whether the model is a linear auto-encoder with the squared error."""
    return (
        not model.family.has_density
        and type(model.likelihood) is Gaussian
        and not model.hidden
        and not model.decoder_hidden
        and not model.channels
    )


def print_pca(model: VAE, data: Dataset, settings: Settings) -> None:
    """The training images' squared error beside PCA's; the angle to its subspace."""
    rng = np.random.default_rng(settings.seed)
    batches = Batches(data.train_images, settings.binarize, rng)
    x = as_floats(batches.rows(slice(None), rng), batches.binary, np.float64)
    residual = x - model.reconstruct(x.astype(model.dtype))
    _, axes, variances = principal_axes(x, model.latent)
    angle = largest_angle(model.params["decoder.0.W"], axes)
    print(
        "on the training images, the squared error of each:\n"
        f"this model      {(residual**2).sum(axis=1).mean():9.4f}\n"
        f"PCA             {variances[model.latent :].sum():9.4f}   "
        f"{model.latent} components\n"
        f"largest angle   {angle:9.4f}   degrees, between the two subspaces"
    )
