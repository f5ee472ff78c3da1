"""The Gaussian's pairs: oracle and slopes, and that logvar means log-variance.

A gradient check cannot see a z whose spread is not the KL's: only statistics can.
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
    as_tuple,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.pairs.posteriors import (
    cholesky_backward,
    cholesky_forward,
    correlate_backward,
    correlate_forward,
    normal_log_prob,
    reparameterize_backward,
    reparameterize_forward,
    sigma_backward,
    sigma_forward,
)

FLOATS = (np.float32, np.float64)
SAMPLES = 100_000
SIGMAS = 5  # of a statistic with a fixed seed: right code stays below ...
POWER = 20  # ... and a planted fault goes beyond

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


def entries_of(square: Array) -> Array:
    """The entries (B, T) of a Cholesky factor from a square (B, Z, Z), of size 1/2.

    So the diagonal of L stays above 1/5, and its differences keep their digits.
    """
    Z = square.shape[1]
    i, (rows, columns) = np.arange(Z), np.tril_indices(Z, -1)
    return np.hstack([square[:, i, i], square[:, rows, columns]]) / 2


@given(drawn("BZ BZ BZ BZZ", FLOATS))
def test_forwards_are_the_oracle(arrays: list[Array]) -> None:
    mu, logvar, eps, square = arrays
    sigma, entries = sigma_forward(logvar), entries_of(square)
    assert_rounded("sigma", sigma, naive.sigma(logvar))
    z = reparameterize_forward(mu, sigma, eps)
    assert_rounded("z", z, naive.reparameterize(mu, sigma, eps))
    L = cholesky_forward(entries)
    assert_rounded("L", L, naive.cholesky(entries))
    z = correlate_forward(mu, L, eps)
    assert_rounded("z of L", z, naive.correlate(mu, L, eps))
    log_p = normal_log_prob(eps)
    want = [sum(naive.log_normal(e, 0.0, 1.0) for e in row) for row in eps.tolist()]
    assert_rounded("log N(eps)", log_p, np.array(want))


@each_method
@given(drawn("BZ BZZ BZ BZ BZZ BZ"))
def test_backwards_are_the_slopes(method: Method, arrays: list[Array]) -> None:
    """dL is random above the diagonal, too, where it must not be read."""
    mu, square, eps, dz, dL, logvar = arrays
    sigma, entries = sigma_forward(logvar), entries_of(square)
    dlogvar = sigma_backward(dz, sigma)
    check_gradients(method, sigma_forward, {"logvar": logvar}, dz, {"logvar": dlogvar})
    dmu, dsigma = reparameterize_backward(dz, eps)
    inputs, gradients = {"mu": mu, "sigma": sigma}, {"mu": dmu, "sigma": dsigma}
    inputs["eps"] = eps
    check_gradients(method, reparameterize_forward, inputs, dz, gradients)
    gradients = {"entries": cholesky_backward(dL, cholesky_forward(entries))}
    check_gradients(method, cholesky_forward, {"entries": entries}, dL, gradients)
    dmu, slopes = correlate_backward(dz, eps)
    inputs, gradients = {"mu": mu, "L": square, "eps": eps}, {"mu": dmu, "L": slopes}
    check_gradients(method, correlate_forward, inputs, dz, gradients)


@given(drawn("BZ BZ BZ BZ BZZ", (*FLOATS, np.complex128)))
def test_pairs_keep_the_dtype_and_their_inputs(arrays: list[Array]) -> None:
    mu, logvar, eps, dz, square = arrays
    sigma, L = sigma_forward(logvar), cholesky_forward(entries_of(square))
    for function, *arguments in [
        (sigma_forward, logvar),
        (sigma_backward, dz, sigma),
        (reparameterize_forward, mu, sigma, eps),
        (reparameterize_backward, dz, eps),
        (cholesky_forward, entries_of(square)),
        (cholesky_backward, square, L),
        (correlate_forward, mu, L, eps),
        (correlate_backward, dz, eps),
        (normal_log_prob, eps),
    ]:
        for result in as_tuple(function(*arguments)):
            assert result.dtype == mu.dtype, function.__name__
        check_pure(function, *arguments)


# ---- Meaning -------------------------------------------------------------------------


def test_z_has_mean_mu_and_variance_exp_logvar(rng: np.random.Generator) -> None:
    mu, logvar = np.array([-1.5, 0.0, 0.7, 3.0]), np.array([-2.0, 0.5, 1.0, -0.4])
    eps = rng.standard_normal((SAMPLES, 4))

    def off_in_variance(sigma: Array) -> Array:
        z = reparameterize_forward(mu, sigma, eps)
        return (z.var(axis=0) / np.exp(logvar) - 1) * math.sqrt(SAMPLES / 2)

    z = reparameterize_forward(mu, sigma_forward(logvar), eps)
    off = (z.mean(axis=0) - mu) * math.sqrt(SAMPLES) / np.exp(logvar / 2)
    assert np.abs(off).max() < SIGMAS
    assert np.abs(off_in_variance(sigma_forward(logvar))).max() < SIGMAS
    assert np.abs(off_in_variance(np.exp(logvar))).min() > POWER


def test_entries_below_the_diagonal_go_row_by_row() -> None:
    L = cholesky_forward(np.array([[0.0, 0.0, 0.0, 1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(L, [[[1, 0, 0], [1, 1, 0], [2, 3, 1]]])


@given(st.integers(1, 60))
def test_the_order_of_a_triangle(Z: int) -> None:
    assert cholesky_forward(np.zeros((1, Z * (Z + 1) // 2))).shape == (1, Z, Z)
