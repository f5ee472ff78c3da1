"""What a forward pass of the VAE leaves behind.

Shapes: B batch, K samples of each image, D pixels, Z latents, E outputs of the encoder.
Units: nats per image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..pairs.posteriors import Code
from ..pairs.types import Array, Input
from .layers import Trace


class Forward(NamedTuple):
    """All that the forward pass computed, in the order in which it did."""

    hs: list[Trace]  # the encoder's layers; the last y is h (B, E)
    code: Code  # q(z|x) and z (B K, Z)
    kept_kl: Any  # what the KL's backward needs
    gs: list[Trace]  # the decoder's layers
    target: Input  # x, each image K times
    kept_x: Any  # what the likelihood's backward needs
    terms: dict[str, Array]  # (B K,) of -log p(x|z), "recon", and of the KL
    kl: Array  # (B K,) the sum of all terms but the first
    loss: Array  # (B,) what the objective makes of recon and kl
    shares: Array | None  # (B, K), of an importance-weighted objective

    @property
    def recon(self) -> Array:
        """-log p(x|z) (B K,)."""
        return self.terms["recon"]

    def first_overflow(self) -> str:
        """The name of the first step whose results are not all finite, or ""."""
        steps = {
            **{f"encoder layer {i}": h.y for i, h in enumerate(self.hs, 1)},
            "z": self.code.z,
            **{f"decoder layer {i}": g.y for i, g in enumerate(self.gs, 1)},
            **self.terms,
        }
        bad = (name for name, array in steps.items() if not np.isfinite(array).all())
        return next(bad, "")
