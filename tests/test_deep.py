"""The prior with a second layer of latents: its density, its codes, what it refuses.

That its backward is the slope of its forward, `gradcheck` says of every prior.

Shapes: N codes, Z latents, U latents of the second layer.
"""

import naive
import numpy as np
import pytest
from differences import Array, assert_rounded

from numpyvae import VAE, gradcheck
from numpyvae.errors import ArgumentError
from numpyvae.pairs.objectives import Iwae
from numpyvae.training.evaluate import SAMPLED

Z, U, N = 3, 2, 200_000
LIMIT = 5  # standard errors


def deep_model(**others: object) -> VAE:
    """With parameters of all sizes, and a mean of z that is affine in u."""
    model = VAE(
        6, (4,), Z, "tanh", prior="deep", top=(U,), dtype=float, compiled=False,
        **others,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    model.params.flat[:] += 0.3 * rng.standard_normal(model.params.flat.size)
    return model


def halves(model: VAE, name: str, x: Array) -> tuple[Array, Array]:
    """Means and variances that a layer of the prior's makes of x, by hand."""
    W, b = model.params[f"prior.{name}.0.W"], model.params[f"prior.{name}.0.b"]
    mean, logvar = np.split(x @ W + b, 2, axis=1)
    return mean, np.exp(logvar)


def test_the_bound_is_what_the_densities_say(rng: np.random.Generator) -> None:
    """Eq. 15.16: -log p(z|u) + log q(u|z) - log p(u), in loops."""
    model, z, eps = deep_model(), rng.normal(size=(5, Z)), rng.normal(size=(5, U))
    found, _ = model.prior.forward(z, eps, model.workspace())
    mu, variance = halves(model, "encoder", z)
    u = mu + np.sqrt(variance) * eps
    m, t = halves(model, "decoder", u)

    def log_normal(x: Array, mean: Array, variance: Array) -> float:
        return sum(map(naive.log_normal, x, mean, variance))

    expected = [
        log_normal(u[i], mu[i], variance[i])
        - log_normal(z[i], m[i], t[i])
        - log_normal(u[i], np.zeros(U), np.ones(U))
        for i in range(5)
    ]
    assert_rounded("nll", found, np.array(expected))


def test_codes_have_the_moments_it_tells(rng: np.random.Generator) -> None:
    """Exact here, as the mean is affine and the variance the same for every u."""
    model = deep_model()
    model.params["prior.decoder.0.W"][:, Z:] = 0
    mean, deviation = model.prior.moments(model.workspace())
    z = model.prior.sample(N, rng, model.workspace())
    error = deviation / np.sqrt(N)
    assert (abs(z.mean(axis=0) - mean) < LIMIT * error).all()
    assert (abs(z.var(axis=0) / deviation**2 - 1) < LIMIT * np.sqrt(2 / N)).all()


def test_weights_of_both_layers_average_to_the_density(
    rng: np.random.Generator,
) -> None:
    """E exp(-nll) over u is p(z), here N(c, A^T A + t^2), whatever q(u|z) is."""
    model = deep_model()
    W, b = model.params["prior.decoder.0.W"], model.params["prior.decoder.0.b"]
    W[:, Z:], A, c, t = 0, W[:, :Z], b[:Z], np.exp(b[Z:])
    z = np.repeat(rng.normal(size=(1, Z)), N, axis=0)
    found, _ = model.prior.forward(z, rng.normal(size=(N, U)), model.workspace())
    Sigma, apart = A.T @ A + np.diag(t), z[0] - c
    squares = apart @ np.linalg.inv(Sigma) @ apart
    exact = np.exp(-(squares + np.linalg.slogdet(2 * np.pi * Sigma)[1]) / 2)
    weights = np.exp(-found)
    assert abs(weights.mean() - exact) < LIMIT * weights.std() / np.sqrt(N)


def test_without_hidden_layers_the_gradient_of_z_is_the_slope(
    rng: np.random.Generator,
) -> None:
    model, eps = deep_model(), rng.normal(size=(5, U))
    prior, work = model.prior, model.workspace(model.params.unwritten())

    def backward(dnll: Array, z: Array) -> Array:
        return prior.backward(dnll, z, prior.forward(z, eps, work)[1], eps, work)[0]

    assert gradcheck(
        lambda z: prior.forward(z, eps, work)[0], backward, rng.normal(size=(5, Z))
    )


def test_an_importance_weight_is_of_both_layers(rng: np.random.Generator) -> None:
    """The same noise in one sample: iwae of K = 1 is the sampled ELBO's loss."""
    model, x = deep_model(), (rng.random((4, 6)) < 0.5).astype(float)
    eps = rng.normal(size=(4, model.noise))
    assert model.noise == Z + U
    weighted = model.forward(x, eps, Iwae(1))
    sampled = model.forward(x, eps, SAMPLED)
    np.testing.assert_allclose(weighted.loss, sampled.loss, rtol=1e-14)
    assert set(sampled.terms) == {"recon", "log q(z|x)", "-log p(z)"}


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"prior": "deep"}, "top: found no widths"),
        ({"top": (3, 2)}, r"top: found \[3, 2\] with the prior 'standard'"),
        ({"prior": "mixture", "top": (2,)}, r"top: found \[2\] with the prior 'mixt"),
        ({"prior": "vamp", "top": (2,)}, r"top: found \[2\] with the prior 'vamp'"),
        ({"prior": "deep", "top": (3, 0)}, "top: found 0"),
        ({"prior": "deep", "top": (2,), "posterior": "point"}, "has no density"),
    ],
)
def test_what_makes_no_second_layer_is_refused(
    how: dict[str, object], found: str
) -> None:
    with pytest.raises(ArgumentError, match=found):
        VAE(6, (4,), Z, **how)  # type: ignore[arg-type]
