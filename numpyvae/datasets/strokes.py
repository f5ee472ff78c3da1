"""Digits drawn by our own pen: the data set that is always there.

MNIST must be downloaded; these images are computed in seconds and have its
shape, so every command and lesson runs offline. Glyph -> hand -> curve -> ink.
Legend: B images, V glyphs, K control points, S curve samples.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import expect_whole
from ..kernels.jit import jit
from .dataset import Dataset

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

SEED = 13126114  # arXiv number of "Auto-Encoding Variational Bayes"
BLOCK = 500  # images drawn from one generator
THREADS = 2
SIDE = 28  # pixels of an image's side
BOX = 20.0  # pixels of the square that MNIST fits a digit into
EDGE = 1.2  # pixels over which ink fades into paper
SPACING = 0.045  # distance of curve samples, in digit heights
SWAY = 0.5  # distance over which a hand strays as one, in digit heights
TREMOR = 0.1  # and the much smaller one over which it trembles

# How people write: per digit, (how often, path). A path is a row of "x,y" points
# in hundredths, y downwards, joined by a smooth curve; "/" lifts the pen. Two
# strokes that name the same point meet there, in a corner, however the hand shakes.
GLYPHS: dict[int, tuple[tuple[int, str], ...]] = {
    0: (
        (42, "50,0 22,14 4,48 10,84 36,100 65,85 79,48 70,13 44,0"),
        (40, "66,8 40,3 14,26 4,62 20,96 52,94 76,60 78,24 60,3 42,10"),
        (4, "34,6 10,36 4,72 26,99 60,90 77,56 75,20 54,2"),
        (14, "72,14 54,0 22,12 4,46 10,86 36,100 64,86 80,50 72,18 48,4"),
    ),
    1: (
        (84, "55,0 50,50 45,100"),
        (11, "34,26 45,14 55,0 / 55,0 51,50 46,100"),
        (5, "34,20 45,12 55,0 / 55,0 51,50 48,100 / 22,100 48,99 76,99"),
    ),
    2: (
        (12, "6,22 24,3 52,2 67,20 56,48 30,76 4,98 / 4,98 40,95 82,95"),
        (22, "10,22 30,1 56,4 66,28 52,62 22,92 4,92 6,76 28,76 56,92 86,92"),
        (18, "4,12 30,3 58,4 66,18 50,48 24,78 6,96 26,97 54,95 84,98"),
        (32, "8,34 16,10 44,0 68,14 72,42 56,74 26,94 6,88 12,70 34,70 58,84 82,98"),
        (16, "4,20 22,2 46,6 54,24 44,50 24,80 14,92 24,90 50,86 88,90"),
    ),
    3: (
        (44, "4,14 24,1 52,3 60,20 47,39 29,46 / 29,46 57,51 67,70 55,93 30,100 6,92"),
        (36, "4,14 24,0 54,8 54,31 40,44 32,45 42,45 63,55 68,75 53,97 27,100 5,92"),
        (20, "0,8 28,5 59,2 / 59,2 46,21 27,41 / 27,41 57,47 69,71 56,93 30,100 6,93"),
    ),
    4: (
        (42, "14,4 9,30 4,54 / 4,54 36,55 78,47 / 66,2 61,50 54,100"),
        (30, "12,4 6,34 14,54 38,58 64,46 / 70,2 64,46 / 64,46 60,74 56,100"),
        (12, "22,16 12,36 4,54 / 4,54 40,53 88,44 / 70,0 58,50 46,100"),
        (10, "48,0 26,34 2,66 / 2,66 42,65 82,62 / 60,30 56,64 52,100"),
        (6, "60,0 32,30 2,64 / 2,64 36,65 72,60 / 60,0 57,50 52,100"),
    ),
    5: (
        (40, "26,5 20,22 14,41 / 14,41 42,36 66,51 67,76 42,98 8,94 / 26,5 52,4 84,0"),
        (14, "14,4 14,26 14,43 / 14,43 40,36 65,52 65,80 38,99 10,91 / 22,6 50,5 78,4"),
        (26, "86,2 56,4 32,8 / 32,8 20,26 24,41 50,48 64,66 55,90 30,100 6,92"),
        (20, "76,4 48,3 27,13 22,32 40,44 61,59 62,83 38,99 7,91"),
    ),
    6: (
        (34, "44,0 22,22 7,54 10,84 34,100 60,91 64,76 48,64 24,76 9,90"),
        (52, "34,0 17,28 6,60 12,90 38,100 64,90 67,72 48,63 20,82"),
        (14, "54,2 29,16 9,44 6,76 26,99 55,96 68,79 58,66 34,70 14,86"),
    ),
    7: (
        (30, "2,10 30,6 64,4 / 64,4 52,46 37,100"),
        (44, "2,17 17,5 44,5 62,9 62,28 50,62 40,100"),
        (14, "2,30 6,9 / 6,9 34,6 65,7 / 65,7 53,48 42,100"),
        (12, "2,8 32,5 65,4 / 65,4 53,46 38,100 / 26,52 50,49 74,46"),
    ),
    8: (
        (20, "66,10 44,0 20,10 22,32 46,50 64,74 46,99 18,92 16,70 40,50 64,28 66,10"),
        (18, "44,48 22,32 28,6 54,0 68,18 56,38 32,56 14,80 34,100 60,90 58,64 40,44"),
        (22, "72,14 50,2 24,8 20,28 42,46 58,68 44,96 18,96 12,76 34,54 60,32 76,8"),
        (40, "64,8 38,0 10,12 14,36 40,58 54,80 40,100 22,92 28,70 46,46 66,24 64,8"),
    ),
    9: (
        (44, "58,17 45,0 24,9 9,33 20,48 42,37 58,17 / 58,17 53,58 47,100"),
        (20, "57,14 42,0 22,11 10,33 23,46 42,35 58,13 58,43 51,72 41,100"),
        (26, "62,17 42,0 14,10 1,34 16,50 45,40 62,17 / 62,17 63,60 68,100"),
        (10, "62,19 42,0 17,8 7,30 25,45 51,34 62,19 / 62,19 64,60 51,94 27,100 9,92"),
    ),
}


@dataclass(frozen=True)
class _Glyphs:
    """Every glyph as linear algebra, padded to one size."""

    share: Floats  # (10, V) cumulated frequency of each digit's glyphs
    points: Floats  # (V, K, 2) control points, in digit heights
    before: NDArray[np.intp]  # (V, K) of a loose end its neighbour, else itself
    smooth: Floats  # (V, K, K) white noise -> noise that varies smoothly in space
    basis: Floats  # (V, S, K) control points -> curve samples
    pen: NDArray[np.bool_]  # (V, S - 1) is the pen down between samples?


def _spline(knots: Floats, at: Floats) -> Floats:
    """Catmull-Rom curve through knots (n, d) at parameters (m,) in 0..n-1: (m, d)."""
    first, last = 2 * knots[0] - knots[1], 2 * knots[-1] - knots[-2]
    knots = np.vstack([first, knots, last])
    left = np.minimum(at.astype(np.intp), len(knots) - 4)
    t = (at - left)[:, None]
    return 0.5 * (
        t * (-1 + t * (2 - t)) * knots[left]
        + (2 + t * t * (3 * t - 5)) * knots[left + 1]
        + t * (1 + t * (4 - 3 * t)) * knots[left + 2]
        + t * t * (t - 1) * knots[left + 3]
    )


def _glyph(path: str) -> tuple[Floats, NDArray[np.intp], Floats, NDArray[np.bool_]]:
    """Read one path: points (K, 2), before (K,), basis (S, K), pen (S - 1,)."""
    strokes = [stroke.split() for stroke in path.split("/")]
    names = list(dict.fromkeys(path.replace("/", " ").split()))
    points = np.array([name.split(",") for name in names], dtype=np.float64) / 100
    before = np.arange(len(names))
    basis, pen = [], []
    for stroke in strokes:
        at = np.array([names.index(name) for name in stroke])
        for end, neighbour in ((0, 1), (-1, -2)):
            if path.split().count(stroke[end]) == 1:
                before[at[end]] = at[neighbour]
        length = np.hypot(*np.diff(points[at], axis=0).T).sum()
        count = int(np.ceil(length / SPACING)) + 1
        basis.append(
            _spline(np.eye(len(names))[at], np.linspace(0, len(at) - 1, count))
        )
        pen += [True] * (count - 1) + [False]
    return points, before, np.vstack(basis), np.array(pen[:-1])


def _stack(glyphs: dict[int, tuple[tuple[int, str], ...]]) -> _Glyphs:
    """Read the table and pad its V glyphs to common K and S."""
    rows = [(digit, *row) for digit, ways in glyphs.items() for row in ways]
    parts = [_glyph(path) for _, _, path in rows]
    knots = max(len(points) for points, _, _, _ in parts)
    samples = max(len(basis) for _, _, basis, _ in parts)
    share = np.zeros((len(glyphs), len(rows)))
    points = np.zeros((len(rows), knots, 2))
    before = np.tile(np.arange(knots), (len(rows), 1))
    basis = np.zeros((len(rows), samples, knots))
    pen = np.zeros((len(rows), samples - 1), dtype=np.bool_)
    for v, (part_points, part_before, part_basis, part_pen) in enumerate(parts):
        k, s = len(part_points), len(part_basis)
        share[rows[v][0], v] = rows[v][1]
        points[v, :k], before[v, :k] = part_points, part_before
        basis[v, :s, :k], pen[v, : s - 1] = part_basis, part_pen
        basis[v, s:, :k] = part_basis[-1]  # the lifted pen rests at the end
    share = np.cumsum(share, axis=1) / share.sum(axis=1, keepdims=True)
    apart = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=3)
    near = np.exp(-0.5 * apart / SWAY**2) + 0.05 * np.exp(-0.5 * apart / TREMOR**2)
    smooth = np.linalg.cholesky(near + 1e-6 * np.eye(knots))
    return _Glyphs(share, points, before, smooth, basis, pen)


_TABLE = _stack(GLYPHS)


def _curves(
    labels: Bytes, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Let a different hand write each label (B,).

    Returns curves (B, S, 3), which are x, y and half the pen's width in pixels,
    and pen (B, S - 1).
    """
    table, count = _TABLE, len(labels)
    shake = rng.lognormal(np.log(0.075), 0.3, (count, 1, 1))
    stretch = rng.lognormal(0.0, 0.2, (count, 1))
    slant = rng.normal(0.14, 0.24, (count, 1))
    turn = rng.normal(0.0, 0.1, (count, 1))
    width = np.clip(rng.lognormal(np.log(2.5), 0.28, (count, 1)), 1.4, 4.5)
    v = (rng.random((count, 1)) >= table.share[labels]).sum(axis=1)
    noise = table.smooth[v] @ rng.standard_normal((count, table.points.shape[1], 3))

    knots = table.points[v] + shake * noise[:, :, :2]
    before = np.take_along_axis(knots, table.before[v][:, :, None], axis=1)
    knots += rng.normal(0.0, 0.25, (*knots.shape[:2], 1)) * (knots - before)
    x, y = stretch * knots[:, :, 0] - slant * knots[:, :, 1], knots[:, :, 1]
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    half = 0.5 * width * np.exp(0.15 * noise[:, :, 2])
    curves = table.basis[v] @ np.stack([x, y, half], axis=2)
    return _fit(curves, table.pen[v]), table.pen[v]


