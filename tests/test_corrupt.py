"""Corruptions: what they change, how much of it, and what they leave alone.

Shapes: B batch, D pixels.
"""

import math
from typing import Any

import numpy as np
import pytest

from numpyvae.datasets.corrupt import CORRUPTIONS, Corruption
from numpyvae.errors import ArgumentError

NOISY = [how for how in CORRUPTIONS if how != "none"]
SHAPE = (200, 300)

each_noise = pytest.mark.parametrize("how", NOISY)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    """Greys, none of them 0 or 1."""
    return rng.uniform(0.1, 0.9, SHAPE)


@pytest.mark.parametrize("level", [0.1, 0.75])
@pytest.mark.parametrize("how", ["mask", "salt-and-pepper"])
def test_the_level_is_the_share_of_pixels_that_change(
    how: str, level: float, x: Any, rng: np.random.Generator
) -> None:
    changed = (seen := Corruption(how, level)(x, rng)) != x
    # Five standard errors of a share among 60,000 pixels; of all, and row by row.
    error = math.sqrt(level * (1 - level) / x.size)
    assert abs(changed.mean() - level) < 5 * error
    assert np.ptp(changed.mean(axis=1)) > 0 and np.ptp(changed.mean(axis=0)) > 0
    white = seen[changed]
    if how == "mask":
        assert not white.any()
    else:
        assert set(white) == {0, 1}
        assert abs(white.mean() - 0.5) < 5 / math.sqrt(4 * white.size)


@pytest.mark.parametrize("level", [0.1, 2.0])
def test_gaussian_noise_has_the_levels_standard_deviation(
    level: float, x: Any, rng: np.random.Generator
) -> None:
    noise = (Corruption("gaussian", level)(x, rng) - x) / level
    # Five standard errors of mean and standard deviation, and of the correlation with
    # the image and of neighbours with each other. Nothing is clipped.
    assert len(np.unique(noise.round(12))) > 0.99 * noise.size
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * noise.size)
    for other in (x[:, 1:], noise[:, :-1]):
        correlation = np.corrcoef(noise[:, 1:].ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 5 / math.sqrt(noise.size)


@each_noise
@each_dtype
def test_dtype_and_shape_are_kept_and_the_image_is_left(
    how: str, dtype: type, x: Any, rng: np.random.Generator
) -> None:
    x = x.astype(dtype)
    before = x.copy()
    seen = Corruption(how, 0.5)(x, rng)
    assert seen.dtype == dtype and seen.shape == x.shape
    assert not np.shares_memory(seen, x)
    np.testing.assert_array_equal(x, before)
    assert Corruption(how, 0.5)(x[:0], rng).shape == (0, SHAPE[1])


@each_noise
@each_dtype
def test_level_0_leaves_the_image(
    how: str, dtype: type, x: Any, rng: np.random.Generator
) -> None:
    x = x.astype(dtype)
    np.testing.assert_array_equal(Corruption(how, 0)(x, rng), x)


def test_level_1_leaves_nothing_of_it(x: Any, rng: np.random.Generator) -> None:
    assert not Corruption("mask", 1)(x, rng).any()
    assert set(np.unique(Corruption("salt-and-pepper", 1)(x, rng))) == {0, 1}


@each_noise
def test_the_generator_decides(how: str, x: Any) -> None:
    first, again, other = (
        Corruption(how, 0.5)(x, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.3


@pytest.mark.parametrize(
    ("how", "level", "message"),
    [
        (
            "noise",
            0.3,
            r"^corrupt: found 'noise', expected one of none, gaussian, mask",
        ),
        (None, 0.3, r"^corrupt: found None"),
        ("mask", -0.1, r"^level: found -0.1, expected 0 or more$"),
        ("none", -0.1, r"^level: found -0.1"),
        ("gaussian", np.nan, r"^level: found nan"),
        ("gaussian", "1", r"^level: found '1'"),
        ("mask", 1.5, r"^level: found 1.5, expected at most 1, a share of pixels$"),
        ("salt-and-pepper", 1.01, r"^level: found 1.01, expected at most 1"),
    ],
)
def test_what_is_no_corruption_is_told(how: Any, level: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Corruption(how, level)


def test_noise_may_be_louder_than_1() -> None:
    assert Corruption("gaussian", 1.5).level == 1.5


@pytest.mark.parametrize("how", NOISY)
def test_other_images_are_refused(how: str, x: Any) -> None:
    whole = (x * 255).astype(np.uint8)
    for other, found in ((whole, "uint8"), (x.tolist(), "list"), (None, "NoneType")):
        with pytest.raises(ArgumentError, match=f"^x: found {found}, expected an arra"):
            Corruption(how, 0.5)(other, np.random.default_rng(0))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^x: found a masked array, expected"):
        Corruption(how, 0.5)(np.ma.masked_less(x, 0.5), np.random.default_rng(0))
