"""`numpyvae classify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...analysis.classify import Scale, choose_decay, draw_balanced, fit
from ...datasets.binarize import binarize
from ...errors import ArgumentError, expect_whole
from ...model.vae import VAE, as_floats
from ...pairs.types import Array
from ...runs.run import Run
from ...training.workers import Workers

BLOCK = 5000  # images that are encoded at a time
PUBLISHED = (
    "published, MNIST, 100 labels (Kingma et al. 2014): "
    "M1+TSVM 11.82 %, M2 11.97 %, M1+M2 3.33 %"
)


def classify(
    folder: str, labels: int, draws: int, seed: int, data_dir: str | None
) -> int:
    """Print what few labels are worth on a run's mu, and on the pixels."""
    expect_whole("labels", labels, 1)
    expect_whole("draws", draws, 1)
    expect_whole("seed", seed, 0)
    run = Run.open(Path(folder))
    model, data = run.load_model(), run.load_data(data_dir)
    if model.classes:
        raise ArgumentError(
            f"{folder}: found a conditional model, expected one that has seen no "
            "labels; train one without --conditional"
        )
    run.expect_data(data)
    known = expect_classes(data.train_labels, labels)
    targets = [class_of(part, known) for part in (data.train_labels, data.test_labels)]
    how = run.config["training"]["binarize"]
    pixels = [greys(part, how) for part in (data.train_images, data.test_images)]
    print(
        f"{labels:,} labels of {len(data.train_images):,} training images of "
        f"{data.name}, {labels // len(known)} of each class; {draws} draws, "
        f"seed {seed}\n"
        f"error of a softmax classifier on {len(data.test_images):,} test images, "
        "mean and standard deviation of the draws",
        flush=True,
    )
    with Workers(1):  # BLAS's own threads don't pay for matrices so small
        codes = [encode(model, part) for part in pixels]
        on_pixels = errors_of_draws(pixels, targets, labels, draws, seed)
        print(f"raw pixels      {spread(on_pixels)}", flush=True)
        on_codes = errors_of_draws(codes, targets, labels, draws, seed)
        print(f"mu, {model.latent:4} latents {spread(on_codes)}")
    if data.name == "mnist" and labels == 100:
        print(PUBLISHED)
    print(finding(on_codes, on_pixels))
    return 0


def expect_classes(labels: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """The classes (C,), which are the labels that occur in labels (B,).

    Raises ArgumentError if a class has only one image, or if `count` labels can't be
    drawn, equally many of each class.
    """
    known, counts = np.unique(labels, return_counts=True)
    fewest = int(counts.min())
    if fewest < 2:
        raise ArgumentError(
            f"data: found one training image of the label {known[counts.argmin()]}, "
            "expected two or more of each; cross-validation needs two"
        )
    classes = len(known)
    if count % classes or not 2 * classes <= count <= fewest * classes:
        raise ArgumentError(
            f"--labels: found {count}, expected a multiple of the {classes} classes "
            f"from {2 * classes} to {fewest * classes}; cross-validation needs two of "
            "each"
        )
    return known


def class_of(
    labels: NDArray[np.integer], known: NDArray[np.integer]
) -> NDArray[np.intp]:
    """The index in known (C,) of each of labels (B,); C if it is not among them."""
    at = np.searchsorted(known, labels)
    return np.where(np.isin(labels, known), at, len(known))


def greys(images: NDArray[np.uint8], how: str) -> Array:
    """Images (B, H, W) as (B, D) in [0, 1]: means of what the model is trained on."""
    flat = images.reshape(len(images), -1)
    if how == "threshold":
        return binarize(flat, how, np.random.default_rng(0)).astype(np.float32)
    return as_floats(flat, False, np.float32)


def encode(model: VAE, x: Array) -> Array:
    """mu of q(z|x), without labels; (B, D) -> (B, Z)."""
    x = x.astype(model.dtype, copy=False)
    blocks = [x[i : i + BLOCK] for i in range(0, len(x), BLOCK)]
    return np.concatenate([model.encode(block)[0] for block in blocks])


def errors_of_draws(
    features: Sequence[Array],
    targets: Sequence[NDArray[np.intp]],
    labels: int,
    draws: int,
    seed: int,
) -> NDArray[np.float64]:
    """The error on all test images, in %, of each draw of labels (draws,).

    `features` and `targets`, their classes, are of the training and of the test images.
    Everything is chosen by the drawn images alone, but for the scale, which takes all
    training images, no labels.
    """
    classes = int(targets[0].max()) + 1
    scale = Scale.of(features[0])
    test = scale(features[1])
    errors = np.empty(draws)
    for i, child in enumerate(np.random.SeedSequence(seed).spawn(draws)):
        rng = np.random.default_rng(child)
        rows = draw_balanced(targets[0], labels, classes, rng)
        x, y = scale(features[0][rows]), targets[0][rows]
        classifier = fit(x, y, classes, choose_decay(x, y, classes))
        errors[i] = 100 * classifier.errors(test, targets[1]) / len(test)
    return errors


def spread(errors: NDArray[np.float64]) -> str:
    """Mean and standard deviation over draws, in %."""
    if len(errors) == 1:
        return f"{errors[0]:6.2f} %"
    return f"{errors.mean():6.2f} %, deviation {errors.std(ddof=1):.2f}"


def finding(codes: NDArray[np.float64], pixels: NDArray[np.float64]) -> str:
    """Which of the two won, draw by draw."""
    wins, ties = int((codes < pixels).sum()), int((codes == pixels).sum())
    less = pixels.mean() - codes.mean()
    equal = f", {ties} even" if ties else ""
    return (
        f"mu beat the pixels in {wins} of {len(codes)} draws{equal}: "
        f"{abs(less):.2f} points of error {'less' if less > 0 else 'more'} on average"
    )
