"""How a model is trained: every choice that is not the model's own, checked."""

from __future__ import annotations

from dataclasses import dataclass

from ..datasets import Dataset
from ..datasets.corrupt import Corruption
from ..errors import ArgumentError, expect_number, expect_whole
from ..model.arguments import expect_objective, expect_one_of
from ..model.vae import VAE
from ..pairs.objectives import KLS, Elbo, Iwae, Objective

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
        expect_whole("samples", self.samples, 1)
        if self.kl is not None:
            expect_one_of("kl", self.kl, KLS)
        if self.bound == "iwae" and self.kl == "closed":
            raise ArgumentError(
                "kl: found 'closed' with the bound iwae, expected sampled: an "
                "importance weight is p(x, z) / q(z|x) at the sample itself"
            )
        if self.samples >= 2**31:  # more numbers than an array can count
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
            return Iwae(self.samples)
        risen = min(1.0, epochs / self.warmup) if self.warmup else 1.0
        return Elbo(self.beta * risen, self.samples, self.kl or "closed")

    def corruption(self) -> Corruption | None:
        """What is done to the images that the encoder sees."""
        corruption = Corruption(self.corrupt, self.level)
        return corruption if corruption.how != "none" else None


def expect_trainable(model: VAE, data: Dataset, settings: Settings) -> None:
    """Raise ArgumentError for what is of another kind, or does not go together."""
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
    expect_objective(model.posterior, settings.objective(0))
    if settings.kl == "closed" and not model.has_closed_kl:
        raise ArgumentError(
            f"kl: found 'closed' with the posterior {model.posterior.name!r} and the "
            f"prior {model.prior.name!r}, expected 'sampled': they have no formula"
        )
    if model.likelihood.pixels == "grey" and settings.binarize != "none":
        raise ArgumentError(
            f"binarize: found {settings.binarize!r} with the likelihood "
            f"{model.likelihood.name!r}, expected 'none': it is a density of grey "
            "pixels, and one of zeros and ones has no bound"
        )
    weighted = settings.beta != 1 or settings.warmup
    if weighted and not model.family.has_density:
        raise ArgumentError(
            f"beta: found {settings.beta:g} with warmup {settings.warmup} for the "
            f"posterior {model.posterior.name!r}, expected 1 and 0: a point has no KL "
            "to weigh"
        )
    if model.classes and model.classes < data.classes:
        raise ArgumentError(
            f"model: found {model.classes} classes, expected {data.classes} as in "
            f"the labels of {data.name!r}"
        )
