"""This project, as `numpyvae train` drives it; and what its matrix products cost."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from numpyvae import VAE, Dataset
from numpyvae.pairs.objectives import ELBO
from numpyvae.training.batches import Batches
from numpyvae.training.evaluate import likelihood
from numpyvae.training.fused.step import FusedStep
from numpyvae.training.optimizers import Adam
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import SHARDS, Trainer
from numpyvae.training.workers import Workers

from .spec import Floats, Spec, Weights, timed

SIDE = 1024  # of the square matrices whose product measures the peak


def model_of(spec: Spec, image_shape: tuple[int, int], **more: object) -> VAE:
    """The model of a spec, at its initial weights."""
    return VAE(
        image_shape[0] * image_shape[1], spec.hidden, spec.latent, spec.activation,
        channels=spec.channels, image_shape=image_shape if spec.channels else None,
        **more,
    )  # fmt: skip


class Ours:
    """numpyvae's Trainer, a step at a time."""

    def __init__(self, spec: Spec) -> None:
        images = spec.images()
        labels = np.zeros(len(images), np.uint8)
        data = Dataset("benchmark", images, labels, images[:1], labels[:1])
        self.model = model_of(spec, data.image_shape)
        self.workers = Workers(spec.threads).__enter__()
        settings = Settings(batch_size=spec.batch, threads=spec.threads)
        self.trainer = Trainer(self.model, data, settings, self.workers)
        self.rng, self.batch = np.random.default_rng(0), spec.batch
        self.weights = spec.weights()
        self.order, self.at = self.rng.permutation(len(images)), 0

    def step(self) -> float:
        if self.at + self.batch > len(self.order):
            self.order, self.at = self.rng.permutation(len(self.order)), 0
        rows = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return sum(self.trainer.step(rows)) / self.batch

    def steps(self, seconds: float, least: int) -> tuple[list[float], float]:
        return timed(self.step, seconds, least)

    def gradient(self, x: Floats, eps: Floats) -> tuple[float, Weights]:
        """Of the step that is timed: Adam's first m is (1 - beta1) g."""
        self.reset()
        if not self.trainer.fuses:
            seen = self.model.as_input(x.astype(np.uint8), binary=True)
            loss, grads = self.model.loss_and_gradient(seen, eps)
            return loss, dict(grads)
        images = x.astype(np.uint8).reshape(len(x), 1, -1) * np.uint8(255)
        adam = Adam(self.model.params.flat, self.model.code)
        step = FusedStep(
            self.model, Batches(images, "threshold", self.rng), adam,
            self.rng.spawn(SHARDS), len(x), self.workers,
        )  # fmt: skip
        step.draw(np.arange(len(x)))
        step.work.eps[...] = eps
        loss = sum(step(ELBO)) / len(x)
        return loss, dict(self.model.params.like(adam.m / (1 - adam.beta1)))

    def nll(self, bits: NDArray[np.uint8], samples: int) -> float:
        self.reset()
        black = bits * np.uint8(255)
        return likelihood(
            self.model, black, "threshold", 0, samples, self.workers
        ).nll  # fmt: skip

    def reset(self) -> None:
        for name, array in self.weights.items():
            self.model.params[name][...] = array


class Products:
    """The dense matrix products of a step alone, with the same shards and threads."""

    def __init__(self, spec: Spec) -> None:
        pixels = int(np.prod(spec.images().shape[1:]))
        encoder = (pixels, *spec.hidden, 2 * spec.latent)
        decoder = (spec.latent, *spec.hidden[::-1], pixels)
        rng = np.random.default_rng(0)

        def draw(*shape: int) -> Floats:
            return rng.standard_normal(shape, np.float32)

        rows = spec.batch // SHARDS
        self.workers = Workers(spec.threads).__enter__()
        weights = [draw(*pair) for ws in (encoder, decoder) for pair in pairwise(ws)]
        shards = [
            [(draw(rows, len(W)), W, draw(rows, W.shape[1]), np.empty_like(W))
             for W in weights]
            for _ in range(SHARDS)
        ]  # fmt: skip

        def multiply(s: int) -> None:
            for x, W, y, _ in shards[s]:
                np.matmul(x, W, out=y)
            for i, (x, W, dy, dW) in reversed(list(enumerate(shards[s]))):
                np.matmul(x.T, dy, out=dW)
                if i > 0:
                    np.matmul(dy, W.T, out=x)

        self.step: Callable[[], object] = lambda: self.workers.map(multiply, SHARDS)

    def steps(self, seconds: float, least: int) -> tuple[list[float], float]:
        return timed(lambda: self.step() is None, seconds, least)


class Peak(Products):
    """A product of two large square matrices, on so many threads of BLAS."""

    def __init__(self, spec: Spec) -> None:
        a = np.ones((SIDE, SIDE), np.float32)
        out = np.empty_like(a)
        self.limits = threadpool_limits(spec.threads, "blas")
        self.step = lambda: np.matmul(a, a, out=out)
