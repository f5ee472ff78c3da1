"""What is imported is declared in pyproject.toml, where it is needed, and used."""

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUPS = {"numpyvae": "", "lessons/builder": "lessons", "tests": "test"}
# Not declared: the benchmarks' peers, which have a requirements.txt, and a fuzzer; what
# imports them says so where they are missing.
OPTIONAL = {"atheris", "jax", "torch"}
COMMANDS = {"mypy", "ruff"}  # which are run, not imported


def normal(name: str) -> str:
    """A distribution's name as it is compared: markdown-it-py for markdown_it_py."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def declared(group: str) -> set[str]:
    """The distributions of a group, or, of none, what the package itself needs."""
    found = set()
    for line in requires("numpyvae") or []:
        name, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"](\w+)", marker)
        if (extra[1] if extra else "") == group:
            found.add(normal(re.split(r"[^\w.-]", name.strip())[0]))
    return found


@cache
def imported(folder: str) -> set[str]:
    """The distributions of third parties that the files of a folder import."""
    own = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "lessons").rglob("*.py")]
    known = packages_distributions()
    apart = {path.stem for path in own} | {path.parent.name for path in own}
    apart |= OPTIONAL | set(sys.stdlib_module_names) | {"numpyvae"}
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").split(".")[0])
    return {normal(known.get(name, [name])[0]) for name in names - apart}


pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="Python 3.10 can't tell of every module which distribution it is of",
)


@pytest.mark.parametrize("folder", GROUPS)
def test_what_is_imported_is_declared(folder: str) -> None:
    assert imported(folder) <= declared("") | declared(GROUPS[folder])


def test_what_is_declared_is_imported() -> None:
    """In `test` are those of the lessons' builder as well, which the tests run."""
    assert declared("") == imported("numpyvae")
    assert declared("lessons") == imported("lessons/builder") - declared("")
    ours = declared("test") - declared("lessons") - COMMANDS
    assert ours == imported("tests") - declared("")
