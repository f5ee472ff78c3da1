"""Images side by side: grids, rows that belong together, the manifold.

Shapes: n images, H, W the height and width of an image in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_unmasked
from .style import (
    CURVES,
    DPI,
    GREY,
    INK,
    LINE,
    MARGIN,
    PAPER,
    TALLEST,
    TICK,
    WIDTH,
    page,
    panel,
    save,
    write,
)

BLACK_INK = LinearSegmentedColormap.from_list("black ink", [PAPER, INK])
BLUE, RED = CURVES[1][2], CURVES[2][2]
BLUE_INK = LinearSegmentedColormap.from_list("blue ink", [PAPER, BLUE])
RED_INK = LinearSegmentedColormap.from_list("red ink", [PAPER, RED])
LONGEST = 12  # images of a row in a line
APART = 0.15  # inches between two blocks of rows


def reconstructions(
    originals: NDArray[Any],
    means: NDArray[Any],
    path: Path,
    title: str,
    seen: NDArray[Any] | None = None,
) -> None:
    """Draw each original (n, H, W) in black, its reconstruction (n, H, W) below it.

    What the encoder has `seen` (n, H, W), if that is given, stands between the two.
    Images are uint8 in 0..255 or floats in 0..1, 0 being paper.
    """
    above, below = _unit("originals", originals, 3), _unit("means", means, 3)
    _expect_alike("means", below, above)
    inked = [BLACK_INK(above, bytes=True), BLUE_INK(below, bytes=True)]
    key = [("original above", INK, 0.0), ("reconstruction below", BLUE, 1.4)]
    if seen is not None:
        between = _unit("seen", seen, 3)
        _expect_alike("seen", between, above)
        inked.insert(1, RED_INK(between, bytes=True))
        key = [("original", INK, 0.0), ("what the encoder saw", RED, 0.8)]
        key.append(("restored", BLUE, 2.75))
    n = len(above)
    stacks = np.concatenate(inked, axis=1)
    gap = 4 if seen is None else 8
    _draw(_tile(stacks, ceil(n / ceil(n / 10)), gap), path, title, key=key)


def samples(means: NDArray[Any], path: Path, title: str) -> None:
    """Draw images (n, H, W), uint8 or floats in 0..1, in a near-square grid."""
    tiles = BLACK_INK(_unit("means", means, 3), bytes=True)
    n, height, width = tiles.shape[:3]
    _draw(_tile(tiles, min(n, ceil(sqrt(n * height / width))), gap=2), path, title)


def manifold(means: NDArray[Any], path: Path, title: str) -> None:
    """Draw decoded images (rows, columns, H, W) edge to edge as one plane.

    means[0, 0] is at the top left: z1 grows along a row, z2 falls from row to row.
    """
    tiles = BLACK_INK(_unit("means", means, 4), bytes=True)
    rows, columns, *image = tiles.shape
    canvas = _tile(tiles.reshape(rows * columns, *image), columns, gap=0)
    _draw(canvas, path, title, axes=("z1 →", "z2 →"))


def named_rows(
    means: NDArray[Any],
    names: Sequence[str],
    ticks: Sequence[str],
    key: str,
    path: Path,
    title: str,
) -> None:
    """Draw images (rows, columns, H, W), a name beside each row, a key in grey above.

    `ticks` stand evenly below, the first and the last under the outermost columns. A
    row of many images goes on in the next line; many rows stand in blocks side by side.
    """
    tiles = BLACK_INK(_unit("means", means, 4), bytes=True)
    rows, columns = tiles.shape[:2]
    if len(names) != rows:
        raise ArgumentError(f"names: found {len(names)}, expected {rows}, one a row")
    lines = ceil(columns / LONGEST)
    strips = np.stack([_tile(row, ceil(columns / lines), gap=2) for row in tiles])
    gap = 2 if lines == 1 else 8
    h, w = strips.shape[1] + gap, strips.shape[2]
    beside = 0.1 + 0.09 * max(map(len, names))

    def scale_of(blocks: int) -> float:
        """The inches per pixel at which this many blocks fit on the page."""
        wide = WIDTH - 2 * MARGIN - blocks * beside - (blocks - 1) * APART
        return min(wide / (blocks * w), TALLEST / (ceil(rows / blocks) * h - gap))

    scale = max(map(scale_of, range(1, rows + 1)))
    each = next(ceil(rows / n) for n in range(1, rows + 1) if scale_of(n) == scale)
    above, below = (LINE + 0.05 if key else 0), (LINE if ticks else 0)
    figure, top = page(above + scale * (each * h - gap) + below, title)
    write(figure, MARGIN, top, key, GREY)
    every = ceil(0.17 / (scale * h))  # of many rows, name as many as there is room for
    for start in range(0, rows, each):
        canvas = _tile(strips[start : start + each], 1, gap)
        left = MARGIN + beside + start // each * (beside + scale * w + APART)
        bottom = top - above - scale * len(canvas)
        _show(figure, left, bottom, scale, canvas)
        for i, name in list(enumerate(names[start : start + each]))[::every]:
            y = top - above - (i * h + (h - gap) / 2) * scale
            x, centre = left - 0.1, "center_baseline"
            write(figure, x, y, name, INK, ha="right", va=centre)
        for i, text in enumerate(ticks):
            middle = (0.5 + i * (columns - 1) / max(1, len(ticks) - 1)) / columns
            x = left + scale * w * middle
            write(figure, x, bottom - 0.06, text, GREY, TICK, ha="center")
    save(figure, path)


def interpolation(
    first: NDArray[Any],
    between: NDArray[Any],
    last: NDArray[Any],
    path: Path,
    title: str,
) -> None:
    """Draw rows of decoded images (n, steps, H, W) in blue between two originals.

    These, `first` and `last` (n, H, W), are black and stand apart.
    """
    blue = BLUE_INK(_unit("between", between, 4), bytes=True)
    n, steps, height, width, _ = blue.shape
    black = []
    for name, images in (("first", first), ("last", last)):
        unit = _unit(name, images, 3)
        _expect_alike(name, unit, blue[:, 0, :, :, 0])
        black.append(BLACK_INK(unit, bytes=True)[:, None])
    apart = np.full((n, 1, height, max(1, width // 3), 4), 255, np.uint8)
    parts = (black[0], apart, blue, apart, black[1])
    strips = np.concatenate(
        [np.concatenate(list(part.swapaxes(0, 1)), axis=2) for part in parts], axis=2
    )
    key = [("two test images", INK, 0.0), (f"{steps} codes on the line", BLUE, 1.5)]
    _draw(_tile(strips, 1, gap=2), path, title, key)


def _expect_alike(name: str, images: NDArray[Any], like: NDArray[Any]) -> None:
    if images.shape != like.shape:
        raise ArgumentError(
            f"{name}: found shape {images.shape}, expected {like.shape}, that of the "
            "others"
        )


def _unit(name: str, images: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Images of `ndim` axes, none of them empty, as floats in 0..1."""
    expect_unmasked(name, images)
    images = np.asarray(images)
    if images.ndim != ndim or images.size == 0:
        shape = "(n, H, W)" if ndim == 3 else "(rows, columns, H, W)"
        raise ArgumentError(f"{name}: found shape {images.shape}, expected {shape}")
    if images.dtype == np.uint8:
        return images / 255.0
    if images.dtype.kind != "f":
        raise ArgumentError(f"{name}: found {images.dtype}, expected uint8 or floats")
    if not np.isfinite(images).all():
        raise ArgumentError(f"{name}: found NaN or infinity, expected finite numbers")
    return images.clip(0.0, 1.0)


