"""The pairs of pairs/conv.py, with any kernel, stride and padding.

Shapes: as in pairs/conv.py.
"""

from __future__ import annotations

import numpy as np

from ...pairs.conv import Window
from ...pairs.reference import Reference
from ...pairs.types import Array
from .trials import Subject, Trial, block, code_for, normal, sizes

NAMES = "x", "W", "b"


def _conv(rng: np.random.Generator, code: Reference) -> Trial:
    (x, W, b), window = _drawn_conv(rng)

    def forward(x: Array, W: Array, b: Array) -> Array:
        return code_for(code, W).conv_forward(x, W, b, window)

    def backward(da: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return code_for(code, W).conv_backward(da, x, W, window)

    return Trial(forward, backward, (x, W, b), NAMES)


def _conv_on_data(rng: np.random.Generator, code: Reference) -> Trial:
    (x, W, b), window = _drawn_conv(rng)

    def forward(W: Array, b: Array) -> Array:
        return code_for(code, W).conv_forward(x, W, b, window)

    def backward(da: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return code_for(code, W).conv_backward_weights(da, x, len(W), window)

    return Trial(forward, backward, (W, b), NAMES[1:])


def _drawn_conv(
    rng: np.random.Generator,
) -> tuple[tuple[Array, Array, Array], Window]:
    """x, W and b, and the window."""
    B, H, V, K = sizes(rng, 4, largest=4)
    C, M, stride = sizes(rng, 3, largest=3)
    padding = int(rng.integers(K))
    H, V = (max(n, K - 2 * padding) for n in (H, V))
    W = block(rng, (K, K, C, M))
    return (normal(rng, B, H, V, C), W, normal(rng, M)), Window(stride, padding)


def _conv_transpose(rng: np.random.Generator, code: Reference) -> Trial:
    B, H, V, K = sizes(rng, 4, largest=4)
    C, M, stride = sizes(rng, 3, largest=3)
    output_padding = int(rng.integers(stride))
    smallest = (min(H, V) - 1) * stride + K + output_padding
    window = Window(stride, int(rng.integers(min(K, (smallest + 1) // 2))))

    def forward(x: Array, W: Array, b: Array) -> Array:
        right = code_for(code, W)
        return right.conv_transpose_forward(x, W, b, window, output_padding)

    def backward(da: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return code_for(code, W).conv_transpose_backward(da, x, W, window)

    args = normal(rng, B, H, V, M), block(rng, (K, K, C, M)), normal(rng, C)
    return Trial(forward, backward, args, NAMES)


SUBJECTS = (
    Subject("convolution", "14.2, 14.7", _conv, has_twin=True),
    Subject("convolution, on data", "14.2, 14.7", _conv_on_data, has_twin=True),
    Subject("transposed convolution", "14.9, 14.10", _conv_transpose, has_twin=True),
)
