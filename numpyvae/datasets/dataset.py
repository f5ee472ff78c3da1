"""What every loader returns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Dataset:
    """Grey images with labels, split into a training and a test part.

    Shapes: images (N, H, W) uint8, 0 is background and 255 is ink;
    labels (N,) uint8.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.train_images.shape[1], self.train_images.shape[2]

    @property
    def pixels(self) -> int:
        """D, the number of pixels of an image."""
        return self.image_shape[0] * self.image_shape[1]
