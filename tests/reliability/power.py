"""Power cuts: what real saves did to the disk, replayed up to every point.

Bytes that no fsync has reached are lost, torn or there, each name that no fsync of its
folder has reached is there or not. Whatever is left of that, a checkpoint loads.
"""

import contextlib
import itertools
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from numpyvae import files as storage
from numpyvae.errors import RunError
from numpyvae.runs.checkpoint import NAME
from numpyvae.runs.run import CONFIG, Run

from .flips import RAM, loaded
from .kills import silence
from .write_faults import HISTORY, Saves, put

ALL_SUBSETS = 6  # of so many names; of more, only what a journal in order leaves
CUTS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "lost": lambda synced, written: synced,
    "torn": lambda synced, written: written[: len(written) // 2],
    "written": lambda synced, written: written,
}

Files = dict[Path, bytes | None]  # None: a folder


class Cuts(NamedTuple):
    """What became of a run whose machine lost its power."""

    tried: int
    failed: int
    seconds: float
    first_fault: str


class Name(NamedTuple):
    """A change of a folder: what is gone from it, what came, and which file that is."""

    gone: Path | None
    come: Path | None
    file: int


class Disk:
    """What a disk was told, and what of it a power cut may leave."""

    def __init__(self) -> None:
        """Empty, and nothing is under way."""
        self.live: dict[Path, int] = {}  # names, as the process sees them
        self.kept: dict[Path, int] = {}  # as they last through a cut
        self.pending: list[Name] = []
        self.written: dict[int, bytes] = {}  # by file
        self.synced: dict[int, bytes] = {}
        self.folders: set[int] = set()

    def change(self, gone: Path | None, come: Path | None, file: int) -> None:
        """A name goes, comes, or is replaced."""
        self.pending.append(Name(gone, come, file))
        _apply(self.live, self.pending[-1])

    def sync_names(self, folder: Path) -> None:
        """All that was done to a folder lasts from here on."""
        for name in self.pending:
            if (name.come or name.gone or folder).parent == folder:
                _apply(self.kept, name)
        self.pending = [
            name
            for name in self.pending
            if (name.come or name.gone or folder).parent != folder
        ]

    def left(self) -> Iterator[tuple[str, Files]]:
        """Each state that a cut at this moment may leave, and what it is."""
        n = len(self.pending)
        masks = {tuple(i < k for i in range(n)) for k in range(n + 1)}
        if n <= ALL_SUBSETS:
            masks = set(itertools.product((False, True), repeat=n))
        for mask, (how, cut) in itertools.product(sorted(masks), CUTS.items()):
            names = dict(self.kept)
            for name in itertools.compress(self.pending, mask):
                _apply(names, name)
            files: Files = {
                path: None
                if file in self.folders
                else cut(self.synced.get(file, b""), self.written[file])
                if self.synced.get(file) != self.written[file]
                else self.written[file]
                for path, file in names.items()
            }
            yield f"names {mask}, bytes {how}", files


def _apply(names: dict[Path, int], change: Name) -> None:
    if change.gone is not None and names.get(change.gone) == change.file:
        del names[change.gone]
    if change.come is not None:
        names[change.come] = change.file


