"""Comparing runs: the table's numbers, what has no rank, what is drawn."""

import contextlib
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from data import tiny, write_idx
from small_runs import train_runs

from numpyvae import figures
from numpyvae.cli import parser as cli
from numpyvae.cli.commands.compare import (
    PICTURES,
    most_active,
    names,
    pick,
    sweeps,
)
from numpyvae.figures.comparison import Point, latent_panels, rate_distortion
from numpyvae.runs.run import Run

RUNS = {
    "half": "--epochs 2 --beta 0.5",
    "two": "--epochs 2 --beta 2",
    "point": "--epochs 2 --posterior point",
    "hard": "--epochs 2 --binarize threshold",
    "told": "--epochs 2 --conditional",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    other = write_idx(folder / "other", tiny(train=200))
    foreign = f"--epochs 2 --data-dir {other}"
    with contextlib.redirect_stdout(io.StringIO()):
        return train_runs(folder, {**RUNS, "foreign": foreign})


def compared(made: Path, *runs: str) -> list[str]:
    folders = [str(made / run) for run in runs]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main(["compare", *folders, "--out", str(made / "out")]) == 0
    return printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def everything(made: Path) -> list[str]:
    """What is printed of all runs."""
    return compared(made, *RUNS)


# ---- The table -----------------------------------------------------------------------


def test_the_table_holds_the_numbers_of_evaluate(
    made: Path, everything: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = everything
    assert lines[1].split()[:5] == ["run", "posterior", "prior", "likelihood", "beta"]
    for name, line in zip(RUNS, lines[2:], strict=False):
        cells = line.replace("*", "").split()
        capsys.readouterr()
        assert cli.main(["evaluate", str(made / name)]) == 0
        told = capsys.readouterr().out
        found = re.findall(r"^(?:reconstruction|KL|ELBO) +(-?[\d.]+)", told, re.M)
        assert cells[0] == name
        if name == "point":
            assert cells[4] == "-" and cells[6:8] == ["-", "-"]
            found = found[:1]
        for cell, number in zip(cells[5:], found, strict=False):
            assert float(cell) == pytest.approx(float(number), abs=0.0051)


def test_other_binarizations_and_conditions_are_marked(
    made: Path, everything: list[str]
) -> None:
    runs = everything[2:7]
    assert [line.count("*") for line in runs] == [0, 0, 0, 4, 4]
    assert [line.split()[-1] for line in runs] == [
        "dynamic", "dynamic", "dynamic", "threshold", "dynamic",
    ]  # fmt: skip
    (said,) = [line for line in everything if line.startswith("*")]
    assert "no rank" in said
    assert not any("*" in line for line in compared(made, "half", "two"))


def test_an_auto_encoder_is_told_to_have_no_prior(everything: list[str]) -> None:
    said = [line for line in everything if "no prior" in line]
    assert [line.split(":")[0] for line in said] == ["point"]


def test_four_pictures_are_drawn(made: Path, everything: list[str]) -> None:
    for name in PICTURES:
        assert (made / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"{name}.png" in everything[-1]


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (["half", "foreign"], "found a run of other images"),
        (["half"], "found one run, expected two or more"),
        (["half", "three"], "found no config.json"),
    ],
)
def test_what_can_not_be_compared_is_refused(
    made: Path, runs: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    folders = [str(made / run) for run in runs]
    assert cli.main(["compare", *folders, "--out", str(made / "refused")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (made / "refused").exists()


def test_what_is_no_picture_is_not_replaced(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latents.png").write_text("of mine", encoding="utf-8")
    folders = [str(made / run) for run in ("half", "two")]
    assert cli.main(["compare", *folders, "--out", str(tmp_path)]) == 2
    assert "latents.png: found a file that is no picture" in capsys.readouterr().err
    assert (tmp_path / "latents.png").read_text(encoding="utf-8") == "of mine"
    assert [path.name for path in tmp_path.iterdir()] == ["latents.png"]


# ---- What is put side by side --------------------------------------------------------


def test_images_are_picked_from_each_class_in_turn() -> None:
    labels = np.array([1, 1, 1, 0, 2, 0, 1])
    assert labels[pick(labels)].tolist() == [0, 1, 2, 0, 1, 1, 1]
    assert pick(labels)[:3].tolist() == [3, 0, 4]
    assert len(pick(np.arange(100) % 10)) == 10


def test_the_most_active_latents_are_those_of_largest_variance(
    rng: np.random.Generator,
) -> None:
    mu = rng.standard_normal((100, 4)) * [0.1, 3, 0, 2] + 9
    axes, codes = most_active(mu)
    assert axes == ("z2", "z4")
    assert np.array_equal(codes, mu[:, [1, 3]])
    assert most_active(mu[:, :1])[1].shape == (100, 2)


def test_runs_that_differ_in_beta_alone_are_joined(made: Path) -> None:
    entries = [
        SimpleNamespace(
            scene=SimpleNamespace(run=run, settings=SimpleNamespace(beta=beta)),
            has_prior=name != "point",
        )
        for name in ("two", "hard", "point", "half")
        for run in [Run.open(made / name)]
        for beta in [run.config["training"]["beta"]]
    ]  # fmt: skip
    assert sweeps(entries) == [[3, 0]]  # type: ignore[arg-type]


def test_two_folders_of_one_name_are_told_by_their_paths() -> None:
    a, b, c = (Run(Path(path), {}) for path in ("x/run", "y/run", "x/other"))
    assert names([a, c]) == ["run", "other"]
    assert names([a, b]) == [str(Path("x/run")), str(Path("y/run"))]


@pytest.mark.parametrize(
    "rates", [[None], [None, None], [3.0, 3.0], [0.0], [2.0, None]]
)
def test_rates_of_any_kind_are_drawn(rates: list[float | None], tmp_path: Path) -> None:
    points = [Point(f"run {i}", rate, 90.0, i == 0) for i, rate in enumerate(rates)]
    rate_distortion(points, [], tmp_path / "r.png", "title")
    assert (tmp_path / "r.png").stat().st_size > 1000


def test_latents_far_off_and_dead_ones_are_drawn(tmp_path: Path) -> None:
    labels = np.arange(30) % 3
    far, dead = np.full((30, 2), 1e4), np.zeros((30, 2))
    panels = [("a" * 60, ("z1", "z2"), far), ("dead", ("z1", ""), dead)]
    latent_panels(panels, labels, tmp_path / "l.png", "title")
    assert (tmp_path / "l.png").stat().st_size > 1000


def test_the_pictures_are_public() -> None:
    assert {"rate_distortion", "latent_panels"} <= set(figures.__all__)
