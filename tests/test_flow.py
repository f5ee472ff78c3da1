"""The posterior "flow": its step, its density, and what its code means.

Shapes: B batch, N samples, Z latents.
"""

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
from meaning import score
from works import drawn_params, work_over

from numpyvae.model.workspace import Workspace
from numpyvae.pairs.flow import (
    Flow,
    iaf_backward,
    iaf_forward,
    triangle_backward,
    triangle_forward,
)
from numpyvae.pairs.posteriors import Diagonal

FLOATS = (np.float32, np.float64)
SAMPLES, LIMIT, POWER = 100_000, 5, 20  # standard errors: right code, a planted fault

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_latent = pytest.mark.parametrize("latent", [1, 2, 5])


def drawn_flow(
    latent: int, rng: np.random.Generator, rows: int = 1
) -> tuple[Flow, Workspace, Array]:
    """A flow, what it computes with, and statistics (B, S)."""
    family = Flow(latent)
    work = work_over(drawn_params(family, rng))
    return family, work, rng.standard_normal((rows, family.statistics))


def jacobian(family: Flow, work: Workspace, s: Array, eps: Array) -> Array:
    """dz_j/deps_i (Z, Z) at one eps (1, Z), by the complex step."""
    Z = eps.shape[1]
    aside = eps + 1e-30j * np.eye(Z)
    return family.forward(np.repeat(s, Z, 0), aside, work).z.imag / 1e-30


# ---- The step ------------------------------------------------------------------------


@given(drawn("BZ ZZ ZZ BZ BZ", FLOATS))
def test_a_step_is_the_oracle(arrays: list[Array]) -> None:
    after, logdet, _, _ = iaf_forward(*arrays)
    want = naive.iaf(*arrays)
    # Behind a gate stand two products whose rounding grows with z' itself.
    assert_rounded("z'", after, want[0], steps=4)
    assert_rounded("log|det|", logdet, want[1], steps=4)


@each_method
@given(drawn("BZ ZZ ZZ BZ BZ BZ B"))
def test_its_backward_is_the_slope_of_both_results(
    method: Method, arrays: list[Array]
) -> None:
    *args, dnext, dlogdet = arrays
    _, _, m, g = iaf_forward(*args)
    z, M, G, _, _ = args
    names = dict(zip(["z", "M", "G", "a", "c"], args, strict=True))
    found = iaf_backward((dnext, dlogdet), z, M, G, m, g)

    def both(**arguments: Array) -> Array:
        after, logdet, _, _ = iaf_forward(**arguments)
        return np.hstack([after, logdet[:, None]])

    dy = np.hstack([dnext, dlogdet[:, None]])
    check_gradients(method, both, names, dy, dict(zip(names, found, strict=True)))


@given(drawn("BZ ZZ ZZ BZ BZ BZ B", (*FLOATS, np.complex128)))
def test_pairs_keep_the_dtype_and_their_inputs(arrays: list[Array]) -> None:
    z, M, G, a, c, dnext, dlogdet = arrays
    after, logdet, m, g = iaf_forward(z, M, G, a, c)
    found = iaf_backward((dnext, dlogdet), z, M, G, m, g)
    entries = triangle_backward(M)
    results = after, logdet, *found, entries, triangle_forward(entries, len(M))
    assert {result.dtype for result in results} == {z.dtype}
    check_pure(iaf_forward, z, M, G, a, c)
    check_pure(lambda *d: iaf_backward(d[:2], *d[2:]), dnext, dlogdet, z, M, G, m, g)


