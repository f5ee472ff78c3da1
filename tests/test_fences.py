"""The arrows between the files point one way, and no file is too long to read."""

import ast
from pathlib import Path

import pytest

import numpyvae

PACKAGE = Path(numpyvae.__file__).parent


def name_of(path: Path) -> str:
    """numpyvae.datasets.idx for .../numpyvae/datasets/idx.py."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, package: str) -> set[str]:
    """The modules of ours that a file in `package` imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level]
            stem = ".".join((above if node.level else []) + [node.module or ""])
            for alias in node.names:
                name = f"{stem.rstrip('.')}.{alias.name}"
                found.add(name if name in FILES else stem.rstrip("."))
    return found & set(FILES)


ARROWS = {
    name: imports(
        path.read_text(encoding="utf-8"),
        name if path.stem == "__init__" else name.rpartition(".")[0],
    )
    for name, path in FILES.items()
}


def reached_from(name: str) -> set[str]:
    """All that `name` imports, directly or through others."""
    reached: set[str] = set()
    ahead = {name}
    while ahead:
        reached |= ahead
        ahead = set().union(*(ARROWS[n] for n in ahead)) - reached
    return reached - {name}


COMMAND_LINE = {"commands", "cli", "__main__"}
PICTURES_AND_RUNS = COMMAND_LINE | {"figures", "runs"}
TRAINING = PICTURES_AND_RUNS | {"train", "settings", "evaluate"}
TRAINING |= {"checkpoint", "fused"}
THREADS = {"process", "workers", "parallel"}
CHECKS = {"gradcheck", "rounding", "selfcheck", "mistakes", "trials", "exercises"}
MODELS = (
    TRAINING | THREADS | CHECKS | {"models", "networks", "layers", "params", "backends"}
)
MATHEMATICS = {"ops", "conv", "gaussian", "likelihoods", "optim", "kernels", "jit"}
MATHEMATICS |= {"conv_kernels", "pixels", "objectives", "posteriors", "workspace"}
MATHEMATICS |= {"classify", "blas", "noise"}
# Who must not reach whom.
FENCES = {
    **dict.fromkeys(MATHEMATICS, MODELS | {"datasets"}),
    **dict.fromkeys(THREADS, (MODELS - THREADS) | {"datasets"}),
    "datasets": MODELS | (MATHEMATICS - {"jit"}),
    **dict.fromkeys(["models", "networks", "layers", "params"], TRAINING | CHECKS),
    **dict.fromkeys(CHECKS - {"selfcheck"}, MODELS - CHECKS),
    **dict.fromkeys(["train", "evaluate"], PICTURES_AND_RUNS),
    **dict.fromkeys(["figures", "checkpoint", "runs"], COMMAND_LINE),
}


def room_of(name: str) -> str:
    """The file, or the folder of files, right in the package."""
    return name.removeprefix("numpyvae").removeprefix(".").split(".")[0]


@pytest.mark.parametrize("name", FILES)
def test_no_arrow_points_up(name: str) -> None:
    over = {room_of(n) for n in reached_from(name) - {"numpyvae"}}
    over &= FENCES.get(room_of(name), set())
    assert not over, f"{name} imports {over}"


def test_only_the_command_line_imports_figures() -> None:
    rooms = {
        room_of(name)
        for name, modules in ARROWS.items()
        if "figures" in {room_of(module) for module in modules}
    }
    assert rooms <= {"commands", "cli", "figures"}


@pytest.mark.parametrize(
    ("name", "below"), [("signals", set()), ("errors", set()), ("jit", {"signals"})]
)
def test_the_lowest_import_nothing_else_of_the_package(
    name: str, below: set[str]
) -> None:
    assert ARROWS[f"numpyvae.{name}"] == {f"numpyvae.{lower}" for lower in below}


@pytest.mark.parametrize(
    ("line", "package", "module"),
    [
        ("from .ops import Array", "numpyvae", "ops"),
        ("from . import figures", "numpyvae", "figures"),
        ("def f():\n    from numpyvae import figures", "numpyvae", "figures"),
        ("import numpyvae.figures as f", "numpyvae", "figures"),
        ("from numpyvae.figures import f", "numpyvae", "figures"),
        ("from ..models import VAE", "numpyvae.datasets", "models"),
        ("from .idx import load_idx", "numpyvae.datasets", "datasets.idx"),
    ],
)
def test_every_spelling_of_an_import_is_seen(
    line: str, package: str, module: str
) -> None:
    assert imports(line, package) == {f"numpyvae.{module}"}


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
