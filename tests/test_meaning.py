"""What a gradient check cannot see: that the pairs mean what they are named after.

A backward that matches a wrong forward passes every check of slopes. So each claim is
a statistic (meaning.py). The real code stays below 5 standard errors; the very same
statistic, given the same code with a function changed as people have changed it, goes
beyond 20. `python -m tests.proof_figures` draws the table.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import meaning
import numpy as np
import pytest
from meaning import Array, Code
from planted import CODES as PAIRS
from planted import REAL, planted
from planted import wrong as wrong_pairs

pytestmark = pytest.mark.slow("Monte Carlo")

SEED = 20260103  # of every claim; over the seeds 0 to 39 the code reached 3.6 ...
LIMIT, POWER = 5, 20  # ... and the weakest fault fell to 25.4 over 0 to 7

Pair = tuple[Array, Array]


class Claim(NamedTuple):
    name: str
    z: Callable[[Code, np.random.Generator], float]
    faults: dict[str, Code]
    exact: bool = False  # no noise in it: its unit is meaning.ROUNDING


def measured(claim: Claim, code: Code, seed: int = SEED) -> float:
    with planted(code):
        return claim.z(code, np.random.default_rng(seed))


def wrong(shard_rngs: Callable = list, **functions: Callable) -> Code:
    """The reference with some functions replaced."""
    return Code(**vars(wrong_pairs(**functions)), shard_rngs=shard_rngs)


CODES = {name: Code(**vars(pairs), shard_rngs=list) for name, pairs in PAIRS.items()}

# ---- Faults: seen in the wild, or their neighbours -----------------------------------


def log_2pi_lost(mean: Array, logvar: Array, x: Array) -> Array:
    return ((x - mean) ** 2 * np.exp(-logvar) + logvar).sum(axis=1) / 2


def gaussian_of_sigma(mean: Array, logvar: Array, x: Array) -> Array:
    return REAL.gaussian_forward(mean, 2 * logvar, x)


def clipped(logits: Array, x: Array) -> Pair:
    p = np.clip(1 / (1 + np.exp(-logits)), 1e-15, 0.999)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), p


def kept_from_zero(logits: Array, x: Array) -> Pair:
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p + 1e-8) + (1 - x) * np.log(1 - p + 1e-8)).sum(axis=1), p


def half_the_cross_entropy(logits: Array, x: Array) -> Pair:
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p)).sum(axis=1), p


def mean_over_pixels(logits: Array, x: Array) -> Pair:
    nll, p = REAL.bernoulli_forward(logits, x)
    return nll / logits.shape[1], p


def fresh_eps(dz: Array, eps: Array) -> Pair:
    return dz, dz * np.random.default_rng(SEED + 1).standard_normal(eps.shape)


def z_is(z: Callable[[Array, Array, Array], Array]) -> Code:
    return wrong(reparameterize_forward=z)


def kl_times(factor: float) -> Code:
    return wrong(kl_forward=lambda mu, lv: factor * REAL.kl_forward(mu, lv))


STD_IS_VARIANCE = wrong(sigma_forward=np.exp, sigma_backward=lambda ds, s: ds * s)
EPS_OF_LATENTS = z_is(lambda mu, s, eps: mu + s * eps[:, :1])
EPS_OF_IMAGES = z_is(lambda mu, s, eps: mu + s * eps[:1])
SHARDS_ALIKE = wrong(shard_rngs=lambda rngs: [copy.deepcopy(rngs[0]) for _ in rngs])
KL_AGAINST = wrong(kl_backward=lambda d, mu, lv: REAL.kl_backward(-d, mu, lv))
KL_OF_SIGMA = wrong(kl_forward=lambda mu, lv: REAL.kl_forward(mu, 2 * lv))
KL_FAULTS = {
    "1/2 lost": kl_times(2),
    "opposite sign": kl_times(-1),
    "exp(logvar) read as sigma": KL_OF_SIGMA,
}

# ---- The claims ----------------------------------------------------------------------

CLAIMS = (
    Claim(
        "z has the mean mu",
        meaning.mean_of_z,
        {
            "noise of one sign": z_is(lambda mu, s, eps: mu + s * abs(eps)),
            "mu left out": z_is(lambda mu, s, eps: s * eps),
        },
    ),
    Claim(
        "z has the spread exp(logvar/2)",
        meaning.spread_of_z,
        {"sigma = exp(logvar)": STD_IS_VARIANCE},
    ),
    Claim(
        "latents are independent",
        meaning.independence,
        {
            "one eps for all latents": EPS_OF_LATENTS,
            "one eps for all images": EPS_OF_IMAGES,
        },
    ),
    Claim(
        "so are they in training",
        meaning.independence_in_training,
        {
            "shards draw the same eps": SHARDS_ALIKE,
            "one eps for a shard": EPS_OF_IMAGES,
        },
    ),
    Claim(
        "gradients are unbiased",
        meaning.gradient,
        {
            "1/2 lost in dlogvar": wrong(sigma_backward=lambda ds, s: ds * s),
            "fresh eps in backward": wrong(reparameterize_backward=fresh_eps),
            "no dlogvar through z": wrong(sigma_backward=lambda ds, s: 0 * ds),
            "sign of the KL's gradient": KL_AGAINST,
            "sigma = exp(logvar)": STD_IS_VARIANCE,
        },
    ),
    Claim("the KL is a mean over samples", meaning.kl_by_sampling, KL_FAULTS),
    Claim(
        "the loss is a mean of sums",
        meaning.loss_in_training,
        {
            "KL divided by Z": kl_times(1 / 3),
            "KL divided by D": kl_times(1 / 8),
            "mean over pixels": wrong(bernoulli_forward=mean_over_pixels),
        },
    ),
    Claim(
        "the test ELBO is sampled",
        meaning.elbo_in_evaluation,
        {
            "taken at z = mu": z_is(lambda mu, s, eps: mu + 0 * s),
            "KL left out": kl_times(0),
        },
    ),
    Claim("the KL is its integral", meaning.kl_by_quadrature, KL_FAULTS, exact=True),
    Claim(
        "Bernoulli: all images sum to 1",
        meaning.bernoulli_sums_to_one,
        {
            "log(p + 1e-8)": wrong(bernoulli_forward=kept_from_zero),
            "(1-x) log(1-p) left out": wrong(bernoulli_forward=half_the_cross_entropy),
        },
        exact=True,
    ),
    Claim(
        "Bernoulli: logits are log-odds",
        meaning.bernoulli_log_odds,
        {"p clipped to [1e-15, 0.999]": wrong(bernoulli_forward=clipped)},
        exact=True,
    ),
    Claim(
        "Gaussian: mass, mean, variance",
        meaning.gaussian_is_a_density,
        {
            "log 2 pi left out": wrong(gaussian_forward=log_2pi_lost),
            "exp(logvar) read as sigma": wrong(gaussian_forward=gaussian_of_sigma),
        },
        exact=True,
    ),
)
FAULTS = [(claim, fault) for claim in CLAIMS for fault in claim.faults]
FAULT_IDS = [f"{claim.name}-{fault}" for claim, fault in FAULTS]


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_code_means_what_is_claimed(claim: Claim, code: Code) -> None:
    assert measured(claim, code) < LIMIT


@pytest.mark.parametrize(("claim", "fault"), FAULTS, ids=FAULT_IDS)
def test_a_planted_fault_is_far_beyond(claim: Claim, fault: str) -> None:
    assert measured(claim, claim.faults[fault]) > POWER
