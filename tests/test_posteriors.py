"""The posteriors: what z is distributed as, what it costs, and the slopes of both.

Whatever POSTERIORS has is tried.

Shapes: B batch, N samples, Z latents, S statistics.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    assert_close,
    assert_rounded,
    check_gradients,
    complex_step,
)
from hypothesis import given
from hypothesis import strategies as st
from meaning import score
from works import drawn_params, work_over

from numpyvae.pairs import kl, posteriors, priors
from numpyvae.pairs.kl import CLOSED, Rate, SampledKL
from numpyvae.pairs.posteriors import (
    POSTERIORS,
    Code,
    Diagonal,
    Family,
    Full,
    Head,
    Point,
)
from numpyvae.pairs.priors import Parts, StandardNormal

SAMPLES, LATENT = 100_000, 3
LIMIT, POWER = 5, 20  # standard errors: the real code, a planted fault

# What eps is multiplied by, for the statistics s (S,) and Z: a root of the covariance.
ROOTS: dict[type[Family], Callable[[Array, int], Array]] = {
    Diagonal: lambda s, Z: np.diag(naive.sigma(s[None, Z:])[0]),
    Full: lambda s, Z: naive.cholesky(s[None, Z:])[0],
    Point: lambda s, Z: np.zeros((Z, Z)),
}
DENSITIES = [p.name for p in POSTERIORS.values() if p.family.has_density]
GAUSSIANS = [p.name for p in POSTERIORS.values() if p.family in ROOTS]
FORMULAS = [
    name for name in DENSITIES if (POSTERIORS[name].family, StandardNormal) in CLOSED
]

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_posterior = pytest.mark.parametrize("name", POSTERIORS)
each_density = pytest.mark.parametrize("name", DENSITIES)
sizes = st.integers(1, 4)


class Drawn(NamedTuple):
    """A posterior with what its statistics are made from."""

    family: Family
    head: Head
    params: dict[str, Array]
    h: Array  # (B, E)

    def code(self, eps: Array, h: Array | None = None, **params: Array) -> Code:
        """Of `h`, or of the one row there is, with each of eps (N, Z)."""
        h = np.repeat(self.h, len(eps), axis=0) if h is None else h
        s = self.head.forward(h, self.params | params)
        return self.family.forward(s, eps, work_over(self.params | params))


def draw(name: str, latent: int, rng: np.random.Generator, rows: int = 1) -> Drawn:
    family = POSTERIORS[name].family(latent)
    head = POSTERIORS[name].head(family, latent)
    params = drawn_params(family, rng) | drawn_params(head, rng)
    return Drawn(family, head, params, rng.standard_normal((rows, head.outputs)) / 2)


def rates(family: Family, latent: int) -> list[Rate]:
    """Of the KL to N(0, I): at the sample, if q has a density, and by a formula."""
    prior = StandardNormal(cast(Parts, SimpleNamespace(latent=latent)))
    found: list[Rate] = [SampledKL(family, prior)] if family.has_density else []
    closed = CLOSED.get((type(family), StandardNormal))
    return found + ([closed] if closed else [])


# ---- Meaning -------------------------------------------------------------------------


@each_posterior
def test_a_family_that_stretches_eps_has_an_oracle(
    name: str, rng: np.random.Generator
) -> None:
    drawn, eps = draw(name, LATENT, rng), rng.standard_normal((1, LATENT))
    at = [drawn.code(factor * eps).z for factor in (0, 1, 2)]
    if np.abs(at[2] - 2 * at[1] + at[0]).max() < 1e-12:
        assert POSTERIORS[name].family in ROOTS


@pytest.mark.parametrize("name", GAUSSIANS)
def test_z_and_its_moments_are_those_of_its_gaussian(
    name: str, rng: np.random.Generator
) -> None:
    drawn, eps = draw(name, LATENT, rng), rng.standard_normal((7, LATENT))
    code = drawn.code(eps)
    root = ROOTS[POSTERIORS[name].family](code.s[0], LATENT)
    mean = np.repeat(drawn.h[:, :LATENT], 7, axis=0)
    assert_rounded("z", code.z, mean + eps @ root.T)
    found = drawn.family.moments(code.s, work_over(drawn.params))
    np.testing.assert_array_equal(found[0], mean)
    np.testing.assert_array_equal(code.mu, mean)
    want = np.sqrt(np.diag(root @ root.T))
    assert_rounded("deviations", found[1], np.tile(want, (7, 1)))


@each_density
@given(sizes, st.integers(0, 2**32 - 1))
def test_log_prob_is_the_change_of_variables(name: str, Z: int, seed: int) -> None:
    """log N(eps) less log|det dz/deps|, whose Jacobian is measured."""
    rng = np.random.default_rng(seed)
    drawn, eps = draw(name, Z, rng), rng.standard_normal((1, Z))
    jacobian = [complex_step(lambda e, i=i: drawn.code(e).z[0, i], eps)[0]
                for i in range(Z)]  # fmt: skip
    want = sum(naive.log_normal(e, 0.0, 1.0) for e in eps[0].tolist())
    want -= np.linalg.slogdet(np.array(jacobian))[1]
    log_q = drawn.family.log_prob(drawn.code(eps), eps)
    assert_close("log q", log_q, np.array([want]), 1e-12)  # of up to 20 nats


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_density_at_a_sample_is_that_of_its_gaussian(
    Z: int, B: int, seed: int
) -> None:
    """Against the covariance's inverse and determinant."""
    rng = np.random.default_rng(seed)
    drawn, eps = draw("full", Z, rng, rows=B), rng.standard_normal((B, Z))
    code = drawn.code(eps, drawn.h)
    covariance, off = code.scale @ code.scale.transpose(0, 2, 1), code.z - code.mu
    want = -np.linalg.slogdet(2 * np.pi * covariance)[1] / 2
    want -= (off[:, None] @ np.linalg.inv(covariance) @ off[:, :, None])[:, 0, 0] / 2
    # The inverse multiplies rounding by the condition number.
    steps = int(np.linalg.cond(covariance).max()) + 1
    assert_rounded("log q", drawn.family.log_prob(code, eps), want, steps=steps)


