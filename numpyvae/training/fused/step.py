"""The compiled step, for the trainer: what it takes, and its work arrays.

Written for what most people train: dense layers of relu or tanh, a diagonal posterior,
the Bernoulli likelihood, the ELBO of one sample, binary pixels, single precision, Adam.
turns.py has the step itself.

Shapes: B batch, N inputs of a layer, M its outputs, D pixels, S shards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...kernels.active_pixels import ActivePixels
from ...kernels.blas import find_gemm
from ...kernels.noise import addresses, find_normals
from ...kernels.shards import part
from ...model.layers import Dense
from ...model.vae import VAE
from ...pairs.kl import DiagonalKL
from ...pairs.objectives import Elbo, Objective
from ...pairs.posteriors import Diagonal, FromEncoder
from ...pairs.priors import StandardNormal
from ...pairs.types import Array
from ..batches import Batches
from ..optimizers import Adam
from ..workers import Workers
from .kernels import KINDS, LANES, suits
from .parallel import address, share
from .turns import Work, differentiate, draw, update


def fits(model: VAE, objective: Objective, optimizer: Adam) -> bool:
    """Whether batches of binary images can take their step here.

    Only with parts that are known whole: another one, a user's own, would be ignored.
    """
    return (
        suits(model)
        and type(model.head) is FromEncoder
        and type(model.family) is Diagonal
        and type(model.prior) is StandardNormal
        and type(model.rates["closed"]) is DiagonalKL
        and isinstance(objective, Elbo)
        and objective == Elbo(objective.beta)
        and type(optimizer) is Adam
        and optimizer.code is model.code
        and find_gemm() is not None
    )


class FusedStep:
    """Steps of training with batches of one size, for which it has the work arrays."""

    def __init__(
        self,
        model: VAE,
        batches: Batches,
        optimizer: Adam,
        rngs: Sequence[np.random.Generator],
        size: int,
        workers: Workers,
    ) -> None:
        """Take a model that fits, binary images, and an rng for each shard.

        B is `size`. One thread or more, the bits are the same.
        """
        self.model, self.optimizer, self.rngs = model, optimizer, rngs
        self.workers = workers
        S, D = len(rngs), model.pixels
        self._parts = [slice(*part(size, s, S)) for s in range(S)]
        rows = -(-size // S)
        pixels, own_pixels = rows * D + 1, -(-D // S)
        table, values = self._lay_out(size)
        parts = [-(-N // S) * M for N, M in table[:, 1:3]]  # of a dW
        largest = max(*parts, *(rows * table[1:, 1]), D + LANES)

        def ints(*shape: int) -> NDArray[np.int32]:
            return np.empty(shape, np.int32)

        def floats(*shape: int) -> Array:
            return np.empty(shape, np.float32)

        images = np.ascontiguousarray(batches.images).view()
        images.flags.writeable = False  # one kind of array, wherever they come from
        self.work = Work(
            images=images,
            grey=batches.drawn_anew,
            generators=np.array([addresses(rng) for rng in rngs], np.uintp),
            normals=find_normals(),
            rows=np.empty(size, np.int64),
            columns=ints(S, pixels),
            starts=ints(S, rows + 1),
            noise=np.empty((S, pixels), np.uint16),
            eps=floats(size, model.latent),
            table=table,
            split=len(model.encoder.layers),
            params=model.params.flat,
            m=optimizer.m,
            v=optimizer.v,
            values=values,
            weights=np.full(2, 1 / size),
            scratch=floats(S, largest),
            sums=np.empty((S, 2)),
            pixel_images=ints(S, pixels),
            pixel_starts=ints(S, D + 1),
            picks=ints(S, size * own_pixels),
            pick_starts=ints(S, own_pixels + 1),
            adam=np.array([0, 0, optimizer.beta1, optimizer.beta2, optimizer.eps]),
            gemm=find_gemm() or 0,
        )
        turns = [address(t, self.work) for t in (draw, differentiate, update)]
        self._draw, self._step = np.array(turns[:1]), np.array(turns[1:])

    def draw(self, rows: NDArray[np.int64]) -> None:
        """Draw the pixels and eps of the images `rows` (B,).

        Number for number what `Batches.rows` and the trainer draw of the same rngs.
        """
        self.work.rows[...] = rows
        self._share(self._draw)
        if not self.work.normals:
            for rng, images in zip(self.rngs, self._parts, strict=True):
                rng.standard_normal(dtype=np.float32, out=self.work.eps[images])

    def shard(self, s: int) -> tuple[ActivePixels, Array]:
        """The pixels and eps of a shard, as `VAE.forward` takes them."""
        w, images = self.work, self._parts[s]
        starts = w.starts[s, : images.stop - images.start + 1]
        columns = w.columns[s, : starts[-1]]
        x = ActivePixels.of_our_own(columns, starts, self.model.pixels)
        return x, w.eps[images]

    def __call__(self, objective: Elbo) -> tuple[float, float]:
        """A step with what was drawn -> the sums of recon and KL, in nats.

        If the sums are not finite, nothing else happens.
        """
        w, adam = self.work, self.optimizer
        w.weights[1] = objective.beta / len(w.rows)
        w.adam[0], w.adam[1] = adam.step + 1, adam.lr
        self._share(self._step)
        recon, kl = map(sum, zip(*w.sums.tolist(), strict=True))
        if math.isfinite(recon + kl):
            adam.advance()
        return recon, kl

    def _share(self, addresses: Array) -> None:
        share(addresses, self.work, len(self.rngs), self.workers)

    def _lay_out(self, B: int) -> tuple[NDArray[np.int64], Array]:
        """The table of `turns._layer`, and the array of what layers compute."""
        model, table, size, begin = self.model, [], 0, 0

        def place(width: int) -> int:
            nonlocal size
            size += B * width
            return size - B * width

        y = da = place(0)
        for network in (model.encoder, model.decoder):
            for dense in network.layers:
                assert isinstance(dense, Dense)
                N, M = model.params[f"{dense.name}.W"].shape
                x, dx = y, da
                if network is model.decoder and dense is network.layers[0]:
                    x, dx = place(N), place(N)  # z
                y, da = place(M), place(M)
                table.append([KINDS[dense.f], N, M, begin, x, dx, y, da])
                begin += N * M + M
        table[-1][-1] = y  # the loss turns logits into their gradient
        return np.array(table, np.int64), np.empty(size, np.float32)
