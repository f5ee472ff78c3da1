"""The likelihood p(x|z): what the decoder's outputs say about an image.

Each has its pair, and a class that tells a model how to use it and registers itself;
the Bernoulli's pair is in bernoulli.py. Written to be read beside lesson 11.

Shapes: B batch, D pixels. The dtype that comes in goes out. Units: nats.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .activations import exp_minus_abs, sigmoid_forward
from .posteriors import LOG_2PI
from .types import Array, Input, Registry, Shapes
from .work import Work


class Likelihood(Protocol):
    """How a model turns its decoder's outputs into -log p(x|z) and pixel means."""

    name: str
    outputs: int  # of the decoder, for each pixel
    pixels: str  # which it is a density of: "binary", "grey", or "any"
    levels: int  # of a grey pixel, if it gives their probabilities; else 0
    equations: str  # where it is derived

    def shapes(self) -> Shapes:
        """The parameters of its own, which start at 0."""
        ...

    def forward(self, out: Array, x: Any, work: Work) -> tuple[Array, Any]:
        """-log p(x|z) of each image (B,), and what `backward` needs beside x."""
        ...

    def backward(self, dnll: Array, out: Array, kept: Any, x: Any, work: Work) -> Array:
        """dout, as `out`; overwrites the gradients of its own parameters."""
        ...

    def mean(self, out: Array) -> Array:
        """The pixel means (B, D) of decoder outputs."""
        ...


LIKELIHOODS: Registry[Likelihood] = Registry()

# ---- Bernoulli -----------------------------------------------------------------------


class Bernoulli:
    """Each pixel is 1 with probability p = sigmoid(logit)."""

    name, outputs, pixels, levels = "bernoulli", 1, "binary", 0
    equations = "11.2, 11.3"

    def shapes(self) -> Shapes:
        """See `Likelihood`."""
        return {}

    def forward(self, out: Array, x: Input, work: Work) -> tuple[Array, Array]:
        """See `Likelihood`."""
        nll = work.arrays["recon", out.shape[:1], out.dtype]
        p = work.arrays["p", out.shape, out.dtype]
        return work.code.bernoulli_forward(out, x, out=(nll, p))

    def backward(
        self, dnll: Array, out: Array, kept: Array, x: Input, work: Work
    ) -> Array:
        """See `Likelihood`."""
        dlogits = work.arrays["dlogits", out.shape, out.dtype]
        return work.code.bernoulli_backward(dnll, kept, x, out=dlogits)

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return sigmoid_forward(out)


LIKELIHOODS.add(Bernoulli())

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
    (Loaiza-Ganem and Cunningham, 2019). Shapes: logits, x (B, D) -> (B,), (B, D). Near
    l = 0 the log of the integral is the integral of the mean's series.
    """
    t = logits / 2
    small = np.abs(t.real) < 1 / 4
    near, far = np.where(small, t, 0), np.where(small, 1, logits)
    series = np.zeros_like(t)
    for k in reversed(range(len(SERIES))):
        series = series * near * near + SERIES[k] / (2 * k + 2)
    size = np.where(far.real > 0, far, -far)
    direct = np.where(far.real > 0, far, 0) + np.log(-np.expm1(-size) / size)
    log_integral = np.where(small, near + near * near * series, direct)
    nll = (log_integral - x * logits).sum(axis=1)
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

    name, outputs, pixels, levels = "continuous-bernoulli", 1, "grey", 0
    equations = "11.10, 11.12"

    def shapes(self) -> Shapes:
        """See `Likelihood`."""
        return {}

    def forward(self, out: Array, x: Array, work: Work) -> tuple[Array, Array]:
        """See `Likelihood`."""
        return continuous_bernoulli_forward(out, x)

    def backward(
        self, dnll: Array, out: Array, kept: Array, x: Array, work: Work
    ) -> Array:
        """See `Likelihood`."""
        return continuous_bernoulli_backward(dnll, kept, x)

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return continuous_bernoulli_mean(out)


LIKELIHOODS.add(ContinuousBernoulli())

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

    name, outputs, pixels, levels = "gaussian", 1, "any", 0
    equations = "11.7, 11.8"
    LOGVAR = np.zeros(1)

    def shapes(self) -> Shapes:
        """See `Likelihood`."""
        return {}

    def forward(self, out: Array, x: Array, work: Work) -> tuple[Array, None]:
        """See `Likelihood`."""
        return isotropic_forward(out, self.LOGVAR.astype(out.dtype), x), None

    def backward(
        self, dnll: Array, out: Array, kept: None, x: Array, work: Work
    ) -> Array:
        """See `Likelihood`."""
        return isotropic_backward(dnll, out, self.LOGVAR.astype(out.dtype), x)[0]

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return out


LIKELIHOODS.add(Gaussian())


class GaussianLearned:
    """The same with one sigma, that is learned."""

    name, outputs, pixels, levels = "gaussian-learned", 1, "grey", 0
    equations = "11.7 to 11.9"

    def shapes(self) -> Shapes:
        """See `Likelihood`."""
        return {"likelihood.logvar": (1,)}

    def forward(self, out: Array, x: Array, work: Work) -> tuple[Array, None]:
        """See `Likelihood`."""
        return isotropic_forward(out, work.params["likelihood.logvar"], x), None

    def backward(
        self, dnll: Array, out: Array, kept: None, x: Array, work: Work
    ) -> Array:
        """See `Likelihood`."""
        logvar = work.params["likelihood.logvar"]
        dmean, work.grads["likelihood.logvar"][...] = isotropic_backward(
            dnll, out, logvar, x
        )
        return dmean

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return out


LIKELIHOODS.add(GaussianLearned())

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

    name, outputs, pixels, levels = "gaussian-pixels", 2, "grey", 0
    equations = "11.4 to 11.6"

    def shapes(self) -> Shapes:
        """See `Likelihood`."""
        return {}

    def forward(self, out: Array, x: Array, work: Work) -> tuple[Array, None]:
        """See `Likelihood`."""
        return gaussian_forward(out[:, ::2], out[:, 1::2], x), None

    def backward(
        self, dnll: Array, out: Array, kept: None, x: Array, work: Work
    ) -> Array:
        """See `Likelihood`."""
        dout = work.arrays["dout", out.shape, out.dtype]
        dout[:, ::2], dout[:, 1::2] = gaussian_backward(
            dnll, out[:, ::2], out[:, 1::2], x
        )
        return dout

    def mean(self, out: Array) -> Array:
        """See `Likelihood`."""
        return out[:, ::2]


LIKELIHOODS.add(GaussianPixels())
