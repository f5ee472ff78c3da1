"""Solution 13 · Free bits.

By (8.3) k_ij = ½ (mu_ij² + exp l_ij - 1 - l_ij); its mean over the images is k_j. The
slope of max(free, k_j) in k_j is 0 where k_j < free and 1 where k_j > free. So the
gradient of the KL (8.5) goes through for the latents that pay, with the 1/B of the
mean, and for the others it stops:

    dmu_ij     = dloss [k_j > free] mu_ij / B,
    dlogvar_ij = dloss [k_j > free] (exp l_ij - 1) / (2 B).

Note what it doesn't do: a latent below `free` is not pushed up. It is left alone, and
the reconstruction, if it can use it, does the rest.
"""

import numpy as np


def free_bits(mu, logvar, free):
    each = ((mu**2 + np.exp(logvar) - 1 - logvar) / 2).mean(axis=0)
    loss = np.maximum(free, each).sum()
    return loss


def free_bits_backward(dloss, mu, logvar, free):
    each = ((mu**2 + np.exp(logvar) - 1 - logvar) / 2).mean(axis=0)
    upstream = dloss * (each > free) / len(mu)
    dmu = upstream * mu
    dlogvar = upstream * (np.exp(logvar) - 1) / 2
    return dmu, dlogvar


def draw(rng, B, Z):
    mu = rng.normal(size=(B, Z)) * rng.permutation(np.linspace(0.3, 2, Z))
    logvar = rng.normal(size=(B, Z)) - 0.5
    each = np.sort(((mu**2 + np.exp(logvar) - 1 - logvar) / 2).mean(axis=0))
    free = float(each[0] + each[1]) / 2  # all but one latent pay
    return mu, logvar, free


def draw_backward(rng, B, Z):
    return rng.normal(), *draw(rng, B, Z)


EXERCISES = {free_bits: draw, free_bits_backward: draw_backward}
