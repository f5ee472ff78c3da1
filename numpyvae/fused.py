"""A shard's whole step in one compiled function, with no Python between its kernels.

Two threads that run models.py wait for each other's Python; here they never do. Written
for what most people train: dense layers of relu or tanh, a diagonal posterior, the
Bernoulli likelihood, the ELBO of one sample, binary pixels, single precision. The text
to read is models.py. This is its list of calls; a test holds the two together.

Shapes: B batch, N inputs of a layer, M its outputs, Z latents, D pixels, L layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .blas import find_gemm, product, product_of_transposed, product_with_transposed
from .jit import jit
from .kernels import list_images, sum_rows
from .layers import Dense
from .models import VAE
from .objectives import Elbo, Objective
from .ops import Array
from .params import Parameters
from .pixels import ActivePixels, Input

IDENTITY, RELU, TANH = 0, 1, 2
KINDS = {"identity": IDENTITY, "relu": RELU, "tanh": TANH}


class Layer(NamedTuple):
    """A dense layer with all its arrays; a layer's y is the x of the next."""

    kind: int
    W: Array  # (N, M)
    b: Array  # (M,)
    dW: Array  # (N, M)
    db: Array  # (M,)
    x: Array  # (B, N); not read of the first layer, which sees a list of pixels
    dx: Array  # (B, N)
    y: Array  # (B, M)


# ---- Functions of one number, which a loop over them vectorizes ----------------------

# exp(r) = 1 + r + r^2 P(r) for |r| <= log(2) / 2, to a unit in the last place.
LOG2E, LOG2_HIGH, LOG2_LOW = map(np.float32, (1.44269504, 0.693359375, -2.12194440e-4))
P0, P1, P2, P3, P4, P5 = map(
    np.float32,
    (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 1.6666665e-1, 0.5),
)
# tanh(a) = a T(a^2) for |a| < 1/4: the first terms of its series.
T1, T2, T3, T4 = map(np.float32, (-1 / 3, 2 / 15, -17 / 315, 62 / 2835))
ZERO, HALF, ONE, TWO = map(np.float32, (0, 0.5, 1, 2))
LEAST, MOST = np.float32(-87), np.float32(88)  # where exp leaves the normal numbers
SMALL = np.float32(1 / 16)


@jit
def exp(a):
    """exp(a), as 2^n exp(r); 2^n is made of its bits. What overflows is infinite."""
    x = min(max(a, LEAST), MOST)
    n = np.floor(x * LOG2E + HALF)
    r = x - n * LOG2_HIGH - n * LOG2_LOW
    p = ((((P0 * r + P1) * r + P2) * r + P3) * r + P4) * r + P5
    power = np.int32((np.int32(n) + 127) << 23).view(np.float32)
    return (p * r * r + r + ONE) * power if a <= MOST else a * a


@jit
def tanh(a):
    """tanh(a), by its series near 0, where 1 - exp(-2|a|) would lose its digits."""
    s, e = a * a, exp(-TWO * abs(a))
    near = a * (ONE + s * (T1 + s * (T2 + s * (T3 + s * T4))))
    far = (ONE - e) / (ONE + e)
    return near if s < SMALL else (far if a > ZERO else -far)


# ---- The parts of a step -------------------------------------------------------------


@jit
def _add_bias_and_activate(y, b, kind):
    """y = f(y + b)."""
    for i in range(y.shape[0]):
        if kind == RELU:
            for k in range(y.shape[1]):
                a = y[i, k] + b[k]
                y[i, k] = ZERO if a <= ZERO else a  # a NaN stays a NaN
        elif kind == TANH:
            for k in range(y.shape[1]):
                y[i, k] = tanh(y[i, k] + b[k])
        else:
            for k in range(y.shape[1]):
                y[i, k] += b[k]


@jit
def _through_activation(dy, y, kind, db):
    """dy becomes da = dy f'(a); db is its sum over the images."""
    db[:] = ZERO
    for i in range(y.shape[0]):
        for k in range(y.shape[1]):
            if kind == RELU:
                dy[i, k] = dy[i, k] if y[i, k] > ZERO else ZERO
            elif kind == TANH:
                dy[i, k] *= ONE - y[i, k] * y[i, k]
            db[k] += dy[i, k]


@jit
def _sample(h, eps, z):
    """z = mu + sigma eps; the KL, summed over the images (Eq. 9.3, 8.4)."""
    Z, kl = z.shape[1], 0.0
    for i in range(z.shape[0]):
        for j in range(Z):
            mu, logvar = h[i, j], h[i, Z + j]
            z[i, j] = mu + math.exp(HALF * logvar) * eps[i, j]
            kl += mu * mu + math.expm1(logvar) - logvar
    return kl / 2


@jit
def _through_sample(dz, h, eps, weight, dh):
    """dh = (dmu, dlogvar) from dz and `weight` times the KL (Eq. 10.4)."""
    Z = dz.shape[1]
    for i in range(dz.shape[0]):
        for j in range(Z):
            mu, logvar = h[i, j], h[i, Z + j]
            noise = math.exp(HALF * logvar) * eps[i, j]
            dh[i, j] = dz[i, j] + weight * mu
            dh[i, Z + j] = HALF * (dz[i, j] * noise + weight * math.expm1(logvar))


