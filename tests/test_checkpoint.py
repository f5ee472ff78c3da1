"""Checkpoints: back to the bit, never half written, never believed unread."""

import gc
import hashlib
import io
import json
import math
import os
import pickle
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import tiny
from told import files, refusal

from numpyvae import VAE
from numpyvae import files as storage
from numpyvae.errors import RunError
from numpyvae.runs import checkpoint
from numpyvae.runs.checkpoint import (
    NAME,
    PREVIOUS,
    expect_state,
    load_checkpoint,
    model_of,
    save_checkpoint,
)
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

MODELS: list[dict[str, Any]] = [
    {"hidden": [16], "latent": 3},
    {"hidden": [9, 5], "latent": 2, "activation": "tanh", "decoder_hidden": [4]},
    {"hidden": [], "latent": 1, "dtype": np.float64},
]


def trained(**arguments: Any) -> Trainer:
    with Workers(1) as workers:
        trainer = Trainer(VAE(48, **arguments), tiny(), Settings(), workers)
        trainer.run_epoch()
    return trainer


def save(folder: Path, trainer: Trainer) -> None:
    arrays, state = trainer.state()
    save_checkpoint(folder, arrays, state | {"model": trainer.model.arguments()})


def load_model(folder: Path) -> VAE:
    arrays, state = load_checkpoint(folder)
    return model_of(arrays, state["model"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path, trained(**MODELS[0]))
    return tmp_path


@pytest.mark.parametrize("arguments", MODELS)
def test_what_is_saved_comes_back_to_the_bit(
    arguments: dict[str, Any], tmp_path: Path
) -> None:
    trainer = trained(**arguments)
    save(tmp_path, trainer)
    model = load_model(tmp_path)
    assert model.params.flat.tobytes() == trainer.model.params.flat.tobytes()
    assert model.arguments() == trainer.model.arguments()
    arrays, state = load_checkpoint(tmp_path)
    optimizer = trainer.optimizer
    expected = {
        "params": model.params.flat, "adam_m": optimizer.m, "adam_v": optimizer.v
    }  # fmt: skip
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].tobytes() == array.tobytes()
        assert arrays[name].any()
    assert state["adam_step"] == 3
    assert state["records"] == [list(record) for record in trainer.records]


def test_a_loaded_model_is_its_own(folder: Path) -> None:
    first, second = load_model(folder), load_model(folder)
    first.params.flat += 1
    assert not np.array_equal(first.params.flat, second.params.flat)
    assert list(files(folder)) == [NAME]


def test_no_array_needs_pickle(folder: Path) -> None:
    with np.load(folder / NAME, allow_pickle=False) as arrays:
        kinds = {arrays[name].dtype.kind for name in arrays.files}
    assert kinds <= set("fiu")


def test_the_comment_is_the_sha256_of_what_is_before_it(folder: Path) -> None:
    content = (folder / NAME).read_bytes()
    assert hashlib.sha256(content[:-64]).hexdigest().encode() == content[-64:]
    with zipfile.ZipFile(folder / NAME) as archive:
        assert archive.comment == content[-64:]
        assert archive.testzip() is None


def test_the_one_before_is_kept_and_nothing_else(tmp_path: Path) -> None:
    kept = []
    for latent in (1, 2, 3):
        save(tmp_path, trained(latent=latent))
        kept.append((tmp_path / NAME).read_bytes())
        expected = {NAME: kept[-1]} | ({PREVIOUS: kept[-2]} if latent > 1 else {})
        assert files(tmp_path) == expected
    assert load_model(tmp_path).latent == 3


def test_a_failure_half_way_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(folder)

    def fail_half_way(file: Any, **arrays: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail_half_way)
    with pytest.raises(RunError) as caught:
        save(folder, trained(**MODELS[1]))
    assert str(caught.value).startswith(f"{folder / NAME}: found No space left on dev")
    assert "\n" not in str(caught.value)
    assert files(folder) == before
    monkeypatch.undo()
    (folder / f"{NAME}.partial").write_bytes(b"left by one that was killed")
    save(folder, trained(**MODELS[1]))  # what is left over is not in the way
    assert load_model(folder).latent == 2
    assert files(folder).keys() == {NAME, PREVIOUS}


def test_what_this_process_wrote_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "read_file", lambda *_: pytest.fail("was read"))
    save(folder, trained(**MODELS[1]))
    assert sorted(os.listdir(folder)) == [NAME, PREVIOUS]


@pytest.mark.parametrize("way", ["changed", "cut", "replaced", "by a failed save"])
def test_a_damaged_one_takes_no_good_ones_place(
    way: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder, trained(**MODELS[1]))
    path, good = folder / NAME, folder / (NAME if "failed" in way else PREVIOUS)
    kept = good.read_bytes()
    if way == "by a failed save":
        monkeypatch.setattr(storage, "sync_folder", lambda _: os.stat("/none"))
        with pytest.raises(RunError, match="No such file"):
            save(folder, trained(**MODELS[1]))
        monkeypatch.undo()
    damaged = path.read_bytes()[:-1] + b"-" * (way != "cut")
    age = path.stat().st_mtime_ns
    if way == "replaced":
        path.rename(folder / "old")
    path.write_bytes(damaged)
    os.utime(path, ns=(0, age + 10**9 * (way == "changed")))
    save(folder, trained(**MODELS[2]))
    assert (folder / PREVIOUS).read_bytes() == kept


def refused(folder: Path) -> str:
    """The line with which the checkpoint is refused."""
    message = refusal(RunError, lambda: load_model(folder))
    assert message.startswith(f"{folder / NAME}: found ")
    assert "expected" in message
    return message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    refused(tmp_path)


