"""Exact ground truth: a VAE whose log p(x), posterior and optimum are known (ppca.py).

Each test is one measurement of the code. The real code passes; the same measurement of
the code with a planted fault must fail clearly.
"""

from typing import NamedTuple

import numpy as np
import ppca
import pytest
from planted import CODES, REAL, Pairs, wrong
from ppca import Array, Decoder

pytestmark = pytest.mark.slow("trains to the maximum")

SEED = 20260104  # of every draw
# Relative to 1 + |log p(x)|. Two ways to the same number, through an inverse, a
# determinant and sums of up to 10 terms; the worst of 30,000 is 2e-15.
EXACT = 1e-12
LIMIT, POWER = 5, 20  # standard errors: the real code, a planted fault
FAR = 1e9  # a planted fault is off by that many tolerances, where nothing is random

KL_TWICE = wrong(kl_forward=lambda mu, logvar: 2 * REAL.kl_forward(mu, logvar))
KL_NEGATIVE = wrong(kl_forward=lambda mu, logvar: -REAL.kl_forward(mu, logvar))
STD_IS_VARIANCE = wrong(sigma_forward=np.exp, sigma_backward=lambda ds, s: ds * s)
NO_NOISE = wrong(reparameterize_forward=lambda mu, sigma, eps: mu + 0 * sigma)
FAULTS = {
    "1/2 of the KL lost": KL_TWICE,
    "KL with the wrong sign": KL_NEGATIVE,
    "sigma read as variance": STD_IS_VARIANCE,
    "test ELBO at z = mu": NO_NOISE,
}

each_code = pytest.mark.parametrize("code", CODES.values(), ids=CODES)


def each(**faults: Pairs) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("code", faults.values(), ids=faults)


# ---- (a) At the exact posterior the bound is log p(x) --------------------------------


def off_at_the_posterior(code: Pairs) -> tuple[float, float]:
    """|ELBO - log p(x)| and |log p(x, z) - log q(z|x) - log p(x)| at every z, worst."""
    rng = np.random.default_rng(SEED)
    worst_elbo = worst_pointwise = 0.0
    for _ in range(100):
        Z = int(rng.integers(1, 5))
        D = int(rng.integers(Z, 10))
        decoder = ppca.draw_decoder(rng, Z, D, diagonal=True)
        x = 2 * rng.standard_normal((6, D))
        truth = ppca.log_evidence(x, decoder)
        mu, covariance = ppca.posterior(x, decoder)
        logvar = np.tile(np.log(np.diag(covariance)), (6, 1))
        size = 1 + np.abs(truth)

        elbo = ppca.elbo(code, x, decoder, mu, logvar, ppca.sigma_points(Z))
        worst_elbo = max(worst_elbo, np.max(np.abs(elbo - truth) / size))

        eps = 3 * rng.standard_normal((20, Z))  # far out in the tails as well
        q = mu[:1], logvar[:1]
        weights = ppca.log_weights(code, x[:1], decoder, q, eps)
        # The terms that cancel grow as the square of eps.
        terms = size[0] + (eps**2).sum(axis=1)
        off = np.max(np.abs(weights - truth[0]) / terms)
        worst_pointwise = max(worst_pointwise, off)
    return worst_elbo, worst_pointwise


@each_code
def test_the_elbo_of_the_exact_posterior_is_log_p(code: Pairs) -> None:
    elbo, pointwise = off_at_the_posterior(code)
    assert elbo < EXACT
    assert pointwise < EXACT


@each(**FAULTS)
def test_with_a_fault_it_is_not(code: Pairs) -> None:
    assert off_at_the_posterior(code)[0] > FAR * EXACT


# ---- (b) Nowhere is it above, and what is missing is KL(q || posterior) --------------


class Gaps(NamedTuple):
    excess: float  # the largest ELBO - log p(x)
    off: float  # the largest | (log p(x) - ELBO) - KL(q || posterior) |
    smallest: float
    largest: float  # of the gaps themselves, in nats


