"""The run folder: config.json, history.csv, metrics.json, checkpoint.npz, pictures."""

from __future__ import annotations

import csv
import json
import math
import platform
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib
import numba
import numpy as np

from . import __version__
from .checkpoint import load_model, save_checkpoint
from .datasets import Dataset, load
from .errors import ArgumentError, RunError
from .models import VAE
from .train import EpochRecord, Trainer

KEYS = {"preset", "data", "data_dir", "image_shape", "model", "training"}


def free_path(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that does not exist."""
    if not path.exists():
        return path
    numbered = (path.with_name(f"{path.name}-{i}") for i in count(2))
    return next(candidate for candidate in numbered if not candidate.exists())


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
                    "one; choose another with --out, or delete it"
                )
            config = config | {
                "versions": {
                    "numpyvae": __version__,
                    "python": platform.python_version(),
                    "numpy": np.__version__,
                    "numba": numba.__version__,
                    "matplotlib": matplotlib.__version__,
                }
            }
            (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise RunError(
                f"{path}: found {error.strerror}, expected a folder to write to; "
                "choose another with --out"
            ) from error
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises RunError if `path` holds none."""
        try:
            config = json.loads((path / "config.json").read_text())
            if not isinstance(config, dict) or not config.keys() >= KEYS:
                raise ValueError(f"not a JSON object with {', '.join(sorted(KEYS))}")
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

    def save(self, trainer: Trainer) -> None:
        """Write checkpoint.npz."""
        save_checkpoint(
            self.path / "checkpoint.npz",
            trainer.model,
            trainer.optimizer,
            trainer.epoch,
        )

    def load_model(self) -> VAE:
        """The model of checkpoint.npz. Raises RunError if it is not this run's."""
        model = load_model(self.path / "checkpoint.npz")
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

    def append(self, record: EpochRecord) -> None:
        """Add an epoch to history.csv."""
        path = self.path / "history.csv"
        begin = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if begin:
                writer.writerow(record._fields)
            writer.writerow(record)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json."""
        text = json.dumps(metrics, indent=2) + "\n"
        (self.path / "metrics.json").write_text(text)
