"""The Gaussian posterior q(z|x) = N(mu, diag(sigma^2)): its sample and its KL.

Written to be read beside lessons 8 and 9; `kernels.py` holds the compiled twins.

Shapes: B batch, Z latents. The dtype that comes in goes out. Units: nats.
"""

import numpy as np

from .ops import Array


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
