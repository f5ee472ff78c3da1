"""Write the site: a page a lesson, an index, and what they need beside them."""

import re
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from PIL import Image

from . import katex
from .markdown import Page, code_to_html, to_html
from .run import Result, Run
from .script import Lesson

HERE = Path(__file__).parent
TEMPLATE = Template((HERE / "page.html").read_text(encoding="utf-8"))
DPI, PIXELS = 150, 96  # of a figure, and of an inch of CSS


def write_site(
    lessons: Sequence[Lesson], runs: Sequence[Run], errata: Path, out: Path
) -> None:
    """Write the pages of these runs and the index of all lessons into `out`.

    Where a run failed there is no page, and nothing links to it.
    """
    head = katex.head(out)
    for name in ("page.css", "page.js"):
        shutil.copyfile(HERE / name, out / name)
    shutil.copyfile(HERE.parent / "pictures/manifold.png", out / "figures/manifold.png")
    for run in runs:
        (out / run.lesson.page).unlink(missing_ok=True)
    built = {run.lesson.page for run in runs if not run.error}
    there = [x for x in lessons if x.page in built or (out / x.page).is_file()]
    targets = addresses(there)
    for run in runs:
        if not run.error:
            html = lesson_page(run, there, targets, head)
            (out / run.lesson.page).write_text(html, encoding="utf-8")
    html = index_page(lessons, there, targets, errata, head)
    (out / "index.html").write_text(html, encoding="utf-8")


def addresses(lessons: Sequence[Lesson]) -> dict[str, str]:
    """Where equation "8.4", erratum "E1" and lesson "08" are to be found."""
    targets = {}
    for lesson in lessons:
        targets[lesson.number] = lesson.page
        targets |= {number: f"{lesson.page}#eq-{number}" for number in lesson.equations}
        targets |= {name: f"{lesson.page}#{name}" for name in lesson.errata}
    return targets


def lesson_page(
    run: Run, there: Sequence[Lesson], targets: dict[str, str], head: str
) -> str:
    """The HTML of one lesson: a row for each section of text and the code after it."""
    page, results = Page(targets), iter(run.results)
    rows: list[tuple[str, list[str]]] = []
    for cell in run.lesson.cells:
        if cell.markdown:
            sections = re.split(r"^(?=## )", cell.text, flags=re.MULTILINE)
            rows += [(to_html(text, page), []) for text in sections if text]
        else:
            rows[-1][1].append(worked(cell.text, next(results)))
    rows[0][1].insert(0, contents(page, run))
    i = there.index(run.lesson)
    return TEMPLATE.substitute(
        title=escape(f"{run.lesson.number} · {run.lesson.title} · numpyvae"),
        description=escape(re.sub(r"[$\\]", "", run.lesson.promise)),
        katex=head,
        around=around(there[:i][-1:], there[i + 1 :][:1]),
        body="\n".join(two_columns(text, "".join(works)) for text, works in rows),
    )


def two_columns(text: str, work: str) -> str:
    """A row: the text on the left, what goes with it on the right."""
    return (
        f'<div class="row">\n<div class="text">\n{text}</div>\n'
        f'<div class="work">\n{work}</div>\n</div>\n'
    )


def worked(code: str, result: Result) -> str:
    """A code cell and what it printed, below the figures that it drew."""
    html = ""
    for path, alt in result.figures:
        with Image.open(path) as image:
            width, height = (side * PIXELS // DPI for side in image.size)
        html += (
            f'<figure><img src="figures/{path.name}" alt="{escape(alt)}" '
            f'width="{width}" height="{height}"></figure>\n'
        )
    code = re.sub(r"  # (fmt: skip|noqa.*)$", "", code, flags=re.MULTILINE)
    html += f'<pre class="code"><code>{code_to_html(code)}</code></pre>\n'
    if result.printed:
        html += f'<pre class="output">{escape(result.printed.rstrip(), False)}</pre>\n'
    return html


def contents(page: Page, run: Run) -> str:
    """The headings of a lesson, and how long it took."""
    items = "".join(
        f'<li><a href="#{id_}">{html}</a></li>' for id_, html in page.headings
    )
    return (
        '<nav class="contents" aria-labelledby="contents">'
        f'<h2 id="contents">In this lesson</h2>\n<ol>{items}</ol>\n'
        f"<p>Ran in {run.seconds:.1f} seconds when this page was made.</p></nav>\n"
    )


def around(previous: Sequence[Lesson], following: Sequence[Lesson]) -> str:
    """The links to the lessons before and after, where there are such."""
    links = [
        f'<a rel="prev" href="{x.page}">← {x.number} {escape(x.title)}</a>'
        for x in previous
    ] + [
        f'<a rel="next" href="{x.page}">{x.number} {escape(x.title)} →</a>'
        for x in following
    ]
    return f'<nav class="around" aria-label="Lessons">{"".join(links)}</nav>'


def index_page(
    lessons: Sequence[Lesson],
    there: Sequence[Lesson],
    targets: dict[str, str],
    errata: Path,
    head: str,
) -> str:
    """The HTML of the way through the lessons; one without a page stands unlinked."""
    page = Page(targets)
    items = ""
    for lesson in lessons:
        title = escape(lesson.title)
        if lesson in there:
            title = f'<a href="{lesson.page}">{title}</a>'
        items += (
            f'<li><span class="number">{lesson.number}</span><div>'
            f'<span class="title">{title}</span>\n{to_html(lesson.promise, page)}'
            f'<p class="takes">{len(lesson.equations)} equations · '
            f"{escape(lesson.takes)}</p></div></li>\n"
        )
    table = errata.read_text(encoding="utf-8")
    text = (HERE / "index.md").read_text(encoding="utf-8")
    text = text.replace("<!-- errata -->", table[table.index("| id") :])
    opening, _, mistakes = text.partition("<!-- lessons -->\n")
    return TEMPLATE.substitute(
        title="numpyvae: the variational auto-encoder, derived and run",
        description="Lessons on the variational auto-encoder in NumPy, by hand.",
        katex=head,
        around=around([], there[:1]),
        body=two_columns(
            to_html(opening, page),
            f'<h2>The lessons</h2>\n<ol class="lessons">\n{items}</ol>\n',
        )
        + to_html(mistakes, page),
    )
