"""Solution 12 · The mean and the covariance of all codes together.

z = mu(x) + sigma(x) eps, with eps independent of x and E eps = 0. So E z = E mu, and

    Cov(z_i, z_j) = Cov(mu_i, mu_j) + E[sigma_i sigma_j eps_i eps_j]
                  = Cov(mu_i, mu_j) + [i = j] E sigma_i²,

since eps_i and eps_j are independent with variance 1; the terms that mix mu and eps
have the mean 0. On the diagonal it is (12.7). Off it, the noise of a diagonal posterior
adds nothing: if the codes are correlated, their means are.

(8.6) with L L' = C: the sum of all L_ij² is tr C, that of log L_ii is ½ log det C, so

    KL = ½ [ mean' mean + tr C - Z - log det C ].
"""

import numpy as np


def all_codes(mu, logvar):
    mean = mu.mean(axis=0)
    apart = mu - mean
    said = apart.T @ apart / len(mu)
    covariance = said + np.diag(np.exp(logvar).mean(axis=0))
    return mean, covariance


def from_the_prior(mean, covariance):
    _, logdet = np.linalg.slogdet(covariance)
    kl = (mean @ mean + np.trace(covariance) - len(mean) - logdet) / 2
    return np.asarray(kl)


def draw(rng, N, Z):
    return rng.normal(size=(N, Z)) + rng.normal(size=Z), rng.normal(size=(N, Z))


def draw_moments(rng, Z):
    A = rng.normal(size=(Z, Z))
    return rng.normal(size=Z), A @ A.T + np.eye(Z)


EXERCISES = {all_codes: draw, from_the_prior: draw_moments}
