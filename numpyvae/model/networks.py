"""Stacks of layers: forward, and the same calls mirrored for backward.

Parameters, gradients and work arrays are handed to a network, so that one serves
several threads.

Shapes: B batch, N_i the width after layer i; images of height H and width V.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..kernels.active_pixels import Input
from ..pairs.dense import Array
from .layers import Conv, ConvTranspose, Dense, Layer
from .params import Parameters
from .workspace import Allocate


class Network:
    """Layers, each of which takes what the one before it gave."""

    def __init__(self, layers: Sequence[Layer], *, on_data: bool) -> None:
        """`on_data`: the input is data, and nobody asks for its gradient."""
        self.layers, self.on_data = list(layers), on_data

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The table of parameters, layer by layer."""
        table: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            table |= layer.shapes()
        return table

    def initialise(self, params: Parameters, rng: np.random.Generator) -> None:
        """Draw every block anew, uniform in +-1/sqrt(N), N the fan-in (Eq. 2.12).

        For weights and biases alike, as PyTorch's `nn.Linear` has it. Drawn in float64,
        so that float32 and float64 models start from the same numbers.
        """
        for layer in self.layers:
            bound = 1 / np.sqrt(layer.fan_in())
            for name, shape in layer.shapes().items():
                params[name][...] = rng.uniform(-bound, bound, shape)

    def forward(
        self,
        x: Input,
        params: Mapping[str, Array],
        f: SimpleNamespace,
        array: Allocate,
    ) -> list[Any]:
        """The input and the output of every layer: [x, y_1, ..., y_n], y_i (B, N_i)."""
        ys: list[Any] = [x]
        for layer in self.layers:
            ys.append(layer.forward(ys[-1], params, f, array))
        return ys

    def backward(
        self,
        dy: Array,
        ys: Sequence[Any],
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        f: SimpleNamespace,
        array: Allocate,
    ) -> Any:
        """The gradient of the input from that of the output, and every dW and db.

        Overwrites this network's blocks of `grads`. Returns dx (B, N_0); None where the
        input is data.
        """
        for i in reversed(range(len(self.layers))):
            wants_dx = i > 0 or not self.on_data
            dy = self.layers[i].backward(
                dy, ys[i], ys[i + 1], params, grads, f, array, wants_dx
            )
        return dy


def mlp(name: str, widths: Sequence[int], activation: str, *, on_data: bool) -> Network:
    """Dense layers; hidden ones share an activation, the last has none.

    `widths` counts input and output: (784, 400, 40) is two layers.
    """
    return Network(_dense(name, widths, activation), on_data=on_data)


def encoder(
    pixels: int,
    image: tuple[int, int] | None,
    channels: Sequence[int],
    widths: Sequence[int],
    activation: str,
    classes: int,
) -> Network:
    """Dense layers of `widths`; before them, convolutions to maps of `channels`.

    Raises ArgumentError if convolutions are to see one of `classes` labels.
    """
    if not channels:
        return mlp("encoder", (pixels + classes, *widths), activation, on_data=True)
    if classes:
        raise ArgumentError(
            f"classes: found {classes} with channels {list(channels)}, expected 0: "
            "a convolution has no place for a label"
        )
    convs = _convs("encoder", image, channels, activation)
    inner = math.prod(convs[-1].output())
    dense = _dense("encoder", (inner, *widths), activation, first=len(convs))
    return Network([*convs, *dense], on_data=True)


def decoder(
    widths: Sequence[int],
    channels: Sequence[int],
    image: tuple[int, int] | None,
    pixels: int,
    outputs: int,
    activation: str,
) -> Network:
    """Dense layers of `widths`; behind them, the encoder's convolutions transposed.

    Gives `outputs` numbers for each pixel. Raises ArgumentError if an image on the way
    can't be doubled to the size of the one before it.
    """
    if not channels:
        widths = (*widths, outputs * pixels)
        return mlp("decoder", widths, activation, on_data=False)
    convs = _convs("decoder", image, channels, activation)
    inner = math.prod(convs[-1].output())
    layers: list[Layer] = [
        *_dense("decoder", (*widths, inner), activation, last=activation)
    ]
    for conv in reversed(convs):
        first = conv is convs[0]
        to = (*conv.image[:2], outputs) if first else conv.image
        act = "identity" if first else activation
        layer = ConvTranspose(f"decoder.{len(layers)}", conv.output(), to, act)
        layer.output_padding()
        layers.append(layer)
    return Network(layers, on_data=False)


def _dense(
    name: str,
    widths: Sequence[int],
    activation: str,
    first: int = 0,
    last: str = "identity",
) -> list[Dense]:
    activations = [activation] * (len(widths) - 2) + [last]
    return [
        Dense(f"{name}.{first + i}", widths[i], widths[i + 1], act)
        for i, act in enumerate(activations)
    ]


def _convs(
    name: str,
    image: tuple[int, int] | None,
    channels: Sequence[int],
    activation: str,
) -> list[Conv]:
    assert image is not None
    convs: list[Conv] = []
    size = (*image, 1)
    for i, maps in enumerate(channels):
        convs.append(Conv(f"{name}.{i}", size, maps, activation))
        size = convs[-1].output()
    return convs
