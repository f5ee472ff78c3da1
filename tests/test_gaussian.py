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

from numpyvae import gaussian

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


@given(drawn("BZ BZ BZ BZ B", (*FLOATS, np.complex128)))
def test_pairs_keep_the_dtype_and_their_inputs(arrays: list[Array]) -> None:
    mu, logvar, eps, dz, dkl = arrays
    sigma = gaussian.sigma_forward(logvar)
    for function, *arguments in [
        (gaussian.sigma_forward, logvar),
        (gaussian.sigma_backward, dz, sigma),
        (gaussian.reparameterize_forward, mu, sigma, eps),
        (gaussian.reparameterize_backward, dz, eps),
        (gaussian.kl_forward, mu, logvar),
        (gaussian.kl_backward, dkl, mu, logvar),
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
