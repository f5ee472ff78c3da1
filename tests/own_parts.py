"""Models of the usual kind with one part of a user's own. Not a test.

Whoever takes a short cut with one of them ignores that part.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpyvae import VAE
from numpyvae.kernels.backends import Compiled
from numpyvae.model.networks import Network
from numpyvae.pairs.activations import TANH
from numpyvae.pairs.kl import DiagonalKL
from numpyvae.pairs.likelihoods import Bernoulli
from numpyvae.pairs.posteriors import Diagonal, FromEncoder
from numpyvae.pairs.priors import StandardNormal


class OwnModel(VAE):
    """One that may compute anything."""


class OwnFamily(Diagonal):
    """One that keeps the name of its posterior."""


class OwnHead(FromEncoder):
    """One that may make other statistics."""


class OwnPrior(StandardNormal):
    """One that keeps the name."""


class OwnKL(DiagonalKL):
    """One that may weigh latents otherwise."""


class OwnLikelihood(Bernoulli):
    """One that keeps the name."""


class OwnCode(Compiled):
    """One that may have another kernel."""


class OwnNetwork(Network):
    """One with the layers of another."""


def replaced(name: str, part: Callable[[VAE], Any]) -> Callable[[], VAE]:
    """Makes the usual model with `part` in place of what has that name, or beside."""

    def make() -> VAE:
        model = VAE(48, [16], 3)
        setattr(model, name, part(model))
        return model

    return make


def ending(model: VAE, **changed: Any) -> Network:
    """The decoder's layers, the last of them changed."""
    *layers, last = model.decoder.layers
    return Network([*layers, last._replace(**changed)], on_data=False)  # type: ignore[attr-defined]


def beginning(model: VAE, **changed: Any) -> Network:
    """The encoder's layers, the first of them changed."""
    first, *layers = model.encoder.layers
    return Network([first._replace(**changed), *layers], on_data=True)  # type: ignore[attr-defined]


OWN_PARTS: dict[str, Callable[[], VAE]] = {
    "own model": lambda: OwnModel(48, [16], 3),
    "own prior": replaced("prior", OwnPrior),
    "own family": replaced("family", lambda model: OwnFamily(3)),
    "own head": replaced("head", lambda model: OwnHead(model.family, 3)),
    "own likelihood": replaced("likelihood", lambda model: OwnLikelihood()),
    "own code": replaced("code", lambda model: OwnCode()),
    "own network": replaced(
        "encoder", lambda model: OwnNetwork(model.encoder.layers, on_data=True)
    ),
    "own activation": replaced(
        "encoder", lambda model: beginning(model, f=replace(TANH, name="relu"))
    ),
    "own last layer": replaced("decoder", lambda model: ending(model, f=TANH)),
    "own forward": replaced("forward", lambda model: model.forward),
    "own KL": replaced("rates", lambda model: {**model.rates, "closed": OwnKL()}),
}
