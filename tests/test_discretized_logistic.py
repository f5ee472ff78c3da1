"""The discretized logistic by itself: its 256 probabilities, wherever mu and s lie.

That it has the slope it claims, and its mean, test_likelihoods.py tries as of all. And
what the command line makes of probabilities of grey levels: bits.
"""

import math
import re
from pathlib import Path

import naive
import numpy as np
import pytest
from differences import ROUNDING, Array, assert_close, assert_rounded, drawn
from hypothesis import given
from hypothesis import strategies as st
from small_runs import begin

from numpyvae.cli import parser as cli
from numpyvae.pairs.discretized_logistic import (
    discretized_logistic_backward,
    discretized_logistic_forward,
    discretized_logistic_mean,
)

FLOATS = (np.float32, np.float64)
GREYS = np.arange(256)[:, None] / 255


def of_every_level(mean: float, log_scale: float, dtype: type) -> tuple[Array, ...]:
    """A pixel's nll at each level, and both gradients of it, (256,) each."""
    x = GREYS.astype(dtype)
    at = np.full_like(x, mean), np.full_like(x, log_scale), x
    dmean, dlog_scale = discretized_logistic_backward(np.ones(256, dtype), *at)
    return discretized_logistic_forward(*at), dmean[:, 0], dlog_scale[:, 0]


@given(drawn("BD BD BD", FLOATS))
def test_it_is_the_difference_of_two_sigmoids(arrays: list[Array]) -> None:
    mean, log_scale, x = arrays
    x = np.rint(255 / (1 + np.exp(-3 * x))) / x.dtype.type(255)  # black and white, too
    found = discretized_logistic_forward(mean, log_scale, x)
    # The oracle's two sigmoids differ by one part in 255 s.
    rounding = ROUNDING * (
        np.finfo(x.dtype).eps + np.finfo(float).eps * 255 * np.exp(log_scale.max())
    )
    want = naive.discretized_logistic(mean, log_scale, x)
    assert_close("nll", found, want, rounding)


@pytest.mark.parametrize("dtype", FLOATS)
@given(st.floats(-0.5, 1.5) | st.sampled_from([-1e4, 1e4]), st.floats(-30, 30))
def test_the_levels_share_all_mass(dtype: type, mean: float, log_scale: float) -> None:
    """Their sum is 1, so its slopes are 0; and uniform noise costs 8 bits at least."""
    nll, *slopes = of_every_level(mean, log_scale, dtype)
    p, one = np.exp(-nll), np.ones((1, 1), dtype)
    # An edge rounds by eps of 255 levels, in units of s; p by no more than that.
    steps = 1 + int(np.exp(-log_scale))
    assert_rounded("mass", p.sum(), dtype(1), steps)
    expected = discretized_logistic_mean(mean * one, log_scale * one)
    assert_rounded("mean", p @ GREYS.astype(dtype), expected[0], steps)
    for slope in slopes:
        assert np.isfinite(slope).all()
        size = dtype(1 + np.abs(slope).max())
        assert_rounded("the slope of the mass", p @ (slope / size), dtype(0), steps)
    assert (nll >= 0).all()
    assert nll.mean() >= np.log(256)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("log_scale", [-30, 0])
def test_a_tail_is_a_line(log_scale: float, dtype: type) -> None:
    """Far off, a level costs its nearer edge's distance, in s, less the log of a bin.

    A difference of two sigmoids is 0 there.
    """
    width, k = np.exp(-log_scale) / 255, np.arange(256)
    want = (255e4 - k - 0.5) * width
    want[1:] -= np.log(-np.expm1(-width))
    want[255] = 0
    for mean, order in ((1e4, 1), (1 - 1e4, -1)):  # and mirrored
        nll, *_ = of_every_level(mean, log_scale, dtype)
        np.testing.assert_allclose(nll[::order], want, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_wide_one_is_uniform_between_two_heavy_ends(dtype: type) -> None:
    """A logistic's density at its middle is 1 / (4 s); half of it lies on each side."""
    nll, *_ = of_every_level(0.5, 30, dtype)
    np.testing.assert_allclose(nll[[0, 255]], np.log(2), rtol=1e-6)
    np.testing.assert_allclose(nll[1:-1], np.log(4 * 255) + 30, rtol=1e-6)


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
def test_a_narrow_one_is_sure_of_its_level(level: int) -> None:
    """What lies beyond its two edges is missing, or, at the ends, beyond one."""
    nll, *_ = of_every_level(level / 255, -8, float)
    beyond = np.exp(-np.exp(8) / 255 / 2)
    edges = 1 if level in (0, 255) else 2
    # 1 / (1 + beyond) for each, and an edge rounds by eps of 255 levels, in units of s.
    np.testing.assert_allclose(nll[level], edges * beyond, rtol=2 * beyond)
    assert nll.argmin() == level


@pytest.mark.parametrize("name", ["discretized-logistic", "continuous-bernoulli"])
def test_evaluate_prints_bits_where_levels_have_probabilities(
    name: str, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin(f"--likelihood {name} --binarize none --epochs 1 --out r") == 0
    assert cli.main(["evaluate", "r", "--samples", "3"]) == 0
    printed = capsys.readouterr().out
    pattern = r"^(ELBO|-log p\(x\)|bits per pixel) +(-?[\d.]+)"
    found = re.findall(pattern, printed, re.MULTILINE)
    if name != "discretized-logistic":  # densities
        assert [row for row, _ in found] == ["ELBO", "-log p(x)"]
        return
    rows = ["ELBO", "bits per pixel", "-log p(x)", "bits per pixel"]
    assert [row for row, _ in found] == rows
    elbo, bound, nll, bits = (float(number) for _, number in found)
    # Of 48 pixels; printed to three digits.
    assert bound == pytest.approx(-elbo / (48 * math.log(2)), abs=5.2e-4)
    assert bits == pytest.approx(nll / (48 * math.log(2)), abs=5.2e-4)
