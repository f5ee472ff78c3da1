"""With what a run was trained: recorded, and told where it is not what it was."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import pytest
from data import tiny
from reliability.kills import outcome
from small_runs import begin, resume

from numpyvae import VAE, __version__
from numpyvae.kernels.blas import find_gemm
from numpyvae.runs import run as runs
from numpyvae.runs.checkpoint import load_checkpoint
from numpyvae.runs.run import Run
from numpyvae.runs.versions import differences, versions
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

TWO_EPOCHS = "--epochs 2 --out s"


@pytest.fixture
def one_epoch(house: Path) -> Path:
    """A finished run of one epoch, r, beside the data in three/; none is drawn."""
    assert begin("--epochs 1 --out r") == 0
    return house / "r"


def resumed(epochs: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Resume r; the lines on stderr."""
    capsys.readouterr()
    assert resume(f"--epochs {epochs}") == 0
    return capsys.readouterr().err.splitlines()


def test_all_that_the_bits_depend_on_is_recorded(one_epoch: Path) -> None:
    (found,) = Run.open(one_epoch).config["versions"]
    assert found["numpyvae"] == __version__
    assert found["numpy"] == np.__version__
    assert found["blas"]  # and the CPU type that its kernels are for
    assert found["step"] in ("fused", "general")
    assert found["jit"].startswith("for ")  # a CPU and its features
    assert set(found) == {
        "numpyvae", "python", "numpy", "numba", "matplotlib", "jit", "step", "machine",
        "blas",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "binarize", "step"),
    [
        ({}, "dynamic", "fused"),
        ({}, "none", "general"),
        ({"posterior": "full"}, "dynamic", "general"),
    ],
)
def test_the_step_that_trains_is_named(
    model: dict[str, Any], binarize: str, step: str
) -> None:
    with Workers(1) as workers:
        settings = Settings(binarize=binarize)
        trainer = Trainer(VAE(48, [9], 2, **model), tiny(), settings, workers)
        if find_gemm() is None:
            pytest.skip("NumPy has no OpenBLAS here: every step is the general one")
        assert versions(trainer)["step"] == step


def test_of_a_version_only_what_differs_is_told() -> None:
    now = {"jit": "for cpu +a -b +c", "blas": "here", "step": "fused", "numpy": "2"}
    then = {"jit": "for cpu +a +b +c", "blas": "there", "numpy": "2"}
    assert list(differences(now, then)) == [
        ("jit", "-b", "+b"), ("blas", "here", "there"), ("step", "fused", "None")
    ]  # fmt: skip
    (long,) = differences({"jit": " ".join(f"+{i}" for i in range(99))}, {"jit": "x"})
    assert long[1].endswith("+14 +15 ...")


def elsewhere(**other: str) -> Callable[[Trainer], dict[str, str]]:
    """What another machine would record."""
    return lambda trainer: versions(trainer) | other


def test_every_machine_that_had_a_hand_in_the_bits_is_remembered(
    one_epoch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here,) = Run.open(one_epoch).config["versions"]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "versions", elsewhere(numpy="9.9.9", blas="an abacus"))
        told = [
            f"numpyvae: numpy: found 9.9.9, then {here['numpy']}: bits may differ",
            f"numpyvae: blas: found an abacus, then {here['blas']}: bits may differ",
        ]
        assert resumed(2, capsys) == told
        assert resumed(3, capsys) == told  # once for each, however often resumed
    back = [
        f"numpyvae: numpy: found {here['numpy']}, then 9.9.9: bits may differ",
        f"numpyvae: blas: found {here['blas']}, then an abacus: bits may differ",
    ]
    assert resumed(4, capsys) == back  # the first machine's bits are mixed for good
    abacus = here | {"numpy": "9.9.9", "blas": "an abacus"}
    _, state = load_checkpoint(one_epoch)
    assert state["config"]["versions"] == [here, abacus]
    assert Run.open(one_epoch).config["versions"] == [here, abacus]


def test_a_machine_that_saved_nothing_had_no_hand_in_it(
    one_epoch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(runs, "versions", elsewhere(machine="abacus"))
        patch.setattr(Trainer, "run_epoch", interrupt)
        assert resume("--epochs 2") == 130
    assert resumed(2, capsys) == []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_knows_only_its_beginning_goes_on(
    one_epoch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here,) = Run.open(one_epoch).config["versions"]
    old = {"numpy": here["numpy"], "jit": "on"}
    with monkeypatch.context() as patch:
        patch.setattr(runs, "sets_of", lambda config: [old])
        assert "numpyvae: step: found fused, then None: bits may differ" in resumed(
            2, capsys
        )


# Really other surroundings.


def test_another_cpu_is_told_and_other_threads_change_nothing(one_epoch: Path) -> None:
    assert begin(TWO_EPOCHS) == 0
    other = "generic"
    if os.environ.get("NUMBA_CPU_NAME") == other:  # as in a row of .ci/matrix.py
        other = llvmlite.binding.get_host_cpu_name()
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "numpyvae", "train", "--resume", str(copy),
             "--epochs", "2"],
            env={**os.environ, name: value}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for name, value in (
            ("NUMBA_THREADING_LAYER", "workqueue"), ("NUMBA_CPU_NAME", other)
        )
        for copy in [shutil.copytree(one_epoch, one_epoch.with_name(name))]
    }  # fmt: skip
    told = {name: process.communicate()[1] for name, process in processes.items()}
    assert {process.returncode for process in processes.values()} == {0}
    assert told["NUMBA_CPU_NAME"].startswith(f"numpyvae: jit: found {other}")
    assert told["NUMBA_CPU_NAME"].count("\n") == 1
    assert told["NUMBA_THREADING_LAYER"] == ""
    same = outcome(one_epoch.with_name("s"))
    assert outcome(one_epoch.with_name("NUMBA_THREADING_LAYER")) == same


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_fork_after_the_parent_trained_has_the_same_bits(one_epoch: Path) -> None:
    assert begin(TWO_EPOCHS) == 0
    said = one_epoch.with_name("said")

    def child() -> None:
        with said.open("w", encoding="utf-8") as sys.stderr:
            assert resume("--epochs 2") == 0

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert (process.exitcode, said.read_text(encoding="utf-8")) == (0, "")
    assert outcome(one_epoch) == outcome(one_epoch.with_name("s"))
