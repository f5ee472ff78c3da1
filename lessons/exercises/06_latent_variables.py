"""Exercise 06 · EM for a mixture of Gaussians.

The latent is a label: z is one of C, p(z = c) = pi_c, and p(x | z = c) is
N(mu_c, sigma_c²), for one pixel x. With so few causes everything can be done.

1. log p(x) of each image, in nats.
2. The E step: q(z = c) = p(z = c | x), of each image and label.
3. The M step: the pi, mu and sigma that maximize, for given q, the mean over the batch
   of sum over c of q(z = c) log p(x, z = c).

Shapes: x, log_p (B,); pi, mu, sigma (C,), sigma > 0; q (B, C), rows of sum 1.

Hints: some x lie so far out that every exp underflows to 0; take the largest exponent
out first. In 3, the pi must add up to 1 (a Lagrange multiplier keeps them there), and
sigma is measured from the new mu. The answer is a standard deviation, not a variance.

Check it with: numpyvae check 6
"""

import numpy as np


def mixture_log_evidence(x, pi, mu, sigma):
    """log p(x) = log sum over c of p(x, z = c) -> log_p."""
    raise NotImplementedError


def mixture_e_step(x, pi, mu, sigma):
    """The posterior of the labels -> q."""
    raise NotImplementedError


def mixture_m_step(x, q):
    """The best parameters for these q -> (pi, mu, sigma)."""
    raise NotImplementedError
