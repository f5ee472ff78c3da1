"""A reader's function beside the solution: run on the same arguments, and compared.

Sizes tell much of the mistake: a mean in place of a sum is right for a batch of one, a
wrong transpose for square shapes. So each function is tried on several kinds of them.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae.checking.mistakes import Case, likely_mistake
from numpyvae.pairs.types import Array

SIZES = (5, 3, 7, 4, 6)  # all different, in the order of the draw's arguments
SQUARE = 4  # all the same
GENERAL, EQUAL, SINGLE = "general", "equal", "single"
DRAWS = 2  # of each kind
CLOSE = 1e-7  # relative to the largest entry: another formula rounds otherwise

Function = Callable[..., Any]


class Problem(NamedTuple):
    """Arguments of one kind of sizes, and what comes out of the solution for them."""

    kind: str
    sizes: dict[str, int]
    args: tuple[Any, ...]
    expected: list[Array]

    @property
    def at(self) -> str:
        """The sizes, as a message tells them."""
        text = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        return f"at {text}: " if text else ""


class Answer(NamedTuple):
    """What came out of the reader's function; nothing if the fault has no values."""

    found: list[Array]
    fault: str


def problems(solution: Function, draw: Function) -> list[Problem]:
    """With sizes that are all different, all the same, and for a batch of one."""
    names = list(inspect.signature(draw).parameters)[1:]
    general = dict(zip(names, SIZES, strict=False))
    kinds = {GENERAL: general, EQUAL: dict.fromkeys(names, SQUARE)}
    if "B" in names:
        kinds[SINGLE] = {**general, "B": 1}
    rng, made = np.random.default_rng(0), []
    for kind, sizes in kinds.items():
        for _ in range(DRAWS):
            args = draw(rng, **sizes)
            expected = _arrays(solution(*copy.deepcopy(args)))
            made.append(Problem(kind, sizes, args, expected))
    return made


def hints(
    mine: Function, solution: Function, tried: list[Problem], path: Path
) -> list[str]:
    """How `mine`, from the file `path`, is wrong; empty if it is right."""
    names = list(inspect.signature(solution).parameters)
    outputs = output_names(solution)
    answers = [_answer(mine, problem, names, outputs, path) for problem in tried]
    faults = [answer.fault for answer in answers]
    if not all(answer.found for answer in answers):
        return [_first(tried, faults)]
    told = []
    for i, name in enumerate(outputs):
        faults = [
            _fault_of_values(name, answer.found[i], problem.expected[i])
            for problem, answer in zip(tried, answers, strict=True)
        ]
        if any(faults):
            mistake = _swapped(i, tried, answers, outputs) or likely_mistake(
                [
                    Case(answer.found[i], problem.expected[i] * 1.0, problem.sizes)
                    for problem, answer in zip(tried, answers, strict=True)
                ]
            )
            told += [f"{name}: {mistake}"] if mistake else []
            told.append(_first(tried, faults, explained=bool(mistake)))
    return told


def output_names(function: Function) -> list[str]:
    """The names in a function's last `return dmu, ds`, or else "the result"."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    value = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)][-1]
    if isinstance(value, ast.Tuple):
        return [
            part.id if isinstance(part, ast.Name) else f"output {i}"
            for i, part in enumerate(value.elts, start=1)
        ]
    return [value.id if isinstance(value, ast.Name) else "the result"]


def what_was_raised(error: BaseException, path: Path) -> str:
    """The reader's own error: its name, its message, and the line in their file."""
    told = " ".join(str(error).split())
    line, text = None, ""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        told, line, text = error.msg, error.lineno, (error.text or "").strip()
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line, text = frame.lineno, frame.line or ""
    place = f"; line {line} of {path.name}: {text}" if line else ""
    return f"it raises {type(error).__name__}{': ' * bool(told)}{told}{place}"


