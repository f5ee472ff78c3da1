"""Where a run begins, or may not: one process to a folder, and no epoch done twice."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from reliability.kills import BEGIN, outcome
from small_runs import SMALL, begin, never_stopped, resume
from told import files

from numpyvae.cli.commands.training import Due
from numpyvae.errors import RunError
from numpyvae.runs.checkpoint import NAME, PREVIOUS
from numpyvae.runs.run import CONFIG, LOCK, Run, claim

AT_ONCE = 8


# Whose a folder is.


def test_the_first_free_name_is_claimed(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "default.v1-idx"
    assert claim(path) == path
    (tmp_path / "runs" / "default.v1-idx-2").touch()
    names = [claim(path).name for _ in range(2)]
    assert names == ["default.v1-idx-3", "default.v1-idx-4"]
    assert not list(path.iterdir())


def test_where_no_folder_can_be_made_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(RunError, match=r"expected a folder to write to; .* --out"):
        claim(tmp_path / "runs" / "default-idx")


def at_once(task: Any) -> list[Any]:
    """What AT_ONCE threads get or raise that do the task at the same moment."""
    barrier = threading.Barrier(AT_ONCE)

    def wait_and_do(_: int) -> Any:
        barrier.wait()
        try:
            return task()
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(wait_and_do, range(AT_ONCE)))


def test_nobody_gets_the_name_that_another_got(tmp_path: Path) -> None:
    for i in range(20):
        names = at_once(lambda i=i: claim(tmp_path / f"run-{i}").name)
        rest = {f"run-{i}-{k}" for k in range(2, AT_ONCE + 1)}
        assert sorted(names) == sorted({f"run-{i}"} | rest)


def test_of_those_that_are_told_one_folder_one_gets_it(tmp_path: Path) -> None:
    for i in range(20):
        path = tmp_path / str(i)
        tickets = iter(range(AT_ONCE))
        found = at_once(
            lambda path=path, tickets=tickets: Run.create(path, {"me": next(tickets)})
        )
        (winner,) = (run for run in found if isinstance(run, Run))
        assert (path / CONFIG).read_text(
            encoding="utf-8"
        ) == f'{{\n  "me": {winner.config["me"]}\n}}\n'
        for told in found:
            assert told is winner or "expected" in told


def test_processes_that_begin_at_the_same_moment_train_apart(house: Path) -> None:
    # Both have looked for a free name before either makes its folder.
    code = f"""if True:
        import sys
        from numpyvae.cli.parser import main
        from numpyvae.runs.run import Run
        create = Run.create.__func__
        def meet(cls, *arguments):
            print("here", flush=True)
            sys.stdin.readline()
            return create(cls, *arguments)
        Run.create = classmethod(meet)
        sys.exit(main("{BEGIN} {SMALL} --epochs 2".split()))
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    told = [process.communicate("\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    runs = sorted(os.listdir("runs"))
    assert runs == ["default-three", "default-three-2"]
    first, second = (outcome(Path("runs", name)) for name in runs)
    assert first == second == never_stopped(2)


# Killed before it began.


@pytest.mark.parametrize("left", [[], [LOCK], [LOCK, f"{CONFIG}.partial"]])
def test_what_was_killed_before_it_began_begins_in_the_same_folder(
    left: list[str], house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("r").mkdir()
    for name in left:
        Path("r", name).write_text("{", encoding="utf-8")
    assert resume() == 2
    said = capsys.readouterr().err
    assert said.startswith("numpyvae: r: found no config.json, expected")
    assert said.endswith("; begin it with --out r\n")
    assert begin("--epochs 2 --out r") == 0
    assert f"{CONFIG}.partial" not in files(Path("r"))
    assert outcome(Path("r")) == never_stopped(2)


def test_what_has_begun_is_not_told_to_begin(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin("--epochs 1 --out r") == 0
    Path("r", CONFIG).unlink()
    capsys.readouterr()
    assert resume() == 2
    assert capsys.readouterr().err.endswith("that `numpyvae train` wrote\n")


# Not the run that was asked for.


@pytest.mark.parametrize("left", ["history.csv", "metrics.json"])
def test_a_run_whose_checkpoints_are_gone_does_not_begin_anew(
    left: str, two_epochs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in {NAME, PREVIOUS, "history.csv", "metrics.json"} - {left}:
        (two_epochs / name).unlink()
    before = files(two_epochs)
    capsys.readouterr()
    assert resume("--epochs 3") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"numpyvae: r: found {left}, but neither {NAME} nor")
    assert said.count("\n") == 1
    assert files(two_epochs) == before


def test_a_learning_rate_that_falls_is_the_one_of_so_many_epochs(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    falling = "--lr-end 0.001"
    assert begin(f"{falling} --epochs 2 --out r") == 0
    before = files(Path("r"))
    capsys.readouterr()
    assert resume("--epochs 4") == 2
    said = capsys.readouterr().err
    assert said.startswith("numpyvae: --epochs: found 4, expected 2 as before: lr fall")
    assert files(Path("r")) == before
    with pytest.MonkeyPatch.context() as patch:  # the first has the same in any case
        patch.setattr(Due, "__call__", lambda _: signal.raise_signal(signal.SIGINT))
        assert begin(f"{falling} --epochs 2 --out first") == 130
    assert resume("--epochs 4", "first") == 0
    assert outcome(house / "first") == never_stopped(4, falling)
