"""Exercise 07 · The ELBO of a coin.

The latent is a coin: z is 0 or 1. The encoder gives one logit a for each image,
q(z = 1 | x) = σ(a). Write the ELBO (7.3) of each image in nats, exactly, as the sum
over both z; and its gradients.

Shapes: a, log_p0, log_p1, elbo, delbo, da, dlog_p0, dlog_p1 (B,); log_p0 is
log p(x, z = 0), log_p1 is log p(x, z = 1).

Hints: some a are 800 or -800; there log σ(a) = -log(1 + exp(-a)) must stay finite, and
np.logaddexp is your friend. For da: σ' = σ (1 - σ), and log σ(a) - log σ(-a) = a. Where
is da zero?

Check it with: numpyvae check 7
"""

import numpy as np


def coin_elbo(a, log_p0, log_p1):
    """E_q[log p(x, z) - log q(z|x)] -> elbo."""
    raise NotImplementedError


def coin_elbo_backward(delbo, a, log_p0, log_p1):
    """Gradients for all three -> (da, dlog_p0, dlog_p1)."""
    raise NotImplementedError
