"""Disks that are full, broken or forbidden: what was saved before still loads."""

import contextlib
import errno
import io
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from data import tiny, write_idx

from numpyvae import VAE, figures
from numpyvae.cli import parser as cli
from numpyvae.errors import RunError
from numpyvae.runs.checkpoint import NAME, PREVIOUS, load_checkpoint
from numpyvae.runs.run import Run, fingerprint
from numpyvae.runs.versions import versions
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

from .flips import RAM, loaded
from .kills import BEGIN, MODEL, outcome, silence, start

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
HISTORY = "history.csv"


class WriteFaults(NamedTuple):
    """What became of saves of which a call failed."""

    tried: int
    failed: int  # lost a checkpoint, hid the failure, or told it in another way
    seconds: float
    first_fault: str


class Fault:
    """Has the n-th call that writes fail with an error, or all from the n-th on."""

    def __init__(self, number: int, code: int, forever: bool, half: bool) -> None:
        """`half`: a failing write writes half of the bytes first. -1: none fails."""
        self.number, self.code = number, code
        self.forever, self.half = forever, half
        self.calls: list[str] = []

    def hit(self, call: str) -> bool:
        """Count a call; whether it is to fail."""
        self.calls.append(call)
        number = len(self.calls) - 1
        return number == self.number or (0 <= self.number < number and self.forever)

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, failing in its turn."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            failing = self.hit(name)
            if failing and name == "write" and self.half:
                function(arguments[0][: len(arguments[0]) // 2])
            if failing:
                raise OSError(self.code, os.strerror(self.code))
            return function(*arguments, **keywords)

        return call

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """In all calls through which the package writes."""
        path_open = Path.open
        opened = self.wrap("open", path_open)
        replace, fsync = self.wrap("replace", os.replace), self.wrap("fsync", os.fsync)
        unlink, os_open = self.wrap("unlink", Path.unlink), os.open
        open_folder = self.wrap("open", os_open)

        def open_low(path: Any, *arguments: Any) -> int:
            # Of what is opened so, folders alone are for writing: they are synced.
            opener = open_folder if os.path.isdir(path) else os_open
            return opener(path, *arguments)

        def open_path(
            path: Path, mode: str = "r", *arguments: Any, **words: Any
        ) -> Any:
            if mode[0] == "r":
                return path_open(path, mode, *arguments, **words)
            return File(opened(path, mode, *arguments, **words), self)

        with (
            mock.patch.object(Path, "open", open_path),
            mock.patch.object(Path, "unlink", lambda *a, **k: unlink(*a, **k)),
            mock.patch.object(os, "replace", replace),
            mock.patch.object(os, "fsync", fsync),
            mock.patch.object(os, "open", open_low),
        ):
            yield


class File:
    """An open file whose write, flush and close may fail."""

    def __init__(self, file: Any, fault: Fault) -> None:
        """The file as it is, and when it fails."""
        self.file, self.fileno = file, file.fileno
        self.write = fault.wrap("write", file.write)
        self.flush = fault.wrap("flush", file.flush)
        self.fault = fault

    def __enter__(self) -> "File":
        """As files do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it in any case."""
        self.file.close()
        self.fault.wrap("close", lambda: None)()


class Saves:
    """A folder before a save, and what it may hold after one that failed."""

    def __init__(self, folder: Path) -> None:
        """Train two epochs, with a save before, between and after them."""
        data, settings = tiny(), Settings(batch_size=100)
        model = VAE(48, [4], 1)
        with Workers(1) as workers:
            self.trainer = Trainer(model, data, settings, workers)
            config = {
                "preset": "default",
                "data": "tiny",
                "data_dir": None,
                "image_shape": data.image_shape,
                "data_sha256": fingerprint(data),
                "model": model.arguments(),
                "training": vars(settings),
                "versions": [versions(self.trainer)],
            }
            self.run = Run.open(Run.create(folder / "run", config).path)
            self.states: list[Any] = []
            self.files: list[dict[str, bytes]] = []
            for _ in range(3):
                self.run.save(self.trainer)
                self.states.append(loaded(self.run.path))
                self.files.append(read(self.run.path))
                if len(self.states) < 3:
                    self.trainer.run_epoch()
        self.last = load_checkpoint(self.run.path)

    def starts(self) -> Iterator[tuple[str, dict[str, bytes], Any]]:
        """A name, files, and the state that they hold."""
        first, second, _ = self.files
        old, older = second[NAME], first[NAME]
        some = {name: second[name] for name in ("config.json", HISTORY)}
        yield "one checkpoint", {**some, NAME: older}, self.states[0]
        yield "two", {**some, NAME: old, PREVIOUS: older}, self.states[1]
        yield "newest gone", {**some, PREVIOUS: older}, self.states[0]
        damaged = {**some, NAME: old[:-9], PREVIOUS: older}
        yield "newest damaged", damaged, self.states[0]

    def resumed(self, files: dict[str, bytes]) -> None:
        """Put these files and no others; resume, and train up to the third save."""
        put(self.run.path, files)
        self.run.restore(self.trainer, *self.run.load())
        self.trainer.restore(*self.last)


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_faults(every: int = 1) -> WriteFaults:
    """Fail each call of a save with each error, once or for good; or one in `every`."""
    begin = time.perf_counter()
    tried = failed = 0
    first_fault = ""
    with tempfile.TemporaryDirectory(dir=RAM) as name, silence():
        saves = Saves(Path(name))
        for start_name, files, old in saves.starts():
            for i, fault in enumerate(faults(saves, files)):
                if i % every:
                    continue
                tried += 1
                call = fault.calls[fault.number]
                wrong = one_save(saves, files, fault, old)
                if wrong:
                    failed += 1
                    first_fault = first_fault or (
                        f"{start_name}, {os.strerror(fault.code)} at call "
                        f"{fault.number} ({call}): {wrong}"
                    )
    return WriteFaults(tried, failed, time.perf_counter() - begin, first_fault)


def faults(saves: Saves, files: dict[str, bytes]) -> Iterator[Fault]:
    """All faults of a save from these files on."""
    whole = Fault(-1, 0, False, False)
    saves.resumed(files)
    with whole.planted():
        saves.run.save(saves.trainer)
    for (i, call), code, forever in itertools.product(
        enumerate(whole.calls), ERRORS, (False, True)
    ):
        for half in (False, True)[: 1 + (call == "write")]:
            fault = Fault(i, code, forever, half)
            fault.calls = list(whole.calls)
            yield fault


def put(folder: Path, files: dict[str, bytes]) -> None:
    """These files and no others."""
    shutil.rmtree(folder)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def one_save(saves: Saves, files: dict[str, bytes], fault: Fault, old: Any) -> str:
    """What was wrong with a save in which a call failed; empty if nothing."""
    folder, new, fault.calls = saves.run.path, saves.states[2], []
    saves.resumed(files)
    try:
        with fault.planted():
            saves.run.save(saves.trainer)
        return "the failure was not told"
    except RunError as error:
        if "\n" in str(error) or os.strerror(fault.code) not in str(error):
            return f"told as {error}"
    except Exception as error:
        return f"{type(error).__name__} escaped"
    try:
        if loaded(folder) not in (old, new):
            return "another state was loaded"
        if (folder / HISTORY).read_bytes() not in (
            files[HISTORY], saves.files[2][HISTORY]
        ):  # fmt: skip
            return "half a history was written"
        saves.run.save(saves.trainer)  # the disk is well again
        if loaded(folder) != new:
            return "the next save did not last"
    except RunError as error:
        return f"nothing loads: {error}"
    return ""


# A disk that is really full.


def full_disk(quick: bool = False) -> list[tuple[str, str]]:
    """Each way to fill a disk, and "passed", "failed: ..." or "not tried: ..."."""
    if quick:
        return [("a limit on the size of files", small_files(in_this_process))]
    return [
        ("a limit on the size of files", small_files(in_its_own_process)),
        ("a full file system", full_tmpfs()),
    ]


Call = Callable[[Path, str], tuple[int, str]]


def in_its_own_process(folder: Path, options: str) -> tuple[int, str]:
    """Exit code and stderr of `numpyvae` in a folder."""
    with start(folder, options) as process:
        _, said = process.communicate()
    return process.returncode, said


def in_this_process(folder: Path, options: str) -> tuple[int, str]:
    """The same, quicker, and nothing is drawn."""
    before = Path.cwd()
    with contextlib.ExitStack() as stack:
        for name in figures.__all__:
            stack.enter_context(mock.patch.object(figures, name))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        said = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        os.chdir(folder)
        try:
            return cli.main(options.split()), said.getvalue()
        finally:
            os.chdir(before)


def small_files(call: Call) -> str:
    """Train where a checkpoint, but not config.json, is larger than files may be."""
    import resource  # Windows has none

    @contextlib.contextmanager
    def limited() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**13, before[1]))
        try:
            yield  # processes that are started inherit it
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with tempfile.TemporaryDirectory() as name:
        return goes_on_after(Path(name), call, limited(), "File too large")


