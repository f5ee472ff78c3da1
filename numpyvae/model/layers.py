"""The layers of a network: each arranges the calls of its pair and its activation's.

A layer holds its names and sizes. Between layers an image is a row, so that any layer
can follow any other.

Shapes: B batch, N inputs, M outputs or maps; images of height H, width V, C channels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

from ..errors import ArgumentError
from ..pairs.activations import IDENTITY, Activation
from ..pairs.conv import Window, conv_size, transpose_size
from ..pairs.types import Array, Input, Shapes
from ..pairs.work import Work

KERNEL, WINDOW = 4, Window(stride=2, padding=1)  # each convolution halves its image


class Trace(NamedTuple):
    """What a layer saw and made. Where f' is read off y, y was written over a."""

    x: Any  # (B, N), or a list of pixels
    a: Array  # (B, M) the sums
    y: Array  # (B, M) = f(a)


class Layer(Protocol):
    """What a network asks of a layer."""

    @property
    def name(self) -> str:
        """The first part of its parameters' names."""
        ...

    def shapes(self) -> Shapes:
        """The table of its parameters: W and b."""
        ...

    def fan_in(self) -> float:
        """The number of inputs that an output is a sum of."""
        ...

    def forward(self, x: Any, work: Work) -> Trace:
        """y (B, M) from x (B, N), and what it came by."""
        ...

    def backward(
        self, dy: Array, trace: Trace, work: Work, wants_dx: bool
    ) -> Array | None:
        """dx, or None if it isn't wanted; overwrites the gradients of W and b."""
        ...


class Dense(NamedTuple):
    """y = f(x W + b)."""

    name: str
    inputs: int
    outputs: int
    f: Activation

    def shapes(self) -> Shapes:
        """W (N, M) and b (M,)."""
        return {
            f"{self.name}.W": (self.inputs, self.outputs),
            f"{self.name}.b": (self.outputs,),
        }

    def fan_in(self) -> float:
        """N."""
        return self.inputs

    def forward(self, x: Input, work: Work) -> Trace:
        """See `Layer`."""
        W, b = work.params[f"{self.name}.W"], work.params[f"{self.name}.b"]
        a = work.arrays[self.name, (len(x), self.outputs), b.dtype]
        if self.f == IDENTITY:
            work.code.dense_forward(x, W, b, out=a)
            return Trace(x, a, a)
        y = work.arrays[f"{self.name}.y", a.shape, a.dtype] if self.f.reads_input else a
        return Trace(x, a, work.code.activated_forward(self.f, x, W, b, a, y))

    def backward(
        self, dy: Array, trace: Trace, work: Work, wants_dx: bool
    ) -> Array | None:
        """See `Layer`."""
        W = work.params[f"{self.name}.W"]
        dW, db = work.grads[f"{self.name}.W"], work.grads[f"{self.name}.b"]
        x, a, y = trace
        da = dy
        if self.f != IDENTITY:
            da = work.code.activation_backward(self.f, dy, a, y)
        if not wants_dx:
            work.code.dense_backward_weights(da, x, out=(dW, db))
            return None
        dx = work.arrays[f"{self.name}.dx", x.shape, W.dtype]
        work.code.dense_backward(da, x, W, out=(dx, dW, db))
        return dx


