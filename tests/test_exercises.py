"""The exercises: each stub waits, each solution passes, each mistake gets its hint."""

import ast
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lessons.judge.answers import EQUAL, Problem, problems
from lessons.judge.exercises import (
    CORRECT,
    UNWRITTEN,
    WRONG,
    Exercise,
    Verdict,
    compare,
    faults_of_pair,
    judge,
    load,
    pairs,
)
from numpyvae.cli import parser as cli

LESSONS = Path(__file__).parents[1] / "lessons"
EXERCISES = {
    stub.stem: Exercise(stub, LESSONS / "solutions" / stub.name)
    for stub in sorted((LESSONS / "exercises").glob("[0-9][0-9]_*.py"))
}
every_exercise = pytest.mark.parametrize("name", EXERCISES)


def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def draws_of(solution: ModuleType) -> dict[str, Callable[..., Any]]:
    return {function.__name__: draw for function, draw in solution.EXERCISES.items()}


@pytest.mark.parametrize(
    "lesson", [p.name for p in sorted(LESSONS.glob("[0-9][0-9]_*.py")) if p.stem > "02"]
)
def test_every_lesson_from_02_on_has_an_exercise(lesson: str) -> None:
    assert (LESSONS / "exercises" / lesson).exists()
    assert (LESSONS / "solutions" / lesson).exists()


@every_exercise
def test_a_stub_holds_the_task_and_nothing_else(name: str) -> None:
    exercise = EXERCISES[name]
    tree = ast.parse(exercise.stub.read_text("utf-8"))
    about = ast.get_docstring(tree) or ""
    assert about.startswith(f"Exercise {name[:2]} · ")
    assert f"numpyvae check {exercise.number}" in about
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    stubs, solved = functions_of(exercise.stub), functions_of(exercise.solution)
    assert len(tree.body) == 1 + len(imports) + len(stubs)
    waiting = []
    for stub in stubs.values():
        assert ast.get_docstring(stub)
        if "NotImplementedError" in ast.unparse(stub):  # else it is given
            assert len(stub.body) == 2
            assert ast.dump(stub.args) == ast.dump(solved[stub.name].args)
            waiting.append(stub.name)
    assert waiting == list(draws_of(load(exercise.solution)))


@every_exercise
def test_a_stub_is_not_written_yet(name: str) -> None:
    assert {verdict.status for verdict in judge(EXERCISES[name])} == {UNWRITTEN}


@every_exercise
def test_the_solution_is_correct(name: str) -> None:
    solution = EXERCISES[name].solution
    verdicts = judge(Exercise(solution, solution))
    assert not [verdict for verdict in verdicts if verdict.status != CORRECT]


@every_exercise
def test_the_solution_s_gradients_are_derivatives(name: str) -> None:
    draws = load(EXERCISES[name].solution).EXERCISES
    for forward, backward in pairs(draws):
        for problem in problems(forward, draws[forward]):
            assert not faults_of_pair(forward, backward, problem.args)
    given = vars(load(EXERCISES[name].stub))
    for backward, draw in draws.items():
        forward = given.get(backward.__name__.removesuffix("_backward"), backward)
        if forward.__name__ not in draws_of(load(EXERCISES[name].solution)):
            for problem in problems(backward, draw):
                assert not faults_of_pair(forward, backward, problem.args[1:])


# A mistake gets the right values and the problem, and returns what it makes of them.
Mistake = Callable[[Any, Problem], Any]


def by_a_batch(factor: Callable[[int], float]) -> Mistake:
    return lambda y, problem: y * factor(problem.sizes["B"])


def nudged(y: Any) -> Any:
    """Every entry a little off, each in its own way."""
    return y + np.linspace(1, 2, y.size).reshape(y.shape) * (1 + np.abs(y))


def poisoned(y: Any, _: Problem) -> Any:
    z = np.array(y)
    z[(0,) * z.ndim] = np.nan
    return z


def refuse(y: Any, _: Problem) -> Any:
    raise ZeroDivisionError("of mine")