def _fit(curves: Floats, pen: NDArray[np.bool_]) -> Floats:
    """Scale curves (B, S, 3): outline (half-grey) fills BOX, mass centred as in MNIST.

    Where that would put ink on the outermost pixels, the digit is moved inwards.
    """
    place, half = curves[:, :, :2], curves[:, :, 2:]
    rim = half.max(axis=1) + EDGE / 2
    room = BOX - 2 * half.mean(axis=1)
    place = place * (room / np.ptp(place, axis=1).max(1, keepdims=True))[:, None]
    ink = np.hypot(*np.moveaxis(np.diff(place, axis=1), 2, 0)) * pen * half[:, 1:, 0]
    middle = 0.5 * (place[:, 1:] + place[:, :-1])
    mass = (ink[:, :, None] * middle).sum(axis=1) / ink.sum(axis=1, keepdims=True)
    low, high = rim - place.min(axis=1), SIDE - 1 - rim - place.max(axis=1)
    place += np.clip(SIDE / 2 - mass, low, high)[:, None]
    return np.concatenate([place, half], axis=2)


@jit
def _ink(curves: Floats, pen: NDArray[np.bool_], edge: float, images: Bytes) -> None:
    """Draw curves (B, S, 3) with pen (B, S - 1) into images (B, H, W).

    A pixel's ink is 255 inside the stroke and falls to 0 over `edge` pixels
    around the outline; it is the largest over all segments.
    """
    count, height, wide = images.shape
    depth = np.empty((height, wide))
    for b in range(count):
        depth[:] = -edge
        for s in range(pen.shape[1]):
            if not pen[b, s]:
                continue
            x0, y0, r0 = curves[b, s]
            x1, y1, r1 = curves[b, s + 1]
            dx, dy = x1 - x0, y1 - y0
            length2 = max(dx * dx + dy * dy, 1e-12)
            far = max(r0, r1) + 0.5 * edge
            left = max(int(np.ceil(min(x0, x1) - far)), 0)
            right = min(int(np.floor(max(x0, x1) + far)) + 1, wide)
            top = max(int(np.ceil(min(y0, y1) - far)), 0)
            bottom = min(int(np.floor(max(y0, y1) + far)) + 1, height)
            for y in range(top, bottom):
                for x in range(left, right):
                    t = ((x - x0) * dx + (y - y0) * dy) / length2
                    t = min(max(t, 0.0), 1.0)
                    away = np.sqrt((x0 + t * dx - x) ** 2 + (y0 + t * dy - y) ** 2)
                    depth[y, x] = max(depth[y, x], r0 + t * (r1 - r0) - away)
        for y in range(height):
            for x in range(wide):
                shade = min(max(0.5 + depth[y, x] / edge, 0.0), 1.0)
                images[b, y, x] = int(255.0 * shade + 0.5)


