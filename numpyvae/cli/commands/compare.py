"""`numpyvae compare`: several runs in one table and in pictures side by side.

Shapes: N images, D pixels, Z latents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...analysis.frechet import SAMPLES, Ruler
from ...datasets import Dataset
from ...errors import ArgumentError, DivergedError, RunError
from ...figures.files import expect_writable
from ...model.vae import VAE
from ...pairs.types import Array
from ...runs.run import Run
from ...training.evaluate import Evaluation, evaluate
from ...training.trainer import threads_for
from ...training.workers import Workers
from .classification import greys
from .pictures import Scene

SEED = 0  # of all samples
SHOWN = 10  # test images
GRID = 25  # samples
BLOCK = 1000  # samples that are decoded at a time
PICTURES = ("rate-distortion", "reconstructions", "samples", "latents")
HEADING = [
    "run", "posterior", "prior", "likelihood", "beta", "recon ", "KL ", "ELBO ",
    "active", "Frechet ", "binarization",
]  # fmt: skip


class Entry(NamedTuple):
    """What is told of one run."""

    name: str
    scene: Scene
    test: Evaluation
    frechet: float
    samples: Array  # (SAMPLES, D)
    reconstructions: Array  # (n, D)

    @property
    def has_prior(self) -> bool:
        """Whether it is a VAE, not an auto-encoder."""
        return not self.scene.fitted

    @property
    def kind(self) -> tuple[str, bool, int, bool]:
        """Which quantity its nats measure; only those of one kind can be compared."""
        p = self.scene.model.likelihood  # of bits, of greys, or a density
        conditional = self.scene.model.classes > 0  # log p(x|y), not log p(x)
        binarize = self.scene.settings.binarize
        return binarize, p.pixels == "binary", p.levels, conditional


def compare(folders: list[str], data_dir: str | None, out: str | None) -> int:
    """Print a table of finished runs of the same images, and draw them."""
    if len(folders) < 2:
        raise ArgumentError("RUN: found one run, expected two or more to compare")
    scenes = [Scene(Run.open(Path(folder)), SEED, data_dir) for folder in folders]
    data = expect_same_images(scenes)
    path = Path(out) if out else scenes[0].run.path.resolve().parent / "comparison"
    path.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        expect_writable(path / f"{name}.png")
    shown = pick(data.test_labels)
    rulers: dict[str, Ruler] = {}
    entries = []
    for name, scene in zip(names([scene.run for scene in scenes]), scenes, strict=True):
        how = scene.settings.binarize
        test = greys(data.test_images, how)
        if how not in rulers:
            train, rng = greys(data.train_images, how), np.random.default_rng(SEED)
            rulers[how] = Ruler(train, test, rng)
        samples = sample_means(scene)
        means = reconstruction_means(scene.model, test[shown], data.test_labels[shown])
        measured = measure(scene)
        expect_finite(scene.run.path, measured.recon, measured.kl, samples, means)
        distance = rulers[how](samples)
        entries.append(Entry(name, scene, measured, distance, samples, means))
    print("\n".join(table(entries, data, rulers[entries[0].kind[0]].floor)))
    draw(entries, data, shown, path)
    print(f"pictures in {path}: {', '.join(f'{name}.png' for name in PICTURES)}")
    return 0


def expect_finite(path: Path, *found: float | Array) -> None:
    """Raise DivergedError unless all that was found of a run is finite."""
    if not all(np.isfinite(each).all() for each in found):
        raise DivergedError(
            f"{path}: found nats or pixels that are not finite, expected finite ones; "
            "train it again with a smaller lr"
        )


def expect_same_images(scenes: Sequence[Scene]) -> Dataset:
    """The images of all runs, whose models are loaded.

    Raises RunError unless all were trained on the same ones.
    """
    first = scenes[0].run
    for scene in scenes[1:]:
        config = scene.run.config
        if config["data_sha256"] != first.config["data_sha256"]:
            raise RunError(
                f"{scene.run.path}: found a run of other images ({config['data']}), "
                f"expected those of {first.path} ({first.config['data']}); compare "
                "runs of one data set"
            )
    data = scenes[0].data
    first.expect_data(data)
    for scene in scenes:
        scene.data = data
        _ = scene.model, scene.settings  # loaded now: a damaged run is reported at once
    return data


def names(runs: Sequence[Run]) -> list[str]:
    """The folders' names, or their paths where two have one name."""
    found = [run.path.resolve().name for run in runs]
    if len(set(found)) < len(found):
        found = [str(run.path) for run in runs]
    return found


