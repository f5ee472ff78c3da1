"""The likelihoods: oracle and slopes, and that each is a distribution over images.

Whatever LIKELIHOODS has is tried; the meaning of each by itself comes after.
"""

import itertools
from typing import Any

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
from works import drawn_params, work_over

from numpyvae.pairs import likelihoods
from numpyvae.pairs.bernoulli import bernoulli_backward, bernoulli_forward
from numpyvae.pairs.likelihoods import (
    LIKELIHOODS,
    Likelihood,
    continuous_bernoulli_backward,
    continuous_bernoulli_forward,
    continuous_bernoulli_mean,
    isotropic_backward,
    isotropic_forward,
)

FLOATS = (np.float32, np.float64)

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_likelihood = pytest.mark.parametrize("p", LIKELIHOODS.values(), ids=LIKELIHOODS)


# ---- Every likelihood ----------------------------------------------------------------


def nll_with(p: Likelihood, out: Array, x: Array, **params: Array) -> Array:
    return p.forward(out, x, work_over(params))[0]


def outputs(p: Likelihood, rng: np.random.Generator, B: int, D: int) -> Array:
    """Of size 0.3 and more: a complex step of log((1 - exp(-l)) / l) rounds by 1/l."""
    out = rng.standard_normal((B, p.outputs * D))
    return out + np.copysign(0.3, out)


def pixels(p: Likelihood, rng: np.random.Generator, B: int, D: int) -> Array:
    if p.levels:
        return rng.integers(0, p.levels, (B, D)) / (p.levels - 1)
    x = rng.random((B, D))
    return np.round(x) if p.pixels == "binary" else x


def nodes(p: Likelihood, out: Array, **params: Array) -> tuple[Array, Array]:
    """Values of a pixel and their weights, with which sums over it are integrals.

    A density that falls off on both sides is one on the line: a trapezoidal rule, exact
    for a Gaussian of sigma 0.2 and more, which exp(-3 / 2) is. Otherwise it is one on
    [0, 1], and Gauss-Legendre is exact for an entire function.
    """
    levels = 2 if p.pixels == "binary" else p.levels
    if levels:
        return np.linspace(0, 1, levels)[:, None], np.ones(levels)
    ends = nll_with(p, out[[0, 0]], np.array([[-60.0], [60.0]]), **params)
    if ends.min() > 50:
        return np.arange(-800, 801)[:, None] * 0.1, np.full(1601, 0.1)
    at, weights = np.polynomial.legendre.leggauss(40)
    return (at[:, None] + 1) / 2, weights / 2


@each_likelihood
def test_it_is_a_distribution_with_its_mean(
    p: Likelihood, rng: np.random.Generator
) -> None:
    for _ in range(20):
        params, out = drawn_params(p, rng), outputs(p, rng, 1, 1).clip(-3, 3)
        x, weights = nodes(p, out, **params)
        mass = weights * np.exp(-nll_with(p, out.repeat(len(x), axis=0), x, **params))
        # Up to 1,600 terms: pairwise, their rounding is that of a short sum. A step
        # before it rounds: an exponent of parts up to 3, all the terms to one side.
        assert_rounded("mass", mass.sum(), np.float64(1), steps=2)
        assert_rounded("mean", p.mean(out)[0, 0], mass @ x[:, 0])


@each_likelihood
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_pixels_are_independent(p: Likelihood, B: int, D: int, seed: int) -> None:
    """An image's log-density is the sum of its pixels', each of its own outputs."""
    rng = np.random.default_rng(seed)
    params, out = drawn_params(p, rng), outputs(p, rng, B, D)
    x, each = pixels(p, rng, B, D), out.reshape(B * D, p.outputs)
    of_pixels = nll_with(p, each, x.reshape(-1, 1), **params).reshape(B, D)
    assert_rounded("nll", nll_with(p, out, x, **params), of_pixels.sum(axis=1))
    assert_rounded("means", p.mean(out), p.mean(each).reshape(B, D))


