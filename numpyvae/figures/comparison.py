"""Several models side by side: rate and distortion, rows, samples, latent space.

Shapes: n images or points, H, W the height and width of an image in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_numbers
from .images import BLACK_INK, BLUE_INK, _tile, _unit
from .latent_space import CLASSES, FEW, as_codes, name_classes
from .style import (
    CURVES,
    FONT,
    GREY,
    GRID,
    INK,
    LINE,
    MARGIN,
    PAPER,
    TICK,
    WIDTH,
    page,
    panel,
    save,
    write,
)

PURPLE, BLUE, RED = (dark for _, _, dark, _, _ in CURVES)
GAP = 0.25  # between two panels
HALF = (WIDTH - 2 * MARGIN - GAP) / 2
CHARS = 26  # of a name that fit into HALF


class Point(NamedTuple):
    """A model's rate and distortion in nats; an auto-encoder has no rate."""

    name: str
    rate: float | None
    distortion: float
    ranked: bool = True  # False: not comparable with the others


def rate_distortion(
    points: Sequence[Point], joined: Sequence[Sequence[int]], path: Path, title: str
) -> None:
    """Draw models as points, those `joined` (indices of points) by a line.

    On each grey line the ELBO, -(rate + distortion), is the number on it. A model
    without a rate is a dashed line at its distortion; one not ranked is hollow.
    """
    if not points:
        raise ArgumentError("points: found none, expected one or more")
    for point in points:
        for value in point[1:3]:
            expect_numbers(point.name, 0.0 if value is None else value, finite=True)
    size = np.array([WIDTH - 0.85 - MARGIN, 4.1])
    figure, y = page(size[1] + 0.8, title)
    minus = "\N{MINUS SIGN}"
    write(figure, MARGIN, y, f"grey: ELBO, {minus}(KL + reconstruction)", GREY)
    names = ("KL (rate), nats", "reconstruction (distortion), nats")
    axes = panel(figure, 0.85, y - 0.35 - size[1], size[0], size[1], names)
    axes.grid(False)
    places = np.array([(p.rate or 0.0, p.distortion) for p in points])
    rates = [p.rate for p in points if p.rate is not None] or [0.0]
    low = np.array([min(rates), places[:, 1].min()])
    high = np.array([max(rates), places[:, 1].max()])
    room = 0.12 * np.max([high - low, (5.0, 5.0), abs(high) / 1e6], axis=0)
    low, high = low - room, high + room * [2.5, 1.0]
    low[0] = max(low[0], -0.04 * high[0])
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    inch = (high - low) / size  # in nats
    taken = [_box(at / inch) for at in places]
    for group in joined:
        line = places[list(group)]
        axes.plot(line[:, 0], line[:, 1], color=PURPLE, lw=1.4, alpha=0.5)
        for start, end in pairwise(line / inch):
            taken += [_box(at) for at in np.linspace(start, end, 20)]
    for point, at in zip(points, places, strict=True):
        name = point.name if point.ranked else f"{point.name} (other kind)"
        if point.rate is None:
            axes.axhline(at[1], color=RED, lw=1.2, ls=(0, (4, 3)))
            name += ": no KL"
            end = np.array([high[0], at[1]]) / inch + [-0.085 * len(name), 0.1]
            taken.append(_box(end, 0.085 * len(name)))
            text = axes.text(high[0], at[1], name, color=RED, va="bottom")
            text.set(ha="right", size=TICK, family=FONT)
            continue
        colour = PURPLE if point.ranked else GREY
        fill = colour if point.ranked else PAPER
        axes.plot(*at, "o", ms=7, mfc=fill, mec=colour, mew=1.4)
        spot = _free_spot(at / inch, 0.085 * len(name), taken, low / inch, high / inch)
        x, y = spot * inch
        text = axes.text(x, y, name, color=INK, size=TICK, family=FONT)
        text.set(va="center_baseline", zorder=5)
        text.set_path_effects([withStroke(linewidth=3, foreground=PAPER)])
    _equal_elbos(axes, low, high, inch, taken)
    save(figure, path)