def gaps(code: Pairs, count: int) -> Gaps:
    """Of `count` encoders moved away from the best one, by 1e-8 to 3.

    Half of the decoders have an exactly diagonal posterior, half have not.
    """
    rng = np.random.default_rng(SEED)
    found = []
    for i in range(count):
        if i % 50 == 0:
            Z = int(rng.integers(1, 5))
            D = int(rng.integers(Z, 10))
            decoder = ppca.draw_decoder(rng, Z, D, diagonal=i % 100 == 0)
            x = 2 * rng.standard_normal((3, D))
            truth = ppca.log_evidence(x, decoder)
            at, covariance = ppca.posterior(x, decoder)
            # The linear encoder of the posterior's mean, x V + c.
            V = decoder.W.T @ covariance / np.exp(decoder.noise)
            c = -decoder.b @ V
            best = -np.log(np.diag(np.linalg.inv(covariance)))
        step = 3 * 10.0 ** rng.uniform(-8.5, 0)
        moved_V = V + step * rng.standard_normal(V.shape)
        moved_c = c + step * rng.standard_normal(c.shape)
        mu = code.dense_forward(x, moved_V, moved_c)
        logvar = best + step * rng.uniform(-1, 1, mu.shape)
        elbo = ppca.elbo(code, x, decoder, mu, logvar, ppca.sigma_points(len(c)))
        kl = ppca.kl_between(mu, np.exp(logvar), at, covariance)
        size = 1 + np.abs(elbo)
        found.append([(elbo - truth) / size, (truth - elbo - kl) / size, kl])
    excess, off, kl = np.moveaxis(np.array(found), 1, 0)
    return Gaps(excess.max(), np.abs(off).max(), kl.min(), kl.max())


@each_code
def test_no_encoder_lifts_the_elbo_above_log_p(code: Pairs) -> None:
    found = gaps(code, 10_000)
    assert found.excess < EXACT
    assert found.off < EXACT
    assert found.smallest < 1e-12 and found.largest > 100, "near and far were tried"


@each(**FAULTS)
def test_with_a_fault_the_gap_is_another(code: Pairs) -> None:
    assert gaps(code, 500).off > FAR * EXACT


@each(**{name: FAULTS[name] for name in list(FAULTS)[1:]})
def test_with_a_fault_the_elbo_exceeds_log_p(code: Pairs) -> None:
    assert gaps(code, 500).excess > FAR * EXACT


# ---- (c) More samples close the gap --------------------------------------------------

COUNTS = 2 ** np.arange(13)  # K = 1, 2, 4 ... 4096
REPEATS = 200


class Importance(NamedTuple):
    unbiased: float  # standard errors between E[p(x, z) / q(z|x)] and p(x)
    at_one: float  # standard errors between E[log p(x, z) / q(z|x)] and the ELBO
    gap: Array  # log p(x) - the bound for each of COUNTS, in nats
    predicted: Array  # chi^2 / 2K, what the gap tends to for large K


def importance(code: Pairs, repeats: int) -> Importance:
    """The bound E[log mean_K p(x, z) / q(z|x)] for a q that is off in mean and spread.

    Nested common samples: K = 2,048 takes apart the two halves that K = 4,096 takes
    together, so by Jensen the bound rises at every K; that it ends at log p(x), and how
    fast, is what the code must get right. The mean of the weights over p(x) is 1,
    whatever K; its noise is taken off that of its log.
    """
    rng = np.random.default_rng(SEED)
    decoder = ppca.draw_decoder(rng, 2, 5, diagonal=True)
    x = 2 * rng.standard_normal((1, 5))
    truth = ppca.log_evidence(x, decoder)[0]
    at, covariance = ppca.posterior(x, decoder)
    mu = at + 0.9 * np.sqrt(np.diag(covariance)) * [1, -1]
    logvar = np.log(np.diag(covariance))[None] + [[0.5, 0.3]]
    eps = rng.standard_normal((repeats * COUNTS[-1], 2))
    log_weights = ppca.log_weights(code, x, decoder, (mu, logvar), eps) - truth
    weights = np.exp(log_weights).reshape(repeats, -1)
    gap = []
    for K in COUNTS:
        means = weights.reshape(-1, K).mean(axis=1)
        gap.append((means - 1 - np.log(means)).mean())
    elbo = ppca.elbo(code, x, decoder, mu, logvar, ppca.sigma_points(2))[0] - truth
    chi2 = ppca.chi_square(at[0], covariance, mu[0], np.exp(logvar[0]))
    return Importance(
        standard_errors(weights.ravel() - 1),
        standard_errors(log_weights - elbo),
        np.array(gap),
        chi2 / (2 * COUNTS),
    )


def standard_errors(off: Array) -> float:
    """How many the mean of off (N,), expected 0, is off; spread taken about 0."""
    return float(abs(off.mean()) / np.sqrt((off**2).mean() / len(off)))


