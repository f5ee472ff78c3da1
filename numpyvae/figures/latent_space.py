"""Latent space: where the images lie in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_numbers, expect_unmasked
from .style import (
    FONT,
    GREY,
    GRID,
    INK,
    LABEL,
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

# Ten colours told apart under colour blindness (M. A. Petroff, arXiv:2107.02270), in
# an order that parts the digits that lie together: 3, 5, 8 and 4, 7, 9.
CLASSES = np.array(
    [
        ["#717581", "#94a4a2", "#b9ac70", "#3f90da", "#832db6"],
        ["#bd1f01", "#a96b59", "#92dadd", "#ffa90e", "#e76300"],
    ]
).ravel()
FEW = 12  # classes that all have their names
ROOM = 1.4  # between the names of more classes, in the size of a name


def latents(
    codes: NDArray[Any],
    labels: NDArray[Any],
    path: Path,
    title: str,
    axes: tuple[str, str],
    prior: bool = True,
) -> None:
    """Draw codes (n, 2) in the colours of their integer labels (n,), axes named.

    Each class is named at its median, or next to it where two names would overlap; of
    many classes only some are named, and a note says how many.
    If there is a prior, circles at 1 and 2 sigma hold 39 % and 86 % of N(0, I).
    """
    codes, labels = as_codes("codes", codes, labels)
    low, high = codes.min(axis=0), codes.max(axis=0)
    if prior:
        low, high = np.minimum(low, -2.0), np.maximum(high, 2.0)
    span = 1.06 * np.maximum(high - low, 1e-6)
    left, below = 0.85, 0.45
    names = np.unique(labels)
    above = LINE if len(names) > FEW else 0.0
    width = WIDTH - left - MARGIN
    size = np.array([width, width * np.clip(span[1] / span[0], 0.6, 1.2)])
    inch = max(span / size)  # in the units of the codes
    figure, top = page(above + size[1] + below, title)
    top -= above
    plane = panel(figure, left, top - size[1], size[0], size[1], axes)
    start, end = (low + high - inch * size) / 2, (low + high + inch * size) / 2
    plane.set(xlim=(start[0], end[0]), ylim=(start[1], end[1]), aspect="equal")
    plane.grid(color=GRID, lw=0.8)
    colours = CLASSES[labels % len(CLASSES)]
    plane.scatter(codes[:, 0], codes[:, 1], s=5, c=colours, alpha=0.6, linewidths=0)
    places = name_classes(plane, codes, labels, inch, 17)
    if above:
        text = f"{len(places)} of {len(names)} labels named; ten colours, in turn"
        write(figure, left, top + above, text, GREY)
    angle = np.arange(8) * np.pi / 4
    compass = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for sigma in (1, 2) if prior else ():
        plane.add_patch(Circle((0, 0), sigma, fill=False, ec=GREY, lw=0.8, zorder=2))
        if sigma > 0.5 * inch:
            gaps = np.linalg.norm(sigma * compass[:, None] - places, axis=2)
            free = sigma * compass[gaps.min(axis=1).argmax()]
            text = f"{sigma}\N{GREEK SMALL LETTER SIGMA}"
            _halo(plane, free, text, GREY, TICK, PAPER)
    save(figure, path)


def as_codes(
    name: str, codes: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Codes (n, 2) as float64 with their labels (n,); ArgumentError if they aren't."""
    expect_unmasked(name, codes)
    expect_unmasked("labels", labels)
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 2 or codes.shape[1] != 2 or len(codes) == 0:
        raise ArgumentError(f"{name}: found shape {codes.shape}, expected (n, 2)")
    expect_numbers(name, codes, finite=True)
    if labels.shape != codes.shape[:1] or labels.dtype.kind not in "iu":
        raise ArgumentError(
            f"labels: found {labels.dtype} of shape {labels.shape}, "
            f"expected integers of shape {codes.shape[:1]}"
        )
    return codes.astype(np.float64), labels


def name_classes(
    plane: Axes, codes: NDArray[Any], labels: NDArray[Any], inch: float, size: float
) -> NDArray[Any]:
    """Name classes at the medians of their codes (n, 2); the names' places (names, 2).

    `inch` is in units of the codes, `size` of the font in points, if there are few
    classes. Of more than FEW, a class in the crowd of those named already has no name.
    """
    names = np.unique(labels)
    medians = np.array([np.median(codes[labels == name], axis=0) for name in names])
    crowd = len(names) > FEW
    size = LABEL if crowd else size
    wide = 0.05 + 0.6 * size / 72 * max(len(f"{name}") for name in names)
    box = inch * np.array([wide, 0.05 + 1.15 * size / 72])  # that a name takes up
    chosen = (
        np.array(_far_apart(medians / box, ROOM)) if crowd else np.arange(len(names))
    )
    places = _apart(medians[chosen] / box, 1.0) * box
    low, high = np.sort([plane.get_xlim(), plane.get_ylim()], axis=1).T
    places = places.clip(low + box / 2, high - box / 2)
    for name, at in zip(names[chosen], places, strict=True):
        _halo(plane, at, f"{name}", INK, size, CLASSES[name % len(CLASSES)])
    return places


def _far_apart(points: NDArray[Any], gap: float) -> list[int]:
    """Which of points (n, 2) to keep so that `gap` lies between any two.

    The outermost first, then in turn the one that is farthest from all before; FEW of
    them however near.
    """
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    chosen = [int(away.argmax())]
    nearest = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < len(points):
        nearest[chosen] = -1
        i = int(nearest.argmax())
        if nearest[i] < gap and len(chosen) >= FEW:
            break
        chosen.append(i)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[i], axis=1))
    return chosen


def _halo(
    axes: Axes, at: Sequence[float], text: str, colour: str, size: float, rim: str
) -> None:
    """Write text centred on a point of the data, on a halo of paper with a rim."""
    name = axes.text(at[0], at[1], text, color=colour, size=size, family=FONT)
    name.set(ha="center", va="center")
    rims = ((6, rim), (3.5, PAPER))
    name.set_path_effects([withStroke(linewidth=w, foreground=c) for w, c in rims])


def _apart(points: NDArray[Any], gap: float) -> NDArray[Any]:
    """Push points (n, 2) off each other until about `gap` lies between any two."""
    points = points.astype(float)
    _, first = np.unique(points, axis=0, return_index=True)
    again = np.setdiff1d(np.arange(len(points)), first)  # where another one is
    points[again] += 0.01 * gap * np.stack([np.cos(again), np.sin(again)], axis=1)
    for _ in range(100):
        away = points[:, None] - points
        distance = np.linalg.norm(away, axis=2, keepdims=True).clip(1e-9)
        points = points + (np.maximum(gap / distance - 1, 0) * away / 2).sum(axis=1)
    return points