@jit
def _bernoulli(logits, b, columns, starts, weight):
    """The loss of logits + b, summed; `logits` become `weight` times its gradient.

    As in kernels.py, log(1 + e) is summed as the log of a product (Eq. 11.2, 11.3).
    """
    nll, width = 0.0, logits.shape[1]
    e = np.empty(width, np.float32)
    for i in range(logits.shape[0]):
        row, active = logits[i], columns[starts[i] : starts[i + 1]]
        for j in range(width):
            row[j] += b[j]
            e[j] = exp(-abs(row[j]))
        for a in range(active.shape[0]):
            nll -= row[active[a]]
        for start in range(0, width, 64):
            product, positive = ONE, ZERO
            for j in range(start, min(start + 64, width)):
                product *= ONE + e[j]
                positive += max(row[j], ZERO)
            nll += math.log(product) + positive
        for j in range(width):
            row[j] = weight * ((ONE if row[j] > ZERO else e[j]) / (ONE + e[j]))
        for a in range(active.shape[0]):
            row[active[a]] -= weight
    return nll


@jit
def _differentiate(
    gemm, layers, split, columns, starts, images, image_starts, eps, dh, weight, beta
):
    """The calls of VAE.forward, then those of VAE.backward; the sums of recon and KL.

    The encoder are layers[:split]. Each image's loss has the derivative `weight`.
    """
    last, kl = len(layers) - 1, 0.0
    for i in range(last + 1):
        layer = layers[i]
        if i == 0:
            sum_rows(layer.W, columns, starts, layer.y)
        else:
            product(gemm, layer.x, layer.W, layer.y)
        if i < last:
            _add_bias_and_activate(layer.y, layer.b, layer.kind)
        if i == split - 1:
            kl = _sample(layer.y, eps, layers[split].x)
    dy = layers[last].y
    recon = _bernoulli(dy, layers[last].b, columns, starts, weight)
    for i in range(last, -1, -1):
        layer = layers[i]
        _through_activation(dy, layer.y, layer.kind, layer.db)
        if i == 0:
            list_images(columns, starts, images, image_starts)
            sum_rows(dy, images, image_starts, layer.dW)
        else:
            product_of_transposed(gemm, layer.x, dy, layer.dW)
            product_with_transposed(gemm, dy, layer.W, layer.dx)
            dy = layer.dx
        if i == split:
            _through_sample(dy, layers[split - 1].y, eps, weight * beta, dh)
            dy = dh
    return recon, kl


# ---- For the trainer -----------------------------------------------------------------


def fits(model: VAE, objective: Objective) -> bool:
    """Whether a shard of binary images can take its step here."""
    return (
        model.compiled
        and model.dtype == np.float32
        and model.activation in KINDS
        and not model.channels
        and not model.classes
        and model.posterior.name == "diagonal"
        and model.likelihood.name == "bernoulli"
        and isinstance(objective, Elbo)
        and objective.kl == "closed"
        and objective.samples == 1
        and find_gemm() is not None
    )


class FusedShard:
    """The step of a shard: its work arrays, allocated once for each size of a batch."""

    def __init__(self, model: VAE, grads: Parameters) -> None:
        """Take a model that fits, and where its gradients are to be written."""
        self.model, self.grads, self.gemm = model, grads, find_gemm()
        self._arrays: dict[int, tuple[tuple[Layer, ...], Array, Array, Array]] = {}

    def __call__(
        self, x: Input, eps: Array, objective: Objective, batch: int
    ) -> tuple[float, float]:
        """The sums of recon and KL, in nats; overwrites the gradients.

        Shapes: x (B, D), eps (B, Z). `batch` is what the mean is taken over.
        """
        assert isinstance(x, ActivePixels) and isinstance(objective, Elbo)
        if len(x) not in self._arrays:
            self._arrays[len(x)] = self._allocate(len(x))
        layers, dh, images, image_starts = self._arrays[len(x)]
        return _differentiate(
            self.gemm, layers, len(self.model.encoder.layers), x.columns, x.starts,
            images, image_starts, eps, dh,
            np.float32(1 / batch), np.float32(objective.beta),
        )  # fmt: skip

    def _allocate(self, B: int) -> tuple[tuple[Layer, ...], Array, Array, Array]:
        model, layers = self.model, list[Layer]()
        for network in (model.encoder, model.decoder):
            for dense in network.layers:
                assert isinstance(dense, Dense)
                W, b = model.params[f"{dense.name}.W"], model.params[f"{dense.name}.b"]
                dW, db = self.grads[f"{dense.name}.W"], self.grads[f"{dense.name}.b"]
                first = dense is network.layers[0]
                N = 0 if first and network.on_data else len(W)
                x = np.empty((B, N), np.float32) if first else layers[-1].y
                y = np.empty((B, len(b)), np.float32)
                kind = KINDS[dense.activation]
                layers.append(Layer(kind, W, b, dW, db, x, np.empty_like(x), y))
        dh = np.empty_like(layers[len(model.encoder.layers) - 1].y)
        images = np.empty(B * model.pixels, np.int32)
        return tuple(layers), dh, images, np.empty(model.pixels + 1, np.int32)