def pick(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The rows of SHOWN images, taken from each class in turn."""
    turn = np.empty(len(labels), int)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return np.lexsort([labels, turn])[:SHOWN]


def measure(scene: Scene) -> Evaluation:
    """What `numpyvae evaluate` tells of a run."""
    data, how = scene.data, scene.settings
    with Workers(threads_for(how)) as workers:
        return evaluate(
            scene.model, data.test_images, how.binarize, how.seed, workers,
            data.test_labels, how.corruption(),
        )  # fmt: skip


def sample_means(scene: Scene) -> Array:
    """Pixel means (SAMPLES, D) at codes from the prior, or what stands in for it.

    A conditional model is given each class in turn.
    """
    labels = np.arange(SAMPLES) % max(1, scene.model.classes)
    z = scene.codes(SAMPLES)
    rows = [slice(i, i + BLOCK) for i in range(0, SAMPLES, BLOCK)]
    means = np.concatenate([scene.decode(z[r], labels[r]) for r in rows])
    return means.reshape(SAMPLES, -1).clip(0, 1)


def reconstruction_means(model: VAE, x: Array, labels: NDArray[np.integer]) -> Array:
    """The pixel means (n, D) at z = mu of images x (n, D)."""
    given = labels if model.classes else None
    return model.reconstruct(x.astype(model.dtype), given)


def table(entries: Sequence[Entry], data: Dataset, floor: float) -> list[str]:
    """A heading, a line for each run, and the notes that are needed to read them."""
    rows = [HEADING]
    for entry in entries:
        model, test = entry.scene.model, entry.test
        mark = "*" if entry.kind != entries[0].kind else " "
        rate = [f"{test.kl:.2f}{mark}", f"{test.elbo:.2f}{mark}"]
        beta = f"{entry.scene.settings.beta:g}"
        if not entry.has_prior:
            rate, beta = ["- ", "- "], "-"
        parts = (model.posterior, model.prior, model.likelihood)
        shared = [entry.name, *(part.name for part in parts), beta]
        active = f"{test.active_units}/{model.latent}"
        ours = [active, f"{entry.frechet:.2f}{mark}", entry.kind[0]]
        rows.append([*shared, f"{test.recon:.2f}{mark}", *rate, *ours])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = {0, 1, 2, 3, len(HEADING) - 1}  # columns aligned left
    lines = [
        f"{len(data.test_images):,} test images of {data.name}; nats per image; "
        "Frechet: distance of samples, lower is better"
    ]
    for row in rows:
        cells = [
            f"{cell:{'<' if i in text else '>'}{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.append(f"training images in place of samples: Frechet {floor:.2f}")
    if any(entry.kind != entries[0].kind for entry in entries):
        lines.append(
            f"* another binarization or likelihood than {entries[0].name}, or only one "
            "sees labels: what is measured differs; no rank among those without a *"
        )
    for entry in entries:
        if not entry.has_prior:
            lines.append(
                f"{entry.name}: an auto-encoder has no prior, KL or ELBO; its samples "
                "come from a factored Gaussian fitted to its training codes"
            )
    return lines


def draw(
    entries: Sequence[Entry], data: Dataset, shown: NDArray[np.int64], path: Path
) -> None:
    """All four pictures."""
    first = entries[0].kind
    figures.rate_distortion(
        [
            figures.Point(
                entry.name, entry.test.kl if entry.has_prior else None,
                entry.test.recon, entry.kind == first,
            )
            for entry in entries
        ],
        sweeps(entries),
        path / "rate-distortion.png",
        "Rate against distortion: what codes cost, and what they lose",
    )  # fmt: skip
    shape = data.image_shape
    figures.reconstruction_rows(
        data.test_images[shown],
        [(e.name, e.reconstructions.reshape(-1, *shape)) for e in entries],
        path / "reconstructions.png",
        "The same test images, and what each run makes of them",
    )
    figures.sample_panels(
        [
            (
                e.name,
                f"z from {e.scene.source if e.has_prior else 'fitted Gaussian'}",
                e.samples[:GRID].reshape(-1, *shape),
            )
            for e in entries
        ],
        path / "samples.png",
        "Samples of each run",
    )  # fmt: skip
    figures.latent_panels(
        [(entry.name, *most_active(entry.test.mu)) for entry in entries],
        data.test_labels,
        path / "latents.png",
        f"Where {len(data.test_images):,} test images lie: the two most active latents",
    )


def most_active(mu: Array) -> tuple[tuple[str, str], Array]:
    """Names and values (N, 2) of the two latents of largest variance in mu (N, Z)."""
    if mu.shape[1] == 1:
        return ("z1", ""), np.hstack([mu, np.zeros_like(mu)])
    best = np.sort(np.argsort(-mu.var(axis=0), kind="stable")[:2])
    return (f"z{best[0] + 1}", f"z{best[1] + 1}"), mu[:, best]


def sweeps(entries: Sequence[Entry]) -> list[list[int]]:
    """Which entries differ in beta alone, by rising beta."""
    groups: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        config = entry.scene.run.config
        training = config["training"] | {"beta": 0, "threads": 0}
        key = json.dumps([config["model"], training], sort_keys=True)
        if entry.has_prior:
            groups.setdefault(key, []).append(i)

    def beta(i: int) -> float:
        return entries[i].scene.settings.beta

    return [sorted(group, key=beta) for group in groups.values() if len(group) > 1]
