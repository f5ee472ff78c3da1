"""Convolutions as layers of a network: sizes, slopes, and the way back to the pixels.

Shapes: B batch; images of height H, width V, C channels; M maps.
"""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from differences import CENTRAL, COMPLEX, Array, Method, assert_close, assert_rounded

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels import backends
from numpyvae.kernels import conv as conv_kernels
from numpyvae.model.layers import Conv, ConvTranspose
from numpyvae.model.networks import Network, decoder, encoder
from numpyvae.model.params import Parameters
from numpyvae.model.workspace import Workspace, fresh
from numpyvae.pairs.dense import ACTIVATIONS

each_backend = pytest.mark.parametrize(
    "pairs", [backends.reference, backends.compiled], ids=["reference", "compiled"]
)
each_way = pytest.mark.parametrize(
    ("pairs", "method"),
    [
        (backends.reference, COMPLEX),
        (backends.reference, CENTRAL),
        (backends.compiled, CENTRAL),
    ],
    ids=["reference-cs", "reference-fd", "compiled-fd"],
)

CONV = Conv("c", (6, 4, 2), 3, "tanh")
TRANSPOSE = ConvTranspose("t", (3, 2, 3), (6, 4, 2), "tanh")
ODD = ConvTranspose("t", (3, 2, 3), (7, 5, 2), "tanh")  # output padding 1
LAYERS = {"conv": CONV, "transpose": TRANSPOSE, "odd": ODD}
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)

# Two convolutions and a dense layer; back again through odd sizes: 3 to 7.
ENCODER = encoder(42, (7, 6), (2, 3), (4, 5), "tanh", 0)
DECODER = decoder((2, 4), (2, 3), (7, 7), 49, 2, "tanh")
NETWORKS = {"encoder": (ENCODER, 42), "decoder": (DECODER, 2)}
each_network = pytest.mark.parametrize(
    ("net", "inputs"), NETWORKS.values(), ids=NETWORKS
)


def drawn(table: Any, rng: np.random.Generator, dtype: type = np.float64) -> Parameters:
    params = Parameters.zeros(table.shapes(), dtype)
    params.flat[:] = rng.standard_normal(params.flat.size)
    return params


# ---- Sizes ---------------------------------------------------------------------------


def test_a_convolution_halves_its_image_and_sums_its_windows() -> None:
    assert CONV.shapes() == {"c.W": (4, 4, 2, 3), "c.b": (3,)}
    assert CONV.output() == (3, 2, 3)
    assert Conv("c", (7, 5, 1), 2, "relu").output() == (3, 2, 2)
    assert CONV.fan_in() == 4 * 4 * 2


def test_a_transposed_one_has_the_same_weights_and_a_bias_for_each_channel() -> None:
    assert TRANSPOSE.shapes() == {"t.W": (4, 4, 2, 3), "t.b": (2,)}
    assert TRANSPOSE.output_padding() == 0
    assert ODD.output_padding() == 1
    # Of 16 kernel entries, a pixel meets each second one of each second row.
    assert TRANSPOSE.fan_in() == 2 * 2 * 3


def test_the_tables_of_both_networks() -> None:
    assert ENCODER.shapes() == {
        "encoder.0.W": (4, 4, 1, 2), "encoder.0.b": (2,),  # 7 x 6 to 3 x 3
        "encoder.1.W": (4, 4, 2, 3), "encoder.1.b": (3,),  # to 1 x 1
        "encoder.2.W": (3, 4), "encoder.2.b": (4,),
        "encoder.3.W": (4, 5), "encoder.3.b": (5,),
    }  # fmt: skip
    assert DECODER.shapes() == {
        "decoder.0.W": (2, 4), "decoder.0.b": (4,),
        "decoder.1.W": (4, 3), "decoder.1.b": (3,),  # 1 x 1 of 3 maps
        "decoder.2.W": (4, 4, 2, 3), "decoder.2.b": (2,),  # to 3 x 3
        "decoder.3.W": (4, 4, 2, 2), "decoder.3.b": (2,),  # to 7 x 7, 2 for each
    }  # fmt: skip
    assert [layer.activation for layer in ENCODER.layers] == [*["tanh"] * 3, "identity"]
    assert [layer.activation for layer in DECODER.layers] == [*["tanh"] * 3, "identity"]


