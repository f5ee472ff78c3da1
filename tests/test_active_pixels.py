"""Lists of active pixels: every helper is the same operation on the dense matrix.

Shapes: B batch, D pixels, C classes.
"""

from typing import Any

import numpy as np
import pytest
from differences import Array
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.kernels.active_pixels import (
    ActivePixels,
    active_pixels,
    append,
    list_images,
    one_hot,
    repeat,
    rows_of,
)

CLASSES = 3


@st.composite
def images(draw: st.DrawFn) -> Array:
    """Bits (B, D); none, some or all of an image's pixels are active."""
    batch, pixels = draw(st.integers(0, 5)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = rng.choice([0.0, 0.3, 1.0], (batch, 1))
    return (rng.random((batch, pixels)) < share).astype(np.uint8)


def dense(x: Any) -> Array:
    """The images of a list, which is to be one: whole, of int32, rising in a row."""
    assert isinstance(x, ActivePixels)
    assert x.columns.dtype == x.starts.dtype == np.int32
    assert x.starts[0] == 0 and x.starts[-1] == len(x.columns)
    rows = np.zeros((len(x), x.width), np.uint8)
    for row, start, stop in zip(rows, x.starts[:-1], x.starts[1:], strict=True):
        columns = x.columns[start:stop]
        assert (np.diff(columns) > 0).all()
        row[columns] = 1
    return rows


def assert_same(x: Any, want: Array) -> None:
    np.testing.assert_array_equal(dense(x), want)


@given(images())
def test_a_list_has_the_images_pixels(bits: Array) -> None:
    assert_same(active_pixels(bits), bits)


@given(images())
def test_a_pixels_images_are_those_where_it_is_active(bits: Array) -> None:
    x = active_pixels(bits)
    found = np.full(len(x.columns), -1, np.int32)
    starts = np.full(x.width + 1, -1, np.int32)
    list_images(x.columns, x.starts, found, starts)
    assert starts[0] == 0 and starts[-1] == bits.sum()
    for pixel, first, end in zip(bits.T, starts[:-1], starts[1:], strict=True):
        assert found[first:end].tolist() == np.flatnonzero(pixel).tolist()


@given(images(), st.data())
def test_rows(bits: Array, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(bits)))
    rows = slice(start, data.draw(st.integers(start, len(bits) + 2)))
    assert_same(rows_of(active_pixels(bits), rows), bits[rows])
    np.testing.assert_array_equal(rows_of(bits, rows), bits[rows])


@given(images(), st.integers(1, 4))
def test_repeated_images_follow_each_other(bits: Array, count: int) -> None:
    want = bits[[i for i in range(len(bits)) for _ in range(count)]]
    assert_same(repeat(active_pixels(bits), count), want)
    np.testing.assert_array_equal(repeat(bits, count), want)


@given(images(), st.sampled_from([np.uint8, np.int64]), st.integers(0, 2**32 - 1))
def test_labels_come_behind_the_pixels(bits: Array, dtype: type, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, CLASSES, len(bits)).astype(dtype)
    want = np.zeros((len(bits), bits.shape[1] + CLASSES), bits.dtype)
    want[:, : bits.shape[1]] = bits
    for row, label in zip(want, labels, strict=True):
        row[bits.shape[1] + label] = 1
    np.testing.assert_array_equal(append(bits, labels, CLASSES), want)
    assert_same(append(active_pixels(bits), labels, CLASSES), want)


@given(images())
def test_without_labels_nothing_is_appended(bits: Array) -> None:
    for x in (bits, active_pixels(bits)):
        assert append(x, None, 0) is x


@given(images(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_the_helpers_follow_on(bits: Array, count: int, seed: int) -> None:
    """As a model uses them: some images, with their labels, a few times each."""
    labels = np.random.default_rng(seed).integers(0, CLASSES, len(bits))
    rows = slice(len(bits) // 3, len(bits))
    got, want = (
        repeat(append(rows_of(x, rows), labels[rows], CLASSES), count)
        for x in (active_pixels(bits), bits)
    )
    assert_same(got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_one_hot(dtype: type) -> None:
    want = np.array([[0, 0, 1], [1, 0, 0]], dtype)
    got = one_hot(np.array([2, 0], np.uint8), 3, dtype)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, want)
    assert one_hot(np.array([], np.uint8), 3, dtype).shape == (0, 3)
