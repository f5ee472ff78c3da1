"""The pictures: pure functions from arrays to one PNG or GIF file each.

They know nothing of models, datasets or run folders.
"""

from .comparison import (
    Point,
    latent_panels,
    rate_distortion,
    reconstruction_rows,
    sample_panels,
)
from .curves import learning_curves, v_curve
from .images import interpolation, manifold, named_rows, reconstructions, samples
from .latent_space import latents
from .motion import walk

__all__ = [
    "Point",
    "interpolation",
    "latent_panels",
    "latents",
    "learning_curves",
    "manifold",
    "named_rows",
    "rate_distortion",
    "reconstruction_rows",
    "reconstructions",
    "sample_panels",
    "samples",
    "v_curve",
    "walk",
]
