"""Compilation, with and without a place for numba's cache."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import numpyvae.kernels.jit
from numpyvae.kernels.jit import jit


def test_without_a_cache_directory_it_compiles_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_place(function: Callable[..., Any]) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    def twice(x: float) -> float:
        return 2 * x

    monkeypatch.setattr("numpyvae.kernels.jit._Cache", no_place)
    assert jit(twice)(21.0) == 42


def test_what_numba_raises_is_what_is_caught(tmp_path: Path) -> None:
    """A function that has no file has no cache directory: numba's own RuntimeError."""
    code = (
        "from numpyvae.kernels.jit import jit; print(jit(eval('lambda x: x + 1'))(1))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout == "2\n", run.stderr


CALLER = (
    "from .jit import jit\nfrom .one import f\n\n@jit\ndef g(x):\n    return f(x)\n"
)
RUN = "from numpyvae.two import g; print(g(3.0), *g.stats.cache_hits.values())"


class Package:
    """A package of that name with a kernel in one file and its caller in another."""

    def __init__(self, folder: Path) -> None:
        self.parent, self.folder = folder, folder / "numpyvae"
        self.folder.mkdir()
        self.write("__init__.py", "")
        for name in ("jit.py", "signals.py"):
            ours = Path(numpyvae.kernels.jit.__file__).with_name(name)
            self.write(name, ours.read_text("utf-8"))
        self.write("two.py", CALLER)
        self.body("2 * x")

    def write(self, name: str, text: str) -> None:
        """All files have one time, so that only what is in them tells them apart."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        os.utime(path, (1, 1))

    def body(self, body: str) -> None:
        text = f"from .jit import jit\n\n@jit\ndef f(x):\n    return {body}\n"
        self.write("one.py", text)

    def start(self, code: str) -> subprocess.Popen[str]:
        """A process of it; the caches are in the package's own folder."""
        return subprocess.Popen(
            [sys.executable, "-B", "-c", code], text=True, cwd=self.parent,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, code: str = RUN) -> str:
        return self.start(code).communicate()[0]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return Package(tmp_path)


def test_an_edited_helper_is_compiled_anew_in_its_callers(package: Package) -> None:
    """numba's own cache would keep the old f in a caller of another file."""
    assert [package.run(), package.run()] == ["6.0\n", "6.0 1\n"]
    package.body("x * x * x")
    assert [package.run(), package.run()] == ["27.0\n", "27.0 1\n"]
    package.body("x + x + x")  # as long, and as old
    assert [package.run(), package.run()] == ["9.0\n", "9.0 1\n"]
    package.write("two.py", CALLER.replace("f(x)", "f(x) + 1"))
    assert package.run() == "10.0\n"


def test_another_way_to_compile_compiles_anew(package: Package) -> None:
    package.run()
    jit_py = (package.folder / "jit.py").read_text("utf-8")
    package.write("jit.py", jit_py.replace('"numpy"', '"python"'))
    assert package.run() == "6.0\n"


def test_signatures_that_are_saved_at_once_do_not_share_a_file(
    package: Package,
) -> None:
    """Both processes look at an empty cache before either has saved."""
    meet = """
import pathlib, sys
from numba.core.caching import IndexDataCacheFile
from numpyvae.two import g
def waiting(save):
    def wait(*args):
        print(flush=True)
        sys.stdin.readline()
        save(*args)
    return wait
for name in ("_save_index", "_save_data"):
    setattr(IndexDataCacheFile, name, waiting(getattr(IndexDataCacheFile, name)))
"""
    arguments = ["3", "3.0"]
    for argument in arguments:
        package.run(f"from numpyvae.one import f; f({argument})")
    processes = [
        subprocess.Popen(
            [sys.executable, "-B", "-c", f"{meet}g({argument})"], cwd=package.parent,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for argument in arguments
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        process.communicate("\n")
    code = RUN.replace("g(3.0)", "g(3), g(3.0)")
    assert package.run(code) == "6 6.0 1 1\n"


def test_a_damaged_cache_is_compiled_anew(package: Package) -> None:
    package.run()
    for path in package.folder.rglob("*.nbc"):
        path.write_bytes(path.read_bytes()[:-20])
    assert [package.run(), package.run()] == ["6.0\n", "6.0 1\n"]
