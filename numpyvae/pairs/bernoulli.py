"""The Bernoulli pair, which has a compiled twin; its class is in likelihoods.py.

Written to be read beside lesson 11. Shapes: B batch, D pixels. The dtype that comes in
goes out. Units: nats.
"""

from .activations import sigmoid_forward, softplus_forward
from .types import Array


def bernoulli_forward(logits: Array, x: Array) -> tuple[Array, Array]:
    """-log Ber(x; p) of each image, and its means p = sigmoid(logits) (Eq. 11.2).

    Shapes: logits, x (B, D), x in [0, 1] -> nll (B,), p (B, D). Taken from the logits,
    as softplus(l) - x l: finite for every finite logit, with nothing clipped. For grey
    x it is the cross-entropy, which is no density.
    """
    nll = (softplus_forward(logits) - x * logits).sum(axis=1)
    return nll, sigmoid_forward(logits)


def bernoulli_backward(dnll: Array, p: Array, x: Array) -> Array:
    """dlogits = dnll * (p - x) (Eq. 11.3); shapes dnll (B,), p, x (B, D) -> (B, D)."""
    return dnll[:, None] * (p - x)
