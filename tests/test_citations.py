"""Every equation that a docstring or comment cites is derived in lessons/."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import numpyvae.pairs
from numpyvae.pairs.activations import ACTIVATIONS

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))
CITATION = re.compile(r"Eqs?\.\s(\d+\.\d+(?:(?:, | to )\d+\.\d+)*)")


def numbers(path: Path) -> list[str]:
    """The numbers of the equations in a file, in order."""
    return re.findall(r"\\tag\{([\d.]+)\}", path.read_text(encoding="utf-8"))


def cited(text: str) -> set[str]:
    """The numbers in "Eq. 8.3, 8.4" and in "Eq. 2.2 to 2.5", with all between."""
    found = set()
    for citation in CITATION.findall(text):
        for part in citation.split(", "):
            first, _, last = part.partition(" to ")
            lesson, begin = first.split(".")
            end = (last or first).split(".")[1]
            found |= {f"{lesson}.{i}" for i in range(int(begin), int(end) + 1)}
    return found


NUMBERS = {number for path in LESSONS for number in numbers(path)}


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in ("numpyvae", "tests", "lessons/exercises", "lessons/solutions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_citations_resolve(path: Path) -> None:
    assert cited(path.read_text(encoding="utf-8")) <= NUMBERS


def test_every_pair_cites_its_equation() -> None:
    defined = {f"{name.replace('-', '_')}_forward" for name in ACTIVATIONS}
    pairs = re.compile(r".*_(forward|backward|backward_weights|update)")
    found = [
        function
        for file in iter_modules(numpyvae.pairs.__path__, "numpyvae.pairs.")
        for name, function in vars(import_module(file.name)).items()
        if pairs.fullmatch(name) and name not in defined
    ]
    assert found
    for function in found:
        assert cited(function.__doc__), function.__name__


def test_ranges_are_filled_in() -> None:
    assert cited("(Eq. 2.9 to 2.11, 3.1)") == {"2.9", "2.10", "2.11", "3.1"}


def test_no_equation_number_is_given_twice() -> None:
    given = [number for path in LESSONS for number in numbers(path)]
    assert len(given) == len(set(given))