@each_likelihood
@each_method
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_its_backward_is_the_slope(
    p: Likelihood, method: Method, B: int, D: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    params, out = drawn_params(p, rng), outputs(p, rng, B, D)
    x, dnll, work = pixels(p, rng, B, D), rng.standard_normal(B), work_over(params)
    dout = p.backward(dnll, out, p.forward(out, x, work)[1], x, work)
    check_gradients(
        method,
        lambda **at: nll_with(p, **at),
        {"out": out, "x": x, **params},
        dnll,
        {"out": dout, **work.grads},
    )


@each_likelihood
@pytest.mark.parametrize("dtype", [*FLOATS, np.complex128])
def test_the_dtype_stays_and_so_do_the_inputs(
    p: Likelihood, dtype: Any, rng: np.random.Generator
) -> None:
    params, out = drawn_params(p, rng, dtype), outputs(p, rng, 3, 4).astype(dtype)
    x, dnll = pixels(p, rng, 3, 4).astype(dtype), np.ones(3, dtype)

    def forward(out: Array, x: Array, params: dict[str, Array]) -> tuple[Array, ...]:
        return p.forward(out, x, work_over(params))[0], p.mean(out)

    def backward(out: Array, x: Array, params: dict[str, Array]) -> tuple[Array, ...]:
        work = work_over(params)
        dout = p.backward(dnll, out, p.forward(out, x, work)[1], x, work)
        return dout, *work.grads.values()

    for function in forward, backward:
        assert all(r.dtype == dtype for r in function(out, x, params))
        check_pure(function, out, x, params)


ORACLES = {
    likelihoods.continuous_bernoulli_forward: naive.continuous_bernoulli,
    likelihoods.isotropic_forward: naive.gaussian,
    likelihoods.gaussian_forward: naive.gaussian,
}


@pytest.mark.parametrize("function", ORACLES, ids=lambda f: f.__name__)
@given(drawn("BD BD BD A", FLOATS))
def test_forwards_are_the_oracle(function: Any, arrays: list[Array]) -> None:
    first, x, logvar, one = arrays
    arguments: tuple[Array, ...] = first, logvar, x
    if function is isotropic_forward:
        arguments = first, one[:1], x
    elif function is continuous_bernoulli_forward:
        arguments = 4 * first, grey(x)
    want = ORACLES[function](*arguments)
    if function is not continuous_bernoulli_forward:
        assert_rounded("nll", function(*arguments), want)
        return
    nll, mean = function(*arguments)
    assert_rounded("nll", nll, want[0])
    assert_rounded("mean", mean, want[1])


# ---- Bernoulli -----------------------------------------------------------------------


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


# ---- Continuous Bernoulli ------------------------------------------------------------

LOGITS = [0.0, 1e-300, 1e-12, 1e-5, 0.01, 0.499999, 0.5, 0.500001, 3.0, 40.0, 700.0]


@pytest.mark.parametrize("logit", [*LOGITS, *(-logit for logit in LOGITS)])
def test_a_continuous_bernoulli_has_mass_1_and_its_mean(logit: float) -> None:
    """From the series to where it all lies within 1/700 of an end."""
    at, weights = np.polynomial.legendre.leggauss(20)
    parts = 64  # in each of them, exp(l x) rises by exp(11) at most
    x = ((at + 1) / 2 + np.arange(parts)[:, None]).reshape(-1, 1) / parts
    nll, mean = continuous_bernoulli_forward(np.full_like(x, logit), x)
    mass = np.tile(weights, parts) / (2 * parts) * np.exp(-nll)
    # exp multiplies the rounding of an nll of up to 700 by itself.
    steps = 1 + int(abs(logit) / 10)
    assert_rounded("mass", mass.sum(), np.float64(1), steps)
    assert_rounded("mean", mean[0, 0], mass @ x[:, 0], steps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_and_zero_logits_of_a_continuous_bernoulli(dtype: type) -> None:
    logits = np.array([[1e4], [-1e4], [1e4], [0], [np.nan]], dtype)
    x = np.array([[1], [0], [0], [0.3], [0.3]], dtype)
    nll, mean = continuous_bernoulli_forward(logits, x)
    log = np.log(1e4)
    assert_rounded("nll", nll, np.array([-log, -log, 1e4 - log, 0, np.nan]))
    assert_rounded(
        "mean", mean[:, 0], np.array([1 - 1e-4, 1e-4, 1 - 1e-4, 0.5, np.nan])
    )
    dlogits = continuous_bernoulli_backward(np.full(5, 3, dtype), mean, x)
    assert np.isfinite(dlogits[:4]).all() and np.isnan(dlogits[4])
    huge = continuous_bernoulli_mean(np.array([[1e30, -1e30]], dtype))  # no warning
    assert_rounded("huge", huge, np.array([[1, 1e-30]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_continuous_bernoulli_in_float32_keeps_its_digits_near_0(sign: int) -> None:
    """1 / (1 - exp(-l)) - 1 / l of l = 1e-4 would keep three of seven."""
    logits = sign * np.logspace(-12, 1, 500, dtype=np.float32)[:, None]
    x = np.full_like(logits, 0.25)
    found = continuous_bernoulli_forward(logits, x)
    exact = continuous_bernoulli_forward(logits.astype(float), x.astype(float))
    assert_rounded("nll", found[0], exact[0])
    assert_rounded("mean", found[1], exact[1])


def test_the_series_and_the_formula_meet() -> None:
    """At |l| = 1/2, where one takes over from the other."""
    for edge in (0.5, -0.5):
        logits = edge * (1 + np.linspace(-1e-13, 1e-13, 9))
        mean = continuous_bernoulli_mean(logits)
        assert_rounded("mean", mean, 1 / -np.expm1(-logits) - 1 / logits)


# ---- Gaussian, one variance ----------------------------------------------------------


@given(drawn("BD BD"))
def test_the_best_variance_is_the_mean_squared_residual(arrays: list[Array]) -> None:
    mean, x = arrays
    best = np.log(((x - mean) ** 2).mean(keepdims=True))[0]
    share = np.full(len(x), 1 / len(x))
    _, dlogvar = isotropic_backward(share, mean, best, x)
    # A difference of terms of D / 2.
    assert_rounded("dlogvar", dlogvar / x.shape[1], np.zeros(1))
    at_best = isotropic_forward(mean, best, x).mean()
    entropy = x.shape[1] * (1 + best[0] + np.log(2 * np.pi)) / 2
    assert_rounded("the nll there", at_best, entropy)
    for aside in (-0.1, 0.1):
        assert isotropic_forward(mean, best + aside, x).mean() > at_best


@given(drawn("BD BD"))
def test_unit_variance_is_half_the_squared_error(arrays: list[Array]) -> None:
    mean, x = arrays
    nll = isotropic_forward(mean, np.zeros(1), x)
    squared = ((x - mean) ** 2).sum(axis=1) / 2
    assert_rounded("nll", nll, squared + x.shape[1] * np.log(2 * np.pi) / 2)
