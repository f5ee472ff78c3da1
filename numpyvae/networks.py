"""A stack of dense layers: forward, and the same calls mirrored for backward.

A network holds names and widths. Parameters, gradients and work arrays are handed to
it, so that one network serves several threads.

Shapes: B batch, N_i the width after layer i.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from .kernels import Input
from .ops import Array
from .workspace import Allocate


class MLP:
    """Dense layers of given widths; hidden ones share an activation, the last has none.

    `widths` counts input and output: (784, 400, 40) is two layers.
    """

    def __init__(
        self, name: str, widths: Sequence[int], activation: str, *, on_data: bool
    ) -> None:
        """`on_data`: the input is data, and nobody asks for its gradient."""
        self.widths = tuple(widths)
        self.on_data = on_data
        self.layers = [f"{name}.{i}" for i in range(len(widths) - 1)]
        self.activations = [activation] * (len(self.layers) - 1) + ["identity"]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The table of parameters: `name.i.W` (N_i, N_i+1) and `name.i.b` (N_i+1,)."""
        table: dict[str, tuple[int, ...]] = {}
        for i, layer in enumerate(self.layers):
            table[f"{layer}.W"] = (self.widths[i], self.widths[i + 1])
            table[f"{layer}.b"] = (self.widths[i + 1],)
        return table

    def forward(
        self,
        x: Input,
        params: Mapping[str, Array],
        pairs: SimpleNamespace,
        array: Allocate,
    ) -> list[Any]:
        """The input and the output of every layer: [x, y_1, ..., y_n], y_i (B, N_i)."""
        ys: list[Any] = [x]
        for layer, activation in zip(self.layers, self.activations, strict=True):
            W, b = params[f"{layer}.W"], params[f"{layer}.b"]
            y = array(layer, (len(x), len(b)), b.dtype)
            ys.append(pairs.dense_forward(ys[-1], W, b, activation, out=y))
        return ys

    def backward(
        self,
        dy: Array,
        ys: Sequence[Any],
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        pairs: SimpleNamespace,
        array: Allocate,
    ) -> Any:
        """The gradient of the input from that of the output, and every dW and db.

        Overwrites this network's blocks of `grads`. Returns dx (B, N_0); None where the
        input is data.
        """
        for i in reversed(range(len(self.layers))):
            layer, activation = self.layers[i], self.activations[i]
            dW, db = grads[f"{layer}.W"], grads[f"{layer}.b"]
            x, y = ys[i], ys[i + 1]
            if i == 0 and self.on_data:
                pairs.dense_backward_weights(dy, x, y, activation, out=(dW, db))
                return None
            W = params[f"{layer}.W"]
            dx = array(f"{layer}.dx", x.shape, W.dtype)
            pairs.dense_backward(dy, x, y, W, activation, out=(dx, dW, db))
            dy = dx
        return dy
