"""Convolution and its transpose: the reference, its compiled twins, what joins the two.

test_backends.py runs this file once more with the JIT off.

Shapes: B images of height H, width V and C channels; maps of height H', width V' and M
channels; K the kernel's height and width.
"""

from types import ModuleType
from typing import Any, NamedTuple

import naive_conv
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    as_tuple,
    assert_rounded,
    check_gradients,
    check_pure,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import check_twin

from numpyvae.kernels import conv as conv_kernels
from numpyvae.pairs import conv
from numpyvae.pairs.conv import Window

FLOATS = (np.float32, np.float64)
DTYPES = (*FLOATS, np.complex128)

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
each_module = pytest.mark.parametrize(
    "module", [conv, conv_kernels], ids=["reference", "compiled"]
)
# Images of a part: one, two, all. The windows drawn have at most 4 * 4 * 64 entries.
each_part = pytest.mark.parametrize("entries", [1, 2048, conv_kernels.ENTRIES])


class Case(NamedTuple):
    """A convolution of `image` to `maps`, and its transpose back to that size."""

    image: Array  # (B, H, V, C)
    maps: Array  # (B, H', V', M)
    W: Array
    b: Array  # (M,)
    c: Array  # (C,), the bias of the transpose
    window: Window
    output_padding: int


