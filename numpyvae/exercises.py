"""The exercises of the lessons: found, run beside their solutions, and judged.

A solution (lessons/solutions/NN_name.py) lists in EXERCISES its functions, each with
one that draws its arguments: `draw(rng, B, Z)`, of sizes of those names. The reader's
functions (lessons/exercises/NN_name.py) get the same arguments, and how the values
differ tells the mistake.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .errors import ArgumentError, DataError, NumpyvaeError
from .gradcheck import gradcheck
from .mistakes import Case, likely_mistake
from .ops import Array

SIZES = (5, 3, 7, 4, 6)  # of a general case, in the order of the draw's arguments
SQUARE = 4  # all of them
GENERAL, EQUAL, SINGLE = "general", "equal", "single"
DRAWS = 2  # of each kind
CLOSE = 1e-7  # relative to the largest entry: other formulas round otherwise

CORRECT, UNWRITTEN, WRONG = "correct", "not written yet", "wrong"

Function = Callable[..., Any]


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
            about = ast.get_docstring(ast.parse(self.stub.read_text("utf-8")))
        except (SyntaxError, ValueError):
            about = None
        return about.splitlines()[0].rstrip(".") if about else self.stub.stem


class Trial(NamedTuple):
    """One call of the reader's function: what came out, or what is wrong with that."""

    kind: str
    sizes: dict[str, int]
    expected: list[Array]
    found: list[Array]  # empty if there is a fault
    fault: str

    @property
    def at(self) -> str:
        """The sizes, to be read."""
        text = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        return f"at {text}: " if text else ""


def find_exercises(start: Path) -> list[Exercise]:
    """All exercises, from lessons/ in `start` or in a folder above; DataError if none.

    They are in the order of their numbers.
    """
    for folder in (start, *start.resolve().parents):
        stubs = sorted((folder / "lessons" / "exercises").glob("[0-9][0-9]_*.py"))
        if stubs:
            solutions = folder / "lessons" / "solutions"
            return [Exercise(stub, solutions / stub.name) for stub in stubs]
    raise DataError(
        f"{start}: found no lessons/exercises here or above, expected a clone of "
        "numpyvae; go there, or name it with --dir"
    )


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
    solution = load(exercise.solution)
    draws: dict[Function, Function] = solution.EXERCISES
    try:
        stub = load(exercise.stub)
    except (Exception, SystemExit) as error:
        hint = _what_was_raised(error, exercise.stub)
        return [Verdict(function.__name__, WRONG, (hint,)) for function in draws]
    verdicts = {
        function.__name__: _judge_function(function, draw, stub)
        for function, draw in draws.items()
    }
    for backward, draw in draws.items():
        name = backward.__name__
        forward = name.removesuffix("_backward")
        forward = forward if forward in verdicts else f"{forward}_forward"
        if (
            forward in verdicts
            and verdicts[forward].status == verdicts[name].status == WRONG
            and _fits(getattr(stub, forward), getattr(stub, name), draw)
        ):
            hint = f"it is the derivative of your {forward}: mend that first"
            verdicts[name] = Verdict(name, WRONG, (hint,))
    return list(verdicts.values())


def load(path: Path) -> ModuleType:
    """The module in a file, read anew: no cached bytecode of an earlier edit."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module


def _judge_function(solution: Function, draw: Function, stub: ModuleType) -> Verdict:
    name = solution.__name__
    mine = getattr(stub, name, None)
    path = Path(str(stub.__file__))
    if not callable(mine):
        return Verdict(name, WRONG, (f"{path.name} has no function {name}",))
    wanted = inspect.signature(solution)
    try:
        inspect.signature(mine).bind(*wanted.parameters)
    except TypeError:
        hint = f"it takes {inspect.signature(mine)}, expected {_plain(wanted)}"
        return Verdict(name, WRONG, (hint,))
    except ValueError:  # written in C, it has no signature to ask
        pass
    trials = []
    for kind, sizes, args in _cases(draw):
        expected = _arrays(solution(*copy.deepcopy(args)))
        try:
            trials.append(_try(mine, solution, kind, sizes, args, expected))
        except NotImplementedError as error:
            inner = traceback.extract_tb(error.__traceback__)[-1].name
            hints = (f"it calls {inner}, which isn't",) if inner != name else ()
            return Verdict(name, UNWRITTEN, hints)
        except (Exception, SystemExit) as error:
            fault = _what_was_raised(error, path)
            trials.append(Trial(kind, sizes, expected, [], fault))
    if not any(trial.fault for trial in trials):
        return Verdict(name, CORRECT)
    return Verdict(name, WRONG, tuple(_hints(trials, output_names(solution))))


def _cases(draw: Function) -> list[tuple[str, dict[str, int], tuple[Any, ...]]]:
    """Arguments of all sizes: general; all the same; a batch of one."""
    names = list(inspect.signature(draw).parameters)[1:]
    general = dict(zip(names, SIZES, strict=False))
    kinds = {GENERAL: general, EQUAL: dict.fromkeys(names, SQUARE)}
    if "B" in names:
        kinds[SINGLE] = {**general, "B": 1}
    rng = np.random.default_rng(0)
    return [
        (kind, sizes, draw(rng, **sizes))
        for kind, sizes in kinds.items()
        for _ in range(DRAWS)
    ]


def _try(
    mine: Function,
    solution: Function,
    kind: str,
    sizes: dict[str, int],
    args: tuple[Any, ...],
    expected: list[Array],
) -> Trial:
    """Call the reader's function, and look at all that it returned and changed."""
    given = copy.deepcopy(args)
    returned = mine(*given)
    outputs = output_names(solution)
    fault = ""
    for name, now, before in zip(
        inspect.signature(solution).parameters, given, args, strict=False
    ):
        if isinstance(now, np.ndarray) and now.tobytes() != before.tobytes():
            fault = f"it changes its argument {name}; make a new array instead"
    fault = fault or _fault_of_form(returned, expected, outputs)
    if fault:
        return Trial(kind, sizes, expected, [], fault)
    found, expected = [[x * 1.0 for x in y] for y in (_arrays(returned), expected)]
    for name, mine_is, right in zip(outputs, found, expected, strict=True):
        fault = fault or _fault_of_values(name, mine_is, right)
    return Trial(kind, sizes, expected, found, fault)


