"""The compiled twins of the hot pairs: same names, same argument order, same meaning.

Each is a Python function that calls BLAS for its matrix products and a serial,
GIL-free numba loop for the rest, and writes its results to `out`. The text to read is
in the files of pairs/; tests hold the two together. A loop reads and writes without a
look at how far its arrays go: so the Python in front of it looks, and raises
ArgumentError.

Shapes: B batch, N inputs, M outputs, D pixels, P parameters, S shards.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import ArgumentError
from ..pairs.activations import RELU, TANH, Activation
from ..pairs.optimizers import AdamRates
from ..pairs.types import Array, Input
from .active_pixels import list_images, sum_rows
from .jit import jit

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


def unfit(name: str, x: Input, shape: tuple[int, ...]) -> ArgumentError:
    """What to raise where x is of another kind or shape."""
    dtype = x.dtype if isinstance(x, np.ndarray) else "a list of pixels"
    return ArgumentError(
        f"{name}: found {dtype} of shape {x.shape}, expected float32 or float64 of "
        f"shape {shape}"
    )


def expect(name: str, x: Input, shape: tuple[int, ...]) -> None:
    """Raise ArgumentError unless x is a list of pixels, or floats, of this shape."""
    fits = not isinstance(x, np.ndarray) or x.dtype in FLOATS
    if x.shape != shape or not fits:
        raise unfit(name, x, shape)


# ---- Dense layer ---------------------------------------------------------------------


def dense_forward(
    x: Input, W: Array, b: Array | None, out: Array | None = None
) -> Array:
    """`pairs.dense.dense_forward`; of binary x, only active pixels are read.

    Without b, the product alone.
    """
    a = np.empty((len(x), W.shape[1]), W.dtype) if out is None else out
    if isinstance(x, np.ndarray):
        np.matmul(x, W, out=a)
    else:
        expect("x", x, (len(a), len(W)))
        expect("out", a, (len(x), W.shape[1]))
        sum_rows(W, x.columns, x.starts, a)
    if b is not None:
        a += b
    return a


def dense_backward(
    da: Array, x: Array, W: Array, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """`pairs.dense.dense_backward`."""
    if out is None:
        out = np.empty_like(x), np.empty_like(W), np.empty_like(W[0])
    dx, dW, db = out
    np.matmul(x.T, da, out=dW)
    np.add.reduce(da, axis=0, out=db)
    np.matmul(da, W.T, out=dx)
    return out


def dense_backward_weights(
    da: Array, x: Input, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`pairs.dense.dense_backward_weights`; of binary x, only active ones are read."""
    if out is None:
        out = (
            np.empty((x.shape[1], da.shape[1]), da.dtype),
            np.empty(da.shape[1:], da.dtype),
        )
    dW, db = out
    if isinstance(x, np.ndarray):
        np.matmul(x.T, da, out=dW)
    else:
        expect("x", x, (len(da), len(dW)))
        expect("dW", dW, (x.width, da.shape[1]))
        images = np.empty(len(x.columns), np.int32)
        image_starts = np.empty(x.width + 1, np.int32)
        list_images(x.columns, x.starts, images, image_starts)
        sum_rows(da, images, image_starts, dW)
    np.add.reduce(da, axis=0, out=db)
    return out


# ---- Activations ---------------------------------------------------------------------


@jit
def _relu(a, y):
    zero = y.dtype.type(0)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            y[i, k] = zero if a[i, k] <= zero else a[i, k]  # a NaN stays a NaN


@jit
def _add_bias_relu(a, b, y):
    zero = y.dtype.type(0)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            total = a[i, k] + b[k]
            y[i, k] = zero if total <= zero else total  # a NaN stays a NaN


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


class Kernel(NamedTuple):
    """The loops of an activation whose derivative is read off y."""

    forward: Callable[[Array, Array], object]  # from a into y
    backward: Callable[[Array, Array, Array], object]  # from dy and y into da


KERNELS = {
    RELU: Kernel(_relu, _relu_backward),
    TANH: Kernel(np.tanh, _tanh_backward),
}


def activation_forward(f: Activation, a: Array, out: Array) -> Array:
    """y = f(a), into `out`, which may be `a`; shapes (B, M)."""
    if f not in KERNELS:
        y = f.forward(a)
        if y is not out:
            out[...] = y
        return out
    if out.shape != a.shape or out.dtype not in FLOATS:
        raise unfit("out", out, a.shape)
    KERNELS[f].forward(a, out)
    return out


def activated_forward(
    f: Activation, x: Input, W: Array, b: Array, a: Array, y: Array
) -> Array:
    """y = f(x W + b), into `a` and `y`, which may be one.

    ReLU's loop adds the bias: each step outside the GIL is one to come back from, and
    threads wait for one another there.
    """
    if f != RELU:
        return activation_forward(f, dense_forward(x, W, b, a), y)
    dense_forward(x, W, None, a)
    if b.shape != a.shape[1:] or y.shape != a.shape or b.dtype not in FLOATS:
        raise unfit("b", b, a.shape[1:])
    _add_bias_relu(a, b, y)
    return y


def activation_backward(f: Activation, dy: Array, a: Array, y: Array) -> Array:
    """da = dy f'(a); shapes (B, M)."""
    if f not in KERNELS:
        return f.backward(dy, a, y)
    if dy.shape != y.shape or dy.dtype not in FLOATS:
        raise unfit("dy", dy, y.shape)
    da = np.empty_like(y)
    KERNELS[f].backward(dy, y, da)
    return da


# ---- Optimizers ----------------------------------------------------------------------


def sgd_update(params: Array, grads: Array, lr: float) -> None:
    """`pairs.optimizers.sgd_update`."""
    for grad in grads:
        params -= lr * grad


def adam_update(
    params: Array, grads: Array, m: Array, v: Array, rates: AdamRates
) -> None:
    """`pairs.optimizers.adam_update`, in one pass over memory.

    A moment becomes 0 when it, or the step it makes, fades below the smallest normal
    number: a processor takes a hundred times as long for a subnormal one, and no weight
    can tell the difference.
    """
    for name, array, row in (("grads", grads, grads[0]), ("m", m, m), ("v", v, v)):
        if row.shape != params.shape or row.dtype not in FLOATS:
            raise unfit(name, array, params.shape)
    _adam(params, grads, m, v, AdamRates(*map(float, rates)))


@jit
def _adam(params, grads, m, v, rates):
    """A block at a time: the shards' gradients are summed in a buffer that L1 keeps."""
    size = params.shape[0]
    buffer = np.empty(1024, params.dtype)
    constants = adam_constants(params, rates)
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
def adam_constants(params, rates):
    """What `adam_block` is to know of a step, in the dtype of the parameters."""
    step, lr, beta1, beta2, eps = rates
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
