"""Images as a model is trained on them: binarized, corrupted, a batch at a time.

Shapes: N images, B of a batch, D pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..datasets.binarize import BINARIZATIONS, binarize
from ..datasets.corrupt import Corruption
from ..datasets.dataset import expect_images
from ..errors import ArgumentError
from ..model.vae import VAE, as_floats
from ..pairs.types import Input


class Batches:
    """Images, flattened, ready to be handed out in batches of one binarization."""

    def __init__(
        self, images: NDArray[np.uint8], how: str, rng: np.random.Generator
    ) -> None:
        """Take images (N, H, W) uint8; `static` is drawn here, once, from `rng`.

        Raises ArgumentError for an unknown binarization or images of another kind.
        """
        if how not in BINARIZATIONS:
            raise ArgumentError(
                f"binarize: found {how!r}, expected one of {', '.join(BINARIZATIONS)}"
            )
        expect_images("images", images)
        self.binary = how != "none"
        self.drawn_anew = how == "dynamic"
        self.images = images.reshape(len(images), -1)
        if how in ("static", "threshold"):
            self.images = binarize(self.images, how, rng)

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.images)

    def rows(
        self, rows: NDArray[np.int64] | slice, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """The images `rows`: zeros and ones, or greys 0..255 for `none`; (B, D)."""
        images = self.images[rows]
        return binarize(images, "dynamic", rng) if self.drawn_anew else images

    def draw(
        self,
        model: VAE,
        rows: NDArray[np.int64] | slice,
        rng: np.random.Generator,
        corruption: Corruption | None,
    ) -> tuple[Input, Input | None]:
        """Images for the decoder to make and, if others, for the encoder to see."""
        images = self.rows(rows, rng)
        x = model.input_of(images, self.binary)
        if corruption is None:
            return x, None
        return x, corruption(as_floats(images, self.binary, model.dtype), rng)
