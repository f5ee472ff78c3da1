"""The posteriors: what z is distributed as, what it costs, and the slopes of both.

Whatever POSTERIORS has is tried; "point" has no density.

Shapes: B batch, N samples, Z latents.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

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
)
from hypothesis import given
from hypothesis import strategies as st
from meaning import score

from numpyvae.kernels.backends import reference
from numpyvae.pairs.posteriors import POSTERIORS, Code, Posterior

SAMPLES, LATENT = 100_000, 3
LIMIT, POWER = 5, 20  # standard errors: the real code, a planted fault

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_posterior = pytest.mark.parametrize("name", POSTERIORS)
each_density = pytest.mark.parametrize("name", [n for n in POSTERIORS if n != "point"])
sizes = st.integers(1, 4)


class Drawn(NamedTuple):
    """A posterior with what its parameters are made from."""

    q: Posterior
    h: Array  # (B, E)
    params: dict[str, Array]


def draw(name: str, latent: int, rng: np.random.Generator, rows: int = 1) -> Drawn:
    q = POSTERIORS[name](latent)
    params = {n: rng.standard_normal(shape) / 2 for n, shape in q.learned.items()}
    return Drawn(q, rng.standard_normal((rows, q.outputs)) / 2, params)


def sampled(drawn: Drawn, f: SimpleNamespace, eps: Array) -> Code:
    """Codes of the one h with each of eps (N, Z)."""
    h = np.repeat(drawn.h, len(eps), axis=0)
    return drawn.q.forward(h, eps, drawn.params, f)


def covariance(code: Code) -> Array:
    """(Z, Z), by the oracle: from the entries of L, or from logvar."""
    if code.spread is None:
        return np.zeros((code.mu.shape[1],) * 2)
    if np.ndim(code.scale) == 3:
        L = naive.cholesky(code.spread[:1])[0]
        return L @ L.T
    return np.diag(naive.sigma(code.spread[:1])[0] ** 2)


# ---- Meaning -------------------------------------------------------------------------


def off_in_mean_and_covariance(
    name: str, f: SimpleNamespace, rng: np.random.Generator
) -> float:
    """How many standard errors z's moments are off, those of L^-1 (z - mu)."""
    drawn = draw(name, LATENT, rng)
    code = sampled(drawn, f, rng.standard_normal((SAMPLES, LATENT)))
    L = np.linalg.cholesky(covariance(code))
    e = np.linalg.solve(L, (code.z - code.mu).T).T
    i, j = np.triu_indices(LATENT)
    return score(np.hstack([e, e[:, i] * e[:, j] - (i == j)]))


@each_density
def test_z_has_the_mean_and_the_covariance(name: str, rng: np.random.Generator) -> None:
    assert off_in_mean_and_covariance(name, reference, rng) < LIMIT


def wrong(**functions: Callable) -> SimpleNamespace:
    """The reference with some functions replaced."""
    return SimpleNamespace(**vars(reference) | functions)


def without_exp(entries: Array) -> Array:
    L = reference.cholesky_forward(entries)
    i = np.arange(L.shape[1])
    L[:, i, i] = 1 + entries[:, : L.shape[1]]
    return L


def transposed(mu: Array, L: Array, eps: Array) -> Array:
    return reference.correlate_forward(mu, L.transpose(0, 2, 1), eps)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("full", wrong(correlate_forward=transposed)),
        ("full", wrong(cholesky_forward=without_exp)),
        ("full", wrong(correlate_forward=lambda mu, L, eps: mu + eps)),
        ("diagonal", wrong(sigma_forward=np.exp)),
        ("shared", wrong(sigma_forward=np.exp)),
        ("fixed", wrong(sigma_forward=np.exp)),
    ],
)
def test_of_a_fault_it_has_not(
    name: str, fault: SimpleNamespace, rng: np.random.Generator
) -> None:
    assert off_in_mean_and_covariance(name, fault, rng) > POWER


@each_posterior
def test_deviations_are_those_of_each_latent(
    name: str, rng: np.random.Generator
) -> None:
    drawn = draw(name, LATENT, rng)
    code = sampled(drawn, reference, np.zeros((1, LATENT)))
    want = np.sqrt(np.diag(covariance(code)))
    assert_rounded("deviations", drawn.q.deviations(code)[0], want)
    np.testing.assert_array_equal(code.z, code.mu)


def test_a_point_is_where_it_is_and_costs_nothing(rng: np.random.Generator) -> None:
    drawn = draw("point", LATENT, rng)
    code = sampled(drawn, reference, rng.standard_normal((5, LATENT)))
    np.testing.assert_array_equal(code.z, np.repeat(drawn.h, 5, axis=0))
    np.testing.assert_array_equal(drawn.q.kl_forward(code, reference), np.zeros(5))


def test_shared_and_fixed_spreads_know_nothing_of_x(rng: np.random.Generator) -> None:
    for name in ("shared", "fixed"):
        q, h, params = draw(name, LATENT, rng, rows=4)
        code = q.forward(h, np.ones_like(h), params, reference)
        assert (q.deviations(code) == q.deviations(code)[0]).all()
        np.testing.assert_array_equal(code.mu, h)
    assert_rounded("the fixed one", q.deviations(code), np.full((4, LATENT), 0.5))


class Estimate(NamedTuple):
    """By how many standard errors means over samples are off the formula's values."""

    kl: float
    gradient: float


