"""Exercise 10 · Free bits, and several samples of an image.

Two changes to the VAE of the lesson.

Free bits: a latent is charged only for what its KL has above `free` nats on the mean
over the batch. With k[i, j] the KL of image i's latent j (one term of 8.4) and m[j]
its mean over the B images, the loss has, in place of m[j],

    cost[j] = max(m[j], free).

Several samples: draw K codes of each image,

    z[i K + k] = mu[i] + exp(logvar[i] / 2) eps[i K + k],   k = 0, ..., K - 1,

the samples of an image one after the other.

Shapes: mu, logvar, dmu, dlogvar (B, Z); cost, dcost (Z,); eps, z, dz (B K, Z); free
is a number.

Hint: which latents does no cost depend on? And by how many ways does mu[i] now
reach the loss?

Check it with: numpyvae check 10
"""

import numpy as np  # noqa: F401


def free_bits(mu, logvar, free):
    """What each latent is charged, in nats -> cost."""
    raise NotImplementedError


def free_bits_backward(dcost, mu, logvar, free):
    """Gradients for mu and logvar -> (dmu, dlogvar)."""
    raise NotImplementedError


def codes(mu, logvar, eps):
    """K samples of each image -> z."""
    raise NotImplementedError


def codes_backward(dz, mu, logvar, eps):
    """Gradients for mu and logvar -> (dmu, dlogvar)."""
    raise NotImplementedError
