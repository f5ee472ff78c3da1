"""The pictures: pure functions from arrays to one PNG file each.

They know nothing of models, datasets or run folders.
"""

from .curves import learning_curves, v_curve
from .images import manifold, reconstructions, samples
from .latent_space import latents

__all__ = [
    "latents",
    "learning_curves",
    "manifold",
    "reconstructions",
    "samples",
    "v_curve",
]
