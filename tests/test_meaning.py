"""What a gradient check cannot see: that the pairs mean what they are named after.

A backward that matches a wrong forward passes every check of slopes. Each claim below
is a statistic: how many standard errors the code is off. The real code stays below 5;
the same statistic, given the same code with one function changed as people have
changed it, goes beyond 20. `python -m tests.proof_figures` draws the table.

Shapes: B batch, N samples, D pixels, Z latents.
"""

import copy
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from numpyvae import VAE, Dataset
from numpyvae.backends import compiled, reference
from numpyvae.evaluate import evaluate
from numpyvae.train import Settings, Trainer
from numpyvae.workers import Workers

Array = NDArray[np.float64]
Pair = tuple[Array, Array]
Code = SimpleNamespace  # the pairs under test, and what becomes of the shards' noise

SEED = 20260103  # of every claim; 200 other seeds gave the same verdicts
LIMIT, POWER = 5, 20  # the real code stays below, a planted fault goes beyond
SAMPLES = 100_000
# The standard error of what is exact: 5 of them are 1e-12. Up to 40,000 terms are
# summed, pairwise, so their rounding is about log2(40,000) / 2 = 8 eps = 2e-15.
ROUNDING = 2e-13

MU, LOGVAR = np.array([[-1.5, 0.0, 0.7]]), np.array([[-2.0, 0.5, 1.0]])
W = np.array([[0.9, -0.4, 0.3, 1.1], [-0.2, 0.8, 0.5, 0.4], [0.6, 0.1, -1.0, 0.7]])
BIAS, PIXELS = np.array([0.1, -0.3, 0.2, 0.5]), np.array([[1.0, -0.7, 0.4, 2.0]])
PIXEL_LOGVAR = np.array([[-0.5, 0.3, 0.0, 0.8]])


class Claim(NamedTuple):
    name: str
    z: Callable[[Code, np.random.Generator], float]
    faults: dict[str, Code]
    exact: bool = False  # no noise in it: its unit is ROUNDING


CLAIMS: list[Claim] = []


def claim(name: str, faults: dict[str, Code], exact: bool = False) -> Callable:
    def enter(z: Callable[[Code, np.random.Generator], float]) -> Callable:
        CLAIMS.append(Claim(name, z, faults, exact))
        return z

    return enter


def real(pairs: SimpleNamespace) -> Code:
    own = pairs is compiled
    return Code(**vars(pairs), shard_rngs=lambda rngs: rngs, compiled=own)


def wrong(**functions: Callable) -> Code:
    """The reference with some functions replaced."""
    return Code(**vars(real(reference)) | functions)


def score(off: Array) -> float:
    """How many standard errors the mean of off (N, ...), expected 0, is off; the worst.

    The spread is taken about 0, not about the mean: the score cannot exceed sqrt(N).
    """
    error = np.sqrt((off**2).mean(axis=0) / len(off))
    return float(np.max(np.abs(off.mean(axis=0)) / error))


def in_roundings(off: Array, size: Array | float = 1.0) -> float:
    return float(np.max(np.abs(off) / size)) / ROUNDING


def rows(array: Array, count: int = SAMPLES) -> Array:
    return np.repeat(array, count, axis=0)


def log_normal(x: Array, mean: Array, logvar: Array) -> Array:
    return -((x - mean) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)) / 2


# ---- Faults: seen in the wild, or their neighbours -----------------------------------


def log_2pi_lost(mean: Array, logvar: Array, x: Array) -> Array:
    return ((x - mean) ** 2 * np.exp(-logvar) + logvar).sum(axis=1) / 2


def gaussian_of_sigma(mean: Array, logvar: Array, x: Array) -> Array:
    return -log_normal(x, mean, 2 * logvar).sum(axis=1)


def from_probabilities(logits: Array, x: Array, low: float = 0.0) -> Pair:
    """p clipped to [low, 0.999] as in a teaching library, or kept from 0 by 1e-8."""
    p = 1 / (1 + np.exp(-logits))
    p, shift = (np.clip(p, low, 0.999), 0) if low else (p, 1e-8)
    terms = x * np.log(p + shift) + (1 - x) * np.log(1 - p + shift)
    return -terms.sum(axis=1), p


def half_the_cross_entropy(logits: Array, x: Array) -> Pair:
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p)).sum(axis=1), p


def mean_over_pixels(logits: Array, x: Array, out: Pair) -> Pair:
    reference.bernoulli_forward(logits, x, out=out)
    out[0][...] /= logits.shape[1]
    return out


def fresh_eps(dz: Array, eps: Array) -> Pair:
    return dz, dz * np.random.default_rng(1).standard_normal(eps.shape)


