"""How far samples are from images, by the Frechet distance of two Gaussians.

Shapes: N images, D pixels, A axes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..pairs.types import Array
from .pca import principal_axes

AXES = 50  # principal components
SAMPLES = 10_000  # that are measured


class Moments(NamedTuple):
    """Mean (A,) and covariance (A, A) of points."""

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, points: Array) -> Moments:
        """Of points (N, A)."""
        return cls(points.mean(axis=0), np.atleast_2d(np.cov(points, rowvar=False)))


def frechet(one: Moments, other: Moments) -> float:
    """The squared Frechet distance of two Gaussians (Eq. 5.9; Dowson & Landau 1982).

    |m - n|^2 + tr(S + T - 2 (S T)^(1/2)): the least mean squared distance over which
    one can be moved onto the other. Zero for equal ones, else positive.
    """
    root = _root(one.covariance)
    shared = np.trace(_root(root @ other.covariance @ root))
    shift = ((one.mean - other.mean) ** 2).sum()
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    return float(shift + traces - 2 * shared)


def _root(matrix: Array) -> Array:
    """The square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


class Ruler:
    """How far samples are from the test images: their Frechet distance.

    Between the Gaussians fitted to both in the space of the first 50 principal
    components of the training images, in squared greys (1 is ink). Lower is better;
    `floor` is the distance of SAMPLES training images.
    """

    def __init__(self, train: Array, test: Array, rng: np.random.Generator) -> None:
        """Of images (N, D) in [0, 1]; `rng` draws the training images of `floor`."""
        self.mean, self.axes, _ = principal_axes(train, AXES)
        self.test = self.moments(test)
        rows = rng.permutation(len(train))[:SAMPLES]
        self.floor = self(train[rows])

    def moments(self, images: Array) -> Moments:
        """Of images (N, D) on the axes."""
        return Moments.of((images - self.mean) @ self.axes.T)

    def __call__(self, samples: Array) -> float:
        """The distance of samples (N, D) from the test images."""
        return frechet(self.moments(samples), self.test)
