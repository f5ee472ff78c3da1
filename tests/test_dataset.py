"""A Dataset: what is refused, with a message that says what to do about it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from data import tiny
from told import refusal

from numpyvae import VAE, Dataset, train
from numpyvae.errors import ArgumentError

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 255], np.uint8)
DATA = Dataset("some", IMAGES, LABELS, IMAGES[:1], LABELS[:1])
PARTS = ["train", "test"]


def refused(**arrays: Any) -> str:
    """The line with which DATA with these arrays is refused."""
    message = refusal(ArgumentError, lambda: replace(DATA, **arrays))
    assert message.startswith(f"{next(iter(arrays))}: found ")
    assert "expected" in message
    return message


def test_keeps_the_arrays_it_is_given() -> None:
    assert DATA.train_images is IMAGES
    assert DATA.train_labels is LABELS
    assert DATA.image_shape == (4, 5)
    assert DATA.pixels == 20
    assert (DATA.classes, replace(DATA, train_labels=LABELS // 99).classes) == (256, 3)


@pytest.mark.parametrize("dtype", ["i1", "<i8", ">i4", "u8"])
def test_labels_of_any_integer_type_are_kept_as_uint8(dtype: str) -> None:
    labels = np.array([2, 0, 100])
    data = replace(DATA, train_labels=labels.astype(dtype))
    np.testing.assert_array_equal(
        data.train_labels, labels.astype(np.uint8), strict=True
    )


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("images", "found"),
    [
        (IMAGES[0], "shape (4, 5) of uint8"),
        (IMAGES[..., None], "shape (3, 4, 5, 1) of uint8"),
        (IMAGES[:0], "shape (0, 4, 5) of uint8"),
        (IMAGES[:, :0], "shape (3, 0, 5) of uint8"),
        (IMAGES.astype(np.int64), "shape (3, 4, 5) of int64"),
        (IMAGES.astype(np.int8), "shape (3, 4, 5) of int8"),
        (IMAGES > 9, "shape (3, 4, 5) of bool"),
        (IMAGES.tolist(), "a list"),
        (None, "a NoneType"),
        (np.ma.masked_equal(IMAGES, 7), "a masked array"),
    ],
)
def test_other_images_are_refused(part: str, images: Any, found: str) -> None:
    message = refused(**{f"{part}_images": images})
    assert f"found {found}, " in message
    wanted = "one without a mask" if "mask" in found else "images (N, H, W) of uint8"
    assert f"expected {wanted}" in message


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_images_are_refused_with_advice(
    part: str, value: float, dtype: type
) -> None:
    images = np.full(IMAGES.shape, value, dtype)
    message = refused(**{f"{part}_images": images})
    assert f"of {np.dtype(dtype)}" in message
    assert "pass the grey values 0..255, not divided by 255, as uint8" in message


@pytest.mark.parametrize("part", PARTS)
def test_labels_where_images_belong_are_told(part: str) -> None:
    images, labels = f"{part}_images", f"{part}_labels"
    swapped = {images: getattr(DATA, labels), labels: getattr(DATA, images)}
    assert "look like labels: were images and labels swapped?" in refused(**swapped)
    message = refused(**{labels: getattr(DATA, images)})
    assert "look like images: were images and labels swapped?" in message


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (LABELS[:2], "shape (2,) of uint8"),
        (LABELS[:, None], "shape (3, 1) of uint8"),
        (LABELS.astype(np.float32), "shape (3,) of float32"),
        (LABELS > 1, "shape (3,) of bool"),
        (LABELS.astype(str), "shape (3,) of <U3"),
        (LABELS.tolist(), "a list"),
        (np.ma.masked_equal(LABELS, 0), "a masked array"),
    ],
)
def test_other_labels_are_refused(labels: Any, found: str) -> None:
    message = refused(train_labels=labels)
    wanted = "one without a mask" if "mask" in found else "labels (3,) of integers"
    assert f"found {found}, expected {wanted}" in message


@pytest.mark.parametrize(
    ("labels", "found"), [([0, -1, 5], "-1 to 5"), ([0, 256, 5], "0 to 256")]
)
def test_labels_that_do_not_fit_a_byte_are_refused(
    labels: list[int], found: str
) -> None:
    message = refused(train_labels=np.array(labels))
    assert f"found labels from {found}, expected 0 to 255" in message


def test_train_and_test_images_of_different_size_are_refused() -> None:
    for other in (IMAGES[:1, :3], IMAGES[:1].transpose(0, 2, 1)):
        height, width = other.shape[1:]
        message = refused(test_images=other)
        assert f"found images of {height} x {width}, expected 4 x 5" in message


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "lay",
    [
        read_only,
        np.asfortranarray,
        lambda array: array.repeat(2, axis=0)[::2],
        lambda array: array[::-1].copy()[::-1],
    ],
    ids=["read-only", "Fortran", "strided", "reversed"],
)
@pytest.mark.parametrize("how", ["none", "dynamic", "threshold"])
def test_arrays_may_lie_in_memory_in_any_way(how: str, lay: Any) -> None:
    def trained(data: Dataset) -> Any:
        model = VAE(data.pixels, (4,), 2)
        train(model, data, progress=False, epochs=1, binarize=how, threads=1)
        return model.params.flat

    data = tiny(train=40, test=9)
    names = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    laid = replace(data, **{name: lay(getattr(data, name)) for name in names})
    assert np.array_equal(trained(laid), trained(data))
