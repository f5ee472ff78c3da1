"""`numpyvae plot`: every picture of a run, and three paths through its latent space.

Shapes: n images of H x W, Z latents, T frames.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...errors import ArgumentError, RunError, expect_whole
from ...figures.files import expect_writable
from ...pairs.types import Array
from ...runs.run import Run
from .pictures import (
    Scene,
    draw_latents,
    draw_manifold,
    draw_reconstructions,
    draw_samples,
)

PAIRS, STEPS = 8, 10  # of an interpolation
ROWS, COLUMNS = 10, 11  # of a traversal, at most
REACH = 3.0  # how far it goes, in standard deviations of the prior
FRAMES, WALKERS, HARMONICS = 80, 12, 3  # of a walk
ACTIVE = 0.01  # Var[mu] of a latent that is in use (Burda et al. 2015)


def plot(
    folder: str,
    kinds: Sequence[str],
    seed: int | None,
    data_dir: str | None,
    out: str | None,
) -> int:
    """Draw the `kinds` of pictures of a run, or all that apply to it."""
    run = Run.open(Path(folder))
    if seed is None:
        seed = run.config["training"].get("seed", 0)
    expect_whole("seed", seed, 0)
    for kind in kinds:
        if kind not in KINDS:
            raise ArgumentError(
                f"plot: found {kind!r}, expected some of {', '.join(KINDS)}"
            )
    scene = Scene(run, seed, data_dir)
    missing = {name: KINDS[name].missing(scene) for name in kinds or KINDS}
    for name, reason in missing.items():
        if kinds and reason:
            raise ArgumentError(f"{name}: {reason}")
    directory = Path(out) if out else run.path
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, reason in missing.items():
        if not reason:
            suffix = KINDS[name].suffix
            paths[name] = expect_writable(directory / f"{name}{suffix}", suffix)
    for name, path in paths.items():
        KINDS[name].draw(scene, path)
        print(path, flush=True)
    return 0


# ---- Paths through latent space ------------------------------------------------------


def straight(first: Array, last: Array, steps: int) -> Array:
    """Even steps (n, steps, Z) from codes (n, Z) to others, both ends included."""
    share = np.linspace(0, 1, steps, dtype=first.dtype)[:, None]
    return (1 - share) * first[:, None] + share * last[:, None]


def smooth_loop(rng: np.random.Generator, frames: int, shape: tuple[int, ...]) -> Array:
    """A random walk of N(0, 1) numbers that ends where it began: (frames, *shape).

    Waves of 1 to K periods in the loop, their sines and cosines weighted (Eq. 12.6):
    z_t = sum_k (a_k cos(2 pi k t / T) + b_k sin(2 pi k t / T)) / sqrt(K). As a, b are
    from N(0, 1), so is each z_t; the process is stationary, and periodic.
    """
    k = np.arange(1, HARMONICS + 1)
    angle = 2 * np.pi * np.arange(frames)[:, None] * k / frames
    waves = np.hstack([np.cos(angle), np.sin(angle)]) / np.sqrt(HARMONICS)
    weights = rng.standard_normal((2 * HARMONICS, *shape))
    return np.tensordot(waves, weights, axes=1)


def pairs_apart(
    labels: NDArray[np.integer], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Images in up to PAIRS pairs, no image twice, the two of different classes."""
    order = rng.permutation(len(labels)).tolist()
    pairs: list[tuple[int, int]] = []
    while order and len(pairs) < PAIRS:
        one = order.pop()
        other = next((i for i in order if labels[i] != labels[one]), None)
        if other is not None:
            order.remove(other)
            pairs.append((one, other))
    return pairs


def draw_interpolation(scene: Scene, path: Path) -> None:
    """Straight lines between the codes of test images of different classes."""
    data = scene.data
    pairs = np.array(pairs_apart(data.test_labels, scene.rng()))
    rows = pairs.T.ravel()
    labels = data.test_labels[rows]
    look = scene.look(data.test_images[rows], labels, corrupt=False)
    begin, end = np.split(look.mu, 2)
    z = straight(begin, end, STEPS)
    one, other = (half[:, None] for half in np.split(labels, 2))
    ends = np.where(np.arange(STEPS) < STEPS / 2, one, other)
    title = "On a straight line between two codes, one image turns into the other"
    if scene.model.classes:
        title += "; the label changes halfway"
    first, last = np.split(look.originals, 2)
    figures.interpolation(first, scene.decode(z, ends), last, path, title)


