"""SIGKILLs at random moments: a run that was resumed is the run that never stopped."""

import contextlib
import csv
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from data import tiny, write_idx

from numpyvae.checkpoint import NAME, PREVIOUS, load_checkpoint
from numpyvae.errors import RunError

BOUND = 120  # seconds until a process that should have ended is taken to hang
AT_A_TIME = 2
MODEL = "--hidden 9 --latent 2 --lr 0.01 --seed 4"
OFTEN = "--checkpoint-every 1"  # 40 epochs are 120 batches and 160 saves, 1 to 2 s
LONGEST_LIFE = 1.2  # seconds after a process' first line
RECORD = re.compile(r"^ +(\d+) +-?\d", re.MULTILINE)


class Kills(NamedTuple):
    """What became of runs that were killed and resumed until they ended."""

    kills: int
    identical: int  # kills of runs that ended with the bits of the run never killed
    epochs_lost: int  # that had been printed, and were not on disk after the kill
    inside_save: int  # kills that left a half written file or no newest checkpoint
    seconds: float
    first_fault: str


def kills(count: int, seed: int, epochs: int = 40) -> Kills:
    """Kill processes of `numpyvae train` `count` times; resume each run to its end."""
    options = f"{BEGIN} {MODEL} --epochs {epochs} {OFTEN}"
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, silence():
        folder = Path(name)
        write_idx(folder / "three", tiny())
        with start(folder, f"{options} --out never-killed") as process:
            _, said = process.communicate()
        assert process.returncode == 0, said
        expected = outcome(folder / "never-killed")
        shares = [(count + i) // AT_A_TIME for i in range(AT_A_TIME)]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            killers = [
                Killer(folder, options, i, seed, share, expected)
                for i, share in enumerate(shares)
            ]
            list(pool.map(Killer.work, killers))
    return Kills(
        *(sum(getattr(k, name) for k in killers) for name in Kills._fields[:4]),
        time.perf_counter() - begin,
        next((killer.first_fault for killer in killers if killer.first_fault), ""),
    )


BEGIN = "train --data idx --data-dir three"


class Killer:
    """One of those that start processes, kill them, and look at what is left."""

    def __init__(
        self,
        folder: Path,
        options: str,
        number: int,
        seed: int,
        share: int,
        expected: Any,
    ) -> None:
        """`share` is the number of kills that are its to do."""
        self.folder, self.options = folder, options
        self.number, self.share = number, share
        self.expected = expected
        self.rng = np.random.default_rng([seed, number])
        self.kills = self.identical = self.epochs_lost = self.inside_save = 0
        self.first_fault = ""

    def work(self) -> None:
        """Run after run, each killed and resumed until it ends, until all are done."""
        for i in itertools.count():
            if self.kills == self.share:
                return
            run = self.folder / f"run-{self.number}-{i}"
            before = self.kills
            try:
                self.live_and_die(run)
                assert outcome(run) == self.expected, "ended with other bits"
                self.identical += self.kills - before
            except (AssertionError, RunError, OSError) as fault:
                after = f"{run.name}, after {self.kills - before} kills"
                self.first_fault = self.first_fault or f"{after}: {fault}"

    def live_and_die(self, run: Path) -> None:
        """One run, killed at random moments and resumed with 1 or 2 threads."""
        options = f"{self.options} --out {run.name}"
        for threads in itertools.cycle("12"):
            with start(self.folder, f"{options} --threads {threads}") as process:
                first = process.stdout.readline()
                if self.kills < self.share:
                    life = self.rng.uniform(0, LONGEST_LIFE)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(life)
                    process.kill()
                printed, said = process.communicate()
            if process.returncode != -signal.SIGKILL:
                assert process.returncode == 0, said
                return
            self.kills += 1
            assert first, said
            self.look(run, last_epoch(printed))
            options = f"train --resume {run.name} {OFTEN}"

    def look(self, run: Path, committed: int) -> None:
        """Whether what the killed process had printed is on disk."""
        newest = (run / NAME).exists()
        if not newest or any(run.glob("*.partial")):
            self.inside_save += 1
        if newest or (run / PREVIOUS).exists():
            kept = min(len(load_checkpoint(run)[1]["records"]), len(history(run)))
        else:
            kept = 0
        self.epochs_lost += max(0, committed - kept)


@contextlib.contextmanager
def start(folder: Path, options: str) -> Iterator[Any]:
    """A process of `numpyvae` in `folder`; it is gone afterwards, or after BOUND."""
    process = subprocess.Popen(
        [sys.executable, "-m", "numpyvae", *options.split()],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    watchdog = threading.Timer(BOUND, process.kill)
    watchdog.start()
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        watchdog.cancel()


def last_epoch(printed: str) -> int:
    """The last epoch of a history that was printed, 0 if there is none."""
    return max((int(number) for number in RECORD.findall(printed)), default=0)


def history(run: Path) -> list[list[str]]:
    """The rows of history.csv but for the heading, without their seconds."""
    try:
        text = (run / "history.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [row[:-1] for row in csv.reader(io.StringIO(text))][1:]


def outcome(run: Path) -> Any:
    """All that has to be the same again: weights, moments, generators, history."""
    arrays, state = load_checkpoint(run)
    records = [[str(number) for number in row[:-1]] for row in state["records"]]
    names = ("adam_step", "start", "recon", "kl", "order_state", "shard_states")
    return {
        "arrays": {name: array.tobytes() for name, array in arrays.items()},
        "state": {name: state[name] for name in names},
        "records": records,
        "history": history(run),
    }


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing of `load_checkpoint` falling back, which is right here, on stderr."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
