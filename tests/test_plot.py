"""`numpyvae plot`: what it decodes, seen where it is handed over to be drawn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import tiny, write_idx
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from numpyvae import VAE, figures
from numpyvae.cli import parser as cli
from numpyvae.cli.commands.pictures import Scene
from numpyvae.cli.commands.plot import (
    COLUMNS,
    FRAMES,
    HARMONICS,
    KINDS,
    PAIRS,
    STEPS,
    pairs_apart,
    smooth_loop,
)  # fmt: skip
from numpyvae.pairs.posteriors import POSTERIORS
from numpyvae.runs.run import Run

Capsys = pytest.CaptureFixture[str]
Trained = Callable[[str], Path]
SMALL = "--epochs 1 --hidden 9 --lr 0.01 --seed 4 --threads 1"
GREY = "--likelihood gaussian --binarize none"
RUNS = {
    **{name: f"--latent 3 --posterior {name}" for name in POSTERIORS},
    "plane": "--latent 2",
    "line": "--latent 1",
    "convolutional": "--latent 3 --channels 2",
    "conditional": "--latent 3 --conditional",
    "conditional plane": "--latent 2 --conditional",
    "auto-encoder": f"--latent 2 --posterior point {GREY}",
    "conditional auto-encoder": f"--latent 3 --posterior point --conditional {GREY}",
    "denoising": f"--latent 3 --posterior point {GREY} --corrupt gaussian --level 2",
}


def call(command: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(command.split()) == 0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_idx(tmp_path_factory.mktemp("source") / "three", tiny())


@pytest.fixture(scope="module")
def trained(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run of a name in RUNS, trained when first asked for, its pictures drawn."""
    folder = tmp_path_factory.mktemp("runs")

    def train(name: str) -> Path:
        run = folder / name.replace(" ", "-")
        if not run.exists():
            options = f"--data idx --data-dir {source} --out {run} {SMALL} {RUNS[name]}"
            with pytest.MonkeyPatch.context() as patch:
                for figure in figures.__all__:
                    patch.setattr(figures, figure, lambda *_: None)
                call(f"train {options}")
        return run

    return train


