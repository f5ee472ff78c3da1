"""The run folder: config.json, history.csv, metrics.json, checkpoint.npz, pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

import filelock

from ..datasets import Dataset, load
from ..errors import ArgumentError, NumpyvaeError, RunError, expect_whole
from ..files import make_folder, read_file, sync_folder, write_atomically
from ..model.vae import VAE
from ..pairs.types import Array
from ..training.settings import Settings
from ..training.trainer import EpochRecord, Trainer
from .checkpoint import (
    NAME,
    PREVIOUS,
    expect_state,
    load_checkpoint,
    model_of,
    save_checkpoint,
)
from .versions import differences, sets_of, versions

CONFIG, HISTORY, METRICS, LOCK = (
    "config.json", "history.csv", "metrics.json", "run.lock",
)  # fmt: skip
UNBEGUN = {LOCK, f"{CONFIG}.partial"}  # what a run killed before it began leaves
MAX_CONFIG, MAX_MODEL = 2**20, 2**14  # bytes of config.json, and for the model
KINDS: dict[str, tuple[type, ...]] = {
    "preset": (str,),
    "data": (str,),
    "data_dir": (str, NoneType),
    "data_sha256": (str,),
    "image_shape": (list,),
    "model": (dict,),
    "training": (dict,),
}


def claim(path: Path) -> Path:
    """Make the folder `path`, or the first of path-2, path-3, ... that does not exist.

    Whoever else asks at the same moment gets another one. Raises RunError if none can
    be made.
    """
    number, free = 1, path
    with _expecting_a_folder(path):
        make_folder(path.parent)
        while True:
            try:
                free.mkdir()
                break
            except FileExistsError:
                number += 1
                free = path.with_name(f"{path.name}-{number}")
        sync_folder(path.parent)
    return free


def fingerprint(data: Dataset) -> str:
    """The SHA-256 of all images and labels."""
    digest = hashlib.sha256()
    for array in (
        data.train_images, data.train_labels, data.test_images, data.test_labels,
    ):  # fmt: skip
        digest.update(array.tobytes())
    return digest.hexdigest()


class Run:
    """One training run on disk."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        """A run at `path` with what its config.json says; see `create` and `open`."""
        self.path, self.config = path, config

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> Run:
        """Make the folder and write config.json.

        Raises RunError if there is something in the folder already.
        """
        run = cls(path, config)
        with _expecting_a_folder(path):
            make_folder(path)
            run._expect_unbegun()
        with run.lock():
            run._expect_unbegun()  # another process may have been quicker
            run.write_config()
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises RunError if `path` holds none."""
        try:
            config = json.loads(read_file(path / CONFIG, MAX_CONFIG))
            _expect_config(config)
        except (FileNotFoundError, NotADirectoryError):
            unbegun = path.is_dir() and not cls(path, {})._begun()
            raise RunError(
                f"{path}: found no {CONFIG}, expected a run folder that `numpyvae "
                f"train` wrote{f'; begin it with --out {path}' * unbegun}"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{path / CONFIG}: found a file that can't be read ({error}), "
                "expected the config of a run"
            ) from error
        return cls(path, config)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training into this folder.

        Raises RunError if one does already. The system frees the lock of a process that
        is gone, however it went.
        """
        try:
            with filelock.FileLock(self.path / LOCK, timeout=0):
                yield
        except filelock.Timeout:
            raise RunError(
                f"{self.path}: found another process training in it, expected none; "
                "wait for it, or choose another folder"
            ) from None

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint, then history.csv, which is made from it."""
        arrays, state = trainer.state()
        save_checkpoint(self.path, arrays, state | {"config": self.config})
        self.write_history(trainer.records)

    def load(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """The arrays and the state of the checkpoint.

        Raises RunError if there is none, or, naming what differs, if it is not of this
        config.
        """
        arrays, state = load_checkpoint(self.path)
        try:
            then: Any = state.get("config")
            _expect_config(then)
            sets_of(then)
        except ValueError as error:
            raise RunError(
                f"{self.path}: found a checkpoint of another kind of run ({error}), "
                f"expected one of {CONFIG}"
            ) from error
        for name, value, before in _differences(self.config, then):
            raise RunError(
                f"{self.path}: found {name} {value!r} in {CONFIG}, "
                f"expected {before!r} as in the checkpoint"
            )
        return arrays, state

    def is_untrained(self) -> bool:
        """Whether it was stopped before its first checkpoint.

        Raises RunError if it was not, and the checkpoints are gone.
        """
        if any((self.path / name).exists() for name in (NAME, PREVIOUS)):
            return False
        for name in (HISTORY, METRICS):
            if (self.path / name).exists():
                raise RunError(
                    f"{self.path}: found {name}, but neither {NAME} nor {PREVIOUS}, "
                    "expected one of them; put it back, or train anew with another "
                    "--out"
                )
        return True

    def restore(
        self, trainer: Trainer, arrays: Mapping[str, Array], state: Mapping[str, Any]
    ) -> list[str]:
        """Take a trainer to where the checkpoint that was loaded stopped.

        Returns a sentence for each version that it was trained with and that is not
        the present one. Raises RunError if it is not a state of this trainer.
        """
        expect_state(trainer, arrays, state)
        trainer.restore(arrays, state)
        before, now = sets_of(state["config"]), versions(trainer)
        self.config["versions"] = before + [now] * (now not in before)
        told = (
            f"{name}: found {found}, then {was}: bits may differ"
            for then in before
            for name, found, was in differences(now, then)
        )
        return list(dict.fromkeys(told))

    def expect_data(self, data: Dataset) -> None:
        """Raise RunError if `data` are not the ones of config.json."""
        found, expected = fingerprint(data), self.config["data_sha256"]
        if found != expected:
            raise RunError(
                f"{self.path}: found other images than it was trained on (SHA-256 "
                f"{found[:12]}...), expected {expected[:12]}..."
            )

    def load_model(self) -> VAE:
        """The model of the checkpoint. Raises RunError if it is not this run's."""
        arrays, _ = self.load()
        return model_of(arrays, self.config["model"])

    def untrained_model(self) -> VAE:
        """The model as its training begins. Raises RunError if there can be no such."""
        try:
            return VAE(**self.config["model"], seed=self.config["training"]["seed"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RunError(
                f"{self.path / CONFIG}: found {error}, expected it as `numpyvae train` "
                "wrote it"
            ) from error

    def load_data(self, data_dir: str | None) -> Dataset:
        """The images the run was trained on, from `data_dir` if they have moved.

        Raises ArgumentError if the images have another size.
        """
        data = load(self.config["data"], data_dir or self.config["data_dir"])
        shape = tuple(self.config["image_shape"])
        if data.image_shape != shape:
            raise ArgumentError(
                f"--data-dir: found images of {data.image_shape}, expected {shape}"
            )
        return data

    def write_config(self) -> None:
        """Write config.json."""
        self._write_json(CONFIG, self.config)

    def write_history(self, records: Sequence[EpochRecord]) -> None:
        """Write history.csv, a line for each epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([EpochRecord._fields, *records])
        write_atomically(self.path / HISTORY, text.getvalue().encode())

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json."""
        self._write_json(METRICS, metrics)

    def _begun(self) -> set[str]:
        """Files that tell that a run has begun here, or that others use the folder."""
        return set(os.listdir(self.path)) - UNBEGUN

    def _expect_unbegun(self) -> None:
        if self._begun():
            raise RunError(
                f"{self.path}: found a folder with files in it, expected a new or "
                "empty one; choose another with --out, go on with --resume, or delete "
                "it"
            )

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.path / name, text.encode())


@contextmanager
def _expecting_a_folder(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path}: found {error.strerror}, expected a folder to write to; "
            "choose another with --out"
        ) from error


def _expect_config(config: Any) -> None:
    """Raise ValueError unless it may be one that `numpyvae train` wrote."""
    if not isinstance(config, dict) or not config.keys() >= KINDS.keys():
        raise ValueError(f"not a JSON object with {', '.join(sorted(KINDS))}")
    for key, kinds in KINDS.items():
        if not isinstance(config[key], kinds):
            raise ValueError(f"{key} is {config[key]!r}")
    try:
        if b"\0" in os.fsencode(config["data_dir"] or ""):
            raise ValueError("data_dir is no path")
        shape = config["image_shape"]
        for number in (*shape, config["model"].get("pixels")):
            expect_whole("a size", number, 1)
        if len(shape) != 2 or math.prod(shape) != config["model"]["pixels"]:
            raise ValueError(f"image_shape is {shape!r}, unlike the model's pixels")
        if len(json.dumps(config["model"])) > MAX_MODEL:
            raise ValueError("a model of too many layers")
        Settings(**config["training"])
        if not config["training"].keys() >= {"binarize", "seed"}:
            raise ValueError("training without binarize or seed")
    except (NumpyvaeError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _differences(
    config: dict[str, Any], then: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """What of a config that the bits depend on is not as it was: name, now, then."""
    for key in ("data_sha256", "image_shape", "model", "training"):
        now, before = config[key], then[key]
        if key == "training":
            now, before = ({**d, "epochs": 0, "threads": 0} for d in (now, before))
        if isinstance(now, dict) and isinstance(before, dict):
            for name in sorted(now.keys() | before.keys()):
                if now.get(name) != before.get(name):
                    yield f"{key}.{name}", now.get(name), before.get(name)
        elif now != before:
            yield key, now, before
