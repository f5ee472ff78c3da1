"""Run folders that somebody prepared: refused in a line, at the size they have.

The checkpoints have the right seal: whoever can write a file can compute a SHA-256.
"""

import contextlib
import copy
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest import mock

from data import tiny, write_idx

from numpyvae import figures
from numpyvae.cli import parser as cli
from numpyvae.runs.checkpoint import ARRAYS, MAX_STATE, NAME, load_checkpoint
from numpyvae.runs.run import CONFIG

from .kills import BEGIN, MODEL
from .sealed import archives, headers, members, others, packed, seal, sealed

ROOT = Path(__file__).parents[2]
SECONDS = 60  # that a command may take
ROOM = 2**25  # bytes that a command may take beyond what others before it took,
COPIES = 8  # and as many times those of the run's files
LIMIT = 2**33  # of all memory that the process may ask for; 3 GB of zeros would fit
COMMANDS = ("train --resume r --epochs 3", "sample r --count 1", "evaluate r")

Make = Callable[[Path], object]
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 10**9, 2**63, 10**30, 10**400, 0.5, -1e308, 1e308,
    float("nan"), float("inf"), "", "x", "\0", "\ud800", "adam", [], [1], [[]], [None],
    {}, {"a": 1}, [0] * 10_000, "x" * 10_000,
)  # fmt: skip


class Hostile(NamedTuple):
    """What became of commands on folders that somebody prepared."""

    tried: int
    failed: int  # let an exception escape, hung, or took memory
    seconds: float
    peak_mb: float  # beyond what the run took while it was whole
    first_fault: str


