"""Exercise 12 · The mean and the covariance of all codes together.

Take an image at random, then a code from its posterior N(mu, diag(exp(logvar))). What
are the mean and the covariance matrix of such a code, over both? No sample is needed.
If the codes match the prior, they are close to 0 and I.

Write them, and the KL in nats from the Gaussian with that mean and covariance to the
prior N(0, I): one number that says how far the codes are from it, at least.

Shapes: mu, logvar (N, Z); mean (Z,), covariance (Z, Z); kl a number. Every image
counts 1/N.

Hint: (12.7) for one latent. What becomes of each of its terms for two latents i and j,
first for i = j, then for i not j? For the KL, read (8.6) with L L' = covariance.

Check it with: numpyvae check 12
"""

import numpy as np


def all_codes(mu, logvar):
    """The moments of a code of a random image -> (mean, covariance)."""
    raise NotImplementedError


def from_the_prior(mean, covariance):
    """KL(N(mean, covariance) || N(0, I)) -> kl, a number."""
    raise NotImplementedError
