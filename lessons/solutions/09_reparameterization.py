"""Solution 09 · A Gumbel posterior.

u = exp(-exp(-(z - mu) / beta)) gives -log u = exp(-(z - mu) / beta), and so

    g = -log(-log u),    z = mu + beta g,    dz = dmu + beta g dlogbeta,

for dbeta = beta dlogbeta. The backward is that of (9.3), with g for eps.

The density: g has the distribution function exp(-exp(-g)), whose derivative is
exp(-g - exp(-g)). Stretched by beta (9.9),

    log q(z|x) = -g - exp(-g) - logbeta.

With log p(z) = -½ z² - ½ log 2π, the KL at one sample of one latent is

    k = -g - exp(-g) - logbeta + ½ z² + ½ log 2π.

g knows no parameter. So dk = -dlogbeta + z dz, as in (9.11), and z dz goes on through
the sample's own backward.

On average k is the KL: E z² = (mu + γ beta)² + π² beta² / 6 with Euler's γ = 0.577...,
E g = γ and E exp(-g) = 1, so KL = ½ E z² - logbeta - γ - 1 + ½ log 2π.
"""

import numpy as np


def gumbel_noise(u):
    g = -np.log(-np.log(u))
    return g


def gumbel_forward(mu, logbeta, g):
    z = mu + np.exp(logbeta) * g
    return z


def gumbel_backward(dz, mu, logbeta, g):
    dmu = dz.copy()
    dlogbeta = dz * np.exp(logbeta) * g
    return dmu, dlogbeta


def gumbel_kl(mu, logbeta, g):
    z = gumbel_forward(mu, logbeta, g)
    log_q = -g - np.exp(-g) - logbeta
    log_p = -(z**2 + np.log(2 * np.pi)) / 2
    kl = (log_q - log_p).sum(axis=1)
    return kl


def gumbel_kl_backward(dkl, mu, logbeta, g):
    dz = dkl[:, None] * gumbel_forward(mu, logbeta, g)
    dmu, dlogbeta = gumbel_backward(dz, mu, logbeta, g)
    dlogbeta = dlogbeta - dkl[:, None]
    return dmu, dlogbeta


def draw_noise(rng, B, Z):
    return (rng.uniform(0.01, 0.99, size=(B, Z)),)


def draw(rng, B, Z):
    mu, logbeta = rng.normal(size=(2, B, Z))
    return mu, logbeta, gumbel_noise(*draw_noise(rng, B, Z))


def draw_backward(rng, B, Z):
    return rng.normal(size=(B, Z)), *draw(rng, B, Z)


def draw_kl_backward(rng, B, Z):
    return rng.normal(size=B), *draw(rng, B, Z)


EXERCISES = {
    gumbel_noise: draw_noise,
    gumbel_forward: draw,
    gumbel_backward: draw_backward,
    gumbel_kl: draw,
    gumbel_kl_backward: draw_kl_backward,
}
