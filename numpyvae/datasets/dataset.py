"""What every loader returns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_unmasked


@dataclass(frozen=True)
class Dataset:
    """Grey images with labels, split into a training and a test part.

    Shapes: images (N, H, W) uint8, 0 is background and 255 is ink;
    labels (N,) integers 0..255, kept as uint8. Any memory layout is taken.
    Raises ArgumentError for others, for masked arrays, and for training and test
    images of different size.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the arrays, which may come from anywhere."""
        for part in ("train", "test"):
            images, labels = f"{part}_images", f"{part}_labels"
            expect_images(images, getattr(self, images))
            count = len(getattr(self, images))
            kept = _labels(labels, getattr(self, labels), count)
            object.__setattr__(self, labels, kept)  # the dataclass is frozen
        train, test = self.train_images.shape[1:], self.test_images.shape[1:]
        if train != test:
            raise ArgumentError(
                f"test_images: found images of {test[0]} x {test[1]}, expected "
                f"{train[0]} x {train[1]} as in train_images"
            )

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.train_images.shape[1], self.train_images.shape[2]

    @property
    def pixels(self) -> int:
        """D, the number of pixels of an image."""
        return self.image_shape[0] * self.image_shape[1]

    @property
    def classes(self) -> int:
        """C of a conditional model: one more than the largest label."""
        return int(max(self.train_labels.max(), self.test_labels.max())) + 1


def expect_images(name: str, value: object) -> None:
    """Raise ArgumentError unless `value` is (N, H, W) uint8 with N, H, W >= 1."""
    expect_unmasked(name, value)
    if isinstance(value, np.ndarray):
        if value.ndim == 3 and value.dtype == np.uint8 and value.size:
            return
        if value.ndim == 1 and value.dtype.kind in "iu":
            advice = "; these look like labels: were images and labels swapped?"
        elif value.dtype.kind == "f":
            advice = "; pass the grey values 0..255, not divided by 255, as uint8"
        else:
            advice = ""
    else:
        advice = "; make it an array with numpy.asarray(..., numpy.uint8)"
    raise ArgumentError(
        f"{name}: found {_kind(value)}, expected images (N, H, W) of uint8 with N, H "
        f"and W at least 1{advice}"
    )


def _labels(name: str, value: object, count: int) -> NDArray[np.uint8]:
    """The labels as uint8; ArgumentError unless they are `count` integers 0..255."""
    expect_unmasked(name, value)
    if (
        not isinstance(value, np.ndarray)
        or value.shape != (count,)
        or value.dtype.kind not in "iu"
    ):
        swapped = isinstance(value, np.ndarray) and value.ndim == 3
        advice = (
            "; these look like images: were images and labels swapped?"
            if swapped
            else ""
        )
        raise ArgumentError(
            f"{name}: found {_kind(value)}, expected labels ({count},) of integers, "
            f"one for each image{advice}"
        )
    low, high = value.min(), value.max()
    if low < 0 or high > 255:
        raise ArgumentError(
            f"{name}: found labels from {low} to {high}, expected 0 to 255"
        )
    return value.astype(np.uint8, copy=False)


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"shape {value.shape} of {value.dtype}"
    return f"a {type(value).__name__}"
