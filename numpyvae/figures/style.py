"""How every picture looks: sizes, colours, the page and what stands on it.

No display is needed and matplotlib's global state is left alone: all style is
handed over call by call. Lengths are in inches.
"""

from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .files import write_picture

# At this width 10 pt is still 10 px on a phone 390 px wide.
WIDTH, MARGIN, TALLEST, DPI = 5.4, 0.25, 6.5, 150
TITLE, LABEL, TICK = 13.0, 11.0, 10.0  # points
LINE, TITLE_CHARS = 0.25, 46  # the height and the length of a line of title
FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same

PAPER, INK, GREY, GRID = "white", "#1d1d2b", "#5f6270", "#e4e5ea"
CURVES = (  # term, its name, colour of test, colour of train, height of the panel
    ("elbo", "ELBO", "#352a78", "#8579c2", 1.7),
    ("recon", "Reconstruction", "#075878", "#459bbd", 1.2),
    ("kl", "KL", "#a83c15", "#dd7f4e", 1.2),
)


def page(body: float, title: str) -> tuple[Figure, float]:
    """A page with its title above `body` inches, and the height of the body's top."""
    lines = wrap(title, TITLE_CHARS)
    height = MARGIN + LINE * len(lines) + 0.1 + body + MARGIN
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    write(figure, MARGIN, height - MARGIN, "\n".join(lines), INK, TITLE)
    return figure, body + MARGIN


def write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    colour: str,
    size: float = LABEL,
    **style: Any,
) -> None:
    """Write plain text whose top left corner is x, y inches from the bottom left."""
    style = {"va": "top", "family": FONT, "parse_math": False, **style}
    height = figure.get_figheight()
    figure.text(x / WIDTH, y / height, text, color=colour, size=size, **style)


def panel(
    figure: Figure, x: float, y: float, w: float, h: float, labels: tuple[str, str]
) -> Axes:
    """Axes of w by h inches: no box, a light grid, small grey numbers."""
    height = figure.get_figheight()
    axes = figure.add_axes((x / WIDTH, y / height, w / WIDTH, h / height))
    axes.set_facecolor(PAPER)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.tick_params(length=0, pad=5, labelsize=TICK, labelcolor=GREY)
    axes.tick_params(labelfontfamily=FONT)
    axes.set_xlabel(labels[0], size=LABEL, color=GREY, family=FONT)
    axes.set_ylabel(labels[1], size=LABEL, color=GREY, family=FONT)
    return axes


def number(value: float) -> str:
    """A number of at most five figures, so that it fits its margin."""
    digits = 1 if abs(value) < 1000 else 0
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def save(figure: Figure, path: Path) -> None:
    """Write the page as a PNG, as `write_picture` does."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI, facecolor=PAPER)
    write_picture(path, content.getvalue())
