"""How every figure of the lessons looks, and where it goes.

One page a figure: its title states what was found, its panels stand below. A colour
means the same thing throughout.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from numpyvae.figures.images import BLACK_INK
from numpyvae.figures.latent_space import CLASSES, _apart, _halo
from numpyvae.figures.style import (
    CURVES,
    FONT,
    GREY,
    GRID,
    INK,
    LINE,
    MARGIN,
    WIDTH,
    page,
    panel,
    save,
    write,
)

ELBO, RECON, KL = (dark for _, _, dark, _, _ in CURVES)
ELBO_TRAIN, RECON_TRAIN, KL_TRAIN = (light for *_, light, _ in CURVES)
AE, VAE = "#b07d10", ELBO  # the two models that are always compared
EXACT, ESTIMATE, WRONG = INK, RECON, KL  # the truth, what we computed, a mistake
FAINT = GREY

FOLDER = Path(__file__).parent / "figures"  # where `show` writes
SHOWN: list[tuple[Path, str]] = []  # the figures so far, each with its alt text

GAP, LABELS, NAMES = 0.25, 0.6, 0.3  # inches between panels, left of one, above one


def sheet(
    title: str,
    names: Sequence[str] = ("",),
    columns: int = 1,
    height: float = 2.4,
    labels: tuple[str, str] = ("", ""),
) -> tuple[Figure, list[Axes]]:
    """A page whose `title` states the finding, and a panel for each of `names`.

    Row by row, each `height` inches high; `labels` name the x and y of all of them.
    """
    above, below = NAMES if any(names) else 0.0, 0.6
    each = above + height + below
    figure, top = page(-(-len(names) // columns) * each, title)
    width = (WIDTH - 2 * MARGIN - columns * LABELS - (columns - 1) * GAP) / columns
    panels = []
    for i, text in enumerate(names):
        x = MARGIN + LABELS + i % columns * (width + LABELS + GAP)
        y = top - i // columns * each - above - height
        panels.append(panel(figure, x, y, width, height, labels))
        panels[-1].set_title(text, size=11, color=INK, loc="left", pad=5, family=FONT)
    return figure, panels


def digits_in_rows(axes: Axes, images: np.ndarray, columns: int) -> None:
    """Draw images (N, H, W), or (N, 784), in [0, 1], as black ink without axes."""
    if images.ndim == 2:
        images = images.reshape(-1, 28, 28)
    n, H, V = images.shape
    rows, gap = -(-n // columns), 2
    canvas = np.zeros((rows * columns, H + gap, V + gap))
    canvas[:n, :H, :V] = images
    canvas = canvas.reshape(rows, columns, H + gap, V + gap).swapaxes(1, 2)
    canvas = canvas.reshape(rows * (H + gap), columns * (V + gap))
    axes.imshow(canvas[:-gap, :-gap], cmap=BLACK_INK, vmin=0, vmax=1)
    axes.set_axis_off()


def strips(
    title: str, rows: Sequence[tuple[str, np.ndarray]], names: float = 1.2
) -> Figure:
    """A page of rows of digits, (n, H, W) or (n, 784) in [0, 1], each with its name.

    The names stand to the left, in a margin `names` inches wide. A row of no images
    is a heading.
    """
    columns = max(len(images) for _, images in rows)
    width = WIDTH - 2 * MARGIN - names
    high = width / columns
    heights = [high if len(images) else LINE + 0.1 for _, images in rows]
    figure, y = page(sum(heights), title)
    for (name, images), height in zip(rows, heights, strict=True):
        y -= height
        if len(images):
            middle = y + height / 2
            write(figure, MARGIN, middle, name, GREY, 10.0, va="center", linespacing=1)
            wide = width * len(images) / columns
            axes = panel(figure, MARGIN + names, y, wide, height, ("", ""))
            digits_in_rows(axes, np.asarray(images), len(images))
        else:
            write(figure, MARGIN, y + 0.05, name, INK, va="bottom")
    return figure


def cloud(
    axes: Axes,
    codes: np.ndarray,
    labels: np.ndarray,
    reach: float,
    centre: Sequence[float] = (0, 0),
) -> None:
    """Codes (n, 2) in the colours of their labels (n,), each class named.

    The panel shows `reach` to each side of the centre, as far up and down as fits.
    """
    colours = CLASSES[labels % len(CLASSES)]
    axes.scatter(*codes.T, s=2, c=colours, alpha=0.5, linewidths=0)
    box = axes.get_position()
    figure = axes.get_figure().get_size_inches()
    tall = reach * box.height * figure[1] / (box.width * figure[0])
    axes.set_xlim(centre[0] - reach, centre[0] + reach)
    axes.set_ylim(centre[1] - tall, centre[1] + tall)
    axes.grid(color=GRID, lw=0.8)
    present = np.unique(labels)
    medians = np.array([np.median(codes[labels == name], axis=0) for name in present])
    gap = 0.38 * reach / (box.width * figure[0])  # 0.19 inches
    for name, at in zip(present, _apart(medians, gap), strict=True):
        _halo(axes, at, f"{name}", INK, 12, CLASSES[name % len(CLASSES)])


def thumbnail(
    axes: Axes,
    image: np.ndarray,
    at: Sequence[float],
    colour: str,
    place: tuple[float, float],
) -> None:
    """An image of 784 pixels at a place of the panel, a line leading to its point.

    `at` is in the units of the data, `place` in shares of the panel.
    """
    box = OffsetImage(image.reshape(28, 28).clip(0, 1), zoom=1.1, cmap=BLACK_INK)
    box.get_children()[0].set_clim(0, 1)
    line = {"arrowstyle": "-", "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    frame = {"edgecolor": colour, "lw": 1.5}
    axes.add_artist(
        AnnotationBbox(
            box, at, place, boxcoords="axes fraction", pad=0.1,
            arrowprops=line, bboxprops=frame, zorder=4,
        )
    )  # fmt: skip
    axes.plot(*at, "o", ms=5, color=colour, zorder=5)


def show(figure: Figure, file: str, alt: str) -> None:
    """Write the figure to FOLDER/FILE.png; `alt` says in words what is to be seen."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{file}.png"
    save(figure, path)
    SHOWN.append((path, alt))
    print(f"picture: {path}")
