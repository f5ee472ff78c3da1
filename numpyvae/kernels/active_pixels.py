"""Binary images as lists of their active pixels: what the compiled code reads.

Shapes: B batch, D pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ArgumentError, expect_whole
from ..pairs.types import Array, Input
from .jit import jit
from .noise import next_bits
from .shards import part


class ActivePixels:
    """A batch of binary images as the list of their active pixels.

    Image i has the pixels columns[starts[i]:starts[i + 1]] set: of a binarized digit's
    784, one in eight. The first layer and the Bernoulli pair take the list for x and
    skip the zeros. Compiled code reads where a list tells it to: so it is checked when
    it is made, and can't be written to afterwards.
    Shapes: columns (total,) int32, starts (B + 1,) int32.
    """

    __slots__ = ("columns", "starts", "width")
    columns: NDArray[np.int32]
    starts: NDArray[np.int32]
    width: int

    def __init__(
        self, columns: NDArray[np.integer], starts: NDArray[np.integer], width: int
    ) -> None:
        """Copy the list of images of `width` pixels.

        Raises ArgumentError unless each image's pixels are whole numbers from 0 to
        width - 1 that rise, and the images follow one another.
        """
        expect_whole("width", width, 1)
        columns, starts = _vector("columns", columns), _vector("starts", starts)
        total, counts = len(columns), np.diff(starts)
        ends = (starts[0], starts[-1]) if len(starts) else None
        if ends != (0, total) or (counts < 0).any():
            raise ArgumentError(
                f"starts: found {starts}, expected numbers that rise from 0 to the "
                f"{total} of columns"
            )
        if total and not 0 <= columns.min() <= columns.max() < width:
            raise ArgumentError(
                f"columns: found {columns.min()} to {columns.max()}, expected pixels "
                f"from 0 to {width - 1}"
            )
        images = np.repeat(np.arange(len(counts)), counts)
        if (np.diff(images * width + columns) <= 0).any():
            raise ArgumentError(
                f"columns: found {columns}, expected pixels that rise within each image"
            )
        self._keep(columns.astype(np.int32), starts.astype(np.int32), width)

    @classmethod
    def of_our_own(
        cls, columns: NDArray[np.int32], starts: NDArray[np.int32], width: int
    ) -> ActivePixels:
        """A list that this package made of images: not checked, not copied."""
        active = cls.__new__(cls)
        active._keep(columns, starts, width)
        return active

    def _keep(
        self, columns: NDArray[np.int32], starts: NDArray[np.int32], width: int
    ) -> None:
        columns.flags.writeable = starts.flags.writeable = False
        self.columns, self.starts, self.width = columns, starts, width

    def __len__(self) -> int:
        """B, the number of images."""
        return len(self.starts) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(B, D), as the images themselves would have it."""
        return len(self.starts) - 1, self.width


def _vector(name: str, array: NDArray[np.integer]) -> NDArray[np.int64]:
    """Raises ArgumentError for what is no vector of whole numbers."""
    found = isinstance(array, np.ndarray) and (array.ndim, array.dtype.kind)
    if found not in ((1, "i"), (1, "u")):
        raise ArgumentError(
            f"{name}: found {array!r}, expected a vector of whole numbers"
        )
    return array.astype(np.int64)


def active_pixels(bits: NDArray[np.uint8]) -> ActivePixels:
    """List the pixels that are not 0; bits (B, D) uint8."""
    columns = np.empty(bits.size + 1, np.int32)
    starts = np.empty(len(bits) + 1, np.int32)
    list_rows(bits, np.arange(len(bits)), columns, starts)
    return ActivePixels.of_our_own(columns[: starts[-1]], starts, bits.shape[1])


# ---- Listing -------------------------------------------------------------------------


@jit
def list_rows(images, rows, columns, starts):
    """`active_pixels` of some rows of a set of binary images, into given arrays."""
    total = 0
    for i in range(rows.shape[0]):
        starts[i] = total
        total += _list_row(images[rows[i]], columns[total:])
    starts[rows.shape[0]] = total


@jit
def draw_rows(images, rows, grey, generator, noise, columns, starts):
    """`list_rows`, of grey images binarized as datasets/binarize.py does it.

    NumPy makes the noise of two pixels from 32 bits, the lower half first. `noise` is
    one longer than all their pixels, for the half that may be left over.
    """
    D = images.shape[1]
    touched = 0  # reads the rows ahead: they come from memory as the noise is drawn
    for i in range(rows.shape[0]):
        for j in range(0, D, 64):
            touched += images[rows[i], j]
    if grey:
        for a in range(0, rows.shape[0] * D, 2):
            bits = next_bits(generator)
            noise[a], noise[a + 1] = bits & 0xFFFF, bits >> 16
    total = 0
    for i in range(rows.shape[0]):
        starts[i] = total
        image, active = images[rows[i]], noise[i * D : (i + 1) * D]
        if grey:
            for j in range(D):
                active[j] = active[j] < np.uint16(image[j] * np.uint16(257))
        else:
            for j in range(D):
                active[j] = image[j]
        total += _list_row(active, columns[total:])
    starts[rows.shape[0]] = total
    return touched


