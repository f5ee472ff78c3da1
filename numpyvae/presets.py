"""Settings with a name: what to train, what to expect of it, and how long it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import ArgumentError


class Preset(NamedTuple):
    """Options of `numpyvae train`, and in words what they are and lead to."""

    about: str
    options: dict[str, Any]
    published: str = ""  # what others report for it on MNIST


PRESETS = {
    "default": Preset(
        "784-400-20 relu, 10 epochs: good digits in half a minute",
        {
            "hidden": [400],
            "latent": 20,
            "activation": "relu",
            "epochs": 10,
            "batch_size": 128,
            "lr": 1e-3,
            "beta": 1.0,
            "binarize": "dynamic",
        },
    ),
    "pytorch-example": Preset(
        "PyTorch's example: grey pixels as targets; MNIST test loss 105.6 nats",
        {"binarize": "none"},
        "test loss 105.56 and 105.59, in logs of PyTorch's example",
    ),
    "kingma-welling": Preset(
        "500 tanh units, 50 epochs; MNIST test ELBO -98.7 nats in two minutes",
        {"hidden": [500], "activation": "tanh", "epochs": 50, "batch_size": 100},
        "ELBO -103.1, -log p(x) 97.8 with 5,000 samples, in a replication",
    ),
    "burda": Preset(
        "200-200 tanh, 50 latents, 500 epochs",
        {
            "hidden": [200, 200],
            "latent": 50,
            "activation": "tanh",
            "epochs": 500,
            "batch_size": 100,
            "lr": 1e-3,
            "lr_end": 1e-4,
        },
    ),
    "plane": Preset(
        "two latents, to be looked at: the plane of all digits and its manifold",
        {"hidden": [400, 200], "latent": 2, "epochs": 20},
    ),
}


def options_of(name: str) -> dict[str, Any]:
    """All options of a preset: the default's, and over them its own.

    Raises ArgumentError for an unknown name.
    """
    if name not in PRESETS:
        raise ArgumentError(
            f"preset: found {name!r}, expected one of {', '.join(PRESETS)}"
        )
    return PRESETS["default"].options | PRESETS[name].options
