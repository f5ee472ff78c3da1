"""A model and its optimizer as one .npz file: arrays only, no pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from .errors import RunError
from .models import VAE
from .optim import Adam


def save_checkpoint(path: Path, model: VAE, optimizer: Adam, epoch: int) -> None:
    """Write the state after `epoch` epochs; until it is whole, the old file stands."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                model=np.frombuffer(json.dumps(model.arguments()).encode(), np.uint8),
                params=model.params.flat,
                adam_m=optimizer.m,
                adam_v=optimizer.v,
                adam_step=optimizer.step,
                epoch=epoch,
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_model(path: Path) -> VAE:
    """The model of a checkpoint.

    Raises RunError if the file is missing or is no checkpoint of this package.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            model = VAE(**json.loads(arrays["model"].tobytes()))
            params = arrays["params"]
    except FileNotFoundError:
        raise RunError(
            f"{path}: found no such file, expected a checkpoint of `numpyvae train`"
        ) from None
    except Exception as error:  # a damaged archive fails in a dozen ways
        raise RunError(
            f"{path}: found a file that can't be read ({error}), "
            "expected a checkpoint of `numpyvae train`"
        ) from error
    if params.shape != model.params.flat.shape or params.dtype != model.dtype:
        raise RunError(
            f"{path}: found {params.shape} parameters of {params.dtype}, "
            f"expected {model.params.flat.shape} of {model.dtype}"
        )
    model.params.flat[...] = params
    return model
