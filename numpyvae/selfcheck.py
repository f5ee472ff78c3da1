"""Every pair and whole models, on random shapes: what `numpyvae gradcheck` runs.

The reference code is held against the complex step, the compiled code against Ridders'
differences. Inputs are random views, contiguous or not; dimensions begin at 1.

Shapes: B batch, N inputs, M outputs, D pixels, Z latents.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np

from .backends import compiled, reference
from .gradcheck import DIRECTIONS, Function, check
from .models import VAE
from .networks import mlp
from .objectives import Elbo
from .ops import ACTIVATIONS, Array
from .params import Parameters
from .pixels import active_pixels
from .rounding import Tracked, tracked_array
from .workspace import Allocate, fresh


class Trial(NamedTuple):
    """A pair at one place: what `gradcheck` takes."""

    forward: Function
    backward: Function
    args: tuple[Array, ...]
    names: tuple[str, ...]


class Subject(NamedTuple):
    """A pair, or a model, to be tried at random places with either code."""

    name: str
    equations: str
    draw: Callable[[np.random.Generator, SimpleNamespace], Trial]
    has_twin: bool


class Row(NamedTuple):
    """What came out for one subject and one code."""

    subject: Subject
    code: str
    trials: int
    derivatives: int
    worst: float  # largest error, as a share of what rounding allows
    faults: tuple[str, ...]


def run(trials: int, seed: int) -> Iterator[Row]:
    """Check every subject on `trials` random shapes, a row for each of its codes.

    A compiled twin has a tenth of the trials: its differences take longer.
    """
    for subject in SUBJECTS:
        for code in ("reference", "compiled") if subject.has_twin else ("reference",):
            count = trials if code == "reference" else -(-trials // 10)
            stream = zlib.crc32(f"{subject.name}, {code}".encode())
            rng = np.random.default_rng([seed, stream])
            derivatives, worst, faults = 0, 0.0, []
            for _ in range(count):
                state = rng.bit_generator.state
                trial = subject.draw(rng, reference)
                twin = None
                if code == "compiled":
                    twin = trial.forward, trial.backward
                    rng.bit_generator.state = state
                    trial = subject.draw(rng, compiled)
                report = check(
                    trial.forward, trial.backward, trial.args, trial.names, rng, twin
                )
                derivatives += DIRECTIONS * len(report.blocks)
                worst = max(worst, *(block.ratio for block in report.blocks))
                faults += [block.fault for block in report.blocks if block.fault]
            yield Row(subject, code, count, derivatives, worst, tuple(faults))


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    """Random numbers in an array that is contiguous, transposed or strided."""
    layout = rng.integers(3)
    if layout == 0:
        return rng.standard_normal(shape)
    if layout == 1:
        return rng.standard_normal(shape[::-1]).T
    return rng.standard_normal([2 * n for n in shape])[
        tuple([slice(None, None, 2)] * len(shape))
    ]


def _block(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Parameters of a layer, of a size that keeps its outputs near 1."""
    return _normal(rng, *shape) / np.sqrt(shape[0])


def _sizes(rng: np.random.Generator, count: int) -> list[int]:
    """Dimensions from 1 to 8."""
    return [int(n) for n in rng.integers(1, 9, count)]


