"""The KLs: oracle and slopes, and what a divergence is held to.

test_posteriors.py holds the formulas to the means over samples.
"""

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    as_tuple,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from test_gaussian import entries_of

from numpyvae.pairs.kl import (
    full_kl_backward,
    full_kl_forward,
    kl_backward,
    kl_forward,
)
from numpyvae.pairs.posteriors import cholesky_forward

FLOATS = (np.float32, np.float64)

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


@given(drawn("BZ BZ BZZ", FLOATS))
def test_forwards_are_the_oracle(arrays: list[Array]) -> None:
    mu, logvar, square = arrays
    assert_rounded("kl", kl_forward(mu, logvar), naive.kl(mu, logvar))
    L = cholesky_forward(entries_of(square))
    assert_rounded("full kl", full_kl_forward(mu, L), naive.full_kl(mu, L))


@each_method
@given(drawn("BZ BZ BZZ B"))
def test_backwards_are_the_slopes(method: Method, arrays: list[Array]) -> None:
    mu, logvar, square, dkl = arrays
    dmu, dlogvar = kl_backward(dkl, mu, logvar)
    inputs, gradients = {"mu": mu, "logvar": logvar}, {"mu": dmu, "logvar": dlogvar}
    check_gradients(method, kl_forward, inputs, dkl, gradients)
    L = cholesky_forward(entries_of(square))
    dmu, dL = full_kl_backward(dkl, mu, L)
    gradients = {"mu": dmu, "L": dL}
    check_gradients(method, full_kl_forward, {"mu": mu, "L": L}, dkl, gradients)


@given(drawn("BZ BZ BZZ B", (*FLOATS, np.complex128)))
def test_pairs_keep_the_dtype_and_their_inputs(arrays: list[Array]) -> None:
    mu, logvar, square, dkl = arrays
    L = cholesky_forward(entries_of(square))
    for function, *arguments in [
        (kl_forward, mu, logvar),
        (kl_backward, dkl, mu, logvar),
        (full_kl_forward, mu, L),
        (full_kl_backward, dkl, mu, L),
    ]:
        for result in as_tuple(function(*arguments)):
            assert result.dtype == mu.dtype, function.__name__
        check_pure(function, *arguments)


# ---- Meaning -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_kl_of_the_prior_is_exactly_zero(dtype: type) -> None:
    zero = np.zeros((2, 3), dtype)
    assert not kl_forward(zero, zero).any()
    dkl = np.array([2.0, -3.0], dtype)
    assert not np.any(kl_backward(dkl, zero, zero))
    L = cholesky_forward(np.zeros((2, 6), dtype))
    np.testing.assert_array_equal(L, [np.eye(3)] * 2)
    assert not full_kl_forward(zero, L).any()
    assert not any(d.any() for d in full_kl_backward(dkl, zero, L))


@given(drawn("BZ BZ BZZ", FLOATS))
def test_kl_is_never_negative(arrays: list[Array]) -> None:
    mu, logvar, square = arrays
    assert (kl_forward(mu, logvar) >= 0).all()
    assert (full_kl_forward(mu, cholesky_forward(entries_of(square))) >= 0).all()


def test_kl_keeps_its_digits_near_the_prior() -> None:
    """For a small logvar it is logvar^2 / 4: exp(logvar) - 1 would leave no digit."""
    logvar = np.array([[1e-6]])
    kl = kl_forward(np.zeros((1, 1)), logvar)
    # expm1's own rounding, eps * 1e-6, is 4.4e-10 of 1e-12 / 2; the series' next term,
    # logvar / 3 of it, is 3.3e-7.
    np.testing.assert_allclose(kl, logvar[0] ** 2 / 4, rtol=1e-6)
