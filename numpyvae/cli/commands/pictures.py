"""`numpyvae sample` and `reconstruct`, and the pictures of a finished run.

Shapes: n images of H x W, Z latents.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...analysis.pca import principal_plane
from ...datasets import Dataset, load
from ...errors import ArgumentError, DivergedError, RunError, expect_whole
from ...figures.files import expect_writable
from ...model.vae import VAE, as_floats
from ...pairs.priors import StandardNormal
from ...pairs.types import Array
from ...runs.run import Run
from ...training.batches import Batches
from ...training.evaluate import evaluate
from ...training.settings import Settings
from ...training.trainer import EpochRecord, threads_for
from ...training.workers import Workers

FITTED = 10_000  # training images that an auto-encoder's Gaussian is fitted to


def sample(
    folder: str, count: int, seed: int, data_dir: str | None, out: str | None
) -> int:
    """Draw `count` samples of a finished run."""
    expect_whole("count", count, 1)
    expect_whole("seed", seed, 0)
    scene = Scene(Run.open(Path(folder)), seed, data_dir)
    path = expect_writable(out or scene.run.path / "samples.png")
    draw_samples(scene, path, count)
    print(path)
    return 0


def reconstruct(
    folder: str,
    count: int,
    seed: int,
    data: str | None,
    data_dir: str | None,
    out: str | None,
) -> int:
    """Draw `count` test images over their reconstructions, of `data` if named."""
    expect_whole("count", count, 1)
    expect_whole("seed", seed, 0)
    run = Run.open(Path(folder))
    scene = Scene(run, seed, data_dir)
    name = f"reconstructions-{data}" if data else "reconstructions"
    path = expect_writable(out or run.path / f"{name}.png")
    if data:
        scene.data = load(data, data_dir)
        found, expected = scene.data.image_shape, tuple(run.config["image_shape"])
        if found != expected:
            raise ArgumentError(
                f"--data {data}: found images of {found[0]} x {found[1]}, expected "
                f"{expected[0]} x {expected[1]}, which {run.path} was trained on"
            )
    draw_reconstructions(scene, path, count, foreign=data or "")
    print(path)
    return 0


def draw(
    run: Run,
    model: VAE,
    data: Dataset,
    settings: Settings,
    records: list[EpochRecord],
    mu: Array,
) -> None:
    """The pictures of a run just trained; mu (N, Z) are of its test images."""
    scene = Scene(run, settings.seed)
    scene.model, scene.data, scene.settings, scene.mu = model, data, settings, mu
    if records:
        figures.learning_curves([r._asdict() for r in records], run.path / "curves.png")
    draw_samples(scene, run.path / "samples.png")
    draw_reconstructions(scene, run.path / "reconstructions.png")
    draw_latents(scene, run.path / "latents.png")
    if model.latent == 2:
        draw_manifold(scene, run.path / "manifold.png")


# ---- A run, its images and their codes -----------------------------------------------


class Spread(NamedTuple):
    """Where codes lie: a factored Gaussian with the prior's moments."""

    mean: Array  # (Z,)
    deviation: Array  # (Z,)

    def code(self, eps: Array) -> Array:
        """Codes (..., Z) from eps of N(0, I)."""
        return (self.mean + self.deviation * eps).astype(self.mean.dtype)


class Look(NamedTuple):
    """Images, and the codes of what the encoder saw of them."""

    originals: NDArray[np.uint8]  # (n, H, W)
    seen: Array | None  # (n, H, W), what the encoder saw, if not these
    mu: Array  # (n, Z)


