"""A general step can be followed: how many calls it takes, through how many files.

Counted as `sys.setprofile` tells them, between a run of 4 and one of 24 batches: one
thread, two shards, batches of 32, the Gaussian likelihood.
"""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType

import pytest

import numpyvae
from numpyvae import VAE, load_strokes
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

PACKAGE = str(Path(numpyvae.__file__).parent)
BATCH = 32


def calls(batches: int) -> Counter[CodeType]:
    """The functions of the package that an epoch of so many batches called."""
    data, some = load_strokes(), slice(BATCH * batches)
    data = replace(
        data,
        train_images=data.train_images[some],
        train_labels=data.train_labels[some],
        test_images=data.test_images[:BATCH],
        test_labels=data.test_labels[:BATCH],
    )
    settings = Settings(batch_size=BATCH, threads=1, epochs=1, binarize="none")
    found: Counter[CodeType] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            found[frame.f_code] += 1

    with Workers(1) as workers:
        trainer = Trainer(
            VAE(data.pixels, likelihood="gaussian"), data, settings, workers
        )
        sys.setprofile(profile)
        try:
            trainer.run_epoch()
        finally:
            sys.setprofile(None)
    return found


@pytest.fixture(scope="module")
def step() -> dict[CodeType, float]:
    """How often one step calls each function."""
    calls(2)  # what is compiled at first
    few, many = calls(4), calls(24)
    return {code: (n - few[code]) / 20 for code, n in many.items() if n != few[code]}


def test_a_step_is_at_most_130_calls_through_12_files(
    step: dict[CodeType, float],
) -> None:
    assert 0 < sum(step.values()) <= 130
    assert len({code.co_filename for code in step}) <= 12


def test_no_function_of_a_step_takes_more_than_six_arguments(
    step: dict[CodeType, float],
) -> None:
    for code in step:
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        assert count - ("self" in names) <= 6, code.co_name