@each_code
def test_the_importance_bound_rises_to_log_p(code: Pairs) -> None:
    found = importance(code, REPEATS)
    assert found.unbiased < LIMIT
    assert found.at_one < LIMIT
    assert (found.gap > 0).all()
    assert (np.diff(found.gap) < 0).all(), "a larger K is a tighter bound"
    # (mean - 1)^2 / 2 of a nearly normal mean: its average over 200 is known to
    # sqrt(2 / 200) = 10 %, so 5 standard errors are 50 %.
    np.testing.assert_allclose(found.gap[-1], found.predicted[-1], rtol=0.5)
    # By K = 64 there are 12,800 groups, 1.3 %, and the next term of 1/K is a few %.
    np.testing.assert_allclose(found.gap[6], found.predicted[6], rtol=0.15)


@each(**{"sigma read as variance": STD_IS_VARIANCE, "no noise": NO_NOISE})
def test_with_a_fault_the_weights_are_biased(code: Pairs) -> None:
    assert importance(code, 10).unbiased > POWER


@each(**FAULTS)
def test_with_a_fault_it_does_not_start_at_the_elbo(code: Pairs) -> None:
    assert importance(code, 10).at_one > POWER


# ---- (d) Our gradients and our optimizers reach the maximum likelihood ---------------

PIXELS, LATENT, COUNT = 6, 2, 100
ADAM = {0.03: 1500, 0.003: 500}
SGD = {0.01: 12_000}
NATS, ANGLE, NOISE = 1e-9, 1e-6, 1e-6  # per datum; radians; relative


class Fitted(NamedTuple):
    shortfall: float  # nats per datum below the maximum likelihood
    slack: float  # nats per datum that the fitted ELBO is below log p(x)
    angle: float  # between the rows of W and the first principal axes, radians
    noise: float  # relative error of sigma^2


def fitted(code: Pairs, optimizer: str, stages: dict[float, int]) -> Fitted:
    rng = np.random.default_rng(SEED)
    directions = np.linalg.qr(rng.standard_normal((PIXELS, LATENT)))[0].T
    x = rng.standard_normal((COUNT, LATENT)) * [2, 1.2] @ directions
    x += 0.6 * rng.standard_normal(x.shape) + rng.standard_normal(PIXELS) / 2
    centred = x - x.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    discarded = (values[LATENT:] ** 2 / COUNT).mean()
    best = ppca.log_evidence(x, ppca.maximum_likelihood(x, LATENT)).mean()

    model = ppca.fit(code, x, LATENT, optimizer, stages)
    grads = model.params.like(np.zeros_like(model.params.flat))
    points = ppca.sigma_points(LATENT)
    elbo = -model.loss_and_gradient(REAL, x, points, grads)
    decoder: Decoder = model.decoder
    likelihood = ppca.log_evidence(x, decoder).mean()
    return Fitted(
        best - likelihood,
        likelihood - elbo,
        ppca.largest_angle(decoder.W, axes[:LATENT]),
        abs(np.exp(decoder.noise) / discarded - 1),
    )


@pytest.mark.parametrize(
    ("code", "optimizer", "stages"),
    [
        pytest.param(code, name, stages, id=f"{which}-{name}")
        for name, stages in {"Adam": ADAM, "SGD": SGD}.items()
        for which, code in CODES.items()
    ],
)
def test_descent_reaches_the_maximum_likelihood(
    code: Pairs, optimizer: str, stages: dict[float, int]
) -> None:
    found = fitted(code, optimizer, stages)
    assert abs(found.shortfall) < NATS
    assert abs(found.slack) < NATS
    assert found.angle < ANGLE
    assert found.noise < NOISE


@each(
    **{
        "KL with the wrong sign": wrong(
            kl_backward=lambda d, mu, lv: REAL.kl_backward(-d, mu, lv)
        ),
        "1/2 lost in dlogvar": wrong(sigma_backward=lambda ds, s: ds * s),
        "sigma read as variance": STD_IS_VARIANCE,
        "no dlogvar through z": wrong(sigma_backward=lambda ds, s: 0 * ds),
    }
)
def test_with_a_fault_it_does_not(code: Pairs) -> None:
    assert fitted(code, "Adam", ADAM).shortfall > 1e6 * NATS


# ---- (e) Correlated latents: full covariance reaches log p(x), diagonal does not -----

TRANSPOSED = wrong(
    correlate_forward=lambda mu, L, eps: REAL.correlate_forward(
        mu, L.transpose(0, 2, 1), eps
    )
)
P_TWICE = wrong(standard_normal_forward=lambda z: 2 * REAL.standard_normal_forward(z))
Q_NEGATIVE = wrong(normal_log_prob=lambda eps: -REAL.normal_log_prob(eps))
FULL_KL_TWICE = wrong(full_kl_forward=lambda *a: 2 * REAL.full_kl_forward(*a))
FULL_KL_NEGATIVE = wrong(full_kl_forward=lambda *a: -REAL.full_kl_forward(*a))


