"""Before any timing: do all compute the same loss and gradient?

From the same weights, pixels and eps; held against our reference in float64.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .ours import model_of
from .processes import Worker
from .spec import Spec

TOLERANCE = 1e-5  # float32 sums of a batch, relative to the block's norm


class Agreement(NamedTuple):
    """Relative errors of the loss and of the worst block of the gradient."""

    entry: str
    loss: float
    gradient: float
    block: str

    @property
    def fine(self) -> bool:
        return max(self.loss, self.gradient) <= TOLERANCE

    def __str__(self) -> str:
        verdict = "same" if self.fine else "NOT THE SAME"
        return (
            f"  {self.entry:20}loss {self.loss:.1e}, gradient {self.gradient:.1e} "
            f"({self.block}): {verdict}"
        )


def agreements(spec: Spec, workers: Mapping[str, Worker]) -> list[Agreement]:
    """How far each worker is from the reference, on one drawn batch."""
    folder, rng = Path(spec.folder), np.random.default_rng(5)
    images = spec.images()
    grey = images[rng.integers(0, len(images), spec.batch)].reshape(spec.batch, -1)
    x = (rng.random(grey.shape) < grey / 255).astype(np.float32)
    eps = rng.standard_normal((spec.batch, spec.latent), np.float32)
    np.savez(folder / "given.npz", x=x, eps=eps)
    exact = model_of(spec, images.shape[1:], dtype=np.float64, compiled=False)
    for name, array in spec.weights().items():
        exact.params[name][...] = array
    loss, grads = exact.loss_and_gradient(x.astype(float), eps.astype(float))
    found = []
    for entry, worker in workers.items():
        told = worker.ask("gradient", given="given.npz", found="found.npz")["loss"]
        with np.load(folder / "found.npz") as theirs:
            errors = {
                name: np.linalg.norm(theirs[name] - block) / np.linalg.norm(block)
                for name, block in grads.items()
            }
        worst = max(errors, key=lambda name: errors[name])
        error = abs(told / loss - 1)
        found.append(Agreement(entry, error, float(errors[worst]), worst))
    return found