def _tile(tiles: NDArray[Any], columns: int, gap: int) -> NDArray[Any]:
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
    canvas: NDArray[Any],
    path: Path,
    title: str,
    key: Sequence[tuple[str, str, float]] = (),
    axes: tuple[str, str] = ("", ""),
) -> None:
    """Put a canvas (h, w, 4) on a page, a line of key above it, axes named beside.

    Of the key, each text has its colour and its place.
    """
    h, w, _ = canvas.shape
    left = MARGIN + (LINE if axes[1] else 0)
    above, below = (LINE + 0.05 if key else 0), (LINE if axes[0] else 0)
    scale = min((WIDTH - left - MARGIN) / w, TALLEST / h)
    figure, top = page(above + scale * h + below, title)
    for text, colour, x in key:
        write(figure, MARGIN + x, top, text, colour)
    bottom = top - above - scale * h
    _show(figure, left, bottom, scale, canvas)
    write(figure, left, bottom - 0.06, axes[0], GREY)
    write(figure, MARGIN - 0.05, bottom, axes[1], GREY, va="bottom", rotation=90)
    save(figure, path)


def _show(
    figure: Figure, left: float, bottom: float, scale: float, canvas: NDArray[Any]
) -> None:
    """A canvas (h, w, 4) on a page, `scale` inches a pixel."""
    h, w, _ = canvas.shape
    picture = panel(figure, left, bottom, scale * w, scale * h, ("", ""))
    # Small pixels become pen strokes, large ones stay the squares that they are.
    smooth = "bicubic" if scale * DPI < 5 else "nearest"
    picture.imshow(canvas, aspect="auto", interpolation=smooth)
    picture.axis("off")
