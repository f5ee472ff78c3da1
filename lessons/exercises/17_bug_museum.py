"""Exercise 17 · A patient for you.

The forward pass below is healthy. It once had this backward pass, with four bugs of
the museum in its three lines, and it trained:

    sigma = np.exp(logvar)
    dmu = dz - dkl[:, None] * mu
    dlogvar = dz * sigma / 2 + dkl[:, None] * (np.exp(logvar) - 1)

Write one that is right. Two gradients arrive, one for z and one for kl.

Shapes: mu, logvar, eps, z, dz, dmu, dlogvar (B, Z); kl, dkl (B,).

Hint: before you look for bugs, let a check tell you where they are. gradcheck takes a
forward with two outputs; give it lambda dy, *args: posterior_backward(*dy, *args).
Which of the four would a check of dmu alone have found?

Check it with: numpyvae check 17
"""

import numpy as np


def posterior_forward(mu, logvar, eps):
    """A sample and the KL to N(0, I) -> (z, kl)."""
    z = mu + np.exp(logvar / 2) * eps
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
    return z, kl


def posterior_backward(dz, dkl, mu, logvar, eps):
    """Gradients for mu and logvar, of both outputs -> (dmu, dlogvar)."""
    raise NotImplementedError
