"""What `numpyvae check` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from .exercises import (
    CORRECT,
    UNWRITTEN,
    Exercise,
    Verdict,
    choose,
    find_exercises,
    judge,
)

WRAP = textwrap.TextWrapper(80, initial_indent=6 * " ", subsequent_indent=8 * " ")


def check(clone: Path, numbers: Sequence[int]) -> int:
    """Judge the exercises, all if no number is given; 0 if all are correct, else 1."""
    exercises = find_exercises(clone)
    chosen = choose(exercises, numbers)
    print(f"in {exercises[0].stub.parent}\n", flush=True)
    if numbers:
        right = [tell(exercise, judge(exercise)) for exercise in chosen]
        return 0 if all(right) else 1
    width = max(len(exercise.stub.stem) for exercise in exercises)
    right = [line(exercise, judge(exercise), width) for exercise in exercises]
    print(
        f"\n{sum(right)} of {len(right)} correct; how one is wrong: numpyvae check NN"
    )
    return 0 if all(right) else 1


def tell(exercise: Exercise, verdicts: list[Verdict]) -> bool:
    """Print what was found, function by function; whether all are correct."""
    print(f"{exercise.title}  ({exercise.stub.name})")
    for name, status, hints in verdicts:
        print(f"  {status:17}{name}")
        for hint in hints:
            print(WRAP.fill(hint))
    return all(verdict.status == CORRECT for verdict in verdicts)


def line(exercise: Exercise, verdicts: list[Verdict], width: int) -> bool:
    """Print an exercise in one line, its name `width` wide; whether all is correct."""
    found = [verdict.status for verdict in verdicts]
    right = found.count(CORRECT)
    if right == len(found):
        status = CORRECT
    elif found.count(UNWRITTEN) == len(found):
        status = UNWRITTEN
    else:
        wrong = [v.function for v in verdicts if v.status not in (CORRECT, UNWRITTEN)]
        status = f"{right} of {len(found)} correct"
        status += f", wrong: {', '.join(wrong)}" if wrong else ""
    print(f"{exercise.stub.stem:{width}}  {status}")
    return right == len(found)
