"""Compilation, with and without a place for numba's cache."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numpyvae.jit import jit


def test_without_a_cache_directory_it_compiles_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_place(function: Callable[..., Any]) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    def twice(x: float) -> float:
        return 2 * x

    monkeypatch.setattr("numpyvae.jit._Cache", no_place)
    assert jit(twice)(21.0) == 42


def test_what_numba_raises_is_what_is_caught(tmp_path: Path) -> None:
    """A function that has no file has no cache directory: numba's own RuntimeError."""
    code = "from numpyvae.jit import jit; print(jit(eval('lambda x: x + 1'))(1))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout == "2\n", run.stderr
