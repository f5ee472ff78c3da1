"""Models of the usual kind with one part of a user's own. Not a test.

Whoever takes a short cut with one of them ignores that part.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from numpyvae import VAE
from numpyvae.model.networks import Network
from numpyvae.pairs.likelihoods import Bernoulli
from numpyvae.pairs.posteriors import Diagonal


class OwnModel(VAE):
    """One that may compute anything."""


class OwnPosterior(Diagonal):
    """One that keeps the name."""


class OwnLikelihood(Bernoulli):
    """One that keeps the name."""


class OwnNetwork(Network):
    """One with the layers of another."""


def replaced(name: str, part: Callable[[VAE], Any]) -> Callable[[], VAE]:
    """Makes the usual model with `part` in place of what has that name, or beside."""

    def make() -> VAE:
        model = VAE(48, [16], 3)
        setattr(model, name, part(model))
        return model

    return make


def network(model: VAE) -> Network:
    """The decoder's layers; behind the last, an activation."""
    *layers, last = model.decoder.layers
    return Network([*layers, last._replace(activation="tanh")], on_data=False)  # type: ignore[attr-defined]


OWN_PARTS: dict[str, Callable[[], VAE]] = {
    "own model": lambda: OwnModel(48, [16], 3),
    "own prior": replaced("prior", lambda model: "a mixture"),
    "own posterior": replaced("posterior", lambda model: OwnPosterior(3)),
    "own likelihood": replaced("likelihood", lambda model: OwnLikelihood()),
    "own pairs": replaced("pairs", lambda model: SimpleNamespace(**vars(model.pairs))),
    "own network": replaced(
        "encoder", lambda model: OwnNetwork(model.encoder.layers, on_data=True)
    ),
    "own last layer": replaced("decoder", network),
    "own forward": replaced("forward", lambda model: model.forward),
}