class Conv(NamedTuple):
    """A convolution of images (H, V, C) to maps of M channels and half the size."""

    name: str
    image: tuple[int, int, int]
    maps: int
    f: Activation

    def output(self) -> tuple[int, int, int]:
        """(H', V', M). Raises ArgumentError if the image is too small."""
        try:
            H, V = (conv_size(n, KERNEL, *WINDOW) for n in self.image[:2])
        except ValueError as error:
            raise ArgumentError(f"channels: found too many: {error}") from error
        return H, V, self.maps

    def shapes(self) -> Shapes:
        """W (K, K, C, M) and b (M,)."""
        return {
            f"{self.name}.W": (KERNEL, KERNEL, self.image[2], self.maps),
            f"{self.name}.b": (self.maps,),
        }

    def fan_in(self) -> float:
        """K K C."""
        return KERNEL * KERNEL * self.image[2]

    def forward(self, x: Array, work: Work) -> Trace:
        """See `Layer`."""
        W, b = work.params[f"{self.name}.W"], work.params[f"{self.name}.b"]
        a = work.arrays[self.name, (len(x), *self.output()), b.dtype]
        images = x.reshape(len(x), *self.image)
        work.code.conv_forward(images, W, b, WINDOW, out=a)
        a = a.reshape(len(a), math.prod(self.output()))
        y = work.arrays[f"{self.name}.y", a.shape, a.dtype] if self.f.reads_input else a
        return Trace(images, a, work.code.activation_forward(self.f, a, y))

    def backward(
        self, dy: Array, trace: Trace, work: Work, wants_dx: bool
    ) -> Array | None:
        """See `Layer`."""
        W = work.params[f"{self.name}.W"]
        dW, db = work.grads[f"{self.name}.W"], work.grads[f"{self.name}.b"]
        x, a, y = trace
        da = work.code.activation_backward(self.f, dy, a, y)
        da = da.reshape(len(da), *self.output())
        if not wants_dx:
            work.code.conv_backward_weights(da, x, KERNEL, WINDOW, out=(dW, db))
            return None
        dx = work.arrays[f"{self.name}.dx", x.shape, W.dtype]
        work.code.conv_backward(da, x, W, WINDOW, out=(dx, dW, db))
        return dx.reshape(len(dx), math.prod(self.image))


class ConvTranspose(NamedTuple):
    """The way back: maps (H', V', M) to images (H, V, C), twice the size."""

    name: str
    maps: tuple[int, int, int]
    image: tuple[int, int, int]
    f: Activation

    def output_padding(self) -> int:
        """What the image has over the smallest that gives maps of this size.

        Raises ArgumentError where the width asks for another one than the height.
        """
        height, width = (
            n - transpose_size(m, KERNEL, *WINDOW, 0)
            for n, m in zip(self.image[:2], self.maps[:2], strict=True)
        )
        if height != width:
            raise ArgumentError(
                f"channels: found images of {self.image[0]} x {self.image[1]} on the "
                "way, expected both even or both odd; use fewer channels, or none"
            )
        return height

    def shapes(self) -> Shapes:
        """W (K, K, C, M) and b (C,)."""
        return {
            f"{self.name}.W": (KERNEL, KERNEL, self.image[2], self.maps[2]),
            f"{self.name}.b": (self.image[2],),
        }

    def fan_in(self) -> float:
        """An image pixel meets (K / stride)^2 pixels of M maps."""
        return self.maps[2] * (KERNEL / WINDOW.stride) ** 2

    def forward(self, x: Array, work: Work) -> Trace:
        """See `Layer`."""
        W, b = work.params[f"{self.name}.W"], work.params[f"{self.name}.b"]
        a = work.arrays[self.name, (len(x), *self.image), b.dtype]
        maps, padding = x.reshape(len(x), *self.maps), self.output_padding()
        work.code.conv_transpose_forward(maps, W, b, WINDOW, padding, out=a)
        a = a.reshape(len(a), math.prod(self.image))
        y = work.arrays[f"{self.name}.y", a.shape, a.dtype] if self.f.reads_input else a
        return Trace(maps, a, work.code.activation_forward(self.f, a, y))

    def backward(
        self, dy: Array, trace: Trace, work: Work, wants_dx: bool
    ) -> Array | None:
        """See `Layer`; a decoder's input always wants its gradient."""
        W = work.params[f"{self.name}.W"]
        dW, db = work.grads[f"{self.name}.W"], work.grads[f"{self.name}.b"]
        x, a, y = trace
        da = work.code.activation_backward(self.f, dy, a, y)
        da = da.reshape(len(da), *self.image)
        dx = work.arrays[f"{self.name}.dx", x.shape, W.dtype]
        work.code.conv_transpose_backward(da, x, W, WINDOW, out=(dx, dW, db))
        return dx.reshape(len(dx), math.prod(self.maps))
