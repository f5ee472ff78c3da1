"""Each compiled function against its reference, and against slopes of its own.

test_backends.py runs this file once more with the JIT off.

Shapes: B batch, N inputs, M outputs, D pixels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differences import (
    CENTRAL,
    Array,
    as_tuple,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.kernels import bernoulli as twins
from numpyvae.kernels import dense as kernels
from numpyvae.kernels.active_pixels import ActivePixels, active_pixels
from numpyvae.pairs import bernoulli, dense
from numpyvae.pairs.activations import ACTIVATIONS, Activation, sigmoid_forward

FLOATS = (np.float32, np.float64)
# The kernels take 8 rows and 64 pixels at a time: below, at and beyond these.
WIDTHS = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 16, 17, 63, 64, 65, 130])

each_activation = pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=ACTIVATIONS)
each_input = pytest.mark.parametrize("listed", [False, True], ids=["dense", "listed"])


def bits_of(x: Array) -> Array:
    return (x > 0.5).astype(np.uint8)


def check_twin(
    kernel: Callable[..., Any],
    reference: Callable[..., Any],
    *arguments: Any,
    bits: Array | None = None,
) -> None:
    """The kernel equals the reference, with `out` and without.

    Where an argument is a list of active pixels, the reference gets `bits`.
    """
    plain = [bits if isinstance(a, ActivePixels) else a for a in arguments]
    wants = as_tuple(reference(*plain))
    news = as_tuple(kernel(*arguments))
    outs = tuple(np.full_like(want, 7) for want in wants)
    out = outs if len(outs) > 1 else outs[0]
    assert kernel(*arguments, out=out) is out
    for i, (want, new, given_out) in enumerate(zip(wants, news, outs, strict=True)):
        assert new.dtype == want.dtype
        assert_rounded(f"{kernel.__name__}, result {i}", new, want)
        assert_rounded(f"{kernel.__name__}, out {i}", given_out, want)
    check_pure(kernel, *arguments)


# ---- Active pixels -------------------------------------------------------------------


@given(drawn("BD", sizes=WIDTHS))
def test_active_pixels_lists_the_set_pixels(arrays: list[Array]) -> None:
    bits = bits_of(arrays[0])
    active = active_pixels(bits)
    assert len(active) == len(bits) and active.width == bits.shape[1]
    assert len(active.columns) == active.starts[-1] == bits.sum(dtype=int)
    for i, row in enumerate(bits):
        listed = active.columns[active.starts[i] : active.starts[i + 1]]
        np.testing.assert_array_equal(listed, np.flatnonzero(row))


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (0, 5)])
def test_active_pixels_of_empty_and_full_images(
    value: int, shape: tuple[int, int]
) -> None:
    """400 pixels: more than a uint8 counts."""
    bits = np.full(shape, value, np.uint8)
    active = active_pixels(bits)
    everything = [j for _ in range(shape[0]) for j in range(shape[1])] * value
    assert active.columns.tolist() == everything
    assert active.starts.tolist() == [value * i * shape[1] for i in range(shape[0] + 1)]


# ---- Dense layer ---------------------------------------------------------------------


@each_input
@given(drawn("BN NM M BM", FLOATS, WIDTHS))
def test_dense_is_the_reference(listed: bool, arrays: list[Array]) -> None:
    x, W, b, da = arrays
    # Sums of size 1, as in a network: the rounding is of their size.
    W /= W.dtype.type(len(W) ** 0.5)
    bits = bits_of(x).astype(W.dtype)
    given_x = active_pixels(bits_of(x)) if listed else x
    check_twin(kernels.dense_forward, dense.dense_forward, given_x, W, b, bits=bits)
    weights = (kernels.dense_backward_weights, dense.dense_backward_weights)
    check_twin(*weights, da, given_x, bits=bits)
    if not listed:
        check_twin(kernels.dense_backward, dense.dense_backward, da, x, W)


@given(drawn("BN NM M BM"))
def test_dense_backward_is_the_slope(arrays: list[Array]) -> None:
    x, W, b, da = arrays
    layer = {"x": x, "W": W, "b": b}
    dx, dW, db = kernels.dense_backward(da, x, W)
    gradients = {"x": dx, "W": dW, "b": db}
    check_gradients(CENTRAL, kernels.dense_forward, layer, da, gradients)


@each_input
@given(drawn("BN NM M BM"))
def test_dense_backward_weights_is_the_slope(listed: bool, arrays: list[Array]) -> None:
    x, W, b, da = arrays
    given_x = active_pixels(bits_of(x)) if listed else x
    layer = {"x": given_x, "W": W, "b": b}
    dW, db = kernels.dense_backward_weights(da, given_x)
    gradients = {"W": dW, "b": db}
    check_gradients(CENTRAL, kernels.dense_forward, layer, da, gradients)


@each_input
@pytest.mark.parametrize("dtype", FLOATS)
def test_no_images_have_zero_gradients(
    listed: bool, dtype: type, rng: np.random.Generator
) -> None:
    """A shard of a short batch may be empty; its dW and db are added to the others'."""
    W, b = rng.standard_normal((5, 3)).astype(dtype), np.ones(3, dtype)
    bits = np.zeros((0, 5), np.uint8)
    x = active_pixels(bits) if listed else bits.astype(dtype)
    a = kernels.dense_forward(x, W, b)
    assert a.shape == (0, 3)
    out = np.full_like(W, np.nan), np.full_like(b, np.nan)
    for dW, db in [
        kernels.dense_backward_weights(a, x),
        kernels.dense_backward_weights(a, x, out=out),
    ]:
        assert dW.shape == (5, 3) and db.shape == (3,)
        assert not dW.any() and not db.any()
    if not listed:
        dx, dW, db = kernels.dense_backward(a, x, W)
        assert dx.shape == (0, 5) and not dW.any() and not db.any()


