"""A lesson as text: a percent script cut into its cells, and what stands in them."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CODE, MARKDOWN = "# %%", "# %% [markdown]"
TAG = re.compile(r"\\tag\{([^}]+)\}")
BOX = re.compile(r"^> \*\*Erratum (E\d+)\*\*", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """Markdown without its comment signs, or code; `line` is where its text begins."""

    markdown: bool
    text: str
    line: int


@dataclass(frozen=True)
class Lesson:
    """`lessons/NN_name.py`."""

    path: Path
    cells: list[Cell] = field(repr=False)

    @property
    def number(self) -> str:
        """As in the file's name: "08"."""
        return self.path.stem.partition("_")[0]

    @property
    def page(self) -> str:
        """The name of the page that is built from it."""
        return f"{self.path.stem}.html"

    @property
    def title(self) -> str:
        """Without the number."""
        return self._opening(r"^# \d+ · ([^\n]+)$")

    @property
    def promise(self) -> str:
        """The sentence in italics below the title: why anybody should care."""
        return self._opening(r"^\*([^*].*?)\*$")

    @property
    def takes(self) -> str:
        """How long it says that it takes: "3 seconds"."""
        return self._opening(r"\*\*Takes\*\*\s+([^.]+)\.")

    def _opening(self, pattern: str) -> str:
        """What the first cell says, in one line; "" where it says no such thing."""
        found = re.search(pattern, self.cells[0].text, re.MULTILINE | re.DOTALL)
        return " ".join(found[1].split()) if found else ""

    @cached_property
    def prose(self) -> str:
        """All its Markdown."""
        return "\n\n".join(cell.text for cell in self.cells if cell.markdown)

    @property
    def equations(self) -> list[str]:
        """The numbers of its equations, in order: "8.1", "8.2", …."""
        return TAG.findall(self.prose)

    @property
    def errata(self) -> list[str]:
        """The ids of its errata boxes: "E1", …."""
        return BOX.findall(self.prose)


def read(path: Path) -> Lesson:
    """Cut the script into cells; it must begin with one of Markdown."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != [MARKDOWN]:
        raise ValueError(f"{path}: a lesson's first line is `{MARKDOWN}`")
    marks = [i for i, line in enumerate(lines) if line in (CODE, MARKDOWN)]
    cells = []
    for begin, end in zip(marks, [*marks[1:], len(lines)], strict=True):
        markdown = lines[begin] == MARKDOWN
        body = lines[begin + 1 : end]
        if markdown:
            body = [line.removeprefix("#").removeprefix(" ") for line in body]
        blank = next((i for i, line in enumerate(body) if line.strip()), 0)
        text = "\n".join(body[blank:]).rstrip()
        cells.append(Cell(markdown, text, begin + blank + 2))
    return Lesson(path, cells)