class Scene:
    """A run with its model, data and codes, each made when first asked for."""

    def __init__(self, run: Run, seed: int, data_dir: str | None = None) -> None:
        """`seed` is the pictures', `data_dir` for data that have moved."""
        self.run, self.seed, self.data_dir = run, seed, data_dir

    @cached_property
    def model(self) -> VAE:
        """The run's model."""
        return self.run.load_model()

    @cached_property
    def data(self) -> Dataset:
        """The run's images."""
        return self.run.load_data(self.data_dir)

    @cached_property
    def settings(self) -> Settings:
        """How the run was trained."""
        try:
            return Settings(**self.run.config["training"])
        except TypeError as error:
            raise RunError(
                f"{self.run.path / 'config.json'}: found {error}, expected it as "
                "`numpyvae train` wrote it"
            ) from error

    @cached_property
    def mu(self) -> Array:
        """The codes of all test images (N, Z), as evaluation draws the pixels."""
        return self._codes(self.data.test_images, self.data.test_labels)

    @property
    def fitted(self) -> bool:
        """Whether codes are drawn from a fit: an auto-encoder has no prior."""
        return not self.model.family.has_density

    @property
    def is_standard(self) -> bool:
        """Whether codes are drawn from N(0, I)."""
        return type(self.model.prior) is StandardNormal and not self.fitted

    @cached_property
    def spread(self) -> Spread:
        """The prior's moments, or what is fitted to the codes of training images."""
        if not self.fitted:
            moments = self.model.prior.moments(self.model.workspace())
            return Spread(*(m.astype(self.model.dtype) for m in moments))
        some = slice(FITTED)
        mu = self._codes(self.data.train_images[some], self.data.train_labels[some])
        return Spread(mu.mean(axis=0), mu.std(axis=0))

    def codes(self, count: int) -> Array:
        """Draws from the prior, or from the fit (count, Z)."""
        if self.fitted:
            return self.spread.code(
                self.rng().standard_normal((count, self.model.latent))
            )
        z = self.model.prior.sample(count, self.rng(), self.model.workspace())
        return z.astype(self.model.dtype)

    @property
    def source(self) -> str:
        """Where codes are drawn from, in words."""
        return (
            "the Gaussian fitted to the codes"
            if self.fitted
            else (self.model.prior.about)
        )

    def rng(self) -> np.random.Generator:
        """A fresh generator, so that no picture depends on another."""
        return np.random.default_rng(self.seed)

    def look(
        self, images: NDArray[np.uint8], labels: NDArray[np.uint8], corrupt: bool
    ) -> Look:
        """Encode images (n, H, W) with the pixels drawn as in training."""
        model, rng = self.model, self.rng()
        batches = Batches(images, self.settings.binarize, rng)
        pixels = batches.rows(slice(None), rng)
        x = model.as_input(pixels, binary=batches.binary)
        originals = pixels * np.uint8(255) if batches.binary else pixels
        corruption, given = self.settings.corruption(), self.given(labels)
        if not corrupt or corruption is None:
            mu, _ = model.encode(x, given)
            return Look(originals.reshape(images.shape), None, mu)
        seen = corruption(as_floats(pixels, batches.binary, model.dtype), rng)
        eps = np.zeros((len(images), model.noise), model.dtype)
        code = model.forward(x, eps, labels=given, seen=seen).code
        mu, _ = model.family.moments(code.s, model.workspace())
        return Look(originals.reshape(images.shape), seen.reshape(images.shape), mu)

    def given(self, labels: NDArray[np.integer]) -> NDArray[np.integer] | None:
        """The labels, if the model takes them."""
        return labels if self.model.classes else None

    def decode(self, z: Array, labels: NDArray[np.integer]) -> Array:
        """Images (..., H, W) of codes (..., Z), whose labels broadcast to (...)."""
        *shape, latent = z.shape
        every = np.broadcast_to(labels, shape).ravel()
        means = self.model.decode(z.reshape(-1, latent), self.given(every))
        return means.reshape(*shape, *self.run.config["image_shape"])

    def _codes(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Array:
        how = self.settings
        with Workers(threads_for(how)) as workers:
            mu = evaluate(
                self.model, images, how.binarize, how.seed, workers, labels,
                how.corruption(),
            ).mu  # fmt: skip
        if not np.isfinite(mu).all():
            raise DivergedError(
                f"{self.run.path}: found codes that are not finite, expected finite "
                "ones; train it again with a smaller lr"
            )
        return mu


# ---- The pictures --------------------------------------------------------------------


def draw_samples(scene: Scene, path: Path, count: int = 100) -> None:
    """Decoded draws from the prior; a row for each label, if the model takes them."""
    classes = scene.model.classes
    rows = max(1, classes)
    columns = -(-count // rows)
    z = scene.codes(rows * columns).reshape(rows, columns, -1)
    means = scene.decode(z, np.arange(rows)[:, None])
    source = f"z from {scene.source}"
    if scene.fitted:
        source = "codes from a factored Gaussian fitted to its own"
    if classes:
        title = f"A row for each label: {source}, decoded with it"
        if scene.fitted:
            title = f"An auto-encoder has no prior. {title}"
        figures.named_rows(means, [str(c) for c in range(classes)], [], "", path, title)
        return
    title = f"{count} samples: {source}, decoded"
    if scene.fitted:
        title = f"An auto-encoder has no prior: {count} {source}, decoded"
    figures.samples(means[0], path, title)


def draw_reconstructions(
    scene: Scene, path: Path, count: int = 20, foreign: str = ""
) -> None:
    """Test images as the model sees them, over what it makes of them.

    `foreign` names the data that they come from, if not the run's.
    """
    labels = scene.data.test_labels[:count]
    look = scene.look(scene.data.test_images[:count], labels, corrupt=True)
    means, latent = scene.decode(look.mu, labels), scene.model.latent
    if look.seen is None:
        title = f"Test images, and what {latent} latents keep of them"
        if foreign:
            title = f"What a model of {scene.run.config['data']} makes of {foreign}"
        figures.reconstructions(look.originals, means, path, title)
        return
    level = scene.settings.level
    fault = {
        "gaussian": f"noise of \N{GREEK SMALL LETTER SIGMA} = {level:g}",
        "mask": f"{level:.0%} of the pixels blanked",
        "salt-and-pepper": f"{level:.0%} of the pixels black or white at random",
    }[scene.settings.corrupt]
    name = f"Images of {foreign}" if foreign else "Test images"
    title = f"{name} with {fault}, restored from {latent} latents"
    figures.reconstructions(look.originals, means, path, title, look.seen)


def draw_latents(scene: Scene, path: Path) -> None:
    """Where the test images lie in latent space."""
    mu = scene.mu.astype(np.float64)  # where distances don't overflow
    plane = principal_plane(mu)
    direct = mu.shape[1] <= 2
    title = f"Where {len(mu):,} test images lie in latent space"
    if not direct:
        share = plane.var(axis=0).sum() / max(mu.var(axis=0).sum(), 1e-30)
        title = (
            f"{len(mu):,} test images: this plane holds {share:.0%} of the variance of "
            f"their {mu.shape[1]} latents"
        )
    elif mu.shape[1] == 2 and not scene.fitted:
        drawn = scene.codes(FITTED)
        inside, expected = (((z * z).sum(axis=1) < 4).mean() for z in (mu, drawn))
        title = (
            f"{inside:.0%} of {len(mu):,} test images have their code within 2 of the "
            f"origin; of draws from {scene.source}, {expected:.0%}"
        )
    axes = ("z1", "z2") if direct else ("first component", "second component")
    labels = scene.data.test_labels
    figures.latents(plane, labels, path, title, axes, scene.is_standard)


def draw_manifold(scene: Scene, path: Path) -> None:
    """The plane of two latents, in even steps of a Gaussian's probability.

    A conditional model is given one label, that of the first test image.
    """
    quantiles = [NormalDist().inv_cdf((i + 0.5) / 20) for i in range(20)]
    z = scene.spread.code(np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1))
    label = scene.data.test_labels[0]
    title = "What each place of latent space decodes to"
    if scene.model.classes:
        title += f", all of it with the label {label}"
    figures.manifold(scene.decode(z, label), path, title)