def _dense(activation: str) -> Subject:
    def draw(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
        B, N, M = _sizes(rng, 3)

        def forward(x: Array, W: Array, b: Array) -> Array:
            return f.dense_forward(x, W, b, activation)

        def backward(dy: Array, x: Array, W: Array, b: Array) -> tuple[Array, ...]:
            return f.dense_backward(dy, x, forward(x, W, b), W, activation)

        args = _normal(rng, B, N), _normal(rng, N, M), _normal(rng, M)
        return Trial(forward, backward, args, ("x", "W", "b"))

    return Subject(f"dense, {activation}", "2.1 to 2.7", draw, has_twin=True)


def _dense_on_data(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, N, M = _sizes(rng, 3)
    activation = str(rng.choice(ACTIVATIONS))
    bits = (rng.random((B, N)) < 0.3).astype(np.uint8)
    x = active_pixels(bits) if f is compiled else bits.astype(float)

    def forward(W: Array, b: Array) -> Array:
        return f.dense_forward(x, W, b, activation)

    def backward(dy: Array, W: Array, b: Array) -> tuple[Array, ...]:
        return f.dense_backward_weights(dy, x, forward(W, b), activation)

    return Trial(forward, backward, (_normal(rng, N, M), _normal(rng, M)), ("W", "b"))


def _sigma(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    def backward(dsigma: Array, logvar: Array) -> Array:
        return f.sigma_backward(dsigma, f.sigma_forward(logvar))

    args = (_normal(rng, *_sizes(rng, 2)),)
    return Trial(f.sigma_forward, backward, args, ("logvar",))


def _reparameterize(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = _sizes(rng, 2)
    eps = _normal(rng, B, Z)

    def forward(mu: Array, sigma: Array) -> Array:
        return f.reparameterize_forward(mu, sigma, eps)

    def backward(dz: Array, mu: Array, sigma: Array) -> tuple[Array, ...]:
        return f.reparameterize_backward(dz, eps)

    args = _normal(rng, B, Z), np.exp(_normal(rng, B, Z))
    return Trial(forward, backward, args, ("mu", "sigma"))


def _kl(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, Z = _sizes(rng, 2)
    args = _normal(rng, B, Z), _normal(rng, B, Z)
    return Trial(f.kl_forward, f.kl_backward, args, ("mu", "logvar"))


def _bernoulli(binary: bool) -> Subject:
    def draw(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
        B, D = _sizes(rng, 2)
        x: Any = _normal(rng, B, D) ** 2 % 1
        if binary:
            bits = (x < 0.3).astype(np.uint8)
            x = active_pixels(bits) if f is compiled else bits.astype(float)

        def forward(logits: Array) -> Array:
            return f.bernoulli_forward(logits, x)[0]

        def backward(dnll: Array, logits: Array) -> Array:
            return f.bernoulli_backward(dnll, f.bernoulli_forward(logits, x)[1], x)

        return Trial(forward, backward, (4 * _normal(rng, B, D),), ("logits",))

    kind = "binary" if binary else "grey"
    return Subject(f"Bernoulli, {kind} x", "11.2, 11.3", draw, has_twin=True)


def _gaussian(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, D = _sizes(rng, 2)
    x = _normal(rng, B, D)

    def forward(mean: Array, logvar: Array) -> Array:
        return f.gaussian_forward(mean, logvar, x)

    def backward(dnll: Array, mean: Array, logvar: Array) -> tuple[Array, ...]:
        return f.gaussian_backward(dnll, mean, logvar, x)

    args = _normal(rng, B, D), _normal(rng, B, D)
    return Trial(forward, backward, args, ("mean", "logvar"))


def _mlp(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    widths = _sizes(rng, int(rng.integers(2, 5)))
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

    x = _normal(rng, *_sizes(rng, 1), widths[0])
    blocks = (_block(rng, shape) for shape in net.shapes().values())
    return Trial(forward, backward, (x, *blocks), ("x", *names))


def _vae(rng: np.random.Generator, f: SimpleNamespace) -> Trial:
    B, D, Z = _sizes(rng, 3)
    model = VAE(
        D,
        _sizes(rng, int(rng.integers(3))),
        Z,
        str(rng.choice(ACTIVATIONS)),
        decoder_hidden=_sizes(rng, int(rng.integers(3))),
        dtype=float,
        compiled=f is compiled,
    )
    names = tuple(model.params)
    blocks = tuple(_block(rng, block.shape) for block in model.params.values())
    bits = (rng.random((B, D)) < 0.3).astype(np.uint8)
    x = model.as_input(bits, binary=True)
    eps, objective = rng.standard_normal((B, Z)), Elbo(rng.uniform(0, 2))

    def forward(*blocks: Array) -> Any:
        model.params = _named(names, blocks)
        pass_ = model.forward(x, eps, _allocator(blocks[0]), objective)
        return pass_.loss.sum() / B

    def backward(dloss: Array, *blocks: Array) -> tuple[Array, ...]:
        array = _allocator(blocks[0])
        model.params = _named(names, blocks)
        grads = {n: array(n, W.shape, W.dtype) for n, W in model.params.items()}
        pass_ = model.forward(x, eps, array, objective)
        model.backward(eps, pass_, grads, objective, array=array)
        return tuple(dloss * grad for grad in grads.values())

    return Trial(forward, backward, blocks, names)


def _named(names: tuple[str, ...], blocks: tuple[Array, ...]) -> Parameters:
    """Blocks by name, which is all that a pass asks of its parameters."""
    return cast(Parameters, dict(zip(names, blocks, strict=True)))


def _allocator(like: Any) -> Allocate:
    """Work arrays of the kind that the arguments are of."""
    return tracked_array if isinstance(like, Tracked) else fresh


SUBJECTS = (
    *map(_dense, ACTIVATIONS),
    Subject("dense, on binary data", "2.1 to 2.4", _dense_on_data, has_twin=True),
    Subject("sigma", "9.1, 9.2", _sigma, has_twin=False),
    Subject("reparameterization", "9.3, 9.4", _reparameterize, has_twin=False),
    Subject("KL to N(0, I)", "8.4, 8.5", _kl, has_twin=False),
    _bernoulli(binary=True),
    _bernoulli(binary=False),
    Subject("Gaussian likelihood", "11.4 to 11.6", _gaussian, has_twin=False),
    Subject("MLP, with its input", "2.1 to 2.7", _mlp, has_twin=True),
    Subject("VAE, every block", "10.1 to 10.4", _vae, has_twin=True),
)
