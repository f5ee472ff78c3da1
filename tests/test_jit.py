"""Compilation, with and without a place for numba's cache."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import numpyvae.jit
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


def test_an_edited_helper_is_compiled_anew_in_its_callers(tmp_path: Path) -> None:
    """numba's own cache would keep the old exp in a caller of another file."""
    package = tmp_path / "numpyvae"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "jit.py").write_text(Path(numpyvae.jit.__file__).read_text())
    caller = (
        "from .jit import jit\nfrom .one import f\n\n@jit\ndef g(x):\n    return f(x)\n"
    )
    (package / "two.py").write_text(caller)

    def edit(body: str) -> None:
        text = f"from .jit import jit\n\n@jit\ndef f(x):\n    return {body}\n"
        (package / "one.py").write_text(text)

    def run() -> str:
        code = "from numpyvae.two import g; print(g(3.0), *g.stats.cache_hits.values())"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
        )
        return done.stdout + done.stderr

    edit("2 * x")
    assert [run(), run()] == ["6.0\n", "6.0 1\n"]  # the second from the cache
    edit("x * x * x")
    assert [run(), run()] == ["27.0\n", "27.0 1\n"]
    (package / "two.py").write_text(caller.replace("f(x)", "f(x) + 1"))
    assert run() == "28.0\n"
