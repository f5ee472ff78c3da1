"""The likelihood p(x|z): what the decoder's outputs say about an image.

Each has its pair and a class that tells a model how to use it; a new one is a section
of this file and an entry of LIKELIHOODS. Written to be read beside lesson 11;
`kernels/dense.py` holds the compiled twins.

Shapes: B batch, D pixels. The dtype that comes in goes out. Units: nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np

from ..kernels.active_pixels import Input
from ..model.workspace import Allocate
from .dense import Array, activate, exp_minus_abs

Shapes = dict[str, tuple[int, ...]]
LOG_2PI = math.log(2 * math.pi)


class Likelihood(Protocol):
    """How a model turns its decoder's outputs into -log p(x|z) and pixel means."""

    name: str
    outputs: int  # of the decoder, for each pixel
    pixels: str  # which it is a density of: "binary", "grey", or "any"
    learned: ClassVar[Shapes]  # parameters of its own, which start at 0

    def forward(
        self,
        out: Array,
        x: Input,
        params: Mapping[str, Array],
        f: SimpleNamespace,
        array: Allocate,
    ) -> tuple[Array, Array]:
        """-log p(x|z) of each image (B,) and its pixel means (B, D)."""
        ...

    def backward(
        self,
        dnll: Array,
        out: Array,
        mean: Array,
        x: Input,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        f: SimpleNamespace,
        array: Allocate,
    ) -> Array:
        """dout, as `out`; overwrites the `grads` of its own parameters."""
        ...

    def mean(self, out: Array) -> Array:
        """The pixel means (B, D) of decoder outputs."""
        ...


# ---- Bernoulli -----------------------------------------------------------------------


def bernoulli_forward(logits: Array, x: Array) -> tuple[Array, Array]:
    """-log Ber(x; p) of each image, and its means p = sigmoid(logits) (Eq. 11.2).

    Shapes: logits, x (B, D), x in [0, 1] -> nll (B,), p (B, D). Taken from the logits,
    as softplus(l) - x l: finite for every finite logit, with nothing clipped. For grey
    x it is the cross-entropy, which is no density.
    """
    nll = (activate(logits, "softplus") - x * logits).sum(axis=1)
    return nll, activate(logits, "sigmoid")


def bernoulli_backward(dnll: Array, p: Array, x: Array) -> Array:
    """dlogits = dnll * (p - x) (Eq. 11.3); shapes dnll (B,), p, x (B, D) -> (B, D)."""
    return dnll[:, None] * (p - x)


class Bernoulli:
    """Each pixel is 1 with probability p = sigmoid(logit)."""

    name, outputs, pixels = "bernoulli", 1, "binary"
    learned: ClassVar[Shapes] = {}

    def forward(
        self, out: Array, x: Input, params: Any, f: Any, array: Allocate
    ) -> tuple[Array, Array]:
        """See `Likelihood`."""
        results = (
            array("recon", out.shape[:1], out.dtype),
            array("p", out.shape, out.dtype),
        )
        return f.bernoulli_forward(out, x, out=results)

    def backward(
        self, dnll: Array, out: Array, mean: Array, x: Input,
        params: Any, grads: Any, f: Any, array: Allocate,
    ) -> Array:  # fmt: skip
        """See `Likelihood`."""
        dlogits = array("dlogits", out.shape, out.dtype)
        return f.bernoulli_backward(dnll, mean, x, out=dlogits)

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return activate(out, "sigmoid")


# ---- Continuous Bernoulli ------------------------------------------------------------

# t coth(t) - 1 over t^2, as a series in t^2: it is good to 1e-16 up to |t| = 1/4.
SERIES = (
    1 / 3,
    -1 / 45,
    2 / 945,
    -1 / 4725,
    2 / 93555,
    -1382 / 638512875,
    4 / 18243225,
)


