"""The priors "mixture" and "vamp": their density, their codes, and the encoder twice.

Shapes: B codes, K components, Z latents, D pixels.
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

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.model.workspace import Reused
from numpyvae.pairs.mixture import (
    COMPONENTS,
    log_softmax,
    mixture_backward,
    mixture_forward,
)
from numpyvae.pairs.objectives import Elbo, Iwae, Objective
from numpyvae.pairs.priors import standard_normal_forward

FLOATS = (np.float32, np.float64)
SAMPLES, LIMIT = 100_000, 5  # standard errors

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_prior = pytest.mark.parametrize("prior", ["mixture", "vamp"])


def model_of(prior: str, rng: np.random.Generator, **arguments: object) -> VAE:
    """A small model, its parameters moved to where no block is 0."""
    arguments = {"pixels": 6, "hidden": (5,), "latent": 2, "dtype": float} | arguments
    model = VAE(activation="tanh", prior=prior, compiled=False, **arguments)  # type: ignore[arg-type]
    model.params.flat[:] += rng.standard_normal(model.params.flat.size) / 2
    return model


# ---- The pair ------------------------------------------------------------------------


@given(drawn("BZ KZ KZ K", FLOATS))
def test_forward_is_the_oracle(arrays: list[Array]) -> None:
    nll, r = mixture_forward(*arrays)
    want = naive.mixture(*arrays)
    # A code far out, of -log p = 100, rounds its share's exponent by 100 eps.
    assert_rounded("nll", nll, want[0])
    steps = max(1, int(nll.max()))
    assert_rounded("r", r, want[1], steps)
    assert_rounded("sum of r", r.sum(axis=1), np.ones(len(r)))


@each_method
@given(drawn("BZ KZ KZ K B"))
def test_backward_is_the_slope(method: Method, arrays: list[Array]) -> None:
    *args, dnll = arrays
    names = dict(zip(["z", "mu", "logvar", "logits"], args, strict=True))
    found = mixture_backward(dnll, *args, mixture_forward(*args)[1])
    check_gradients(
        method,
        lambda **arguments: mixture_forward(**arguments)[0],
        names,
        dnll,
        dict(zip(names, found, strict=True)),
    )


@given(drawn("BZ KZ KZ K B", (*FLOATS, np.complex128)))
def test_the_pair_keeps_the_dtype_and_its_inputs(arrays: list[Array]) -> None:
    *args, dnll = arrays
    nll, r = mixture_forward(*args)
    found = mixture_backward(dnll, *args, r)
    assert {result.dtype for result in (nll, r, *found)} == {nll.dtype}
    assert nll.dtype == args[0].dtype
    check_pure(mixture_forward, *args)
    check_pure(mixture_backward, dnll, *args, r)


@pytest.mark.parametrize("dtype", FLOATS)
def test_far_from_all_components_it_stays_finite(dtype: type) -> None:
    """Each density underflows there; the nearest component takes the code whole."""
    z, mu = np.array([[1e4], [-1e4]], dtype), np.array([[1.0], [-1.0]], dtype)
    zero = np.zeros_like(mu)
    nll, r = mixture_forward(z, mu, zero, zero[:, 0])
    want = (1e4 - 1) ** 2 / 2 + np.log(2) + np.log(2 * np.pi) / 2
    np.testing.assert_allclose(nll, [want] * 2, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(r, np.eye(2))
    slopes = mixture_backward(np.ones(2, dtype), z, mu, zero, zero[:, 0], r)
    assert all(np.isfinite(slope).all() for slope in slopes)
    logits = np.array([1e4, -1e4], dtype)
    assert log_softmax(logits).tolist() == [0, -2e4]


def test_a_mixture_begins_with_equal_weights_and_variances_of_one() -> None:
    params = VAE(6, (4,), 2, prior="mixture").params
    assert not params["prior.logits"].any() and not params["prior.logvar"].any()
    assert len(np.unique(params["prior.mu"])) == params["prior.mu"].size


@given(drawn("BZ Z Z K"))
def test_equal_components_are_one_gaussian(arrays: list[Array]) -> None:
    z, mu, logvar, logits = arrays
    K = len(logits)
    one, equal = (
        mixture_forward(z, mu + np.zeros((n, 1)), logvar + np.zeros((n, 1)), weights)[0]
        for n, weights in ((1, logits[:1]), (K, logits))
    )
    assert_rounded("nll", equal, one)
    e = (z - mu) / np.exp(logvar / 2)
    want = standard_normal_forward(e) + logvar.sum() / 2
    assert_rounded("by the standard normal's", one, want)


def test_the_density_of_two_latents_adds_up_to_one(rng: np.random.Generator) -> None:
    """On a grid that reaches ten deviations beyond every mean."""
    mu, logvar = rng.standard_normal((2, 4, 2)) / 2
    logits = rng.standard_normal(4)
    axis, step = np.linspace(-20, 20, 401, retstep=True)
    z = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    nll, _ = mixture_forward(z, mu, logvar, logits)
    total = np.exp(-nll).sum() * step**2
    assert_rounded("total", total, np.float64(1))


# ---- The priors ----------------------------------------------------------------------


@each_prior
def test_codes_of_a_model_are_of_its_prior(
    prior: str, rng: np.random.Generator
) -> None:
    """The components that `sample` and `moments` go by are those of the density."""
    model = model_of(prior, rng, latent=1)
    work, grid = model.workspace(), np.linspace(-30, 30, 6001)
    nll, _ = model.prior.forward(grid[:, None], grid[:, None][:, :0], work)
    density = np.exp(-nll) * (grid[1] - grid[0])
    mean = density @ grid
    deviation = np.sqrt(density @ (grid - mean) ** 2)
    found = model.prior.moments(work)
    # Trapezia are exact to rounding, here of 6,001 terms.
    np.testing.assert_allclose([*found[0], *found[1]], [mean, deviation], rtol=1e-12)
    z = model.prior.sample(SAMPLES, rng, work)
    # Kolmogorov's distance is over 3 / sqrt(n) once in 10^7; moments miss heavy tails.
    below = np.searchsorted(np.sort(z[:, 0]), grid) / SAMPLES
    assert abs(below - density.cumsum()).max() < 3 / np.sqrt(SAMPLES)


@pytest.mark.parametrize("posterior", ["diagonal", "shared", "fixed"])
def test_vamp_is_the_mean_of_the_encoders_posteriors(
    posterior: str, rng: np.random.Generator
) -> None:
    model = model_of("vamp", rng, posterior=posterior)
    inputs = 1 / (1 + np.exp(-model.params["prior.inputs"]))
    layers = [(model.params[f"encoder.{i}.W"], model.params[f"encoder.{i}.b"])
              for i in range(2)]  # fmt: skip
    h = naive.mlp(inputs, layers, "tanh")
    logvar = {
        "diagonal": lambda: h[:, 2:],
        "shared": lambda: np.tile(model.params["posterior.logvar"], (COMPONENTS, 1)),
        "fixed": lambda: np.full((COMPONENTS, 2), np.log(0.25)),
    }[posterior]()
    z = rng.standard_normal((4, 2))
    nll, _ = model.prior.forward(z, z[:, :0], model.workspace())
    want, _ = naive.mixture(z, h[:, :2], logvar, np.zeros(COMPONENTS))
    assert_rounded("nll", nll, want)


@pytest.mark.parametrize("objective", [Elbo(0.7), Iwae(2)], ids=["elbo", "iwae"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"posterior": "diagonal"},
        {"posterior": "shared"},
        {"posterior": "fixed"},
        {"pixels": 16, "channels": (2,)},
    ],
    ids=lambda arguments: "-".join(map(str, arguments.values())),
)
def test_where_the_encoder_is_used_twice_its_gradients_add(
    arguments: dict, objective: Objective, rng: np.random.Generator
) -> None:
    """Of the whole loss, by the complex step along each block.

    In a second step: both passes through the encoder are alive at once, and arrays
    that are used again have the room for both by then.
    """
    model = model_of("vamp", rng, **arguments)
    analytic = VAE(**model.arguments() | {"dtype": "complex128"})
    x = rng.random((3, model.pixels))
    eps = rng.standard_normal((3 * objective.samples, 2))
    reused = Reused()
    for _ in range(2):
        grads = model.params.unwritten()
        work = model.workspace(grads)._replace(arrays=reused)
        forward = model.forward(x, eps, objective, work)
        model.backward(eps, forward, work, objective)
    largest = np.abs(grads.flat).max()
    for name, gradient in grads.items():
        direction = rng.standard_normal(gradient.shape)
        analytic.params.flat[:] = model.params.flat
        analytic.params[name][...] += 1e-30j * direction
        loss = analytic.forward(x.astype(complex), eps.astype(complex), objective).loss
        slope, found = loss.imag.mean() / 1e-30, (gradient * direction).sum()
        # The blocks' errors are of one size, of at most 300 terms of the largest.
        assert abs(slope - found) < 1e-14 * 300 * max(1, largest), name


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"posterior": "full"}, "the family Full"),
        ({"posterior": "point"}, "the family Point"),
        ({"classes": 3}, "3 classes"),
    ],
)
def test_vamp_refuses_what_it_can_not_encode(arguments: dict, found: str) -> None:
    with pytest.raises(ArgumentError, match=f"^prior: found 'vamp' .*{found}.*expect"):
        VAE(6, (5,), 2, prior="vamp", **arguments)
