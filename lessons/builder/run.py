"""Run a lesson in a fresh process, so that none can spoil another."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .script import Lesson

CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Result:
    """What a code cell printed, and the figures it showed with their alt texts."""

    printed: str
    figures: list[tuple[Path, str]]


@dataclass(frozen=True)
class Run:
    """A lesson, the result of each code cell that ended well, and wall time.

    `error` says which cell failed, with its traceback; it is "" when none did.
    """

    lesson: Lesson
    results: list[Result]
    seconds: float
    error: str


def run(lesson: Lesson, figures: Path) -> Run:
    """Run the lesson with its pictures going to `figures`; stderr goes where ours does.

    NUMPYVAE_FAST and PYTHONWARNINGS reach it, as all of the environment.
    """
    cells = [cell for cell in lesson.cells if not cell.markdown]
    begin = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-X", "utf8", str(CHILD), str(lesson.path), str(figures)],
        input=json.dumps([(cell.line, cell.text) for cell in cells]),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    seconds = time.perf_counter() - begin
    results, error = [], ""
    for line in child.stdout.splitlines():
        record = json.loads(line)
        error = record["error"]
        shown = [(Path(path), alt) for path, alt in record["figures"]]
        printed = record["printed"]
        for path, _ in shown:  # it is on the page: no need to say where it is on disk
            printed = printed.replace(f"picture: {path}\n", "")
        results.append(Result(printed, shown))
    if error:
        results.pop()
    elif len(results) < len(cells):
        error = f"its process ended with exit code {child.returncode}\n"
    if error:
        begun = cells[len(results)].line
        error = f"{lesson.path.name}, the cell at line {begun} failed:\n{error}"
    return Run(lesson, results, seconds, error)