@st.composite
def cases(
    draw: st.DrawFn, dtypes: tuple[type, ...] = (np.float64,), most: int = 4
) -> Case:
    """Sizes of batch, maps, channels and kernel up to `most`; half are strided views.

    Hypothesis draws a seed and the seed all sizes: mutants of one example, which it
    likes to draw, would be of few strides and paddings. W is scaled to pre-activations
    of size 1: the rounding is of their size.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    H = V = 0
    while min(H, V) < 1:  # nothing is left within the padding
        B, C, M, height, width, K = (int(n) for n in rng.integers(1, most + 1, 6))
        stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        output_padding = int(rng.integers(0, stride))
        extra = K + output_padding - 2 * padding
        H, V = ((n - 1) * stride + extra for n in (height, width))
    step, dtype = rng.integers(1, 3), draw(st.sampled_from(dtypes))

    def normal(*shape: int) -> Array:
        array = rng.standard_normal([n * step for n in shape])
        if dtype is np.complex128:
            array = array + 1j * rng.standard_normal(array.shape)
        return array.astype(dtype)[(slice(None, None, step),) * array.ndim]

    W = normal(K, K, C, M)
    W /= W.dtype.type((K * K * C) ** 0.5)
    image, maps = normal(B, H, V, C), normal(B, height, width, M)
    window = Window(stride, padding)
    return Case(image, maps, W, normal(M), normal(C), window, output_padding)


def upstream(dy: Array) -> Array:
    """dy, scaled so that sums over its pixels are of size 1, as W is for windows."""
    return dy / dy.dtype.type((dy.size / dy.shape[-1]) ** 0.5)


# ---- The reference -------------------------------------------------------------------


@given(cases(FLOATS))
def test_conv_forward_is_the_oracle(case: Case) -> None:
    x, maps, W, b, _, window, _ = case
    a = conv.conv_forward(x, W, b, window)
    assert_rounded("a", a, naive_conv.conv(x, W, b, *window))
    assert a.shape[:3] == maps.shape[:3]


@given(cases(FLOATS))
def test_conv_transpose_forward_is_the_oracle(case: Case) -> None:
    image, x, W, _, c, window, more = case
    a = conv.conv_transpose_forward(x, W, c, window, more)
    assert_rounded("a", a, naive_conv.conv_transpose(x, W, c, *window, more))
    assert a.shape == image.shape


@each_method
@given(cases(most=3))
def test_conv_backward_is_the_slope(method: Method, case: Case) -> None:
    x, maps, W, b, _, window, _ = case
    da = upstream(maps)
    layer = {"x": x, "W": W, "b": b, "window": window}
    dx, dW, db = conv.conv_backward(da, x, W, window)
    gradients = {"x": dx, "W": dW, "b": db}
    check_gradients(method, conv.conv_forward, layer, da, gradients)
    weights = conv.conv_backward_weights(da, x, len(W), window)
    for name, got, want in zip(["dW", "db"], weights, [dW, db], strict=True):
        assert_rounded(name, got, want)


@each_method
@given(cases(most=3))
def test_conv_transpose_backward_is_the_slope(method: Method, case: Case) -> None:
    image, x, W, _, c, window, more = case
    da = upstream(image)
    layer = {"x": x, "W": W, "b": c, "window": window, "output_padding": more}
    dx, dW, db = conv.conv_transpose_backward(da, x, W, window)
    gradients = {"x": dx, "W": dW, "b": db}
    check_gradients(method, conv.conv_transpose_forward, layer, da, gradients)


@given(cases(DTYPES))
def test_the_reference_keeps_the_dtype_and_its_inputs(case: Case) -> None:
    x, maps, W, b, c, window, more = case
    for function, arguments in [
        (conv.conv_forward, (x, W, b, window)),
        (conv.conv_backward, (maps, x, W, window)),
        (conv.conv_backward_weights, (maps, x, len(W), window)),
        (conv.conv_transpose_forward, (maps, W, c, window, more)),
        (conv.conv_transpose_backward, (x, maps, W, window)),
    ]:
        results = as_tuple(function(*arguments))
        assert {array.dtype for array in results} == {x.dtype}
        check_pure(function, *arguments)


# ---- What joins the two --------------------------------------------------------------


@each_module
@given(cases())
def test_the_three_maps_are_derivatives_of_one_sum(
    module: ModuleType, case: Case
) -> None:
    """<x * W, y> = <x, W *T y> = <x star y, W>, whatever is computed from what."""
    x, y, W, b, c, window, more = case
    gathered = module.conv_forward(x, W, 0 * b, window)
    scattered = module.conv_transpose_forward(y, W, 0 * c, window, more)
    weights, _ = module.conv_backward_weights(y, x, len(W), window)
    assert gathered.shape == y.shape and scattered.shape == x.shape
    size = max(1, np.linalg.norm(x) * np.linalg.norm(y))
    want = (gathered * y).sum() / size
    assert_rounded("<x, W *T y>", (scattered * x).sum() / size, want)
    assert_rounded("<x star y, W>", (weights * W).sum() / size, want)


# ---- The compiled twins --------------------------------------------------------------


@each_part
@given(cases(FLOATS))
def test_compiled_is_the_reference(entries: int, case: Case) -> None:
    x, maps, W, b, c, window, more = case
    da, dz = upstream(maps), upstream(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_kernels, "ENTRIES", entries)
        for name, arguments in {
            "conv_forward": (x, W, b, window),
            "conv_backward": (da, x, W, window),
            "conv_backward_weights": (da, x, len(W), window),
            "conv_transpose_forward": (maps, W, c, window, more),
            "conv_transpose_backward": (dz, maps, W, window),
        }.items():
            check_twin(getattr(conv_kernels, name), getattr(conv, name), *arguments)


@settings(max_examples=8)
@given(cases(most=3))
def test_compiled_backward_is_the_slope(case: Case) -> None:
    x, maps, W, b, c, window, more = case
    da, dz = upstream(maps), upstream(x)
    dx, dW, db = conv_kernels.conv_backward(da, x, W, window)
    layer: dict[str, Any] = {"x": x, "W": W, "b": b, "window": window}
    gradients = {"x": dx, "W": dW, "b": db}
    check_gradients(CENTRAL, conv_kernels.conv_forward, layer, da, gradients)
    dx, dW, db = conv_kernels.conv_transpose_backward(dz, maps, W, window)
    layer |= {"x": maps, "b": c, "output_padding": more}
    gradients = {"x": dx, "W": dW, "b": db}
    check_gradients(CENTRAL, conv_kernels.conv_transpose_forward, layer, dz, gradients)


# ---- The ends ------------------------------------------------------------------------


@each_module
@pytest.mark.parametrize("dtype", FLOATS)
def test_no_images_have_zero_gradients(module: ModuleType, dtype: type) -> None:
    """A shard of a short batch may be empty; its dW and db are added to the others'."""
    x, W = np.ones((0, 7, 5, 2), dtype), np.ones((4, 4, 2, 3), dtype)
    b, c, window = np.ones(3, dtype), np.ones(2, dtype), Window(2, 1)
    y = module.conv_forward(x, W, b, window)
    assert y.shape == (0, 3, 2, 3)
    z = module.conv_transpose_forward(y, W, c, window, 1)
    assert z.shape == x.shape
    dx, *weights = module.conv_backward(y, x, W, window)
    dy, *others = module.conv_transpose_backward(z, y, W, window)
    assert dx.shape == x.shape and dy.shape == y.shape
    for dW, db in [weights, others, module.conv_backward_weights(y, x, 4, window)]:
        assert dW.shape == W.shape
        assert not dW.any() and not db.any()