def test_a_huge_file_is_refused_unread(folder: Path) -> None:
    with (folder / NAME).open("r+b") as file:
        file.truncate(checkpoint.MAX_BYTES + 1)  # of which the disk holds none
    tracemalloc.start()
    assert "over 2,147,483,648 bytes" in refused(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("epoch,train_recon\n", encoding="utf-8"),
        lambda path: path.write_bytes(pickle.dumps([1, 2])),
        write_npy,
        lambda path: np.savez(path, weights=np.zeros(3)),
        lambda path: np.savez(path, model=np.array([{}], object), params=np.zeros(3)),
    ],
    ids=["empty", "text", "pickle", "npy", "another npz", "pickle in an npz"],
)
def test_a_foreign_file_is_refused(
    write: Callable[[Path], object], folder: Path
) -> None:
    write(folder / NAME)
    refused(folder)


def sealed(path: Path, **contents: Any) -> None:
    """An .npz of any contents with the right SHA-256: another program's, or a lie."""
    buffer = io.BytesIO()
    np.savez(buffer, **contents)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = bytes(64)
    content = buffer.getvalue()[:-64]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def as_array(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("params", np.zeros(3, np.float32)),
        ("params", np.zeros((1, 1766), np.float32)),
        ("params", np.zeros(1766, np.float64)),
        ("params", np.zeros(1766, object)),
        ("params", np.full(1766, np.nan, np.float32)),
        ("params", np.zeros(1766, ">f4")),
        ("params", None),
        ("adam_m", np.zeros(1765, np.float32)),
        ("adam_v", np.full(1766, -1, np.float32)),
        ("adam_v", np.zeros(1766)),
        ("more", np.zeros(1766, np.float32)),
        ("state", as_array("[" * 100_000)),
        ("state", as_array("[1]")),
        ("state", np.frombuffer(b"\xff\xfe", np.uint8)),
        ("state", np.zeros(0, np.uint8)),
        ("state", None),
        ("model", "[1, 2]"),
        ("model", "{"),
        ("model", '{"latent": -1}'),
        ("model", '{"latent": "x"}'),
        ("model", '{"colour": 3}'),
        ("model", "null"),
    ],
)
def test_contents_that_do_not_fit_are_refused(
    name: str, value: Any, folder: Path
) -> None:
    arrays, state = load_checkpoint(folder)
    assert arrays["params"].shape == (1766,)
    contents = {**arrays, "state": as_array(json.dumps(state))}
    if name == "model":
        text = json.dumps(state | {"model": "here"}).replace('"here"', value)
        contents["state"] = as_array(text)
    else:
        contents[name] = value
    sealed(folder / NAME, **{n: v for n, v in contents.items() if v is not None})
    with pytest.raises(RunError, match=r"found .* expected") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("params", np.zeros(3, np.float32)),
        ("adam_step", 4),
        ("adam_step", None),
        ("start", 1),
        ("start", 128.0),
        ("start", 10**30),
        ("recon", math.nan),
        ("kl", 10**400),
        ("seconds", "0"),
        ("records", []),
        ("records", [[1.0, *[0.0] * 7]]),
        ("records", [[2, *[0.0] * 7]]),
        ("records", [[1, 0.0]]),
        ("records", [[1, *[math.inf] * 7]]),
        ("records", {"a": 1}),
        ("order_state", {"bit_generator": "MT19937"}),
        ("shard_states", []),
        ("shard_states", [{}, {}]),
    ],
)
def test_a_state_that_no_training_has_is_refused(name: str, value: Any) -> None:
    trainer = trained(**MODELS[0])
    arrays, state = trainer.state()
    expect_state(trainer, arrays, json.loads(json.dumps(state)))
    for part in (arrays, state):
        if name in part:
            part[name] = value
    with pytest.raises(RunError, match=r"found .* expected what `numpyvae train`"):
        expect_state(trainer, arrays, json.loads(json.dumps(state)))


def test_what_would_be_too_large_to_load_is_not_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(folder)
    for name in ("MAX_BYTES", "MAX_STATE"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, name, 1000)
            with pytest.raises(RunError, match="expected at most 1,000"):
                save(folder, trained(**MODELS[0]))
        assert files(folder) == before


def test_a_truncated_file_is_refused_wherever_it_ends(folder: Path) -> None:
    whole = (folder / NAME).read_bytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for length in np.linspace(0, len(whole) - 1, 40).astype(int):
            (folder / NAME).write_bytes(whole[:length])
            refused(folder)
        gc.collect()
    assert not caught, caught[0].message  # such as a file left open


@pytest.mark.parametrize("place", [0, 60, 5000, -65, -64, -1])
def test_a_flipped_bit_is_refused(place: int, folder: Path) -> None:
    whole = bytearray((folder / NAME).read_bytes())
    whole[place] ^= 1
    (folder / NAME).write_bytes(whole)
    assert "SHA-256" in refused(folder)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [damage, Path.unlink], ids=["damaged", "missing"])
def test_the_previous_one_is_fallen_back_on_and_it_is_said(
    harm: Callable[[Path], None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load_model(folder).params.flat.tobytes()
    save(folder, trained(**MODELS[1]))
    assert load_model(folder).latent == 2
    assert capsys.readouterr().err == ""
    harm(folder / NAME)
    before = files(folder)
    assert load_model(folder).params.flat.tobytes() == first
    said = capsys.readouterr().err
    assert said.startswith(f"numpyvae: {folder / NAME}: found ")
    assert said.endswith(f"; going on with {PREVIOUS}\n")
    assert said.count("\n") == 1
    assert files(folder) == before
    damage(folder / PREVIOUS)
    refused(folder)  # names the newest
    assert capsys.readouterr().err == ""
