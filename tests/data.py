"""A data set to train on within milliseconds: three shapes, faint or strong.

Not a test. What a model can learn of it is which shape an image holds.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numpyvae import Dataset
from numpyvae.datasets import idx

TRAIN, TEST = 300, 70
FILES = (idx.TRAIN_IMAGES, idx.TRAIN_LABELS, idx.TEST_IMAGES, idx.TEST_LABELS)


def tiny(
    height: int = 8, width: int = 6, train: int = TRAIN, test: int = TEST
) -> Dataset:
    """Images of a bar that stands, two that lie, or a cross; label 0, 1 or 2."""
    rng = np.random.default_rng(3)
    shapes = np.zeros((3, height, width))
    shapes[0, :, width // 3 : width // 2 + 1] = 1
    shapes[1, [1, 2, -3, -2], :] = 1
    shapes[2, :, -2:] = shapes[2, :2, :] = 1
    labels = rng.integers(0, 3, train + test).astype(np.uint8)
    ink = rng.integers(200, 256, (train + test, 1, 1))
    images = (shapes[labels] * ink).astype(np.uint8)
    return Dataset(
        "tiny", images[:train], labels[:train], images[train:], labels[train:]
    )


def numbered() -> Dataset:
    """Images that say in two pixels which one they are: train 0 to 299, then test."""
    images = np.zeros((TRAIN + TEST, 2, 3), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(TRAIN + TEST), 256)
    labels = np.zeros(TRAIN + TEST, np.uint8)
    return Dataset(
        "numbered", images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:]
    )


def numbers(x: NDArray) -> list[int]:
    """What `numbered` images (B, D) in [0, 1] say."""
    greys = np.rint(x * 255).astype(int)
    return (256 * greys[:, 0] + greys[:, 1]).tolist()


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The array as a raw IDX file."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx(directory: Path, data: Dataset) -> Path:
    """The data as four IDX files in a new directory, which is returned."""
    directory.mkdir()
    arrays = data.train_images, data.train_labels, data.test_images, data.test_labels
    for name, array in zip(FILES, arrays, strict=True):
        (directory / name).write_bytes(idx_bytes(array))
    return directory
