"""The usual model's whole step in three compiled functions, with no Python inside.

The text to read is model/vae.py and pairs/optimizers.py. This is their list of calls; a
test holds them together.

A step has two halves. First each shard of the batch goes forward and back again, as far
as da, the gradient of each layer's sums xW + b. When all have, each part of a layer's
weights gets its gradient, of the whole batch, and at once, while both are in the cache,
its step of Adam. Threads share out the shards, and then the parts; the bits do not
depend on which thread had which.

Shapes: B batch, N inputs of a layer, M its outputs, Z latents, D pixels, L layers,
P parameters, S shards.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels.active_pixels import (
    draw_rows,
    join_lists,
    list_images,
    sum_rows,
)
from ...kernels.blas import product, product_of_transposed, product_with_transposed
from ...kernels.dense import adam_block, adam_constants
from ...kernels.jit import jit
from ...kernels.noise import draw_normals
from ...kernels.shards import part
from ...pairs.optimizers import AdamRates
from ...pairs.types import Array
from .kernels import (
    ZERO,
    add_bias_and_activate,
    bernoulli,
    sample,
    through_activation,
    through_sample,
)


class Work(NamedTuple):
    """All that a step reads and writes; where S stands first, each shard's own."""

    images: NDArray[np.uint8]  # (n, D), all that there are
    grey: bool  # to be binarized anew at each step, or binary already
    generators: NDArray[np.uintp]  # (S, 3), their addresses; see kernels/noise.py
    normals: int  # see kernels/noise.py
    rows: NDArray[np.int64]  # (B,), the batch
    columns: NDArray[np.int32]  # (S, .) and
    starts: NDArray[np.int32]  # (S, .): its active pixels
    noise: NDArray[np.uint16]  # (S, .)
    eps: Array  # (B, Z)
    table: NDArray[np.int64]  # (L, 8), see `_layer`
    split: int  # the number of the encoder's layers
    params: Array  # (P,)
    m: Array  # (P,)
    v: Array  # (P,)
    values: Array  # what layers compute: x, dx, y, da
    weights: NDArray[np.float64]  # (2,), of recon and KL in the loss
    scratch: Array  # (S, .), for what is used at once
    sums: NDArray[np.float64]  # (S, 2), of recon and KL
    pixel_images: NDArray[np.int32]  # (S, .) and
    pixel_starts: NDArray[np.int32]  # (S, D + 1): each pixel's images
    picks: NDArray[np.int32]  # (S, .) and
    pick_starts: NDArray[np.int32]  # (S, .): those of the whole batch
    adam: NDArray[np.float64]  # (5,), its step, lr, beta1, beta2, eps
    gemm: int  # see kernels/blas.py


class Cut(NamedTuple):
    """A dense layer cut out of the flat arrays; its y is the x of the next."""

    kind: int
    begin: int  # where W begins among the parameters; b follows
    W: Array  # (N, M)
    b: Array  # (M,)
    x: Array  # (B, N); (B, 0) of the first layer, which sees a list of pixels
    dx: Array  # as x; the da of the layer before
    y: Array  # (B, M)
    da: Array  # (B, M)


@jit
def _layer(table, i, params, values, B):
    """The i-th layer, cut out of the flat arrays.

    Its row of the table: kind, N and M, and where its W begins among the parameters,
    and x, dx, y and da among the values.
    """
    kind, N, M, W = table[i, 0], table[i, 1], table[i, 2], table[i, 3]
    x, dx, y, da = table[i, 4], table[i, 5], table[i, 6], table[i, 7]
    b, end, width = W + N * M, W + N * M + M, N if i > 0 else 0
    return Cut(
        kind, W,
        _matrix(params, W, N, M), params[b:end],
        _matrix(values, x, B, width), _matrix(values, dx, B, width),
        _matrix(values, y, B, M), _matrix(values, da, B, M),
    )  # fmt: skip


@jit
def _matrix(flat, begin, N, M):
    return flat[begin : begin + N * M].reshape(N, M)


# ---- The turns -------------------------------------------------------------


