"""Solution 08 · The KL to any diagonal Gaussian.

Take one latent. log q is that of (8.1), and with the prior N(m, s²)

    log p(z) = -½ log 2π - log s - (z - m)² / (2 s²).

Under q, z - m has the mean mu - m and the variance σ², so E (z - m)² = (mu - m)² + σ².
Subtract as in (8.3):

    KL = ½ [ ((mu - m)² + σ²) / s² - 1 - log σ² ] + log s.

At m = 0, s = 1 it is (8.3). Differentiate, with l = log σ² and so dσ²/dl = σ²:

    ∂/∂mu = (mu - m) / s²             ∂/∂l = ½ (σ² / s² - 1)
    ∂/∂m  = -(mu - m) / s²            ∂/∂s = 1/s - ((mu - m)² + σ²) / s³

mu and l belong to one image each. m and s are shared, so their gradients are summed
over the batch. Set the last to zero: the best prior variance is the mean of
(mu - m)² + σ² over all images, the variance of their posteriors put together.
"""

import numpy as np


def prior_kl(mu, logvar, m, s):
    square = (mu - m) ** 2 + np.exp(logvar)  # E (z - m)², (B, Z)
    kl = ((square / s**2 - 1 - logvar) / 2 + np.log(s)).sum(axis=1)
    return kl


def prior_kl_backward(dkl, mu, logvar, m, s):
    square = (mu - m) ** 2 + np.exp(logvar)
    upstream = dkl[:, None]
    dmu = upstream * (mu - m) / s**2
    dlogvar = upstream * (np.exp(logvar) / s**2 - 1) / 2
    dm = -dmu.sum(axis=0)
    ds = (upstream * (1 / s - square / s**3)).sum(axis=0)
    return dmu, dlogvar, dm, ds


def draw(rng, B, Z):
    mu, logvar = rng.normal(size=(B, Z)), rng.normal(size=(B, Z))
    return mu, logvar, rng.normal(size=Z), rng.uniform(0.5, 2, size=Z)


def draw_backward(rng, B, Z):
    return rng.normal(size=B), *draw(rng, B, Z)


EXERCISES = {prior_kl: draw, prior_kl_backward: draw_backward}
