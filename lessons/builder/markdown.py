"""Markdown with TeX to HTML; headings, equations and errata boxes that can be linked.

The TeX goes into elements of class `math` as it stands; page.js has KaTeX set it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from .script import TAG

NUMBER = r"\d+\.\d+"
MORE = r"(?:(?:,|,? and| to|\N{{EN DASH}})\s*{0})*"  # "(8.4, 8.5)", "Eq. 8.4 to 8.6"
REFERENCE = re.compile(
    rf"\({NUMBER}{MORE.format(NUMBER)}\)"
    rf"|\bEqs?\.\s{NUMBER}{MORE.format(NUMBER)}"
    rf"|\b[Ll]essons?\s\d\d{MORE.format('[0-9][0-9]')}\b"
    r"|\bE\d+\b"
)
ITEM = re.compile(rf"{NUMBER}|E\d+|\d\d")

# Blocks of code and of maths are left alone; a line break inside inline maths becomes
# a blank, lest a line that begins with a minus be taken for an item of a list.
INLINE = re.compile(
    r"^```.*?^```|`[^`]*`|\$\$.*?\$\$|(?<!\\)\$(?P<tex>[^$]+)\$",
    re.DOTALL | re.MULTILINE,
)
BREAK = re.compile(r"\n(?:> ?)?")


@dataclass
class Page:
    """What is being built: where references lead to, and the headings so far."""

    targets: Mapping[str, str]  # "8.4", "E1" or "08", to an address
    headings: list[tuple[str, str]] = field(default_factory=list)  # id, HTML; level 2


def to_html(text: str, page: Page) -> str:
    """The HTML of one Markdown cell; its second-level headings are added to `page`."""
    return PARSER.render(INLINE.sub(_joined, text), {"page": page})


def code_to_html(code: str, language: str = "python") -> str:
    """Highlighted code, without a last line break."""
    lexer = get_lexer_by_name(language or "text", stripnl=False)
    return highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")


def references(text: str) -> list[str]:
    """What a text refers to outside of its code and maths: "8.4", "E1", "08"."""
    tokens = PARSER.parse(INLINE.sub(_joined, text), {"page": Page({})})
    words = [
        child.content
        for token in tokens
        for child in token.children or []
        if child.type == "text"
    ]
    return [
        item
        for word in words
        for m in REFERENCE.finditer(word)
        for item in ITEM.findall(m[0])
    ]


def _joined(match: re.Match[str]) -> str:
    return BREAK.sub(" ", match[0]) if match["tex"] else match[0]


def _linked(text: str, targets: Mapping[str, str]) -> str:
    """HTML in which every item that has a target is a link."""

    def link(match: re.Match[str]) -> str:
        target = targets.get(match[0])
        return f'<a href="{target}">{match[0]}</a>' if target else match[0]

    return ITEM.sub(link, text)


def _join_text(state: StateCore) -> None:
    """Make a text that breaks over lines one token, so that "lesson\\n08" is found."""
    for token in state.tokens:
        joined: list[Token] = []
        for child in token.children or []:
            if child.type == "softbreak":
                child = Token("text", "", 0, content="\n", level=child.level)
            if child.type == "text" and joined and joined[-1].type == "text":
                joined[-1].content += child.content
            else:
                joined.append(child)
        if token.children:
            token.children = joined


def _name_headings(state: StateCore) -> None:
    """Give each heading of the second level an id, and tell the page of it."""
    page = state.env["page"]
    for token, inline in zip(state.tokens, state.tokens[1:], strict=False):
        if token.type == "heading_open" and token.tag == "h2":
            name = re.sub(r"\W+", "-", inline.content.lower().replace("'", "")).strip(
                "-"
            )
            taken = [id_ for id_, _ in page.headings]
            while name in taken:
                name += "-again"
            token.attrSet("id", name)
            page.headings.append(
                (name, state.md.renderInline(inline.content, state.env))
            )


def _frame_errata(state: StateCore) -> None:
    """Make a note of its own of each quotation that begins with **Erratum Ek**."""
    for i, token in enumerate(state.tokens[:-2]):
        if token.type == "blockquote_open":
            found = re.match(r"\*\*Erratum (E\d+)\*\*", state.tokens[i + 2].content)
            if found:
                token.attrs = {
                    "class": "erratum",
                    "id": found[1],
                    "role": "note",
                    "aria-label": f"Erratum {found[1]}",
                }


def _text(self, tokens, i, options, env) -> str:  # type: ignore[no-untyped-def]
    html = escape(tokens[i].content, quote=False)
    if sum(token.nesting for token in tokens[:i] if "link_" in token.type):
        return html  # it is in a link already
    return REFERENCE.sub(lambda match: _linked(match[0], env["page"].targets), html)


def _equation(self, tokens, i, options, env) -> str:  # type: ignore[no-untyped-def]
    tex = tokens[i].content.strip()
    tag = TAG.search(tex)
    name = f' id="eq-{tag[1]}"' if tag else ""
    return f'<span class="math block"{name}>{escape(tex, quote=False)}</span>\n'


def _parser() -> MarkdownIt:
    highlighted = {"highlight": lambda code, language, _: code_to_html(code, language)}
    parser = MarkdownIt("commonmark", {"typographer": True, **highlighted})
    parser.enable(["table", "smartquotes"])
    parser.use(dollarmath_plugin, allow_labels=False, double_inline=True)
    parser.add_render_rule("table_open", lambda *_: '<div class="table"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    for rule in (_join_text, _name_headings, _frame_errata):
        parser.core.ruler.push(rule.__name__, rule)
    parser.add_render_rule("text", _text)
    parser.add_render_rule("math_block", _equation)
    parser.add_render_rule("math_inline_double", _equation)
    return parser


PARSER = _parser()
