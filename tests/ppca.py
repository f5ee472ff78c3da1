"""The linear-Gaussian VAE, probabilistic PCA: the one VAE whose truth is known.

First the truth in plain NumPy, in closed form (Tipping & Bishop, J. R. Stat. Soc. B
61, 1999, 611-622), then the same model as a VAE, assembled from the package's pairs:

    p(z) = N(0, I), p(x|z) = N(z W + b, exp(noise) I), q(z|x) = N(x V + c, exp(logvar))

Shapes: B data, D pixels, Z latents, S samples; W (Z, D), b (D,), noise (1,), V (D, Z),
c, logvar (Z,). Units: nats.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from planted import Pairs, planted
from works import work_over

from numpyvae import VAE
from numpyvae.model.params import Parameters
from numpyvae.pairs.objectives import Elbo
from numpyvae.pairs.posteriors import Full
from numpyvae.training.optimizers import SGD, Adam

Array = NDArray[np.float64]

# ---- The truth -----------------------------------------------------------------------


class Decoder(NamedTuple):
    W: Array  # (Z, D)
    b: Array  # (D,)
    noise: float  # log of the pixels' variance


def log_normal(x: Array, mean: Array, covariance: Array) -> Array:
    """log N(x; mean, covariance) of each row of x - mean (B, n); covariance (n, n)."""
    off = x - mean
    squares = (off * np.linalg.solve(covariance, off.T).T).sum(axis=1)
    logdet = np.linalg.slogdet(covariance)[1]
    return -(squares + logdet + len(covariance) * np.log(2 * np.pi)) / 2


def log_evidence(x: Array, decoder: Decoder) -> Array:
    """log p(x) = log N(x; b, W' W + exp(noise) I) (B,)."""
    W, b, noise = decoder
    return log_normal(x, b, W.T @ W + np.exp(noise) * np.eye(len(b)))


def posterior(x: Array, decoder: Decoder) -> tuple[Array, Array]:
    """The mean (B, Z) and the covariance (Z, Z) of p(z|x)."""
    W, b, noise = decoder
    covariance = np.linalg.inv(np.eye(len(W)) + W @ W.T / np.exp(noise))
    return (x - b) @ W.T @ covariance / np.exp(noise), covariance


def kl_between(mean: Array, variance: Array, at: Array, covariance: Array) -> Array:
    """KL(N(mean, diag(variance)) || N(at, covariance)) of each row (B,)."""
    precision, off = np.linalg.inv(covariance), mean - at
    trace = variance @ np.diag(precision) - len(covariance)
    logdets = np.linalg.slogdet(covariance)[1] - np.log(variance).sum(axis=1)
    return ((off @ precision * off).sum(axis=1) + trace + logdets) / 2


def chi_square(at: Array, covariance: Array, mean: Array, variance: Array) -> float:
    """E_q[(p/q)^2] - 1 for p = N(at, covariance), q = N(mean, diag(variance))."""
    P, Q, off = np.linalg.inv(covariance), np.diag(1 / variance), mean - at
    A = 2 * P - Q
    logdets = [np.linalg.slogdet(matrix)[1] for matrix in (A, P, Q)]
    exponent = off @ (Q @ np.linalg.solve(A, Q) + Q) @ off
    return float(np.expm1((exponent - logdets[0] + 2 * logdets[1] - logdets[2]) / 2))


def maximum_likelihood(x: Array, latent: int) -> Decoder:
    """The decoder under which x (B, D) is most likely, with W's rows orthogonal."""
    b = x.mean(axis=0)
    variances, axes = np.linalg.eigh((x - b).T @ (x - b) / len(x))
    discarded = variances[:-latent].mean()
    W = np.sqrt(variances[-latent:, None] - discarded) * axes[:, -latent:].T
    return Decoder(W, b, float(np.log(discarded)))


def best_diagonal_gap(covariance: Array) -> float:
    """KL(N(m, D) || N(m, covariance)) for the diagonal D that makes it smallest, nats.

    D_jj is 1 / (covariance^-1)_jj: the trace is then Z, and the determinants remain.
    """
    diagonal = np.diag(np.linalg.inv(covariance))
    return float(np.linalg.slogdet(covariance)[1] + np.log(diagonal).sum()) / 2


def largest_angle(W: Array, directions: Array) -> float:
    """The largest principal angle between two row spaces (Z, D), in radians.

    From its sine: the cosine of a small angle has lost half of its digits.
    """
    ours, theirs = np.linalg.qr(W.T)[0], np.linalg.qr(directions.T)[0]
    rest = ours - theirs @ (theirs.T @ ours)
    return float(np.arcsin(min(1.0, np.linalg.norm(rest, 2))))


def draw_decoder(rng: np.random.Generator, Z: int, D: int, diagonal: bool) -> Decoder:
    """With orthogonal rows of W the exact posterior is diagonal, otherwise not."""
    W = rng.standard_normal((Z, D))
    if diagonal:
        W = np.linalg.qr(W.T)[0].T * rng.uniform(0.5, 2, (Z, 1))
    return Decoder(W, rng.standard_normal(D), rng.uniform(-1, 0.5))


# ---- The same model, of the package's pairs ------------------------------------------


def sigma_points(latent: int) -> Array:
    """2 Z values of eps with mean 0 and covariance I (2Z, Z).

    Whatever is quadratic in z, as a linear-Gaussian -log p(x|z) is, has at these points
    the very mean that it has under q; so have the gradients.
    """
    points = np.sqrt(latent) * np.eye(latent)
    return np.concatenate([points, -points])


def every(array: Array, eps: Array) -> Array:
    """Each row of array (B, n) once for each of eps (S, Z) -> (B S, n)."""
    return np.repeat(array, len(eps), axis=0)


def log_joint(code: Pairs, x: Array, z: Array, decoder: Decoder) -> Array:
    """log p(x|z) + log p(z) (B,)."""
    mean = code.dense_forward(z, decoder.W, decoder.b)
    noise, zero = np.full_like(x, decoder.noise), np.zeros_like(z)
    return -code.gaussian_forward(mean, noise, x) - code.gaussian_forward(zero, zero, z)


def elbo(
    code: Pairs,
    x: Array,
    decoder: Decoder,
    mu: Array,
    logvar: Array,
    eps: Array,
) -> Array:
    """The ELBO of each image (B,), its reconstruction a mean over eps (S, Z)."""
    noise = np.tile(eps, (len(x), 1))
    sigma = code.sigma_forward(every(logvar, eps))
    z = code.reparameterize_forward(every(mu, eps), sigma, noise)
    mean = code.dense_forward(z, decoder.W, decoder.b)
    pixel_logvar = np.full_like(mean, decoder.noise)
    recon = code.gaussian_forward(mean, pixel_logvar, every(x, eps))
    return -recon.reshape(len(x), len(eps)).mean(axis=1) - code.kl_forward(mu, logvar)


def entries_of(covariance: Array) -> Array:
    """The numbers (1, T) that `cholesky_forward` makes its Cholesky factor of."""
    L = np.linalg.cholesky(covariance)
    below = np.tril_indices(len(L), -1)
    return np.concatenate([np.log(np.diag(L)), L[below]])[None]


def full_elbo(
    code: Pairs,
    x: Array,
    decoder: Decoder,
    mu: Array,
    entries: Array,
    eps: Array,
) -> tuple[Array, Array]:
    """With covariance L L^T: the ELBO (B,), and log p(x, z) - log q(z|x) (B, S).

    The first takes the KL by its formula, the second at the z of each of eps (S, Z).
    """
    noise, q = np.tile(eps, (len(x), 1)), Full(len(decoder.W))
    s = every(np.hstack([mu, every(entries, x)]), eps)
    with planted(code):
        z = (sample := q.forward(s, noise, work_over({}))).z
        log_q = q.log_prob(sample, noise)
    mean = code.dense_forward(z, decoder.W, decoder.b)
    pixel_logvar = np.full_like(mean, decoder.noise)
    recon = code.gaussian_forward(mean, pixel_logvar, every(x, eps))
    weights = -recon - log_q - code.standard_normal_forward(z)
    L = code.cholesky_forward(every(entries, x))
    shape = len(x), len(eps)
    elbo = -recon.reshape(shape).mean(axis=1) - code.full_kl_forward(mu, L)
    return elbo, weights.reshape(shape)


def log_weights(
    code: Pairs,
    x: Array,
    decoder: Decoder,
    q: tuple[Array, Array],
    eps: Array,
) -> Array:
    """log p(x, z) - log q(z|x) of one image (1, D) at z from q for each eps (S, Z)."""
    mu, logvar = every(q[0], eps), every(q[1], eps)
    z = code.reparameterize_forward(mu, code.sigma_forward(logvar), eps)
    log_q = -code.gaussian_forward(mu, logvar, z)
    return log_joint(code, every(x, eps), z, decoder) - log_q


class LinearVAE:
    """Encoder, decoder and pixel noise as one flat vector, and its loss."""

    def __init__(self, D: int, Z: int, rng: np.random.Generator) -> None:
        table = {"V": (D, Z), "c": (Z,), "logvar": (Z,)}
        table |= {"W": (Z, D), "b": (D,), "noise": (1,)}
        self.params = Parameters.zeros(table, np.float64)
        self.params.flat[...] = rng.standard_normal(self.params.flat.size) / 3

    @property
    def decoder(self) -> Decoder:
        return Decoder(
            self.params["W"], self.params["b"], float(self.params["noise"][0])
        )

    def loss_and_gradient(
        self, code: Pairs, x: Array, eps: Array, grads: Mapping[str, Array]
    ) -> float:
        """Minus the mean ELBO of x (B, D), exact for `sigma_points`; fills grads."""
        p, count = self.params, len(x) * len(eps)
        mu = code.dense_forward(x, p["V"], p["c"])
        logvar = np.tile(p["logvar"], (len(x), 1))
        kl = code.kl_forward(mu, logvar)
        sigma = code.sigma_forward(every(logvar, eps))
        noise, images = np.tile(eps, (len(x), 1)), every(x, eps)
        z = code.reparameterize_forward(every(mu, eps), sigma, noise)
        mean = code.dense_forward(z, p["W"], p["b"])
        pixel_logvar = np.full_like(mean, p["noise"][0])
        recon = code.gaussian_forward(mean, pixel_logvar, images)

        drecon, dkl = np.full(count, 1 / count), np.full(len(x), 1 / len(x))
        dmean, dnoise = code.gaussian_backward(drecon, mean, pixel_logvar, images)
        dz, grads["W"][...], grads["b"][...] = code.dense_backward(dmean, z, p["W"])
        grads["noise"][...] = dnoise.sum()
        dmu_z, dsigma = code.reparameterize_backward(dz, noise)
        dlogvar_z = code.sigma_backward(dsigma, sigma)
        dmu, dlogvar = code.kl_backward(dkl, mu, logvar)
        dmu = dmu + dmu_z.reshape(len(x), len(eps), -1).sum(axis=1)
        grads["V"][...], grads["c"][...] = code.dense_backward_weights(dmu, x)
        grads["logvar"][...] = dlogvar.sum(axis=0) + dlogvar_z.sum(axis=0)
        return float(recon.mean() + kl.mean())


def fit(
    code: Pairs, x: Array, latent: int, optimizer: str, stages: Mapping
) -> LinearVAE:
    """Descend the exact loss of all of x; `stages` has the number of steps by lr."""
    model = LinearVAE(x.shape[1], latent, np.random.default_rng(7))
    grads, eps = model.params.unwritten(), sigma_points(latent)
    make = {"Adam": Adam, "SGD": SGD}[optimizer]
    descent = make(model.params.flat, code, 0.0)
    for lr, steps in stages.items():
        descent.lr = lr
        for _ in range(steps):
            model.loss_and_gradient(code, x, eps, grads)
            descent.advance()
            descent.update(grads.flat[None])
    return model


def fit_encoder(posterior: str, x: Array, decoder: Decoder, stages: Mapping) -> Array:
    """The package's VAE beside a decoder that is held fast: ELBOs (B,) at the end.

    Its likelihood has sigma = 1; `decoder.noise` is to be 0. The sigma points are its
    samples, so the loss that is descended is the exact one.
    """
    (Z, D), points = decoder.W.shape, sigma_points(len(decoder.W))
    model = VAE(
        D, (), Z, "identity", posterior=posterior, likelihood="gaussian",
        seed=7, dtype=float, compiled=False,
    )  # fmt: skip
    model.params["decoder.0.W"][...], model.params["decoder.0.b"][...] = decoder[:2]
    encoder = slice(0, model.params.flat.size - decoder.W.size - decoder.b.size)
    eps, objective = np.tile(points, (len(x), 1)), Elbo(1.0, len(points))
    descent, grads = Adam(model.params.flat, model.code, 0.0), model.params.unwritten()
    work = model.workspace(grads)
    for lr, steps in stages.items():
        descent.lr = lr
        for _ in range(steps):
            forward = model.forward(x, eps, objective, work)
            model.backward(eps, forward, work, objective)
            descent.advance()
            descent.update(grads.flat[None], encoder)
    return -model.forward(x, eps, objective).loss