@each_backend
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_decoder_makes_images_of_the_encoders_size_or_says_why_not(
    pairs: SimpleNamespace, depth: int
) -> None:
    rng, made = np.random.default_rng(depth), 0
    for H, V in itertools.product(range(2, 18), range(2, 18, 4 - depth)):
        halves = [(H >> i, V >> i) for i in range(depth)]
        if min(halves[-1]) < 2:
            continue
        if any((h - v) % 2 for h, v in halves):
            with pytest.raises(ArgumentError, match=r"^channels: .* both even or both"):
                decoder((2,), [2] * depth, (H, V), H * V, 1, "relu")
            continue
        there = encoder(H * V, (H, V), [2] * depth, (3,), "relu", 0)
        back = decoder((2,), [2] * depth, (H, V), H * V, 1, "relu")
        x, z = rng.random((2, H * V)), rng.random((2, 2))
        assert there.forward(x, drawn(there, rng), pairs, fresh)[-1].shape == (2, 3)
        ys = back.forward(z, drawn(back, rng), pairs, fresh)
        assert ys[-1].shape == (2, H * V)
        made += 1
    assert made > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (2, 2), "image_shape": (4, 6)}, r"found images of 2 x 3 on the"),
        ({"channels": (2,), "image_shape": (3, 8)}, r"found images of 3 x 8 on the"),
        ({"channels": (2,) * 5, "image_shape": (4, 6)}, r"^kernel size: found 4"),
        ({"channels": (2,)}, r"^image_shape: found \[4, 4\], .* width of 24 pixels"),
        ({"channels": (2,), "image_shape": (24,)}, r"^image_shape: found \[24\]"),
        ({"channels": (2, 0), "image_shape": (4, 6)}, r"^channels: found 0"),
        (
            {"channels": (2,), "image_shape": (4, 6), "classes": 2},
            r"^classes: found 2 with channels \[2\], expected 0",
        ),
    ],
)
def test_what_convolutions_can_not_do_is_told(arguments: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        VAE(24, (3,), 2, **arguments)


# ---- What a layer computes -----------------------------------------------------------


@each_backend
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_convolution_by_hand(
    pairs: SimpleNamespace, dtype: type, rng: np.random.Generator
) -> None:
    """Rows are images, row by row, their channels side by side."""
    params = drawn(CONV, rng, dtype)
    x = rng.standard_normal((2, 6, 4, 2)).astype(dtype)
    y = CONV.forward(x.reshape(2, -1), params, pairs, fresh)
    frame = np.zeros((2, 8, 6, 2))
    frame[:, 1:-1, 1:-1] = x
    want = np.empty((2, 3, 2, 3))
    for n, h, v, m in np.ndindex(want.shape):
        window = frame[n, 2 * h : 2 * h + 4, 2 * v : 2 * v + 4]
        want[n, h, v, m] = (window * params["c.W"][..., m]).sum() + params["c.b"][m]
    assert y.dtype == dtype
    assert_rounded("y", y, np.tanh(want).reshape(2, -1))


@each_backend
@pytest.mark.parametrize("image", [(6, 4, 2), (7, 5, 2)])
def test_a_transposed_convolution_is_the_adjoint(
    pairs: SimpleNamespace, image: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """<conv x, y> = <x, transpose y>, and its bias is added to each pixel."""
    there = Conv("c", image, 3, "identity")
    back = ConvTranspose("c", there.output(), image, "identity")
    weights, bias = drawn(there, rng), rng.standard_normal(2)
    ws = weights["c.W"]
    x, y = rng.standard_normal((2, math.prod(image))), rng.standard_normal((2, 18))
    conv = there.forward(x, {"c.W": ws, "c.b": np.zeros(3)}, pairs, fresh)
    transposed = back.forward(y, {"c.W": ws, "c.b": np.zeros(2)}, pairs, fresh)
    assert_rounded("adjoint", (conv * y).sum(), (x * transposed).sum())
    moved = back.forward(y, {"c.W": ws, "c.b": bias}, pairs, fresh) - transposed
    assert_rounded("bias", moved.reshape(-1, 2), np.tile(bias, (moved.size // 2, 1)))


def check(
    method: Method, run: Any, params: Parameters, x: Array, dy: Array, grads: Any
) -> None:
    """`grads` of every block, and of x, against the slope of sum(dy * run)."""
    kind = np.complex128 if method is COMPLEX else np.float64
    dx, blocks = grads
    if dx is not None:
        by_x = method.slopes(lambda x: (dy * run(x, params.flat.astype(kind))).sum(), x)
        assert_close("dx", dx, by_x, method.error)
    flat = method.slopes(
        lambda flat: (dy * run(x.astype(flat.dtype), flat)).sum(), params.flat
    )
    for name, block in params.like(flat).items():
        assert_close(name, blocks[name], block, method.error)


@each_way
@each_layer
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_layers_gradients_are_the_slopes(
    pairs: SimpleNamespace, method: Method, layer: Any, activation: str, batch: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    layer = layer._replace(activation=activation)
    params = drawn(layer, rng)
    inputs = math.prod(layer.image if isinstance(layer, Conv) else layer.maps)
    x = rng.standard_normal((batch, inputs))

    def run(x: Array, flat: Array) -> Array:
        x = x.astype(np.result_type(x, flat))
        flat = flat.astype(x.dtype)
        return layer.forward(x, params.like(flat), pairs, fresh)

    y = run(x, params.flat)
    dy = rng.standard_normal(y.shape)
    grads = params.like(np.full_like(params.flat, np.nan))
    dx = layer.backward(dy, x, y, params, grads, pairs, fresh, True)
    check(method, run, params, x, dy, (dx, grads))


@each_layer
@pytest.mark.parametrize("images", [1, 2, 3])
def test_a_batch_in_parts_is_the_batch(
    layer: Any, images: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five images, so that the last part of two or three is shorter."""
    per_image = 3 * 2 * 4 * 4 * 2  # map pixels times a window's entries
    monkeypatch.setattr(conv_kernels, "ENTRIES", images * per_image)
    params = drawn(layer, rng)
    inputs = math.prod(layer.image if isinstance(layer, Conv) else layer.maps)
    x, found = rng.standard_normal((5, inputs)), []
    for pairs in (backends.compiled, backends.reference):
        y = layer.forward(x, params, pairs, fresh)
        grads = params.like(np.full_like(params.flat, np.nan))
        dx = layer.backward(np.sin(y), x, y, params, grads, pairs, fresh, True)
        found.append((y, dx, grads.flat))
    for name, got, want in zip(("y", "dx", "grads"), *found, strict=True):
        assert_rounded(name, got, want)


@each_way
@each_network
def test_a_networks_gradients_are_the_slopes(
    pairs: SimpleNamespace, method: Method, net: Network, inputs: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    params = drawn(net, rng)
    params.flat /= 2  # tanh is not to be flat
    x = rng.standard_normal((2, inputs))

    def run(x: Array, flat: Array) -> Array:
        flat = flat.astype(np.result_type(x, flat))
        return net.forward(x.astype(flat.dtype), params.like(flat), pairs, fresh)[-1]

    ys = net.forward(x, params, pairs, fresh)
    dy = rng.standard_normal(ys[-1].shape)
    grads = params.like(np.full_like(params.flat, np.nan))
    dx = net.backward(dy, ys, params, grads, pairs, fresh)
    assert (dx is None) == net.on_data
    check(method, run, params, x, dy, (dx, grads))


@each_backend
def test_on_data_the_gradients_are_the_same_without_dx(
    pairs: SimpleNamespace, rng: np.random.Generator
) -> None:
    params, inner = drawn(ENCODER, rng), Network(ENCODER.layers, on_data=False)
    x, dy = rng.standard_normal((3, 42)), rng.standard_normal((3, 5))
    ys = ENCODER.forward(x, params, pairs, fresh)
    want, got = (params.like(np.full_like(params.flat, np.nan)) for _ in range(2))
    assert inner.backward(dy, ys, params, want, pairs, fresh).shape == x.shape
    assert ENCODER.backward(dy, ys, params, got, pairs, fresh) is None
    assert got.flat.tobytes() == want.flat.tobytes()


@each_backend
@each_network
def test_a_workspace_gives_the_bits_of_fresh_arrays(
    pairs: SimpleNamespace, net: Network, inputs: int, rng: np.random.Generator
) -> None:
    """Whatever an earlier, larger or smaller batch left in it; none may be empty."""
    params, array = drawn(net, rng), Workspace()
    x = rng.standard_normal((4, inputs))
    for rows in (4, 1, 3, 0, 4):
        bits = []
        for allocate in (fresh, array):
            ys = net.forward(x[:rows], params, pairs, allocate)
            kept = [y.copy() for y in ys]
            grads = params.like(np.full_like(params.flat, np.nan))
            net.backward(np.sin(ys[-1]), ys, params, grads, pairs, allocate)
            bits.append((ys[-1].tobytes(), grads.flat.tobytes()))
            for y, before in zip(ys, kept, strict=True):
                np.testing.assert_array_equal(y, before)
        assert bits[0] == bits[1]
        if not rows:
            assert not grads.flat.any()


# ---- Initial values ------------------------------------------------------------------


def test_initial_values_fill_the_bounds_of_each_layers_fan_in() -> None:
    model = VAE(28 * 28, (50,), 5, channels=(8, 16), dtype=np.float64)
    fan_ins = {
        "encoder.0": 16, "encoder.1": 16 * 8, "encoder.2": 7 * 7 * 16, "encoder.3": 50,
        "decoder.0": 5, "decoder.1": 50, "decoder.2": 4 * 16, "decoder.3": 4 * 8,
    }  # fmt: skip
    for name, block in model.params.items():
        scaled = np.abs(block) * math.sqrt(fan_ins[name[:9]])
        assert scaled.max() <= 1
        if block.size > 100:
            # Of 100 draws or more: all within 0.93 has a chance of 0.93^100 = 7e-4,
            # and the seed is fixed; the mean is 5 standard errors around 1/2 at most.
            assert scaled.max() > 0.93
            assert abs(scaled.mean() - 0.5) < 5 / math.sqrt(12 * block.size)
