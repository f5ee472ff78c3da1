"""The run folder: config.json, history.csv, metrics.json, checkpoint.npz, pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import NoneType
from typing import Any

import filelock
import matplotlib
import numba
import numpy as np
from threadpoolctl import threadpool_info

from . import __version__
from .checkpoint import (
    NAME,
    PREVIOUS,
    load_checkpoint,
    model_of,
    save_checkpoint,
    write_atomically,
)
from .datasets import Dataset, load
from .errors import ArgumentError, RunError
from .models import VAE
from .train import EpochRecord, Trainer

LOCK = "run.lock"
KINDS: dict[str, tuple[type, ...]] = {
    "preset": (str,),
    "data": (str,),
    "data_dir": (str, NoneType),
    "data_sha256": (str,),
    "image_shape": (list,),
    "model": (dict,),
    "training": (dict,),
}


def free_path(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that does not exist."""
    if not path.exists():
        return path
    numbered = (path.with_name(f"{path.name}-{i}") for i in count(2))
    return next(candidate for candidate in numbered if not candidate.exists())


def fingerprint(data: Dataset) -> str:
    """The SHA-256 of all images and labels."""
    digest = hashlib.sha256()
    for array in (
        data.train_images, data.train_labels, data.test_images, data.test_labels,
    ):  # fmt: skip
        digest.update(array.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """All that the bits of a run depend on besides its config."""
    blas = {
        f"{p['internal_api']} {p.get('architecture', '')}" for p in threadpool_info()
    }
    return {
        "numpyvae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "matplotlib": matplotlib.__version__,
        "jit": "off" if numba.config.DISABLE_JIT else "on",  # type: ignore[attr-defined]
        "machine": platform.machine(),
        "blas": ", ".join(sorted(blas)),
    }


class Run:
    """One training run on disk."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        """A run at `path` with what its config.json says; see `create` and `open`."""
        self.path, self.config = path, config

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> Run:
        """Make the folder and write config.json, with versions.

        Raises RunError if there is something in the folder already.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise RunError(
                    f"{path}: found a folder with files in it, expected a new or empty "
                    "one; choose another with --out, go on with --resume, or delete it"
                )
        except OSError as error:
            raise RunError(
                f"{path}: found {error.strerror}, expected a folder to write to; "
                "choose another with --out"
            ) from error
        run = cls(path, config | {"versions": versions()})
        run.write_config()
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises RunError if `path` holds none."""
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
            if not isinstance(config, dict) or not config.keys() >= KINDS.keys():
                raise ValueError(f"not a JSON object with {', '.join(sorted(KINDS))}")
            for key, kinds in KINDS.items():
                if not isinstance(config[key], kinds):
                    raise ValueError(f"{key} is {config[key]!r}")
        except FileNotFoundError:
            raise RunError(
                f"{path}: found no config.json, "
                "expected a run folder that `numpyvae train` wrote"
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path / 'config.json'}: found a file that can't be read ({error}), "
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
        state |= {"config": self.config, "model": trainer.model.arguments()}
        save_checkpoint(self.path, arrays, state)
        self.write_history(trainer.records)

    def has_checkpoint(self) -> bool:
        """Whether there is anything to restore."""
        return any((self.path / name).exists() for name in (NAME, PREVIOUS))

    def restore(self, trainer: Trainer) -> list[str]:
        """Take a trainer to where this run's checkpoint stopped.

        Returns a sentence for each version that is not the same as then. Raises
        RunError, naming what differs, if config or data are not.
        """
        arrays, state = load_checkpoint(self.path)
        model_of(arrays, state)
        then = state["config"]
        for name, value, before in _differences(self.config, then):
            raise RunError(
                f"{self.path}: found {name} {value!r} in config.json, "
                f"expected {before!r} as in the checkpoint"
            )
        self.expect_data(trainer.data)
        trainer.restore(arrays, state)
        return [
            f"{name}: found {now}, then {then['versions'].get(name)}: bits may differ"
            for name, now in versions().items()
            if now != then["versions"].get(name)
        ]

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
        model = model_of(*load_checkpoint(self.path))
        shape = self.config["image_shape"]
        if model.pixels != math.prod(shape):
            raise RunError(
                f"{self.path}: found a checkpoint for {model.pixels} pixels, "
                f"expected {shape[0]} x {shape[1]} as in config.json"
            )
        return model

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
        self._write_json("config.json", self.config)

    def write_history(self, records: Sequence[EpochRecord]) -> None:
        """Write history.csv, a line for each epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([EpochRecord._fields, *records])
        write_atomically(self.path / "history.csv", text.getvalue().encode())

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json."""
        self._write_json("metrics.json", metrics)

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.path / name, text.encode())


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
