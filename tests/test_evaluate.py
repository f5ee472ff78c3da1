"""Evaluation: the ELBO of every image, with one z each, whoever computes it."""

import threading

import numpy as np
import pytest
from data import tiny
from numpy.typing import NDArray

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels.active_pixels import rows_of
from numpyvae.pairs.types import Input
from numpyvae.training.evaluate import (
    BLOCK,
    Evaluation,
    evaluate,
    likelihood,
)
from numpyvae.training.workers import Workers

LATENT = 3
COUNT = 2 * BLOCK + 77  # three blocks, the last one short
IMAGES = tiny(train=COUNT).train_images
SURE = np.where(IMAGES > 127, 255, 0).astype(np.uint8)  # nothing left to draw


def model(**keywords: object) -> VAE:
    return VAE(48, [16], LATENT, **keywords)  # type: ignore[arg-type]


def evaluated(vae: VAE, binarize: str, seed: int = 0) -> Evaluation:
    with Workers(1) as workers:
        return evaluate(vae, SURE, binarize, seed, workers)


def same(a: Evaluation, b: Evaluation) -> bool:
    return a[:2] == b[:2] and a.mu.tobytes() == b.mu.tobytes()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("binarize", ["threshold", "none", "static"])
def test_a_decoder_without_weights_has_an_elbo_in_closed_form(
    binarize: str, compiled: bool
) -> None:
    # Without weights in its last layer, a decoder says the same of every z, and the
    # noise is gone: recon is the cross-entropy with sigmoid(b), kl depends on mu alone.
    vae = model(compiled=compiled, dtype=np.float64)
    logits = np.linspace(-3, 2, 48)
    vae.params["decoder.1.W"][...] = 0
    vae.params["decoder.1.b"][...] = logits
    vae.params["encoder.1.W"][...] = 0
    mu, logvar = np.array([1.0, -2.0, 0.5]), np.array([0.3, -1.0, 0.0])
    vae.params["encoder.1.b"][...] = np.concatenate([mu, logvar])
    images = IMAGES if binarize == "none" else SURE
    with Workers(1) as workers:
        found = evaluate(vae, images, binarize, 0, workers)
    x = images.reshape(COUNT, 48) / 255
    p = 1 / (1 + np.exp(-logits))
    recon = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean()
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum() / 2
    # Static noise leaves sure ink out once in 65,536 pixels: 52,000 pixels of 2 nats
    # at most over 1,077 images.
    tolerance = 0.02 if binarize == "static" else 1e-10
    assert found.recon == pytest.approx(recon, abs=tolerance)
    assert found.kl == pytest.approx(kl, abs=1e-10)
    assert found.elbo == pytest.approx(-recon - kl, abs=tolerance)
    np.testing.assert_allclose(found.mu, np.tile(mu, (COUNT, 1)))


def test_it_is_the_mean_over_draws_of_z() -> None:
    # Against a plain loop with other noise: both are means of 1,077 draws.
    vae = model(compiled=False, dtype=np.float64)
    vae.params["decoder.0.W"][...] *= 20  # so that z matters
    rng = np.random.default_rng(4)
    x = SURE.reshape(COUNT, 48) / 255
    recons, kls = [], []
    for _ in range(20):
        forward = vae.forward(x, rng.standard_normal((COUNT, LATENT)))
        recons.append(forward.recon.mean())
        kls.append(forward.kl.mean())
    spread = np.std(recons)
    assert spread > 0.01
    found = evaluated(vae, "threshold")
    assert abs(found.recon - np.mean(recons)) < 5 * spread
    assert found.kl == pytest.approx(np.mean(kls), rel=1e-12)
    np.testing.assert_allclose(found.mu, forward.code.mu, rtol=1e-12)
    others = [evaluated(vae, "threshold", seed).recon for seed in range(20)]
    assert 0.5 < np.std(others) / spread < 2  # the noise has its full spread
    assert abs(np.mean(others) - np.mean(recons)) < 5 * spread * np.sqrt(2 / 20)


@pytest.mark.parametrize("binarize", ["dynamic", "static", "threshold", "none"])
def test_threads_and_calls_leave_the_bits_alone(binarize: str) -> None:
    vae = model()
    with Workers(1) as one, Workers(2) as two:
        first = evaluate(vae, IMAGES, binarize, 3, one)
        assert same(evaluate(vae, IMAGES, binarize, 3, one), first)
        for _ in range(3):
            assert same(evaluate(vae, IMAGES, binarize, 3, two), first)
        assert not same(evaluate(vae, IMAGES, binarize, 4, one), first)


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_every_image_counts_once(count: int) -> None:
    vae = model()
    with Workers(1) as workers:
        found = evaluate(vae, SURE[:count], "threshold", 0, workers)
    mu, sigma = vae.encode((SURE[:count] / 255).reshape(count, 48).astype(np.float32))
    # float32, summed over 16 units in another order.
    np.testing.assert_allclose(found.mu, mu, atol=1e-6)
    kl = (mu**2 + sigma**2 - 1).sum(axis=1) / 2 - np.log(sigma).sum(axis=1)
    assert found.kl == pytest.approx(kl.mean(), rel=1e-4)


