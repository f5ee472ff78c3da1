"""The compiled step says what models.py says, and where it can't be had nobody notices.

The reference is run in float64 from the same single precision numbers. A loss adds some
hundred terms, a gradient entry as many, through at most seven layers.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data import tiny
from differences import Array, assert_close
from hypothesis import given
from hypothesis import strategies as st

from numpyvae import VAE, blas, fused, train
from numpyvae.errors import DivergedError
from numpyvae.fused import FusedShard, fits
from numpyvae.objectives import ELBO, Elbo, Iwae
from numpyvae.pixels import active_pixels
from numpyvae.settings import Settings
from numpyvae.train import Trainer
from numpyvae.workers import Workers

# Seven layers, each of whose sums is rounded by 16 eps at most (see differences.py).
ROUNDING = 7 * 16 * float(np.finfo(np.float32).eps)

needs_gemm = pytest.mark.skipif(
    blas.find_gemm() is None,
    reason="NumPy's BLAS is not OpenBLAS's wheel, or the JIT is off: no compiled step",
)


def at_random(rng: np.random.Generator, *args: Any, **more: Any) -> VAE:
    """A model none of whose parameters is zero."""
    model = VAE(*args, **more)
    model.params.flat[...] = 0.3 * rng.standard_normal(model.params.flat.shape)
    return model


# ---- The product ---------------------------------------------------------------------


@needs_gemm
@given(st.tuples(*[st.integers(1, 40)] * 3), st.integers(0, 2**32 - 1))
def test_products_are_numpys(sizes: tuple[int, int, int], seed: int) -> None:
    rng, gemm = np.random.default_rng(seed), blas.find_gemm()
    m, k, n = sizes
    a = rng.standard_normal((m, k), np.float32)
    b = rng.standard_normal((k, n), np.float32)
    want = a.astype(np.float64) @ b
    for product, left, right in (
        (blas.product, a, b),
        (blas.product_of_transposed, np.ascontiguousarray(a.T), b),
        (blas.product_with_transposed, a, np.ascontiguousarray(b.T)),
    ):
        c = np.full((m, n), np.nan, np.float32)
        product(gemm, left, right, c)
        assert_close(product.__name__, c, want, ROUNDING)


# ---- exp and tanh --------------------------------------------------------------------


@needs_gemm
def test_exp_is_right_to_the_last_place() -> None:
    a = np.linspace(-87, 88, 40_001, dtype=np.float32)
    found = np.array([fused.exp(x) for x in a])
    error = np.abs(found / np.exp(a.astype(np.float64)) - 1).max()
    assert error < 2 * np.finfo(np.float32).eps
    with np.errstate(over="ignore"):
        ends = [fused.exp(np.float32(x)) for x in (-math.inf, 0, math.inf, math.nan)]
    assert 0 <= ends[0] < 2 * np.finfo(np.float32).tiny
    assert ends[1:3] == [1, math.inf]
    assert math.isnan(ends[3])


@needs_gemm
def test_tanh_is_right_to_the_last_places_near_0_as_well() -> None:
    a = np.concatenate([np.linspace(-20, 20, 20_001), np.geomspace(1e-20, 1, 20_001)])
    a = a.astype(np.float32)
    found, want = np.array([fused.tanh(x) for x in a]), np.tanh(a.astype(np.float64))
    assert np.all(np.abs(found - want) <= 4 * np.finfo(np.float32).eps * np.abs(want))
    ends = [fused.tanh(np.float32(x)) for x in (-math.inf, math.inf, math.nan)]
    assert ends[:2] == [-1, 1]
    assert math.isnan(ends[2])


# ---- The step ------------------------------------------------------------------------


@needs_gemm
@given(
    pixels=st.integers(1, 150),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    decoder_hidden=st.lists(st.integers(1, 20), max_size=3),
    latent=st.integers(1, 8),
    activation=st.sampled_from(["relu", "tanh", "identity"]),
    batch=st.integers(1, 9),
    beta=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_reference(
    pixels: int,
    hidden: list[int],
    decoder_hidden: list[int],
    latent: int,
    activation: str,
    batch: int,
    beta: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    args = pixels, hidden, latent, activation
    model = at_random(rng, *args, decoder_hidden=decoder_hidden)
    reference = VAE(
        *args, decoder_hidden=decoder_hidden, dtype=np.float64, compiled=False,
        params=model.params.flat.astype(np.float64),
    )  # fmt: skip
    bits = (rng.random((batch, pixels)) < 0.3).astype(np.uint8)
    eps = rng.standard_normal((batch, latent), np.float32)
    grads = model.params.like(np.full_like(model.params.flat, np.nan))
    shard = FusedShard(model, grads)
    recon, kl = shard(active_pixels(bits), eps, Elbo(beta), batch)

    x, noise = bits.astype(np.float64), eps.astype(np.float64)
    forward = reference.forward(x, noise, objective=Elbo(beta))
    _, wanted = reference.loss_and_gradient(x, noise, Elbo(beta))
    assert_close("recon", recon, forward.recon_sum, ROUNDING)
    assert_close("kl", kl, forward.kl_sum, ROUNDING)
    for name, grad in grads.items():
        size = max(1.0, float(np.abs(wanted.flat).max()))
        assert_close(name, grad / size, wanted[name] / size, ROUNDING)

    before = grads.flat.tobytes()
    assert shard(active_pixels(bits), eps, Elbo(beta), batch) == (recon, kl)
    assert grads.flat.tobytes() == before


@needs_gemm
def test_a_shard_of_a_larger_batch_and_a_shorter_one(rng: np.random.Generator) -> None:
    """The mean is over the whole batch; work arrays of another size are others."""
    model = at_random(rng, 30, [7], 2)
    grads = model.params.like(np.empty_like(model.params.flat))
    shard = FusedShard(model, grads)
    bits = (rng.random((8, 30)) < 0.4).astype(np.uint8)
    eps = rng.standard_normal((8, 2), np.float32)
    shard(active_pixels(bits), eps, ELBO, 8)
    whole, parts = grads.flat.copy(), []
    for part in (slice(0, 5), slice(5, 8)):
        shard(active_pixels(bits[part]), eps[part], ELBO, 8)
        parts.append(grads.flat.copy())
    assert_close("gradient", parts[0] + parts[1], whole, ROUNDING)


@needs_gemm
def test_a_shard_of_no_images_has_a_gradient_of_zeros() -> None:
    """The first of a last batch of one image."""
    model = VAE(30, [7], 2)
    grads = model.params.like(np.full_like(model.params.flat, np.nan))
    nobody, no_eps = np.zeros((0, 30), np.uint8), np.zeros((0, 2), np.float32)
    told = FusedShard(model, grads)(active_pixels(nobody), no_eps, ELBO, 1)
    assert told == (0, 0)
    assert not grads.flat.any()


# ---- In training ---------------------------------------------------------------------

DATA = tiny()
OTHERS = {
    "double": (lambda: VAE(48, [16], 3, dtype=np.float64), {}),
    "reference": (lambda: VAE(48, [16], 3, compiled=False), {}),
    "sigmoid": (lambda: VAE(48, [16], 3, "sigmoid"), {}),
    "full": (lambda: VAE(48, [16], 3, posterior="full"), {}),
    "gaussian": (lambda: VAE(48, [16], 3, likelihood="gaussian"), {}),
    "conditional": (lambda: VAE(48, [16], 3, classes=10), {}),
    "grey": (lambda: VAE(48, [16], 3), {"binarize": "none"}),
    "corrupt": (lambda: VAE(48, [16], 3), {"corrupt": "mask"}),
    "two samples": (lambda: VAE(48, [16], 3), {"samples": 2}),
    "sampled": (lambda: VAE(48, [16], 3), {"kl": "sampled"}),
    "iwae": (lambda: VAE(48, [16], 3), {"bound": "iwae"}),
}


def steps(model: VAE, **settings: Any) -> tuple[list[tuple[float, float]], Array]:
    """What ten steps tell, and the parameters after them."""
    with Workers(1) as workers:
        trainer = Trainer(model, DATA, Settings(lr=1e-3, **settings), workers)
        told = [trainer.step(np.arange(i, i + 32)) for i in range(10)]
    return told, model.params.flat


@needs_gemm
@pytest.mark.parametrize("warmup", [0, 2])
def test_training_is_the_same_with_it_and_without(
    warmup: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam's step has the size of lr whatever the gradient's: 10 lr are at stake."""
    told, params = steps(VAE(48, [16], 3), warmup=warmup)
    monkeypatch.setattr("numpyvae.fused.find_gemm", lambda: None)
    plainly_told, plain = steps(VAE(48, [16], 3), warmup=warmup)
    np.testing.assert_allclose(told, plainly_told, rtol=1e-4, atol=1e-4)
    assert np.median(np.abs(params - plain)) < 1e-6
    assert np.abs(params - plain).max() < 1e-2


@needs_gemm
@pytest.mark.parametrize("make, settings", OTHERS.values(), ids=OTHERS)
def test_other_models_take_the_general_way(
    make: Callable[[], VAE], settings: dict[str, Any]
) -> None:
    model = make()
    with Workers(1) as workers:
        trainer = Trainer(model, DATA, Settings(**settings), workers)
        assert trainer.fused == []
        trainer.step(np.arange(5))
        assert Trainer(VAE(48, [16], 3), DATA, Settings(), workers).fused


def test_the_objective_alone_can_rule_it_out() -> None:
    model = VAE(48, [16], 3)
    assert fits(model, ELBO) == (blas.find_gemm() is not None)
    assert not fits(model, Iwae(1))
    assert not fits(model, Elbo(samples=2))


def test_an_overflow_is_told_with_its_place() -> None:
    model = VAE(48, [16], 3)
    model.params["decoder.0.W"][...] = np.inf
    with pytest.raises(DivergedError, match=r"decoder layer 1"):
        train(model, DATA, epochs=1, progress=False)
