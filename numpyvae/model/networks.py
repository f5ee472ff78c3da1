"""Stacks of layers: forward, and the same calls mirrored for backward.

Parameters, gradients and work arrays are handed to a network, so that one serves
several threads.

Shapes: B batch, N_i the width after layer i; images of height H and width V.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..pairs.activations import IDENTITY, Activation
from ..pairs.types import Array, Shapes
from ..pairs.work import Work
from .layers import Conv, ConvTranspose, Dense, Layer, Trace


class Network:
    """Layers, each of which takes what the one before it gave."""

    def __init__(self, layers: Sequence[Layer], *, on_data: bool) -> None:
        """`on_data`: the input is data, and nobody asks for its gradient."""
        self.layers, self.on_data = list(layers), on_data

    def shapes(self) -> Shapes:
        """The table of parameters, layer by layer."""
        table: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            table |= layer.shapes()
        return table

    def initialise(self, params: Mapping[str, Array], rng: np.random.Generator) -> None:
        """Draw every block anew, uniform in +-1/sqrt(N), N the fan-in (Eq. 2.12).

        For weights and biases alike, as PyTorch's `nn.Linear` has it. Drawn in float64,
        so that float32 and float64 models start from the same numbers.
        """
        for layer in self.layers:
            bound = 1 / np.sqrt(layer.fan_in())
            for name, shape in layer.shapes().items():
                params[name][...] = rng.uniform(-bound, bound, shape)

    def with_dx(self) -> Network:
        """The same layers, for an input that is learned: its gradient is wanted."""
        return Network(self.layers, on_data=False)

    def forward(self, x: Any, work: Work) -> list[Trace]:
        """What every layer saw and made; the last y (B, N_n) is the network's."""
        traces: list[Trace] = []
        for layer in self.layers:
            traces.append(layer.forward(x, work))
            x = traces[-1].y
        return traces

    def backward(self, dy: Array, traces: Sequence[Trace], work: Work) -> Any:
        """The gradient of the input from that of the output, and every dW and db.

        Overwrites this network's blocks of the gradients. Returns dx (B, N_0); None
        where the input is data.
        """
        dx: Array | None = dy
        for i in reversed(range(len(self.layers))):
            assert dx is not None
            wants_dx = i > 0 or not self.on_data
            dx = self.layers[i].backward(dx, traces[i], work, wants_dx)
        return dx


def mlp(name: str, widths: Sequence[int], f: Activation, *, on_data: bool) -> Network:
    """Dense layers; hidden ones share the activation f, the last has none.

    `widths` counts input and output: (784, 400, 40) is two layers.
    """
    return Network(_dense(name, widths, f), on_data=on_data)


class Images(NamedTuple):
    """The shape of a model's images, where it has convolutions."""

    shape: tuple[int, int]
    channels: Sequence[int]


def encoder(
    pixels: int, widths: Sequence[int], f: Activation, images: Images | None
) -> Network:
    """Dense layers of `widths`; before them, convolutions to maps of `channels`."""
    if images is None:
        return mlp("encoder", (pixels, *widths), f, on_data=True)
    convs = _convs("encoder", images, f)
    inner = math.prod(convs[-1].output())
    dense = _dense("encoder", (inner, *widths), f, first=len(convs))
    return Network([*convs, *dense], on_data=True)


def decoder(
    widths: Sequence[int],
    pixels: int,
    outputs: int,
    f: Activation,
    images: Images | None,
) -> Network:
    """Dense layers of `widths`; behind them, the encoder's convolutions transposed.

    Gives `outputs` numbers for each pixel. Raises ArgumentError if an image on the way
    can't be doubled to the size of the one before it.
    """
    if images is None:
        return mlp("decoder", (*widths, outputs * pixels), f, on_data=False)
    convs = _convs("decoder", images, f)
    inner = math.prod(convs[-1].output())
    layers: list[Layer] = [*_dense("decoder", (*widths, inner), f, last=f)]
    for conv in reversed(convs):
        first = conv is convs[0]
        to = (*conv.image[:2], outputs) if first else conv.image
        name = f"decoder.{len(layers)}"
        layer = ConvTranspose(name, conv.output(), to, IDENTITY if first else f)
        layer.output_padding()
        layers.append(layer)
    return Network(layers, on_data=False)


def _dense(
    name: str,
    widths: Sequence[int],
    f: Activation,
    first: int = 0,
    last: Activation = IDENTITY,
) -> list[Dense]:
    return [
        Dense(f"{name}.{first + i}", widths[i], widths[i + 1], act)
        for i, act in enumerate([f] * (len(widths) - 2) + [last])
    ]


def _convs(name: str, images: Images, f: Activation) -> list[Conv]:
    convs: list[Conv] = []
    size = (*images.shape, 1)
    for i, maps in enumerate(images.channels):
        convs.append(Conv(f"{name}.{i}", size, maps, f))
        size = convs[-1].output()
    return convs
