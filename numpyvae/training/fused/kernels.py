"""The loops of the compiled step: float32, and vectorized with exp and tanh in them.

kernels/dense.py has their like for any float; NumPy's exp stands between its loops. The
text to read is in the files of pairs/.

Shapes: B batch, M outputs of a layer, Z latents, D pixels.
"""

import math

import numpy as np

from ...kernels.backends import compiled
from ...kernels.jit import jit
from ...model.layers import Dense
from ...model.networks import Network
from ...model.vae import VAE
from ...pairs import activations
from ...pairs.likelihoods import Bernoulli

IDENTITY, RELU, TANH = 0, 1, 2
KINDS = {activations.IDENTITY: IDENTITY, activations.RELU: RELU, activations.TANH: TANH}
LANES = 128  # the numbers that a Bernoulli loss keeps beside exp(-|l|)


# All that a VAE is made of: one with a part more is none that these loops know.
PARTS = {
    "pixels", "hidden", "latent", "activation", "decoder_hidden", "channels",
    "image_shape", "posterior", "prior", "top", "likelihood", "classes", "dtype",
    "compiled", "code", "reads_lists", "family", "head", "encoder", "decoder", "noise",
    "rates", "params",
}  # fmt: skip


def suits(model: VAE) -> bool:
    """Whether these loops are all that a model's layers and its likelihood need."""
    if type(model) is not VAE or vars(model).keys() != PARTS:
        return False
    networks = model.encoder, model.decoder
    layers = [*model.encoder.layers, *model.decoder.layers]
    dense = [layer for layer in layers if type(layer) is Dense]
    return (
        model.code is compiled
        and model.dtype == np.float32
        and not model.classes
        and type(model.likelihood) is Bernoulli
        and all(type(network) is Network for network in networks)
        and dense == layers
        and all(layer.f in KINDS for layer in dense)
        and dense[-1].f == activations.IDENTITY
    )


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


# ---- The loops -----------------------------------------------------------------------


@jit
def add_bias_and_activate(y, b, kind):
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
def through_activation(dy, y, kind):
    """dy becomes da = dy f'(a)."""
    for i in range(y.shape[0]):
        if kind == RELU:
            for k in range(y.shape[1]):
                dy[i, k] = dy[i, k] if y[i, k] > ZERO else ZERO
        elif kind == TANH:
            for k in range(y.shape[1]):
                dy[i, k] *= ONE - y[i, k] * y[i, k]


@jit
def sample(h, eps, z):
    """z = mu + sigma eps; the KL, summed over the images (Eq. 9.3, 8.4)."""
    Z, kl = z.shape[1], 0.0
    for i in range(z.shape[0]):
        for j in range(Z):
            mu, logvar = h[i, j], h[i, Z + j]
            z[i, j] = mu + math.exp(HALF * logvar) * eps[i, j]
            kl += mu * mu + math.expm1(logvar) - logvar
    return kl / 2


@jit
def through_sample(dz, h, eps, weight, dh):
    """dh = (dmu, dlogvar) from dz and `weight` times the KL (Eq. 10.4)."""
    Z = dz.shape[1]
    for i in range(dz.shape[0]):
        for j in range(Z):
            mu, logvar = h[i, j], h[i, Z + j]
            noise = math.exp(HALF * logvar) * eps[i, j]
            dh[i, j] = dz[i, j] + weight * mu
            dh[i, Z + j] = HALF * (dz[i, j] * noise + weight * math.expm1(logvar))


@jit
def _exps(row, b, e):
    """row += b, and e = exp(-|row|)."""
    for j in range(row.shape[0]):
        row[j] += b[j]
        e[j] = exp(-abs(row[j]))


@jit
def _softplus(row, e, lanes):
    """The sum of log(1 + exp(l)) over a row of logits l, from e = exp(-|l|) (Eq. 11.2).

    The logs of products, as in kernels/bernoulli.py. 64 products side by side, which
    the loop vectorizes, have 8 terms each, and 8 of them make one: none exceeds 2^64.
    """
    total, width = 0.0, row.shape[0]
    products, positives = lanes[:64], lanes[64:]
    for begin in range(0, width, 512):
        products[:] = ONE
        positives[:] = ZERO
        for start in range(begin, min(begin + 512, width), 64):
            stop = min(start + 64, width)
            logits, terms = row[start:stop], e[start:stop]
            for j in range(stop - start):
                products[j] *= ONE + terms[j]
                positives[j] += max(logits[j], ZERO)
        for start in range(0, 64, 8):
            product, positive = ONE, ZERO
            for j in range(start, start + 8):
                product *= products[j]
                positive += positives[j]
            total += math.log(product) + positive
    return total


@jit
def bernoulli(logits, b, columns, starts, weight, scratch):
    """The loss of logits + b, summed; `logits` become `weight` times its gradient.

    Shapes: logits (B, D), b (D,), scratch (D + LANES,) (Eq. 11.2, 11.3).
    """
    nll, D = 0.0, logits.shape[1]
    e, lanes = scratch[:D], scratch[D : D + LANES]
    for i in range(logits.shape[0]):
        row, active = logits[i], columns[starts[i] : starts[i + 1]]
        _exps(row, b, e)
        nll += _softplus(row, e, lanes)
        for a in range(active.shape[0]):
            nll -= row[active[a]]
        for j in range(D):
            row[j] = weight * ((ONE if row[j] > ZERO else e[j]) / (ONE + e[j]))
        for a in range(active.shape[0]):
            row[active[a]] -= weight
    return nll


@jit
def bernoulli_nll(logits, b, columns, scratch, nll):
    """The loss of each row of logits + b, of one and the same image (Eq. 11.2).

    Shapes: logits (K, D), b (D,), scratch (D + LANES,), nll (K,); the image has the
    pixels `columns` active. `logits` become logits + b.
    """
    D = logits.shape[1]
    e, lanes = scratch[:D], scratch[D : D + LANES]
    for i in range(logits.shape[0]):
        row = logits[i]
        _exps(row, b, e)
        total = _softplus(row, e, lanes)
        for a in range(columns.shape[0]):
            total -= row[columns[a]]
        nll[i] = total
