"""A training's state as one .npz file that is whole and right, or refused.

Arrays and JSON, no pickle. The zip archive's comment holds the SHA-256 of all bytes
before it, so that one flipped bit or one missing byte is noticed before anything is
parsed; whoever only wants the arrays can still say `np.load`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import NumpyvaeError, RunError
from .models import VAE
from .ops import Array

NAME, PREVIOUS = "checkpoint.npz", "checkpoint.previous.npz"
SEAL = 64  # characters of a SHA-256
MAX_BYTES = 2**31

_written: dict[Path, tuple[int, ...]] = {}  # by this process, with their marks


def save_checkpoint(
    folder: Path, arrays: Mapping[str, Array], state: Mapping[str, Any]
) -> None:
    """Write checkpoint.npz; the one before it stays as checkpoint.previous.npz.

    At any moment one of the two is whole on disk. Raises RunError if the disk refuses;
    the checkpoint before then still loads.
    """
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    contents: dict[str, Any] = {"state": text, **arrays}
    np.savez(buffer, **contents)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = bytes(SEAL)
    content = buffer.getvalue()[:-SEAL]
    path = folder / NAME
    # A damaged one must not take the place of the one that was fallen back on.
    keep = folder / PREVIOUS if _is_whole(path) else None
    write_atomically(path, content + _seal(content), keep)
    _written[path] = _mark(path)


def load_checkpoint(folder: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the state of the newest whole checkpoint.

    Falls back on the previous one, and says so on stderr. Raises RunError if there is
    neither.
    """
    try:
        return _read(folder / NAME)
    except RunError as error:
        try:
            contents = _read(folder / PREVIOUS)
        except RunError:
            raise error from None
        print(f"numpyvae: {error}; going on with {PREVIOUS}", file=sys.stderr)
        return contents


def model_of(arrays: Mapping[str, Array], state: Mapping[str, Any]) -> VAE:
    """The model of a checkpoint. Raises RunError if the two don't fit each other."""
    try:
        return VAE(**state["model"], params=arrays["params"])
    except (KeyError, TypeError, ValueError, NumpyvaeError) as error:
        raise RunError(
            f"checkpoint: found {error}, expected a model's state"
        ) from error


def write_atomically(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Put a whole file in place of the one that is there, which may be kept.

    Raises RunError if that can't be done; then the old file stays.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if keep is not None and path.exists():
                os.replace(path, keep)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise RunError(
            f"{path}: found {error.strerror}, expected to write "
            f"{len(content):,} bytes; what was saved before is kept"
        ) from error


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    content = _content(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return arrays, json.loads(arrays.pop("state").tobytes())
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path}: found {error}, expected a checkpoint of this numpyvae"
        ) from error


def _mark(path: Path) -> tuple[int, ...]:
    """Of a file; it has another once it is replaced or written to."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Whether its bytes are the ones that were written; ours need no second look."""
    try:
        if path in _written and _mark(path) == _written[path]:
            return True
        _content(path)
    except (RunError, OSError):
        return False
    return True


def _content(path: Path) -> bytes:
    """The bytes that were written. Raises RunError if there are others or none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RunError(f"{path}: found over {MAX_BYTES:,} bytes, expected fewer")
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(
            f"{path}: found no such file, expected a checkpoint of `numpyvae train`"
        ) from None
    except OSError as error:
        raise RunError(f"{path}: found {error.strerror}, expected a file") from error
    if len(content) < SEAL or _seal(content[:-SEAL]) != content[-SEAL:]:
        raise RunError(
            f"{path}: found bytes that are not the ones that were written (SHA-256), "
            "expected a checkpoint of `numpyvae train`"
        )
    return content


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _sync_directory(folder: Path) -> None:
    """Make a rename last through a power cut, where the system has a way to."""
    if os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