@jit
def _list_row(bits, columns):
    total = 0
    for j in range(bits.shape[0]):
        columns[total] = j  # written always, kept when the pixel is active
        total += int(bits[j] != 0)
    return total


# ---- Sums over active pixels ---------------------------------------------------------


@jit
def list_images(columns, starts, images, image_starts):
    """Transpose the list: pixel j is active in images[image_starts[j]:...[j + 1]]."""
    image_starts[:] = 0
    for a in range(columns.shape[0]):
        image_starts[columns[a]] += 1
    for j in range(1, image_starts.shape[0]):  # each stands at its end
        image_starts[j] += image_starts[j - 1]
    for i in range(starts.shape[0] - 2, -1, -1):
        for a in range(starts[i], starts[i + 1]):
            j = columns[a]
            image_starts[j] -= 1
            images[image_starts[j]] = i


@jit
def join_lists(images, image_starts, B, lo, hi, picks, starts):
    """The lists of S shards' images as one of the batch's, for the pixels lo to hi.

    Shapes: images (S, .), image_starts (S, D + 1), starts (hi - lo + 1,).
    """
    S, total = images.shape[0], 0
    for j in range(lo, hi):
        starts[j - lo] = total
        for s in range(S):
            first, _ = part(B, s, S)
            for a in range(image_starts[s, j], image_starts[s, j + 1]):
                picks[total] = first + images[s, a]
                total += 1
    starts[hi - lo] = total


@jit
def sum_rows(table, picks, starts, sums):
    """sums[i] = the sum of table[picks[starts[i]:starts[i + 1]]], eight rows a pass."""
    width = table.shape[1]
    for i in range(sums.shape[0]):
        total = sums[i]
        total[:] = 0
        a, stop = starts[i], starts[i + 1]
        while a + 8 <= stop:
            r0, r1 = table[picks[a]], table[picks[a + 1]]
            r2, r3 = table[picks[a + 2]], table[picks[a + 3]]
            r4, r5 = table[picks[a + 4]], table[picks[a + 5]]
            r6, r7 = table[picks[a + 6]], table[picks[a + 7]]
            for k in range(width):
                left = (r0[k] + r1[k]) + (r2[k] + r3[k])
                right = (r4[k] + r5[k]) + (r6[k] + r7[k])
                total[k] += left + right
            a += 8
        while a < stop:
            row = table[picks[a]]
            for k in range(width):
                total[k] += row[k]
            a += 1


# ---- Inputs --------------------------------------------------------------------------


def rows_of(x: Input, rows: slice) -> Input:
    """Some images of a batch that follow on."""
    if isinstance(x, np.ndarray):
        return x[rows]
    starts = x.starts[rows.start : rows.stop + 1]
    columns = x.columns[starts[0] : starts[-1]]
    return ActivePixels.of_our_own(columns, starts - starts[0], x.width)


def repeat(x: Input, count: int) -> Input:
    """Each image `count` times in a row: (B, D) -> (B count, D)."""
    if isinstance(x, np.ndarray):
        return np.repeat(x, count, axis=0)
    sizes = np.repeat(np.diff(x.starts), count)
    starts: NDArray[np.int32] = np.zeros(len(sizes) + 1, np.int32)
    starts[1:] = sizes.cumsum()
    first = np.repeat(x.starts[:-1], count) - starts[:-1]
    picks = np.arange(starts[-1]) + np.repeat(first, sizes)
    return ActivePixels.of_our_own(x.columns[picks], starts, x.width)


def append(x: Input, labels: NDArray[np.integer] | None, classes: int) -> Input:
    """Each image and, behind its pixels, its label one-hot: (B, D) -> (B, D + C).

    Without labels, the images alone.
    """
    if labels is None:
        return x
    if isinstance(x, np.ndarray):
        return np.hstack([x, one_hot(labels, classes, x.dtype)])
    ends = x.starts[1:]
    columns = np.insert(x.columns, ends, x.width + labels.astype(np.int32))
    starts = x.starts + np.arange(len(x.starts)).astype(np.int32)
    return ActivePixels.of_our_own(columns, starts, x.width + classes)


def one_hot(labels: NDArray[np.integer], classes: int, dtype: DTypeLike) -> Array:
    """A row of zeros with a one at the label: (B,) -> (B, C)."""
    return np.eye(classes, dtype=dtype)[labels]
