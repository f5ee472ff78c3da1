"""The Bernoulli pair: oracle and slopes, and that it is a distribution over images."""

import itertools

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    ROUNDING,
    Array,
    Method,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.likelihoods import bernoulli_backward, bernoulli_forward

FLOATS = (np.float32, np.float64)

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


def nll_of(logits: Array, x: Array) -> Array:
    return bernoulli_forward(logits, x)[0]


def grey(x: Array) -> Array:
    return 1 / (1 + x * x)


@given(drawn("BD BD", FLOATS), st.booleans())
def test_forward_is_the_oracle(arrays: list[Array], binary: bool) -> None:
    logits, x = arrays
    x = (x > 0).astype(x.dtype) if binary else grey(x)
    nll, p = bernoulli_forward(logits, x)
    assert_rounded("nll", nll, naive.bernoulli(logits, x))
    one = np.ones((1, 1))
    for i in np.ndindex(logits.shape):
        want = naive.dense(one * float(logits[i]), one, np.zeros(1), "sigmoid")
        assert_rounded("p", p[i], want[0, 0])


@each_method
@given(drawn("BD BD B"))
def test_backward_is_the_slope(method: Method, arrays: list[Array]) -> None:
    logits, x, dnll = arrays
    x = grey(x)
    _, p = bernoulli_forward(logits, x)
    dlogits = bernoulli_backward(dnll, p, x)
    arguments = {"logits": logits, "x": x}
    check_gradients(method, nll_of, arguments, dnll, {"logits": dlogits})


@given(drawn("BD BD B", (*FLOATS, np.complex128)))
def test_the_pair_keeps_the_dtype_and_its_inputs(arrays: list[Array]) -> None:
    logits, x, dnll = arrays
    nll, p = bernoulli_forward(logits, x)
    dlogits = bernoulli_backward(dnll, p, x)
    assert {nll.dtype, p.dtype, dlogits.dtype} == {logits.dtype}
    check_pure(bernoulli_forward, logits, x)
    check_pure(bernoulli_backward, dnll, p, x)


@given(drawn("AD"))
def test_the_probabilities_of_all_images_sum_to_one(arrays: list[Array]) -> None:
    logits = 3 * arrays[0][:1]
    images = np.array(list(itertools.product([0.0, 1.0], repeat=logits.shape[1])))
    nll = nll_of(np.repeat(logits, len(images), axis=0), images)
    assert_rounded("the sum", np.exp(-nll).sum(), np.float64(1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_logits_are_finite_and_right(dtype: type) -> None:
    logits = np.array([[1e4], [-1e4], [1e4], [-1e4], [np.nan]], dtype)
    x = np.array([[1], [0], [0], [1], [1]], dtype)
    nll, p = bernoulli_forward(logits, x)
    np.testing.assert_array_equal(nll, [0, 0, 1e4, 1e4, np.nan])
    np.testing.assert_array_equal(p[:, 0], [1, 0, 1, 0, np.nan])
    dlogits = bernoulli_backward(np.full(5, 3, dtype), p, x)
    np.testing.assert_array_equal(dlogits[:, 0], [0, 0, 3, -3, np.nan])


def test_a_confident_right_answer_keeps_its_digits() -> None:
    """-log sigmoid(40) = 4e-18, where a clipped or rounded p would leave 0 or 1e-15."""
    nll = nll_of(np.array([[-40.0]]), np.zeros((1, 1)))
    np.testing.assert_allclose(nll, np.exp(-40), rtol=4 * np.finfo(float).eps)


@given(drawn("BD BD"))
def test_grey_pixels_give_the_cross_entropy(arrays: list[Array]) -> None:
    logits, x = arrays
    x = grey(x)
    nll, p = bernoulli_forward(logits, x)
    entropy = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1)
    # log1p(-p) multiplies p's rounding by 1 / (1 - p), which is below 100 here.
    np.testing.assert_allclose(nll, entropy, rtol=100 * ROUNDING * np.finfo(float).eps)
