"""Solution 10 · Free bits, and several samples of an image.

Free bits. Where m[j] < free, the cost is the constant `free`: no gradient. Elsewhere it
is m[j], the mean over i of k[i, j] = ½ (mu² + exp l - 1 - l), so by (8.5)

    dmu = dcost[j] / B · mu,    dl = dcost[j] / B · ½ (exp l - 1),

for all images of a latent that is charged, and 0 for all of one that is not. So a
latent below `free` is not pulled to the prior: it can be used before it is paid for.

Several samples. Each z[iK + k] depends on mu[i] and l[i] as in (9.3) and (9.1). The
differential of the loss has a term for each, and they add:

    dmu[i] = sum over k of dz[iK + k],
    dl[i]  = ½ sigma[i] · sum over k of dz[iK + k] eps[iK + k].

With the rows of an image beside each other, as an array (B, K, Z), that is a sum over
the middle axis. (The mean over K is not here: the 1/K of (10.3) is already in dz.)
"""

import numpy as np


def free_bits(mu, logvar, free):
    means = (mu * mu + np.exp(logvar) - 1 - logvar).mean(axis=0) / 2
    cost = np.where(means.real > free, means, free)
    return cost


def free_bits_backward(dcost, mu, logvar, free):
    means = (mu * mu + np.exp(logvar) - 1 - logvar).mean(axis=0) / 2
    weight = dcost / len(mu) * (means > free)
    dmu = weight * mu
    dlogvar = weight * (np.exp(logvar) - 1) / 2
    return dmu, dlogvar


def codes(mu, logvar, eps):
    K = len(eps) // len(mu)
    sigma = np.exp(logvar / 2)
    z = np.repeat(mu, K, axis=0) + np.repeat(sigma, K, axis=0) * eps
    return z


def codes_backward(dz, mu, logvar, eps):
    shape = len(mu), -1, mu.shape[1]
    dmu = dz.reshape(shape).sum(axis=1)
    dsigma = (dz * eps).reshape(shape).sum(axis=1)
    dlogvar = dsigma * np.exp(logvar / 2) / 2
    return dmu, dlogvar


def draw_free_bits(rng, B, Z):
    # every second latent is far above `free`, the others are below
    size = np.where(np.arange(Z) % 2 == 0, 2.0, 0.3)
    mu, logvar = size * rng.normal(size=(B, Z)), size * rng.normal(size=(B, Z))
    mu += np.sign(mu) * size
    means = (mu * mu + np.exp(logvar) - 1 - logvar).mean(axis=0) / 2
    return mu, logvar, float(np.sqrt(means.min() * means.max()))


def draw_free_bits_backward(rng, B, Z):
    return 3 + rng.normal(size=Z), *draw_free_bits(rng, B, Z)


def draw_codes(rng, B, Z, K):
    mu, logvar = rng.normal(size=(B, Z)), rng.normal(size=(B, Z))
    return mu, logvar, rng.normal(size=(B * K, Z))


def draw_codes_backward(rng, B, Z, K):
    return rng.normal(size=(B * K, Z)), *draw_codes(rng, B, Z, K)


EXERCISES = {
    free_bits: draw_free_bits,
    free_bits_backward: draw_free_bits_backward,
    codes: draw_codes,
    codes_backward: draw_codes_backward,
}