# ---- Activations ---------------------------------------------------------------------


def check_activation(f: Activation, a: Array, dy: Array) -> None:
    """The twin equals the reference, into an array of its own and over `a`."""
    want = f.forward(a)
    y, over = np.full_like(a, 7), a.copy()
    for given_a, out in ((a, y), (over, over)):
        assert kernels.activation_forward(f, given_a, out) is out
        assert_rounded("y", out, want)
    da = kernels.activation_backward(f, dy, a, want)
    assert da.dtype == a.dtype
    assert_rounded("da", da, f.backward(dy, a, want))
    check_pure(lambda dy, a, y: kernels.activation_backward(f, dy, a, y), dy, a, want)


@each_activation
@given(drawn("BM BM", FLOATS, WIDTHS))
def test_an_activation_is_the_reference(f: Activation, arrays: list[Array]) -> None:
    check_activation(f, *arrays)


@each_activation
@given(drawn("BN NM M", FLOATS, WIDTHS))
def test_a_layer_with_its_activation_is_both(
    f: Activation, arrays: list[Array]
) -> None:
    x, W, b = arrays
    a = np.full_like(x, 7, shape=(len(x), len(b)))
    y = np.full_like(a, 7) if f.reads_input else a
    assert kernels.activated_forward(f, x, W, b, a, y) is y
    assert_rounded(
        "y", y, f.forward(dense.dense_forward(x, W, b)), steps=W.shape[0] + 2
    )


@each_activation
@pytest.mark.parametrize("dtype", FLOATS)
def test_an_activation_at_the_ends_of_the_line(f: Activation, dtype: type) -> None:
    """At 0 as well, whose slope a kernel takes as the reference does."""
    a = np.array([[1e4, -1e4, 0.0, np.nan, np.inf, -np.inf]], dtype)
    with np.errstate(invalid="ignore"):  # inf - inf; of gelu, 0 inf
        check_activation(f, a, np.ones_like(a))
        y = kernels.activation_forward(f, a, np.empty_like(a))
        np.testing.assert_array_equal(np.isnan(y), np.isnan(f.forward(a)))
    assert np.isnan(y[0, 3])


# ---- Bernoulli likelihood ------------------------------------------------------------


@each_input
@given(drawn("BD BD B", FLOATS, WIDTHS), st.sampled_from([1.0, 30.0]))
def test_bernoulli_is_the_reference(
    listed: bool, arrays: list[Array], scale: float
) -> None:
    logits, x, dnll = arrays
    logits *= logits.dtype.type(scale)
    bits = bits_of(x).astype(x.dtype)
    grey = 1 / (1 + x * x)
    given_x = active_pixels(bits_of(x)) if listed else grey
    forward = (twins.bernoulli_forward, bernoulli.bernoulli_forward)
    check_twin(*forward, logits, given_x, bits=bits)
    p = sigmoid_forward(logits)
    backward = (twins.bernoulli_backward, bernoulli.bernoulli_backward)
    check_twin(*backward, dnll, p, given_x, bits=bits)


@each_input
@given(drawn("BD BD B"))
def test_bernoulli_backward_is_the_slope(listed: bool, arrays: list[Array]) -> None:
    logits, x, dnll = arrays
    x = active_pixels(bits_of(x)) if listed else 1 / (1 + x * x)

    def forward(logits: Array) -> Array:
        return twins.bernoulli_forward(logits, x)[0]

    _, p = twins.bernoulli_forward(logits, x)
    dlogits = twins.bernoulli_backward(dnll, p, x)
    check_gradients(CENTRAL, forward, {"logits": logits}, dnll, {"logits": dlogits})


@each_input
@pytest.mark.parametrize("dtype", FLOATS)
def test_bernoulli_at_huge_logits_and_nan(listed: bool, dtype: type) -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4], [np.nan, 1e4]], dtype)
    bits = np.array([[1, 0], [1, 0], [0, 1]], np.uint8)
    x = active_pixels(bits) if listed else bits.astype(dtype)
    nll, p = twins.bernoulli_forward(logits, x)
    np.testing.assert_array_equal(nll, [0, 2e4, np.nan])
    np.testing.assert_array_equal(p, [[1, 0], [0, 1], [np.nan, 1]])
    dlogits = twins.bernoulli_backward(np.array([3, 5, 7], dtype), p, x)
    np.testing.assert_array_equal(dlogits, [[0, 0], [-5, 5], [np.nan, 0]])


@each_input
@pytest.mark.parametrize("dtype", FLOATS)
def test_bernoulli_of_no_images(listed: bool, dtype: type) -> None:
    logits, bits = np.zeros((0, 5), dtype), np.zeros((0, 5), np.uint8)
    x = active_pixels(bits) if listed else bits.astype(dtype)
    nll, p = twins.bernoulli_forward(logits, x)
    assert nll.shape == (0,) and p.shape == (0, 5)
    assert twins.bernoulli_backward(nll, p, x).shape == (0, 5)


@pytest.mark.parametrize("dtype", FLOATS)
def test_many_undecided_pixels_do_not_overflow(dtype: type) -> None:
    """Each is a factor 2 of a product: float32 ends at 2^128, float64 at 2^1024."""
    logits = np.zeros((1, 2000), dtype)
    nll, _ = twins.bernoulli_forward(logits, logits)
    assert_rounded("nll", nll, np.array([2000 * np.log(2)]))
