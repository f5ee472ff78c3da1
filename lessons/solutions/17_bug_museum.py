"""Solution 17 · A patient for you.

The four bugs, in the order of the museum's rooms: sigma is exp(logvar / 2) (room 1);
the eps that made z is lost from dlogvar (a relative of room 2); the KL's mu has the
wrong sign (room 4); and of the KL's dlogvar the 1/2 is missing. By (10.4), before it
knows of 1/B and beta,

    dmu     = dz + dkl mu,
    dlogvar = ½ dz eps sigma + ½ dkl (exp l - 1).

A check of dmu alone would have found one of them.
"""

import numpy as np


def posterior_forward(mu, logvar, eps):
    z = mu + np.exp(logvar / 2) * eps
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
    return z, kl


def posterior_backward(dz, dkl, mu, logvar, eps):
    dmu = dz + dkl[:, None] * mu
    dlogvar = dz * eps * np.exp(logvar / 2) / 2
    dlogvar = dlogvar + dkl[:, None] * (np.exp(logvar) - 1) / 2
    return dmu, dlogvar


def draw_backward(rng, B, Z):
    dz, dkl = rng.normal(size=(B, Z)), rng.normal(size=B)
    return dz, dkl, *(rng.normal(size=(B, Z)) for _ in range(3))


EXERCISES = {posterior_backward: draw_backward}
