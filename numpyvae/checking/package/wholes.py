"""Networks and whole models: every block of every gradient at once.

Shapes: B batch, D pixels, Z latents, K samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...kernels.backends import compiled
from ...model.networks import mlp
from ...model.vae import VAE
from ...pairs.activations import ACTIVATIONS
from ...pairs.likelihoods import LIKELIHOODS
from ...pairs.objectives import Elbo, Iwae, Objective
from ...pairs.posteriors import POSTERIORS
from ...pairs.priors import PRIORS
from ...pairs.reference import Reference
from .trials import Subject, Trial, block, normal, sizes, work_for

PATIENCE = 1000  # draws of parts, until some go together


def _mlp(rng: np.random.Generator, code: Reference) -> Trial:
    widths, f = sizes(rng, int(rng.integers(2, 5))), _any_of(rng, ACTIVATIONS)
    net = mlp("mlp", widths, ACTIVATIONS[f], on_data=False)
    names = tuple(net.shapes())

    def forward(x: Any, *blocks: Any) -> Any:
        work = work_for(code, dict(zip(names, blocks, strict=True)), x)
        return net.forward(x, work)[-1].y

    def backward(dy: Any, x: Any, *blocks: Any) -> tuple[Any, ...]:
        work = work_for(code, dict(zip(names, blocks, strict=True)), x)
        dx = net.backward(dy, net.forward(x, work), work)
        return dx, *work.grads.values()

    x = normal(rng, *sizes(rng, 1), widths[0])
    blocks = (block(rng, shape) for shape in net.shapes().values())
    return Trial(forward, backward, (x, *blocks), ("x", *names))


def _vae(rng: np.random.Generator, code: Reference) -> Trial:
    B, D, Z = sizes(rng, 3)
    model = VAE(
        D,
        sizes(rng, int(rng.integers(3))),
        Z,
        _any_of(rng, ACTIVATIONS),
        decoder_hidden=sizes(rng, int(rng.integers(3))),
        dtype=float,
        compiled=code is compiled,
    )
    bits = (rng.random((B, D)) < 0.3).astype(np.uint8)
    x = model.as_input(bits, binary=True)
    return _trial(rng, model, x, Elbo(rng.uniform(0, 2)))


def _any_vae(rng: np.random.Generator, code: Reference) -> Trial:
    """Whatever parts there are, of those that go together.

    Not where an exp of an exp overflows, as it may behind layers without a bound.
    """
    for _ in range(PATIENCE):
        try:
            trial = _drawn_trial(rng, _drawn(rng, code))
        except ArgumentError:
            continue
        with np.errstate(all="ignore"):
            if np.isfinite(trial.forward(*trial.args)):
                return trial
    raise ArgumentError(f"parts: found none that go together in {PATIENCE} draws")


def _drawn_trial(rng: np.random.Generator, model: VAE) -> Trial:
    """Random images and noise of any objective."""
    B, classes = int(rng.integers(1, 5)), model.classes
    binary = model.likelihood.pixels == "binary"
    clean, noisy = rng.integers(2 if binary else 256, size=(2, B, model.pixels))
    x = model.as_input(clean.astype(np.uint8), binary=binary)
    seen = model.as_input(noisy.astype(np.uint8), binary=binary)
    given: dict[str, Any] = {"seen": seen if rng.integers(2) else None}
    if classes:
        given["labels"] = rng.integers(classes, size=B)
    return _trial(rng, model, x, _objective(rng, model), **given)


def _drawn(rng: np.random.Generator, code: Reference) -> VAE:
    """Raises ArgumentError if these parts do not go together."""
    shape, channels, classes = _image(rng)
    return VAE(
        int(np.prod(shape)),
        sizes(rng, int(rng.integers(2)), largest=5),
        int(rng.integers(1, 5)),
        _any_of(rng, ACTIVATIONS),
        channels=channels,
        image_shape=shape,
        posterior=_any_of(rng, POSTERIORS),
        prior=_any_of(rng, PRIORS),
        top=sizes(rng, 2, largest=3) if rng.integers(2) else (),
        likelihood=_any_of(rng, LIKELIHOODS),
        classes=classes,
        dtype=float,
        compiled=code is compiled,
    )


def _any_of(rng: np.random.Generator, registry: dict[str, Any]) -> str:
    return str(rng.choice(list(registry)))


def _image(rng: np.random.Generator) -> tuple[tuple[int, int], list[int], int]:
    """Height and width, the channels of the convolutions, the number of classes.

    Halved as often as there are channels, both sides remain odd or even together.
    """
    if rng.integers(2):
        side = int(rng.integers(2, 6))
        channels = sizes(rng, int(rng.integers(1, 1 + side // 2)), largest=3)
        return (side, side + 4 * int(rng.integers(2))), channels, 0
    height, width = sizes(rng, 2, largest=3)
    return (height, width), [], int(rng.integers(4))


def _objective(rng: np.random.Generator, model: VAE) -> Objective:
    """Any that goes with the model."""
    samples = int(rng.integers(1, 4))
    dense = model.family.has_density
    kind = str(rng.choice(["closed", "sampled", "weighted"] if dense else ["closed"]))
    if kind == "weighted":
        return Iwae(samples)
    return Elbo(rng.uniform(0, 2), samples, kind)


def _trial(
    rng: np.random.Generator, model: VAE, x: Any, objective: Objective, **given: Any
) -> Trial:
    """The mean loss of x (B, D), as a function of the blocks of parameters."""
    names = tuple(model.params)
    eps = rng.standard_normal((len(x) * objective.samples, model.noise))

    def forward(*blocks: Any) -> Any:
        work = work_for(model.code, dict(zip(names, blocks, strict=True)), blocks[0])
        return model.forward(x, eps, objective, work, **given).loss.sum() / len(x)

    def backward(dloss: Any, *blocks: Any) -> tuple[Any, ...]:
        work = work_for(model.code, dict(zip(names, blocks, strict=True)), blocks[0])
        passed = model.forward(x, eps, objective, work, **given)
        model.backward(eps, passed, work, objective)
        return tuple(dloss * grad for grad in work.grads.values())

    blocks = tuple(block(rng, W.shape) for W in model.params.values())
    return Trial(forward, backward, blocks, names)


WHOLE_MODEL = Subject("VAE, every block", "10.1 to 10.4", _vae, has_twin=True)
SUBJECTS = (
    Subject("MLP, with its input", "2.1 to 2.7", _mlp, has_twin=True),
    Subject("VAE, any combination", "10.1 to 10.4", _any_vae, has_twin=True),
    WHOLE_MODEL,
)
