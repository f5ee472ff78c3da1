"""Compilation, with and without a place for numba's cache."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from numpyvae.jit import jit


def test_without_a_cache_directory_it_compiles_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def njit(cache: bool = False, **options: Any) -> Callable[..., Any]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        assert options["nogil"] and options["error_model"] == "numpy"
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert jit(print) is print


def test_what_numba_raises_is_what_is_caught(tmp_path: Path) -> None:
    """A function that has no file has no cache directory: numba's own RuntimeError."""
    code = "from numpyvae.jit import jit; print(jit(eval('lambda x: x + 1'))(1))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout == "2\n", run.stderr