def test_a_triangle_has_its_entries_above_the_diagonal_row_by_row() -> None:
    M = triangle_forward(np.array([1.0, 2.0, 3.0]), 3)
    np.testing.assert_array_equal(M, [[0, 1, 2], [0, 0, 3], [0, 0, 0]])
    np.testing.assert_array_equal(triangle_backward(M + np.eye(3)), [1, 2, 3])


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_each_step_is_autoregressive(latent: int, seed: int) -> None:
    """Its Jacobian is a triangle; the next one's order is reversed."""
    family, work, s = drawn_flow(latent, np.random.default_rng(seed))
    code = family.forward(s, np.zeros((1, latent)), work)
    contexts = s[0, 2 * latent :].reshape(Flow.STEPS, 2, latent)
    for k, step in enumerate(code.scale[1]):
        aside = step.z + 1e-30j * np.eye(latent)
        after, logdet, _, g = iaf_forward(aside, step.M, step.G, *contexts[k])
        J = after.imag / 1e-30  # [i, j] = dz'_j / dz_i
        other = np.tril(J, -1) if k % 2 == 0 else np.triu(J, 1)
        assert not other.any()
        assert_rounded("diagonal", np.diag(J), g[0].real)
        assert_rounded("log|det|", logdet[:1].real, np.log(np.diag(J)).sum()[None])
        if latent > 1:
            assert (J - np.diag(np.diag(J))).any()


# ---- The density ---------------------------------------------------------------------


@each_latent
def test_log_q_is_the_density_of_the_samples(
    latent: int, rng: np.random.Generator
) -> None:
    """Any density p(z) has E_q[p / q] = 1: here a Gaussian in q's middle."""
    family, work, s = drawn_flow(latent, rng)
    eps = rng.standard_normal((SAMPLES, latent))
    code = family.forward(np.repeat(s, SAMPLES, 0), eps, work)
    zero = np.zeros((1, latent))
    J = jacobian(family, work, s, zero) / 2
    e = (code.z - family.forward(s, zero, work).z) @ np.linalg.inv(J)
    log_p = -((e * e).sum(axis=1) + latent * np.log(2 * np.pi)) / 2
    log_p -= np.linalg.slogdet(J)[1]
    assert score(np.exp(log_p - family.log_prob(code, eps)) - 1) < LIMIT
    lost = [step._replace(logdet=0 * step.logdet) for step in code.scale[1]]
    fault = code._replace(scale=(code.scale[0], lost))
    assert score(np.exp(log_p - family.log_prob(fault, eps)) - 1) > POWER


@each_latent
def test_with_open_gates_it_is_the_diagonal_posterior(
    latent: int, rng: np.random.Generator
) -> None:
    """sigmoid(40) is 1 in float64: the steps then change nothing, nor do slopes."""
    family, work, s = drawn_flow(latent, rng, rows=4)
    for block in work.params.values():
        block[...] = 0
    s[:, 2 * latent :].reshape(4, Flow.STEPS, 2, latent)[:, :, 1] = 40
    eps, dz = rng.standard_normal((2, 4, latent))
    dlog, plain = rng.standard_normal(4), Diagonal(latent)
    code = family.forward(s, eps, work)
    want = plain.forward(s[:, : 2 * latent], eps, work)
    np.testing.assert_allclose(code.z, want.z, rtol=1e-15)
    log_q, want_q = family.log_prob(code, eps), plain.log_prob(want, eps)
    assert_rounded("log q", log_q, want_q)
    for given_dlog in (None, dlog):
        ds = family.backward(dz, given_dlog, code, eps, work)[:, : 2 * latent]
        assert_rounded("ds", ds, plain.backward(dz, given_dlog, want, eps, work))


# ---- The whole family ----------------------------------------------------------------


@each_latent
def test_moments_are_exact_where_the_map_is_affine(
    latent: int, rng: np.random.Generator
) -> None:
    """It is where the gates know nothing of z, G = 0, whatever M is."""
    family, work, s = drawn_flow(latent, rng)
    for name, block in work.params.items():
        if name.endswith("G"):
            block[...] = 0
    zero = np.zeros((1, latent))
    J = jacobian(family, work, s, zero)
    mean, deviation = family.moments(s, work)
    # The points lie sqrt(Z) out; what they add up has the size of the largest of them.
    assert_rounded("mean", mean, family.forward(s, zero, work).z, steps=4)
    assert_rounded("deviation", deviation[0], np.sqrt((J * J).sum(axis=0)), steps=4)


def test_moments_of_a_row_are_its_own(rng: np.random.Generator) -> None:
    family, work, s = drawn_flow(3, rng, rows=4)
    every = family.moments(s, work)
    for i in range(4):
        for together, alone in zip(
            every, family.moments(s[i : i + 1], work), strict=True
        ):
            assert_rounded("moment", together[i], alone[0], steps=4)