STD_IS_VARIANCE = wrong(sigma_forward=np.exp, sigma_backward=lambda ds, s: ds * s)
EPS_OF_LATENTS = wrong(reparameterize_forward=lambda mu, s, e: mu + s * e[:, :1])
EPS_OF_IMAGES = wrong(reparameterize_forward=lambda mu, s, e: mu + s * e[:1])
SHARDS_ALIKE = wrong(shard_rngs=lambda rngs: [copy.deepcopy(rngs[0]) for _ in rngs])
KL_AGAINST = wrong(kl_backward=lambda d, mu, lv: reference.kl_backward(-d, mu, lv))


def kl_times(factor: float) -> Code:
    return wrong(kl_forward=lambda mu, lv: factor * reference.kl_forward(mu, lv))


KL_FAULTS = {
    "1/2 lost": kl_times(2),
    "opposite sign": kl_times(-1),
    "exp(logvar) read as sigma": wrong(
        kl_forward=lambda mu, lv: reference.kl_forward(mu, 2 * lv)
    ),
}


# ---- z -------------------------------------------------------------------------------


def standardised(code: Code, eps: Array) -> Array:
    """(z - mu) / sigma, which is to be N(0, 1)."""
    mu, logvar = rows(MU, len(eps)), rows(LOGVAR, len(eps))
    z = code.reparameterize_forward(mu, code.sigma_forward(logvar), eps)
    return (z - mu) / np.exp(logvar / 2)


@claim(
    "z has the mean mu",
    {
        "noise of one sign": wrong(
            reparameterize_forward=lambda mu, s, e: mu + s * abs(e)
        ),
        "mu left out": wrong(reparameterize_forward=lambda mu, s, e: s * e),
    },
)
def mean_of_z(code: Code, rng: np.random.Generator) -> float:
    return score(standardised(code, rng.standard_normal((SAMPLES, 3))))


@claim("z has the spread exp(logvar/2)", {"sigma = exp(logvar)": STD_IS_VARIANCE})
def spread_of_z(code: Code, rng: np.random.Generator) -> float:
    return score(standardised(code, rng.standard_normal((SAMPLES, 3))) ** 2 - 1)


def products(e: Array) -> Array:
    """e_i e_j for every two columns of e (N, n)."""
    i, j = np.triu_indices(e.shape[1], 1)
    return e[:, i] * e[:, j]


@claim(
    "latents are independent",
    {
        "one eps for all latents": EPS_OF_LATENTS,
        "one eps for all images": EPS_OF_IMAGES,
    },
)
def independence(code: Code, rng: np.random.Generator) -> float:
    """Of every two of the 4 x 3 latents of a batch, over 4,000 batches."""
    noise = rng.standard_normal((4000, 4, 3))
    return score(products(np.array([standardised(code, e).ravel() for e in noise])))


@claim(
    "so are they in training",
    {"shards draw the same eps": SHARDS_ALIKE, "one eps for a shard": EPS_OF_IMAGES},
)
def independence_in_training(code: Code, rng: np.random.Generator) -> float:
    """Of every two of the 4 x 2 latents of a batch in two shards, and of two steps."""
    seen: list[Array] = []

    def record(mu: Array, sigma: Array, eps: Array) -> Array:
        z = code.reparameterize_forward(mu, sigma, eps)
        seen.append(((z - mu) / sigma).ravel())
        return z

    images = rng.integers(0, 256, (4, 1, 3), dtype=np.uint8)
    labels = np.zeros(4, np.uint8)
    model = VAE(3, (2,), 2, dtype=np.float64, compiled=code.compiled)
    model.pairs = Code(**vars(code) | {"reparameterize_forward": record})
    settings = Settings(binarize="threshold", seed=int(rng.integers(1000)), lr=1e-9)
    data = Dataset("four", images, labels, images, labels)
    with Workers(1) as workers:
        trainer = Trainer(model, data, settings, workers)
        trainer.shard_rngs = code.shard_rngs(trainer.shard_rngs)
        for _ in range(2000):
            trainer.step(np.arange(4))
    e = np.array(seen).reshape(2000, 8)
    return score(np.hstack([products(e)[1:], e[1:] * e[:-1]]))


# ---- Gradients -----------------------------------------------------------------------


