"""The compiled twins of the hot pairs: same names, same argument order, same meaning.

Each is a Python function that calls BLAS for its matrix products and a serial,
GIL-free numba loop for the rest, and writes its results to `out`. The text to read is
in pairs/dense.py, pairs/likelihoods.py and pairs/optimizers.py; tests hold the two
together. A loop reads and writes without a look at how far its arrays go: so the Python
in front of it looks, and raises ArgumentError.

Shapes: B batch, N inputs, M outputs, D pixels, P parameters, S shards.
"""

import math

import numpy as np

from ..errors import ArgumentError
from ..pairs.dense import Array, activate, activation_slope
from .active_pixels import ActivePixels, Input, list_images, sum_rows
from .jit import jit

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


def expect(name: str, x: Input, shape: tuple[int, ...]) -> None:
    """Raise ArgumentError unless x is a list of pixels, or floats, of this shape."""
    if x.shape == shape and (isinstance(x, ActivePixels) or x.dtype in FLOATS):
        return
    dtype = "a list of pixels" if isinstance(x, ActivePixels) else x.dtype
    raise ArgumentError(
        f"{name}: found {dtype} of shape {x.shape}, expected float32 or float64 of "
        f"shape {shape}"
    )


# ---- Dense layer ---------------------------------------------------------------------


def dense_forward(
    x: Input,
    W: Array,
    b: Array,
    activation: str,
    out: Array | None = None,
) -> Array:
    """`ops.dense_forward`; of binary x, only the active pixels' rows of W are read."""
    y = np.empty((len(x), W.shape[1]), W.dtype) if out is None else out
    if isinstance(x, ActivePixels):
        expect("x", x, (len(y), len(W)))
        expect("out", y, (len(x), W.shape[1]))
        sum_rows(W, x.columns, x.starts, y)
    else:
        np.matmul(x, W, out=y)
    add_bias_and_activate(y, b, activation)
    return y


def add_bias_and_activate(y: Array, b: Array, activation: str) -> None:
    """y = f(y + b), in place; y (B, M), b (M,)."""
    if activation == "relu":
        expect("b", b, y.shape[1:])
        _add_bias_relu(y, b)
        return
    y += b
    if activation == "tanh":
        np.tanh(y, out=y)
    elif activation != "identity":
        y[...] = activate(y, activation)


@jit
def _add_bias_relu(y, b):
    zero = y.dtype.type(0)
    for i in range(y.shape[0]):
        for k in range(y.shape[1]):
            a = y[i, k] + b[k]
            y[i, k] = zero if a <= zero else a  # a NaN stays a NaN


