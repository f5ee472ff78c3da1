"""The Gaussian posterior q(z|x): its sample, its KL to N(0, I), its log-density.

Written to be read beside lessons 8 and 9; `kernels/dense.py` holds the compiled twins.

Shapes: B batch, Z latents, T = Z (Z + 1) / 2 entries of a triangle. The dtype that
comes in goes out. Units: nats.
"""

import math

import numpy as np

from .dense import Array

# ---- Diagonal covariance: N(mu, diag(sigma^2)) ---------------------------------------


def sigma_forward(logvar: Array) -> Array:
    """The standard deviation sigma = exp(logvar / 2) (Eq. 9.1); (B, Z) -> (B, Z)."""
    return np.exp(logvar / 2)


def sigma_backward(dsigma: Array, sigma: Array) -> Array:
    """dlogvar = dsigma * sigma / 2 (Eq. 9.2); (B, Z) -> (B, Z)."""
    return dsigma * sigma / 2


def reparameterize_forward(mu: Array, sigma: Array, eps: Array) -> Array:
    """A sample z = mu + sigma * eps, with eps ~ N(0, I) from outside (Eq. 9.3).

    Shapes: all (B, Z).
    """
    return mu + sigma * eps


def reparameterize_backward(dz: Array, eps: Array) -> tuple[Array, Array]:
    """dmu = dz, dsigma = dz * eps (Eq. 9.4), with the eps that made z.

    Shapes: all (B, Z).
    """
    return dz, dz * eps


def kl_forward(mu: Array, logvar: Array) -> Array:
    """KL(N(mu, diag(exp(logvar))) || N(0, I)) of each row, in nats (Eq. 8.4).

    Shapes: mu, logvar (B, Z) -> (B,). exp(logvar) - 1 is taken as expm1, which keeps
    its digits near logvar = 0.
    """
    return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2


def kl_backward(dkl: Array, mu: Array, logvar: Array) -> tuple[Array, Array]:
    """dmu = dkl * mu, dlogvar = dkl * (exp(logvar) - 1) / 2 (Eq. 8.5).

    Shapes: dkl (B,), mu, logvar (B, Z) -> (B, Z), (B, Z).
    """
    return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2


# ---- Full covariance: N(mu, L L^T) ---------------------------------------------------


def cholesky_forward(entries: Array) -> Array:
    """The lower triangular L of a covariance L L^T from free entries (Eq. 9.5).

    Shapes: entries (B, T) -> L (B, Z, Z). The first Z entries are the logarithms of the
    diagonal, which is thus positive; the others lie below it, row by row.
    """
    Z = _order(entries.shape[1])
    L = np.zeros_like(entries, shape=(len(entries), Z, Z))
    i, (rows, columns) = np.arange(Z), np.tril_indices(Z, -1)
    L[:, i, i] = np.exp(entries[:, :Z])
    L[:, rows, columns] = entries[:, Z:]
    return L


def cholesky_backward(dL: Array, L: Array) -> Array:
    """dentries: dL_ii L_ii on the diagonal, dL_ij below it (Eq. 9.6).

    Shapes: dL, L (B, Z, Z) -> (B, T). What dL has above the diagonal is not read.
    """
    Z = L.shape[1]
    i, (rows, columns) = np.arange(Z), np.tril_indices(Z, -1)
    return np.hstack([dL[:, i, i] * L[:, i, i], dL[:, rows, columns]])


def correlate_forward(mu: Array, L: Array, eps: Array) -> Array:
    """A sample z = mu + L eps, with eps ~ N(0, I) from outside (Eq. 9.7).

    Shapes: mu, eps (B, Z), L (B, Z, Z) -> (B, Z).
    """
    return mu + (L @ eps[:, :, None])[:, :, 0]


def correlate_backward(dz: Array, eps: Array) -> tuple[Array, Array]:
    """dmu = dz, dL = dz eps^T (Eq. 9.8); (B, Z), (B, Z) -> (B, Z), (B, Z, Z)."""
    return dz, dz[:, :, None] * eps[:, None, :]


def full_kl_forward(mu: Array, L: Array) -> Array:
    """KL(N(mu, L L^T) || N(0, I)) of each row, in nats (Eq. 8.6).

    Shapes: mu (B, Z), L (B, Z, Z) -> (B,).
    """
    diagonal = np.diagonal(L, axis1=1, axis2=2)
    squares = (mu * mu).sum(axis=1) + (L * L).sum(axis=(1, 2)) - mu.shape[1]
    return squares / 2 - np.log(diagonal).sum(axis=1)


def full_kl_backward(dkl: Array, mu: Array, L: Array) -> tuple[Array, Array]:
    """dmu = dkl mu, dL = dkl (L - diag(1 / L_ii)) (Eq. 8.7).

    Shapes: dkl (B,), mu (B, Z), L (B, Z, Z) -> (B, Z), (B, Z, Z).
    """
    i = np.arange(mu.shape[1])
    dL = L.copy()
    dL[:, i, i] -= 1 / L[:, i, i]
    return dkl[:, None] * mu, dkl[:, None, None] * dL


def _order(entries: int) -> int:
    """The Z of T = Z (Z + 1) / 2: the root of 2 T lies between it and Z + 1."""
    return math.isqrt(2 * entries)


# ---- Any covariance: the KL at one sample --------------------------------------------


def sampled_kl_forward(z: Array, eps: Array, logdet: Array) -> Array:
    """log q(z|x) - log p(z) at z itself: unbiased for the KL, in nats (Eq. 9.10).

    By the change of variables log q(z|x) = log N(eps; 0, I) - log|det dz/deps|, which
    is `logdet`; 2 pi cancels. Shapes: z, eps (B, Z), logdet (B,) -> (B,).
    """
    return (z * z - eps * eps).sum(axis=1) / 2 - logdet


def sampled_kl_backward(dkl: Array, z: Array) -> tuple[Array, Array]:
    """dz = dkl z, dlogdet = -dkl (Eq. 9.11); (B,), (B, Z) -> (B, Z), (B,)."""
    return dkl[:, None] * z, -dkl