MISTAKES: dict[str, tuple[Mistake, str]] = {
    "sign": (lambda y, _: -y, "the ratio is -1 everywhere: the sign is flipped"),
    "double": (lambda y, _: 2 * y, "twice too large: a 1/2 is lost"),
    "half": (lambda y, _: y / 2, "half of it: a 1/2 too many"),
    "-2": (lambda y, _: -2 * y, "the sign is flipped, and twice too large"),
    "constant": (lambda y, _: y * np.pi, "the ratio is 3.14159265359 everywhere"),
    "offset": (lambda y, _: y - 0.25, "it is 0.25 too small"),
    "sum over B": (by_a_batch(lambda B: B), "a sum over B where a mean belongs"),
    "mean over B": (by_a_batch(lambda B: 1 / B), "a mean over B where a sum belongs"),
    "transpose": (lambda y, _: np.transpose(y), "it is the transpose"),
    "square only": (
        lambda y, problem: y if problem.kind == EQUAL else nudged(y),
        "right for square shapes only; at ",
    ),
    "batch of one only": (
        lambda y, problem: y if problem.sizes["B"] == 1 else nudged(y),
        "right for a batch of one only; at B = 5",
    ),
    "not a batch of one": (
        lambda y, problem: nudged(y) if problem.sizes["B"] == 1 else y,
        "right but for a batch of one; at B = 1",
    ),
    "shape": (lambda y, _: y[None], " has shape (1,"),
    "list": (lambda y, _: [y], "is of type list, expected an array"),
    "float32": (lambda y, _: np.float32(y), "has dtype float32, expected float64"),
    "complex": (lambda y, _: y + 0j, "has dtype complex128, expected float64"),
    "NaN": (poisoned, "is nan, expected"),
    "nothing": (lambda y, _: None, "None"),
    "error": (refuse, "it raises ZeroDivisionError: of mine"),
    "in place": (lambda y, _: y, "it changes its argument "),
}
FITTING = {
    "transpose": lambda y, sizes: y.ndim > 1,
    "square only": lambda y, sizes: len(sizes) > 1,
    "sum over B": lambda y, sizes: "B" in sizes,
    "mean over B": lambda y, sizes: "B" in sizes,
    "batch of one only": lambda y, sizes: "B" in sizes,
    "not a batch of one": lambda y, sizes: "B" in sizes,
}


def verdict_on(name: str, mistake: str, function: str) -> Verdict | None:
    """On the solution, one function of which makes the mistake; None if it can't."""
    solution = load(EXERCISES[name].solution)
    right, draw = getattr(solution, function), draws_of(solution)[function]
    tried = problems(right, draw)
    first = tried[0]
    arrays = [i for i, x in enumerate(first.args) if np.ndim(x)]
    fits = FITTING.get(mistake, lambda y, sizes: True)
    can = all(y.dtype == float and fits(y, first.sizes) for y in first.expected)
    if not can or (mistake == "in place" and not arrays):
        return None
    remaining = iter(tried)  # it is called with each in turn

    def spoilt(*args: Any) -> Any:
        problem = next(remaining)
        if mistake == "in place":
            args[arrays[0]][...] += 1
        parts = [MISTAKES[mistake][0](y, problem) for y in problem.expected]
        return tuple(parts) if len(parts) > 1 else parts[0]

    spoilt.__signature__ = inspect.signature(right)  # type: ignore[attr-defined]
    mine = ModuleType(name)
    mine.__file__ = "mine.py"
    setattr(mine, function, spoilt)
    solution.EXERCISES = {right: draw}
    (verdict,) = compare(solution, mine)
    return verdict


@pytest.mark.parametrize("mistake", MISTAKES)
@every_exercise
def test_a_mistake_gets_its_hint(name: str, mistake: str) -> None:
    for function in draws_of(load(EXERCISES[name].solution)):
        verdict = verdict_on(name, mistake, function)
        if verdict is not None:
            assert verdict.status == WRONG
            assert any(MISTAKES[mistake][1] in hint for hint in verdict.hints), verdict


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_mistake_is_made_nowhere(mistake: str) -> None:
    assert verdict_on("08_kl", mistake, "prior_kl_backward") or mistake == "transpose"


