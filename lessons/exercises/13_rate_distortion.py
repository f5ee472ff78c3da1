"""Exercise 13 · Free bits.

Kingma et al. (2016) let each latent spend `free` nats for nothing, on average over
the batch. With k_ij the KL of latent j at image i, the second term of the loss becomes

    loss = sum over j of max(free, mean over i of k_ij),

so that a latent which pays less than that has no reason to pay less still.

Write it, and its gradients for mu and logvar.

Shapes: mu, logvar, dmu, dlogvar (B, Z); free, loss, dloss numbers.

Hint: the maximum is taken once for each latent, after the mean, so it is the latent
that is free or not, whatever a single image pays. What is the slope of max(free, k)
on either side?

Check it with: numpyvae check 13
"""

import numpy as np


def free_bits(mu, logvar, free):
    """The KL term with `free` nats for each latent -> loss."""
    raise NotImplementedError


def free_bits_backward(dloss, mu, logvar, free):
    """Gradients for mu and logvar -> (dmu, dlogvar)."""
    raise NotImplementedError