class Recorder:
    """Notes all that the package does to a disk; looks at each cut after each call."""

    def __init__(self, base: Path, look: Callable[[str, Files, int], None]) -> None:
        """`look` gets the last call, the files left, and the saves that returned."""
        self.base, self.look = base, look
        self.disk, self.saves = Disk(), 0
        self.numbers = {os.stat(base).st_ino: base}  # of folders
        self.files: dict[int, int] = {}  # by the system's number; it uses them again

    def note(self, call: str) -> None:
        """Something was done to the disk."""
        for how, files in self.disk.left():
            self.look(f"{call}, {how}", files, self.saves)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """All calls through which the package writes, and the end of each save."""
        path_open, mkdir, unlink = Path.open, Path.mkdir, Path.unlink
        replace, fsync, save = os.replace, os.fsync, Run.save
        disk = self.disk

        def opened(path: Path, mode: str = "r", *rest: Any, **words: Any) -> Any:
            file = path_open(path, mode, *rest, **words)
            if mode[0] != "r":
                number = len(disk.written)
                disk.written[number] = b""
                self.files[os.fstat(file.fileno()).st_ino] = number
                disk.change(None, path, number)
                self.note(f"open {path.name}")
                return Written(file, self, number)
            return file

        def made(path: Path, *rest: Any, **words: Any) -> None:
            mkdir(path, *rest, **words)
            self.numbers[path.stat().st_ino] = path
            number = len(disk.written)
            disk.written[number] = b""
            disk.folders.add(number)
            disk.change(None, path, number)
            self.note(f"mkdir {path.name}")

        def removed(path: Path, missing_ok: bool = False) -> None:
            unlink(path, missing_ok)
            if path in disk.live:
                disk.change(path, None, disk.live[path])
                self.note(f"unlink {path.name}")

        def replaced(source: Path, target: Path) -> None:
            replace(source, target)
            disk.change(source, target, disk.live[source])
            self.note(f"replace {target.name}")

        def synced(descriptor: int) -> None:
            fsync(descriptor)
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                disk.sync_names(self.numbers[status.st_ino])
            else:
                number = self.files[status.st_ino]
                disk.synced[number] = disk.written[number]
            self.note("fsync")

        def saved(run: Run, trainer: Any) -> None:
            save(run, trainer)
            self.saves += 1
            self.note("saved")

        with (
            mock.patch.object(Path, "open", opened),
            mock.patch.object(Path, "mkdir", made),
            mock.patch.object(Path, "unlink", removed),
            mock.patch.object(os, "replace", replaced),
            mock.patch.object(os, "fsync", synced),
            mock.patch.object(storage, "FULL_SYNC", None),  # macOS's own
            mock.patch.object(Run, "save", saved),
        ):
            yield


class Written:
    """An open file; what is written to it is noted."""

    def __init__(self, file: Any, recorder: Recorder, number: int) -> None:
        """The file as it is, and the number it has on the disk."""
        self.file, self.recorder, self.number = file, recorder, number
        self.flush, self.fileno = file.flush, file.fileno

    def write(self, content: bytes) -> None:
        """As files do."""
        self.file.write(content)
        self.recorder.disk.written[self.number] += content
        self.recorder.note("write")

    def __enter__(self) -> "Written":
        """As files do."""
        return self

    def __exit__(self, *_: object) -> None:
        """As files do."""
        self.file.close()


def power_cuts() -> Cuts:
    """Create a run and save it three times; cut the power at every point."""
    begin = time.perf_counter()
    lefts: list[tuple[str, Files, int]] = []
    with tempfile.TemporaryDirectory(dir=RAM) as name, silence():
        base = Path(name, "disk")
        base.mkdir()
        recorder = Recorder(base, lambda *left: lefts.append(left))
        with recorder.recording():
            saves = Saves(base)
        assert recorder.saves == len(saves.states)
        found: dict[Any, str] = {}  # many cuts leave the same
        faults = []
        for call, files, done in lefts:
            returned = call.startswith("saved")
            key = tuple(sorted(files.items())), done, returned
            if key not in found:
                found[key] = what_is_wrong(saves, files, done, returned)
            if found[key]:
                faults.append(f"{done} saves had returned; {call}: {found[key]}")
    seconds = time.perf_counter() - begin
    return Cuts(len(lefts), len(faults), seconds, next(iter(faults), ""))


def what_is_wrong(saves: Saves, files: Files, done: int, returned: bool) -> str:
    """What a cut that left these files has lost that it may not; empty if nothing."""
    folder, states = saves.run.path, saves.states
    # A file whose folder is gone is gone.
    here = {p.name: c for p, c in files.items() if p.parent == folder in files}
    put(folder, {name: c for name, c in here.items() if c is not None})
    histories = [None, *(saved[HISTORY] for saved in saves.files)]
    if here.get(HISTORY) not in histories[done : done + 2]:
        return "another history"
    if done and here.get(CONFIG) != saves.files[0][CONFIG]:
        return "another config"
    try:
        if loaded(folder) not in states[max(0, done - 1) : done + 1]:
            return "another state was loaded"
        if returned and done > 1:
            (folder / NAME).unlink()
            if loaded(folder) != states[done - 2]:
                return "the checkpoint before was not kept"
    except RunError as error:
        try:
            if done or not saves.run.is_untrained():
                return f"nothing loads: {error}"
        except RunError as lost:
            return f"told as lost: {lost}"
    return ""
