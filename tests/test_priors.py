"""The priors: slopes, that each is a density, and that its codes are drawn from it.

Whatever PRIORS has is tried.

Shapes: B batch, Z latents, N numbers of noise of the prior's own.
"""

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
    check_pure,
    drawn,
)
from hypothesis import given
from meaning import score
from works import with_prior, work_over

from numpyvae import VAE
from numpyvae.pairs.priors import (
    PRIORS,
    standard_normal_backward,
    standard_normal_forward,
)

FLOATS = (np.float32, np.float64)
SAMPLES, LIMIT = 100_000, 5

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_prior = pytest.mark.parametrize("name", PRIORS)


def build(name: str, latent: int) -> VAE:
    """A model of this prior, whose parameters are all of size 1/2."""
    model = with_prior(name, 6, (5,), latent, "tanh", dtype=np.float64, compiled=False)
    rng = np.random.default_rng(3)
    model.params.flat[...] = rng.standard_normal(model.params.flat.size) / 2
    return model


@each_prior
@each_method
@pytest.mark.parametrize("latent", [1, 3])
def test_its_backward_is_the_slope(
    name: str, method: Method, latent: int, rng: np.random.Generator
) -> None:
    """In z, in its own parameters, and in those that it shares with another pass."""
    model = build(name, latent)
    prior, params = model.prior, dict(model.params)
    z, eps = (rng.standard_normal((4, n)) for n in (latent, prior.noise))
    dnll, work = rng.standard_normal(4), work_over(params)
    dz, shared = prior.backward(dnll, z, prior.forward(z, eps, work)[1], eps, work)
    own = {block: work.grads[block] for block in prior.shapes()}
    others = {
        block: np.zeros_like(params[block]) for block in params if block not in own
    }

    def forward(z: Array, **changed: Array) -> Array:
        kind = np.result_type(z, *changed.values())
        at = {name: block.astype(kind) for name, block in (params | changed).items()}
        return prior.forward(z.astype(kind), eps, work_over(at))[0]

    assert set(shared) <= set(others)
    gradients = {"z": dz, **others, **own, **shared}
    check_gradients(method, forward, {"z": z, **params}, dnll, gradients)


@each_prior
def test_it_is_a_density(name: str, rng: np.random.Generator) -> None:
    """Of one latent: by the trapezoidal rule, which is exact for what falls off.

    With noise of its own, exp(-nll) is an unbiased estimate of it: by sampling.
    """
    prior, work = (model := build(name, 1)).prior, work_over(dict(model.params))
    if not prior.noise:
        z = np.arange(-2000, 2001)[:, None] * 0.01
        nll, _ = prior.forward(z, np.empty((len(z), 0)), work)
        assert_close("mass", np.exp(-nll).sum() * 0.01, np.float64(1), 1e-12)
        return
    z, eps = (rng.standard_normal((SAMPLES, n)) for n in (1, prior.noise))
    proposal = np.exp(-(z[:, 0] ** 2) / 2) / np.sqrt(18 * np.pi)  # sigma = 3
    nll, _ = prior.forward(3 * z, eps, work)
    assert score(np.exp(-nll) / proposal - 1) < LIMIT


@each_prior
def test_its_codes_have_its_moments(name: str, rng: np.random.Generator) -> None:
    model = build(name, 3)
    work = work_over(dict(model.params))
    z = model.prior.sample(SAMPLES, rng, work)
    mean, deviation = model.prior.moments(work)
    assert z.shape == (SAMPLES, 3) and mean.shape == deviation.shape == (3,)
    if model.prior.noise:  # its moments are approximate
        np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.1)
        np.testing.assert_allclose(z.std(axis=0), deviation, rtol=0.1)
        return
    assert score(z - mean) < LIMIT
    assert score((z - mean) ** 2 - deviation**2) < LIMIT


@each_prior
def test_noise_is_asked_for_where_it_is_read(
    name: str, rng: np.random.Generator
) -> None:
    model, z = build(name, 2), rng.standard_normal((3, 2))
    work, noise = work_over(dict(model.params)), model.prior.noise
    one, other = (
        model.prior.forward(z, rng.standard_normal((3, noise)), work)[0] for _ in "ab"
    )
    assert (noise > 0) == bool((one != other).all())


# ---- N(0, I) -------------------------------------------------------------------------


@given(drawn("BZ", FLOATS))
def test_the_standard_normal_is_the_oracle(arrays: list[Array]) -> None:
    (z,) = arrays
    want = [-sum(naive.log_normal(a, 0.0, 1.0) for a in row) for row in z.tolist()]
    assert_rounded("nll", standard_normal_forward(z), np.array(want))


@given(drawn("BZ B", (*FLOATS, np.complex128)))
def test_the_standard_normal_keeps_the_dtype_and_its_inputs(
    arrays: list[Array],
) -> None:
    z, dnll = arrays
    results = standard_normal_forward(z), standard_normal_backward(dnll, z)
    assert {result.dtype for result in results} == {z.dtype}
    check_pure(standard_normal_forward, z)
    check_pure(standard_normal_backward, dnll, z)
