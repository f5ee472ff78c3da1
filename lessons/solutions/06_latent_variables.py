"""Solution 06 · EM for a mixture of Gaussians.

Write a_c for log p(x, z = c),

    a_c = log pi_c - ½ log 2π - log sigma_c - (x - mu_c)² / (2 sigma_c²).

1. log p(x) = log sum over c of exp a_c. Take the largest a_c out of the sum, so that
   one of the exp is 1.
2. q_c = p(x, z = c) / p(x) = exp(a_c - log p(x)): finite, for a_c <= log p(x).
3. Let N_c = sum over i of q_ic, the number of images that are held to be of label c.
   What is maximized is (up to 1/B) sum over i, c of q_ic a_ic.

   pi: sum over c of N_c log pi_c, while sum over c of pi_c = 1. So N_c / pi_c is one
   number for all c, the multiplier, and pi_c = N_c / B.
   mu: the derivative, sum over i of q_ic (x_i - mu_c) / sigma_c², is 0 at the weighted
   mean, mu_c = sum over i of q_ic x_i / N_c.
   sigma: the derivative, sum over i of q_ic (-1/sigma_c + (x_i - mu_c)² / sigma_c³), is
   0 at the weighted variance, sigma_c² = sum over i of q_ic (x_i - mu_c)² / N_c.

Each is what one would do with known labels, counted in fractions.
"""

import numpy as np


def mixture_log_evidence(x, pi, mu, sigma):
    a = _log_joint(x, pi, mu, sigma)
    largest = a.max(axis=1)
    log_p = largest + np.log(np.exp(a - largest[:, None]).sum(axis=1))
    return log_p


def mixture_e_step(x, pi, mu, sigma):
    log_p = mixture_log_evidence(x, pi, mu, sigma)
    q = np.exp(_log_joint(x, pi, mu, sigma) - log_p[:, None])
    return q


def mixture_m_step(x, q):
    count = q.sum(axis=0)
    pi = count / len(x)
    mu = x @ q / count
    sigma = np.sqrt(((x[:, None] - mu) ** 2 * q).sum(axis=0) / count)
    return pi, mu, sigma


def _log_joint(x, pi, mu, sigma):
    z = (x[:, None] - mu) / sigma
    return np.log(pi / sigma) - (np.log(2 * np.pi) + z**2) / 2


def draw(rng, B, C):
    x = 2 * rng.normal(size=B)
    mu, sigma = rng.normal(size=C), rng.uniform(0.7, 1.5, size=C)
    x[0] = 90.0  # so far out that all C densities underflow
    return x, rng.dirichlet(np.full(C, 2.0)), mu, sigma


def draw_m_step(rng, B, C):
    return 2 * rng.normal(size=B) + 1, rng.dirichlet(np.ones(C), size=B)


EXERCISES = {
    mixture_log_evidence: draw,
    mixture_e_step: draw,
    mixture_m_step: draw_m_step,
}
