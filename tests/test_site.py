"""The pages of the lessons: made rightly of a small lesson, and sound in a browser."""

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import Built
from playwright.sync_api import Browser, sync_playwright
from test_lessons import LESSONS

from lessons import __main__ as command
from lessons.builder import katex
from lessons.builder.markdown import Page, references, to_html
from lessons.builder.script import read

GOOD = """# %% [markdown]
# # 07 · Small & good
#
# *Why it
# matters.*
#
# **Takes** 1 second.

# %%
import os
from style import sheet, show

print("<b>1 & 2</b>")
os.system("echo from a child")

# %% [markdown]
# ## It's one
#
# $$x < y \\tag{7.1}$$
#
# ## Two
#
# > **Erratum E1** (note 001). See lesson
# > 08 and (8.1).

# %%
figure, _ = sheet("A finding")
show(figure, "07_figure", 'an "empty" panel')
"""
BAD = """# %% [markdown]
# # 08 · Bad
#
# $$z \\tag{8.1}$$

# %%
a = 1

# %%
def claim():
    assert a == 2, "one is not two"


claim()

# %%
print("not reached")
"""
ERRATA = "# Errata\n\n| id | note | printed | right | lesson |\n|---|---|---|---|---|\n"


class Document(HTMLParser):
    """What a page links to, and the ids that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def broken_links(site: Path) -> list[str]:
    pages = {path.name: Document(path) for path in site.glob("*.html")}
    found = []
    for name, document in pages.items():
        found += [
            f"{name}: {id_} twice"
            for id_ in document.ids
            if document.ids.count(id_) > 1
        ]
        for link in document.links:
            parts = urlsplit(link)
            target = unquote(parts.path) or name
            there = bool(parts.scheme) or (site / target).is_file()
            if parts.fragment and there and not parts.scheme:
                there = unquote(parts.fragment) in pages[target].ids
            if not there:
                found.append(f"{name}: {link}")
    return found


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two lessons, the second of which fails in its second cell."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "07_good.py").write_text(GOOD, encoding="utf-8")
    (folder / "08_bad.py").write_text(BAD, encoding="utf-8")
    (folder / "ERRATA.md").write_text(
        ERRATA + "| E1 | 001 | $a$ | $b$ | 07 |\n", encoding="utf-8"
    )
    monkeypatch.setattr(command, "LESSONS", folder)
    return folder


def test_a_good_lesson_is_built_and_a_failing_one_told(
    course: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    assert command.main(["--out", str(site)]) == 1
    out, error = capfd.readouterr()
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["07", "08"]
    assert error.startswith("08_bad.py, the cell at line 10 failed:\nTraceback")
    assert 'line 11, in claim\n    assert a == 2, "one is not two"' in error
    assert "child.py" not in error

    page = (site / "07_good.html").read_text(encoding="utf-8")
    assert "<title>07 · Small &amp; good · numpyvae</title>" in page
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;\nfrom a child</pre>" in page
    assert 'src="figures/07_figure.png" alt="an &quot;empty&quot; panel"' in page
    assert "picture: " not in page
    assert page.index("one</h2>") < page.index("07_figure.png")
    assert not (site / "08_bad.html").exists()
    index = (site / "index.html").read_text(encoding="utf-8")
    assert '<a href="07_good.html">Small &amp; good</a>' in index
    assert "<p>Why it matters.</p>" in index and "Bad" in index
    assert '<a href="07_good.html#E1">E1</a>' in index
    assert broken_links(site) == []


def test_what_was_built_before_is_kept_and_linked(course: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (course / "08_bad.py").write_text(BAD.replace("a = 1", "a = 2"), encoding="utf-8")
    assert command.main(["--out", str(site), "--only", "8"]) == 0
    assert not (site / "07_good.html").exists()
    assert broken_links(site) == []
    assert command.main(["--out", str(site), "--only", "07"]) == 0
    page = (site / "07_good.html").read_text(encoding="utf-8")
    assert '(<a href="08_bad.html#eq-8.1">8.1</a>)' in page
    assert 'lesson\n<a href="08_bad.html">08</a>' in page
    assert '<a rel="next" href="08_bad.html">08 Bad →</a>' in page
    assert broken_links(site) == []


def test_a_lesson_that_ends_its_process_is_told(
    course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (course / "08_bad.py").write_text(
        BAD.replace("a = 1", "import os; os._exit(3)"), encoding="utf-8"
    )
    assert command.main(["--out", str(tmp_path / "site"), "--only", "08"]) == 1
    said = "08_bad.py, the cell at line 7 failed:\nits process ended with exit code 3\n"
    assert capsys.readouterr().err == said


def test_an_unknown_lesson_is_refused_in_one_line(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--only", "07", "12"]) == 2
    said = "--only 12: no such lesson; there are 07, 08\n"
    assert capsys.readouterr().err == said


def test_a_script_is_cut_into_cells(course: Path) -> None:
    lesson = read(course / "07_good.py")
    assert [cell.markdown for cell in lesson.cells] == [True, False, True, False]
    assert lesson.cells[1].line == 10 and lesson.cells[1].text.startswith("import os")
    assert (lesson.number, lesson.title) == ("07", "Small & good")
    assert (lesson.promise, lesson.takes) == ("Why it matters.", "1 second")
    assert (lesson.equations, lesson.errata) == (["7.1"], ["E1"])


def test_references_are_found_in_text_and_not_in_maths_or_code() -> None:
    text = (
        "(8.4), (8.5, 8.6) and $(8.7)$; `(8.8)`; Eq. 8.9 to 9.1; lessons 03 and 04; E5"
    )
    assert references(text) == ["8.4", "8.5", "8.6", "8.9", "9.1", "03", "04", "E5"]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "(8.4) [at (8.4)](a)",
            '<p>(<a href="b">8.4</a>) <a href="a">at (8.4)</a></p>',
        ),
        ("$a\n- b < c$", '<p><span class="math inline">a - b &lt; c</span></p>'),
        (
            "$$a\n\\tag{1.2}$$",
            '<span class="math block" id="eq-1.2">a\n\\tag{1.2}</span>',
        ),
        (
            "> **Erratum E7** (note 004). So.",
            '<blockquote class="erratum" id="E7" role="note" aria-label="Erratum E7">\n'
            "<p><strong>Erratum E7</strong> (note 004). So.</p>\n</blockquote>",
        ),
    ],
)
def test_markdown_becomes_html(text: str, html: str) -> None:
    assert to_html(text, Page({"8.4": "b"})).strip() == html


def test_headings_of_one_name_have_two_ids() -> None:
    page = Page({})
    html = to_html("## Check *it*\n\n## Check *it*\n", page)
    assert page.headings == [
        ("check-it", "Check <em>it</em>"),
        ("check-it-again", "Check <em>it</em>"),
    ]
    assert '<h2 id="check-it-again">' in html


def test_without_katex_the_pages_ask_for_a_pinned_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(katex, "installed", lambda: None)
    head = katex.head(tmp_path)
    assert (
        head.count(f"katex@{katex.VERSION}/")
        == head.count('crossorigin="anonymous"')
        == 2
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="session")
def installed() -> Path:
    package = katex.installed()
    if package is None:
        pytest.skip("KaTeX is not installed: npm install --no-save katex")
    return package


def test_the_pinned_copy_is_the_one_of_the_npm_package(installed: Path) -> None:
    if f'"version": "{katex.VERSION}"' not in (installed / "package.json").read_text(
        encoding="utf-8"
    ):
        pytest.skip(f"the KaTeX that is installed is not {katex.VERSION}")
    for name, integrity in katex.INTEGRITY.items():
        digest = hashlib.sha384((installed / "dist" / name).read_bytes()).digest()
        assert integrity == f"sha384-{base64.b64encode(digest).decode()}"


def test_every_link_of_the_site_resolves(built: Built) -> None:
    assert broken_links(built.site) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        found = shutil.which("chromium") or shutil.which("google-chrome")
        path = found or chromium.executable_path
        if not os.path.exists(path):
            pytest.skip("there is no Chromium: apt-get install chromium")
        with chromium.launch(executable_path=path) as launched:
            yield launched


@pytest.mark.parametrize("name", ["index", *(lesson.path.stem for lesson in LESSONS)])
def test_a_page_is_sound_in_a_browser(
    name: str, built: Built, browser: Browser, installed: Path
) -> None:
    if not (built.site / f"{name}.html").exists():
        pytest.skip("its lesson failed, as test_lessons.py tells")
    page = browser.new_page(offline=True)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(error.message))
    page.on("requestfailed", lambda request: told.append(request.url))
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        if width == 1440:
            page.goto((built.site / f"{name}.html").as_uri())
            page.evaluate("document.fonts.ready")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide on a screen of {width}"
    assert told == []
    wrong = page.locator(".katex-error").all_inner_texts()
    assert wrong == [], "TeX that KaTeX can't set"
    formulas = page.locator(".math")
    assert formulas.count() == page.locator(".math .katex").count()
    assert page.evaluate("document.fonts.check('16px KaTeX_Main')")
    for image in page.locator("img").all():
        assert len((image.get_attribute("alt") or "").split()) > 5
    assert page.title() and page.locator("html").get_attribute("lang") == "en"
    assert page.locator("main").count() == page.locator("h1").count() == 1
    page.close()
