"""Runs that are trained within milliseconds, on the data in three/ of data.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data import tiny, write_idx
from reliability.kills import BEGIN, outcome

from numpyvae.cli import parser as cli

SMALL = "--hidden 9 --lr 0.01 --seed 4"


def begin(options: str) -> int:
    """Train a small model in the working directory; the exit code."""
    return cli.main(f"{BEGIN} {SMALL} {options}".split())


def resume(options: str = "", run: str = "r") -> int:
    """Go on with a run; the exit code."""
    return cli.main(f"train --resume {run} {options}".split())


def never_stopped(epochs: int, options: str = "") -> Any:
    """The outcome of a run of so many epochs, in another folder."""
    assert begin(f"{options} --epochs {epochs} --out never-stopped-{epochs}") == 0
    return outcome(Path(f"never-stopped-{epochs}"))


def train_runs(folder: Path, runs: Mapping[str, str]) -> Path:
    """Train a run of each name with its options, and of three latents; the folder."""
    source = write_idx(folder / "three", tiny())
    for name, options in runs.items():
        train = f"train --data idx --data-dir {source} --hidden 16 --latent 3 --lr 0.01"
        assert cli.main(f"{train} --out {folder / name} {options}".split()) == 0
    return folder
