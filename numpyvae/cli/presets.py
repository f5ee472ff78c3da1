"""Settings with a name: what to train, what to expect of it, and how long it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import ArgumentError


class Preset(NamedTuple):
    """Options of `numpyvae train`, and in words what they are and lead to.

    `reached` was measured on MNIST's test set with two cores; `published` is what
    others report for it there.
    """

    about: str
    options: dict[str, Any]
    reached: str = ""
    published: str = ""


DEFAULT: dict[str, Any] = {
    "hidden": [400],
    "latent": 20,
    "activation": "relu",
    "epochs": 10,
    "batch_size": 128,
    "lr": 1e-3,
    "beta": 1.0,
    "binarize": "dynamic",
}
AUTOENCODER: dict[str, Any] = {
    "posterior": "point",
    "latent": 32,
    "hidden": [400, 200],
    "binarize": "none",
}
BURDA: dict[str, Any] = {
    "hidden": [200, 200],
    "latent": 50,
    "activation": "tanh",
    "epochs": 500,
    "batch_size": 100,
    "lr_end": 1e-4,
}

PRESETS = {
    # The variational auto-encoder
    "default": Preset("784-400-20 relu, 10 epochs", {}, reached="ELBO -102.6"),
    "pytorch-example": Preset(
        "PyTorch's example: grey pixels as targets",
        {"binarize": "none"},
        reached="test loss 105.4",
        published="test loss 105.56 and 105.59, in logs of PyTorch's example",
    ),
    "kingma-welling": Preset(
        "500 tanh units, 50 epochs; 2 minutes",
        {"hidden": [500], "activation": "tanh", "epochs": 50, "batch_size": 100},
        reached="ELBO -98.7, -log p(x) 92.6",
        published="ELBO -103.1, -log p(x) 97.8 with 5,000 samples, in a replication",
    ),
    "plane": Preset(
        "two latents, to be looked at",
        {"hidden": [400, 200], "latent": 2, "epochs": 20},
        reached="ELBO -142.5",
    ),
    "conv": Preset(
        "convolutions to 32 and 64 maps, and back; 15 minutes",
        {
            "channels": [32, 64],
            "hidden": [256],
            "epochs": 30,
            "batch_size": 100,
            "lr_end": 1e-4,
        },
        reached="ELBO -92.6",
        published="ELBO -97.3, -log p(x) 90.7, of another architecture",
    ),
    # A tighter bound
    "burda": Preset(
        "200-200 tanh, 50 latents, 1,200 epochs; 30 minutes",
        BURDA | {"epochs": 1200},
        reached="-log p(x) 87.4",
        published="-log p(x) 86.76, after 3,280 epochs of batches of 20",
    ),
    "iwae": Preset(
        "the same for the importance-weighted bound, K = 5, 500 epochs; 40 minutes",
        BURDA | {"bound": "iwae", "samples": 5},
        reached="-log p(x) 86.8",
        published="-log p(x) 85.54, after 3,280 epochs of batches of 20",
    ),
    "two-layer": Preset(
        "a second layer of latents, 784-200-200-100-100-100-50, 50 epochs; 4 minutes",
        BURDA | {"latent": 100, "prior": "deep", "top": [100, 100, 50], "epochs": 50},
        reached="ELBO -108.7, -log p(x) 105.1 with 500 samples",
    ),
    # Rate against distortion
    "beta": Preset(
        "the KL weighted by 4: a coarser code",
        {"beta": 4.0},
        reached="KL 10.0, reconstruction 110",
    ),
    "warm-up": Preset(
        "the KL's weight rises to 1 in 10 of 20 epochs",
        {"warmup": 10, "epochs": 20},
        reached="ELBO -100.9",
    ),
    # Posteriors
    "fixed": Preset(
        "q(z|x) with sigma = 1/2 for every x",
        {"posterior": "fixed"},
        reached="ELBO -109.6",
    ),
    "shared": Preset(
        "one sigma, learned, for every x",
        {"posterior": "shared"},
        reached="ELBO -103.7",
    ),
    "full": Preset(
        "a full covariance for each x", {"posterior": "full"}, reached="ELBO -105.7"
    ),
    "sampled": Preset(
        "the KL at three samples of z, not by its formula",
        {"kl": "sampled", "samples": 3},
        reached="ELBO -101.7",
    ),
    "flow": Preset(
        "a Gaussian bent by four autoregressive steps",
        {"posterior": "flow"},
        reached="ELBO -101.2",
    ),
    # Priors
    "mixture": Preset(
        "p(z) a mixture of 50 Gaussians, learned",
        {"prior": "mixture"},
        reached="ELBO -99.1",
    ),
    "vamp": Preset(
        "p(z) the mean of q(z|u) over 50 pseudo-images u, learned",
        {"prior": "vamp"},
        reached="ELBO -98.5",
    ),
    # Likelihoods
    "gaussian": Preset(
        "grey pixels, sigma = 1: the squared error",
        {"likelihood": "gaussian", "binarize": "none"},
        reached="KL 5.8",
    ),
    "gaussian-learned": Preset(
        "grey pixels, one sigma, learned",
        {"likelihood": "gaussian-learned", "binarize": "none"},
        reached="ELBO 560, a density",
    ),
    "gaussian-pixels": Preset(
        "grey pixels, a sigma for each of them, from z",
        {"likelihood": "gaussian-pixels", "binarize": "none"},
        reached="ELBO 1598, a density",
    ),
    "continuous": Preset(
        "grey pixels, the continuous Bernoulli",
        {"likelihood": "continuous-bernoulli", "binarize": "none"},
        reached="ELBO 4476, a density",
    ),
    "discretized": Preset(
        "grey pixels, each of the 256 levels with its probability; 2 minutes",
        {"likelihood": "discretized-logistic", "binarize": "none"},
        reached="ELBO -850.1, 1.56 bits a pixel",
    ),
    "conditional": Preset(
        "both networks see the label", {"conditional": True}, reached="ELBO -99.0"
    ),
    # Auto-encoders
    "linear": Preset(
        "a linear auto-encoder: what it learns is PCA",
        AUTOENCODER
        | {
            "hidden": [],
            "latent": 6,
            "likelihood": "gaussian",
            "epochs": 30,
            "lr": 3e-3,
            "lr_end": 1e-5,
        },
        reached="1.4 degrees from PCA",
    ),
    "ae": Preset(
        "an auto-encoder, cross-entropy, 32 latents",
        AUTOENCODER,
        reached="reconstruction 64.5",
    ),
    "ae-squared": Preset(
        "an auto-encoder, squared error, 32 latents",
        AUTOENCODER | {"likelihood": "gaussian"},
        reached="reconstruction 724.1, 720.5 of it a constant",
    ),
    "ae-conv": Preset(
        "a convolutional auto-encoder, 32 latents",
        AUTOENCODER | {"channels": [16, 32], "hidden": [128]},
        reached="reconstruction 62.6",
    ),
    "denoise": Preset(
        "restores images half of whose pixels are masked",
        AUTOENCODER | {"latent": 64, "corrupt": "mask", "level": 0.5},
        reached="reconstruction 78.1",
    ),
    "denoise-gaussian": Preset(
        "the same, with noise of sigma 0.5 added",
        AUTOENCODER | {"latent": 64, "corrupt": "gaussian", "level": 0.5},
        reached="reconstruction 82.5",
    ),
    "denoise-salt": Preset(
        "the same, with a third of the pixels black or white",
        AUTOENCODER | {"latent": 64, "corrupt": "salt-and-pepper", "level": 0.33},
        reached="reconstruction 88.1",
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
    return DEFAULT | PRESETS[name].options
