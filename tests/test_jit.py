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


ONE = "from .jit import jit\n\n@jit\ndef f(x):\n    return {}\n"
TWO = """
from ..kernels.jit import jit
from ..kernels.one import f
from ..sizes import SHIFT

@jit
def g(x):
    return f(x) + SHIFT
"""
RUN = "from numpyvae.steps.two import g; print(g(3.0), *g.stats.cache_hits.values())"


class Package:
    """A kernel, its caller in another folder, a constant in a third, and one apart."""

    def __init__(self, folder: Path) -> None:
        self.parent, self.folder = folder, folder / "numpyvae"
        ours = Path(numpyvae.__file__).parent
        for name in ("kernels/jit.py", "signals.py"):
            self.write(name, (ours / name).read_text("utf-8"))
        self.write("__init__.py", "")
        self.write("kernels/one.py", ONE.format("2 * x"))
        self.write("steps/two.py", TWO)
        self.write("sizes.py", "SHIFT = 0")
        self.write("apart.py", "")

    def write(self, name: str, text: str) -> None:
        """All files have one time, so that only what is in them tells them apart."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        os.utime(path, (1, 1))

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


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        ("kernels/one.py", ONE.format("7 * x"), "21.0"),  # as long, and as old
        ("steps/two.py", TWO.replace("f(x)", "f(x) + 1"), "7.0"),
        ("sizes.py", "SHIFT = 5", "11.0"),
        ("kernels/jit.py", "", "6.0"),
    ],
    ids=["callee", "kernel", "constant", "way to compile"],
)
def test_what_was_edited_is_compiled_anew(
    name: str, text: str, result: str, package: Package
) -> None:
    """numba's own cache looks at the file of g alone."""
    assert package.run() == "6.0\n"
    jit_py = (package.folder / "kernels/jit.py").read_text("utf-8")
    package.write(name, text or jit_py.replace('"numpy"', '"python"'))
    assert [package.run(), package.run()] == [f"{result}\n", f"{result} 1\n"]


def test_an_edit_elsewhere_compiles_nothing(package: Package) -> None:
    package.run()
    package.write("apart.py", "SHIFT = 5")
    assert package.run() == "6.0 1\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from .one import f", {"kernels/one.py"}),
        ("from .one import (\n    f,\n)", {"kernels/one.py"}),
        ("from . import jit, one as first", {"kernels/jit.py", "kernels/one.py"}),
        ("from .. import (\n    sizes,\n)", {"__init__.py", "sizes.py"}),
        ("def h():\n    from ..steps.two import g", {"steps/two.py"}),
        ("from numpyvae.kernels import one", {"kernels/one.py"}),
        ("import numpyvae.steps.two as two", {"steps/two.py"}),
        ("import os, numpyvae.sizes, re", {"sizes.py"}),
        ("from . import kept", {"kernels/kept/__init__.py"}),
        ("import sizes, numpy\nfrom steps import two", set()),
    ],
)
def test_every_spelling_of_an_import_is_seen(
    line: str, found: set[str], package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpyvae.kernels.jit, "PACKAGE", str(package.folder))
    package.write("kernels/kept/__init__.py", "")
    package.write("kernels/asks.py", line)
    _, files = numpyvae.kernels.jit._read(str(package.folder / "kernels" / "asks.py"))
    assert files == {str(package.folder / name) for name in found}


def test_signatures_that_are_saved_at_once_do_not_share_a_file(
    package: Package,
) -> None:
    """Both processes look at an empty cache before either has saved."""
    meet = """
import pathlib, sys
from numba.core.caching import IndexDataCacheFile
from numpyvae.steps.two import g
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
        package.run(f"from numpyvae.kernels.one import f; f({argument})")
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
