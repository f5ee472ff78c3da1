"""A stack of layers: the oracle, and the slope of every block and of the input."""

import itertools

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
from works import work_over

from numpyvae.kernels import backends
from numpyvae.model.networks import Network, mlp
from numpyvae.model.params import Parameters
from numpyvae.model.workspace import Reused, Workspace
from numpyvae.pairs.activations import ACTIVATIONS, RELU, TANH, Activation
from numpyvae.pairs.reference import Reference

# One, two and three layers; widths of 1 and 2, odd ones, no two alike in the last.
WIDTHS = [(3, 2), (1, 1, 1), (5, 1, 3), (4, 7, 3, 6)]

each_code = pytest.mark.parametrize(
    "code", [backends.reference, backends.compiled], ids=["reference", "compiled"]
)
each_network = pytest.mark.parametrize(
    ("widths", "f"),
    [
        pytest.param(widths, f, id=f"{widths}, {f.name}")
        for widths, f in itertools.product(WIDTHS, ACTIVATIONS.values())
    ],
)
seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 5)


def network(
    widths: tuple[int, ...],
    f: Activation,
    rng: np.random.Generator,
    dtype: type = np.float64,
    on_data: bool = False,
) -> tuple[Network, Parameters]:
    net = mlp("net", widths, f, on_data=on_data)
    params = Parameters.zeros(net.shapes(), dtype)
    net.initialise(params, rng)
    return net, params


def test_the_table_names_each_layers_weights_and_biases() -> None:
    assert mlp("net", (5, 4, 3), RELU, on_data=True).shapes() == {
        "net.0.W": (5, 4), "net.0.b": (4,), "net.1.W": (4, 3), "net.1.b": (3,),
    }  # fmt: skip


@each_code
@each_network
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_is_the_oracle(
    code: Reference,
    widths: tuple[int, ...],
    f: Activation,
    dtype: type,
    rng: np.random.Generator,
) -> None:
    net, params = network(widths, f, rng, dtype)
    x = rng.standard_normal((3, widths[0])).astype(dtype)
    traces = net.forward(x, work_over(params, code))
    ys = [trace.y for trace in traces]
    for trace, seen in zip(traces, [x, *ys], strict=False):
        assert trace.x is seen
    assert [y.shape for y in ys] == [(3, width) for width in widths[1:]]
    blocks = list(params.values())
    layers = list(zip(blocks[::2], blocks[1::2], strict=True))
    assert ys[-1].dtype == dtype
    assert_rounded("y", ys[-1], naive.mlp(x, layers, f.name))


@pytest.mark.parametrize(
    ("code", "method"),
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
    code: Reference,
    method: Method,
    widths: tuple[int, ...],
    f: Activation,
    batch: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    net, params = network(widths, f, rng)
    x = rng.standard_normal((batch, widths[0]))
    dy = rng.standard_normal((batch, widths[-1]))

    def loss(x: Array, flat: Array) -> complex:
        x = x.astype(flat.dtype)
        return (dy * net.forward(x, work_over(params.like(flat), code))[-1].y).sum()

    work = work_over(params, code)
    dx = net.backward(dy, net.forward(x, work), work)
    dtype = np.complex128 if method is COMPLEX else np.float64
    by_flat = method.slopes(lambda flat: loss(x, flat), params.flat)
    by_x = method.slopes(lambda x: loss(x, params.flat.astype(dtype)), x)
    assert_close("dx", dx, by_x, method.error)
    for name, block in params.like(by_flat).items():
        assert_close(name, work.grads[name], block, method.error)


@each_code
@each_network
def test_a_network_on_data_has_the_same_gradients_but_no_dx(
    code: Reference,
    widths: tuple[int, ...],
    f: Activation,
    rng: np.random.Generator,
) -> None:
    inner, params = network(widths, f, rng)
    outer = mlp("net", widths, f, on_data=True)
    x, dy = (rng.standard_normal((3, widths[i])) for i in (0, -1))
    want, got = (work_over(params, code) for _ in range(2))
    traces = inner.forward(x, want)
    assert inner.backward(dy, traces, want).shape == x.shape
    assert outer.backward(dy, traces, got) is None
    for name, grad in got.grads.items():
        assert grad.tobytes() == want.grads[name].tobytes()


@each_code
def test_backward_overwrites_its_own_blocks_alone(
    code: Reference, rng: np.random.Generator
) -> None:
    net, _ = network((4, 3, 2), TANH, rng)
    shapes = {"before": (2,), **net.shapes(), "after": (3,)}
    params, grads = (Parameters.zeros(shapes, np.float64) for _ in range(2))
    params.flat[:] = rng.standard_normal(params.flat.size)
    x, dy = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    work = Workspace(params.blocks, grads.blocks, Reused(), code)
    traces = net.forward(x, work)
    kept = [y.copy() for y in (*(t.y for t in traces), dy, params.flat)]
    bits = set()
    for filler in (7.0, -3.0):
        grads.flat[:] = filler
        dx = net.backward(dy, traces, work)
        assert (grads["before"] == filler).all() and (grads["after"] == filler).all()
        bits.add((grads.flat[2:-3].tobytes(), dx.tobytes()))
    assert len(bits) == 1
    after = [*(t.y for t in traces), dy, params.flat]
    for y, before in zip(after, kept, strict=True):
        np.testing.assert_array_equal(y, before)


# ---- Initial values ------------------------------------------------------------------


def drawn_params(seed: int, dtype: type, inputs: int = 16) -> Parameters:
    net = mlp("a", (inputs, 300, 2), RELU, on_data=True)
    params = Parameters.zeros(net.shapes(), dtype)
    net.initialise(params, np.random.default_rng(seed))
    return params


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 16, 100]))
def test_initial_values_fill_the_layers_bounds(seed: int, inputs: int) -> None:
    """Uniform in +-1/sqrt(N), N the layer's inputs, of weights and biases alike."""
    params = drawn_params(seed, np.float64, inputs)
    for name, fan_in in {"a.0.W": inputs, "a.0.b": inputs, "a.1.W": 300}.items():
        scaled = params[name] * np.sqrt(fan_in)
        # Of 300 draws or more: all within +-0.95 has a chance of 0.95^300 = 2e-7, a
        # mean beyond 5 / sqrt(3 * 300), five standard errors, one of 6e-7.
        assert 0.95 < np.abs(scaled).max() <= 1
        assert abs(scaled.mean()) < 5 / np.sqrt(3 * scaled.size)
    assert np.abs(params["a.1.b"]).max() <= 1 / np.sqrt(300)


def test_initial_values_are_the_generators() -> None:
    first, again, other = (drawn_params(seed, np.float64).flat for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert not np.isin(first, other).any()


def test_float32_starts_from_the_numbers_of_float64() -> None:
    single, double = (drawn_params(3, dtype).flat for dtype in (np.float32, np.float64))
    np.testing.assert_array_equal(single, double.astype(np.float32))