Box = tuple[float, float, float, float]  # left, right, bottom, top, in inches


def _box(at: NDArray[Any], width: float = 0.0) -> Box:
    """What a text from here on takes up; a point, if it has no width."""
    x, y = at
    left, right = (x, x + width) if width else (x - 0.06, x + 0.06)
    return left, right, y - 0.09, y + 0.09


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[1], other[1]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[2], other[2])
    return max(wide, 0.0) * max(tall, 0.0)


def _free_spot(
    at: NDArray[Any],
    width: float,
    taken: list[Box],
    low: NDArray[Any],
    high: NDArray[Any],
) -> NDArray[Any]:
    """Where beside a point its name overlaps others least; it is added to `taken`."""

    def cost(box: Box) -> float:
        outside = max(0.0, box[1] - high[0]) + max(0.0, low[0] - box[0])
        return outside + sum(_overlap(box, other) for other in taken)

    aside = (0.11, -width - 0.11)
    shifts = [(x, y) for y in (0.12, -0.14, 0.0, 0.3, -0.32) for x in aside]
    best = min((_box(at + shift, width) for shift in shifts), key=cost)
    taken.append(best)
    return np.array([best[0], (best[2] + best[3]) / 2])


def _equal_elbos(
    axes: Axes,
    low: NDArray[Any],
    high: NDArray[Any],
    inch: NDArray[Any],
    taken: list[Box],
) -> None:
    """Grey lines of equal ELBO, each with its number where nothing else stands."""
    for total in MaxNLocator(9, steps=[1, 2, 2.5, 5, 10]).tick_values(
        low.sum(), high.sum()
    ):
        ends = np.array([low[0], high[0]])
        axes.plot(ends, total - ends, color=GRID, lw=1.2, zorder=0)
        for share in (0.97, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1):
            x = low[0] + share * (high[0] - low[0]) - 0.4 * inch[0]
            y = total - x - 0.2 * inch[0]
            box = _box(np.array([x, y]) / inch, 0.4)
            inside = low[1] < y - 0.1 * inch[1] and y + 0.1 * inch[1] < high[1]
            if inside and not any(_overlap(box, other) for other in taken):
                text = f"\N{MINUS SIGN}{total:g}"
                name = axes.text(x + 0.2 * inch[0], y, text, color=GREY, size=TICK)
                name.set(ha="center", va="center_baseline", family=FONT, zorder=1)
                name.set_path_effects([withStroke(linewidth=4, foreground=PAPER)])
                break


def reconstruction_rows(
    originals: NDArray[Any],
    rows: Sequence[tuple[str, NDArray[Any]]],
    path: Path,
    title: str,
) -> None:
    """Draw originals (n, H, W) in black, and each named row (n, H, W) below in blue."""
    strips = [("original", BLACK_INK(_unit("originals", originals, 3), bytes=True))]
    strips += [(name, BLUE_INK(_unit(name, row, 3), bytes=True)) for name, row in rows]
    canvases = [_tile(strip, len(strip), gap=2) for _, strip in strips]
    h, w, _ = canvases[0].shape
    width = WIDTH - 2 * MARGIN
    height = width * h / w
    figure, y = page(len(strips) * (height + LINE + 0.05), title)
    for (name, _), canvas in zip(strips, canvases, strict=True):
        write(figure, MARGIN, y, name, INK if name == "original" else BLUE)
        _show(panel(figure, MARGIN, y - LINE - height, width, height, ("", "")), canvas)
        y -= height + LINE + 0.05
    save(figure, path)