def test_images_and_parameters_are_left_as_they_are() -> None:
    vae, images = model(), IMAGES.copy()
    before = vae.params.flat.tobytes()
    with Workers(1) as workers:
        evaluate(vae, images, "dynamic", 0, workers)
    assert vae.params.flat.tobytes() == before
    assert np.array_equal(images, IMAGES)


def test_single_precision_is_summed_in_double() -> None:
    """One image 497 times, each with the same recon: their mean is that number."""
    vae, images = model(), np.repeat(SURE[:1], 497, axis=0)
    vae.params["decoder.1.W"][...] = 0
    x = (images.reshape(497, 48) / 255).astype(np.float32)
    recon = vae.forward(x, np.zeros((497, LATENT), np.float32)).recon
    with Workers(1) as workers:
        found = evaluate(vae, images, "threshold", 0, workers)
    assert len(np.unique(recon)) == 1 and recon.dtype == np.float32
    assert found.recon == pytest.approx(float(recon[0]), rel=1e-12)


def test_an_unknown_binarization_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^binarize: found 'grey'"):
        evaluated(model(), "grey")


@pytest.mark.parametrize("images", [IMAGES[:, :-1], IMAGES.repeat(2, 1), IMAGES[:0]])
@pytest.mark.parametrize("binarize", ["dynamic", "none"])
def test_images_that_do_not_fit_are_refused(images: NDArray, binarize: str) -> None:
    with Workers(1) as workers, pytest.raises(ArgumentError, match="expected"):
        evaluate(model(), images, binarize, 0, workers)


def exact_nll(vae: VAE, x: NDArray[np.float64]) -> float:
    """-log p(x), mean over images, by the trapezium rule over the only latent."""
    z = np.linspace(-9, 9, 4001)
    logits = vae.decoder.forward(z[:, None], vae.workspace())[-1].y
    log_prior = -(z * z + np.log(2 * np.pi)) / 2
    log_joint = x @ logits.T - np.logaddexp(0, logits).sum(axis=1) + log_prior
    return -np.log(np.exp(log_joint).sum(axis=1) * (z[1] - z[0])).mean()


@pytest.mark.parametrize("compiled", [True, False])
def test_the_importance_weighted_estimate_falls_to_the_truth(compiled: bool) -> None:
    """One latent, where log p(x) is an integral that a sum over a grid gives."""
    vae = VAE(12, (5,), 1, "tanh", dtype=np.float64, compiled=compiled, seed=3)
    vae.params.flat *= 1.5
    images = np.random.default_rng(0).integers(0, 2, (60, 3, 4), np.uint8) * 255
    truth = exact_nll(vae, images.reshape(60, 12) / 255)
    with Workers(2) as workers:
        found = [
            likelihood(vae, images, "threshold", 0, k, workers).nll
            for k in (1, 5, 50, 2000)
        ]
        elbo = evaluate(vae, images, "threshold", 0, workers).elbo
    assert found == sorted(found, reverse=True)
    assert found[0] - truth > 0.05  # a gap to close
    assert abs(found[0] + elbo) < 0.3  # each with one sample of its own
    assert abs(found[-1] - truth) < 0.01


def test_the_estimate_depends_on_neither_threads_nor_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vae = VAE(12, (5,), 2, seed=1)
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 4)).astype(np.uint8)
    monkeypatch.setattr("numpyvae.training.evaluate.BLOCK", 7)
    results = []
    for threads, chunk in ((1, 250), (2, 250), (2, 4)):
        monkeypatch.setattr("numpyvae.training.evaluate.CHUNK", chunk)
        with Workers(threads) as workers:
            results.append(likelihood(vae, images, "dynamic", 0, 10, workers))
    assert results[0] == results[1]
    assert results[2].nll == pytest.approx(results[0].nll, rel=1e-6)
    assert results[0].standard_error > 0


def test_every_block_has_its_own_noise() -> None:
    """With one noise for all, the same block twice would have the same mean."""
    vae, images = model(), SURE[:BLOCK]
    with Workers(1) as workers:
        once = evaluate(vae, images, "threshold", 0, workers)
        twice = evaluate(vae, np.concatenate([images] * 2), "threshold", 0, workers)
    assert once.kl == pytest.approx(twice.kl)
    assert once.recon != pytest.approx(twice.recon)


def test_the_estimate_of_a_very_unlikely_image_is_finite() -> None:
    """1,200 undecided pixels are 832 nats; exp(-832) is 0."""
    images = np.zeros((2, 30, 40), np.uint8)
    with Workers(1) as workers:
        found = likelihood(VAE(1200, (3,), 2), images, "threshold", 0, 5, workers)
    assert 700 < found.nll < 1000


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_an_estimate(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the thread that is told, nor at the end of all images."""
    calls: list[int] = []

    def interrupted(x: Input, rows: slice) -> Input:
        calls.append(rows.start)
        if threading.current_thread() is threading.main_thread() and len(calls) > 9:
            raise KeyboardInterrupt
        return rows_of(x, rows)

    monkeypatch.setattr("numpyvae.training.evaluate.rows_of", interrupted)
    with Workers(threads) as workers, pytest.raises(KeyboardInterrupt):
        likelihood(model(), SURE, "threshold", 0, 50, workers)
    assert len(calls) < COUNT / 2