@jit
def draw(s, w):
    """The active pixels and, where this can be had, the eps of a shard."""
    lo, hi = part(w.rows.shape[0], s, w.sums.shape[0])
    generator = w.generators[s]
    draw_rows(w.images, w.rows[lo:hi], w.grey, generator, w.noise[s], w.columns[s],
              w.starts[s])  # fmt: skip
    if w.normals != 0:
        draw_normals(w.normals, generator, w.eps[lo:hi])


@jit
def differentiate(s, w):
    """The calls of VAE.forward and, as far as da, of VAE.backward, for a shard."""
    B = w.eps.shape[0]
    lo, hi = part(B, s, w.sums.shape[0])
    eps, starts = w.eps[lo:hi], w.starts[s, : hi - lo + 1]
    columns, last = w.columns[s, : starts[hi - lo]], w.table.shape[0] - 1
    scratch, weight = w.scratch[s], np.float32(w.weights[0])
    layer, recon, kl = _layer(w.table, last, w.params, w.values, B), 0.0, 0.0
    for i in range(last + 1):
        before, layer = layer, _layer(w.table, i, w.params, w.values, B)
        x, y = layer.x[lo:hi], layer.y[lo:hi]
        if i == 0:
            sum_rows(layer.W, columns, starts, y)
        else:
            if i == w.split:
                kl = sample(before.y[lo:hi], eps, x)
            product(w.gemm, x, layer.W, y)
        if i < last:
            add_bias_and_activate(y, layer.b, layer.kind)
        else:
            recon = bernoulli(y, layer.b, columns, starts, weight, scratch)
    w.sums[s, 0], w.sums[s, 1] = recon, kl
    list_images(columns, starts, w.pixel_images[s], w.pixel_starts[s])
    for i in range(last, -1, -1):
        after, layer = layer, _layer(w.table, i, w.params, w.values, B)
        dx, y, da = layer.dx[lo:hi], layer.y[lo:hi], layer.da[lo:hi]
        if i == w.split - 1:
            kl_weight = np.float32(w.weights[1])
            through_sample(after.dx[lo:hi], y, eps, kl_weight, da)
        through_activation(da, y, layer.kind)
        if i > 0:
            product_with_transposed(w.gemm, da, layer.W, dx, scratch)


@jit
def update(s, w):
    """The gradient of a part of each layer's parameters, and their step of Adam.

    That is the s-th of the parts of W's rows and of b. Where the loss is not finite,
    they stay.
    """
    if not math.isfinite(w.sums.sum()):
        return
    B, S, a = w.eps.shape[0], w.sums.shape[0], w.adam
    rates = AdamRates(a[0], a[1], a[2], a[3], a[4])
    constants = adam_constants(w.params, rates)
    for i in range(w.table.shape[0] - 1, -1, -1):
        layer = _layer(w.table, i, w.params, w.values, B)
        N, M = layer.W.shape
        lo, hi = part(N, s, S)
        dW = w.scratch[s, : (hi - lo) * M]
        rows = dW.reshape(hi - lo, M)
        if i == 0:
            join_lists(w.pixel_images, w.pixel_starts, B, lo, hi, w.picks[s],
                       w.pick_starts[s])  # fmt: skip
            sum_rows(layer.da, w.picks[s], w.pick_starts[s], rows)
        else:
            product_of_transposed(w.gemm, layer.x[:, lo:hi], layer.da, rows)
        lo, hi = layer.begin + lo * M, layer.begin + hi * M
        adam_block(w.params[lo:hi], dW, w.m[lo:hi], w.v[lo:hi], constants)
        lo, hi = part(M, s, S)
        db = w.scratch[s, : hi - lo]
        db[:] = ZERO
        for j in range(B):
            da = layer.da[j, lo:hi]
            for k in range(hi - lo):
                db[k] += da[k]
        lo, hi = layer.begin + N * M + lo, layer.begin + N * M + hi
        adam_block(w.params[lo:hi], db, w.m[lo:hi], w.v[lo:hi], constants)
