"""Every equation that a docstring or comment cites is derived in lessons/."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DERIVED = {
    tag
    for page in (ROOT / "lessons").rglob("*")
    if page.suffix in (".md", ".py")
    for tag in re.findall(r"\\tag\{([\d.]+)\}", page.read_text(encoding="utf-8"))
}
CITATION = re.compile(r"Eq\. (\d+\.\d+(?:(?:, | to )\d+\.\d+)*)")


def cited(text: str) -> set[str]:
    """The numbers in "Eq. 8.3, 8.4" and in "Eq. 2.2 to 2.5", with all between."""
    numbers = set()
    for citation in CITATION.findall(text):
        for part in citation.split(", "):
            first, _, last = part.partition(" to ")
            lesson, begin = first.split(".")
            end = (last or first).split(".")[1]
            numbers |= {f"{lesson}.{i}" for i in range(int(begin), int(end) + 1)}
    return numbers


@pytest.mark.parametrize("path", sorted((ROOT / "numpyvae").rglob("*.py")), ids=str)
def test_citations_resolve(path: Path) -> None:
    assert cited(path.read_text(encoding="utf-8")) <= DERIVED


def test_every_pair_cites_its_equation() -> None:
    from numpyvae.backends import FUNCTIONS, UPDATES

    for function in (FUNCTIONS | UPDATES).values():
        assert cited(function.__doc__), function.__name__


def test_ranges_are_filled_in() -> None:
    assert cited("(Eq. 2.9 to 2.11, 3.1)") == {"2.9", "2.10", "2.11", "3.1"}


def test_no_equation_number_is_given_twice() -> None:
    text = (ROOT / "lessons" / "equations.md").read_text(encoding="utf-8")
    tags = re.findall(r"\\tag\{([\d.]+)\}", text)
    assert len(tags) == len(set(tags))
