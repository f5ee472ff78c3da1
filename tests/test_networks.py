"""A stack of layers: the oracle, and the slope of every block and of the input."""

import itertools
from types import SimpleNamespace

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    assert_close,
    assert_rounded,
)
from hypothesis import given
from hypothesis import strategies as st

from numpyvae import backends
from numpyvae.networks import MLP
from numpyvae.ops import ACTIVATIONS
from numpyvae.params import Parameters, initialise
from numpyvae.workspace import Workspace, fresh

# One, two and three layers; widths of 1 and 2, odd ones, no two alike in the last.
WIDTHS = [(3, 2), (1, 1, 1), (5, 1, 3), (4, 7, 3, 6)]

each_backend = pytest.mark.parametrize(
    "pairs", [backends.reference, backends.compiled], ids=["reference", "compiled"]
)
each_network = pytest.mark.parametrize(
    ("widths", "activation"), list(itertools.product(WIDTHS, ACTIVATIONS))
)
seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 5)


def network(
    widths: tuple[int, ...],
    activation: str,
    rng: np.random.Generator,
    dtype: type = np.float64,
    on_data: bool = False,
) -> tuple[MLP, Parameters]:
    mlp = MLP("net", widths, activation, on_data=on_data)
    params = Parameters.zeros(mlp.shapes(), dtype)
    initialise(params, rng)
    return mlp, params


def test_the_table_names_each_layers_weights_and_biases() -> None:
    assert MLP("net", (5, 4, 3), "relu", on_data=True).shapes() == {
        "net.0.W": (5, 4), "net.0.b": (4,), "net.1.W": (4, 3), "net.1.b": (3,),
    }  # fmt: skip


@each_backend
@each_network
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_is_the_oracle(
    pairs: SimpleNamespace,
    widths: tuple[int, ...],
    activation: str,
    dtype: type,
    rng: np.random.Generator,
) -> None:
    mlp, params = network(widths, activation, rng, dtype)
    x = rng.standard_normal((3, widths[0])).astype(dtype)
    ys = mlp.forward(x, params, pairs, fresh)
    assert ys[0] is x and [y.shape for y in ys] == [(3, width) for width in widths]
    blocks = list(params.values())
    layers = list(zip(blocks[::2], blocks[1::2], strict=True))
    assert ys[-1].dtype == dtype
    assert_rounded("y", ys[-1], naive.mlp(x, layers, activation))


@pytest.mark.parametrize(
    ("pairs", "method"),
    [
        (backends.reference, CENTRAL),
        (backends.reference, COMPLEX),
        (backends.compiled, CENTRAL),
    ],
    ids=["reference-fd", "reference-cs", "compiled-fd"],
)
@each_network
@given(batches, seeds)
def test_backward_is_the_slope(
    pairs: SimpleNamespace,
    method: Method,
    widths: tuple[int, ...],
    activation: str,
    batch: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    mlp, params = network(widths, activation, rng)
    x = rng.standard_normal((batch, widths[0]))
    dy = rng.standard_normal((batch, widths[-1]))

    def loss(x: Array, flat: Array) -> complex:
        x = x.astype(flat.dtype)
        return (dy * mlp.forward(x, params.like(flat), pairs, fresh)[-1]).sum()

    grads = params.like(np.full_like(params.flat, np.nan))
    ys = mlp.forward(x, params, pairs, fresh)
    dx = mlp.backward(dy, ys, params, grads, pairs, fresh)
    dtype = np.complex128 if method is COMPLEX else np.float64
    by_flat = method.slopes(lambda flat: loss(x, flat), params.flat)
    by_x = method.slopes(lambda x: loss(x, params.flat.astype(dtype)), x)
    assert_close("dx", dx, by_x, method.error)
    for name, block in params.like(by_flat).items():
        assert_close(name, grads[name], block, method.error)


@each_backend
@each_network
def test_a_network_on_data_has_the_same_gradients_but_no_dx(
    pairs: SimpleNamespace,
    widths: tuple[int, ...],
    activation: str,
    rng: np.random.Generator,
) -> None:
    inner, params = network(widths, activation, rng)
    outer = MLP("net", widths, activation, on_data=True)
    x, dy = (rng.standard_normal((3, widths[i])) for i in (0, -1))
    ys = inner.forward(x, params, pairs, fresh)
    want, got = (params.like(np.full_like(params.flat, np.nan)) for _ in range(2))
    assert inner.backward(dy, ys, params, want, pairs, fresh).shape == x.shape
    assert outer.backward(dy, ys, params, got, pairs, fresh) is None
    assert got.flat.tobytes() == want.flat.tobytes()


@each_backend
def test_backward_overwrites_its_own_blocks_alone(
    pairs: SimpleNamespace, rng: np.random.Generator
) -> None:
    mlp, _ = network((4, 3, 2), "tanh", rng)
    shapes = {"before": (2,), **mlp.shapes(), "after": (3,)}
    params, grads = (Parameters.zeros(shapes, np.float64) for _ in range(2))
    params.flat[:] = rng.standard_normal(params.flat.size)
    x, dy = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    ys = mlp.forward(x, params, pairs, fresh)
    kept = [y.copy() for y in ys], dy.copy(), params.flat.copy()
    bits = set()
    for filler in (7.0, -3.0):
        grads.flat[:] = filler
        dx = mlp.backward(dy, ys, params, grads, pairs, Workspace())
        assert (grads["before"] == filler).all() and (grads["after"] == filler).all()
        bits.add((grads.flat[2:-3].tobytes(), dx.tobytes()))
    assert len(bits) == 1
    for y, before in zip([*ys, dy, params.flat], [*kept[0], *kept[1:]], strict=True):
        np.testing.assert_array_equal(y, before)
