"""`numpyvae check`: finds a clone of your own, whose lessons/judge/ does the rest."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ...errors import DataError

RUN = "exercises", "solutions", "judge"  # the folders of lessons/ whose files are run


def check(numbers: Sequence[int], folder: str) -> int:
    """Judge the exercises, all if no number is given; 0 if all are correct, else 1."""
    clone = find_clone(Path(folder))
    sys.path.insert(0, str(clone))  # the lessons are no part of the package
    code: int = importlib.import_module("lessons.judge.report").check(clone, numbers)
    return code


def find_clone(start: Path) -> Path:
    """The clone that `start` lies in: lessons beside a pyproject.toml of numpyvae.

    Its files are run: raises DataError if one belongs to another user, and if there is
    no clone.
    """
    for clone in (start.resolve(), *start.resolve().parents):
        folders = [clone / "lessons" / name for name in RUN]
        if _is_numpyvae(clone) and all(folder.is_dir() for folder in folders):
            _expect_own([clone, clone / "lessons", clone / "lessons" / "__init__.py"])
            for folder in folders:
                _expect_own([folder, *sorted(folder.rglob("*"))])
            return clone
    raise DataError(
        f"{start}: found no lessons/exercises of a clone of numpyvae here or above, "
        "expected one; go there, or name it with --dir"
    )


def _is_numpyvae(folder: Path) -> bool:
    """Whether the project in a folder is numpyvae."""
    try:
        text = (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, ValueError):
        return False
    return re.search(r'^name = "numpyvae"$', text, re.MULTILINE) is not None


def _expect_own(paths: Sequence[Path]) -> None:
    """Raise DataError if another user than this one owns what is there of `paths`."""
    if sys.platform == "win32":  # which has no such numbers
        return
    for path in paths:
        if path.exists() and path.stat().st_uid != os.getuid():
            raise DataError(
                f"{path}: found a file of user {path.stat().st_uid}, expected your own "
                f"(user {os.getuid()}), as `check` runs it; make a clone of your own"
            )