def _block(part: int, block: int, images: Bytes, labels: Bytes) -> None:
    """Fill images (B, 28, 28) and labels (B,) with the first B <= BLOCK of a block."""
    rng = np.random.default_rng((SEED, part, block))
    tens = np.tile(np.arange(10, dtype=np.uint8), (BLOCK // 10, 1))
    digits = rng.permuted(tens, axis=1).ravel()  # any ten in a row have every digit
    curves, pen = _curves(digits, rng)
    labels[:] = digits[: len(labels)]
    _ink(curves[: len(labels)], pen, EDGE, images)


def _draw(part: int, count: int) -> tuple[Bytes, Bytes]:
    """Write the first `count` digits of a part: images (N, 28, 28), labels (N,)."""
    images = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    labels = np.empty(count, dtype=np.uint8)

    def fill(start: int) -> None:
        stop = start + BLOCK
        _block(part, start // BLOCK, images[start:stop], labels[start:stop])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fill, range(0, count, BLOCK)))
    return images, labels


def load_strokes(train: int = 60_000, test: int = 10_000) -> Dataset:
    """Draw `train` and `test` handwritten-looking digits, the same on every call.

    Images are (N, 28, 28) uint8, sized and centred as in MNIST; labels are 0..9,
    as many of each. Asking for more images does not change the first ones.
    Raises ArgumentError unless both counts are positive integers.
    """
    expect_whole("train", train, 1)
    expect_whole("test", test, 1)
    return Dataset("strokes", *_draw(0, int(train)), *_draw(1, int(test)))