def test_a_point_has_no_density_and_costs_nothing(rng: np.random.Generator) -> None:
    drawn, eps = draw("point", LATENT, rng), rng.standard_normal((5, LATENT))
    code, work = drawn.code(eps), work_over({})
    np.testing.assert_array_equal(code.z, np.repeat(drawn.h, 5, axis=0))
    terms, _ = CLOSED[Point, StandardNormal].forward(code, eps, work)
    np.testing.assert_array_equal(sum(terms.values()), np.zeros(5))
    with pytest.raises(ValueError, match=r"^point: found no density"):
        drawn.family.log_prob(code, eps)


def test_shared_and_fixed_spreads_know_nothing_of_x(rng: np.random.Generator) -> None:
    for name in ("shared", "fixed"):
        drawn = draw(name, LATENT, rng, rows=4)
        code = drawn.code(np.ones((4, LATENT)), drawn.h)
        assert (code.scale == code.scale[0]).all()
        np.testing.assert_array_equal(code.mu, drawn.h)
    assert_rounded("the fixed one", code.scale, np.full((4, LATENT), 0.5))


class Estimate(NamedTuple):
    """By how many standard errors means over samples are off the formula's values."""

    kl: float
    gradient: float


def estimate(name: str, rng: np.random.Generator) -> Estimate:
    """The sampled KL and its gradient, against the closed ones."""
    drawn, ones = draw(name, LATENT, rng), np.ones(SAMPLES)
    eps, work = rng.standard_normal((SAMPLES, LATENT)), work_over(drawn.params)
    code, found = drawn.code(eps), []
    for rate in rates(drawn.family, LATENT):
        terms, kept = rate.forward(code, eps, work)
        back = rate.backward(ones, code, kept, eps, work)
        ds = drawn.family.backward(back.dz + 0 * eps, back.dlog, code, eps, work)
        found.append((sum(terms.values()), ds + back.ds))
    (kl, ds), (exact_kl, exact_ds) = found
    return Estimate(score(kl - exact_kl), score(ds - exact_ds))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_closed_kl_is_the_mean_of_the_sampled_one(
    name: str, rng: np.random.Generator
) -> None:
    found = estimate(name, rng)
    assert found.kl < LIMIT and found.gradient < LIMIT


def logs_twice(mu: Array, L: Array) -> Array:
    diagonal = np.diagonal(L, axis1=1, axis2=2)
    return FULL_KL(mu, L) - np.log(diagonal).sum(axis=1)


