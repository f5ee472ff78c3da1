"""The pictures of a run: pure functions from arrays to one PNG file each.

They know nothing of models, datasets or run folders, need no display and leave
matplotlib's global state alone: all style is at the head, handed over call by call.

Shapes: n images or points, H, W the height and width of an image in pixels.
"""

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from numpyvae.errors import ArgumentError

__all__ = ["latents", "learning_curves", "manifold", "reconstructions", "samples"]

# Lengths are in inches. At this width 10 pt is still 10 px on a phone 390 px wide.
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
BLACK_INK = LinearSegmentedColormap.from_list("black ink", [PAPER, INK])
BLUE_INK = LinearSegmentedColormap.from_list("blue ink", [PAPER, CURVES[1][2]])
# Ten colours told apart under colour blindness (M. A. Petroff, arXiv:2107.02270), in
# an order that parts the digits that lie together: 3, 5, 8 and 4, 7, 9.
CLASSES = np.array(
    [
        ["#717581", "#94a4a2", "#b9ac70", "#3f90da", "#832db6"],
        ["#bd1f01", "#a96b59", "#92dadd", "#ffa90e", "#e76300"],
    ]
).ravel()


def learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw ELBO, reconstruction and KL, train and test, epoch by epoch.

    `history` has a row per epoch with the keys epoch, train_elbo, train_recon,
    train_kl, test_elbo, test_recon, test_kl: nats per image, ELBO = -(recon + KL).
    The three terms differ in size, so each has its own scale. In a run of 20 epochs
    or more, that scale leaves out the first twentieth, which would flatten the rest.
    """
    column = _columns(history)
    epoch = column["epoch"]
    first, last = int(epoch[0]), int(epoch[-1])
    elbo = _number(column["test_elbo"][-1])
    title = f"Test ELBO {elbo} nats after {last} epoch{'s' * (last != 1)}"

    note, heading, left, right, below = 0.2, 0.5, 0.7, 1.2, 0.45
    body = note + sum(heading + height for *_, height in CURVES) + below
    figure, y = _page(body, title)
    formula = "ELBO = \N{MINUS SIGN}(reconstruction + KL), nats per image"
    _write(figure, MARGIN, y, formula, GREY)
    y -= note
    ticks = MaxNLocator(6, integer=True).tick_values(first, last)
    pad = 0.02 * (last - first) + 0.05
    line = "o-" if len(epoch) <= 20 else "-"
    broad = 3.2 if len(epoch) <= 100 else 1.4  # shows behind the other curve
    start = len(epoch) // 20
    for term, name, dark, light, height in CURVES:
        _write(figure, MARGIN, y - 0.2, name, dark)
        y -= heading + height
        labels = ("epoch" if term == "kl" else "", "")
        axes = _axes(figure, left, y, WIDTH - left - right, height, labels)
        test, train = column[f"test_{term}"], column[f"train_{term}"]
        axes.plot(epoch, train, line, color=light, lw=broad, ms=6)
        axes.plot(epoch, test, line, color=dark, lw=1.4, ms=3.5)
        shown = np.concatenate([test[start:], train[start:]])
        room = max(0.08 * np.ptp(shown), 1 - np.ptp(shown) / 2)  # 2 nats at least
        low, high = shown.min() - room, shown.max() + room
        axes.set(ylim=(low, high), xlim=(first - pad, last + pad))
        axes.set_xticks([tick for tick in ticks if first <= tick <= last])
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        axes.tick_params(labelbottom=term == "kl")
        at = (np.array([test[-1], train[-1]]) - low) / (high - low) * height
        push = max(0.0, 0.19 - abs(at[0] - at[1])) / 2  # a line of text apart at least
        at += y + np.copysign(push, at[0] - at[1]) * np.array([1, -1])
        x, centre = WIDTH - right + 0.08, "center_baseline"
        _write(figure, x, at[0], f"test {_number(test[-1])}", dark, TICK, va=centre)
        _write(figure, x, at[1], f"train {_number(train[-1])}", light, TICK, va=centre)
    _save(figure, path)


def reconstructions(originals: NDArray, means: NDArray, path: Path, title: str) -> None:
    """Draw each original (n, H, W) in black, its reconstruction (n, H, W) below it.

    Images are uint8 in 0..255 or floats in 0..1, 0 being paper.
    """
    above, below = _unit("originals", originals, 3), _unit("means", means, 3)
    if above.shape != below.shape:
        raise ArgumentError(
            f"means: found shape {below.shape}, "
            f"expected that of originals, {above.shape}"
        )
    n = len(above)
    inked = BLACK_INK(above, bytes=True), BLUE_INK(below, bytes=True)
    pairs = np.concatenate(inked, axis=1)
    key = [("original above", INK), ("reconstruction below", CURVES[1][2])]
    _draw(_tile(pairs, ceil(n / ceil(n / 10)), gap=4), path, title, key=key)


def samples(means: NDArray, path: Path, title: str) -> None:
    """Draw images (n, H, W), uint8 or floats in 0..1, in a near-square grid."""
    tiles = BLACK_INK(_unit("means", means, 3), bytes=True)
    n, height, width = tiles.shape[:3]
    _draw(_tile(tiles, min(n, ceil(sqrt(n * height / width))), gap=2), path, title)


def latents(
    codes: NDArray, labels: NDArray, path: Path, title: str, axes: tuple[str, str]
) -> None:
    """Draw codes (n, 2) in the colours of their integer labels (n,), axes named.

    Each class is named at its median, or next to it where two names would overlap.
    The circles at 1 and 2 sigma hold 39 % and 86 % of N(0, I).
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 2 or codes.shape[1] != 2 or len(codes) == 0:
        raise ArgumentError(f"codes: found shape {codes.shape}, expected (n, 2)")
    if labels.shape != codes.shape[:1] or labels.dtype.kind not in "iu":
        raise ArgumentError(
            f"labels: found {labels.dtype} of shape {labels.shape}, "
            f"expected integers of shape {codes.shape[:1]}"
        )
    low = np.minimum(codes.min(axis=0), -2.0)
    high = np.maximum(codes.max(axis=0), 2.0)
    span = 1.06 * (high - low)
    left, below = 0.85, 0.45
    width = WIDTH - left - MARGIN
    size = np.array([width, width * np.clip(span[1] / span[0], 0.6, 1.2)])
    inch = max(span / size)  # in the units of the codes
    figure, top = _page(size[1] + below, title)
    plane = _axes(figure, left, top - size[1], size[0], size[1], axes)
    start, end = (low + high - inch * size) / 2, (low + high + inch * size) / 2
    plane.set(xlim=(start[0], end[0]), ylim=(start[1], end[1]), aspect="equal")
    plane.grid(color=GRID, lw=0.8)
    colours = CLASSES[labels % len(CLASSES)]
    plane.scatter(codes[:, 0], codes[:, 1], s=5, c=colours, alpha=0.6, linewidths=0)
    names = np.unique(labels)
    medians = np.array([np.median(codes[labels == name], axis=0) for name in names])
    places = _apart(medians, 0.25 * inch)
    for name, at in zip(names, places, strict=True):
        _halo(plane, at, f"{name}", INK, 17, CLASSES[name % len(CLASSES)])
    angle = np.arange(8) * np.pi / 4
    compass = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for sigma in (1, 2):
        plane.add_patch(Circle((0, 0), sigma, fill=False, ec=GREY, lw=0.8, zorder=2))
        if sigma > 0.5 * inch:
            gaps = np.linalg.norm(sigma * compass[:, None] - places, axis=2)
            free = sigma * compass[gaps.min(axis=1).argmax()]
            text = f"{sigma}\N{GREEK SMALL LETTER SIGMA}"
            _halo(plane, free, text, GREY, TICK, PAPER)
    _save(figure, path)