@claim(
    "gradients are unbiased",
    {
        "1/2 lost in dlogvar": wrong(sigma_backward=lambda ds, s: ds * s),
        "fresh eps in backward": wrong(reparameterize_backward=fresh_eps),
        "no dlogvar through z": wrong(sigma_backward=lambda ds, s: 0 * ds),
        "sign of the KL's gradient": KL_AGAINST,
        "sigma = exp(logvar)": STD_IS_VARIANCE,
    },
)
def gradient(code: Code, rng: np.random.Generator) -> float:
    """Through z, a linear decoder, a Gaussian of its pixels, and the KL.

    There E[x - z W - b] = x - mu W - b, and E[(x - z W - b)^2] adds sum_j s_j^2 W_j^2.
    """
    mu, logvar, x = rows(MU), rows(LOGVAR), rows(PIXELS)
    ones, eps = np.ones(SAMPLES), rng.standard_normal((SAMPLES, 3))
    sigma = code.sigma_forward(logvar)
    z = code.reparameterize_forward(mu, sigma, eps)
    mean = code.dense_forward(z, W, BIAS, "identity")
    dmean, _ = code.gaussian_backward(ones, mean, rows(PIXEL_LOGVAR), x)
    dz, _, _ = code.dense_backward(dmean, z, mean, W, "identity")
    dmu, dsigma = code.reparameterize_backward(dz, eps)
    dmu_kl, dlogvar_kl = code.kl_backward(ones, mu, logvar)
    dlogvar = code.sigma_backward(dsigma, sigma) + dlogvar_kl

    precision, variance = np.exp(-PIXEL_LOGVAR), np.exp(LOGVAR)
    exact_dmu = MU - ((PIXELS - MU @ W - BIAS) * precision) @ W.T
    exact_dlogvar = (variance * (precision @ (W**2).T) + variance - 1) / 2
    return score(np.hstack([dmu + dmu_kl - exact_dmu, dlogvar - exact_dlogvar]))


# ---- The KL --------------------------------------------------------------------------


@claim("the KL is a mean over samples", KL_FAULTS)
def kl_by_sampling(code: Code, rng: np.random.Generator) -> float:
    z = MU + np.exp(LOGVAR / 2) * rng.standard_normal((SAMPLES, 3))
    terms = (log_normal(z, MU, LOGVAR) - log_normal(z, 0 * MU, 0 * MU)).sum(axis=1)
    return score(terms - code.kl_forward(MU, LOGVAR))