def _answer(
    mine: Function,
    problem: Problem,
    names: list[str],
    outputs: list[str],
    path: Path,
) -> Answer:
    """Call the reader's function, and look at all that it returned and changed."""
    args = copy.deepcopy(problem.args)
    try:
        # Warnings of overflow, which the command line hides, are for the reader.
        with np.errstate(divide="warn", over="warn", invalid="warn"):
            returned = mine(*args)
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:
        return Answer([], what_was_raised(error, path))
    for name, now, before in zip(names, args, problem.args, strict=True):
        if isinstance(now, np.ndarray) and now.tobytes() != before.tobytes():
            return Answer([], f"it changes its argument {name}; make a new array")
    fault = _fault_of_form(returned, problem.expected, outputs)
    if fault:
        return Answer([], fault)
    found = [x * 1.0 for x in _arrays(returned)]
    for name, x, right in zip(outputs, found, problem.expected, strict=True):
        fault = fault or _fault_of_values(name, x, right)
    return Answer(found, fault)


def _fault_of_form(returned: Any, expected: list[Array], outputs: list[str]) -> str:
    """What is wrong with what was returned, before its shapes and values."""
    if returned is None:
        return "it returns None; is a `return` missing?"
    parts = returned if isinstance(returned, tuple) else (returned,)
    if len(parts) != len(expected):
        found, wanted = len(parts), len(expected)
        return f"it returns {found}, expected {wanted}: {', '.join(outputs)}"
    for name, part, right in zip(outputs, parts, expected, strict=True):
        scalar = isinstance(part, bool | int | float | complex | np.generic)
        if not isinstance(part, np.ndarray) and not (scalar and not right.ndim):
            return f"{name} is of type {type(part).__name__}, expected an array"
        dtype = np.asarray(part).dtype
        if dtype.kind != right.dtype.kind or dtype.itemsize < right.dtype.itemsize:
            return f"{name} has dtype {dtype}, expected {right.dtype}"
    return ""


@np.errstate(all="ignore")  # the reader was warned when it was computed
def _fault_of_values(name: str, found: Array, expected: Array) -> str:
    """The shapes, or the entry that is furthest off with both values."""
    if found.shape != expected.shape:
        return f"{name} has shape {found.shape}, expected {expected.shape}"
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    close = np.isclose(found, expected, rtol=CLOSE, atol=CLOSE * scale, equal_nan=True)
    if close.all():
        return ""
    far = np.where(close, -1.0, np.abs(found - expected))
    index = np.unravel_index(np.argmax(np.nan_to_num(far, nan=np.inf)), far.shape)
    place = f"{name}[{', '.join(map(str, index))}]" if far.ndim else name
    return f"{place} is {found[index]:.6g}, expected {expected[index] * 1.0:.6g}"


def _first(tried: list[Problem], faults: list[str], explained: bool = False) -> str:
    """The first fault and its sizes; unless `explained`, also which sizes go well."""
    problem, fault = next((p, f) for p, f in zip(tried, faults, strict=True) if f)
    only = "" if explained else _only_where(tried, faults)
    return only + problem.at + fault


def _only_where(tried: list[Problem], faults: list[str]) -> str:
    """Which kinds of sizes go well, if that says something."""
    wrong = {p.kind for p, fault in zip(tried, faults, strict=True) if fault}
    right = {p.kind for p in tried} - wrong
    if EQUAL in right and GENERAL in wrong and len(tried[0].sizes) > 1:
        return "right for square shapes only; "
    if right == {SINGLE}:
        return "right for a batch of one only; "
    return "right but for a batch of one; " if wrong == {SINGLE} else ""


def _swapped(
    i: int, tried: list[Problem], answers: list[Answer], outputs: list[str]
) -> str:
    """Whether the reader returns output i in another one's place."""
    for j, name in enumerate(outputs):
        if j != i and not any(
            _fault_of_values(name, answer.found[j], problem.expected[i])
            for problem, answer in zip(tried, answers, strict=True)
        ):
            return f"you return it in the place of {name}"
    return ""


def _arrays(returned: Any) -> list[Array]:
    parts = returned if isinstance(returned, tuple) else (returned,)
    return [np.asarray(part) for part in parts]