@each_module
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_nan_reaches_what_it_meets_and_nothing_else(
    module: ModuleType, dtype: type
) -> None:
    x, W = np.ones((2, 7, 6, 2), dtype), np.ones((3, 3, 2, 3), dtype)
    x[1, 4, 3, 0] = np.nan
    b, c, window = np.ones(3, dtype), np.ones(2, dtype), Window(2, 1)
    y = module.conv_forward(x, W, b, window)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(naive_conv.conv(x, W, b, 2, 1)))
    z = module.conv_transpose_forward(y, W, c, window, 0)
    want = naive_conv.conv_transpose(y, W, c, 2, 1, 0)
    np.testing.assert_array_equal(np.isnan(z), np.isnan(want))
    _, dW, db = module.conv_backward(np.full_like(y, np.nan), x, W, window)
    assert np.isnan(dW).all() and np.isnan(db).all()


@each_module
def test_a_kernel_for_other_channels_is_refused(module: ModuleType) -> None:
    x, W, b = np.ones((1, 4, 4, 2)), np.ones((2, 2, 3, 5)), np.ones(5)
    with pytest.raises(ValueError, match="matmul"):
        module.conv_forward(x, W, b, Window(1, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((28, 31, 1, 1), "kernel size: found 31, expected at most 30, the size"),
        ((28, 0, 1, 1), "K: found 0, expected a whole number from 1 on"),
        ((28, 4, 0, 1), "stride: found 0, expected a whole number from 1 on"),
        ((28, 4, 2, -1), "padding: found -1, expected a whole number from 0 on"),
        ((0, 1, 1, 1), "H: found 0, expected a whole number from 1 on"),
        ((7, 4, 2, 1, 2), "output_padding: found 2, expected less than the stride, 2"),
        (
            (7, 4, 2, 1, -1),
            "output_padding: found -1, expected a whole number from 0 on",
        ),
        ((7, 4, 0, 1, 0), "stride: found 0, expected a whole number from 1 on"),
        ((7, 0, 2, 1, 0), "K: found 0, expected a whole number from 1 on"),
        ((7, 4, 2, -1, 0), "padding: found -1, expected a whole number from 0 on"),
        ((0, 4, 2, 1, 0), "H: found 0, expected a whole number from 1 on"),
        ((1, 4, 2, 2, 0), "padding: found 2, expected less than half of 4, the size"),
    ],
)
def test_what_has_no_size_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    size = conv.conv_size if len(arguments) == 4 else conv.transpose_size
    with pytest.raises(ValueError, match=f"^{message}"):
        size(*arguments)


@each_module
def test_the_functions_refuse_what_has_no_size(module: ModuleType) -> None:
    x, W, b = np.ones((1, 4, 2, 1)), np.ones((3, 3, 1, 1)), np.ones(1)
    with pytest.raises(ValueError, match="found 3, expected at most 2"):
        module.conv_forward(x, W, b, Window(1, 0))
    with pytest.raises(ValueError, match="output_padding: found 1"):
        module.conv_transpose_forward(x, W, b, Window(1, 0), 1)


@pytest.mark.parametrize("size", [*range(1, 12)])
@pytest.mark.parametrize("K", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_padding_names_the_sizes_of_one_map(
    size: int, K: int, stride: int
) -> None:
    sizes = [conv.transpose_size(size, K, stride, 0, o) for o in range(stride)]
    assert {conv.conv_size(n, K, stride, 0) for n in sizes} == {size}
    assert conv.conv_size(sizes[-1] + 1, K, stride, 0) == size + 1