def hostile(every: int = 1) -> Hostile:
    """Try all, or one in `every`, in a process of their own."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "tests.reliability.hostile", str(every)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            [*command, folder], cwd=ROOT, capture_output=True, text=True, check=False
        )
    if process.returncode:
        fault = process.stderr.strip() or f"it died of signal {-process.returncode}"
        return Hostile(1, 1, time.perf_counter() - begin, 0, fault)
    tried, failed, peak, fault = json.loads(process.stdout)
    return Hostile(tried, failed, time.perf_counter() - begin, peak, fault)


# What is put in the way.


def values(whole: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """A name and a copy of some JSON for each place and each thing put or lacking."""
    inner = whole
    for key in place:
        inner = inner[key]
    if isinstance(inner, dict):
        places: list[Any] = list(inner)
    else:
        places = [0, len(inner) - 1] if isinstance(inner, list) and inner else []
    for key in dict.fromkeys(places):
        path = ".".join(map(str, (*place, key)))
        yield f"{path} lacking", changed(whole, (*place, key), remove=True)
        for junk in JUNK:
            name = f"{path} {str(junk)[:12]!r}"
            yield name, changed(whole, (*place, key), junk)
        yield from values(whole, (*place, key))


def changed(
    whole: Any, place: tuple[Any, ...], junk: Any = None, remove: bool = False
) -> Any:
    """A copy with another thing at a place, or with none."""
    other = copy.deepcopy(whole)
    inner = other
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = junk
    return other


TEXTS = {
    "empty": b"",
    "spaces": b" " * (MAX_STATE + 1),
    "not UTF-8": b'{"\xff": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "deep lists": b"[" * 10**6,
    "deep objects": b'{"a":' * 10**5,
    "long number": b"1" * 5000,
    "no object": b"[1, 2]",
    "half": b'{"preset": ',
    "twice": b"{} {}",
    "null": b"null",
}


def configs(whole: Any) -> Iterator[tuple[str, Make]]:
    """config.json, each key of it in turn, and as a whole."""
    texts = [(name, json.dumps(other).encode()) for name, other in values(whole)]
    for name, text in [*texts, *TEXTS.items()]:
        yield f"config: {name}", put(CONFIG, text)


def both(arrays: dict[str, Any], state: Any) -> Iterator[tuple[str, Make]]:
    """config.json and a checkpoint that agree."""
    for name, config in values(state["config"]):
        text = json.dumps(state | {"config": config}).encode()
        new = {CONFIG: json.dumps(config).encode(), NAME: sealed(arrays, text)}
        yield f"both: {name}", lambda run, new=new: [put(*n)(run) for n in new.items()]


def checkpoints(arrays: dict[str, Any], state: Any) -> Iterator[tuple[str, Make]]:
    """Sealed checkpoints: of other JSON, other arrays, other archives."""
    for name, other in values(state):
        yield f"state: {name}", put(NAME, sealed(arrays, json.dumps(other).encode()))
    for name, text in TEXTS.items():
        yield f"state: {name}", put(NAME, sealed(arrays, text))
    text = json.dumps(state).encode()
    for name in ARRAYS:
        for what, array in others(arrays[name]):
            yield f"{name}: {what}", put(NAME, sealed({**arrays, name: array}, text))
        some = {other: arrays[other] for other in ARRAYS if other != name}
        yield f"{name}: lacking", put(NAME, sealed(some, text))
    whole = members(arrays, text)
    for name, header in headers(arrays["params"]):
        lie = whole | {"params.npy": header}
        yield f"params: {name}", put(NAME, seal(packed(lie)))
    for name, content in archives(whole):
        yield f"archive: {name}", put(NAME, content)


def places() -> Iterator[tuple[str, Make]]:
    """What is no regular file, wherever one is read or written."""
    for name in (CONFIG, NAME):
        yield f"{name}: a pipe", lambda run, name=name: os.mkfifo(free(run, name))
        yield f"{name}: a folder", lambda run, name=name: free(run, name).mkdir()
        for target in ("/dev/zero", "/dev/stdin", "nowhere", name):
            yield (
                f"{name}: a link to {target}",
                lambda run, name=name, to=target: free(run, name).symlink_to(to),
            )
        yield f"{name}: huge", lambda run, name=name: os.truncate(run / name, 2**40)
    for name in (CONFIG, NAME, "history.csv", "metrics.json", "run.lock"):
        for ending in ("", ".partial") if name != "run.lock" else ("",):
            if ending or name[0] in "hmr":
                yield (
                    f"{name}{ending}: a link to a file of ours",
                    lambda run, name=name + ending: free(run, name).symlink_to(OURS),
                )
                yield (
                    f"{name}{ending}: a pipe",
                    lambda run, name=name + ending: os.mkfifo(free(run, name)),
                )


OURS = "../ours"  # which nobody may change


def free(run: Path, name: str) -> Path:
    """The path, with nothing there."""
    (run / name).unlink(missing_ok=True)
    return run / name


def put(name: str, content: bytes) -> Make:
    """What writes a file into a run."""
    return lambda run: (run / name).write_bytes(content)


# In a process of their own.


class Victim:
    """A process with a run on which commands are tried."""

    def __init__(self, folder: Path) -> None:
        """Train a run of two epochs, r."""
        os.chdir(folder)
        write_idx(folder / "three", tiny())
        self.run = folder / "r"
        assert self.call(f"{BEGIN} {MODEL} --epochs 2 --out r") == ""
        self.files = {p.name: p.read_bytes() for p in self.run.iterdir()}
        del self.files["checkpoint.previous.npz"]
        for command in COMMANDS:
            assert self.call(command) == ""
        self.peak = 0

    def cases(self) -> Iterator[tuple[str, Make]]:
        """All of them."""
        self.reset()
        yield from places()
        yield from configs(json.loads(self.files[CONFIG]))
        arrays, state = load_checkpoint(self.run)
        yield from checkpoints(arrays, state)
        yield from both(arrays, state)

    def reset(self) -> None:
        """The run as it was."""
        shutil.rmtree(self.run)
        self.run.mkdir()
        for name, content in self.files.items():
            (self.run / name).write_bytes(content)

    def attempt(self, make: Make) -> str:
        """What was wrong with a command on the run so prepared; empty if nothing."""
        ours = Path("ours")
        for command in COMMANDS:
            self.reset()
            ours.write_text("ours", encoding="utf-8")
            make(self.run)
            before = memory()
            wrong = self.call(command)
            grown = memory() - before
            self.peak = max(self.peak, grown)
            if grown > ROOM + COPIES * sum(map(size, self.run.iterdir())):
                wrong = f"it took {grown / 2**20:.0f} MB more"
            if ours.read_bytes() != b"ours":
                wrong = "it wrote to another file"
            if wrong:
                return f"{command.split()[0]}: {wrong}"
        return ""

    def call(self, command: str) -> str:
        """What was wrong with a command; nothing, if it told why it could not."""
        said = io.StringIO()
        signal.signal(signal.SIGALRM, hang)
        signal.alarm(SECONDS)
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(said),
            ):
                code = cli.main(command.split())
        except BaseException:
            return traceback.format_exc(-1).strip().replace("\n", "; ")
        finally:
            signal.alarm(0)
        lines = said.getvalue().splitlines()
        if code not in (0, 2) or not all(s.startswith("numpyvae: ") for s in lines):
            return f"code {code}, {lines}"
        return ""


def size(path: Path) -> int:
    """Of a file; what is none has no bytes, and may pretend to have any number."""
    status = path.lstat()
    return status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else 0


class Hangs(BaseException):
    """A command that does not end."""


def hang(number: int, frame: FrameType | None) -> None:
    raise Hangs


def memory() -> int:
    """The most bytes that the process has had in memory so far."""
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(every: int, folder: Path) -> None:
    """Print how many were tried and failed, the memory taken, and the first fault."""
    import resource

    for name in figures.__all__:
        mock.patch.object(figures, name).start()
    victim = Victim(folder)
    resource.setrlimit(
        resource.RLIMIT_AS, (LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1])
    )
    tried, faults = 0, []
    for i, (name, make) in enumerate(victim.cases()):
        if i % every == 0:
            tried += 1
            wrong = victim.attempt(make)
            faults += [f"{name}: {wrong}"] if wrong else []
            if wrong:
                print(f"{name}: {wrong}"[:400], file=sys.stderr)
    peak = round(victim.peak / 2**20, 1)
    print(json.dumps([tried, len(faults), peak, next(iter(faults), "")]))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
