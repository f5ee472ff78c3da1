"""Exercise 09 · A Gumbel posterior.

If a distribution function F can be inverted, z = F⁻¹(u) with u uniform on (0, 1) is
distributed by it. Let each latent follow a Gumbel distribution,

    F(z) = exp(-exp(-(z - mu) / beta)),    beta = exp(logbeta) > 0.

1. Its noise: the number g, made of u alone, for which z = mu + beta g.
2. Its sample from g, and the gradients.
3. The KL at one sample, k = log q(z|x) - log p(z), in nats, summed over the latents,
   where the prior is still N(0, I); and the gradients.

Shapes: mu, logbeta, u, g, z, dz, dmu, dlogbeta (B, Z); kl, dkl (B,). g is noise and has
no gradient.

Hints: in 1, solve u = F(z) for z. In 3, the density of z is F'(z); or, by the change of
variables, that of g over dz/dg. Both give the same log q, in terms of g. The 2 pi of
the prior does not cancel here.

Check it with: numpyvae check 9
"""

import numpy as np


def gumbel_noise(u):
    """The noise of mu = 0, beta = 1, from a uniform number -> g."""
    raise NotImplementedError


def gumbel_forward(mu, logbeta, g):
    """A sample of each latent -> z."""
    raise NotImplementedError


def gumbel_backward(dz, mu, logbeta, g):
    """Gradients for mu and logbeta -> (dmu, dlogbeta)."""
    raise NotImplementedError


def gumbel_kl(mu, logbeta, g):
    """log q(z|x) - log p(z) at the z made of g -> kl."""
    raise NotImplementedError


def gumbel_kl_backward(dkl, mu, logbeta, g):
    """Gradients for mu and logbeta, all ways taken together -> (dmu, dlogbeta)."""
    raise NotImplementedError
