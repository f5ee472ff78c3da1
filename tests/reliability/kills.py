"""Signals at random moments: a run that was resumed is the run that never stopped."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bounds import HANG
from data import tiny, write_idx

from numpyvae.errors import RunError
from numpyvae.runs.checkpoint import NAME, PREVIOUS, load_checkpoint

AT_A_TIME = 2
BEGIN = "train --data idx --data-dir three"
OFTEN = "--checkpoint-every 1"  # 40 epochs are 120 batches and 160 saves, 1 to 2 s
MODEL = "--hidden 9 --latent 2 --lr 0.01 --seed 4"
MODELS = {  # one for each way through a step
    "fused": "",
    "convolutions": "--channels 3",
    "full posterior": "--posterior full",
    "IWAE": "--bound iwae --samples 3",
    "conditional, denoising": "--conditional --corrupt mask",
    "grey auto-encoder": "--posterior point --likelihood gaussian --binarize none",
}
RECORD = re.compile(r"^ +(\d+) +-?\d", re.MULTILINE)
ABORTED = "numpyvae: aborted\n"


class Kills(NamedTuple):
    """What became of runs that were ended by a signal and resumed until their end."""

    kills: int = 0  # processes ended so
    identical: int = 0  # those of runs that ended with the bits of one never ended
    epochs_lost: int = 0  # that had been printed, and were not on disk afterwards
    inside_save: int = 0  # kills that left a file half written, or not yet in place
    unheard: int = 0  # signals that ended Python before it came to numpyvae
    seconds: float = 0
    first_fault: str = ""


def kills(
    model: str,
    signal_name: str,
    count: int,
    seed: int,
    *,
    cold: bool = False,
    inside: int = 0,
    epochs: int = 40,
) -> Kills:
    """Send a signal to `count` processes of `numpyvae train`, anywhere in their lives.

    From the moment they are started; each run is resumed to its end. `cold`: without
    compiled code. There are more, until `inside` of them have hit a save.
    """
    options = f"{BEGIN} {MODEL} {MODELS[model]} --epochs {epochs} {OFTEN}"
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, silence():
        folder = Path(name)
        write_idx(folder / "three", tiny())
        life = never_ended(folder, options, "first")  # numba's cache may have been cold
        life = min(life, never_ended(folder, options, "second"))
        if cold:
            life = never_ended(folder, options, "third", folder / "cold")
        expected = outcome(folder / "first")
        shares = range(AT_A_TIME)
        killers = [
            Killer(
                folder, options, getattr(signal, signal_name), life, expected, cold,
                (count + i) // AT_A_TIME, (inside + i) // AT_A_TIME,
                np.random.default_rng([seed, i]), f"run-{i}",
            )
            for i in shares
        ]  # fmt: skip
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(Killer.work, killers))
    faults = [f"{model}, {k.first_fault}" for k in killers if k.first_fault]
    return Kills(
        *(sum(getattr(k, name) for k in killers) for name in Kills._fields[:5]),
        time.perf_counter() - begin,
        next(iter(faults), ""),
    )


def never_ended(
    folder: Path, options: str, out: str, cache: Path | None = None
) -> float:
    """Train to the end; returns how many seconds it took."""
    begin = time.perf_counter()
    with start(folder, f"{options} --out {out}", cache) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said
    return time.perf_counter() - begin


@dataclass
class Killer:
    """One of those that start processes, end them, and look at what is left."""

    folder: Path
    options: str
    number: int  # of the signal
    life: float  # seconds that a process takes that is left alone
    expected: Any
    cold: bool
    share: int  # of the kills, which are its to do
    share_inside: int  # of those inside a save
    rng: np.random.Generator
    name: str
    kills: int = 0
    identical: int = 0
    epochs_lost: int = 0
    inside_save: int = 0
    unheard: int = 0
    first_fault: str = ""
    seen: set[tuple[int, int]] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether its share is; it gives up when three times as many were no help."""
        enough = self.inside_save >= self.share_inside or self.kills >= 3 * self.share
        return self.kills >= self.share and enough

    def work(self) -> None:
        """Run after run, each ended and resumed until its end, until all are done."""
        for i in itertools.count():
            if self.done:
                break
            run = self.folder / f"{self.name}-{i}"
            before = self.kills
            try:
                self.live_and_die(run)
                assert outcome(run) == self.expected, "ended with other bits"
                self.identical += self.kills - before
            except (AssertionError, RunError, OSError) as fault:
                after = f"{run.name}, after {self.kills - before} signals"
                self.first_fault = self.first_fault or f"{after}: {fault}"
        if self.inside_save < self.share_inside:
            told = f"{self.inside_save} kills inside a save, {self.share_inside} wanted"
            self.first_fault = self.first_fault or told

    def live_and_die(self, run: Path) -> None:
        """One run, ended at random moments and gone on with, with 1 or 2 threads."""
        for threads in itertools.cycle("12"):
            options = f"{self.options} --out {run.name}"
            if (run / "config.json").exists():
                options = f"train --resume {run.name} {OFTEN}"
            dies = not self.done
            cache = self.folder / f"cold-{self.name}-{self.kills}"
            with start(
                self.folder,
                f"{options} --threads {threads}",
                cache if self.cold and dies else None,
            ) as process:
                if dies:
                    self.wait(process, run)
                    process.send_signal(self.number)
                printed, said = process.communicate()
            if process.returncode == 0:
                return
            assert dies, said
            self.kills += 1
            self.look(run, last_epoch(printed))
            self.judge(process.returncode, said, run)

    def wait(self, process: Any, run: Path) -> None:
        """Until a random moment; every other time, on until a save has begun."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.rng.uniform(0, self.life))
        if self.share_inside and (self.kills % 2 or self.kills >= self.share):
            partial = [run / f"{name}.partial" for name in (NAME, "history.csv")]
            end = time.monotonic() + self.life
            while process.poll() is None and time.monotonic() < end:
                if any(path.exists() for path in partial):
                    return
                time.sleep(1e-4)

    def judge(self, code: int, said: str, run: Path) -> None:
        """Whether the process ended as the signal should end it."""
        if self.number == signal.SIGKILL:
            assert code == -signal.SIGKILL, said
        elif code == -self.number and "in main" not in said:
            self.unheard += 1
            assert not run.exists() or (run / "config.json").exists()
        else:
            assert code == 130 and said in ("", ABORTED), f"{code}, {said}"

    def look(self, run: Path, committed: int) -> None:
        """Whether what the process had printed is on disk."""
        newest = (run / NAME).exists()
        status = [path.stat() for path in run.glob("*.partial")]
        halves = {(s.st_ino, s.st_mtime_ns) for s in status} - self.seen
        self.seen |= halves  # one that an earlier kill has left is not counted again
        self.inside_save += bool(halves)
        if newest or (run / PREVIOUS).exists():
            kept = min(len(load_checkpoint(run)[1]["records"]), len(history(run)))
        else:
            kept = 0
        self.epochs_lost += max(0, committed - kept)


@contextlib.contextmanager
def start(folder: Path, options: str, cache: Path | None = None) -> Iterator[Any]:
    """A process of `numpyvae` in `folder`; it is gone afterwards, or after HANG.

    It keeps its compiled code in `cache`, or where it usually does.
    """
    elsewhere = {"NUMBA_CACHE_DIR": str(cache)} if cache else {}
    process = subprocess.Popen(
        [sys.executable, "-m", "numpyvae", *options.split()],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"} | elsewhere,
    )  # fmt: skip
    watchdog = threading.Timer(HANG, process.kill)
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
