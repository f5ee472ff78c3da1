"""Resuming: what was interrupted ends as if it had not been, or is refused."""

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from data import tiny
from reliability.kills import BEGIN, history, last_epoch, outcome, start
from small_runs import SMALL, begin, never_stopped, resume
from told import files

from numpyvae import VAE
from numpyvae.cli.commands import training
from numpyvae.cli.commands.training import Due
from numpyvae.runs.checkpoint import NAME, PREVIOUS, load_checkpoint
from numpyvae.runs.run import Run
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

DATA, EPOCHS, BATCHES = tiny(), 3, 5  # of 64 images, the last of 44


# The trainer's state.


def trainer_for(
    binarize: str, threads: int, workers: Workers, seed: int = 0
) -> Trainer:
    model = VAE(48, [16], 3, seed=seed)
    settings = Settings(EPOCHS, 64, 1e-2, binarize=binarize, threads=threads)
    return Trainer(model, DATA, settings, workers)


def advance(trainer: Trainer, batches: int = 10**9, epochs: int = EPOCHS) -> None:
    """Train on, up to a number of batches or epochs in all."""
    while trainer.epoch < epochs and trainer.optimizer.step < batches:
        trainer.run_epoch(after_batch=lambda: trainer.optimizer.step == batches)


def saved(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state as a file would hold it, apart from the trainer that goes on."""
    arrays, state = trainer.state()
    return {n: a.copy() for n, a in arrays.items()}, json.loads(json.dumps(state))


def bits(trainer: Trainer) -> Any:
    arrays, state = saved(trainer)
    records = [record[:-1] for record in state.pop("records")]  # but seconds
    assert state.pop("seconds") >= 0
    return {name: array.tobytes() for name, array in arrays.items()}, state, records


STOPS = [*range(EPOCHS * BATCHES + 1), "after epoch 1", "after epoch 2"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("binarize", ["dynamic", "static", "none"])
def test_a_state_goes_on_to_the_same_bits(binarize: str, threads: int) -> None:
    with Workers(threads) as workers:
        never_stopped = trainer_for(binarize, threads, workers)
        advance(never_stopped)
        expected = bits(never_stopped)
        assert len(expected[2]) == EPOCHS
        for stop in STOPS:
            first = trainer_for(binarize, threads, workers)
            if isinstance(stop, int):
                advance(first, batches=stop)
                assert first.optimizer.step == stop
            else:
                advance(first, epochs=int(stop[-1]))
            at_stop, state = bits(first), saved(first)
            advance(first)
            assert bits(first) == expected, f"{stop}: `state` disturbed the trainer"
            second = trainer_for(binarize, threads, workers, seed=99)
            assert second.model.params.flat.tobytes() != at_stop[0]["params"]
            second.step(np.arange(7))  # nothing of what it was may remain
            second.restore(*state)
            assert bits(second) == at_stop, stop
            advance(second)
            assert bits(second) == expected, stop


def test_stopping_after_every_batch_changes_nothing() -> None:
    with Workers(1) as workers:
        never_stopped = trainer_for("dynamic", 1, workers)
        advance(never_stopped)
        state, steps = saved(trainer_for("dynamic", 1, workers)), 0
        while len(state[1]["records"]) < EPOCHS:
            trainer = trainer_for("dynamic", 1, workers, seed=steps)
            trainer.restore(*state)
            trainer.run_epoch(after_batch=lambda: True)
            state, steps = saved(trainer), steps + 1
        assert steps == EPOCHS * (BATCHES + 1)  # the test set is a step of its own
        assert bits(trainer) == bits(never_stopped)


# The command line, in this process.


def test_a_finished_run_trains_nothing(
    two_epochs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files(two_epochs)
    capsys.readouterr()
    monkeypatch.setattr(Trainer, "_step", lambda *_: pytest.fail("trained"))
    assert resume() == 0
    assert files(two_epochs) == before
    printed, said = capsys.readouterr()
    assert said == ""
    assert last_epoch(printed) == 2
    assert "after 2 epochs" in printed


@pytest.mark.parametrize("threads", ["", "--threads 1", "--threads 2"])
def test_more_epochs_go_on_from_the_last(
    threads: str, two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert resume(f"--epochs 4 {threads} --checkpoint-every 2") == 0
    assert last_epoch(capsys.readouterr().out) == 4
    assert Run.open(two_epochs).config["training"]["epochs"] == 4
    assert outcome(two_epochs) == never_stopped(4)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_a_damaged_checkpoint_is_made_up_for_by_the_previous_one(
    two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, longer = outcome(two_epochs), never_stopped(4)
    damage(two_epochs / NAME)
    capsys.readouterr()
    assert resume() == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"; going on with {PREVIOUS}\n" in said
    assert outcome(two_epochs) == expected
    damage(two_epochs / NAME)
    assert resume("--epochs 4") == 0
    assert outcome(two_epochs) == longer
    damage(two_epochs / NAME)
    damage(two_epochs / PREVIOUS)
    capsys.readouterr()
    assert resume() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"numpyvae: r/{NAME}: found ")
    assert said.count("\n") == 1


def test_history_is_made_from_the_checkpoint(two_epochs: Path) -> None:
    # A kill may fall between the two; this one fell after the last epoch's checkpoint.
    whole = (two_epochs / "history.csv").read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    (two_epochs / "history.csv").write_text("".join(lines[:-1]), encoding="utf-8")
    assert resume() == 0
    assert (two_epochs / "history.csv").read_text(encoding="utf-8") == whole


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert begin("--epochs 2 --out r") == 130
    assert not list(Path("r").glob("*.npz"))
    capsys.readouterr()
    assert resume() == 0
    said = "numpyvae: r: found no checkpoint yet; beginning from the start\n"
    assert capsys.readouterr().err == said
    assert outcome(house / "r") == never_stopped(2)


# Saving within an epoch.


def test_every_third_batch() -> None:
    due = Due("3")
    assert [due() for _ in range(10)] == [i % 3 == 2 for i in range(10)]
    for never in (Due(None), Due("9" * 5000)):
        assert not any(never() for _ in range(1000))


def test_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.9, 2.0, 3.9, 4.1, 20.0, 20.1])
    monkeypatch.setattr(
        training, "time", SimpleNamespace(monotonic=lambda: next(times))
    )
    due = Due("2s")
    assert [due() for _ in range(6)] == [False, True, False, True, True, False]


def test_checkpoints_come_within_an_epoch(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[tuple[int, int]] = []
    save = Run.save

    def noting(run: Run, trainer: Trainer) -> None:
        save(run, trainer)
        _, state = load_checkpoint(run.path)
        starts.append((len(state["records"]), state["start"]))

    monkeypatch.setattr(Run, "save", noting)
    options = "--batch-size 64 --epochs 2 --checkpoint-every 2"
    assert begin(f"{options} --out r") == 0
    # In batches of 64: the beginning, 2, 4, the epoch's end, 6, 8, 10, the end.
    expected = [(0, 0), (0, 128), (0, 256), (1, 0), (1, 64), (1, 192), (1, 320), (2, 0)]
    assert starts == expected


def test_a_signal_while_the_interval_is_looked_at_is_not_lost(
    two_epochs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = never_stopped(3)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def pressed(due: Due) -> bool:
        signal.raise_signal(signal.SIGINT)
        return False

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Due, "__call__", pressed)
            assert resume("--epochs 3") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    _, state = load_checkpoint(two_epochs)
    assert state["adam_step"] in (7, 8)  # the batch that was done, or one after it
    assert resume() == 0
    assert outcome(two_epochs) == expected


# Real processes, really interrupted.


def interrupt(house: Path, number: int, options: str) -> Any:
    """Begin r, send a signal after its second epoch -> code, stdout, stderr."""
    with start(house, f"{BEGIN} {SMALL} {options} --epochs 100000 --out r") as process:
        printed = ""
        while last_epoch(printed) < 2:
            line = process.stdout.readline()
            assert line, process.communicate()
            printed += line
        if number == signal.SIGKILL:
            second_is_refused(house)
        process.send_signal(number)
        rest, said = process.communicate()
    return process.returncode, printed + rest, said


def second_is_refused(house: Path) -> None:
    """Another process leaves the folder of one that trains alone."""
    with start(house, "train --resume r") as second:
        printed, said = second.communicate()
    assert (second.returncode, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith("numpyvae: r: found another process training in it")


@pytest.mark.slow("trains in processes of its own")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize(
    ("name", "code", "options"),
    [
        ("SIGINT", 130, ""),
        ("SIGTERM", 130, "--binarize static --threads 1"),
        ("SIGKILL", -9, "--checkpoint-every 2"),
    ],
)
def test_an_interrupted_process_is_resumed_to_the_same_bits(
    name: str,
    code: int,
    options: str,
    house: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, printed, said = interrupt(house, getattr(signal, name), options)
    assert (found, said) == (code, "")
    committed = last_epoch(printed)
    run = house / "r"
    _, state = load_checkpoint(run)
    assert len(state["records"]) >= committed >= 2
    assert len(history(run)) >= committed
    if code == 130:
        assert f"interrupted in epoch {committed + 1} of 100000; " in printed
        assert "`numpyvae train --resume r` goes on from there\n" in printed
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        assert (metrics["ended"], metrics["epoch"]) == ("interrupted", committed)
    epochs = len(state["records"]) + 2
    assert resume(f"--epochs {epochs}") == 0
    assert last_epoch(capsys.readouterr().out) == epochs
    assert outcome(run) == never_stopped(epochs, options)
    assert all(record[-1] > 0 for record in load_checkpoint(run)[1]["records"])
