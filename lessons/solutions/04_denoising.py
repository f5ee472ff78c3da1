"""Solution 04 · The best denoiser of a world with N images.

Given image i, each pixel that is seen has the density of N(x_i, s²). The constants in
front are the same for all images and cancel in Bayes' rule:

    p(i | seen) = prior_i exp(a_i) / sum_k prior_k exp(a_k),
    a_i = -|seen - x_i|² / (2 s²),

a softmax of a_i + log prior_i. Adding one number to all a_i multiplies the numerator
and the denominator by the same factor, so take the largest away: then one exponential
is 1, and the sum is never 0.

By (4.8) the best answer is the mean under these probabilities, p @ images. With two
images, +1 and -1, it is tanh(seen / s²).
"""

import numpy as np


def which_image(seen, images, prior, s):
    apart = ((seen[:, None] - images) ** 2).sum(axis=2)  # (B, N)
    a = np.log(prior) - apart / (2 * s**2)
    p = np.exp(a - a.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def restore(seen, images, prior, s):
    restored = which_image(seen, images, prior, s) @ images
    return restored


def draw(rng, B, N, D):
    far = rng.integers(0, 2)
    s = 40.0 if far else rng.uniform(1, 2)
    seen = rng.normal(size=(B, D)) + 1000 * far
    return seen, rng.normal(size=(N, D)), rng.dirichlet(np.full(N, 3.0)), s


EXERCISES = {which_image: draw, restore: draw}
