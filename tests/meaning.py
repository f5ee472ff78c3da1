"""What the pairs are to mean, as statistics: how many standard errors they are off.

Each takes the code to judge, all functions of pairs/ (planted.py), and a generator of
noise. In test_meaning.py they meet the real code and its faults.

Shapes: B batch, N samples, D pixels, Z latents.
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from planted import Pairs, planted

from numpyvae import VAE, Dataset
from numpyvae.training.evaluate import evaluate
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

Array = NDArray[np.float64]
Code = Pairs  # also shard_rngs: what training draws from

SAMPLES = 100_000
# The standard error of what is exact: 5 of them are 1e-12. Up to 40,000 terms are
# summed, pairwise, so their rounding is about log2(40,000) / 2 = 8 eps = 2e-15.
ROUNDING = 2e-13

MU, LOGVAR = np.array([[-1.5, 0.0, 0.7]]), np.array([[-2.0, 0.5, 1.0]])
W = np.array([[0.9, -0.4, 0.3, 1.1], [-0.2, 0.8, 0.5, 0.4], [0.6, 0.1, -1.0, 0.7]])
BIAS, PIXELS = np.array([0.1, -0.3, 0.2, 0.5]), np.array([[1.0, -0.7, 0.4, 2.0]])
PIXEL_LOGVAR = np.array([[-0.5, 0.3, 0.0, 0.8]])


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


# ---- z -------------------------------------------------------------------------------


def standardised(code: Code, eps: Array) -> Array:
    """(z - mu) / sigma, which is to be N(0, 1)."""
    mu, logvar = rows(MU, len(eps)), rows(LOGVAR, len(eps))
    z = code.reparameterize_forward(mu, code.sigma_forward(logvar), eps)
    return (z - mu) / np.exp(logvar / 2)


def mean_of_z(code: Code, rng: np.random.Generator) -> float:
    return score(standardised(code, rng.standard_normal((SAMPLES, 3))))


def spread_of_z(code: Code, rng: np.random.Generator) -> float:
    return score(standardised(code, rng.standard_normal((SAMPLES, 3))) ** 2 - 1)


def products(e: Array) -> Array:
    """e_i e_j for every two columns of e (N, n)."""
    i, j = np.triu_indices(e.shape[1], 1)
    return e[:, i] * e[:, j]


def independence(code: Code, rng: np.random.Generator) -> float:
    """Of every two of the 4 x 3 latents of a batch, over 4,000 batches."""
    noise = rng.standard_normal((4000, 4, 3))
    return score(products(np.array([standardised(code, e).ravel() for e in noise])))


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
    settings = Settings(binarize="threshold", seed=int(rng.integers(1000)), lr=1e-9)
    data = Dataset("four", images, labels, images, labels)
    recorded = Code(faults={"reparameterize_forward": record})
    with Workers(1) as workers, planted(recorded):
        trainer = Trainer(model, data, settings, workers)
        trainer.shard_rngs = code.shard_rngs(trainer.shard_rngs)
        for _ in range(2000):
            trainer.step(np.arange(4))
    e = np.array(seen).reshape(2000, 8)
    return score(np.hstack([products(e)[1:], e[1:] * e[:-1]]))


# ---- Gradients -----------------------------------------------------------------------


def gradient(code: Code, rng: np.random.Generator) -> float:
    """Through z, a linear decoder, a Gaussian of its pixels, and the KL.

    There E[x - z W - b] = x - mu W - b, and E[(x - z W - b)^2] adds sum_j s_j^2 W_j^2.
    """
    mu, logvar, x = rows(MU), rows(LOGVAR), rows(PIXELS)
    ones, eps = np.ones(SAMPLES), rng.standard_normal((SAMPLES, 3))
    sigma = code.sigma_forward(logvar)
    z = code.reparameterize_forward(mu, sigma, eps)
    mean = code.dense_forward(z, W, BIAS)
    dmean, _ = code.gaussian_backward(ones, mean, rows(PIXEL_LOGVAR), x)
    dz, _, _ = code.dense_backward(dmean, z, W)
    dmu, dsigma = code.reparameterize_backward(dz, eps)
    dmu_kl, dlogvar_kl = code.kl_backward(ones, mu, logvar)
    dlogvar = code.sigma_backward(dsigma, sigma) + dlogvar_kl

    precision, variance = np.exp(-PIXEL_LOGVAR), np.exp(LOGVAR)
    exact_dmu = MU - ((PIXELS - MU @ W - BIAS) * precision) @ W.T
    exact_dlogvar = (variance * (precision @ (W**2).T) + variance - 1) / 2
    return score(np.hstack([dmu + dmu_kl - exact_dmu, dlogvar - exact_dlogvar]))


# ---- The KL --------------------------------------------------------------------------


def kl_by_sampling(code: Code, rng: np.random.Generator) -> float:
    z = MU + np.exp(LOGVAR / 2) * rng.standard_normal((SAMPLES, 3))
    terms = (log_normal(z, MU, LOGVAR) - log_normal(z, 0 * MU, 0 * MU)).sum(axis=1)
    return score(terms - code.kl_forward(MU, LOGVAR))


def kl_by_quadrature(code: Code, rng: np.random.Generator) -> float:
    """Of one latent, by 20 nodes of Gauss-Hermite, exact for a log-density's square."""
    mu, logvar = rng.uniform(-4, 4, (500, 1)), rng.uniform(-6, 3, (500, 1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    z = mu + np.exp(logvar / 2) * nodes
    terms = log_normal(z, mu, logvar) - log_normal(z, 0 * mu, 0 * mu)
    kl = terms @ weights / np.sqrt(2 * np.pi)
    return in_roundings(code.kl_forward(mu, logvar) - kl, 1 + kl)


# ---- Likelihoods ---------------------------------------------------------------------


def bernoulli_sums_to_one(code: Code, rng: np.random.Generator) -> float:
    """Over all 2^10 images, for 20 decoders' logits."""
    images = np.array(list(itertools.product([0.0, 1.0], repeat=10)))
    logits = 3 * rng.standard_normal((20, 1, 10))
    sums = [
        np.exp(-code.bernoulli_forward(rows(one, len(images)), images)[0]).sum()
        for one in logits
    ]
    return in_roundings(np.array(sums) - 1)


def bernoulli_log_odds(code: Code, rng: np.random.Generator) -> float:
    """log p(x = 1) - log p(x = 0) is the logit, however sure the decoder is."""
    logits = rng.uniform(-50, 50, (500, 1))
    one, zero = np.ones_like(logits), np.zeros_like(logits)
    odds = code.bernoulli_forward(logits, zero)[0]
    odds -= code.bernoulli_forward(logits, one)[0]
    return in_roundings(odds - logits[:, 0], 1 + np.abs(logits[:, 0]))


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
    model = VAE(
        8, (5,), 3, "identity", seed=1, dtype=np.float64, compiled=code.compiled
    )
    model.params.flat[...] *= 2
    return model, (np.random.default_rng(2).random((6, 8)) < 0.5).astype(float)


def minus_elbo(model: VAE, x: Array, eps: Array) -> float:
    """log q(z|x) - log p(z) - log p(x|z): summed within an image, mean over them."""
    mu, sigma = model.encode(x)
    logvar, z = 2 * np.log(sigma), mu + sigma * eps
    p = model.decode(z)
    log_p = np.where(x == 1, np.log(p), np.log(1 - p)).sum(axis=1)
    log_q = log_normal(z, mu, logvar) - log_normal(z, 0 * mu, 0 * mu)
    return float((log_q.sum(axis=1) - log_p).mean())


def loss_in_training(code: Code, rng: np.random.Generator) -> float:
    """The number printed, against a sample of minus the ELBO from the same noise."""
    model, x = small_model(code)
    noise = rng.standard_normal((1500, 6, 3))
    printed = np.array([model.loss_and_gradient(x, e)[0] for e in noise])
    return score(printed - [minus_elbo(model, x, e) for e in noise])


def elbo_in_evaluation(code: Code, rng: np.random.Generator) -> float:
    """The test ELBO printed, against samples from other noise, each e beside its -e."""
    model, x = small_model(code)
    images = (255 * x).astype(np.uint8).reshape(6, 2, 4)
    noise, printed = rng.standard_normal((1500, 6, 3)), []
    with Workers(1) as workers:
        for seed in rng.integers(2**32, size=len(noise)):
            at = evaluate(model, images, "threshold", int(seed), workers)
            printed.append(at.elbo)
    expected = [minus_elbo(model, x, e) + minus_elbo(model, x, -e) for e in noise]
    return score(np.array(printed) + np.array(expected) / 2)
