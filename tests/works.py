"""What a part, a layer or a network is called with outside a model. Not a test."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from differences import Array

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels.backends import reference
from numpyvae.model.workspace import Fresh, Workspace
from numpyvae.pairs.reference import Reference
from numpyvae.pairs.types import Shapes
from numpyvae.pairs.work import Arrays


class Shaped(Protocol):
    """What has parameters of its own."""

    def shapes(self) -> Shapes: ...


def drawn_params(
    part: Shaped, rng: np.random.Generator, dtype: Any = np.float64
) -> dict[str, Array]:
    """Parameters of `part`, of size 1/2."""
    return {
        name: (rng.standard_normal(shape) / 2).astype(dtype)
        for name, shape in part.shapes().items()
    }


def work_over(
    params: Mapping[str, Array],
    code: Reference = reference,
    arrays: Arrays | None = None,
) -> Workspace:
    """Over `params`. What a backward pass leaves unwritten of its gradients is NaN."""
    grads = {name: np.full_like(block, np.nan) for name, block in params.items()}
    return Workspace(params, grads, arrays if arrays is not None else Fresh(), code)


def with_prior(prior: str, *args: Any, **others: Any) -> VAE:
    """A model with this prior, and a second layer of latents if it wants one."""
    try:
        return VAE(*args, prior=prior, **others)
    except (ArgumentError, ValueError):
        return VAE(*args, prior=prior, top=(4, 2), **others)
