"""The exercises of the lessons: found, run beside their solutions, and judged.

A solution (lessons/solutions/NN_name.py) lists in EXERCISES its functions, each with
one that draws its arguments: `draw(rng, B, Z)`, of sizes of those names. The reader's
functions (lessons/exercises/NN_name.py) get the same arguments, and how the values
differ tells the mistake.
"""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from numpyvae.checking.gradcheck import gradcheck
from numpyvae.errors import ArgumentError, DataError

from .answers import Function, Problem, hints, problems, what_was_raised

ROUNDING = 1e-9  # the most it can be, also in code where it isn't tracked

CORRECT, UNWRITTEN, WRONG = "correct", "not written yet", "wrong"


class Verdict(NamedTuple):
    """What is said about one function."""

    function: str
    status: str  # CORRECT, UNWRITTEN or WRONG
    hints: tuple[str, ...] = ()


class Exercise(NamedTuple):
    """The stub that a reader edits, and the solution."""

    stub: Path
    solution: Path

    @property
    def number(self) -> int:
        """The lesson it belongs to."""
        return int(self.stub.stem[:2])

    @property
    def title(self) -> str:
        """The first line of the stub; its name if it has none."""
        try:
            about = ast.get_docstring(ast.parse(self.stub.read_bytes()))
        except (SyntaxError, ValueError):
            about = None
        return about.splitlines()[0].rstrip(".") if about else self.stub.stem


def find_exercises(clone: Path) -> list[Exercise]:
    """All exercises of a clone, by their numbers; DataError if there is none."""
    folder = clone / "lessons" / "exercises"
    stubs = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not stubs:
        raise DataError(f"{folder}: found no exercise, expected files NN_name.py")
    solutions = clone / "lessons" / "solutions"
    return [Exercise(stub, solutions / stub.name) for stub in stubs]


def choose(exercises: Sequence[Exercise], numbers: Sequence[int]) -> list[Exercise]:
    """Those with the `numbers`, in that order; ArgumentError if one has none."""
    known = sorted({exercise.number for exercise in exercises})
    for number in numbers:
        if number not in known:
            raise ArgumentError(
                f"exercise: found {number}, expected one of "
                + ", ".join(map(str, known))
            )
    return [e for number in numbers for e in exercises if e.number == number]


def judge(exercise: Exercise) -> list[Verdict]:
    """A verdict on each function of the exercise.

    DataError if the solution is missing. What the reader's file raises is a verdict.
    """
    if not exercise.solution.exists():
        raise DataError(f"{exercise.solution}: not found, expected the solution")
    try:
        stub = load(exercise.stub)
    except (Exception, SystemExit) as error:
        raised = what_was_raised(error, exercise.stub)
        return [Verdict(exercise.stub.name, WRONG, (raised,))]
    return compare(load(exercise.solution), stub)


def compare(solution: ModuleType, stub: ModuleType) -> list[Verdict]:
    """A verdict on each function that the solution lists."""
    draws: dict[Function, Function] = solution.EXERCISES
    verdicts = {
        function.__name__: _compare_function(function, draw, stub)
        for function, draw in draws.items()
    }
    for forward, backward in pairs(draws):
        names = forward.__name__, backward.__name__
        both_wrong = {verdicts[name].status for name in names} == {WRONG}
        if both_wrong and _fits(stub, *names, problems(forward, draws[forward])):
            hint = f"it is the derivative of your {names[0]}: mend that first"
            verdicts[names[1]] = Verdict(names[1], WRONG, (hint,))
    return list(verdicts.values())


def pairs(draws: dict[Function, Function]) -> list[tuple[Function, Function]]:
    """Each f(...) or f_forward(...) with its f_backward(dy, ...)."""
    named = {function.__name__.removesuffix("_forward"): function for function in draws}
    return [
        (forward, backward)
        for name, backward in named.items()
        if name.endswith("_backward")
        and (forward := named.get(name.removesuffix("_backward")))
        and _parameters(forward) == _parameters(backward)[1:]
    ]


def faults_of_pair(
    forward: Function, backward: Function, args: Sequence[Any]
) -> list[str]:
    """Where `backward` isn't the derivative of `forward` in the arrays of floats."""
    whole = [isinstance(x, np.ndarray) and x.dtype.kind != "f" for x in args]
    # gradcheck differentiates arrays: an array of indices is hidden in a tuple.
    boxed = [(x,) if box else x for x, box in zip(args, whole, strict=True)]

    def unboxed(given: Sequence[Any]) -> list[Any]:
        return [x[0] if box else x for x, box in zip(given, whole, strict=True)]

    report = gradcheck(
        lambda *given: forward(*unboxed(given)),
        lambda dy, *given: backward(dy, *unboxed(given)),
        *boxed,
    )
    return [b.fault for b in report.blocks if b.fault and not b.error < ROUNDING]


def load(path: Path) -> ModuleType:
    """The module in a file, read anew: no cached bytecode of an earlier edit."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def _compare_function(solution: Function, draw: Function, stub: ModuleType) -> Verdict:
    """Call both on the same arguments."""
    name, path = solution.__name__, Path(str(stub.__file__))
    mine = getattr(stub, name, None)
    if not callable(mine):
        return Verdict(name, WRONG, (f"{path.name} has no function {name}",))
    wanted = _parameters(solution)
    try:
        inspect.signature(mine).bind(*wanted)
    except TypeError:
        hint = f"it takes {inspect.signature(mine)}, expected ({', '.join(wanted)})"
        return Verdict(name, WRONG, (hint,))
    except ValueError:  # written in C, it has no signature to ask
        pass
    tried = problems(solution, draw)
    try:
        told = hints(mine, solution, tried, path)
    except NotImplementedError as error:
        inner = traceback.extract_tb(error.__traceback__)[-1].name
        needs = (f"it needs {inner}, which isn't written",) if inner != name else ()
        return Verdict(name, UNWRITTEN, needs)
    return Verdict(name, WRONG if told else CORRECT, tuple(told))


def _fits(stub: ModuleType, forward: str, backward: str, tried: list[Problem]) -> bool:
    """Whether the reader's backward is the derivative of the reader's forward."""
    try:
        mine = stub.__dict__[forward], stub.__dict__[backward]
        with np.errstate(all="ignore"):
            return not any(faults_of_pair(*mine, problem.args) for problem in tried)
    except Exception:  # the reader's code, given what only gradcheck gives
        return False


def _parameters(function: Function) -> list[str]:
    return list(inspect.signature(function).parameters)