class Stage:
    """Runs that can be plotted, nothing being drawn, and what was to be drawn."""

    def __init__(self, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained = trained
        self.handed: dict[str, tuple[Any, ...]] = {}  # to figures, by their name
        self.decoded: list[tuple[NDArray, Any]] = []  # codes and labels
        for name in figures.__all__:
            monkeypatch.setattr(
                figures, name, lambda *args, name=name: self.handed.update({name: args})
            )
        decode = VAE.decode

        def spy(model: VAE, z: NDArray, labels: NDArray | None = None) -> NDArray:
            self.decoded.append((z.copy(), labels))
            return decode(model, z, labels)

        monkeypatch.setattr(VAE, "decode", spy)

    def plot(self, name: str, options: str, command: str = "plot") -> Scene:
        """Plot the run of this name; what it was plotted from."""
        run = self.trained(name)
        call(f"{command} {run} {options}")
        return Scene(Run.open(run), 4)


@pytest.fixture
def stage(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(trained, monkeypatch)


def refused(arguments: list[str], capsys: Capsys) -> str:
    capsys.readouterr()
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


@pytest.mark.slow("every picture of every posterior")
@pytest.mark.parametrize("name", [*POSTERIORS, "plane"])
def test_every_kind_makes_its_file(
    name: str, trained: Trained, tmp_path: Path, capsys: Capsys
) -> None:
    run, out = trained(name), tmp_path / "a" / "b"
    assert cli.main(["plot", str(run), "--out", str(out)]) == 0
    kinds = {k: v for k, v in KINDS.items() if k != "manifold" or name == "plane"}
    files = [out / f"{kind}{entry.suffix}" for kind, entry in kinds.items()]
    assert capsys.readouterr().out.splitlines() == [str(file) for file in files]
    assert set(out.iterdir()) == set(files)
    for file in files:
        with Image.open(file) as picture:
            assert picture.format == file.suffix[1:].upper()


@pytest.mark.parametrize("name", RUNS)
def test_nothing_that_applies_fails(name: str, stage: Stage) -> None:
    stage.plot(name, "")
    assert ("manifold" in stage.handed) == ("--latent 2" in RUNS[name])
    assert {"latents", "interpolation", "walk", "learning_curves"} <= set(stage.handed)
    for figure, (images, *_) in stage.handed.items():
        if figure not in ("latents", "learning_curves"):
            assert np.asarray(images).shape[-2:] == (8, 6)
    stage.handed.clear()
    stage.plot(name, "walk curves")
    assert set(stage.handed) == {"walk", "learning_curves"}


def test_plot_repeats_training(source: Path, tmp_path: Path, stage: Stage) -> None:
    where = f"--data idx --data-dir {source} --out {tmp_path / 'run'} {SMALL}"
    kind = "--latent 2 --posterior point --corrupt mask"
    for command in (f"train {where} {kind}", f"plot {tmp_path / 'run'}"):
        before = dict(stage.handed)
        call(command)
    assert len(before) == 5
    assert before.pop("learning_curves") == stage.handed["learning_curves"]
    for name, arguments in before.items():
        for one, other in zip(arguments, stage.handed[name], strict=True):
            assert np.array_equal(one, other), name


def test_an_interpolation_goes_from_code_to_code(stage: Stage) -> None:
    scene = stage.plot("auto-encoder", "interpolation")  # it sees the grey pixels
    first, between, last, *_ = stage.handed["interpolation"]
    model = scene.model
    ((z, _),) = stage.decoded
    z = z.reshape(PAIRS, STEPS, 2)
    for images, end in ((first, 0), (last, -1)):
        mu, _ = model.encode(images.reshape(PAIRS, -1).astype(np.float32) / 255)
        assert z[:, end] == pytest.approx(mu, abs=1e-6)
        means = model.decode(mu).reshape(PAIRS, 8, 6)
        assert between[:, end] == pytest.approx(means, abs=1e-5)
    steps = np.diff(z, axis=1)
    assert steps == pytest.approx(np.broadcast_to(steps[:, :1], steps.shape), abs=1e-5)


def test_an_interpolation_has_the_label_of_the_nearer_end(stage: Stage) -> None:
    stage.plot("conditional", "interpolation")
    one, other = np.hsplit(np.reshape(stage.decoded[-1][1], (PAIRS, STEPS)), 2)
    assert np.all(one == one[:, :1]) and np.all(other == other[:, :1])
    assert np.all(one != other)
    assert "label" in stage.handed["interpolation"][-1]


def test_pairs_are_of_two_classes_and_use_no_image_twice(rng: Generator) -> None:
    assert len(np.unique(pairs_apart(rng.integers(0, 2, 40), rng))) == 2 * PAIRS
    assert len(pairs_apart(np.array([0, 0, 0, 1]), rng)) == 1
    assert pairs_apart(np.zeros(5, int), rng) == []


@pytest.mark.parametrize("name", ["diagonal", "conditional", "auto-encoder"])
def test_a_row_of_a_traversal_changes_one_latent_alone(name: str, stage: Stage) -> None:
    scene = stage.plot(name, "traversal --seed 2")
    _, names, ticks, *_, title = stage.handed["named_rows"]
    variance, latent = scene.mu.var(axis=0), scene.model.latent
    z = stage.decoded[-1][0].reshape(-1, COLUMNS, latent)
    moved = [int(text.split()[0][1:]) - 1 for text in names]
    assert moved == np.argsort(-variance)[: len(names)].tolist()
    for row, j, text in zip(z, moved, names, strict=True):
        assert text.endswith(f" {variance[j]:.2f}")
        rest = np.delete(row, j, axis=1)
        assert np.array_equal(rest, np.broadcast_to(rest[0], rest.shape))
        mean, deviation = scene.spread.mean[j], scene.spread.deviation[j]
        reach = np.linspace(-3, 3, COLUMNS)
        assert (row[:, j] - mean) / deviation == pytest.approx(reach, abs=1e-5)
    if name == "auto-encoder":  # where another moves, each has a test image's mu
        own = np.array([z[1, 0, moved[0]], z[0, 0, moved[1]]])
        assert np.abs(scene.mu[:, moved[:2]] - own).max(axis=1).min() < 1e-5
        assert "that vary most" in title and ticks[1] == "mean"
    else:
        assert title.startswith(f"{(variance > 0.01).sum()} of {latent} latents are in")


def test_a_walk_stays_n01_goes_in_small_steps_and_closes(rng: Generator) -> None:
    z = smooth_loop(rng, FRAMES, (40_000,))
    error = 5 / np.sqrt(40_000)
    assert np.abs(z.mean(axis=1)).max() < error
    assert np.abs(z.var(axis=1) - 1).max() < error * np.sqrt(2)
    assert np.abs((z**4).mean(axis=1) - 3).max() < error * np.sqrt(96)
    steps = np.roll(z, -1, axis=0) - z  # the last is from the end to the start
    k = np.arange(1, HARMONICS + 1)
    expected = 2 * (1 - np.cos(2 * np.pi * k / FRAMES)).mean()
    assert (steps**2).mean(axis=1) == pytest.approx(np.full(FRAMES, expected), rel=0.05)
    assert np.sqrt(expected) < 0.2


@pytest.mark.parametrize("name", ["diagonal", "conditional", "auto-encoder"])
def test_what_walks(name: str, stage: Stage) -> None:
    scene = stage.plot(name, "walk")
    frames, *_ = stage.handed["walk"]
    z, labels = stage.decoded[-1]
    z = z.reshape(FRAMES, frames.shape[1], scene.model.latent)
    eps = (z - scene.spread.mean) / scene.spread.deviation
    assert (eps**2).mean() == pytest.approx(1, abs=0.5)
    assert np.abs(np.roll(eps, -1, axis=0) - eps).max() < 1
    if labels is None:
        assert len(np.unique(z[0], axis=0)) == frames.shape[1]
    else:  # one code, every label
        assert np.array_equal(labels.reshape(FRAMES, 3), [[0, 1, 2]] * FRAMES)
        assert np.array_equal(z, np.broadcast_to(z[:, :1], z.shape))


@pytest.mark.parametrize("name", ["conditional", "conditional auto-encoder"])
@pytest.mark.parametrize("count", [1, 12, 13])
def test_conditional_samples_have_a_row_for_each_label(
    count: int, name: str, stage: Stage
) -> None:
    stage.plot(name, f"--count {count}", "sample")
    means, names, *_, title = stage.handed["named_rows"]
    columns = -(-count // 3)
    assert means.shape == (3, columns, 8, 6) and names == ["0", "1", "2"]
    assert "label" in title
    z, given = stage.decoded[-1]
    assert np.array_equal(given, np.repeat([0, 1, 2], columns))
    assert len(np.unique(z, axis=0)) == 3 * columns


def test_an_auto_encoders_samples_have_its_codes_moments(stage: Stage) -> None:
    scene = stage.plot("auto-encoder", "--count 20000", "sample")
    z = stage.decoded[-1][0].astype(np.float64)
    x = tiny().train_images.reshape(-1, 48).astype(np.float32) / 255
    mu, _ = scene.model.encode(x)
    spread = mu.std(axis=0)
    assert np.abs(z.mean(axis=0) - mu.mean(axis=0)).max() < 5 * spread.max() / 141
    assert z.std(axis=0) == pytest.approx(spread, rel=0.03)
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / 141  # factored
    assert "no prior" in stage.handed["samples"][-1]


def test_a_vae_samples_without_its_data(source: Path, stage: Stage) -> None:
    stage.trained("diagonal")
    gone = source.rename(source.with_name("gone"))
    try:
        stage.plot("diagonal", "", "sample")
    finally:
        gone.rename(source)
    assert "N(0, I)" in stage.handed["samples"][-1]


def test_denoising_shows_what_the_encoder_saw(stage: Stage) -> None:
    scene = stage.plot("denoising", "reconstructions")
    originals, means, _, title, seen = stage.handed["reconstructions"]
    assert np.array_equal(originals, tiny().test_images[:20])
    noise = seen - originals / 255
    assert noise.std() == pytest.approx(2, rel=0.1)  # of the level
    flat, eps = seen.reshape(20, -1), np.zeros((20, 3), np.float32)
    forward = scene.model.forward(flat, eps, seen=flat)
    expected = scene.model.likelihood.mean(forward.gs[-1].y)
    assert means == pytest.approx(expected.reshape(means.shape), abs=1e-5)
    assert "noise" in title and "restored" in title


def test_a_conditional_model_is_given_the_labels(stage: Stage) -> None:
    stage.plot("conditional", "reconstructions")
    assert np.array_equal(stage.decoded[-1][1], tiny().test_labels[:20])
    stage.plot("conditional plane", "manifold")
    label = tiny().test_labels[0]
    z, given = stage.decoded[-1]
    assert np.all(given == label) and len(z) == 400
    assert stage.handed["manifold"][-1].endswith(f"label {label}")


def test_the_manifold_of_an_auto_encoder_spans_its_codes(stage: Stage) -> None:
    scene = stage.plot("auto-encoder", "manifold latents")
    z = stage.decoded[-1][0].reshape(20, 20, 2)
    assert z.mean(axis=(0, 1)) == pytest.approx(scene.spread.mean, abs=1e-3)
    assert z.std(axis=(0, 1)) == pytest.approx(scene.spread.deviation, rel=0.06)
    assert np.all(np.diff(z[0, :, 0]) > 0) and np.all(np.diff(z[:, 0, 1]) < 0)
    assert stage.handed["latents"][-1] is False  # no circles of N(0, I)


def test_foreign_images_have_a_picture_of_their_own(
    stage: Stage, tmp_path: Path, capsys: Capsys
) -> None:
    other = write_idx(tmp_path / "other", tiny(test=9))
    scene = stage.plot("auto-encoder", f"--data idx --data-dir {other}", "reconstruct")
    originals, _, drawn, _ = stage.handed["reconstructions"]
    assert drawn == scene.run.path / "reconstructions-idx.png"
    assert np.array_equal(originals, tiny(test=9).test_images)
    stage.handed.clear()
    larger = write_idx(tmp_path / "larger", tiny(9, 6))
    ask = ["reconstruct", str(scene.run.path), "--data", "idx", "--data-dir"]
    said = refused([*ask, str(larger)], capsys)
    assert "--data idx: found images of 9 x 6, expected 8 x 6" in said
    assert not stage.handed


def test_a_kind_that_does_not_apply_says_why_before_anything_is_drawn(
    stage: Stage, tmp_path: Path, capsys: Capsys
) -> None:
    out = tmp_path / "out"
    ask = ["plot", "--out", str(out), str(stage.trained("diagonal")), "samples"]
    stage.handed.clear()
    said = refused([*ask, "manifold"], capsys)
    assert "manifold: found 3 latents, expected 2" in said
    assert "plot: found 'dance', expected" in refused([*ask, "dance"], capsys)
    assert "seed: found -1" in refused([*ask, "--seed", "-1"], capsys)
    data = tiny()
    data.test_labels[:] = 1
    alone = write_idx(tmp_path / "alone", data)
    said = refused([*ask, "interpolation", "--data-dir", str(alone)], capsys)
    assert "interpolation: found test images of one class, expected" in said
    assert not stage.handed and not out.exists()
    out.mkdir()
    (out / "walk.gif").write_text("of mine", encoding="utf-8")
    said = refused([*ask, "walk"], capsys)
    assert "walk.gif: found a file that is no picture" in said
    assert not stage.handed


def test_curves_need_a_history(stage: Stage, capsys: Capsys) -> None:
    path = stage.plot("line", "curves").run.path / "history.csv"
    before = path.read_text(encoding="utf-8")
    for text, reason in (
        ("epoch,test_elbo\n", "curves: found no finished epoch"),
        ("epoch,test_elbo\n1,two\n", "history.csv: found a row that can't be read"),
    ):
        path.write_text(text, encoding="utf-8")
        assert reason in refused(["plot", str(path.parent), "curves"], capsys)
    path.write_text(before, encoding="utf-8")
