"""Images side by side: reconstructions, samples, the manifold.

Shapes: n images, H, W the height and width of an image in pixels.
"""

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from ..errors import ArgumentError
from .style import (
    CURVES,
    DPI,
    GREY,
    INK,
    LINE,
    MARGIN,
    PAPER,
    TALLEST,
    WIDTH,
    page,
    panel,
    save,
    write,
)  # fmt: skip

BLACK_INK = LinearSegmentedColormap.from_list("black ink", [PAPER, INK])
BLUE_INK = LinearSegmentedColormap.from_list("blue ink", [PAPER, CURVES[1][2]])


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


def manifold(means: NDArray, path: Path, title: str) -> None:
    """Draw decoded images (rows, columns, H, W) edge to edge as one plane.

    means[0, 0] is at the top left: z1 grows along a row, z2 falls from row to row.
    """
    tiles = BLACK_INK(_unit("means", means, 4), bytes=True)
    rows, columns, *image = tiles.shape
    canvas = _tile(tiles.reshape(rows * columns, *image), columns, gap=0)
    _draw(canvas, path, title, axes=("z1 →", "z2 →"))


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
    figure, top = page(above + scale * h + below, title)
    for i, (text, colour) in enumerate(key):
        write(figure, MARGIN + 1.4 * i, top, text, colour)
    bottom = top - above - scale * h
    picture = panel(figure, left, bottom, scale * w, scale * h, ("", ""))
    # Small pixels become pen strokes, large ones stay the squares that they are.
    smooth = "bicubic" if scale * DPI < 5 else "nearest"
    picture.imshow(canvas, aspect="auto", interpolation=smooth)
    picture.axis("off")
    write(figure, left, bottom - 0.06, axes[0], GREY)
    write(figure, MARGIN - 0.05, bottom, axes[1], GREY, va="bottom", rotation=90)
    save(figure, path)