def continuous_bernoulli_forward(logits: Array, x: Array) -> tuple[Array, Array]:
    """-log CB(x; logits) of each image, and its means (Eq. 11.10, 11.11).

    exp(l x) over its integral: the Bernoulli's formula, made a density on [0, 1]
    (Loaiza-Ganem and Cunningham, 2019). Shapes: logits, x (B, D) -> (B,), (B, D).
    """
    positive = np.where(logits.real > 0, logits, 0)
    size = np.where(logits.real > 0, logits, -logits)
    one = np.where(size == 0, 1, size)
    share = np.where(size == 0, 1, -np.expm1(-one) / one)  # of exp(l+), in the integral
    nll = (positive + np.log(share) - x * logits).sum(axis=1)
    return nll, continuous_bernoulli_mean(logits)


def continuous_bernoulli_backward(dnll: Array, mean: Array, x: Array) -> Array:
    """dlogits = dnll (mean - x) (Eq. 11.12); dnll (B,), mean, x (B, D) -> (B, D)."""
    return dnll[:, None] * (mean - x)


def continuous_bernoulli_mean(logits: Array) -> Array:
    """The mean 1 / (1 - exp(-l)) - 1 / l, by its series near 0 (Eq. 11.11)."""
    t = logits / 2
    small = np.abs(t.real) < 1 / 4
    near, far = np.where(small, t, 0), np.where(small, 1, logits)
    series = np.zeros_like(t)
    for coefficient in reversed(SERIES):
        series = series * near * near + coefficient
    e = exp_minus_abs(far)
    direct = np.where(far.real > 0, 1, -e) / (1 - e) - 1 / far
    return np.where(small, (1 + near * series) / 2, direct)


class ContinuousBernoulli:
    """Grey pixels with the density of Eq. 11.10.

    At a pixel that is exactly 0 or 1 in every image it grows without bound, as every
    density does: its nats compare with those of the same model alone.
    """

    name, outputs, pixels = "continuous-bernoulli", 1, "grey"
    learned: ClassVar[Shapes] = {}

    def forward(
        self, out: Array, x: Any, params: Any, f: Any, array: Allocate
    ) -> tuple[Array, Array]:
        """See `Likelihood`."""
        return f.continuous_bernoulli_forward(out, x)

    def backward(
        self, dnll: Array, out: Array, mean: Array, x: Any,
        params: Any, grads: Any, f: Any, array: Allocate,
    ) -> Array:  # fmt: skip
        """See `Likelihood`."""
        return f.continuous_bernoulli_backward(dnll, mean, x)

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return continuous_bernoulli_mean(out)


# ---- Gaussian, one variance for all pixels -------------------------------------------


def isotropic_forward(mean: Array, logvar: Array, x: Array) -> Array:
    """-log N(x; mean, exp(logvar) I) of each image (Eq. 11.7).

    Shapes: mean, x (B, D), logvar (1,) -> (B,). With logvar = 0 it is half the squared
    error, and a constant.
    """
    residual = x - mean
    squares = (residual * residual).sum(axis=1)
    return (squares * np.exp(-logvar) + x.shape[1] * (logvar + LOG_2PI)) / 2


def isotropic_backward(
    dnll: Array, mean: Array, logvar: Array, x: Array
) -> tuple[Array, Array]:
    """dmean and dlogvar of `isotropic_forward` (Eq. 11.8, 11.9).

    Shapes: dnll (B,), mean, x (B, D), logvar (1,) -> (B, D), (1,). dlogvar is 0 where
    exp(logvar) is the mean squared residual.
    """
    residual, precision = x - mean, np.exp(-logvar)
    squares = (residual * residual).sum(axis=1)
    dmean = -dnll[:, None] * precision * residual  # Eq. 11.8
    dlogvar = dnll * (x.shape[1] - squares * precision) / 2  # Eq. 11.9
    return dmean, dlogvar.sum(keepdims=True)


