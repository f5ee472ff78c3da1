"""The Frechet distance of two Gaussians, and of samples from the test images."""

import numpy as np
import pytest
from data import tiny

from numpyvae.analysis.frechet import Moments, Ruler, frechet


def spread(rng: np.random.Generator, size: int) -> np.ndarray:
    root = rng.standard_normal((size, size))
    return root @ root.T


def test_equal_gaussians_are_at_no_distance(rng: np.random.Generator) -> None:
    one = Moments(rng.standard_normal(6), spread(rng, 6))
    assert frechet(one, one) == pytest.approx(0, abs=1e-10)


def test_shifted_ones_are_at_the_squared_shift(rng: np.random.Generator) -> None:
    one, shift = Moments(rng.standard_normal(6), spread(rng, 6)), np.arange(6.0)
    other = one._replace(mean=one.mean + shift)
    assert frechet(one, other) == pytest.approx((shift**2).sum())
    assert frechet(other, one) == pytest.approx((shift**2).sum())


def test_of_factored_ones_deviations_are_subtracted(rng: np.random.Generator) -> None:
    a, b = rng.uniform(0, 3, (2, 5))
    a[0] = 0  # no spread at all in one direction
    found = frechet(
        Moments(np.zeros(5), np.diag(a**2)), Moments(np.zeros(5), np.diag(b**2))
    )
    assert found == pytest.approx(((a - b) ** 2).sum())


def test_it_turns_with_the_axes(rng: np.random.Generator) -> None:
    one, other = (Moments(rng.standard_normal(4), spread(rng, 4)) for _ in range(2))
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    turned = [Moments(turn @ m, turn @ s @ turn.T) for m, s in (one, other)]
    assert frechet(*turned) == pytest.approx(frechet(one, other))
    assert frechet(one, other) > 0


def test_the_ruler_knows_worse_samples(rng: np.random.Generator) -> None:
    data = tiny(train=600, test=600)
    train, test = (
        images.reshape(600, -1) / 255
        for images in (data.train_images, data.test_images)
    )
    ruler = Ruler(train, test, rng)
    blurred = (test + test.mean(axis=0)) / 2
    noisy = (test + 0.3 * rng.standard_normal(test.shape)).clip(0, 1)
    collapsed = np.repeat(test.mean(axis=0)[None], 600, axis=0)
    assert ruler(test) == pytest.approx(0, abs=1e-6)
    assert 0 < ruler.floor < 0.1 * min(ruler(blurred), ruler(noisy))
    assert ruler(blurred) < ruler(collapsed)
    variance = test.var(axis=0).sum()  # all that is lost, as all lies on the axes
    assert ruler(collapsed) == pytest.approx(variance, rel=0.01)
