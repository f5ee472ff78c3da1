"""Binarization: each name draws what it says, as often as it says."""

from typing import Any

import numpy as np
import pytest

from numpyvae.datasets.binarize import BINARIZATIONS, binarize
from numpyvae.errors import ArgumentError
from numpyvae.training.batches import Batches

EVERY_GREY = np.arange(256, dtype=np.uint8)
GREYS = EVERY_GREY.reshape(4, 8, 8)
ALL = slice(None)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_a_pixel_is_set_with_the_probability_of_its_grey(how: str) -> None:
    draws = 20_000
    images = np.broadcast_to(EVERY_GREY, (draws, 256))
    p = EVERY_GREY / 255
    found = binarize(images, how, rng()).mean(axis=0)
    # Five standard errors: one level in 2 million is further off. The last term is the
    # step of the 16-bit noise, which is all that levels 0 and 255 have.
    bound = 5 * np.sqrt(p * (1 - p) / draws) + 2e-5 * 5
    wrong = np.flatnonzero(abs(found - p) > bound)
    assert wrong.size == 0, (wrong, found[wrong], p[wrong])


def test_the_frequencies_together_follow_the_greys() -> None:
    # The slope through all levels is known far better than a single frequency: noise
    # that compares with <= or divides by 256 would show here.
    draws = 20_000
    p = EVERY_GREY / 255
    mean = binarize(np.broadcast_to(EVERY_GREY, (draws, 256)), "dynamic", rng(1)).mean()
    error = np.sqrt((p * (1 - p)).mean() / (256 * draws))
    assert abs(mean - 0.5) < 5 * error


def test_paper_stays_paper_and_ink_stays_ink() -> None:
    n = 1_000_000
    assert not binarize(np.zeros(n, np.uint8), "dynamic", rng()).any()
    # 255 / 255 in 16 bits is 65535 / 65536: 15 misses expected, 5 sigma are 35.
    assert np.sum(binarize(np.full(n, 255, np.uint8), "dynamic", rng()) == 0) <= 35


@pytest.mark.parametrize("how", ["dynamic", "static", "threshold"])
def test_the_result_is_zeros_and_ones_of_the_same_shape(how: str) -> None:
    before = GREYS.copy()
    bits = binarize(GREYS, how, rng())
    assert bits.dtype == np.uint8
    assert bits.shape == GREYS.shape
    assert set(np.unique(bits)) == {0, 1}
    assert np.array_equal(GREYS, before)


def test_threshold_sets_a_pixel_from_128_on() -> None:
    assert np.array_equal(binarize(EVERY_GREY, "threshold", rng()), EVERY_GREY >= 128)


@pytest.mark.parametrize("how", BINARIZATIONS)
def test_only_dynamic_is_drawn_anew_at_each_look(how: str) -> None:
    batches, generator = Batches(GREYS, how, rng()), rng(1)
    first, second = batches.rows(ALL, generator), batches.rows(ALL, generator)
    assert np.array_equal(first, second) == (how != "dynamic")


def test_static_is_drawn_from_its_generator() -> None:
    def look(seed: int) -> bytes:
        return Batches(GREYS, "static", rng(seed)).rows(ALL, rng(9)).tobytes()

    assert look(0) == look(0)
    assert look(0) != look(1)


def test_static_is_a_draw_and_no_threshold() -> None:
    mid = np.full((1, 100, 100), 100, np.uint8)
    ink = Batches(mid, "static", rng()).rows(ALL, rng()).mean()
    assert abs(ink - 100 / 255) < 5 * 0.5 / 100  # five standard errors of 10,000 pixels


def test_none_hands_out_the_greys() -> None:
    batches = Batches(GREYS, "none", rng())
    assert np.array_equal(batches.rows(ALL, rng()), GREYS.reshape(4, 64))
    assert not batches.binary


@pytest.mark.parametrize("how", ["dynamic", "static", "threshold"])
def test_the_others_are_binary(how: str) -> None:
    assert Batches(GREYS, how, rng()).binary


@pytest.mark.parametrize("rows", [np.array([2, 0]), slice(1, 3)])
@pytest.mark.parametrize("how", ["threshold", "none"])
def test_rows_are_the_images_asked_for(how: str, rows: np.ndarray | slice) -> None:
    flat = GREYS.reshape(4, 64)
    whole = flat if how == "none" else (flat >= 128).astype(np.uint8)
    batches = Batches(GREYS, how, rng())
    assert len(batches) == 4
    assert np.array_equal(batches.rows(rows, rng()), whole[rows])


def test_dynamic_rows_are_draws_of_the_images_asked_for() -> None:
    sure = np.array([0, 255], np.uint8)[rng().integers(0, 2, (5, 8, 8))]
    rows = np.array([3, 1])
    found = Batches(sure, "dynamic", rng()).rows(rows, rng())
    # 64 sure pixels of ink are all drawn, but for one time in a thousand; seed 0 isn't.
    assert np.array_equal(found * 255, sure.reshape(5, 64)[rows])


@pytest.mark.parametrize("how", ["none", "Dynamic", "", None])
def test_binarize_refuses_what_is_no_binarization(how: str) -> None:
    with pytest.raises(ArgumentError, match="expected one of dynamic, static, thresh"):
        binarize(GREYS, how, rng())


@pytest.mark.parametrize("how", ["Dynamic", "", None, 3])
def test_batches_name_the_four(how: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Batches(GREYS, how, rng())
    assert str(caught.value) == (
        f"binarize: found {how!r}, expected one of dynamic, static, threshold, none"
    )


@pytest.mark.parametrize(
    "images",
    [GREYS[0], GREYS[:0], GREYS[:, :0], GREYS.astype(float), GREYS.astype(bool)],
    ids=["one image", "none", "no pixels", "floats", "bits"],
)
def test_batches_refuse_other_images(images: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match=r"^images: found shape .* images \(N, H"):
        Batches(images, "dynamic", rng())


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (GREYS / 255, "float64"),
        (GREYS.astype(">u2"), ">u2"),
        (GREYS > 9, "bool"),
        (GREYS.tolist(), "list"),
        (np.ma.masked_equal(GREYS, 0), "a masked array"),
    ],
)
@pytest.mark.parametrize("how", ["dynamic", "threshold"])
def test_binarize_refuses_what_is_no_bytes(how: str, images: Any, found: str) -> None:
    with pytest.raises(ArgumentError, match=f"^images: found {found}, expected"):
        binarize(images, how, rng())
    with pytest.raises(ArgumentError, match=r"^images: found .*, expected"):
        Batches(images, how, rng())
