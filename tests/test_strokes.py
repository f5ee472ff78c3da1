"""The built-in digits: the same bytes every time, MNIST's looks, told apart."""

from typing import Any

import numpy as np
import pytest

from numpyvae.datasets import strokes
from numpyvae.datasets.dataset import Dataset
from numpyvae.datasets.strokes import BLOCK, EDGE, SIDE, load_strokes
from numpyvae.errors import ArgumentError

# More than one block in each part, and a last block that is not full.
TRAIN, TEST = 4 * BLOCK, BLOCK + 23


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_strokes(TRAIN, TEST)


def test_shapes_and_types(digits: Dataset) -> None:
    assert digits.name == "strokes"
    assert digits.image_shape == (28, 28)
    for images, labels, count in (
        (digits.train_images, digits.train_labels, TRAIN),
        (digits.test_images, digits.test_labels, TEST),
    ):
        assert images.shape == (count, 28, 28)
        assert labels.shape == (count,)
        assert images.dtype == labels.dtype == np.uint8


def test_two_calls_give_the_same_bytes_whatever_the_threads(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strokes, "THREADS", 1)
    np.random.seed(1)  # noqa: NPY002  the global generator must not matter
    again = load_strokes(TRAIN, TEST)
    assert again.train_images.tobytes() == digits.train_images.tobytes()
    assert again.train_labels.tobytes() == digits.train_labels.tobytes()
    assert again.test_images.tobytes() == digits.test_images.tobytes()
    assert again.test_labels.tobytes() == digits.test_labels.tobytes()


def test_fewer_images_are_the_first_ones(digits: Dataset) -> None:
    few = load_strokes(BLOCK + 1, 7)
    np.testing.assert_array_equal(few.train_images, digits.train_images[: BLOCK + 1])
    np.testing.assert_array_equal(few.train_labels, digits.train_labels[: BLOCK + 1])
    np.testing.assert_array_equal(few.test_images, digits.test_images[:7])


def test_no_image_comes_twice(digits: Dataset) -> None:
    images = np.concatenate([digits.train_images, digits.test_images])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_labels_are_balanced_and_shuffled(digits: Dataset) -> None:
    rows = digits.train_labels.reshape(-1, 10)
    np.testing.assert_array_equal(
        np.sort(rows, axis=1), np.tile(np.arange(10), (200, 1))
    )
    assert len(np.unique(rows, axis=0)) > 190  # of 10! orders, hardly any twice


def test_ink_is_like_mnist(digits: Dataset) -> None:
    """MNIST: mean pixel 0.131 of 255, 0.19 of pixels not paper, 0.61 of them grey."""
    images = digits.train_images
    inked = images > 0
    assert 0.115 < images.mean() / 255 < 0.15
    assert 0.17 < inked.mean() < 0.215
    assert 0.5 < (images[inked] < 250).mean() < 0.7
    per_image = images.mean(axis=(1, 2)) / 255
    assert 0.03 < per_image.std() < 0.055  # thin and thick pens; MNIST 0.044


def test_digits_are_sized_and_centred_as_in_mnist(digits: Dataset) -> None:
    images = digits.train_images.astype(np.float64)
    assert (images.max(axis=(1, 2)) > 200).all()
    frame = np.ones((SIDE, SIDE), dtype=bool)
    frame[1:-1, 1:-1] = False
    assert not images[:, frame].any()

    inked = images > 0
    tall, wide = inked.any(axis=2).sum(axis=1), inked.any(axis=1).sum(axis=1)
    longer = np.maximum(tall, wide)
    assert longer.min() >= 18  # 20 pixels, less or more the rim and a swelling pen
    assert longer.max() <= 24

    pixels, mass = np.arange(SIDE), images.sum(axis=(1, 2))
    x = (images.sum(axis=1) @ pixels) / mass
    y = (images.sum(axis=2) @ pixels) / mass
    # MNIST's centre is pixel 14; ours counts crossings of the pen twice.
    assert abs(np.median(x) - 14) < 0.25
    assert abs(np.median(y) - 14) < 0.25
    assert np.abs(x - 14).max() < 2.5
    assert np.abs(y - 14).max() < 2.5


