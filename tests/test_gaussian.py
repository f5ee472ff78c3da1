"""The Gaussian pairs: oracle and slopes, and that logvar means log-variance.

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
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.pairs import gaussian

FLOATS = (np.float32, np.float64)
SAMPLES = 100_000
SIGMAS = 5  # of a statistic with a fixed seed: right code stays below ...
POWER = 20  # ... and a planted fault goes beyond

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


@given(drawn("BZ BZ BZ", FLOATS))
def test_forwards_are_the_oracle(arrays: list[Array]) -> None:
    mu, logvar, eps = arrays
    sigma = gaussian.sigma_forward(logvar)
    z = gaussian.reparameterize_forward(mu, sigma, eps)
    assert_rounded("sigma", sigma, naive.sigma(logvar))
    assert_rounded("z", z, naive.reparameterize(mu, sigma, eps))
    assert_rounded("kl", gaussian.kl_forward(mu, logvar), naive.kl(mu, logvar))


def entries_of(square: Array) -> Array:
    """The entries (B, T) of a Cholesky factor from a square (B, Z, Z), of size 1/2.

    So the diagonal of L stays above 1/5, and its differences keep their digits.
    """
    Z = square.shape[1]
    i, (rows, columns) = np.arange(Z), np.tril_indices(Z, -1)
    return np.hstack([square[:, i, i], square[:, rows, columns]]) / 2


@given(drawn("BZ BZZ BZ B", FLOATS))
def test_forwards_of_full_covariance_are_the_oracle(arrays: list[Array]) -> None:
    mu, square, eps, logdet = arrays
    entries = entries_of(square)
    L = gaussian.cholesky_forward(entries)
    z = gaussian.correlate_forward(mu, L, eps)
    assert_rounded("L", L, naive.cholesky(entries))
    assert_rounded("z", z, naive.correlate(mu, L, eps))
    assert_rounded("kl", gaussian.full_kl_forward(mu, L), naive.full_kl(mu, L))
    kl = gaussian.sampled_kl_forward(mu, eps, logdet)
    assert_rounded("sampled kl", kl, naive.sampled_kl(mu, eps, logdet))


@each_method
@given(drawn("BZ BZ BZ BZ B"))
def test_backwards_are_the_slopes(method: Method, arrays: list[Array]) -> None:
    mu, logvar, eps, dz, dkl = arrays
    sigma = gaussian.sigma_forward(logvar)
    dlogvar = gaussian.sigma_backward(dz, sigma)
    check_gradients(
        method, gaussian.sigma_forward, {"logvar": logvar}, dz, {"logvar": dlogvar}
    )
    dmu, dsigma = gaussian.reparameterize_backward(dz, eps)
    check_gradients(
        method,
        gaussian.reparameterize_forward,
        {"mu": mu, "sigma": sigma, "eps": eps},
        dz,
        {"mu": dmu, "sigma": dsigma},
    )
    dmu, dlogvar = gaussian.kl_backward(dkl, mu, logvar)
    check_gradients(
        method,
        gaussian.kl_forward,
        {"mu": mu, "logvar": logvar},
        dkl,
        {"mu": dmu, "logvar": dlogvar},
    )


@each_method
@given(drawn("BZ BZZ BZ BZ BZZ B B"))
def test_backwards_of_full_covariance_are_the_slopes(
    method: Method, arrays: list[Array]
) -> None:
    """dL is random above the diagonal, too, where it must not be read."""
    mu, square, eps, dz, dL, dkl, logdet = arrays
    entries = entries_of(square)
    L = gaussian.cholesky_forward(entries)
    dentries = gaussian.cholesky_backward(dL, L)
    check_gradients(
        method,
        gaussian.cholesky_forward,
        {"entries": entries},
        dL,
        {"entries": dentries},
    )
    dmu, slopes_L = gaussian.correlate_backward(dz, eps)
    check_gradients(
        method,
        gaussian.correlate_forward,
        {"mu": mu, "L": square, "eps": eps},
        dz,
        {"mu": dmu, "L": slopes_L},
    )
    dmu, slopes_L = gaussian.full_kl_backward(dkl, mu, L)
    check_gradients(
        method,
        gaussian.full_kl_forward,
        {"mu": mu, "L": L},
        dkl,
        {"mu": dmu, "L": slopes_L},
    )
    dmu, dlogdet = gaussian.sampled_kl_backward(dkl, mu)
    check_gradients(
        method,
        gaussian.sampled_kl_forward,
        {"z": mu, "eps": eps, "logdet": logdet},
        dkl,
        {"z": dmu, "logdet": dlogdet},
    )


@given(drawn("BZ BZ BZ BZ B BZZ", (*FLOATS, np.complex128)))
def test_pairs_keep_the_dtype_and_their_inputs(arrays: list[Array]) -> None:
    mu, logvar, eps, dz, dkl, square = arrays
    sigma = gaussian.sigma_forward(logvar)
    L = gaussian.cholesky_forward(entries_of(square))
    for function, *arguments in [
        (gaussian.sigma_forward, logvar),
        (gaussian.sigma_backward, dz, sigma),
        (gaussian.reparameterize_forward, mu, sigma, eps),
        (gaussian.reparameterize_backward, dz, eps),
        (gaussian.kl_forward, mu, logvar),
        (gaussian.kl_backward, dkl, mu, logvar),
        (gaussian.cholesky_forward, entries_of(square)),
        (gaussian.cholesky_backward, square, L),
        (gaussian.correlate_forward, mu, L, eps),
        (gaussian.correlate_backward, dz, eps),
        (gaussian.full_kl_forward, mu, L),
        (gaussian.full_kl_backward, dkl, mu, L),
        (gaussian.sampled_kl_forward, mu, eps, dkl),
        (gaussian.sampled_kl_backward, dkl, mu),
    ]:
        results = function(*arguments)
        for result in results if isinstance(results, tuple) else (results,):
            assert result.dtype == mu.dtype, function.__name__
        check_pure(function, *arguments)


# ---- Meaning -------------------------------------------------------------------------

MU = np.array([[-1.5, 0.0, 0.7, 3.0]])
LOGVAR = np.array([[-2.0, 0.5, 1.0, -0.4]])


def samples(sigma: Array, rng: np.random.Generator) -> Array:
    eps = rng.standard_normal((SAMPLES, MU.shape[1]))
    return gaussian.reparameterize_forward(MU, sigma, eps)


def spread_z(z: Array) -> Array:
    """By how many standard errors the variance of z is off exp(logvar)."""
    return (z.var(axis=0) / np.exp(LOGVAR[0]) - 1) * math.sqrt(SAMPLES / 2)


def kl_z(z: Array) -> float:
    """By how many standard errors the KL is off the mean of log q(z) - log p(z)."""
    log_q = -((z - MU) ** 2 / np.exp(LOGVAR) + LOGVAR) / 2
    log_p = -(z**2) / 2
    terms = (log_q - log_p).sum(axis=1)
    error = terms.std() / math.sqrt(SAMPLES)
    return float((terms.mean() - gaussian.kl_forward(MU, LOGVAR)[0]) / error)


def test_z_has_mean_mu_and_variance_exp_logvar(rng: np.random.Generator) -> None:
    sigma = gaussian.sigma_forward(LOGVAR)
    z = samples(sigma, rng)
    mean_z = (z.mean(axis=0) - MU) * math.sqrt(SAMPLES) / np.exp(LOGVAR / 2)
    assert np.abs(mean_z).max() < SIGMAS
    assert np.abs(spread_z(z)).max() < SIGMAS
    assert np.abs(spread_z(samples(np.exp(LOGVAR), rng))).min() > POWER


def test_kl_is_its_monte_carlo_estimate(rng: np.random.Generator) -> None:
    assert abs(kl_z(samples(gaussian.sigma_forward(LOGVAR), rng))) < SIGMAS
    assert abs(kl_z(samples(np.exp(LOGVAR), rng))) > POWER


@pytest.mark.parametrize("dtype", FLOATS)
def test_kl_of_the_prior_is_exactly_zero(dtype: type) -> None:
    zero = np.zeros((2, 3), dtype)
    assert not gaussian.kl_forward(zero, zero).any()
    dkl = np.array([2.0, -3.0], dtype)
    assert not np.any(gaussian.kl_backward(dkl, zero, zero))
    L = gaussian.cholesky_forward(np.zeros((2, 6), dtype))
    np.testing.assert_array_equal(L, [np.eye(3)] * 2)
    assert not gaussian.full_kl_forward(zero, L).any()
    assert not any(d.any() for d in gaussian.full_kl_backward(dkl, zero, L))


@given(drawn("BZ BZZ", FLOATS))
def test_full_kl_is_never_negative(arrays: list[Array]) -> None:
    mu, square = arrays
    L = gaussian.cholesky_forward(entries_of(square))
    assert (gaussian.full_kl_forward(mu, L) >= 0).all()


def test_entries_below_the_diagonal_go_row_by_row() -> None:
    L = gaussian.cholesky_forward(np.array([[0.0, 0.0, 0.0, 1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(L, [[[1, 0, 0], [1, 1, 0], [2, 3, 1]]])


@given(st.integers(1, 200))
def test_the_order_of_a_triangle(Z: int) -> None:
    assert gaussian._order(Z * (Z + 1) // 2) == Z


@given(drawn("BZ BZZ BZ"))
def test_the_density_at_a_sample_is_that_of_its_gaussian(arrays: list[Array]) -> None:
    """The change of variables, against the covariance's inverse and determinant."""
    mu, square, eps = arrays
    L = gaussian.cholesky_forward(entries_of(square))
    z = gaussian.correlate_forward(mu, L, eps)
    covariance, off = L @ L.transpose(0, 2, 1), z - mu
    inverse = np.linalg.inv(covariance)
    log_q = -np.linalg.slogdet(covariance)[1] / 2
    log_q -= (off[:, None] @ inverse @ off[:, :, None])[:, 0, 0] / 2
    logdet = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    kl = gaussian.sampled_kl_forward(z, eps, logdet)
    want = log_q + (z * z).sum(axis=1) / 2
    # The inverse multiplies rounding by the condition number.
    steps = float(np.linalg.cond(covariance).max())
    assert_rounded("log q - log p", kl, want, steps=max(1, int(steps)))


@given(drawn("BZ BZ", FLOATS))
def test_kl_is_never_negative(arrays: list[Array]) -> None:
    assert (gaussian.kl_forward(*arrays) >= 0).all()


def test_kl_keeps_its_digits_near_the_prior() -> None:
    """For a small logvar it is logvar^2 / 4: exp(logvar) - 1 would leave no digit."""
    logvar = np.array([[1e-6]])
    kl = gaussian.kl_forward(np.zeros((1, 1)), logvar)
    # expm1's own rounding, eps * 1e-6, is 4.4e-10 of 1e-12 / 2; the series' next term,
    # logvar / 3 of it, is 3.3e-7.
    np.testing.assert_allclose(kl, logvar[0] ** 2 / 4, rtol=1e-6)
