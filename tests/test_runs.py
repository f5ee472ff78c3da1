"""The run folder: what it holds is enough, and nobody else's is touched."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import tiny, write_idx

from numpyvae import VAE, __version__, cli, load_idx, train
from numpyvae.errors import RunError
from numpyvae.runs import Run, free_path
from numpyvae.train import EpochRecord, Settings, Trainer
from numpyvae.workers import Workers

COLUMNS = [
    "epoch", "train_recon", "train_kl", "train_elbo",
    "test_recon", "test_kl", "test_elbo", "seconds",
]  # fmt: skip
CONFIG: dict[str, Any] = {
    "preset": "default",
    "data": "idx",
    "data_dir": "three",
    "image_shape": [8, 6],
    "model": {"pixels": 48},
    "training": {"lr": 1e-3, "binarize": "dynamic", "seed": 0},
}
RECORD = EpochRecord(1, 0.1, 1 / 3, -0.1 - 1 / 3, 2.5, 1e-9, -2.5, 0.25)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_free_path_is_the_first_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "default.v1-idx"
    found = []
    for make in (Path.mkdir, Path.touch, Path.mkdir):
        found.append(free_path(path).name)
        make(free_path(path))
    assert found == ["default.v1-idx", "default.v1-idx-2", "default.v1-idx-3"]


def test_free_path_makes_nothing(tmp_path: Path) -> None:
    assert free_path(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not list(tmp_path.iterdir())


def test_create_makes_the_folder_with_its_config(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "deep" / "first"
    run = Run.create(path, CONFIG)
    found = json.loads((path / "config.json").read_text())
    versions = found.pop("versions")
    assert found == CONFIG
    assert versions["numpyvae"] == __version__
    assert versions["numpy"] == np.__version__
    assert set(versions) == {"numpyvae", "python", "numpy", "numba", "matplotlib"}
    assert Run.open(path).config == run.config


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert Run.create(tmp_path, CONFIG).path == tmp_path
    assert Run.open(tmp_path).config["data"] == "idx"


@pytest.mark.parametrize("name", ["config.json", "history.csv", ".hidden", "notes"])
def test_a_folder_with_anything_in_it_is_refused_and_untouched(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError) as caught:
        Run.create(tmp_path, {})
    assert str(caught.value).startswith(f"{tmp_path}: found ")
    assert "--out" in str(caught.value)
    assert files(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_is_refused_and_untouched(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="expected a folder to write to"):
        Run.create(tmp_path / "file" / below, {})
    assert files(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("name", [".", "nowhere", "file"])
def test_open_refuses_what_is_no_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError) as caught:
        Run.open(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"null"])
def test_open_refuses_a_damaged_config(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(RunError, match=r"config\.json: found .*expected the config"):
        Run.open(tmp_path)


def test_history_has_a_row_for_each_epoch_to_the_last_digit(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    records = [RECORD, RECORD._replace(epoch=2, test_elbo=-1 / 7)]
    for i, record in enumerate(records):
        run.append(record)
        with (run.path / "history.csv").open(newline="") as file:
            heading, *rows = csv.reader(file)
        assert heading == COLUMNS
        found = [EpochRecord(int(row[0]), *map(float, row[1:])) for row in rows]
        assert found == records[: i + 1]


def test_metrics_are_written_as_they_are(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    for metrics in ({"test_elbo": -1 / 3, "ended": "done"}, {"ended": "interrupted"}):
        run.write_metrics(metrics)
        assert json.loads((run.path / "metrics.json").read_text()) == metrics


def test_a_trained_model_comes_back(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    with Workers(1) as workers:
        trainer = Trainer(VAE(48, [16], 3), tiny(), Settings(), workers)
        run.save(trainer)
        untrained = run.load_model().params.flat
        assert untrained.tobytes() == trainer.model.params.flat.tobytes()
        trainer.run_epoch()
        run.save(trainer)
    model = Run.open(run.path).load_model()
    assert model.params.flat.tobytes() == trainer.model.params.flat.tobytes()
    assert model.params.flat.tobytes() != untrained.tobytes()


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    with pytest.raises(RunError, match=r"checkpoint\.npz: found no such file"):
        run.load_model()


def test_config_json_is_enough_to_train_again(tmp_path: Path) -> None:
    source = write_idx(tmp_path / "three", tiny())
    run = tmp_path / "run"
    odd = "--epochs 2 --batch-size 45 --hidden 9 7 --latent 2 --activation tanh"
    odder = "--lr 0.02 --beta 0.5 --binarize static --seed 11 --threads 2"
    options = f"train --data idx --data-dir {source} {odd} {odder} --out {run}"
    assert cli.main(options.split()) == 0
    config = Run.open(run).config
    model = VAE(**config["model"], seed=config["training"]["seed"])
    train(model, load_idx(config["data_dir"]), progress=False, **config["training"])
    assert (
        model.params.flat.tobytes() == Run.open(run).load_model().params.flat.tobytes()
    )
