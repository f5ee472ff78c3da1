"""Binary images as lists of their active pixels: what the compiled code reads.

Shapes: B batch, D pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .jit import jit
from .ops import Array


class ActivePixels(NamedTuple):
    """A batch of binary images as the list of their active pixels.

    Image i has the pixels columns[starts[i]:starts[i + 1]] set: of a binarized digit's
    784, one in eight. The first layer and the Bernoulli pair take the list for x and
    skip the zeros.
    Shapes: columns (total,) int32, starts (B + 1,) int32.
    """

    columns: NDArray[np.int32]
    starts: NDArray[np.int32]
    width: int

    def __len__(self) -> int:
        """B, the number of images."""
        return len(self.starts) - 1


Input = Array | ActivePixels


def active_pixels(bits: NDArray[np.uint8]) -> ActivePixels:
    """List the pixels that are not 0; bits (B, D) uint8."""
    columns = np.empty(bits.size + 1, np.int32)
    starts = np.empty(len(bits) + 1, np.int32)
    _list_active(bits, columns, starts)
    return ActivePixels(columns[: starts[-1]], starts, bits.shape[1])


@jit
def _list_active(bits, columns, starts):
    total = 0
    for i in range(bits.shape[0]):
        starts[i] = total
        for j in range(bits.shape[1]):
            columns[total] = j  # written always, kept when the pixel is active
            total += int(bits[i, j] != 0)
    starts[bits.shape[0]] = total


def rows_of(x: Input, rows: slice) -> Input:
    """Some images of a batch that follow on."""
    if not isinstance(x, ActivePixels):
        return x[rows]
    starts = x.starts[rows.start : rows.stop + 1]
    return ActivePixels(x.columns[starts[0] : starts[-1]], starts - starts[0], x.width)


def repeat(x: Input, count: int) -> Input:
    """Each image `count` times in a row: (B, D) -> (B count, D)."""
    if not isinstance(x, ActivePixels):
        return np.repeat(x, count, axis=0)
    sizes = np.repeat(np.diff(x.starts), count)
    starts: NDArray[np.int32] = np.zeros(len(sizes) + 1, np.int32)
    starts[1:] = sizes.cumsum()
    first = np.repeat(x.starts[:-1], count) - starts[:-1]
    picks = np.arange(starts[-1]) + np.repeat(first, sizes)
    return ActivePixels(x.columns[picks], starts, x.width)


def append(x: Input, labels: NDArray[np.integer] | None, classes: int) -> Input:
    """Each image and, behind its pixels, its label one-hot: (B, D) -> (B, D + C).

    Without labels, the images alone.
    """
    if labels is None:
        return x
    if not isinstance(x, ActivePixels):
        return np.hstack([x, one_hot(labels, classes, x.dtype)])
    ends = x.starts[1:]
    columns = np.insert(x.columns, ends, x.width + labels.astype(np.int32))
    starts = x.starts + np.arange(len(x.starts)).astype(np.int32)
    return ActivePixels(columns, starts, x.width + classes)


def one_hot(labels: NDArray[np.integer], classes: int, dtype: DTypeLike) -> Array:
    """A row of zeros with a one at the label: (B,) -> (B, C)."""
    return np.eye(classes)[labels].astype(dtype)
