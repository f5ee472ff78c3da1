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
from ..errors import ArgumentError, DivergedError
from ..model.arguments import expect_rows
from ..model.vae import VAE
from ..model.workspace import Reused
from ..pairs.objectives import Elbo, Objective
from ..pairs.types import Array
from .batches import Batches
from .evaluate import Evaluation, evaluate
from .fused.step import FusedStep, fits
from .optimizers import Adam
from .settings import Settings, expect_trainable
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

        Raises ArgumentError for arguments of another kind, or that don't go together.
        """
        expect_trainable(model, data, settings)
        self.model, self.data, self.settings = model, data, settings
        self.workers, self.corruption = workers, settings.corruption()
        self.pace = Pace(workers) if settings.threads is None else None
        seeds = np.random.SeedSequence(settings.seed).spawn(2 + SHARDS)
        self.order_rng, static_rng, *self.shard_rngs = map(np.random.default_rng, seeds)
        self.batches = Batches(data.train_images, settings.binarize, static_rng)
        self.optimizer = Adam(model.params.flat, model.code, settings.lr)
        size = model.params.flat.size
        self.grads = np.empty((SHARDS, size), model.dtype)
        self.workspaces = [
            model.workspace(model.params.like(grad))._replace(arrays=Reused())
            for grad in self.grads
        ]
        plain = self.batches.binary and self.corruption is None
        self.fuses = plain and fits(model, settings.objective(0), self.optimizer)
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
        self.optimizer.lr = self.settings.learning_rate(self.epoch)
        return self._step(rows, self._objective())

    def _objective(self) -> Objective:
        """What is differentiated at this place of the epoch."""
        share = self.start / len(self.batches)
        return self.settings.objective(self.epoch + share)

    def _step(
        self, rows: NDArray[np.int64], objective: Objective
    ) -> tuple[float, float]:
        if self.fuses:
            assert isinstance(objective, Elbo)
            return self._fused_step(rows, objective)
        n, K, model = len(rows), objective.samples, self.model

        # What overflows is told below, once, as a DivergedError.
        @np.errstate(all="ignore")
        def differentiate(s: int) -> tuple[float, float, str]:
            rng = self.shard_rngs[s]
            shard = rows[_shard(n, s)]
            x, seen = self.batches.draw(model, shard, rng, self.corruption)
            labels = self.data.train_labels[shard] if model.classes else None
            eps = rng.standard_normal((len(shard) * K, model.noise), np.float32)
            eps = eps.astype(model.dtype, copy=False)
            work = self.workspaces[s]
            forward = model.forward(x, eps, objective, work, labels=labels, seen=seen)
            model.backward(eps, forward, work, objective, n)
            recon = float(forward.terms["recon"].sum(dtype=np.float64)) / K
            kl = float(forward.kl.sum(dtype=np.float64)) / K
            finite = math.isfinite(recon + kl)
            return recon, kl, "" if finite else forward.first_overflow()

        @np.errstate(all="ignore")
        def update(s: int) -> None:
            self.optimizer.update(self.grads, self.parts[s])

        recons, kls, places = zip(*self.workers.map(differentiate, SHARDS), strict=True)
        recon, kl = sum(recons), sum(kls)
        if not math.isfinite(recon + kl):
            where = next(filter(None, places), "")
            raise self._diverged(recon / n, kl / n, where)
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
            raise self._diverged(recon / size, kl / size, where)
        return recon, kl

    def run_epoch(
        self, progress: bool = False, after_batch: Callable[[], bool] | None = None
    ) -> EpochRecord | None:
        """Every training image once, in a new order, then the test set's ELBO.

        `progress` shows a bar on a terminal. When `after_batch()` is true, the epoch
        stops there and the result is None; the next call goes on with its next batch.
        """
        begin = time.perf_counter() - self.seconds
        n, size = len(self.batches), self.settings.batch_size
        self.order_rng.bit_generator.state = self.order_state
        order = self.order_rng.permutation(n)
        objective = self._objective()
        self.optimizer.lr = self.settings.learning_rate(self.epoch)
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
                if self.settings.warmup:
                    objective = self._objective()
                rows = order[self.start : self.start + size]
                recon, kl = self._step(rows, objective)
                self.start += size
                self.recon += recon
                self.kl += kl
                now = time.perf_counter()
                self.seconds = now - begin
                if self.pace:
                    self.pace.note(now - before)
                bar.update()
                if after_batch and after_batch():
                    return None
        test = self.evaluate()
        if not math.isfinite(test.elbo):
            raise self._diverged(test.recon, test.kl, "the test images")
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

    def _diverged(self, recon: float, kl: float, where: str) -> DivergedError:
        return DivergedError(
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
    return slice(size * s // SHARDS, size * (s + 1) // SHARDS)