@claim("the KL is its integral", KL_FAULTS, exact=True)
def kl_by_quadrature(code: Code, rng: np.random.Generator) -> float:
    """Of one latent, by 20 nodes of Gauss-Hermite, exact for a log-density's square."""
    mu, logvar = rng.uniform(-4, 4, (500, 1)), rng.uniform(-6, 3, (500, 1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    z = mu + np.exp(logvar / 2) * nodes
    terms = log_normal(z, mu, logvar) - log_normal(z, 0 * mu, 0 * mu)
    kl = terms @ weights / np.sqrt(2 * np.pi)
    return in_roundings(code.kl_forward(mu, logvar) - kl, 1 + kl)


# ---- Likelihoods ---------------------------------------------------------------------


@claim(
    "Bernoulli: all images sum to 1",
    {
        "log(p + 1e-8)": wrong(bernoulli_forward=from_probabilities),
        "(1-x) log(1-p) left out": wrong(bernoulli_forward=half_the_cross_entropy),
    },
    exact=True,
)
def bernoulli_sums_to_one(code: Code, rng: np.random.Generator) -> float:
    """Over all 2^10 images, for 20 decoders' logits."""
    images = np.array(list(itertools.product([0.0, 1.0], repeat=10)))
    logits = 3 * rng.standard_normal((20, 1, 10))
    sums = [
        np.exp(-code.bernoulli_forward(rows(one, len(images)), images)[0]).sum()
        for one in logits
    ]
    return in_roundings(np.array(sums) - 1)


@claim(
    "Bernoulli: logits are log-odds",
    {
        "p clipped to [1e-15, 0.999]": wrong(
            bernoulli_forward=lambda logits, x: from_probabilities(logits, x, 1e-15)
        )
    },
    exact=True,
)
def bernoulli_log_odds(code: Code, rng: np.random.Generator) -> float:
    """log p(x = 1) - log p(x = 0) is the logit, however sure the decoder is."""
    logits = rng.uniform(-50, 50, (500, 1))
    one, zero = np.ones_like(logits), np.zeros_like(logits)
    odds = code.bernoulli_forward(logits, zero)[0]
    odds -= code.bernoulli_forward(logits, one)[0]
    return in_roundings(odds - logits[:, 0], 1 + np.abs(logits[:, 0]))


@claim(
    "Gaussian: mass, mean, variance",
    {
        "log 2 pi left out": wrong(gaussian_forward=log_2pi_lost),
        "exp(logvar) read as sigma": wrong(gaussian_forward=gaussian_of_sigma),
    },
    exact=True,
)
def gaussian_is_a_density(code: Code, rng: np.random.Generator) -> float:
    """Its mass is 1, its mean `mean` and its variance exp(logvar), in 1-D and 2-D.

    By the trapezoidal rule with steps of 0.2 and sigma of 0.7 at least: its error is
    2 exp(-2 (pi 0.7 / 0.2)^2), nothing, and 16 reaches 9 sigma and more.
    """
    line, worst = np.arange(-80, 81) * 0.2, 0.0
    for pixels in (1, 2):
        x = np.stack(np.meshgrid(*[line] * pixels), axis=-1).reshape(-1, pixels)
        mean = rng.uniform(-2, 2, (1, pixels))
        logvar = rng.uniform(-0.7, 0.8, (1, pixels))
        nll = code.gaussian_forward(rows(mean, len(x)), rows(logvar, len(x)), x)
        p = np.exp(-nll) * 0.2**pixels
        moments = [p.sum() - 1, *(p @ x - mean[0])]
        moments += [*(p @ (x - mean) ** 2 - np.exp(logvar[0]))]
        worst = max(worst, in_roundings(np.array(moments)))
    return worst


# ---- The loss ------------------------------------------------------------------------


def small_model(code: Code) -> tuple[VAE, Array]:
    """A model whose z matters, and six binary images (6, 8)."""
    model = VAE(8, (5,), 3, "tanh", seed=1, dtype=np.float64, compiled=code.compiled)
    for name, block in model.params.items():
        block *= 4 if name.startswith("decoder") else 2
    model.pairs = code
    return model, (np.random.default_rng(2).random((6, 8)) < 0.5).astype(float)


def minus_elbo(model: VAE, x: Array, eps: Array) -> float:
    """log q(z|x) - log p(z) - log p(x|z): summed within an image, mean over them."""
    mu, logvar = model.encode(x)
    z = mu + np.exp(logvar / 2) * eps
    p = model.decode(z)
    log_p = np.where(x == 1, np.log(p), np.log(1 - p)).sum(axis=1)
    log_q = log_normal(z, mu, logvar) - log_normal(z, 0 * mu, 0 * mu)
    return float((log_q.sum(axis=1) - log_p).mean())


@claim(
    "the loss is a mean of sums",
    {
        "KL divided by Z": kl_times(1 / 3),
        "KL divided by D": kl_times(1 / 8),
        "mean over pixels": wrong(bernoulli_forward=mean_over_pixels),
    },
)
def loss_in_training(code: Code, rng: np.random.Generator) -> float:
    """The number printed, against a sample of minus the ELBO from the same noise."""
    model, x = small_model(code)
    noise = rng.standard_normal((1500, 6, 3))
    printed = np.array([model.loss_and_gradient(x, e)[0] for e in noise])
    return score(printed - [minus_elbo(model, x, e) for e in noise])


@claim(
    "the test ELBO is sampled",
    {
        "taken at z = mu": wrong(reparameterize_forward=lambda mu, s, e: mu + 0 * s),
        "KL left out": kl_times(0),
    },
)
def elbo_in_evaluation(code: Code, rng: np.random.Generator) -> float:
    """The test ELBO printed, against samples from other noise, each e beside its -e."""
    model, x = small_model(code)
    images = (255 * x).astype(np.uint8).reshape(6, 2, 4)
    noise, printed = rng.standard_normal((1000, 6, 3)), []
    with Workers(1) as workers:
        for seed in rng.integers(2**32, size=len(noise)):
            at = evaluate(model, images, "threshold", int(seed), workers)
            printed.append(at.elbo)
    expected = [minus_elbo(model, x, e) + minus_elbo(model, x, -e) for e in noise]
    return score(np.array(printed) + np.array(expected) / 2)


# ---- The table -----------------------------------------------------------------------

CODES = {"reference": real(reference), "compiled": real(compiled)}


def measured(claim: Claim, code: Code, seed: int = SEED) -> float:
    return claim.z(code, np.random.default_rng(seed))


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_code_means_what_is_claimed(claim: Claim, code: Code) -> None:
    assert measured(claim, code) < LIMIT


FAULTS = [(claim, fault) for claim in CLAIMS for fault in claim.faults]


@pytest.mark.parametrize(
    ("claim", "fault"), FAULTS, ids=[f"{claim.name}-{fault}" for claim, fault in FAULTS]
)
def test_a_planted_fault_is_far_beyond(claim: Claim, fault: str) -> None:
    assert measured(claim, claim.faults[fault]) > POWER
