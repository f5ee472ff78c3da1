"""Every lesson keeps the form that readers were promised, and runs, and is right.

The site's tests run the same lessons: `built` in conftest.py runs each of them once.
"""

import ast
import re
from pathlib import Path

import pytest
from conftest import Built
from test_citations import NUMBERS, cited

from lessons.builder.markdown import references
from lessons.builder.script import Lesson, read

FOLDER = Path(__file__).parents[1] / "lessons"
LESSONS = [read(path) for path in sorted(FOLDER.glob("[0-9][0-9]_*.py"))]
ROWS = re.findall(
    r"^\| (E\d+) \| .* \| (\d\d) \|$",
    (FOLDER / "ERRATA.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
THERE = {lesson.number for lesson in LESSONS} | NUMBERS | {name for name, _ in ROWS}

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda x: x.path.stem)


def code(lesson: Lesson) -> str:
    return "\n".join(cell.text for cell in lesson.cells if not cell.markdown)


@each_lesson
def test_it_opens_with_what_a_reader_asks(lesson: Lesson) -> None:
    opening = lesson.cells[0].text
    assert opening.startswith(f"# {lesson.number} · {lesson.title}\n")
    assert lesson.title and lesson.promise.endswith((".", "?"))
    assert "**You will**" in opening and "**Reads with**" in opening
    assert re.match(r"\d+ seconds?\b", lesson.takes)


@each_lesson
def test_text_is_narrow_and_code_not_too_wide(lesson: Lesson) -> None:
    for cell in lesson.cells:
        for i, line in enumerate(cell.text.splitlines(), start=cell.line):
            width = len(line.removeprefix("> ")) if cell.markdown else len(line)
            assert width <= (80 if cell.markdown else 88), f"{lesson.path.name}:{i}"


@each_lesson
def test_it_claims_something(lesson: Lesson) -> None:
    claims = [x for x in ast.walk(ast.parse(code(lesson))) if isinstance(x, ast.Assert)]
    assert len(claims) >= 3


@pytest.mark.parametrize("lesson", LESSONS[1:], ids=lambda x: x.path.stem)
def test_it_ends_with_an_exercise(lesson: Lesson) -> None:
    last = lesson.prose.split("\n## ")[-1]
    assert last.startswith("Exercise")
    assert f"\nnumpyvae check {int(lesson.number)}\n" in last
    assert (FOLDER / "exercises" / lesson.path.name).is_file()
    assert (FOLDER / "solutions" / lesson.path.name).is_file()


@each_lesson
def test_its_equations_bear_its_number(lesson: Lesson) -> None:
    assert lesson.equations
    assert all(re.fullmatch(rf"{int(lesson.number)}\.\d+", n) for n in lesson.equations)


@each_lesson
def test_what_it_refers_to_is_there(lesson: Lesson) -> None:
    for cell in lesson.cells:
        found = references(cell.text) if cell.markdown else cited(cell.text)
        assert set(found) <= THERE, f"{lesson.path.name}:{cell.line}"


@each_lesson
def test_its_errata_are_listed(lesson: Lesson) -> None:
    listed = [name for name, number in ROWS if number == lesson.number]
    assert sorted(lesson.errata) == sorted(listed)


def test_every_erratum_is_met_in_a_lesson() -> None:
    names = [name for name, _ in ROWS]
    assert names == [f"E{i + 1}" for i in range(len(names))]
    assert {number for _, number in ROWS} <= {lesson.number for lesson in LESSONS}


@each_lesson
def test_it_runs_without_a_warning(lesson: Lesson, built: Built) -> None:
    assert not built.runs[lesson.number].error


@each_lesson
def test_it_has_a_picture_said_in_words(lesson: Lesson, built: Built) -> None:
    shown = [x for each in built.runs[lesson.number].results for x in each.figures]
    assert shown
    for path, alt in shown:
        assert path.name.startswith(f"{lesson.number}_"), path.name
        assert len(alt.split()) > 5, path.name
