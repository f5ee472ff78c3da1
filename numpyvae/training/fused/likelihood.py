"""Many samples of one image, decoded in a compiled function: for estimates of log p(x).

Nothing is differentiated here, so of the Bernoulli loss no gradient is made. The
decoder is compiled, dense layers that are known whole. Encoder, posterior and prior are
asked as `VAE.forward`, the text to read, asks them.

Shapes: K samples, Z latents, D pixels, M outputs of a layer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...kernels.active_pixels import ActivePixels
from ...kernels.blas import find_gemm, product
from ...kernels.dense import expect
from ...kernels.jit import jit
from ...model.layers import Dense
from ...model.vae import VAE
from ...model.workspace import Reused
from ...pairs.types import Array
from .kernels import KINDS, LANES, add_bias_and_activate, bernoulli_nll, suits


class Decoding(NamedTuple):
    """A layer of the decoder."""

    kind: int
    W: Array  # (N, M)
    b: Array  # (M,)
    y: Array  # (K, M)


@jit
def _decode(gemm, layers, z, columns, scratch, nll):
    """-log p(x|z) for each z: shapes (K, Z) -> nll (K,)."""
    x, last = z, len(layers) - 1
    for i in range(last + 1):
        layer = layers[i]
        product(gemm, x, layer.W, layer.y)
        if i < last:
            add_bias_and_activate(layer.y, layer.b, layer.kind)
        x = layer.y
    bernoulli_nll(x, layers[last].b, columns, scratch, nll)


def fits(model: VAE) -> bool:
    """Whether a model's samples of binary images can be decoded here."""
    return suits(model) and model.family.has_density and find_gemm() is not None


class FusedLikelihood:
    """The importance weights of an image's samples; a thread has its own."""

    def __init__(self, model: VAE) -> None:
        """Take a model that fits."""
        self.model = model
        self.work = model.workspace()._replace(arrays=Reused())

    def log_weights(self, x: ActivePixels, eps: Array) -> Array:
        """log p(x, z) / q(z|x) of the samples of one image (Eq. 15.1), in nats.

        Shapes: x (1, D), eps (K, Z + N) -> (K,).
        """
        model, work = self.model, self.work
        h = model.encoder.forward(x, work)[-1].y
        s = model.head.forward(np.repeat(h, len(eps), axis=0), work.params)
        code = model.family.forward(s, eps[:, : model.latent], work)
        kl, _ = model.rates["sampled"].forward(code, eps, work)
        nll = work.arrays["nll", (len(eps),), np.float32]
        scratch = work.arrays["scratch", (model.pixels + LANES,), np.float32]
        layers = []
        for dense in model.decoder.layers:
            assert isinstance(dense, Dense)
            W, b = work.params[f"{dense.name}.W"], work.params[f"{dense.name}.b"]
            y = work.arrays[f"{dense.name}.y", (len(eps), len(b)), np.float32]
            layers.append(Decoding(KINDS[dense.f], W, b, y))
        z = np.ascontiguousarray(code.z, np.float32)
        expect("z", z, (len(eps), model.latent))
        _decode(find_gemm(), tuple(layers), z, x.columns, scratch, nll)
        return -(nll + sum(kl.values()))
