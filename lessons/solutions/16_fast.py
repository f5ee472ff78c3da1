"""Solution 16 · The loss of images that are lists.

The row of each active pixel is written out once: image i has starts[i + 1] - starts[i]
of them, so `rows` repeats i that often, and (rows[a], columns[a]) is an active pixel.

(16.8): R is the sum of log(1 + exp l) over all pixels, less the active logits. Its
gradient is dnll (p - x) by (11.3): dnll p everywhere, and dnll less at the active ones.

(16.7): dW[n] is the sum of da[i] over the images i that list n. Written as
dW[columns] += da[rows] NumPy would add only one of the images that share a pixel;
np.add.at adds them all.
"""

import numpy as np


def listed_forward(logits, columns, starts):
    nll = np.logaddexp(0, logits).sum(axis=1)
    np.subtract.at(nll, _rows(starts), logits[_rows(starts), columns])
    return nll


def listed_backward(dnll, logits, columns, starts):
    e = np.exp(-np.abs(logits))
    p = np.where(logits > 0, 1, e) / (1 + e)
    dlogits = dnll[:, None] * p
    dlogits[_rows(starts), columns] -= dnll[_rows(starts)]
    return dlogits


def listed_weights(da, columns, starts, D):
    dW = np.zeros((D, da.shape[1]))
    np.add.at(dW, columns, da[_rows(starts)])
    return dW


def _rows(starts):
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def draw_list(rng, B, D):
    bits = rng.random((B, D)) < 0.4
    bits[B // 2] &= B < 2  # among several, an empty image
    starts = np.concatenate([[0], bits.sum(axis=1).cumsum()])
    return np.nonzero(bits)[1], starts


def draw(rng, B, D):
    return 3 * rng.normal(size=(B, D)), *draw_list(rng, B, D)


def draw_backward(rng, B, D):
    return rng.normal(size=B), *draw(rng, B, D)


def draw_weights(rng, B, D, M):
    return rng.normal(size=(B, M)), *draw_list(rng, B, D), D


EXERCISES = {
    listed_forward: draw,
    listed_backward: draw_backward,
    listed_weights: draw_weights,
}