def test_nearest_neighbour_reads_the_digits(digits: Dataset) -> None:
    """Measured 0.966 with 2,000 examples; chance is 0.1."""
    known = digits.train_images.reshape(TRAIN, -1).astype(np.float64)
    asked = digits.test_images.reshape(TEST, -1).astype(np.float64)
    squares = (known**2).sum(axis=1) - 2 * asked @ known.T
    guess = digits.train_labels[squares.argmin(axis=1)]
    assert (guess == digits.test_labels).mean() > 0.94


def test_each_digit_is_written_in_several_ways(digits: Dataset) -> None:
    """Nearest images of a digit differ by a good part of their ink.

    Measured 0.06 for the 1 and 0.19 to 0.35 for the others, where a single glyph
    with a steady hand gives 0.013 and 0.07 to 0.23.
    """
    for digit in range(10):
        same = digits.train_images[digits.train_labels == digit].reshape(200, -1) / 255
        power = (same**2).sum(axis=1)
        squares = power[:, None] + power - 2 * same @ same.T
        np.fill_diagonal(squares, np.inf)
        assert np.median(squares.min(axis=1) / power) > (
            0.025 if digit == 1 else 0.14
        ), digit


def test_compiled_kernel_equals_plain_python() -> None:
    rng = np.random.default_rng(0)
    curves, pen = strokes._curves(np.arange(10, dtype=np.uint8), rng)
    compiled = np.empty((10, SIDE, SIDE), dtype=np.uint8)
    plain = np.empty_like(compiled)
    strokes._ink(curves, pen, EDGE, compiled)
    getattr(strokes._ink, "py_func", strokes._ink)(curves, pen, EDGE, plain)
    # A last-bit difference, from a fused multiply-add, may tip the rounding.
    assert np.abs(compiled.astype(int) - plain.astype(int)).max() <= 1
    assert compiled.any(axis=(1, 2)).all()


def test_ink_of_one_stroke_by_hand() -> None:
    """A level line of half-width 1.25, an edge of 1 pixel; the lifted pen is dry."""
    curves = np.array([[[4.0, 3.0, 1.25], [20.0, 3.0, 1.25], [4.0, 6.0, 1.25]]])
    image = np.empty((1, 7, 9), dtype=np.uint8)
    strokes._ink(curves, np.array([[True, False]]), 1.0, image)
    across = [0, 0, 191, 255, 191, 0, 0]  # 1 pixel off the line: 3/4 of 255
    np.testing.assert_array_equal(image[0, :, 4:], np.tile(across, (5, 1)).T)
    np.testing.assert_array_equal(image[0, 3, :4], [0, 0, 0, 191])  # before the start


def test_curve_passes_its_points_and_keeps_lines_straight() -> None:
    knots = np.array([[0.0, 0.0], [1.0, 3.0], [4.0, 1.0], [5.0, 5.0]])
    np.testing.assert_allclose(
        strokes._spline(knots, np.arange(4.0)), knots, rtol=0, atol=1e-14
    )
    line = strokes._spline(np.array([[0.0, 0.0], [2.0, 1.0]]), np.linspace(0, 1, 5))
    np.testing.assert_allclose(line[:, 0], 2 * line[:, 1], rtol=0, atol=1e-14)
    np.testing.assert_allclose(line[:, 1], np.linspace(0, 1, 5), rtol=0, atol=1e-14)


def test_strokes_that_share_a_point_stay_joined() -> None:
    """The bar of a 7 ends where its stem begins, for every hand."""
    points, before, basis, pen = strokes._glyph("0,0 50,0 / 50,0 30,50 20,100")
    assert len(points) == 4
    np.testing.assert_array_equal(before, [1, 1, 2, 2])  # the joint is no loose end
    (lift,) = np.flatnonzero(~pen)
    np.testing.assert_array_equal(basis[lift], basis[lift + 1])
    np.testing.assert_allclose(basis.sum(axis=1), 1, rtol=0, atol=1e-14)


@pytest.mark.parametrize("count", [0, -5, 2.0, True, "10", None])
@pytest.mark.parametrize("name", ["train", "test"])
def test_bad_counts(name: str, count: Any) -> None:
    with pytest.raises(
        ArgumentError, match=f"^{name}: found .*expected a whole number from 1"
    ) as error:
        load_strokes(**{"train": 1, "test": 1, name: count})
    assert repr(count) in str(error.value)
    assert "\n" not in str(error.value)


def test_numpy_integers_are_counts() -> None:
    assert len(load_strokes(*np.array([3, 2])).train_images) == 3