def _fault_of_form(returned: Any, expected: list[Array], outputs: list[str]) -> str:
    """What is wrong with what was returned, before its shapes and values."""
    if returned is None:
        return "it returns None; is a `return` missing?"
    parts = returned if isinstance(returned, tuple) else (returned,)
    if len(parts) != len(expected):
        return (
            f"it returns {_count(len(parts))}, expected {_count(len(expected))}: "
            + ", ".join(outputs)
        )
    for name, part, right in zip(outputs, parts, expected, strict=True):
        scalar = isinstance(part, bool | int | float | complex | np.generic)
        if not isinstance(part, np.ndarray) and not (scalar and not right.ndim):
            return f"{name} is a {type(part).__name__}, expected an array"
        found = np.asarray(part).dtype
        if found.kind != right.dtype.kind or found.itemsize < right.dtype.itemsize:
            return f"{name} has dtype {found}, expected {right.dtype}"
    return ""


def _fault_of_values(name: str, found: Array, expected: Array) -> str:
    """The shapes, or the entry that is furthest off with both values."""
    if found.shape != expected.shape:
        return f"{name} has shape {found.shape}, expected {expected.shape}"
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    close = np.isclose(found, expected, rtol=CLOSE, atol=CLOSE * scale, equal_nan=True)
    if close.all():
        return ""
    with np.errstate(invalid="ignore"):
        far = np.where(close, -1.0, np.abs(found - expected))
    index = np.unravel_index(np.argmax(np.nan_to_num(far, nan=np.inf)), far.shape)
    place = f"{name}[{', '.join(map(str, index))}]" if far.ndim else name
    return f"{place} is {found[index]:.6g}, expected {expected[index]:.6g}"


def _hints(trials: list[Trial], outputs: list[str]) -> list[str]:
    """How the function is wrong: what all trials share, then one place of it."""
    first = next(trial for trial in trials if trial.fault)
    if not all(trial.found for trial in trials):
        return [_only_where(trials) + first.at + first.fault]
    hints = []
    for i, name in enumerate(outputs):
        cases = [Case(t.found[i], t.expected[i], t.sizes) for t in trials]
        faults = [_fault_of_values(name, case.found, case.expected) for case in cases]
        if any(faults):
            mistake = likely_mistake(cases)
            where = next(j for j, fault in enumerate(faults) if fault)
            parts = [t._replace(fault=f) for t, f in zip(trials, faults, strict=True)]
            hints += [f"{name}: {mistake}"] if mistake else []
            only = "" if mistake else _only_where(parts)
            hints.append(only + trials[where].at + faults[where])
    return hints


def _only_where(trials: list[Trial]) -> str:
    """Which kinds of trials are right, if that says something."""
    wrong = {trial.kind for trial in trials if trial.fault}
    right = {trial.kind for trial in trials} - wrong
    several = len(trials[0].sizes) > 1
    if right == {EQUAL} or right == {EQUAL, SINGLE}:
        return "right for square shapes only; " if several else ""
    if right == {SINGLE}:
        return "right for a batch of one only; "
    return "right but for a batch of one; " if wrong == {SINGLE} else ""


def _what_was_raised(error: BaseException, path: Path) -> str:
    """The reader's own error: its name, its message, and the line in their file."""
    told = " ".join(str(error).split())
    line, text = None, ""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        told, line, text = error.msg, error.lineno, (error.text or "").strip()
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line, text = frame.lineno, frame.line or ""
    place = f"; line {line} of {path.name}: {text}" if line else ""
    return f"it raises {type(error).__name__}: {told}{place}"


def _fits(forward: Function, backward: Function, draw: Function) -> bool:
    """Whether the reader's backward is the derivative of the reader's forward."""
    try:
        return all(
            gradcheck(forward, backward, *args[1:]).ok for *_, args in _cases(draw)
        )
    except (NumpyvaeError, ArithmeticError, TypeError, ValueError, LookupError):
        return False


def output_names(function: Function) -> list[str]:
    """The names in a function's last `return a, b`; "the result" if it has none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    value = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)][-1]
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    if len(parts) == 1:
        return [parts[0].id if isinstance(parts[0], ast.Name) else "the result"]
    return [
        part.id if isinstance(part, ast.Name) else f"output {i + 1}"
        for i, part in enumerate(parts)
    ]


def _arrays(returned: Any) -> list[Array]:
    return [
        np.asarray(x) for x in (returned if isinstance(returned, tuple) else [returned])
    ]


def _count(number: int) -> str:
    return f"{number} array" + "s" * (number != 1)


def _plain(signature: inspect.Signature) -> str:
    """The names of the arguments."""
    return f"({', '.join(signature.parameters)})"
