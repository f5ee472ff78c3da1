"""The pairs that have a compiled twin, as one object: here the NumPy text itself.

`work.code` is this or kernels/backends.py's `Compiled`, with the same methods. `out`
receives the results, where it is given.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from . import bernoulli, conv, dense, optimizers
from .activations import Activation
from .conv import Window
from .optimizers import AdamRates
from .types import Array, Input

Three = tuple[Array, Array, Array]
Two = tuple[Array, Array]
Results = TypeVar("Results", Array, Two, Three)


def _into(out: Results | None, results: Results) -> Results:
    """The results, left in `out` if there is one."""
    if out is None:
        return results
    outs, parts = (out, results) if isinstance(out, tuple) else ((out,), (results,))
    for array, part in zip(outs, parts, strict=True):
        array[...] = part
    return out


class Reference:
    """The pairs of dense.py, activations.py, conv.py, bernoulli.py, optimizers.py."""

    name = "reference"
    conv: Any = conv  # the module whose pairs are called

    def dense_forward(
        self, x: Input, W: Array, b: Array, out: Array | None = None
    ) -> Array:
        """a = x W + b."""
        return _into(out, dense.dense_forward(cast(Array, x), W, b))

    def dense_backward(
        self, da: Array, x: Array, W: Array, out: Three | None = None
    ) -> Three:
        """dx, dW, db."""
        return _into(out, dense.dense_backward(da, x, W))

    def dense_backward_weights(
        self, da: Array, x: Input, out: Two | None = None
    ) -> Two:
        """dW, db."""
        grads = dense.dense_backward_weights(da, cast(Array, x))
        return _into(out, grads)

    def activated_forward(
        self, f: Activation, x: Input, W: Array, b: Array, a: Array, y: Array
    ) -> Array:
        """y = f(a) with a = x W + b, into `a` and `y`, which may be one."""
        return self.activation_forward(f, self.dense_forward(x, W, b, a), y)

    def activation_forward(self, f: Activation, a: Array, out: Array) -> Array:
        """y = f(a), into `out`, which may be `a`."""
        return _into(out, f.forward(a))

    def activation_backward(
        self, f: Activation, dy: Array, a: Array, y: Array
    ) -> Array:
        """da = dy f'(a)."""
        return f.backward(dy, a, y)

    def conv_forward(
        self, x: Array, W: Array, b: Array, window: Window, out: Array | None = None
    ) -> Array:
        """a = x * W + b."""
        return _into(out, self.conv.conv_forward(x, W, b, window))

    def conv_backward(
        self, da: Array, x: Array, W: Array, window: Window, out: Three | None = None
    ) -> Three:
        """dx, dW, db."""
        return _into(out, self.conv.conv_backward(da, x, W, window))

    def conv_backward_weights(
        self, da: Array, x: Array, K: int, window: Window, out: Two | None = None
    ) -> Two:
        """dW, db."""
        return _into(out, self.conv.conv_backward_weights(da, x, K, window))

    def conv_transpose_forward(
        self,
        x: Array,
        W: Array,
        b: Array,
        window: Window,
        output_padding: int,
        out: Array | None = None,
    ) -> Array:
        """The sums of a transposed convolution."""
        a = self.conv.conv_transpose_forward(x, W, b, window, output_padding)
        return _into(out, a)

    def conv_transpose_backward(
        self, da: Array, x: Array, W: Array, window: Window, out: Three | None = None
    ) -> Three:
        """dx, dW, db."""
        return _into(out, self.conv.conv_transpose_backward(da, x, W, window))

    def bernoulli_forward(self, logits: Array, x: Input, out: Two | None = None) -> Two:
        """nll, p."""
        pair = bernoulli.bernoulli_forward(logits, cast(Array, x))
        return _into(out, pair)

    def bernoulli_backward(
        self, dnll: Array, p: Array, x: Input, out: Array | None = None
    ) -> Array:
        """dlogits."""
        dlogits = bernoulli.bernoulli_backward(dnll, p, cast(Array, x))
        return _into(out, dlogits)

    def sgd_update(self, params: Array, grads: Array, lr: float) -> None:
        """A step of SGD, in place."""
        optimizers.sgd_update(params, grads, lr)

    def adam_update(
        self, params: Array, grads: Array, m: Array, v: Array, rates: AdamRates
    ) -> None:
        """A step of Adam, in place."""
        optimizers.adam_update(params, grads, m, v, rates)

    def __reduce__(self) -> str:
        """A pickle holds its name: a copy is it."""
        return self.name


reference = Reference()
