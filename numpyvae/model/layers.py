"""The layers of a network: each arranges the calls of a pair, dense or convolutional.

A layer holds its names and sizes. Between layers an image is a row, so that any layer
can follow any other.

Shapes: B batch, N inputs, M outputs or maps; images of height H, width V, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from ..errors import ArgumentError
from ..kernels.active_pixels import Input
from ..pairs.conv import conv_size, transpose_size
from ..pairs.dense import Array
from .workspace import Allocate

KERNEL, STRIDE, PADDING = 4, 2, 1  # of every convolution: each halves its image


class Layer(Protocol):
    """What a network asks of a layer."""

    @property
    def name(self) -> str:
        """The first part of its parameters' names."""
        ...

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The table of its parameters: W and b."""
        ...

    def fan_in(self) -> float:
        """The number of inputs that an output is a sum of."""
        ...

    def forward(
        self, x: Any, params: Mapping[str, Array], f: SimpleNamespace, array: Allocate
    ) -> Array:
        """y (B, N_i) from x (B, N_i-1)."""
        ...

    def backward(
        self,
        dy: Array,
        x: Any,
        y: Array,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        f: SimpleNamespace,
        array: Allocate,
        wants_dx: bool,
    ) -> Any:
        """dx, or None if it isn't wanted; overwrites dW and db in `grads`."""
        ...


class Dense(NamedTuple):
    """y = act(x W + b)."""

    name: str
    inputs: int
    outputs: int
    activation: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """W (N, M) and b (M,)."""
        return {
            f"{self.name}.W": (self.inputs, self.outputs),
            f"{self.name}.b": (self.outputs,),
        }

    def fan_in(self) -> float:
        """N."""
        return self.inputs

    def forward(
        self, x: Input, params: Mapping[str, Array], f: Any, array: Allocate
    ) -> Array:
        """See `Layer`."""
        W, b = params[f"{self.name}.W"], params[f"{self.name}.b"]
        y = array(self.name, (len(x), len(b)), b.dtype)
        return f.dense_forward(x, W, b, self.activation, out=y)

    def backward(
        self,
        dy: Array,
        x: Any,
        y: Array,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        f: Any,
        array: Allocate,
        wants_dx: bool,
    ) -> Any:
        """See `Layer`."""
        W = params[f"{self.name}.W"]
        dW, db = grads[f"{self.name}.W"], grads[f"{self.name}.b"]
        if not wants_dx:
            f.dense_backward_weights(dy, x, y, self.activation, out=(dW, db))
            return None
        dx = array(f"{self.name}.dx", x.shape, W.dtype)
        f.dense_backward(dy, x, y, W, self.activation, out=(dx, dW, db))
        return dx


class Conv(NamedTuple):
    """A convolution of images (H, V, C) to maps of M channels and half the size."""

    name: str
    image: tuple[int, int, int]
    maps: int
    activation: str

    def output(self) -> tuple[int, int, int]:
        """(H', V', M)."""
        H, V = (conv_size(n, KERNEL, STRIDE, PADDING) for n in self.image[:2])
        return H, V, self.maps

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """W (K, K, C, M) and b (M,)."""
        return {
            f"{self.name}.W": (KERNEL, KERNEL, self.image[2], self.maps),
            f"{self.name}.b": (self.maps,),
        }

    def fan_in(self) -> float:
        """K K C."""
        return KERNEL * KERNEL * self.image[2]

    def forward(
        self, x: Array, params: Mapping[str, Array], f: Any, array: Allocate
    ) -> Array:
        """See `Layer`."""
        W, b = params[f"{self.name}.W"], params[f"{self.name}.b"]
        y = array(self.name, (len(x), *self.output()), b.dtype)
        x = x.reshape(len(x), *self.image)
        f.conv_forward(x, W, b, self.activation, STRIDE, PADDING, out=y)
        return y.reshape(len(y), math.prod(self.output()))

    def backward(
        self,
        dy: Array,
        x: Array,
        y: Array,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        f: Any,
        array: Allocate,
        wants_dx: bool,
    ) -> Any:
        """See `Layer`."""
        W = params[f"{self.name}.W"]
        dW, db = grads[f"{self.name}.W"], grads[f"{self.name}.b"]
        dy, y = (a.reshape(len(a), *self.output()) for a in (dy, y))
        images = x.reshape(len(x), *self.image)
        if not wants_dx:
            f.conv_backward_weights(
                dy, images, y, KERNEL, self.activation, STRIDE, PADDING, out=(dW, db)
            )
            return None
        dx = array(f"{self.name}.dx", images.shape, W.dtype)
        f.conv_backward(
            dy, images, y, W, self.activation, STRIDE, PADDING, out=(dx, dW, db)
        )
        return dx.reshape(x.shape)


class ConvTranspose(NamedTuple):
    """The way back: maps (H', V', M) to images (H, V, C), twice the size."""

    name: str
    maps: tuple[int, int, int]
    image: tuple[int, int, int]
    activation: str

    def output_padding(self) -> int:
        """What the image has over the smallest that gives maps of this size.

        Raises ArgumentError where the width asks for another one than the height.
        """
        height, width = (
            n - transpose_size(m, KERNEL, STRIDE, PADDING, 0)
            for n, m in zip(self.image[:2], self.maps[:2], strict=True)
        )
        if height != width:
            raise ArgumentError(
                f"channels: found images of {self.image[0]} x {self.image[1]} on the "
                "way, expected both even or both odd; use fewer channels, or none"
            )
        return height

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """W (K, K, C, M) and b (C,)."""
        return {
            f"{self.name}.W": (KERNEL, KERNEL, self.image[2], self.maps[2]),
            f"{self.name}.b": (self.image[2],),
        }

    def fan_in(self) -> float:
        """An image pixel meets (K / stride)^2 pixels of M maps."""
        return self.maps[2] * (KERNEL / STRIDE) ** 2

    def forward(
        self, x: Array, params: Mapping[str, Array], f: Any, array: Allocate
    ) -> Array:
        """See `Layer`."""
        W, b = params[f"{self.name}.W"], params[f"{self.name}.b"]
        y = array(self.name, (len(x), *self.image), b.dtype)
        f.conv_transpose_forward(
            x.reshape(len(x), *self.maps), W, b, self.activation,
            STRIDE, PADDING, self.output_padding(), out=y,
        )  # fmt: skip
        return y.reshape(len(y), math.prod(self.image))

    def backward(
        self,
        dy: Array,
        x: Array,
        y: Array,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        f: Any,
        array: Allocate,
        wants_dx: bool,
    ) -> Any:
        """See `Layer`; a decoder's input always wants its gradient."""
        W = params[f"{self.name}.W"]
        dW, db = grads[f"{self.name}.W"], grads[f"{self.name}.b"]
        maps = x.reshape(len(x), *self.maps)
        dx = array(f"{self.name}.dx", maps.shape, W.dtype)
        dy, y = (a.reshape(len(a), *self.image) for a in (dy, y))
        f.conv_transpose_backward(
            dy, maps, y, W, self.activation, STRIDE, PADDING, out=(dx, dW, db)
        )
        return dx.reshape(x.shape)
