"""The run folder: what it holds is enough, and nobody else's is touched."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data import tiny, write_idx
from small_runs import resume
from told import files, refused

from numpyvae import VAE, load_idx, train
from numpyvae.cli import parser as cli
from numpyvae.cli.commands.training import Due
from numpyvae.errors import ArgumentError, RunError
from numpyvae.runs.run import Run
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import EpochRecord, Trainer
from numpyvae.training.workers import Workers

COLUMNS = [
    "epoch", "train_recon", "train_kl", "train_elbo",
    "test_recon", "test_kl", "test_elbo", "seconds",
]  # fmt: skip
CONFIG: dict[str, Any] = {
    "preset": "default",
    "data": "idx",
    "data_dir": "three",
    "data_sha256": "0" * 64,
    "image_shape": [8, 6],
    "model": {"pixels": 48, "hidden": [16], "latent": 3},
    "training": {"lr": 1e-3, "binarize": "dynamic", "seed": 0},
    "versions": [],
}
RECORD = EpochRecord(1, 0.1, 1 / 3, -0.1 - 1 / 3, 2.5, 1e-9, -2.5, 0.25)


def test_create_makes_the_folder_with_its_config(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "deep" / "first"
    run = Run.create(path, CONFIG)
    assert json.loads((path / "config.json").read_text(encoding="utf-8")) == CONFIG
    assert Run.open(path).config == run.config


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert Run.create(tmp_path, CONFIG).path == tmp_path
    assert Run.open(tmp_path).config["data"] == "idx"


@pytest.mark.parametrize("name", ["config.json", "history.csv", ".hidden", "notes"])
def test_a_folder_with_anything_in_it_is_refused_and_untouched(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(RunError) as caught:
        Run.create(tmp_path, {})
    assert str(caught.value).startswith(f"{tmp_path}: found ")
    assert "--out" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert files(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_is_refused_and_untouched(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
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


KEYLESS = json.dumps({key: CONFIG[key] for key in CONFIG if key != "training"})


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"null", b"{}", KEYLESS.encode()]
)
def test_open_refuses_a_damaged_config(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(RunError, match=r"config\.json: found .*expected the config"):
        Run.open(tmp_path)


def test_history_has_a_row_for_each_epoch_to_the_last_digit(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    records = [RECORD, RECORD._replace(epoch=2, test_elbo=-1 / 7)]
    for count in (0, 1, 2, 1):  # one fewer: a run that went back to a checkpoint
        run.write_history(records[:count])
        with (run.path / "history.csv").open(newline="", encoding="utf-8") as file:
            heading, *rows = csv.reader(file)
        assert heading == COLUMNS
        found = [EpochRecord(int(row[0]), *map(float, row[1:])) for row in rows]
        assert found == records[:count]
    assert files(run.path).keys() == {"config.json", "history.csv", "run.lock"}


def test_metrics_are_written_as_they_are(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    for metrics in ({"test_elbo": -1 / 3, "ended": "done"}, {"ended": "interrupted"}):
        run.write_metrics(metrics)
        assert (
            json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
            == metrics
        )


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


# Resuming what does not fit together.


def test_fewer_epochs_than_are_done_are_refused(
    two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "epochs" in refused("train --resume r --epochs 1", capsys)


CHANGES = [
    ("training", "lr", 0.02),
    ("training", "seed", 5),
    ("training", "batch_size", 64),
    ("training", "beta", 0.5),
    ("training", "binarize", "static"),
    ("model", "hidden", [10]),
    ("model", "latent", 3),
    ("model", "activation", "tanh"),
    ("", "data_sha256", "0" * 64),
    ("", "image_shape", [6, 8]),
]


def edit(run: Path, part: str, key: str, value: object) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (config[part] if part else config)[key] = value
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(("part", "key", "value"), CHANGES)
def test_an_edited_config_is_refused(
    part: str,
    key: str,
    value: object,
    two_epochs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(two_epochs, part, key, value)
    said = refused("train --resume r --epochs 4", capsys)
    if key != "image_shape":  # told when the data are read
        assert f"found {part}{'.' * bool(part)}{key} {value!r} in config.json" in said
    assert "expected" in said


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("training", "learning_rate", 0.1),
        ("model", "colour", 3),
        ("", "training", None),
        ("", "model", None),
        ("", "image_shape", None),
        ("", "data", None),
        ("", "data", "fashion"),
        ("", "data_dir", 3),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(
    part: str,
    key: str,
    value: object,
    two_epochs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(two_epochs, part, key, value)
    refused("train --resume r --epochs 4", capsys)


def other_images() -> Any:
    data = tiny()
    data.train_images[5, 0, 0] ^= 1
    return data


def other_labels() -> Any:
    data = tiny()
    data.test_labels[5] ^= 1
    return data


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (other_images, "found other images than it was trained on"),
        (other_labels, "found other images than it was trained on"),
        (lambda: tiny(train=299), "found other images than it was trained on"),
        (lambda: tiny(9, 6), "found images of (9, 6), expected (8, 6)"),
    ],
    ids=["a pixel", "a label", "one fewer", "larger"],
)
def test_other_data_are_refused(
    make: Callable[[], Any],
    said: str,
    two_epochs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_idx(Path("other"), make())
    assert said in refused("train --resume r --epochs 4 --data-dir other", capsys)
    Path("three").rename("moved")
    assert resume("--epochs 4 --data-dir moved") == 0


NOT_WITH_RESUME = [
    "--data idx", "--preset default", "--batch-size 128", "--hidden 9", "--latent 20",
    "--activation relu", "--lr 0.01", "--beta 1", "--binarize dynamic", "--seed 4",
    "--seed 0", "--out r", "--out s",
]  # fmt: skip


@pytest.mark.parametrize("option", NOT_WITH_RESUME)
def test_options_that_do_not_go_with_resume_are_refused(
    option: str, two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = option.split()[0]
    assert f"--resume: found {name} with it" in refused(
        f"train --resume r {option}", capsys
    )
    assert not Path("s").exists()


@pytest.mark.parametrize("folder", ["nowhere", "three", "."])
def test_what_is_no_run_is_refused(
    folder: str, two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--resume", folder]) == 2
    assert capsys.readouterr().err.startswith(f"numpyvae: {folder}: found no config")


def test_other_data_are_refused_before_there_is_a_checkpoint(
    two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("checkpoint.npz", "checkpoint.previous.npz", "history.csv"):
        (two_epochs / name).unlink()
    (two_epochs / "metrics.json").unlink()
    write_idx(Path("other"), other_images())
    assert "found other images" in refused("train --resume r --data-dir other", capsys)


@pytest.mark.parametrize(
    "every",
    ["", "s", "-1", "+3", "x", "3m", "3 s", "1e3", "٣", "nan", "3ss", "0.5s"],
)
def test_what_says_no_interval_is_refused(
    every: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ArgumentError, match=r"--checkpoint-every: found .* such as 60s"
    ):
        Due(every)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--out", "r", "--checkpoint-every", every]) == 2
    assert not Path("r").exists()
