"""What a model takes of its arguments, and the one line that says why not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels.active_pixels import active_pixels
from numpyvae.model.arguments import (
    expect_bytes,
    expect_dtype,
    expect_images,
    expect_labels,
    expect_matrix,
    expect_one_of,
    expect_seen,
    expect_shape,
    expect_vector,
    expect_widths,
)

BITS = np.eye(3, 6, dtype=np.uint8)
X = np.linspace(0, 1, 18).reshape(3, 6)
LABELS = np.array([0, 2, 1], np.uint8)
DOUBLE = np.dtype(np.float64)
COMPLEX = np.dtype(complex)


@pytest.mark.parametrize("widths", [(), [3], (3, 4), np.array([3, 4]), range(1, 3)])
def test_widths_become_a_tuple_of_ints(widths: Any) -> None:
    found = expect_widths("hidden", widths)
    assert found == tuple(widths) and all(type(width) is int for width in found)


@pytest.mark.parametrize(
    ("shape", "pixels", "want"),
    [(None, 49, (7, 7)), ((5, 7), 35, (5, 7)), ([7, 5], 35, (7, 5)), (None, 1, (1, 1))],
)
def test_an_image_is_square_unless_told(
    shape: Any, pixels: int, want: tuple[int, int]
) -> None:
    assert expect_shape(shape, pixels) == want


def test_dtypes_by_any_name() -> None:
    for name in ("float32", np.float32, np.dtype("f4"), "f"):
        assert expect_dtype(name, True) == np.float32
    assert expect_dtype(float, True) == expect_dtype("d", False) == np.float64
    assert expect_dtype(complex, False) == np.complex128


@pytest.mark.parametrize(
    "check",
    [
        lambda: expect_matrix("z", np.zeros((0, 6)), 6, DOUBLE),
        lambda: expect_matrix("z", np.zeros((2, 6), complex), 6, COMPLEX),
        lambda: expect_bytes(BITS[:0], 6, True),
        lambda: expect_bytes(BITS * 255, 6, False),
        lambda: expect_images(X, False, 6, DOUBLE),
        lambda: expect_images(X[:0], False, 6, DOUBLE),
        lambda: expect_images(X + 0j, False, 6, COMPLEX),
        lambda: expect_images(active_pixels(BITS), True, 6, DOUBLE),
        lambda: expect_seen(X - 2, 3, 6, DOUBLE),
        lambda: expect_labels(None, 3, 0),
        lambda: expect_labels(LABELS, 3, 3),
        lambda: expect_labels(LABELS.astype(np.int64), 3, 10),
        lambda: expect_labels(LABELS[:0], 0, 3),
        lambda: expect_vector(X[0], DOUBLE),
    ],
)
def test_what_fits_passes(check: Callable[[], object]) -> None:
    check()


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda: expect_shape(None, 48),
            r"^image_shape: found \[6, 6\], .* 48 pixels$",
        ),
        (lambda: expect_shape((6, 7), 48), r"^image_shape: found \[6, 7\]"),
        (lambda: expect_shape((48,), 48), r"^image_shape: found \[48\]"),
        (lambda: expect_shape((4, 4, 3), 48), r"^image_shape: found \[4, 4, 3\]"),
        (lambda: expect_shape("86", 48), r"^image_shape: found '86', expected a list"),
        (
            lambda: expect_shape((-6, -8), 48),
            r"^image_shape: found -6, expected a whol",
        ),
        (lambda: expect_dtype(complex, True), r"expected float32 or float64$"),
        (lambda: expect_dtype(int, False), r"float32 or float64 or complex128$"),
        (
            lambda: expect_labels(None, 3, 3),
            r"^labels: found NoneType, expected 3 whol",
        ),
        (lambda: expect_labels([0, 1, 2], 3, 3), r"^labels: found list"),
        (lambda: expect_labels(LABELS, 3, 2), r"^labels: found 2, .* numbers below 2$"),
        (
            lambda: expect_labels(LABELS, 2, 3),
            r"found uint8 of shape \(3,\), expected 2",
        ),
        (lambda: expect_labels(LABELS * 1.0, 3, 3), r"found float64 of shape \(3,\)"),
        (lambda: expect_labels(LABELS > 0, 3, 3), r"found bool of shape \(3,\)"),
        (lambda: expect_labels(LABELS[None], 3, 3), r"found uint8 of shape \(1, 3\)"),
        (
            lambda: expect_labels(LABELS, 3, 0),
            r"expected None: this model takes no lab",
        ),
        (lambda: expect_labels([], 0, 0), r"found list, expected None: this model tak"),
        (
            lambda: expect_images(active_pixels(BITS), True, 7, DOUBLE),
            r"^x: found 6 pixels, expected 7$",
        ),
        (
            lambda: expect_images(active_pixels(BITS), False, 6, DOUBLE),
            r"^x: found a list of pixels, expected floats: only a compiled model",
        ),
        (
            lambda: expect_labels(None, 3, 3),
            r"^labels: found NoneType, expected 3 whole numbers below 3$",
        ),
        (
            lambda: expect_seen(BITS, 3, 6, DOUBLE),
            r"^seen: found uint8 of shape \(3, 6\), expected floats",
        ),
        (
            lambda: expect_seen(X[:2], 3, 6, DOUBLE),
            r"^seen: found shape \(2, 6\), expected \(3, 6\) as of x$",
        ),
        (
            lambda: expect_one_of("activation", ["relu"], {"relu": 1}),
            r"^activation: found \['relu'\], expected one of relu$",
        ),
        (
            lambda: expect_images(X + 0j, False, 6, DOUBLE),
            r"^x: found complex128 of shape .*, expected floats of shape",
        ),
    ],
)
def test_what_does_not_fit_is_told(check: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        check()


def test_a_label_below_0_is_the_one_that_is_told() -> None:
    with pytest.raises(ArgumentError, match=r"^labels: found -1, expected 3 whole"):
        expect_labels(np.array([0, -1, 1]), 3, 3)


@pytest.mark.parametrize("use", ["encode", "reconstruct", "decode", "sample"])
def test_every_use_of_a_conditional_model_asks_for_labels(use: str) -> None:
    rng = np.random.default_rng(0)
    arguments: dict[str, Any] = {
        "encode": (X,), "reconstruct": (X,), "decode": (X[:, :2],), "sample": (3, rng),
    }  # fmt: skip
    conditional = VAE(6, (4,), 2, classes=3, dtype=np.float64)
    plain = VAE(6, (4,), 2, dtype=np.float64)
    getattr(conditional, use)(*arguments[use], LABELS)
    getattr(plain, use)(*arguments[use])
    with pytest.raises(
        ArgumentError, match=r"^labels: found NoneType, expected 3 whole"
    ):
        getattr(conditional, use)(*arguments[use])
    with pytest.raises(ArgumentError, match=r"^labels: .* this model takes no labels"):
        getattr(plain, use)(*arguments[use], LABELS)