def estimate(name: str, f: SimpleNamespace, rng: np.random.Generator) -> Estimate:
    """The sampled KL and its gradient, against the closed ones."""
    drawn, ones = draw(name, LATENT, rng), np.ones(SAMPLES)
    q, eps = drawn.q, rng.standard_normal((SAMPLES, LATENT))
    code = sampled(drawn, f, eps)
    kl = f.sampled_kl_forward(code.z, eps, q.logdet_forward(code))
    dz, dlogdet = f.sampled_kl_backward(ones, code.z)
    dmu, dspread = q.backward(dz, eps, code, f)
    dspread = dspread + q.logdet_backward(dlogdet, code)
    exact = q.kl_backward(ones, code, reference)
    off = np.hstack([dmu - exact[0], dspread - exact[1]])
    return Estimate(score(kl - q.kl_forward(code, f)), score(off))


@each_density
def test_the_closed_kl_is_the_mean_of_the_sampled_one(
    name: str, rng: np.random.Generator
) -> None:
    found = estimate(name, reference, rng)
    assert found.kl < LIMIT and found.gradient < LIMIT


def without_logdet(z: Array, eps: Array, logdet: Array) -> Array:
    return reference.sampled_kl_forward(z, eps, 0 * logdet)


def logs_twice(mu: Array, L: Array) -> Array:
    diagonal = np.diagonal(L, axis1=1, axis2=2)
    return reference.full_kl_forward(mu, L) - np.log(diagonal).sum(axis=1)


@pytest.mark.parametrize(
    "fault",
    [
        wrong(full_kl_forward=lambda mu, L: 2 * reference.full_kl_forward(mu, L)),
        wrong(full_kl_forward=logs_twice),
        wrong(sampled_kl_forward=without_logdet),
        wrong(sampled_kl_forward=lambda *a: 2 * reference.sampled_kl_forward(*a)),
        wrong(correlate_forward=lambda mu, L, eps: mu + eps),
    ],
)
def test_of_a_fault_it_is_not(fault: SimpleNamespace, rng: np.random.Generator) -> None:
    assert estimate("full", fault, rng).kl > POWER


@pytest.mark.parametrize(
    "fault",
    [
        wrong(sampled_kl_backward=lambda dkl, z: (dkl[:, None] * z, dkl)),
        wrong(sampled_kl_backward=lambda dkl, z: (dkl[:, None] * z / 2, -dkl)),
        wrong(correlate_backward=lambda dz, e: (dz, e[:, :, None] * dz[:, None, :])),
    ],
)
def test_of_a_fault_its_gradient_is_not(
    fault: SimpleNamespace, rng: np.random.Generator
) -> None:
    assert estimate("full", fault, rng).gradient > POWER


@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_full_with_a_diagonal_is_diagonal(B: int, Z: int, seed: int) -> None:
    """L_jj = exp(logvar_j / 2), so an entry is half a logvar, and its slope twice."""
    rng = np.random.default_rng(seed)
    mu, logvar, eps, dz = rng.standard_normal((4, B, Z))
    dkl = rng.standard_normal(B)
    below = np.zeros((B, Z * (Z - 1) // 2))
    full, diagonal = POSTERIORS["full"](Z), POSTERIORS["diagonal"](Z)
    results = []
    for q, h in (
        (full, np.hstack([mu, logvar / 2, below])),
        (diagonal, np.hstack([mu, logvar])),
    ):
        code = q.forward(h, eps, {}, reference)
        dspreads = (
            q.backward(dz, eps, code, reference)[1],
            q.kl_backward(dkl, code, reference)[1],
            q.logdet_backward(dkl, code),
        )
        half = 0.5 if q is full else 1
        results.append(
            [
                code.z,
                q.kl_forward(code, reference),
                q.logdet_forward(code),
                q.deviations(code),
                *(half * dspread[:, :Z] for dspread in dspreads),
            ]
        )
    for i, (one, other) in enumerate(zip(*results, strict=True)):
        assert_rounded(f"result {i}", one, other)


# ---- Slopes --------------------------------------------------------------------------


@each_posterior
@each_method
@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_backwards_are_the_slopes(
    name: str, method: Method, B: int, Z: int, seed: int
) -> None:
    """Of z, of the KL and of log|det dz/deps|, in h and in parameters of its own."""
    rng = np.random.default_rng(seed)
    q, h, params = draw(name, Z, rng, rows=B)
    eps, dz = rng.standard_normal((2, B, Z))
    dkl, dlogdet = rng.standard_normal((2, B))

    def z(h: Array, **params: Array) -> Array:
        return q.forward(h, eps, params, reference).z

    def kl(h: Array, **params: Array) -> Array:
        return q.kl_forward(q.forward(h, eps, params, reference), reference)

    def logdet(h: Array, **params: Array) -> Array:
        return q.logdet_forward(q.forward(h, eps, params, reference))

    code = q.forward(h, eps, params, reference)
    cases: list[tuple[Any, Array, tuple[Array, Array]]] = [
        (z, dz, q.backward(dz, eps, code, reference))
    ]
    if name != "point":
        cases += [
            (kl, dkl, q.kl_backward(dkl, code, reference)),
            (logdet, dlogdet, (np.zeros((B, Z)), q.logdet_backward(dlogdet, code))),
        ]
    for forward, dy, (dmu, dspread) in cases:
        grads = {n: np.full_like(block, np.nan) for n, block in params.items()}
        dh = q.gather(dmu, dspread, grads, np.full_like(h, np.nan))
        check_gradients(method, forward, {"h": h, **params}, dy, {"h": dh, **grads})
