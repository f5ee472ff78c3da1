"""Exercise 05 · Fit a Gaussian to codes that count unequally.

In the lesson every code counts once. Let code i count weights[i] times instead, a
positive number that need not be whole: a code may belong to one Gaussian by 0.3 and
to another by 0.7. (Lesson 06 needs just this, for the EM algorithm.)

Write the mean and the full covariance of the largest weighted log-likelihood,
the sum over i of weights[i] log N(z_i; mean, covariance).

Shapes: z (N, Z), weights (N,); mean (Z,), covariance (Z, Z). The weights are
positive, and add up to anything.

Hint: divide by W = sum of the weights. Which two averages take the place of the mean
and of S in (5.2)? After that nothing of the derivation changes.

Check it with: numpyvae check 5
"""

import numpy as np


def fit_weighted(z, weights):
    """Maximum likelihood of weighted codes -> (mean, covariance)."""
    raise NotImplementedError