FULL_KL, NORMAL = kl.full_kl_forward, priors.standard_normal_forward
FAULTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "twice": (kl, "full_kl_forward", lambda mu, L: 2 * FULL_KL(mu, L)),
    "logs twice": (kl, "full_kl_forward", logs_twice),
    "no logdet": (Full, "log_prob", lambda q, c, e: posteriors.normal_log_prob(e)),
    "p twice": (priors, "standard_normal_forward", lambda z: 2 * NORMAL(z)),
    "L forgotten": (posteriors, "correlate_forward", lambda mu, L, eps: mu + eps),
}
GRADIENT_FAULTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "sign of p": (priors, "standard_normal_backward", lambda d, z: -d[:, None] * z),
    "half of p": (priors, "standard_normal_backward", lambda d, z: d[:, None] * z / 2),
    "dL turned": (
        posteriors,
        "correlate_backward",
        lambda dz, e: (dz, e[:, :, None] * dz[:, None, :]),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_of_a_fault_it_is_not(
    fault: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*fault)
    assert estimate("full", rng).kl > POWER


@pytest.mark.parametrize("fault", GRADIENT_FAULTS.values(), ids=GRADIENT_FAULTS)
def test_of_a_fault_its_gradient_is_not(
    fault: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*fault)
    assert estimate("full", rng).gradient > POWER


@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_full_with_a_diagonal_is_diagonal(B: int, Z: int, seed: int) -> None:
    """L_jj = exp(logvar_j / 2), so an entry is half a logvar, and its slope twice."""
    rng = np.random.default_rng(seed)
    mu, logvar, eps, dz = rng.standard_normal((4, B, Z))
    dkl, work, results = rng.standard_normal(B), work_over({}), []
    below = np.zeros((B, Z * (Z - 1) // 2))
    for q, s, half in (
        (Full(Z), np.hstack([mu, logvar / 2, below]), 0.5),
        (Diagonal(Z), np.hstack([mu, logvar]), 1.0),
    ):
        code, closed = q.forward(s, eps, work), CLOSED[type(q), StandardNormal]
        gradients = [
            q.backward(dz, dkl, code, eps, work).copy(),
            closed.backward(dkl, code, None, eps, work).ds,
        ]
        results.append([
            code.z, *closed.forward(code, eps, work)[0].values(),
            q.log_prob(code, eps), *q.moments(s, work),
            *(ds[:, :Z] for ds in gradients),
            *(half * ds[:, Z : 2 * Z] for ds in gradients),
        ])  # fmt: skip
    for i, (one, other) in enumerate(zip(*results, strict=True)):
        assert_rounded(f"result {i}", one, other)


# ---- Slopes --------------------------------------------------------------------------


@each_posterior
@each_method
@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_backwards_are_the_slopes(
    name: str, method: Method, B: int, Z: int, seed: int
) -> None:
    """Of z and log q(z|x), and of each KL, in h and in parameters of its own."""
    rng = np.random.default_rng(seed)
    drawn = draw(name, Z, rng, rows=B)
    eps, dz = rng.standard_normal((2, B, Z))
    drate, family = rng.standard_normal(B), drawn.family

    def check(forward: Any, dy: Array, dz: Array, dlog: Any, more: Any) -> None:
        work = work_over(drawn.params)
        ds = family.backward(dz, dlog, drawn.code(eps, drawn.h), eps, work) + more
        gradients = {"h": drawn.head.backward(ds, work.grads), **work.grads}
        arguments = {"h": drawn.h, **drawn.params}
        check_gradients(method, forward, arguments, dy, gradients)

    check(lambda **at: drawn.code(eps, **at).z, dz, dz, None, 0)
    if family.has_density:
        check(
            lambda **at: family.log_prob(drawn.code(eps, **at), eps),
            drate, 0 * dz, drate, 0,
        )  # fmt: skip
    for rate in rates(family, Z):
        code, work = drawn.code(eps, drawn.h), work_over(drawn.params)
        back = rate.backward(drate, code, rate.forward(code, eps, work)[1], eps, work)

        def kl(rate: Rate = rate, **at: Array) -> Any:
            terms, _ = rate.forward(drawn.code(eps, **at), eps, work_over({}))
            return sum(terms.values())

        assert not back.shared
        check(kl, drate, 0 * dz + back.dz, back.dlog, back.ds)
