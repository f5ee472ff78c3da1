"""Solution 07 · The ELBO of a coin.

Write q = σ(a); then 1 - q = σ(-a), log q = -log(1 + exp(-a)), log(1 - q) =
-log(1 + exp a). The mean over both values of z:

    ELBO = q (log p1 - log q) + (1 - q) (log p0 - log(1 - q)).

In its differential for fixed p, -q dlog q = -dq and -(1 - q) dlog(1 - q) = dq cancel:

    dELBO = dq (log p1 - log q - log p0 + log(1 - q)).

With log q - log(1 - q) = a and dq = q (1 - q) da,

    ∂/∂a = q (1 - q) (log p1 - log p0 - a),   ∂/∂log p1 = q,   ∂/∂log p0 = 1 - q.

It is zero at a = log p1 - log p0: the posterior's own logit, where the ELBO touches
log p(x). And it dies where |a| is large: a q that is sure of itself learns nothing.
"""

import numpy as np


def coin_elbo(a, log_p0, log_p1):
    log_q1, log_q0 = -np.logaddexp(0, -a), -np.logaddexp(0, a)
    elbo = np.exp(log_q1) * (log_p1 - log_q1) + np.exp(log_q0) * (log_p0 - log_q0)
    return elbo


def coin_elbo_backward(delbo, a, log_p0, log_p1):
    q1, q0 = np.exp(-np.logaddexp(0, -a)), np.exp(-np.logaddexp(0, a))
    da = delbo * q1 * q0 * (log_p1 - log_p0 - a)
    dlog_p0 = delbo * q0
    dlog_p1 = delbo * q1
    return da, dlog_p0, dlog_p1


def draw(rng, B):
    a, log_p0, log_p1 = 1.5 * rng.normal(size=(3, B))
    a[1:2], a[2:3] = 800.0, -800.0  # nothing, in a batch of one
    return a, log_p0 - 5, log_p1 - 5


def draw_backward(rng, B):
    return rng.normal(size=B), *draw(rng, B)


EXERCISES = {coin_elbo: draw, coin_elbo_backward: draw_backward}
