"""Exercise 08 · The KL to any diagonal Gaussian.

The prior of lesson 08 is N(0, I). Let it be N(m, diag(s²)) instead, one mean and
one standard deviation for each latent, the same for all images: a prior that can
be learned. The posterior stays N(mu, diag(exp(logvar))).

Write the KL of each image in nats, and its gradients for all four arguments.

Shapes: mu, logvar, dmu, dlogvar (B, Z); m, s, dm, ds (Z,); kl, dkl (B,). s > 0.

Hint: only log p of (8.1) is new. What is the mean of (z - m)² under q? And since
all B images share m and s, each image adds to dm and ds.

Check it with: numpyvae check 8
"""

import numpy as np


def prior_kl(mu, logvar, m, s):
    """KL(N(mu, diag(exp(logvar))) || N(m, diag(s²))) -> kl."""
    raise NotImplementedError


def prior_kl_backward(dkl, mu, logvar, m, s):
    """Gradients for mu, logvar, m and s -> (dmu, dlogvar, dm, ds)."""
    raise NotImplementedError
