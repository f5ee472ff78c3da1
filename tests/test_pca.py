"""Principal components, and that they are what a linear auto-encoder learns.

Shapes: N points, D pixels, Z latents.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from numpyvae import VAE
from numpyvae.analysis.pca import largest_angle, principal_axes, principal_plane
from numpyvae.pairs.objectives import ELBO
from numpyvae.training.optimizers import Adam


@pytest.mark.parametrize("latent", [3, 5])
def test_the_plane_is_that_of_the_largest_variances(latent: int) -> None:
    rng = np.random.default_rng(latent)
    mixing = rng.standard_normal((latent, latent))
    codes = rng.standard_normal((200, latent)) @ mixing + 10  # far from centred
    found = principal_plane(codes)
    u, s, _ = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    expected = u[:, :2] * s[:2]
    signs = np.sign((found * expected).sum(axis=0))
    # Squaring the matrix for eigh costs half of float64's 16 digits at worst.
    np.testing.assert_allclose(found * signs, expected, atol=1e-7)
    assert found[:, 0].var() > found[:, 1].var()


def test_one_latent_is_set_beside_a_zero_and_two_stay() -> None:
    codes = np.random.default_rng(0).standard_normal((20, 2)) * [1, 3]
    assert np.array_equal(principal_plane(codes), codes)
    alone = principal_plane(codes[:, :1])
    assert np.array_equal(alone, np.stack([codes[:, 0], np.zeros(20)], axis=1))


def test_principal_axes_are_those_of_an_svd(rng: np.random.Generator) -> None:
    x = rng.standard_normal((200, 6)) * [5, 4, 3, 2, 1, 0.5] + 10
    mean, axes, variances = principal_axes(x, 3)
    np.testing.assert_allclose(mean, x.mean(axis=0))
    _, s, V = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(variances, s**2 / 200)
    assert largest_angle(axes, V[:3]) < 1e-6


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1.0, 45.0, 90.0])
def test_the_largest_angle_is_the_one_that_two_planes_were_turned_by(
    angle: float, rng: np.random.Generator
) -> None:
    """Whatever bases they are told by: the second plane shares one axis."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    plane = np.eye(5)[:2]
    turned = np.array([[1, 0, 0, 0, 0], [0, cos, 0, sin, 0]])
    mixed = rng.standard_normal((2, 2)) @ turned
    assert largest_angle(plane, mixed) == pytest.approx(angle, rel=1e-6, abs=1e-9)


def linear(seed: int = 1) -> tuple[VAE, NDArray]:
    """A linear auto-encoder of 3 latents, and 100 images of 3 strong components."""
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((8, 8)))
    x = rng.standard_normal((100, 8)) * [9, 8, 7, 2, 1, 1, 1, 1] @ turn / 40 + 0.5
    model = VAE(
        8, (), 3, posterior="point", likelihood="gaussian", dtype=np.float64, seed=seed
    )
    return model, x.clip(0, 1)


def squared_error(model: VAE, x: NDArray) -> float:
    return ((x - model.reconstruct(x)) ** 2).sum(axis=1).mean()


def test_pca_is_where_the_gradient_of_a_linear_auto_encoder_ends() -> None:
    """Its loss is then the variance left over, and every other place is worse."""
    model, x = linear()
    mean, axes, variances = principal_axes(x, 3)
    model.params["encoder.0.W"][...] = axes.T
    model.params["encoder.0.b"][...] = -axes @ mean
    model.params["decoder.0.W"][...] = axes
    model.params["decoder.0.b"][...] = mean
    best, grads = model.loss_and_gradient(x, np.zeros((100, 3)), ELBO)
    assert np.abs(grads.flat).max() < 1e-15  # sums of terms below 1, over 100 images
    assert squared_error(model, x) == pytest.approx(variances[3:].sum(), rel=1e-12)
    optimum = model.params.flat.copy()
    for step in np.random.default_rng(1).standard_normal((100, optimum.size)):
        model.params.flat[:] = optimum + 1e-3 * step
        assert model.loss_and_gradient(x, np.zeros((100, 3)), ELBO)[0] > best


def test_a_linear_auto_encoder_learns_the_principal_subspace() -> None:
    """By gradient descent from anywhere."""
    model, x = linear()
    _, axes, variances = principal_axes(x, 3)
    assert largest_angle(model.params["decoder.0.W"], axes) > 45
    adam = Adam(model.params.flat, model.code, 0.1)
    for _ in range(2000):
        _, grads = model.loss_and_gradient(x, np.zeros((100, 3)), ELBO)
        adam.advance()
        adam.update(grads.flat[None])
        adam.lr *= 0.9985
    # Measured 0.1 degrees and 1.001, and both still fall.
    assert largest_angle(model.params["decoder.0.W"], axes) < 1
    assert squared_error(model, x) < 1.01 * variances[3:].sum()
