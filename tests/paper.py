"""What is asked of every PNG. Not a test."""

import numpy as np
from matplotlib.image import imread


def opened(path, ink=0.002):
    """The brightness (h, w) of a PNG, once it is known to be a picture."""
    rgba = imread(path)
    height, width = rgba.shape[:2]
    assert 600 <= width <= 1600 and 250 <= height <= 1600
    assert np.all(rgba[..., 3] == 1), "the paper is opaque"
    grey = rgba[..., :3].mean(axis=2)
    assert (grey < 0.7).mean() > ink, "blank"
    margin = int(0.05 * width) // 2
    edges = [grey[:margin], grey[-margin:], grey[:, :margin], grey[:, -margin:]]
    assert all(np.all(edge > 0.98) for edge in edges), "ink runs off the page"
    return grey
