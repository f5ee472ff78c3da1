"""Files that outlast a crash and a power cut, in folders that strangers can write to.

A file is replaced whole or not at all. Of what is read, kind and size are looked at
first: a FIFO would be waited for forever, a huge file fill the memory.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from .errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    FULL_SYNC = None
else:
    # macOS's own fsync leaves the bytes in the disk's cache, which a power cut empties.
    FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)
WINDOWS = os.name == "nt"
WAITS = (0.01, 0.1, 1.0)  # seconds


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file. Raises RunError if it is none, or over `most`."""

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise RunError(f"{path}: found a pipe or a device, expected a file")
        if status.st_size > most:
            raise RunError(f"{path}: found over {most:,} bytes, expected fewer")
        return file.read(status.st_size)


def write_atomically(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Put a whole file in place of the one that is there, which may be kept.

    One writer at a time. What a killed one left half written is written anew; a link
    that was put in its place is not followed. Raises RunError if a call fails; then
    the old file stays.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            partial.unlink(missing_ok=True)
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                _sync(file.fileno())
            if keep is not None and path.exists():
                _replace(path, keep)
            _replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"{path}: found {error.strerror}, expected to write "
            f"{len(content):,} bytes; what was saved before is kept"
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk, where the system has a way to."""
    if not WINDOWS:
        number = os.open(folder, os.O_RDONLY)
        try:
            _sync(number)
        finally:
            os.close(number)


def _sync(number: int) -> None:
    """Flush an open file to the disk itself, past the disk's cache."""
    if FULL_SYNC is not None:
        try:
            fcntl.fcntl(number, FULL_SYNC)
            return
        except OSError:  # not every file system knows it
            pass
    os.fsync(number)


def _replace(source: Path, target: Path) -> None:
    """os.replace; Windows refuses it as long as anybody reads the target."""
    for seconds in WAITS if WINDOWS else ():
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(seconds)
    os.replace(source, target)
