"""Samples decoded in a compiled function weigh what `VAE.forward` says they do."""

from collections.abc import Callable

import numpy as np
import pytest
from data import tiny
from differences import assert_close
from hypothesis import given
from hypothesis import strategies as st
from own_parts import OWN_PARTS
from test_posteriors import DENSITIES
from works import with_prior

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels import blas
from numpyvae.kernels.active_pixels import active_pixels
from numpyvae.pairs.priors import PRIORS
from numpyvae.training import evaluate
from numpyvae.training.evaluate import SAMPLED, likelihood
from numpyvae.training.fused import likelihood as fused_likelihood
from numpyvae.training.fused.likelihood import FusedLikelihood, fits
from numpyvae.training.workers import Workers

# A loss adds up to 1,200 terms, each of at most a few nats, through seven layers.
ROUNDING = 7 * 16 * float(np.finfo(np.float32).eps)

needs_gemm = pytest.mark.skipif(
    blas.find_gemm() is None,
    reason="NumPy's BLAS is not OpenBLAS's wheel, or the JIT is off: no compiled code",
)


@needs_gemm
@given(
    pixels=st.integers(1, 150) | st.sampled_from([511, 512, 513, 1200]),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    activation=st.sampled_from(["relu", "tanh", "identity"]),
    posterior=st.sampled_from(DENSITIES),
    prior=st.sampled_from([*PRIORS]),
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    scale=st.sampled_from([0.0, 0.3, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_reference(
    pixels: int,
    hidden: list[int],
    activation: str,
    posterior: str,
    prior: str,
    counts: list[int],
    scale: float,
    seed: int,
) -> None:
    """At a scale of 0, every factor of the products is 2, the most that it can be."""
    rng, latent = np.random.default_rng(seed), 3
    try:
        model = with_prior(
            prior, pixels, hidden, latent, activation, posterior=posterior
        )
    except (ArgumentError, ValueError):
        return  # two that don't go together
    model.params.flat[...] = 0.3 * rng.standard_normal(model.params.flat.shape)
    model.params["decoder.0.W"][...] *= scale
    model.params[f"decoder.{len(hidden)}.b"][...] *= scale
    reference = VAE(
        **model.arguments() | {"dtype": "float64", "compiled": False},
        params=model.params.flat.astype(np.float64),
    )  # fmt: skip
    bits = (rng.random((1, pixels)) < 0.3).astype(np.uint8)
    fused = FusedLikelihood(model)
    for count in counts:  # the arrays of another count are used again
        eps = rng.standard_normal((count, model.noise), np.float32)
        found = fused.log_weights(active_pixels(bits), eps)
        x, noise = bits.astype(np.float64), eps.astype(np.float64)
        forward = reference.forward(x, noise, SAMPLED)
        want = -(forward.recon + forward.kl)
        size = np.maximum(1, forward.recon + np.abs(forward.kl))
        assert_close("log weights", found / size, want / size, ROUNDING)


@needs_gemm
def test_log_p_is_the_same_with_it_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = VAE(48, [16], 3), tiny().test_images[:7]
    found = []
    for fitting in (fits, lambda model: False):
        monkeypatch.setattr(evaluate, "fits", fitting)
        with Workers(2) as workers:
            found.append(likelihood(model, images, "dynamic", 0, 1100, workers))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


ASKED = ["own prior", "own family", "own head", "own KL"]  # as everywhere else
OTHERS: dict[str, Callable[[], VAE]] = {
    "double": lambda: VAE(48, [16], 3, dtype=np.float64),
    "reference": lambda: VAE(48, [16], 3, compiled=False),
    "sigmoid": lambda: VAE(48, [16], 3, "sigmoid"),
    "gaussian": lambda: VAE(48, [16], 3, likelihood="gaussian"),
    "conditional": lambda: VAE(48, [16], 3, classes=10),
    "conv": lambda: VAE(64, [16], 3, channels=[4], image_shape=(8, 8)),
    "point": lambda: VAE(48, [16], 3, posterior="point"),
    **{name: make for name, make in OWN_PARTS.items() if name not in ASKED},
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_other_models_take_the_general_way(make: Callable[[], VAE]) -> None:
    assert not fused_likelihood.fits(make())