def test_outputs_in_another_order_are_told() -> None:
    solution, mine = (load(EXERCISES["08_kl"].solution) for _ in range(2))
    right = mine.prior_kl_backward

    def swapped(dkl: Any, mu: Any, logvar: Any, m: Any, s: Any) -> Any:
        dmu, dlogvar, dm, ds = right(dkl, mu, logvar, m, s)
        return dlogvar, dmu, dm, ds

    mine.prior_kl_backward = swapped
    _, verdict = compare(solution, mine)
    assert verdict.hints[0] == "dmu: you return it in the place of dlogvar"
    assert verdict.hints[2] == "dlogvar: you return it in the place of dmu"


# A reader's file, in a clone of their own.
HEAD = '"""Exercise 08 · Of mine."""\nimport numpy as np\n'
TWICE = """
def prior_kl(mu, logvar, m, s):
    square = (mu - m) ** 2 + np.exp(logvar)
    return (square / s**2 - 1 - logvar + 2 * np.log(s)).sum(axis=1)

def prior_kl_backward(dkl, mu, logvar, m, s):
    square, d = (mu - m) ** 2 + np.exp(logvar), dkl[:, None]
    dmu = 2 * d * (mu - m) / s**2
    ds = 2 * d * (1 / s - square / s**3)
    return dmu, d * (np.exp(logvar) / s**2 - 1), -dmu.sum(axis=0), ds.sum(axis=0)
"""
READERS = {
    "": "08_kl.py has no function prior_kl",
    "def prior_kl(mu, logvar): ...": "takes (mu, logvar), expected (mu, logvar, m, s)",
    "def prior_kl(mu, logvar, m, s):\n    print(x)": (
        "name 'x' is not defined; line 4 of 08_kl.py: print(x)"
    ),
    "def prior_kl(mu, logvar, m, s):\n    exit(3)": "it raises SystemExit: 3; line 4",
    "def prior_kl(mu, logvar, m, s):\n    return mu, m": "it returns 2, expected 1",
    "def prior_kl(mu, logvar, m, s):\n    return mu)": (
        "it raises SyntaxError: unmatched ')'; line 4 of 08_kl.py: return mu)"
    ),
    "import nowhere": "raises ModuleNotFoundError: No module named 'nowhere'; line 3",
    TWICE: "it is the derivative of your prior_kl: mend that first",
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with the exercise 08 alone."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # `check` adds the clone to it
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "numpyvae"\n', "utf-8")
    for kind in ("exercises", "solutions"):
        (tmp_path / "lessons" / kind).mkdir(parents=True)
        shutil.copy(LESSONS / kind / "08_kl.py", tmp_path / "lessons" / kind)
    bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LESSONS / "judge", tmp_path / "lessons" / "judge", ignore=bytecode)
    return tmp_path


