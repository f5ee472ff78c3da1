"""Checkpoints: back to the bit, never half written, never believed unread."""

import gc
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import tiny

from numpyvae import VAE
from numpyvae.checkpoint import load_model, save_checkpoint
from numpyvae.errors import RunError
from numpyvae.optim import Adam
from numpyvae.train import Settings, Trainer
from numpyvae.workers import Workers

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


def save(path: Path, trainer: Trainer) -> None:
    save_checkpoint(path, trainer.model, trainer.optimizer, trainer.epoch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.npz"
    save(path, trained(**MODELS[0]))
    return path


@pytest.mark.parametrize("arguments", MODELS)
def test_what_is_saved_comes_back_to_the_bit(
    arguments: dict[str, Any], tmp_path: Path
) -> None:
    trainer, path = trained(**arguments), tmp_path / "checkpoint.npz"
    save(path, trainer)
    model = load_model(path)
    assert model.params.flat.tobytes() == trainer.model.params.flat.tobytes()
    assert model.arguments() == trainer.model.arguments()
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    optimizer = trainer.optimizer
    for name, expected in {"adam_m": optimizer.m, "adam_v": optimizer.v}.items():
        assert state[name].dtype == expected.dtype
        assert state[name].tobytes() == expected.tobytes()
        assert state[name].any()
    assert (state["adam_step"], state["epoch"]) == (3, 1)


def test_a_loaded_model_is_its_own(path: Path) -> None:
    first, second = load_model(path), load_model(path)
    first.params.flat += 1
    assert not np.array_equal(first.params.flat, second.params.flat)
    assert path.is_file()


def test_no_array_needs_pickle(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        kinds = {arrays[name].dtype.kind for name in arrays.files}
    assert kinds <= set("fiu")


def test_saving_replaces_and_leaves_nothing_else(path: Path) -> None:
    model = VAE(48, [16], 3, seed=9)
    save_checkpoint(path, model, Adam(model.params.flat, model.pairs), 7)
    assert load_model(path).params.flat.tobytes() == model.params.flat.tobytes()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failure_half_way_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, bits = path.read_bytes(), load_model(path).params.flat.tobytes()
    savez = np.savez

    def fail_half_way(file: Any, **arrays: Any) -> None:
        savez(file, params=arrays["params"])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail_half_way)
    with pytest.raises(OSError, match="No space left"):
        save(path, trained(**MODELS[1]))
    assert path.read_bytes() == before
    assert load_model(path).params.flat.tobytes() == bits
    monkeypatch.undo()
    save(path, trained(**MODELS[1]))  # what is left over is not in the way
    assert load_model(path).latent == 2


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: found ")
    assert "expected" in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "checkpoint.npz")
    assert not list(tmp_path.iterdir())


def test_a_directory_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path)


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("epoch,train_recon\n"),
        lambda path: path.write_bytes(pickle.dumps([1, 2])),
        write_npy,
        lambda path: np.savez(path, weights=np.zeros(3)),
        lambda path: np.savez(path, model=np.array([{}], object), params=np.zeros(3)),
    ],
    ids=["empty", "text", "pickle", "npy", "another npz", "pickle in an npz"],
)
def test_a_foreign_file_is_refused(write: Callable[[Path], object], path: Path) -> None:
    write(path)
    refusal(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("params", np.zeros(3, np.float32)),
        ("params", np.zeros((1, 1766), np.float32)),
        ("params", np.zeros(1766, np.float64)),
        ("model", np.frombuffer(b"[1, 2]", np.uint8)),
        ("model", np.frombuffer(b"{", np.uint8)),
        ("model", np.frombuffer(b"\xff\xfe", np.uint8)),
        ("model", np.frombuffer(b'{"latent": -1}', np.uint8)),
        ("model", np.frombuffer(b'{"latent": "x"}', np.uint8)),
        ("model", np.frombuffer(b'{"colour": 3}', np.uint8)),
    ],
)
def test_contents_that_do_not_fit_are_refused(
    name: str, value: np.ndarray, path: Path
) -> None:
    with np.load(path) as arrays:
        state = dict(arrays)
    assert state["params"].shape == (1766,)
    np.savez(path, **(state | {name: value}))
    refusal(path)


def test_a_truncated_file_is_refused_wherever_it_ends(path: Path) -> None:
    whole = path.read_bytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for length in np.linspace(0, len(whole) - 1, 40).astype(int):
            path.write_bytes(whole[:length])
            refusal(path)
        gc.collect()
    assert not caught, caught[0].message  # such as a file left open


DAMAGES = {  # where, how far from there, and to what byte; None flips a bit
    "a zip of a later version": ("directory", 6, 99),
    "an encrypted zip": ("directory", 8, 1),
    "an unknown compression": ("directory", 10, 77),
    "another checksum": ("directory", 16, None),
    "an array's header of another length": ("header", 8, 3),
    "an array's header without its end": ("brace", 0, ord(" ")),
    "a changed number": ("header", 2000, None),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_refused(kind: str, path: Path) -> None:
    whole = bytearray(path.read_bytes())
    directory = whole.index(b"params.npy", whole.index(b"PK\x01\x02")) - 46
    header = whole.index(b"\x93NUMPY", whole.index(b"params.npy"))
    places = {
        "directory": directory, "header": header, "brace": whole.index(b"}", header)
    }  # fmt: skip
    place, offset, byte = DAMAGES[kind]
    at = places[place] + offset
    whole[at] = whole[at] ^ 1 if byte is None else byte
    path.write_bytes(whole)
    refusal(path)