def full_tmpfs() -> str:
    """Train into a file system of which nearly all is taken."""
    if os.geteuid() != 0:
        return "not tried: only root can mount a tmpfs"
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", name]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode:
            return f"not tried: {mounted.stderr.strip()}"

        @contextlib.contextmanager
        def filled() -> Iterator[None]:
            ballast = Path(name, "ballast")
            space = os.statvfs(name)
            free = (space.f_bavail - 2) * space.f_frsize  # config.json fits in the rest
            ballast.write_bytes(bytes(free))
            try:
                yield
            finally:
                ballast.unlink()

        try:
            told = "No space left on device"
            return goes_on_after(Path(name), in_its_own_process, filled(), told)
        finally:
            subprocess.run(["umount", name], check=True)


def goes_on_after(
    folder: Path, call: Call, full: contextlib.AbstractContextManager[None], told: str
) -> str:
    """Whether a run that the disk stopped kept what it had, and goes on later."""
    write_idx(folder / "three", tiny())
    try:
        for epochs, name in ((3, "never-stopped"), (1, "run")):
            options = f"{BEGIN} {MODEL} --epochs {epochs} --out {name}"
            assert call(folder, options) == (0, ""), f"{name} could not be trained"
        before = outcome(folder / "run")
        with full:
            code, said = call(folder, "train --resume run --epochs 3")
        assert code == 2, f"exit code {code}, {said}"
        assert said.count("\n") == 1, said
        assert said.startswith(f"numpyvae: run/{NAME}: found {told}"), said
        assert outcome(folder / "run") == before, "the checkpoint is another one"
        assert call(folder, "train --resume run") == (0, ""), "it did not go on"
        assert outcome(folder / "run") == outcome(folder / "never-stopped"), (
            "other bits"
        )
    except (AssertionError, RunError) as fault:
        return f"failed: {fault}"
    return "passed"
