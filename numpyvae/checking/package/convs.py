"""The pairs of pairs/conv.py, with any kernel, stride and padding.

Shapes: as in pairs/conv.py.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from ...pairs.dense import ACTIVATIONS, Array
from .tracked import suited
from .trials import Subject, Trial, block, normal, sizes

NAMES = "x", "W", "b"


def _conv(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    (x, W, b), how = _drawn_conv(rng)

    def forward(x: Array, W: Array, b: Array) -> Array:
        return suited(f, W).conv_forward(x, W, b, *how)

    def backward(dy: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return suited(f, W).conv_backward(dy, x, forward(x, W, b), W, *how)

    return Trial(forward, backward, (x, W, b), NAMES)


def _conv_on_data(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    (x, W, b), how = _drawn_conv(rng)

    def forward(W: Array, b: Array) -> Array:
        return suited(f, W).conv_forward(x, W, b, *how)

    def backward(dy: Array, W: Array, b: Array) -> tuple[Array, ...]:
        y = forward(W, b)
        return suited(f, W).conv_backward_weights(dy, x, y, len(W), *how)

    return Trial(forward, backward, (W, b), NAMES[1:])


def _drawn_conv(
    rng: np.random.Generator,
) -> tuple[tuple[Array, Array, Array], tuple[str, int, int]]:
    """x, W and b, and the activation, stride and padding."""
    B, H, V, K = sizes(rng, 4, largest=4)
    C, M, stride = sizes(rng, 3, largest=3)
    padding = int(rng.integers(K))
    H, V = (max(n, K - 2 * padding) for n in (H, V))
    how = str(rng.choice(ACTIVATIONS)), stride, padding
    W = block(rng, (K, K, C, M))
    return (normal(rng, B, H, V, C), W, normal(rng, M)), how


def _conv_transpose(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, H, V, K = sizes(rng, 4, largest=4)
    C, M, stride = sizes(rng, 3, largest=3)
    output_padding = int(rng.integers(stride))
    smallest = (min(H, V) - 1) * stride + K + output_padding
    padding = int(rng.integers(min(K, (smallest + 1) // 2)))
    how = str(rng.choice(ACTIVATIONS)), stride, padding

    def forward(x: Array, W: Array, b: Array) -> Array:
        return suited(f, W).conv_transpose_forward(x, W, b, *how, output_padding)

    def backward(dy: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return suited(f, W).conv_transpose_backward(dy, x, forward(x, W, b), W, *how)

    args = normal(rng, B, H, V, M), block(rng, (K, K, C, M)), normal(rng, C)
    return Trial(forward, backward, args, NAMES)


SUBJECTS = (
    Subject("convolution", "14.2, 14.7", _conv, has_twin=True),
    Subject("convolution, on data", "14.2, 14.7", _conv_on_data, has_twin=True),
    Subject("transposed convolution", "14.9, 14.10", _conv_transpose, has_twin=True),
)
