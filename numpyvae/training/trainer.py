"""Training: batches, shards, threads, epochs.

A batch is cut into a fixed number of shards. A thread takes a shard through forward
and backward, with work arrays and a gradient vector of its own, then a part of the
parameters through Adam. Nothing depends on which thread it was: neither do the bits.
The usual model takes the same step in training/fused/step.py.

Shapes: B batch, S shards, P parameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..datasets import Dataset
from ..datasets.binarize import Batches
from ..errors import ArgumentError, DivergedError
from ..kernels.active_pixels import part
from ..model.arguments import expect_rows
from ..model.vae import VAE
from ..model.workspace import Workspace
from ..pairs.dense import Array
from ..pairs.objectives import Elbo
from ..pairs.optimizers import Adam
from .evaluate import Evaluation, draw_input, evaluate
from .fused.step import FusedStep, fits
from .settings import Settings
from .workers import Pace, Workers, available_cores

SHARDS = 2


class EpochRecord(NamedTuple):
    """One line of a run's history; nats per image, ELBO = -(recon + kl)."""

    epoch: int
    train_recon: float
    train_kl: float
    train_elbo: float
    test_recon: float
    test_kl: float
    test_elbo: float
    seconds: float


class Trainer:
    """A model, its data and Adam, advanced a batch or an epoch at a time."""

    def __init__(
        self, model: VAE, data: Dataset, settings: Settings, workers: Workers
    ) -> None:
        """Allocate all that a step needs.

        Raises ArgumentError for arguments of another kind, or if the images' size is
        not the model's.
        """
        for name, value, kind in (("model", model, VAE), ("data", data, Dataset)):
            if not isinstance(value, kind):
                raise ArgumentError(
                    f"{name}: found {type(value).__name__}, expected {kind.__name__}"
                )
        if model.dtype.kind == "c":
            raise ArgumentError(
                f"model: found {model.dtype}, expected float32 or float64; complex "
                "models are for the complex step"
            )
        if not model.params.flat.flags.writeable:
            raise ArgumentError(
                "model: found parameters that are read-only, expected some that a step "
                "can change; make the model of a copy of them"
            )
        if model.pixels != data.pixels:
            raise ArgumentError(
                f"model: found {model.pixels} pixels, expected {data.pixels} "
                f"as in the images of {data.name!r}"
            )
        objective = settings.objective(0)
        model.expect(objective)
        if model.likelihood.pixels == "grey" and settings.binarize != "none":
            raise ArgumentError(
                f"binarize: found {settings.binarize!r} with the likelihood "
                f"{model.likelihood.name!r}, expected 'none': it is a density of grey "
                "pixels, and one of zeros and ones has no bound"
            )
        if model.posterior.name == "point" and (settings.beta != 1 or settings.warmup):
            raise ArgumentError(
                f"beta: found {settings.beta:g} with warmup {settings.warmup} for the "
                "posterior 'point', expected 1 and 0: a point has no KL to weigh"
            )
        if model.classes and model.classes < data.classes:
            raise ArgumentError(
                f"model: found {model.classes} classes, expected {data.classes} as in "
                f"the labels of {data.name!r}"
            )
        self.model, self.data, self.settings = model, data, settings
        self.workers, self.corruption = workers, settings.corruption()
        self.pace = Pace(workers) if settings.threads is None else None
        seeds = np.random.SeedSequence(settings.seed).spawn(2 + SHARDS)
        self.order_rng, static_rng, *self.shard_rngs = map(np.random.default_rng, seeds)
        self.batches = Batches(data.train_images, settings.binarize, static_rng)
        self.optimizer = Adam(model.params.flat, model.pairs, settings.lr)
        size = model.params.flat.size
        self.grads = np.empty((SHARDS, size), model.dtype)
        self.shard_grads = [model.params.like(grad) for grad in self.grads]
        self.workspaces = [Workspace() for _ in range(SHARDS)]
        plain = self.batches.binary and not self.corruption
        self.fuses = plain and fits(model, objective, self.optimizer)
        self.fused: dict[int, FusedStep] = {}  # by the size of the batch
        self.parts = [_shard(size, s) for s in range(SHARDS)]
        self.records: list[EpochRecord] = []
        self.start, self.recon, self.kl, self.seconds = 0, 0.0, 0.0, 0.0
        self.order_state = self.order_rng.bit_generator.state

    @property
    def epoch(self) -> int:
        """The number of epochs that are done."""
        return len(self.records)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that `restore` needs to go on from here to the same bits.

        The arrays are the trainer's own, to be written or copied at once; the rest is
        made of what JSON can say. Raises DivergedError if an array is not finite.
        """
        arrays = {
            "params": self.model.params.flat,
            "adam_m": self.optimizer.m,
            "adam_v": self.optimizer.v,
        }
        for what, array in arrays.items():
            blocks = self.model.params.like(array).items()
            bad = next((name for name, b in blocks if not np.isfinite(b).all()), None)
            if bad is not None:
                raise DivergedError(
                    f"step {self.optimizer.step}: found {what} of {bad} not finite, "
                    f"expected finite numbers: {self._advice()}"
                )
        return arrays, {
            "adam_step": self.optimizer.step,
            "records": self.records,
            "start": self.start,
            "recon": self.recon,
            "kl": self.kl,
            "seconds": self.seconds,
            "order_state": self.order_state,
            "shard_states": [rng.bit_generator.state for rng in self.shard_rngs],
        }

    def restore(self, arrays: Mapping[str, Array], state: Mapping[str, Any]) -> None:
        """Take over a state that `state` gave."""
        self.model.params.flat[...] = arrays["params"]
        self.optimizer.m[...] = arrays["adam_m"]
        self.optimizer.v[...] = arrays["adam_v"]
        self.optimizer.step = state["adam_step"]
        self.records = [EpochRecord(*record) for record in state["records"]]
        self.start, self.recon, self.kl = state["start"], state["recon"], state["kl"]
        self.seconds, self.order_state = state["seconds"], state["order_state"]
        for rng, generator in zip(self.shard_rngs, state["shard_states"], strict=True):
            rng.bit_generator.state = generator

    def step(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        """One step of Adam on the images `rows` (B,) -> summed recon and kl, in nats.

        Raises DivergedError, and leaves the parameters, if these are not finite, and
        ArgumentError for rows that are none of the training images'.
        """
        expect_rows(rows, len(self.batches))
        settings = self.settings
        share = self.start / len(self.batches)
        objective = settings.objective(self.epoch + share)
        self.optimizer.lr = settings.learning_rate(self.epoch)
        if self.fuses:
            assert isinstance(objective, Elbo)
            return self._fused_step(rows, objective)

        # What overflows is told below, once, as a DivergedError.
        @np.errstate(all="ignore")
        def differentiate(s: int) -> tuple[float, float, str]:
            shard = rows[_shard(len(rows), s)]
            model, rng, array = self.model, self.shard_rngs[s], self.workspaces[s]
            x, seen = draw_input(model, self.batches, shard, self.corruption, rng)
            labels = self.data.train_labels[shard] if model.classes else None
            eps = rng.standard_normal(
                (len(shard) * objective.samples, model.latent), np.float32
            ).astype(model.dtype, copy=False)
            forward = model.forward(x, eps, array, objective, labels=labels, seen=seen)
            model.backward(
                eps, forward, self.shard_grads[s], objective, len(rows), array
            )
            recon, kl = forward.recon_sum, forward.kl_sum
            finite = math.isfinite(recon + kl)
            return recon, kl, "" if finite else forward.first_overflow()

        @np.errstate(all="ignore")
        def update(s: int) -> None:
            self.optimizer.update(self.grads, self.parts[s])

        shards = self.workers.map(differentiate, SHARDS)
        recon, kl = sum(shard[0] for shard in shards), sum(shard[1] for shard in shards)
        where = next((place for *_, place in shards if place), "")
        self._expect_finite(recon / len(rows), kl / len(rows), where)
        self.optimizer.advance()
        self.workers.map(update, SHARDS)
        return recon, kl

    def _fused_step(
        self, rows: NDArray[np.int64], objective: Elbo
    ) -> tuple[float, float]:
        size = len(rows)
        if size not in self.fused:
            self.fused[size] = FusedStep(
                self.model, self.batches, self.optimizer, self.shard_rngs, size,
                self.workers,
            )  # fmt: skip
        step = self.fused[size]
        step.draw(rows)
        recon, kl = step(objective)
        if not math.isfinite(recon + kl):
            shards = map(step.shard, range(SHARDS))
            with np.errstate(all="ignore"):
                forwards = [self.model.forward(x, eps) for x, eps in shards]
            found = (forward.first_overflow() for forward in forwards)
            where = next(filter(None, found), "the loss")
            self._expect_finite(recon / size, kl / size, where)
        return recon, kl

    def run_epoch(
        self, progress: bool = False, after_batch: Callable[[], bool] = lambda: False
    ) -> EpochRecord | None:
        """Every training image once, in a new order, then the test set's ELBO.

        `progress` shows a bar on a terminal. When `after_batch()` is true, the epoch
        stops there and the result is None; the next call goes on with its next batch.
        """
        begin = time.perf_counter() - self.seconds
        n, size = len(self.batches), self.settings.batch_size
        self.order_rng.bit_generator.state = self.order_state
        order = self.order_rng.permutation(n)
        bar = tqdm(
            total=-(-n // size),
            initial=self.start // size,
            desc=f"epoch {self.epoch + 1}",
            unit="batch",
            leave=False,
            disable=None if progress else True,
        )
        with bar:
            while self.start < n:
                before = time.perf_counter()
                recon, kl = self.step(order[self.start : self.start + size])
                self.start += size
                self.recon += recon
                self.kl += kl
                now = time.perf_counter()
                self.seconds = now - begin
                if self.pace:
                    self.pace.note(now - before)
                bar.update()
                if after_batch():
                    return None
        test = self.evaluate()
        self._expect_finite(test.recon, test.kl, "the test images")
        self.state()  # where Adam's moments overflow, nothing would be learned
        recon, kl = self.recon / n, self.kl / n
        record = EpochRecord(
            self.epoch + 1, recon, kl, -(recon + kl), test.recon, test.kl, test.elbo,
            time.perf_counter() - begin,
        )  # fmt: skip
        self.records.append(record)
        self.start, self.recon, self.kl, self.seconds = 0, 0.0, 0.0, 0.0
        self.order_state = self.order_rng.bit_generator.state
        return record

    def evaluate(self) -> Evaluation:
        """The test images under the model as it is."""
        data, settings = self.data, self.settings
        return evaluate(
            self.model, data.test_images, settings.binarize, settings.seed,
            self.workers, data.test_labels, self.corruption,
        )  # fmt: skip

    def _expect_finite(self, recon: float, kl: float, where: str) -> None:
        if not math.isfinite(recon + kl):
            raise DivergedError(
                f"step {self.optimizer.step + 1}: found recon {recon:.4g} and KL "
                f"{kl:.4g} nats, not finite from {where} on; expected finite numbers: "
                + self._advice()
            )

    def _advice(self) -> str:
        beta = self.settings.beta
        return f"try a smaller lr than {self.settings.lr:g}" + (
            f" or beta than {beta:g}" * (beta > 1)
        )


def train(
    model: VAE, data: Dataset, *, progress: bool = True, **settings: Any
) -> list[EpochRecord]:
    """Train `model` in place on `data`; the keywords are those of `Settings`.

    `progress` shows a bar on a terminal. Returns a record for each epoch. Raises
    ArgumentError for a setting out of range and DivergedError if the loss stops being
    finite.
    """
    known = [field.name for field in fields(Settings)]
    for name in settings:
        if name not in known:
            raise ArgumentError(
                f"train: found the keyword {name!r}, expected one of {', '.join(known)}"
            )
    chosen = Settings(**settings)
    with Workers(threads_for(chosen)) as workers:
        trainer = Trainer(model, data, chosen, workers)
        for _ in range(chosen.epochs):
            trainer.run_epoch(progress)
    return trainer.records


def threads_for(settings: Settings) -> int:
    """The number of threads that will run: more than there are shards have no work."""
    return min(settings.threads or available_cores(), SHARDS)


def _shard(size: int, s: int) -> slice:
    """The s-th of SHARDS nearly equal parts of range(size)."""
    return slice(*part(size, s, SHARDS))
