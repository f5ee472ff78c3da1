"""Draw the growth curves: time of a step, and its share of the peak."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from numpyvae.figures.style import (
    CURVES,
    FONT,
    GREY,
    GRID,
    LABEL,
    LINE,
    MARGIN,
    TICK,
    WIDTH,
    page,
    panel,
    save,
    write,
)

from .spec import COMPILE, EAGER, JAX, OURS

COLOURS = {OURS: CURVES[0][2], EAGER: CURVES[2][2], COMPILE: CURVES[2][3],
           JAX: CURVES[1][3]}  # fmt: skip
S = "\N{RIGHT SINGLE QUOTATION MARK}s"
NAMES = {"hidden": "hidden units, batch 128", "batch": "batch, 400 hidden units"}
WIDEST = {OURS: 1.15, EAGER: 1.25, COMPILE: 1.45, JAX: 0}  # inches, of a name
HEIGHT, LEFT, GAP, BELOW = 1.75, 0.72, 0.68, 0.72  # inches

Point = dict[str, Any]


def finding(points: Sequence[Point]) -> str:
    """What the curves say, in a title: ours against the fastest peer."""
    if not all(set(p["entries"]) - {OURS} for p in points):
        return "The time of a step grows with the width and the batch"
    most = max(p["threads"] for p in points)
    ratios = [
        p["entries"][OURS]["p10"]
        / min(e["p10"] for name, e in p["entries"].items() if name != OURS)
        for p in points
        if p["threads"] == most
    ]
    low, high = min(ratios), max(ratios)
    faster = sum(r < 1 for r in ratios)
    cores = f"{most} thread{'s' * (most > 1)}"
    if faster == len(ratios):
        return (
            f"On {cores}, a step takes {low:.2f} to {high:.2f} of the best peer{S} "
            "time, at every width and batch"
        )
    return (
        f"On {cores}, a step is faster than every peer{S} at {faster} of "
        f"{len(ratios)} sizes: {low:.2f} to {high:.2f} of the best one{S} time"
    )


def draw(path: Path, points: Sequence[Point]) -> None:
    """Two rows of panels, width and batch; two columns, ms and share of the peak."""
    most = max(p["threads"] for p in points)
    body = 2 * LINE + 0.1 + 2 * (HEIGHT + BELOW)
    figure, y = page(body, finding(points))
    x = MARGIN
    for name, colour in COLOURS.items():
        if any(name in p["entries"] for p in points):
            write(figure, x, y, name, colour, LABEL, weight="bold")
            x += WIDEST[name]
    write(figure, MARGIN, y - LINE, f"solid: {most} threads, dashed: 1", GREY)
    y -= 2 * LINE + 0.1
    width = (WIDTH - LEFT - GAP - MARGIN) / 2
    for curve in ("hidden", "batch"):
        top = y - 0.3
        for column, (key, name) in enumerate(
            (("p10", "ms per step"), ("share", "share of matrix peak"))
        ):
            left = LEFT + column * (width + GAP)
            write(figure, left - 0.45, y, name, GREY)
            at = top - HEIGHT + 0.2
            axes = panel(figure, left, at, width, HEIGHT - 0.2, (NAMES[curve], ""))
            chosen = [p for p in points if p["curve"] == curve]
            plot(axes, chosen, key, most)
        y -= HEIGHT + BELOW
    save(figure, path)


def plot(axes: Axes, points: Sequence[Point], key: str, most: int) -> None:
    """One panel: a curve for each entry and number of threads."""
    for threads in sorted({p["threads"] for p in points}):
        for name, colour in COLOURS.items():
            shown = [p for p in points
                     if p["threads"] == threads and name in p["entries"]]  # fmt: skip
            scale = 1000 if key == "p10" else 100
            ys = [p["entries"][name][key] * scale for p in shown]
            full = threads == most
            axes.plot(
                [p["size"] for p in shown], ys, "-o" if full else "--", color=colour,
                lw=2.2 if name == OURS else 1.4, ms=3.5, alpha=1 if full else 0.75,
                zorder=3 if name == OURS else 2,
            )  # fmt: skip
    axes.set_xscale("log")
    sizes = sorted({p["size"] for p in points})
    axes.xaxis.set_major_locator(FixedLocator(sizes[::2] if len(sizes) > 4 else sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if key == "p10":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)
        if axes.get_ylim()[1] > 100:
            axes.axhline(100, color=GREY, lw=1)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.tick_params(labelsize=TICK, labelfontfamily=FONT)
