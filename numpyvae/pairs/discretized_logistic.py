"""The discretized logistic: each of the 256 grey levels of a pixel has a probability.

Written to be read beside lesson 11. A logistic distribution of mean mu and scale s is
cut into bins one level wide; black takes all below, white all above. As in PixelCNN++
and IAF (Salimans et al. 2017, Kingma et al. 2016).

Shapes: B batch, D pixels. The dtype that comes in goes out. Units: nats.
"""

from __future__ import annotations

import numpy as np

from .activations import sigmoid_forward, softplus_forward
from .likelihoods import LIKELIHOODS
from .types import Array, Shapes
from .work import Work

LEVELS = 256
WHITE = LEVELS - 1


def discretized_logistic_forward(mean: Array, log_scale: Array, x: Array) -> Array:
    """-log p(x) of each image, x being k / 255 with whole k (Eq. 11.16).

    Shapes: mean, log_scale, x (B, D) -> (B,). Never a difference of probabilities, so
    that it is finite as long as s and 1 / s are.
    """
    a, b, width = _bins(mean, log_scale, x)
    below, above = softplus_forward(a), softplus_forward(-b)
    inner = below + above - np.log(-np.expm1(-width))
    nll = np.where(x.real >= 1, below, np.where(x.real <= 0, above, inner))
    return nll.sum(axis=1)


def discretized_logistic_backward(
    dnll: Array, mean: Array, log_scale: Array, x: Array
) -> tuple[Array, Array]:
    """dmean and dlog_scale of `discretized_logistic_forward` (Eq. 11.17, 11.18).

    Shapes: dnll (B,), mean, log_scale, x (B, D) -> (B, D), (B, D).
    """
    a, b, width = _bins(mean, log_scale, x)
    below = np.where(x.real <= 0, 0, sigmoid_forward(a))
    above = np.where(x.real >= 1, 0, sigmoid_forward(-b))
    narrow = width * np.exp(-width) / -np.expm1(-width)  # exp(width) would overflow
    narrow = np.where((x.real <= 0) | (x.real >= 1), 0, narrow)
    dmean = dnll[:, None] * WHITE * width * (above - below)  # Eq. 11.17
    dlog_scale = dnll[:, None] * (b * above - a * below + narrow)  # Eq. 11.18
    return dmean, dlog_scale


def _bins(mean: Array, log_scale: Array, x: Array) -> tuple[Array, Array, Array]:
    """Edges a and b of the bin around x, and its width, in units of s (Eq. 11.14)."""
    width = np.exp(-log_scale) / WHITE
    levels = WHITE * (x - mean)
    return (levels - 0.5) * width, (levels + 0.5) * width, width


def discretized_logistic_mean(mean: Array, log_scale: Array) -> Array:
    """The mean of the 256 levels, the sum of P(x >= k / 255) over 255 (Eq. 11.19).

    Shapes: mean, log_scale (B, D) -> (B, D). Near black and white it is not mu.
    """
    total = np.zeros_like(mean)
    width, centre = np.exp(-log_scale) / WHITE, WHITE * mean
    for k in range(1, LEVELS):
        total += sigmoid_forward((centre - (k - 0.5)) * width)
    return total / WHITE


class DiscretizedLogistic:
    """mu and log s of each pixel, in turn, are outputs of the decoder.

    A distribution over 256 levels: its nats are never below 0, and those of any two
    models of such pixels compare.
    """

    name, outputs, pixels, levels = "discretized-logistic", 2, "grey", LEVELS
    equations = "11.14 to 11.18"

    def shapes(self) -> Shapes:
        """See `Likelihood`."""
        return {}

    def forward(self, out: Array, x: Array, work: Work) -> tuple[Array, None]:
        """See `Likelihood`."""
        return discretized_logistic_forward(out[:, ::2], out[:, 1::2], x), None

    def backward(
        self, dnll: Array, out: Array, kept: None, x: Array, work: Work
    ) -> Array:
        """See `Likelihood`."""
        dout = work.arrays["dout", out.shape, out.dtype]
        dout[:, ::2], dout[:, 1::2] = discretized_logistic_backward(
            dnll, out[:, ::2], out[:, 1::2], x
        )
        return dout

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return discretized_logistic_mean(out[:, ::2], out[:, 1::2])


LIKELIHOODS.add(DiscretizedLogistic())
