"""Solution 10 · The bottleneck, by softplus and with K samples.

Samples. mu[i] and sigma[i] reach K rows of z, and the differentials add:

    dmu    = sum over k of dz[iK + k],
    dsigma = sum over k of dz[iK + k] eps[iK + k].

With the samples of an image beside each other, as an array (B, K, Z), that is a sum
over the middle axis. (No mean over K: the 1/K of (10.3) is already in dz.) Softplus has
the slope of a sigmoid,

    ds = dsigma / (1 + exp(-s)) = dsigma (1 - exp(-sigma)).

The KL. With sigma itself in place of l = log sigma², (8.4) is

    kl = sum over j of ½ (mu² + sigma² - 1) - log sigma,

    dmu = dkl mu,    dsigma = dkl (sigma - 1 / sigma),

and ds as above. The forces are those of lesson 08: they rest at mu = 0, sigma = 1. In
a VAE the two dmu are added, and the two ds, as in (10.4).
"""

import numpy as np


def codes(mu, s, eps):
    K = len(eps) // len(mu)
    sigma = np.log1p(np.exp(s))
    z = np.repeat(mu, K, axis=0) + np.repeat(sigma, K, axis=0) * eps
    return z


def codes_backward(dz, mu, s, eps):
    shape = len(mu), -1, mu.shape[1]
    dmu = dz.reshape(shape).sum(axis=1)
    dsigma = (dz * eps).reshape(shape).sum(axis=1)
    ds = dsigma / (1 + np.exp(-s))
    return dmu, ds


def price(mu, s):
    sigma = np.log1p(np.exp(s))
    kl = ((mu * mu + sigma * sigma - 1) / 2 - np.log(sigma)).sum(axis=1)
    return kl


def price_backward(dkl, mu, s):
    sigma = np.log1p(np.exp(s))
    dmu = dkl[:, None] * mu
    dsigma = dkl[:, None] * (sigma - 1 / sigma)
    ds = dsigma / (1 + np.exp(-s))
    return dmu, ds


def draw_price(rng, B, Z):
    return rng.normal(size=(B, Z)), rng.normal(size=(B, Z))


def draw_price_backward(rng, B, Z):
    return rng.normal(size=B), *draw_price(rng, B, Z)


def draw_codes(rng, B, Z, K):
    return *draw_price(rng, B, Z), rng.normal(size=(B * K, Z))


def draw_codes_backward(rng, B, Z, K):
    return rng.normal(size=(B * K, Z)), *draw_codes(rng, B, Z, K)


EXERCISES = {
    codes: draw_codes,
    codes_backward: draw_codes_backward,
    price: draw_price,
    price_backward: draw_price_backward,
}