def no_exp(entries: Array) -> Array:
    """L with the entries themselves on its diagonal."""
    L = REAL.cholesky_forward(entries)
    i = np.arange(L.shape[1])
    L[:, i, i] = np.abs(entries[:, : len(i)])
    return L


def off_at_the_correlated_posterior(code: Pairs) -> tuple[float, float]:
    """|ELBO - log p(x)|, and the same of each importance weight, worst; L L^T exact."""
    rng = np.random.default_rng(SEED)
    worst_elbo = worst_weight = 0.0
    for _ in range(100):
        Z = int(rng.integers(2, 5))
        decoder = ppca.draw_decoder(rng, Z, int(rng.integers(Z, 10)), diagonal=False)
        x = 2 * rng.standard_normal((6, len(decoder.b)))
        truth = ppca.log_evidence(x, decoder)
        mu, covariance = ppca.posterior(x, decoder)
        entries, points = ppca.entries_of(covariance), ppca.sigma_points(Z)
        elbo, weights = ppca.full_elbo(code, x, decoder, mu, entries, points)
        size = 1 + np.abs(truth)
        worst_elbo = max(worst_elbo, np.max(np.abs(elbo - truth) / size))
        off = np.abs(weights - truth[:, None]) / size[:, None]
        worst_weight = max(worst_weight, np.max(off))
    return worst_elbo, worst_weight


@each_code
def test_full_covariance_reaches_log_p(code: Pairs) -> None:
    elbo, weight = off_at_the_correlated_posterior(code)
    assert elbo < EXACT
    assert weight < EXACT


@each(**{"1/2 lost": FULL_KL_TWICE, "sign": FULL_KL_NEGATIVE, "L'": TRANSPOSED})
def test_with_a_fault_full_covariance_does_not(code: Pairs) -> None:
    assert off_at_the_correlated_posterior(code)[0] > FAR * EXACT


@each(**{"1/2 lost": P_TWICE, "sign": Q_NEGATIVE, "L'": TRANSPOSED})
def test_with_a_fault_its_weights_do_not(code: Pairs) -> None:
    assert off_at_the_correlated_posterior(code)[1] > FAR * EXACT


def test_without_exp_on_the_diagonal_it_does_not() -> None:
    code = wrong(cholesky_forward=no_exp)
    assert min(off_at_the_correlated_posterior(code)) > FAR * EXACT


def correlated() -> tuple[Array, Decoder, float]:
    """Data of a decoder with unit noise, and the gap of its best diagonal posterior."""
    rng = np.random.default_rng(SEED)
    decoder = ppca.draw_decoder(rng, 3, 6, diagonal=False)._replace(noise=0.0)
    z = rng.standard_normal((20, 3))
    x = z @ decoder.W + decoder.b + rng.standard_normal((20, 6))
    return x, decoder, ppca.best_diagonal_gap(ppca.posterior(x, decoder)[1])


@each_code
def test_the_best_diagonal_posterior_leaves_its_gap(code: Pairs) -> None:
    """The same 0.177 nats for every image, and more for any other diagonal."""
    x, decoder, gap = correlated()
    truth = ppca.log_evidence(x, decoder)
    mu, covariance = ppca.posterior(x, decoder)
    best = -np.log(np.diag(np.linalg.inv(covariance)))
    points = ppca.sigma_points(3)
    elbo = ppca.elbo(code, x, decoder, mu, np.tile(best, (20, 1)), points)
    np.testing.assert_allclose(truth - elbo, gap, atol=EXACT * 100)
    marginal = np.tile(np.log(np.diag(covariance)), (20, 1))
    other = ppca.elbo(code, x, decoder, mu, marginal, points)
    assert (truth - other > gap * 1.01).all()


@pytest.mark.parametrize(("posterior", "share"), [("full", 0), ("diagonal", 1)])
def test_descent_closes_the_gap_with_full_covariance(
    posterior: str, share: int
) -> None:
    """By the package's VAE and Adam; what is left is 0, or the diagonal's gap."""
    x, decoder, gap = correlated()
    elbo = ppca.fit_encoder(posterior, x, decoder, {0.1: 3000, 0.01: 1000})
    left = ppca.log_evidence(x, decoder) - elbo
    assert gap > 0.1
    np.testing.assert_allclose(left, share * gap, atol=1e-6)
