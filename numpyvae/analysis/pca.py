"""Principal components: what a linear auto-encoder learns, and a plane to look at.

Shapes: N points, D pixels or Z latents.
"""

import numpy as np
from numpy.typing import NDArray

from ..pairs.types import Array


def principal_axes(
    x: NDArray[np.floating], count: int
) -> tuple[Array, Array, NDArray[np.float64]]:
    """The mean (D,) of x (N, D), its first `count` axes (count, D), all variances (D,).

    In float64; the variances fall.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean
    variances, axes = np.linalg.eigh(centred.T @ centred / len(x))
    return mean, axes[:, ::-1][:, :count].T, variances[::-1]


def largest_angle(rows: Array, others: Array) -> float:
    """The largest principal angle between the spans of two sets of rows, in degrees.

    Shapes: both (Z, D). From its sine, which keeps its digits where the angle is small.
    """
    a, b = (np.linalg.qr(np.asarray(m, np.float64).T)[0] for m in (rows, others))
    sines = np.linalg.svd(b - a @ (a.T @ b), compute_uv=False)
    return float(np.degrees(np.arcsin(min(1.0, sines.max()))))


def principal_plane(codes: Array) -> Array:
    """Codes (N, Z) in the plane of their first two principal components, (N, 2).

    Two latents are left as they are; a single one is set beside a zero.
    """
    if codes.shape[1] == 1:
        return np.hstack([codes, np.zeros_like(codes)])
    if codes.shape[1] == 2:
        return codes
    mean, axes, _ = principal_axes(codes, 2)
    return (codes - mean) @ axes.T
