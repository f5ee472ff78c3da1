"""Exercise 10 · The bottleneck, by softplus and with K samples.

Between the encoder and the decoder of the lesson stand three lines: sigma from the
encoder's output, z, and the KL. Write them anew with two changes.

- The encoder says mu and s, and sigma = log(1 + exp s), as much code has it.
- Each image gets K samples in place of one,

      z[i K + k] = mu[i] + sigma[i] eps[i K + k],   k = 0, ..., K - 1,

  the samples of an image one after the other.

The KL is that of N(mu, diag(sigma²)) to N(0, I), for each image, in nats.

Shapes: mu, s, dmu, ds (B, Z); eps, z, dz (B K, Z); kl, dkl (B,).

Hint: by how many ways does mu[i] reach the K samples? Put down (8.4) in terms of
sigma before you differentiate it. And what is the slope of softplus (2.7)?

Check it with: numpyvae check 10
"""

import numpy as np


def codes(mu, s, eps):
    """K samples of each image -> z."""
    raise NotImplementedError


def codes_backward(dz, mu, s, eps):
    """Gradients for mu and s -> (dmu, ds)."""
    raise NotImplementedError


def price(mu, s):
    """The KL of each image -> kl."""
    raise NotImplementedError


def price_backward(dkl, mu, s):
    """Gradients for mu and s -> (dmu, ds)."""
    raise NotImplementedError