def draw_traversal(scene: Scene, path: Path) -> None:
    """The most active latents, moved one at a time from where a test image has them."""
    data, spread, latent = scene.data, scene.spread, scene.model.latent
    variance = scene.mu.var(axis=0)
    order = np.argsort(-variance)[:ROWS]
    active = int((variance > ACTIVE).sum())
    if not scene.fitted:
        order = order[: max(1, active)]
    one = slice(i := int(scene.rng().integers(len(data.test_images))), i + 1)
    label = data.test_labels[one]
    mu = scene.look(data.test_images[one], label, corrupt=False).mu
    z = np.tile(mu, (len(order), COLUMNS, 1))
    reach = np.linspace(-REACH, REACH, COLUMNS)
    for row, j in zip(z, order, strict=True):
        row[:, j] = spread.mean[j] + spread.deviation[j] * reach
    names = [f"z{j + 1}  {variance[j]:.2f}" for j in order]
    minus = "\N{MINUS SIGN}"
    ticks = [f"{minus}{REACH:g}", "0", f"{REACH:g}"]
    title = f"{active} of {latent} latents are in use; each row moves one of them"
    if not scene.is_standard:
        sigma = "\N{GREEK SMALL LETTER SIGMA}"
        ticks = [f"{minus}{REACH:g}{sigma}", "mean", f"{REACH:g}{sigma}"]
    if scene.fitted:
        title = f"The {len(order)} of {latent} latents that vary most, one at a time"
    key = "latent, and the variance of its \N{GREEK SMALL LETTER MU}"
    figures.named_rows(scene.decode(z, label), names, ticks, key, path, title)


def draw_walk(scene: Scene, path: Path) -> None:
    """Smooth random loops through latent space; with labels, one loop for all."""
    count, latent = scene.model.classes, scene.model.latent
    walkers = min(count, WALKERS) if count else WALKERS
    eps = smooth_loop(scene.rng(), FRAMES, (1 if count else walkers, latent))
    z = np.repeat(scene.spread.code(eps), walkers // eps.shape[1], axis=1)
    means = scene.decode(z, np.arange(walkers))
    where = scene.source
    if not (scene.is_standard or scene.fitted):
        where = f"a Gaussian with the moments of {where}"
    title = f"A smooth random walk through {where} decodes without a jump"
    if count:
        labels = "every label" if count == walkers else f"{walkers} of {count} labels"
        title = f"One code walks through {where}, decoded with {labels} at once"
    figures.walk(means, path, title)


def draw_curves(scene: Scene, path: Path) -> None:
    """How training went."""
    figures.learning_curves(history(scene.run), path)


def history(run: Run) -> list[dict[str, float]]:
    """The rows of history.csv."""
    path = run.path / "history.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(
            f"{path}: found a row that can't be read ({error}), expected numbers, as "
            "`numpyvae train` wrote them"
        ) from error


# ---- The kinds of pictures -----------------------------------------------------------


def _nothing(scene: Scene) -> str:
    return ""


def _no_plane(scene: Scene) -> str:
    latent = scene.model.latent
    if latent == 2:
        return ""
    return (
        f"found {latent} latent{'s' * (latent > 1)}, expected 2; draw latents instead"
    )


def _no_pairs(scene: Scene) -> str:
    if len(np.unique(scene.data.test_labels)) > 1:
        return ""
    return "found test images of one class, expected two classes to go between"


def _no_history(scene: Scene) -> str:
    if history(scene.run):
        return ""
    return (
        f"found no finished epoch in {scene.run.path / 'history.csv'}, expected one; "
        f"`numpyvae train --resume {scene.run.path}` goes on"
    )


class Kind(NamedTuple):
    """A picture that can be asked for by name."""

    draw: Callable[[Scene, Path], None]
    missing: Callable[[Scene], str] = _nothing  # why it can't be drawn, or ""
    suffix: str = ".png"


KINDS = {
    "reconstructions": Kind(draw_reconstructions),
    "samples": Kind(draw_samples),
    "latents": Kind(draw_latents),
    "manifold": Kind(draw_manifold, _no_plane),
    "interpolation": Kind(draw_interpolation, _no_pairs),
    "traversal": Kind(draw_traversal),
    "walk": Kind(draw_walk, suffix=".gif"),
    "curves": Kind(draw_curves, _no_history),
}
