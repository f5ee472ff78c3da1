"""Networks and whole models: every block of every gradient at once.

Shapes: B batch, D pixels, Z latents, K samples.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from ...kernels.backends import compiled
from ...model.networks import mlp
from ...model.params import Parameters
from ...model.vae import VAE
from ...model.workspace import Allocate, fresh
from ...pairs.dense import ACTIVATIONS, Array
from ...pairs.likelihoods import LIKELIHOODS
from ...pairs.objectives import Elbo, Iwae, Objective
from ...pairs.posteriors import POSTERIORS
from ..rounding import Tracked, tracked_array
from .tracked import suited
from .trials import Subject, Trial, block, normal, sizes


def _mlp(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    widths = sizes(rng, int(rng.integers(2, 5)))
    net = mlp("mlp", widths, str(rng.choice(ACTIVATIONS)), on_data=False)
    names = tuple(net.shapes())

    def forward(x: Array, *blocks: Array) -> Array:
        params = dict(zip(names, blocks, strict=True))
        return net.forward(x, params, f, _allocator(x))[-1]

    def backward(dy: Array, x: Array, *blocks: Array) -> tuple[Array, ...]:
        array = _allocator(x)
        params = dict(zip(names, blocks, strict=True))
        grads = {name: array(name, W.shape, W.dtype) for name, W in params.items()}
        ys = net.forward(x, params, f, array)
        dx = net.backward(dy, ys, params, grads, f, array)
        return dx, *grads.values()

    x = normal(rng, *sizes(rng, 1), widths[0])
    blocks = (block(rng, shape) for shape in net.shapes().values())
    return Trial(forward, backward, (x, *blocks), ("x", *names))


def _vae(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, D, Z = sizes(rng, 3)
    model = VAE(
        D,
        sizes(rng, int(rng.integers(3))),
        Z,
        str(rng.choice(ACTIVATIONS)),
        decoder_hidden=sizes(rng, int(rng.integers(3))),
        dtype=float,
        compiled=f is compiled,
    )
    bits = (rng.random((B, D)) < 0.3).astype(np.uint8)
    x = model.as_input(bits, binary=True)
    eps, objective = rng.standard_normal((B, Z)), Elbo(rng.uniform(0, 2))
    return _trial(rng, model, f, x, eps, objective)


def _any_vae(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    """Whatever posteriors and likelihoods there are, and what goes with them."""
    posterior, likelihood = (
        str(rng.choice(list(registry))) for registry in (POSTERIORS, LIKELIHOODS)
    )
    shape, channels, classes = _image(rng)
    Z, B = sizes(rng, 2, largest=4)
    model = VAE(
        int(np.prod(shape)),
        sizes(rng, int(rng.integers(2)), largest=5),
        Z,
        str(rng.choice(ACTIVATIONS)),
        channels=channels,
        image_shape=shape,
        posterior=posterior,
        likelihood=likelihood,
        classes=classes,
        dtype=float,
        compiled=f is compiled,
    )
    binary = LIKELIHOODS[likelihood].pixels == "binary"
    clean, noisy = rng.integers(2 if binary else 256, size=(2, B, model.pixels))
    x = model.as_input(clean.astype(np.uint8), binary=binary)
    seen = model.as_input(noisy.astype(np.uint8), binary=binary)
    given: dict[str, Any] = {"seen": seen if rng.integers(2) else None}
    if classes:
        given["labels"] = rng.integers(classes, size=B)
    objective = _objective(rng, posterior)
    eps = rng.standard_normal((B * objective.samples, Z))
    return _trial(rng, model, f, x, eps, objective, **given)


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


def _objective(rng: np.random.Generator, posterior: str) -> Objective:
    """Any that goes with the posterior."""
    samples = int(rng.integers(1, 4))
    kinds = ["closed"] if posterior == "point" else ["closed", "sampled", "weighted"]
    kind = str(rng.choice(kinds))
    if kind == "weighted":
        return Iwae(samples)
    return Elbo(rng.uniform(0, 2), samples, kind)


def _trial(
    rng: np.random.Generator,
    model: VAE,
    f: SimpleNamespace,
    x: Any,
    eps: Array,
    objective: Objective,
    **given: Any,
) -> Trial:
    """The mean loss of x (B, D), as a function of the blocks of parameters."""
    names = tuple(model.params)
    blocks = tuple(block(rng, W.shape) for W in model.params.values())

    def run(blocks: tuple[Array, ...]) -> Any:
        model.params = cast(Parameters, dict(zip(names, blocks, strict=True)))
        model.pairs = suited(f, blocks[0])
        return model.forward(x, eps, _allocator(blocks[0]), objective, **given)

    def forward(*blocks: Array) -> Any:
        return run(blocks).loss.sum() / len(x)

    def backward(dloss: Array, *blocks: Array) -> tuple[Array, ...]:
        pass_, array = run(blocks), _allocator(blocks[0])
        grads = {n: array(n, W.shape, W.dtype) for n, W in model.params.items()}
        model.backward(eps, pass_, grads, objective, array=array)
        return tuple(dloss * grad for grad in grads.values())

    return Trial(forward, backward, blocks, names)


def _allocator(like: Any) -> Allocate:
    """Work arrays of the kind that the arguments are of."""
    return tracked_array if isinstance(like, Tracked) else fresh


# The last one is the model that is drawn and measured (`--plot`, tests/sensitivity.py).
SUBJECTS = (
    Subject("MLP, with its input", "2.1 to 2.7", _mlp, has_twin=True),
    Subject("VAE, any combination", "10.1 to 10.4", _any_vae, has_twin=True),
    Subject("VAE, every block", "10.1 to 10.4", _vae, has_twin=True),
)
