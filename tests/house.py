"""A package's rooms and the arrows between them: `python -m tests.house [FOLDER]`.

A room is a folder of the package, or a file that stands in none. An arrow is an import,
wherever in the text. A room stands one floor above the highest that it imports from;
rooms that import each other, perhaps through others, stand on one floor.
"""

import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "numpyvae"
ROOT = "__init__"  # the package's own file, which imports a name when it is asked for
Arrows = dict[str, set[str]]  # of each, whom it imports


def modules(package: Path) -> dict[str, Path]:
    """Their files, by name: datasets.idx for numpyvae/datasets/idx.py."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(source: str, place: str, names: Iterable[str], package: str) -> set[str]:
    """Those modules of `names` that a file in the folder `place` imports."""
    known, found = set(names), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = f"{package}.{place}".strip(".").split(".")
            above = above[: len(above) + 1 - node.level] if node.level else []
            stem = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{stem}.{alias.name}"
                found.add(name if name.removeprefix(f"{package}.") in known else stem)
    found = {ROOT if name == package else name for name in found}
    return {name.removeprefix(f"{package}.") for name in found} & known


class AtRunTime(ast.NodeTransformer):
    """Leaves out what is imported for the names of types alone."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """No node for `if TYPE_CHECKING:`."""
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node


def arrows(package: Path, types: bool = True) -> Arrows:
    """Between the files, with those for `types` alone, or without.

    `ROOT` has none: it imports nothing before it is asked to.
    """
    found: Arrows = {}
    files = modules(package)
    for name, path in files.items():
        place = name if path.stem == "__init__" else name.rpartition(".")[0]
        source = path.read_text(encoding="utf-8")
        if not types:
            source = ast.unparse(AtRunTime().visit(ast.parse(source)))
        found[name] = imports(source, place, files, package.name) - {name}
    return found | {ROOT: set()}


def room_of(name: str) -> str:
    """The folder right in the package, or the file."""
    return name.partition(".")[0]


def between_rooms(between_files: Mapping[str, set[str]]) -> Arrows:
    """The arrows from one room to another."""
    found: Arrows = {room_of(name): set() for name in between_files}
    for name, others in between_files.items():
        found[room_of(name)] |= {room_of(other) for other in others} - {room_of(name)}
    return found


def reached(name: str, between: Mapping[str, set[str]]) -> set[str]:
    """All that `name` imports, directly or through others; itself only in a circle."""
    found: set[str] = set()
    ahead = between[name]
    while ahead:
        found |= ahead
        ahead = set().union(*(between[each] for each in ahead)) - found
    return found


def circles(between: Mapping[str, set[str]]) -> list[list[str]]:
    """Those that import each other, directly or through others."""
    below = {name: reached(name, between) for name in between}
    found = {
        tuple(sorted(other for other in below[name] if name in below[other]))
        for name in between
        if name in below[name]
    }
    return [list(circle) for circle in sorted(found)]


def floors(between: Mapping[str, set[str]]) -> dict[str, int]:
    """Of each, the number of steps down to the ground, by the longest way."""
    below = {name: reached(name, between) for name in between}
    found: dict[str, int] = {}
    for name in sorted(between, key=lambda name: len(below[name] | {name})):
        under = [found[other] for other in below[name] if name not in below[other]]
        found[name] = max(under, default=-1) + 1
    return found


def main() -> int:
    """Print the floors, the highest first, and how many arrows there are."""
    package = Path(sys.argv[1]) if sys.argv[1:] else PACKAGE
    files = arrows(package)
    rooms = between_rooms(files)
    height = floors(rooms)
    for floor in reversed(range(max(height.values()) + 1)):
        print(f"{floor:3}  {'  '.join(sorted(r for r in rooms if height[r] == floor))}")
    for what, between in (("files", files), ("rooms", rooms)):
        count = sum(map(len, between.values()))
        print(f"{len(between)} {what}, {count} arrows between them")
        for circle in circles(between):
            print(f"  in a circle: {', '.join(circle)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
