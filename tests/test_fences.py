"""The arrows between the files point one way, and no file is too long to read."""

import ast
import sys
from pathlib import Path

import pytest
from house import (
    PACKAGE,
    arrows,
    between_rooms,
    circles,
    floors,
    imports,
    modules,
    reached,
    room_of,
)

FILES = modules(PACKAGE)
ARROWS = arrows(PACKAGE)

# From the ground up: an arrow between rooms leads to a lower floor.
FLOORS = (
    {"__init__", "errors", "signals"},
    {"files"},
    {"pairs"},
    {"kernels"},
    {"datasets", "model"},
    {"analysis", "checking", "training"},
    {"figures", "runs"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Files, or whole rooms, and all that they may need, directly or through others.
CHECKS = {n for n in FILES if n.startswith("checking.") and ".package" not in n}
THREADS = {"training.process", "training.workers", "training.fused.parallel"}
NEEDS = {
    "errors": set(),
    "signals": set(),
    "pairs": {"pairs"},
    "kernels.jit": {"signals"},
    "datasets": {"datasets", "errors", "files", "kernels.jit", "signals"},
    **{name: {*CHECKS, "errors", "pairs"} for name in CHECKS},
    **{name: {*THREADS, "kernels.jit", "pairs", "signals"} for name in THREADS},
}


def test_every_file_belongs_to_a_room_on_a_floor() -> None:
    assert {room_of(name) for name in FILES} == set(FLOOR)
    assert set(NEEDS) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_arrows_between_rooms_point_down(name: str) -> None:
    room = room_of(name)
    others = {other for other in ARROWS[name] if room_of(other) != room}
    over = {other for other in others if FLOOR[room_of(other)] >= FLOOR[room]}
    assert not over, f"{name} imports {over}"


def test_no_files_import_each_other() -> None:
    """But for the names of types, which nobody imports at run time."""
    assert circles(arrows(PACKAGE, types=False)) == []


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        (name, a)
        for key, a in NEEDS.items()
        for name in FILES
        if f"{name}.".startswith(f"{key}.")
    ],
)
def test_some_need_little(name: str, allowed: set[str]) -> None:
    over = {n for n in reached(name, ARROWS) if not {n, room_of(n)} & allowed}
    assert not over, f"{name} needs {over}"


@pytest.mark.parametrize("name", FILES)
def test_the_pairs_stand_on_numpy_alone_and_no_file_on_lessons(name: str) -> None:
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    assert not found & {"lessons", "tests"}
    assert room_of(name) != "pairs" or found <= {"numpy", *sys.stdlib_module_names}


def test_only_the_command_line_imports_figures() -> None:
    over = {n for n in FILES if "figures" in map(room_of, ARROWS[n])}
    assert {room_of(name) for name in over} <= {"cli", "figures"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from .idx import load_idx", {"datasets.idx"}),
        ("from . import idx, load_idx", {"datasets", "datasets.idx"}),
        ("from ..model.vae import VAE", {"model.vae"}),
        ("def f():\n    from numpyvae import figures", {"figures"}),
        ("import numpyvae.figures as f", {"figures"}),
        ("from numpyvae.figures import f", {"figures"}),
        ("from .. import __version__", {"__init__"}),
        ("import numpy.model.vae, idx", set()),
    ],
)
def test_every_spelling_of_an_import_is_seen(line: str, found: set[str]) -> None:
    assert imports(line, "datasets", FILES, "numpyvae") == found


def test_circles_are_found_and_stand_on_one_floor() -> None:
    between = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set(), "e": {"d"}}
    assert circles(between) == [["b", "c"]]
    assert floors(between) == {"a": 2, "b": 1, "c": 1, "d": 0, "e": 1}


def test_rooms_are_folders_and_files_on_their_own() -> None:
    between = {
        "a.x": {"a.y", "b"},
        "a.y": {"b", "c"},
        "b": {"c.z"},
        "c": set(),
        "c.z": set(),
    }
    assert between_rooms(between) == {"a": {"b", "c"}, "b": {"c"}, "c": set()}


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_over_350_lines(name: str) -> None:
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 350


def unnamed_encodings(source: str) -> list[int]:
    """The lines where text is read or written in whatever code the system has."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function, arguments = node.func, [ast.unparse(a) for a in node.args]
        name = getattr(function, "attr", getattr(function, "id", ""))
        named = "encoding" in {keyword.arg for keyword in node.keywords}
        if name == "read_text":
            named |= len(arguments) > 0
        elif name == "write_text":
            named |= len(arguments) > 1
        elif name == "open":
            owner = ast.unparse(function.value) if hasattr(function, "value") else ""
            mode = arguments[not owner :][:1] or ["'r'"]
            named |= owner in ("os", "Image", "Run") or "b'" in mode[0]
            named |= not mode[0].startswith("'")  # a variable
        else:
            named = True
        lines += [] if named else [node.lineno]
    return lines


@pytest.mark.parametrize("folder", ["numpyvae", "lessons", "tests"])
def test_text_is_utf_8_on_every_system(folder: str) -> None:
    found = {
        str(path): unnamed_encodings(path.read_text(encoding="utf-8"))
        for path in sorted((PACKAGE.parent / folder).rglob("*.py"))
    }
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("line", "unnamed"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text('x')", True),
        ("path.write_text('x', encoding='utf-8')", False),
        ("open('x')", True),
        ("open('x', 'rb')", False),
        ("path.open('w')", True),
        ("path.open('xb')", False),
        ("path.open(newline='', encoding='utf-8')", False),
        ("os.open('x', os.O_RDONLY)", False),
    ],
)
def test_an_unnamed_encoding_is_seen(line: str, unnamed: bool) -> None:
    assert unnamed_encodings(line) == [1] * unnamed


@pytest.mark.parametrize("name", ["naive.py", "naive_conv.py"])
def test_the_oracles_import_nothing_of_the_package(name: str) -> None:
    source = (Path(__file__).parent / name).read_text(encoding="utf-8")
    modules = {"math", "numpy"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert isinstance(node, ast.Import)
            assert {alias.name for alias in node.names} <= modules


@pytest.mark.parametrize("name", [n for n in FILES if room_of(n) in ("pairs", "model")])
def test_no_signature_is_over_six_parameters(name: str) -> None:
    """But VAE's own: all that a model can be made of."""
    long = {}
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            count = len([a for a in given if a.arg != "self"])
            long |= {node.name: count} if count > 6 else {}
    assert long.keys() <= ({"__init__"} if name.endswith("model.vae") else set())
