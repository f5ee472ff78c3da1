"""The one place where pictures become files: whole, and never over anything else."""

import os
import stat
from pathlib import Path

from ..errors import ArgumentError, expect_path
from ..files import write_atomically

SIGNATURES = {".png": (b"\x89PNG\r\n\x1a\n",), ".gif": (b"GIF87a", b"GIF89a")}


def expect_writable(path: str | os.PathLike[str], suffix: str = ".png") -> Path:
    """The path of a picture of this kind that may be written.

    Raises ArgumentError for another suffix, without a folder to write to, and where
    there is something already that is neither a picture nor an empty file.
    """
    expect_path("path", path)
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise ArgumentError(
            f"{path}: found the suffix {path.suffix!r}, expected {suffix!r}; "
            f"name it {path.stem or 'picture'}{suffix}"
        )
    if not path.parent.is_dir():
        raise ArgumentError(
            f"{path}: found no folder {path.parent}, expected one to write to; make it "
            "first"
        )
    try:
        status = path.lstat()
    except FileNotFoundError:
        return path
    if not stat.S_ISREG(status.st_mode):
        raise ArgumentError(
            f"{path}: found a folder, a link or a device, expected a picture or "
            "nothing yet; choose another name"
        )
    with path.open("rb") as file:
        begin = file.read(8)
    if begin and not begin.startswith(sum(SIGNATURES.values(), ())):
        raise ArgumentError(
            f"{path}: found a file that is no picture, expected one or nothing yet; "
            "choose another name"
        )
    return path


def write_picture(
    path: str | os.PathLike[str], content: bytes, suffix: str = ".png"
) -> None:
    """Write a whole picture, where there was nothing or a picture before.

    Raises ArgumentError as `expect_writable` does, and RunError, naming the path, if
    the system refuses.
    """
    write_atomically(expect_writable(path, suffix), content)
