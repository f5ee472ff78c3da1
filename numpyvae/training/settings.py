"""How a model is trained: every choice that is not the model's own, checked."""

from __future__ import annotations

from dataclasses import dataclass

from ..datasets.corrupt import Corruption
from ..errors import ArgumentError, expect_number, expect_whole
from ..model.arguments import expect_one_of
from ..pairs.objectives import Elbo, Iwae, Objective

BOUNDS = ("elbo", "iwae")


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    `lr` falls to `lr_end`, if that is given, by the same factor from epoch to epoch.
    The objective is the ELBO with its KL weighted by `beta`, which rises from 0 during
    the first `warmup` epochs, or the importance-weighted bound; `samples` are drawn for
    each image. `kl` is "closed" or "sampled"; None is "closed" for the ELBO and
    "sampled" for the importance-weighted bound. With `corrupt`, the encoder sees
    images corrupted that way to that `level`, and the decoder is to restore them.
    `threads` None takes as many as there are cores, at most one for each shard, and
    only one as long as that is quicker. Raises ArgumentError for a value out of range,
    or two that don't go together.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    lr_end: float | None = None
    bound: str = "elbo"
    samples: int = 1
    kl: str | None = None
    beta: float = 1.0
    warmup: int = 0
    binarize: str = "dynamic"
    corrupt: str = "none"
    level: float = 0.3
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        expect_whole("epochs", self.epochs, 1)
        expect_whole("batch_size", self.batch_size, 1)
        expect_whole("warmup", self.warmup, 0)
        expect_whole("seed", self.seed, 0)
        if self.threads is not None:
            expect_whole("threads", self.threads, 1)
        expect_number("lr", self.lr, "a positive number")
        if self.lr_end is not None:
            expect_number("lr_end", self.lr_end, "a positive number")
        expect_number("beta", self.beta, "0 or more")
        expect_one_of("bound", self.bound, BOUNDS)
        if self.bound == "iwae" and (self.beta != 1 or self.warmup):
            raise ArgumentError(
                f"bound: found iwae with beta {self.beta:g} and warmup {self.warmup}, "
                "expected beta 1 and warmup 0: an importance weight has no part that "
                "could be weighted"
            )
        self.objective(0.0)
        if self.samples >= 2**31:  # no array holds so many
            raise ArgumentError(
                f"samples: found {self.samples}, expected fewer than {2**31:,}"
            )
        self.corruption()

    def learning_rate(self, epoch: int) -> float:
        """Adam's learning rate in an epoch, counted from 0."""
        if self.lr_end is None or self.epochs == 1:
            return self.lr
        return self.lr * (self.lr_end / self.lr) ** (epoch / (self.epochs - 1))

    def objective(self, epochs: float) -> Objective:
        """What is differentiated after `epochs` epochs, which may be a fraction."""
        if self.bound == "iwae":
            return Iwae(self.samples, self.kl or "sampled")
        risen = min(1.0, epochs / self.warmup) if self.warmup else 1.0
        return Elbo(self.beta * risen, self.samples, self.kl or "closed")

    def corruption(self) -> Corruption:
        """What is done to the images that the encoder sees."""
        return Corruption(self.corrupt, self.level)