class Gaussian:
    """Pixels around the decoder's output with sigma = 1: the squared error."""

    name, outputs, pixels = "gaussian", 1, "any"
    learned: ClassVar[Shapes] = {}

    def logvar(self, params: Mapping[str, Array], dtype: Any) -> Array:
        """log sigma^2 (1,)."""
        return np.zeros(1, dtype)

    def forward(
        self, out: Array, x: Any, params: Mapping[str, Array], f: Any, array: Allocate
    ) -> tuple[Array, Array]:
        """See `Likelihood`."""
        return f.isotropic_forward(out, self.logvar(params, out.dtype), x), out

    def backward(
        self, dnll: Array, out: Array, mean: Array, x: Any, params: Mapping[str, Array],
        grads: Mapping[str, Array], f: Any, array: Allocate,
    ) -> Array:  # fmt: skip
        """See `Likelihood`."""
        logvar = self.logvar(params, out.dtype)
        dmean, dlogvar = f.isotropic_backward(dnll, out, logvar, x)
        for name in self.learned:
            grads[name][...] = dlogvar
        return dmean

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return out


class GaussianLearned(Gaussian):
    """The same with one sigma that is learned."""

    name, pixels = "gaussian-learned", "grey"
    learned: ClassVar[Shapes] = {"likelihood.logvar": (1,)}

    def logvar(self, params: Mapping[str, Array], dtype: Any) -> Array:
        """log sigma^2 (1,)."""
        return params["likelihood.logvar"]


# ---- Gaussian, a variance for each pixel of each image -------------------------------


def gaussian_forward(mean: Array, logvar: Array, x: Array) -> Array:
    """-log N(x; mean, diag(exp(logvar))) of each row, in nats (Eq. 11.4).

    Shapes: mean, logvar, x (B, D) -> (B,).
    """
    residual = x - mean
    terms = residual * residual * np.exp(-logvar) + logvar + LOG_2PI
    return terms.sum(axis=1) / 2


def gaussian_backward(
    dnll: Array, mean: Array, logvar: Array, x: Array
) -> tuple[Array, Array]:
    """dmean and dlogvar of `gaussian_forward` (Eq. 11.5, 11.6).

    Shapes: dnll (B,), mean, logvar, x (B, D) -> (B, D), (B, D).
    """
    residual, precision = x - mean, np.exp(-logvar)
    dmean = -dnll[:, None] * residual * precision  # Eq. 11.5
    dlogvar = dnll[:, None] * (1 - residual * residual * precision) / 2  # Eq. 11.6
    return dmean, dlogvar


class GaussianPixels:
    """Mean and log sigma^2 of each pixel, in turn, are outputs of the decoder.

    At a pixel that is the same in every image sigma falls towards 0 and the density
    grows without bound: its nats compare with those of the same model alone.
    """

    name, outputs, pixels = "gaussian-pixels", 2, "grey"
    learned: ClassVar[Shapes] = {}

    def forward(
        self, out: Array, x: Any, params: Any, f: Any, array: Allocate
    ) -> tuple[Array, Array]:
        """See `Likelihood`."""
        mean, logvar = out[:, ::2], out[:, 1::2]
        return f.gaussian_forward(mean, logvar, x), mean

    def backward(
        self, dnll: Array, out: Array, mean: Array, x: Any,
        params: Any, grads: Any, f: Any, array: Allocate,
    ) -> Array:  # fmt: skip
        """See `Likelihood`."""
        dout = array("dout", out.shape, out.dtype)
        dmean, dlogvar = f.gaussian_backward(dnll, mean, out[:, 1::2], x)
        dout[:, ::2], dout[:, 1::2] = dmean, dlogvar
        return dout

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return out[:, ::2]


LIKELIHOODS: dict[str, Likelihood] = {
    likelihood.name: likelihood
    for likelihood in (
        Bernoulli(),
        ContinuousBernoulli(),
        Gaussian(),
        GaussianLearned(),
        GaussianPixels(),
    )
}
