"""Solution 11 · The Laplace likelihood, and its best scale.

Take the logarithm of the density and add over the pixels. With A_i the sum over j of
|x_ij - m_ij|,

    nll_i = A_i exp(-s) + D (s + log 2).

|x - m| falls with the slope 1 as m rises towards x, and rises beyond:

    dm_ij = -dnll_i exp(-s) sign(x_ij - m_ij).

However large a residual is, it pulls with the same force: one bad pixel doesn't bend
the mean, which is why the best constant m is the median. s is shared by all images, so

    ds = sum over i of dnll_i [D - A_i exp(-s)].

With dnll_i = 1/B that is 0 where exp(s) = sum_i A_i / (B D): the best scale is the mean
absolute residual, s = log mean |x - m|.
"""

import numpy as np


def laplace(m, s, x):
    residual = x - m
    size = np.where(residual.real > 0, residual, -residual).sum(axis=1)
    nll = size * np.exp(-s) + m.shape[1] * (s + np.log(2))
    return nll


def laplace_backward(dnll, m, s, x):
    residual = x - m
    sign = np.where(residual > 0, 1.0, -1.0)
    dm = -dnll[:, None] * np.exp(-s) * sign
    size = (sign * residual).sum(axis=1)
    ds = (dnll * (m.shape[1] - size * np.exp(-s))).sum(keepdims=True)
    return dm, ds


def best_s(m, x):
    s = np.log(abs(x - m).mean())
    return s


def draw(rng, B, D):
    m, x = rng.normal(size=(B, D)), 2 * rng.normal(size=(B, D))
    return m, np.array([rng.uniform(0.3, 0.9)]), x


def draw_backward(rng, B, D):
    return 1 + rng.random(B), *draw(rng, B, D)


def draw_best(rng, B, D):
    m = rng.normal(size=(B, D))
    return m, m + 4 * rng.normal(size=(B, D))


EXERCISES = {laplace: draw, laplace_backward: draw_backward, best_s: draw_best}
