"""The activations: each the oracle, its backward the slope, and right at its ends.

Whatever ACTIVATIONS has is tried.
"""

import math

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given

from numpyvae.pairs.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    LEAKY_RELU,
    SOFTPLUS,
    Activation,
)

FLOATS = (np.float32, np.float64)
ENDS = {  # f and f' at -1e4 and at 1e4
    "identity": ([-1e4, 1e4], [1, 1]),
    "relu": ([0, 1e4], [0, 1]),
    "tanh": ([-1, 1], [0, 0]),
    "sigmoid": ([0, 1], [0, 0]),
    "softplus": ([0, 1e4], [0, 1]),
    "gelu": ([0, 1e4], [0, 1]),
    "elu": ([-1, 1e4], [0, 1]),
    "leaky-relu": ([-100, 1e4], [0.01, 1]),
}

each_activation = pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=ACTIVATIONS)
each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


def inputs(f: Activation, a: Array) -> Array:
    """What a layer hands to `backward` as a: NaN where f says that it isn't read."""
    return a if f.reads_input else np.full_like(a, np.nan)


@each_activation
@given(drawn("BM", FLOATS))
def test_it_is_the_oracle(f: Activation, arrays: list[Array]) -> None:
    (a,) = arrays
    oracle = np.vectorize(naive.activate, otypes=[float])
    assert_rounded("y", f.forward(a), oracle(a.astype(float), f.name))


@each_activation
@each_method
@given(drawn("BM BM"))
def test_its_backward_is_the_slope(
    f: Activation, method: Method, arrays: list[Array]
) -> None:
    a, dy = arrays
    da = f.backward(dy, inputs(f, a), f.forward(a))
    check_gradients(method, f.forward, {"a": a}, dy, {"a": da})


@each_activation
@given(drawn("BM BM", (*FLOATS, np.complex128)))
def test_it_keeps_the_dtype_and_its_inputs(f: Activation, arrays: list[Array]) -> None:
    a, dy = arrays
    y = f.forward(a)
    assert {y.dtype, f.backward(dy, a, y).dtype} == {a.dtype}
    check_pure(f.forward, a)
    check_pure(f.backward, dy, a, y)


@each_activation
@pytest.mark.parametrize("dtype", FLOATS)
def test_it_and_its_slope_are_right_at_the_ends_and_nan_stays(
    f: Activation, dtype: type
) -> None:
    a = np.array([-1e4, 1e4, np.nan], dtype)
    y = f.forward(a)
    ends, slopes = ENDS[f.name]
    np.testing.assert_array_equal(y, np.array([*ends, np.nan], dtype))
    da = f.backward(np.ones_like(a), inputs(f, a), y)
    np.testing.assert_array_equal(da[:2], np.array(slopes, dtype))


def test_small_slopes_keep_their_digits() -> None:
    """softplus(-40) = 4e-18: 1 - exp(-y) would be 0, expm1 is not."""
    a = np.array([-40.0])
    slope = SOFTPLUS.backward(np.ones(1), a, SOFTPLUS.forward(a))
    np.testing.assert_allclose(slope, np.exp(-40), rtol=4 * np.finfo(float).eps)


def test_gelu_is_a_times_the_normal_distribution_function() -> None:
    """Within 5e-4 everywhere; to the second order at 0, where its slope is 1/2."""
    a = np.linspace(-10, 10, 2001)
    exact = a * [(1 + math.erf(x / math.sqrt(2))) / 2 for x in a.tolist()]
    np.testing.assert_allclose(GELU.forward(a), exact, atol=5e-4)
    small = np.array([-1e-4, 1e-4])
    # The next term of a Phi(a) is of the fourth order.
    second = small / 2 + small * small / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(GELU.forward(small), second, atol=1e-16)


def test_gelu_has_one_valley_so_its_slope_is_not_a_function_of_y() -> None:
    a = np.linspace(-5, 0, 5001)
    y = GELU.forward(a)
    bottom = a[y.argmin()]
    np.testing.assert_allclose([bottom, y.min()], [-0.752, -0.170], atol=5e-4)
    slope = GELU.backward(np.ones_like(a), a, y)
    np.testing.assert_array_equal(np.sign(slope[a < bottom]), -1)
    np.testing.assert_array_equal(np.sign(slope[a > bottom]), 1)


@pytest.mark.parametrize(("f", "left"), [(ELU, 1), (LEAKY_RELU, 0.01)])
def test_small_inputs_keep_their_digits_on_both_sides_of_0(
    f: Activation, left: float
) -> None:
    """elu(a) is a + a^2 / 2 there, where exp(a) - 1 would keep four digits."""
    a = np.array([-1e-12, 1e-12])
    y = f.forward(a)
    np.testing.assert_allclose(y, a * [left, 1], rtol=1e-12)
    np.testing.assert_allclose(f.backward(np.ones(2), a, y), [left, 1], rtol=2e-12)
