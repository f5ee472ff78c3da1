"""From grey images to the batches a model sees.

Grey MNIST holds intensities; a Bernoulli likelihood is a density of zeros and ones. How
the one is made from the other changes every number printed, so it has a name.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_unmasked

BINARIZATIONS = ("dynamic", "static", "threshold", "none")


def binarize(
    images: NDArray[np.uint8], how: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Zeros and ones from grey images of any shape.

    `dynamic` and `static` draw each pixel with probability pixel / 255 (the same draw;
    static is one that is kept); `threshold` sets a pixel from 128 on. The noise is
    of 16 bits, so the probability is right to 2e-5. Raises ArgumentError for another
    name, and for images of another type.
    """
    expect_unmasked("images", images)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = getattr(images, "dtype", type(images).__name__)
        raise ArgumentError(
            f"images: found {found}, expected an array of uint8, the greys 0..255"
        )
    if how == "threshold":
        return (images > 127).view(np.uint8)
    if how in ("dynamic", "static"):
        noise = rng.integers(0, 2**16, images.shape, np.uint16)
        return (noise < images * np.uint16(257)).view(np.uint8)
    raise ArgumentError(
        f"binarize: found {how!r}, expected one of {', '.join(BINARIZATIONS[:3])}"
    )