def sample_panels(
    panels: Sequence[tuple[str, str, NDArray[Any]]], path: Path, title: str
) -> None:
    """Draw each model's name, a note and its images (n, H, W), two models in a row."""
    canvases = [
        _tile(tiles, ceil(len(tiles) ** 0.5), gap=2)
        for tiles in (BLACK_INK(_unit(name, x, 3), bytes=True) for name, _, x in panels)
    ]
    height = max(HALF * h / w for h, w, _ in (canvas.shape for canvas in canvases))
    above = 2 * LINE - 0.05
    figure, y = page(ceil(len(panels) / 2) * (height + above + 0.15), title)
    for i, ((name, note, _), canvas) in enumerate(zip(panels, canvases, strict=True)):
        x = MARGIN + (i % 2) * (HALF + GAP)
        top = y - i // 2 * (height + above + 0.15)
        write(figure, x, top, _short(name), INK)
        write(figure, x, top - 0.2, note, GREY, TICK)
        _show(panel(figure, x, top - above - height, HALF, height, ("", "")), canvas)
    save(figure, path)


def latent_panels(
    panels: Sequence[tuple[str, tuple[str, str], NDArray[Any]]],
    labels: NDArray[Any],
    path: Path,
    title: str,
) -> None:
    """Draw each model's codes (n, 2), axes named, in the colours of labels (n,).

    Two models in a row, each to its own scale; circles at 1, 2 and 3 sigma of N(0, I).
    """
    checked = [(n, axes, *as_codes(n, codes, labels)) for n, axes, codes in panels]
    left, below, above = 0.48, 0.42, LINE + 0.05
    size = HALF - left
    figure, y = page(
        LINE + 0.1 + ceil(len(panels) / 2) * (size + below + above + 0.1), title
    )
    key = "circles: 1, 2, 3 \N{GREEK SMALL LETTER SIGMA} of N(0, I)"
    if (classes := len(np.unique(labels))) > FEW:
        key += f"; some of {classes} labels named"
    write(figure, MARGIN, y, key, GREY)
    y -= LINE + 0.1
    for i, (name, axes, codes, marks) in enumerate(checked):
        x = MARGIN + (i % 2) * (HALF + GAP)
        top = y - i // 2 * (size + below + above + 0.1)
        write(figure, x + left, top, _short(name), INK)
        plane = panel(figure, x + left, top - above - size, size, size, axes)
        plane.yaxis.set_label_coords(-0.42 / size, 0.5)  # not by the ticks
        _plane(plane, codes, marks, size)
    save(figure, path)


def _plane(plane: Axes, codes: NDArray[Any], labels: NDArray[Any], size: float) -> None:
    """Codes with their classes named, under circles, in a square of `size` inches."""
    low = np.minimum(codes.min(axis=0), -3.2)
    high = np.maximum(codes.max(axis=0), 3.2)
    reach, middle = 1.03 * (high - low).max() / 2, (low + high) / 2
    plane.set(xlim=(middle[0] - reach, middle[0] + reach), aspect="equal")
    plane.set(ylim=(middle[1] - reach, middle[1] + reach))
    ticks = MaxNLocator(5, integer=True, min_n_ticks=3)
    plane.xaxis.set_major_locator(ticks)
    plane.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=3))
    plane.grid(color=GRID, lw=0.8)
    colours = CLASSES[labels % len(CLASSES)]
    plane.scatter(codes[:, 0], codes[:, 1], s=2, c=colours, alpha=0.6, linewidths=0)
    name_classes(plane, codes, labels, 2 * reach / size, 11)
    for sigma in (1, 2, 3):
        plane.add_patch(Circle((0, 0), sigma, fill=False, ec=INK, lw=0.9, zorder=2))


def _short(name: str) -> str:
    """A name, its beginning left out if it is too long."""
    return name if len(name) <= CHARS else "\N{HORIZONTAL ELLIPSIS}" + name[1 - CHARS :]


def _show(axes: Axes, canvas: NDArray[Any]) -> None:
    axes.imshow(canvas, aspect="auto", interpolation="bicubic")
    axes.axis("off")