def manifold(means: NDArray, path: Path, title: str) -> None:
    """Draw decoded images (rows, columns, H, W) edge to edge as one plane.

    means[0, 0] is at the top left: z1 grows along a row, z2 falls from row to row.
    """
    tiles = BLACK_INK(_unit("means", means, 4), bytes=True)
    rows, columns, *image = tiles.shape
    canvas = _tile(tiles.reshape(rows * columns, *image), columns, gap=0)
    _draw(canvas, path, title, axes=("z1 →", "z2 →"))


def _columns(history: Sequence[Mapping[str, float]]) -> dict[str, NDArray]:
    """The columns of the history that are drawn, each (rows,), all of them finite."""
    if len(history) == 0:
        raise ArgumentError("history: found no rows, expected one per epoch")
    columns = {}
    for name in ["epoch"] + [f"{s}_{t}" for t, *_ in CURVES for s in ("train", "test")]:
        columns[name] = np.array([row.get(name, np.nan) for row in history], float)
        for i in np.flatnonzero(~np.isfinite(columns[name])).tolist():
            found = history[i].get(name, f"no {name}")
            raise ArgumentError(
                f"history: found {found} in row {i}, expected a finite {name}"
            )
    return columns


def _unit(name: str, images: NDArray, ndim: int) -> NDArray:
    """Images of `ndim` axes, none of them empty, as floats in 0..1."""
    images = np.asarray(images)
    if images.ndim != ndim or images.size == 0:
        shape = "(n, H, W)" if ndim == 3 else "(rows, columns, H, W)"
        raise ArgumentError(f"{name}: found shape {images.shape}, expected {shape}")
    if images.dtype == np.uint8:
        return images / 255.0
    if images.dtype.kind != "f":
        raise ArgumentError(f"{name}: found {images.dtype}, expected uint8 or floats")
    return images.clip(0.0, 1.0)


