"""Solution 15 · Rényi's bounds.

With a = 1 - alpha, log w^a = a log w, so the sum is that of (15.3) with a log w in
place of log w, and its largest term can be taken out in the same way:

    loss = -(1/a) [ m + log (1/K) sum_k exp(a log w_k - m) ],   m = max_k a log w_k.

The gradient of what stands in the brackets is, by (15.4), the share of each w_k^a, and
d(a log w_k) = a d log w_k. The a cancels the 1/a:

    dlogs_k = -dloss w_k^a / sum_m w_m^a.

The shares are flatter than those of w. At alpha -> 1 they are all 1/K: the ELBO's.
"""

import numpy as np


def renyi(logs, alpha):
    powers, peak = _powers(logs, alpha)
    loss = -(peak + np.log(powers.mean(axis=1))) / (1 - alpha)
    return loss


def renyi_backward(dloss, logs, alpha):
    powers, _ = _powers(logs, alpha)
    dlogs = -dloss[:, None] * powers / powers.sum(axis=1, keepdims=True)
    return dlogs


def _powers(logs, alpha):
    scaled = (1 - alpha) * logs
    peak = scaled.real.max(axis=1)
    return np.exp(scaled - peak[:, None]), peak


def draw(rng, B, K):
    logs = 2 * rng.normal(size=(B, K)) - 3
    logs[B // 2] -= 1000 * (B > 1)  # among several, an unlikely image
    return logs, rng.uniform(0.2, 0.8)


def draw_backward(rng, B, K):
    return rng.normal(size=B), *draw(rng, B, K)


EXERCISES = {renyi: draw, renyi_backward: draw_backward}
