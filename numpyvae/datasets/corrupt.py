"""Corruptions of images: what a denoising auto-encoder learns to undo.

Shapes: B batch, D pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_number, expect_unmasked

CORRUPTIONS = ("none", "gaussian", "mask", "salt-and-pepper")


@dataclass(frozen=True)
class Corruption:
    """One of CORRUPTIONS, to a level.

    `gaussian` adds noise of that standard deviation; `mask` blackens that share of the
    pixels; `salt-and-pepper` makes that share of them 0 or 1, either as often. Raises
    ArgumentError for another name, a negative level, or a share above 1.
    """

    how: str
    level: float

    def __post_init__(self) -> None:
        """Check both."""
        if self.how not in CORRUPTIONS:
            raise ArgumentError(
                f"corrupt: found {self.how!r}, expected one of {', '.join(CORRUPTIONS)}"
            )
        expect_number("level", self.level, "0 or more")
        if self.how not in ("none", "gaussian") and self.level > 1:
            raise ArgumentError(
                f"level: found {self.level:g}, expected at most 1, a share of pixels"
            )

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Corrupted images, of x's dtype; x (B, D) floats in [0, 1].

        Raises ArgumentError for another type.
        """
        expect_unmasked("x", x)
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            found = getattr(x, "dtype", type(x).__name__)
            raise ArgumentError(f"x: found {found}, expected an array of floats")
        if self.how == "gaussian":
            noise = rng.standard_normal(x.shape, np.float32)
            return (x + self.level * noise).astype(x.dtype)
        chosen = rng.random(x.shape, np.float32) < self.level
        if self.how == "mask":
            return np.where(chosen, 0, x).astype(x.dtype)
        salt = rng.integers(0, 2, x.shape, np.uint8)
        return np.where(chosen, salt, x).astype(x.dtype)