def _tile(tiles: NDArray, columns: int, gap: int) -> NDArray:
    """Tiles (n, H, W, 4) in rows on a sheet (h, w, 4) of paper, `gap` pixels apart."""
    n, height, width, _ = tiles.shape
    rows = ceil(n / columns)
    shape = rows, height + gap, columns, width + gap, 4
    sheet = np.full(shape, 255, np.uint8)
    for i, tile in enumerate(tiles):
        sheet[i // columns, :height, i % columns, :width] = tile
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), 4)
    return sheet[: len(sheet) - gap, : sheet.shape[1] - gap]


def _draw(
    canvas: NDArray,
    path: Path,
    title: str,
    key: Sequence[tuple[str, str]] = (),
    axes: tuple[str, str] = ("", ""),
) -> None:
    """Put a canvas (h, w, 4) on a page, a line of key above it, axes named beside."""
    h, w, _ = canvas.shape
    left = MARGIN + (LINE if axes[1] else 0)
    above, below = (LINE + 0.05 if key else 0), (LINE if axes[0] else 0)
    scale = min((WIDTH - left - MARGIN) / w, TALLEST / h)
    figure, top = _page(above + scale * h + below, title)
    for i, (text, colour) in enumerate(key):
        _write(figure, MARGIN + 1.4 * i, top, text, colour)
    bottom = top - above - scale * h
    picture = _axes(figure, left, bottom, scale * w, scale * h, ("", ""))
    # Small pixels become pen strokes, large ones stay the squares that they are.
    smooth = "bicubic" if scale * DPI < 5 else "nearest"
    picture.imshow(canvas, aspect="auto", interpolation=smooth)
    picture.axis("off")
    _write(figure, left, bottom - 0.06, axes[0], GREY)
    _write(figure, MARGIN - 0.05, bottom, axes[1], GREY, va="bottom", rotation=90)
    _save(figure, path)


def _page(body: float, title: str) -> tuple[Figure, float]:
    """A page with its title above `body` inches, and the height of the body's top."""
    lines = wrap(title, TITLE_CHARS)
    height = MARGIN + LINE * len(lines) + 0.1 + body + MARGIN
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    _write(figure, MARGIN, height - MARGIN, "\n".join(lines), INK, TITLE)
    return figure, body + MARGIN


def _write(
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


def _axes(
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


def _halo(
    axes: Axes, at: Sequence[float], text: str, colour: str, size: float, rim: str
) -> None:
    """Write text centred on a point of the data, on a halo of paper with a rim."""
    name = axes.text(at[0], at[1], text, color=colour, size=size, family=FONT)
    name.set(ha="center", va="center")
    rims = ((6, rim), (3.5, PAPER))
    name.set_path_effects([withStroke(linewidth=w, foreground=c) for w, c in rims])


def _apart(points: NDArray, gap: float) -> NDArray:
    """Push points (n, 2) off each other until about `gap` lies between any two."""
    for _ in range(100):
        away = points[:, None] - points
        distance = np.linalg.norm(away, axis=2, keepdims=True).clip(1e-9)
        points = points + (np.maximum(gap / distance - 1, 0) * away / 2).sum(axis=1)
    return points


def _number(value: float) -> str:
    """A number of at most five figures, so that it fits its margin."""
    digits = 1 if abs(value) < 1000 else 0
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", dpi=DPI, facecolor=PAPER)