def dense_backward(
    dy: Array,
    x: Array,
    y: Array,
    W: Array,
    activation: str,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """`ops.dense_backward`."""
    if out is None:
        out = np.empty_like(x), np.empty_like(W), np.empty_like(W[0])
    dx, dW, db = out
    da = through_activation(dy, y, activation)
    _weight_gradients(x, da, dW, db)
    np.matmul(da, W.T, out=dx)
    return out


def dense_backward_weights(
    dy: Array,
    x: Input,
    y: Array,
    activation: str,
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """`ops.dense_backward_weights`; of binary x, only the active pixels are read."""
    if out is None:
        width = x.width if isinstance(x, ActivePixels) else x.shape[1]
        out = np.empty((width, y.shape[1]), y.dtype), np.empty(y.shape[1], y.dtype)
    dW, db = out
    _weight_gradients(x, through_activation(dy, y, activation), dW, db)
    return out


def through_activation(dy: Array, y: Array, activation: str) -> Array:
    """da = dy * f'(a); for the identity, dy itself."""
    if activation == "identity":
        return dy
    if activation not in ("relu", "tanh"):
        return dy * activation_slope(y, activation)
    expect("dy", dy, y.shape)
    da = np.empty_like(y)
    (_relu_backward if activation == "relu" else _tanh_backward)(dy, y, da)
    return da


@jit
def _relu_backward(dy, y, da):
    zero = y.dtype.type(0)
    for i in range(y.shape[0]):
        for k in range(y.shape[1]):
            da[i, k] = dy[i, k] if y[i, k] > zero else zero


@jit
def _tanh_backward(dy, y, da):
    one = y.dtype.type(1)
    for i in range(y.shape[0]):
        for k in range(y.shape[1]):
            da[i, k] = dy[i, k] * (one - y[i, k] * y[i, k])


def _weight_gradients(x: Input, da: Array, dW: Array, db: Array) -> None:
    if isinstance(x, ActivePixels):
        expect("x", x, (len(da), len(dW)))
        expect("dW", dW, (x.width, da.shape[1]))
        images = np.empty(len(x.columns), np.int32)
        image_starts = np.empty(x.width + 1, np.int32)
        list_images(x.columns, x.starts, images, image_starts)
        sum_rows(da, images, image_starts, dW)
    else:
        np.matmul(x.T, da, out=dW)
    np.add.reduce(da, axis=0, out=db)


# ---- Bernoulli likelihood ------------------------------------------------------------


def bernoulli_forward(
    logits: Array, x: Input, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`likelihoods.bernoulli_forward`.

    NumPy's exp is the vectorized one, so exp(-|l|) is taken between two loops.
    """
    if out is None:
        out = np.empty(len(logits), logits.dtype), np.empty_like(logits)
    nll, p = out
    expect("x", x, logits.shape)
    expect("p", p, logits.shape)
    expect("nll", nll, logits.shape[:1])
    _minus_abs(logits, p)
    np.exp(p, out=p)
    _softplus_and_sigmoid(logits, p, nll)
    if isinstance(x, ActivePixels):
        _subtract_active_logits(logits, x.columns, x.starts, nll)
    else:
        _subtract_weighted_logits(logits, x, nll)
    return out


@jit
def _minus_abs(logits, e):
    for i in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            e[i, j] = -abs(logits[i, j])


@jit
def _softplus_and_sigmoid(logits, p, nll):
    """nll = sum of softplus(l), and p = sigmoid(l) over the exp(-|l|) it holds.

    The sum of log(1 + e) over up to 64 terms, each in (1, 2], is the log of their
    product, which stays below 2^64.
    """
    zero, one = p.dtype.type(0), p.dtype.type(1)
    width = logits.shape[1]
    for i in range(logits.shape[0]):
        total = 0.0
        for start in range(0, width, 64):
            product, positive = one, zero
            for j in range(start, min(start + 64, width)):
                logit, e = logits[i, j], p[i, j]
                product *= one + e
                positive += max(logit, zero)
                p[i, j] = (one if logit > zero else e) / (one + e)
            total += math.log(product) + positive
        nll[i] = total


@jit
def _subtract_active_logits(logits, columns, starts, nll):
    for i in range(logits.shape[0]):
        total = 0.0
        for a in range(starts[i], starts[i + 1]):
            total += logits[i, columns[a]]
        nll[i] -= total


@jit
def _subtract_weighted_logits(logits, x, nll):
    for i in range(logits.shape[0]):
        total = 0.0
        for j in range(logits.shape[1]):
            total += x[i, j] * logits[i, j]
        nll[i] -= total


def bernoulli_backward(
    dnll: Array, p: Array, x: Input, out: Array | None = None
) -> Array:
    """`likelihoods.bernoulli_backward`."""
    dlogits = np.empty_like(p) if out is None else out
    expect("x", x, p.shape)
    if isinstance(x, ActivePixels):
        expect("dnll", dnll, p.shape[:1])
        np.multiply(dnll[:, None], p, out=dlogits)
        _subtract_at_active(dnll, x.columns, x.starts, dlogits)
    else:
        np.subtract(p, x, out=dlogits)
        dlogits *= dnll[:, None]
    return dlogits


@jit
def _subtract_at_active(dnll, columns, starts, dlogits):
    for i in range(dlogits.shape[0]):
        for a in range(starts[i], starts[i + 1]):
            dlogits[i, columns[a]] -= dnll[i]


# ---- Optimizers ----------------------------------------------------------------------


def sgd_update(params: Array, grads: Array, lr: float) -> None:
    """`optim.sgd_update`."""
    for grad in grads:
        params -= lr * grad


def adam_update(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """`optim.adam_update`, in one pass over memory.

    A moment becomes 0 when it, or the step it makes, fades below the smallest normal
    number: a processor takes a hundred times as long for a subnormal one, and no weight
    can tell the difference.
    """
    expect("grads", grads, (len(grads), *params.shape))
    expect("m", m, params.shape)
    expect("v", v, params.shape)
    _adam(params, grads, m, v, float(step), lr, beta1, beta2, eps)


@jit
def _adam(params, grads, m, v, step, lr, beta1, beta2, eps):
    """A block at a time: the shards' gradients are summed in a buffer that L1 keeps."""
    size = params.shape[0]
    buffer = np.empty(1024, params.dtype)
    constants = adam_constants(params, step, lr, beta1, beta2, eps)
    for start in range(0, size, 1024):
        stop = min(start + 1024, size)
        g = buffer[: stop - start]
        g[:] = grads[0, start:stop]
        for s in range(1, grads.shape[0]):
            shard = grads[s, start:stop]
            for i in range(g.shape[0]):
                g[i] += shard[i]
        adam_block(params[start:stop], g, m[start:stop], v[start:stop], constants)


@jit
def adam_constants(params, step, lr, beta1, beta2, eps):
    """What `adam_block` is to know of a step, in the dtype of the parameters."""
    kind, tiny = params.dtype.type, np.finfo(params.dtype).tiny
    scale1, scale2 = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return (
        kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2),
        kind(scale1), kind(scale2), kind(eps), tiny, kind(tiny / min(scale1, 1.0)),
    )  # fmt: skip


@jit
def adam_block(p, g, m, v, constants):
    """Adam's step for parameters p (P,) with the gradient g (P,)."""
    beta1, rest1, beta2, rest2, scale1, scale2, eps, tiny, faded = constants
    zero = p.dtype.type(0)
    for i in range(p.shape[0]):
        first = beta1 * m[i] + rest1 * g[i]
        second = beta2 * v[i] + rest2 * g[i] * g[i]
        m[i] = zero if abs(first) < faded else first  # a NaN stays a NaN
        v[i] = zero if second < tiny else second
        p[i] -= scale1 * m[i] / (math.sqrt(v[i]) * scale2 + eps)