def said(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what is printed below the folder, in one line of words."""
    try:
        code = cli.main(["check", *arguments.split()])
    except SystemExit as end:  # argparse leaves this way
        code = int(str(end.code))
    out, err = capsys.readouterr()
    if out and "--help" not in arguments:
        where, blank, out = out.split("\n", 2)
        assert where.startswith("in ") and where.endswith("exercises") and not blank
    assert all(len(line) <= 80 for line in out.splitlines()), out
    assert "Traceback" not in out + err
    assert err.count("\n") == (code == 2), err
    return code, " ".join((out + err).split())


@pytest.mark.parametrize("text", READERS)
def test_a_reader_s_file(
    text: str, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "lessons/exercises/08_kl.py").write_text(HEAD + text, "utf-8")
    code, words = said(f"8 --dir {clone}", capsys)
    assert code == 1
    assert READERS[text] in words
    code, words = said(f"--dir {clone}", capsys)
    assert code == 1
    assert "0 of 1 correct" in words


def test_an_edit_counts_at_once(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = clone / "lessons" / "exercises" / "08_kl.py"
    monkeypatch.chdir(stub.parent)
    assert said("", capsys) == (
        1,
        "08_kl not written yet 0 of 1 correct; how one is wrong: numpyvae check NN",
    )
    code, words = said("08", capsys)
    assert (code, words.count("not written yet")) == (1, 2)
    solution = (clone / "lessons/solutions/08_kl.py").read_text("utf-8")
    half = solution.replace("_backward(dkl", "_other(dkl")
    stub.write_text(half.replace("prior_kl_backward: ", "prior_kl_other: "), "utf-8")
    code, words = said("", capsys)
    assert (code, words[:47]) == (1, "08_kl 1 of 2 correct, wrong: prior_kl_backward ")
    stub.write_text(solution, "utf-8")
    for number in ("8", "08", "8 8", ""):
        code, words = said(number, capsys)
        assert code == 0
        assert "correct" in words
        assert "wrong " not in words.partition(";")[0]


def test_what_is_not_there_is_said_in_a_line(
    clone: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, words = said(f"9 --dir {clone}", capsys)
    assert (code, words) == (2, "numpyvae: exercise: found 9, expected one of 8")
    code, words = said(f"eight --dir {clone}", capsys)
    assert code == 2
    assert "'eight'" in words
    nowhere = tmp_path_factory.mktemp("nowhere")
    code, words = said(f"8 --dir {nowhere}", capsys)
    assert code == 2
    assert words.startswith(f"numpyvae: {nowhere}: found no lessons/exercises of a ")
    monkeypatch.chdir(nowhere)
    assert said("", capsys)[0] == 2
    code, words = said("--help", capsys)
    assert code == 0
    assert "numpyvae check" in words
    (clone / "lessons" / "solutions" / "08_kl.py").unlink()
    code, words = said(f"8 --dir {clone}", capsys)
    assert code == 2
    assert "solutions/08_kl.py: not found" in words


@pytest.mark.parametrize("text", [None, '[project]\nname = "theirs"\n', b"\xff"])
def test_only_a_clone_s_exercises_are_run(
    text: str | bytes | None, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = clone / "deep" / "theirs"
    shutil.copytree(clone / "lessons", theirs / "lessons")
    trap = theirs / "lessons" / "exercises" / "08_kl.py"
    trap.write_text("raise SystemExit('it was run')", encoding="utf-8")
    if text is not None:
        content = text if isinstance(text, bytes) else text.encode()
        (theirs / "pyproject.toml").write_bytes(content)
    assert cli.main(["check", "--dir", str(trap.parent)]) == 1
    where, *others = capsys.readouterr().out.splitlines()
    assert where == f"in {clone.resolve() / 'lessons' / 'exercises'}"
    assert "08_kl  not written yet" in others


def test_the_judge_is_the_clone_s_own(clone: Path, tmp_path: Path) -> None:
    """Also beside another package called lessons."""
    report = clone / "lessons" / "judge" / "report.py"
    theirs = "def check(clone, numbers):\n    print(clone)\n    return 7\n"
    report.write_text(theirs, encoding="utf-8")
    shutil.copy(LESSONS / "__init__.py", clone / "lessons")
    other = tmp_path / "other"
    (other / "lessons").mkdir(parents=True)
    (other / "lessons" / "__init__.py").touch()
    run = subprocess.run(
        [sys.executable, "-m", "numpyvae", "check", "--dir", str(clone)],
        cwd=other, capture_output=True, text=True,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (7, f"{clone.resolve()}\n"), run.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no numbers of users")
@pytest.mark.parametrize(
    "name",
    [
        ".",
        "lessons",
        "lessons/exercises",
        "lessons/solutions/08_kl.py",
        "lessons/judge/report.py",
    ],
)
def test_another_user_s_exercises_are_refused(
    name: str,
    clone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, theirs = Path.stat, (clone / name).resolve()

    def stat(path: Path, **how: Any) -> os.stat_result:
        found = real(path, **how)
        owner = 12345 if path == theirs else os.getuid()
        return os.stat_result([*found[:4], owner, *found[5:10]])

    monkeypatch.setattr(Path, "stat", stat)
    assert cli.main(["check", "8", "--dir", str(clone)]) == 2
    said = capsys.readouterr()
    assert f"numpyvae: {theirs}: found a file of user 12345, expected" in said.err
    assert not said.out
