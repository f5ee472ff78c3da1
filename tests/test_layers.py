"""Layers, convolutions above all: sizes, slopes, and the way back to the pixels.

Shapes: B batch; images of height H, width V, C channels; M maps.
"""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from differences import CENTRAL, COMPLEX, Array, Method, assert_close, assert_rounded
from works import work_over

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels import backends
from numpyvae.kernels import conv as conv_kernels
from numpyvae.model.layers import Conv, ConvTranspose, Dense
from numpyvae.model.networks import Images, Network, decoder, encoder
from numpyvae.model.params import Parameters
from numpyvae.model.workspace import Fresh, Reused
from numpyvae.pairs.activations import ACTIVATIONS, IDENTITY, RELU, TANH, Activation
from numpyvae.pairs.reference import Reference

each_code = pytest.mark.parametrize(
    "code", [backends.reference, backends.compiled], ids=["reference", "compiled"]
)
each_way = pytest.mark.parametrize(
    ("code", "method"),
    [
        (backends.reference, COMPLEX),
        (backends.reference, CENTRAL),
        (backends.compiled, CENTRAL),
    ],
    ids=["reference-cs", "reference-fd", "compiled-fd"],
)

CONV = Conv("c", (6, 4, 2), 3, TANH)
TRANSPOSE = ConvTranspose("t", (3, 2, 3), (6, 4, 2), TANH)
ODD = ConvTranspose("t", (3, 2, 3), (7, 5, 2), TANH)  # output padding 1
DENSE = Dense("d", 5, 3, TANH)
LAYERS = {"dense": DENSE, "conv": CONV, "transpose": TRANSPOSE, "odd": ODD}
INPUTS = {"dense": 5, "conv": 48, "transpose": 18, "odd": 18}
each_layer = pytest.mark.parametrize("kind", LAYERS)

# Two convolutions and a dense layer; back again through odd sizes: 3 to 7.
ENCODER = encoder(42, (4, 5), TANH, Images((7, 6), (2, 3)))
DECODER = decoder((2, 4), 49, 2, TANH, Images((7, 7), (2, 3)))
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
    assert Conv("c", (7, 5, 1), 2, RELU).output() == (3, 2, 2)
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
    assert [layer.f for layer in ENCODER.layers] == [TANH, TANH, TANH, IDENTITY]
    assert [layer.f for layer in DECODER.layers] == [TANH, TANH, TANH, IDENTITY]


@each_code
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_decoder_makes_images_of_the_encoders_size_or_says_why_not(
    code: Reference, depth: int
) -> None:
    rng, made = np.random.default_rng(depth), 0
    for H, V in itertools.product(range(2, 18), range(2, 18, 4 - depth)):
        halves = [(H >> i, V >> i) for i in range(depth)]
        if min(halves[-1]) < 2:
            continue
        images = Images((H, V), [2] * depth)
        if any((h - v) % 2 for h, v in halves):
            with pytest.raises(ArgumentError, match=r"^channels: .* both even or both"):
                decoder((2,), H * V, 1, RELU, images)
            continue
        there = encoder(H * V, (3,), RELU, images)
        back = decoder((2,), H * V, 1, RELU, images)
        for net, inputs, outputs in ((there, H * V, 3), (back, 2, H * V)):
            traces = net.forward(
                rng.random((2, inputs)), work_over(drawn(net, rng), code)
            )
            assert traces[-1].y.shape == (2, outputs)
        made += 1
    assert made > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (2, 2), "image_shape": (4, 6)}, r"found images of 2 x 3 on the"),
        ({"channels": (2,), "image_shape": (3, 8)}, r"found images of 3 x 8 on the"),
        ({"channels": (2,) * 5, "image_shape": (4, 6)}, r"^channels: found too many: "),
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


@each_code
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_convolution_by_hand(
    code: Reference, dtype: type, rng: np.random.Generator
) -> None:
    """Rows are images, row by row, their channels side by side."""
    params = drawn(CONV, rng, dtype)
    x = rng.standard_normal((2, 6, 4, 2)).astype(dtype)
    y = CONV.forward(x.reshape(2, -1), work_over(params, code)).y
    frame = np.zeros((2, 8, 6, 2))
    frame[:, 1:-1, 1:-1] = x
    want = np.empty((2, 3, 2, 3))
    for n, h, v, m in np.ndindex(want.shape):
        window = frame[n, 2 * h : 2 * h + 4, 2 * v : 2 * v + 4]
        want[n, h, v, m] = (window * params["c.W"][..., m]).sum() + params["c.b"][m]
    assert y.dtype == dtype
    assert_rounded("y", y, np.tanh(want).reshape(2, -1))


@each_code
@pytest.mark.parametrize("image", [(6, 4, 2), (7, 5, 2)])
def test_a_transposed_convolution_is_the_adjoint(
    code: Reference, image: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """<conv x, y> = <x, transpose y>, and its bias is added to each pixel."""
    there = Conv("c", image, 3, IDENTITY)
    back = ConvTranspose("c", there.output(), image, IDENTITY)
    weights, bias = drawn(there, rng), rng.standard_normal(2)
    ws = weights["c.W"]
    x, y = rng.standard_normal((2, math.prod(image))), rng.standard_normal((2, 18))
    conv = there.forward(x, work_over({"c.W": ws, "c.b": np.zeros(3)}, code)).y
    transposed, moved = (
        back.forward(y, work_over({"c.W": ws, "c.b": b}, code)).y
        for b in (np.zeros(2), bias)
    )
    assert_rounded("adjoint", (conv * y).sum(), (x * transposed).sum())
    moved = (moved - transposed).reshape(-1, 2)
    assert_rounded("bias", moved, np.tile(bias, (len(moved), 1)))


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
@pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_layers_gradients_are_the_slopes(
    code: Reference, method: Method, kind: str, f: Activation, batch: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    layer = LAYERS[kind]._replace(f=f)
    params, x = drawn(layer, rng), rng.standard_normal((batch, INPUTS[kind]))

    def run(x: Array, flat: Array) -> Array:
        x = x.astype(np.result_type(x, flat))
        return layer.forward(x, work_over(params.like(flat.astype(x.dtype)), code)).y

    work = work_over(params, code)
    trace = layer.forward(x, work)
    dy = rng.standard_normal(trace.y.shape)
    dx = layer.backward(dy, trace, work, True)
    check(method, run, params, x, dy, (dx, work.grads))


@each_code
@each_layer
@pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_a_trace_keeps_what_the_activations_backward_reads(
    code: Reference, kind: str, f: Activation, rng: np.random.Generator
) -> None:
    """The sums, where f reads them; elsewhere y is written over them."""
    layer = LAYERS[kind]._replace(f=f)
    x = rng.standard_normal((2, INPUTS[kind]))
    work = work_over(drawn(layer, rng), code)
    sums = layer._replace(f=IDENTITY).forward(x, work).y
    _, a, y = layer.forward(x, work)
    assert_rounded("y", y, f.forward(sums))
    if f.reads_input:
        assert_rounded("a", a, sums)
    assert np.shares_memory(a, y) != f.reads_input


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "dense"])
@pytest.mark.parametrize("images", [1, 2, 3])
def test_a_batch_in_parts_is_the_batch(
    kind: str, images: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five images, so that the last part of two or three is shorter."""
    per_image = 3 * 2 * 4 * 4 * 2  # map pixels times a window's entries
    monkeypatch.setattr(conv_kernels, "ENTRIES", images * per_image)
    layer = LAYERS[kind]
    params, x = drawn(layer, rng), rng.standard_normal((5, INPUTS[kind]))
    found = []
    for code in (backends.compiled, backends.reference):
        work = work_over(params, code)
        trace = layer.forward(x, work)
        dx = layer.backward(np.sin(trace.y), trace, work, True)
        found.append((trace.y, dx, *work.grads.values()))
    for i, (got, want) in enumerate(zip(*found, strict=True)):
        assert_rounded(f"result {i}", got, want)


@each_way
@each_network
def test_a_networks_gradients_are_the_slopes(
    code: Reference, method: Method, net: Network, inputs: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    params = drawn(net, rng)
    params.flat /= 2  # tanh is not to be flat
    x = rng.standard_normal((2, inputs))

    def run(x: Array, flat: Array) -> Array:
        flat = flat.astype(np.result_type(x, flat))
        work = work_over(params.like(flat), code)
        return net.forward(x.astype(flat.dtype), work)[-1].y

    work = work_over(params, code)
    traces = net.forward(x, work)
    dy = rng.standard_normal(traces[-1].y.shape)
    dx = net.backward(dy, traces, work)
    assert (dx is None) == net.on_data
    check(method, run, params, x, dy, (dx, work.grads))


@each_code
def test_on_data_the_gradients_are_the_same_without_dx(
    code: Reference, rng: np.random.Generator
) -> None:
    params, inner = drawn(ENCODER, rng), Network(ENCODER.layers, on_data=False)
    x, dy = rng.standard_normal((3, 42)), rng.standard_normal((3, 5))
    want, got = (work_over(params, code) for _ in range(2))
    traces = ENCODER.forward(x, want)
    assert inner.backward(dy, traces, want).shape == x.shape
    assert ENCODER.backward(dy, traces, got) is None
    for name, grad in got.grads.items():
        assert grad.tobytes() == want.grads[name].tobytes()


@each_code
@each_network
def test_a_workspace_gives_the_bits_of_fresh_arrays(
    code: Reference, net: Network, inputs: int, rng: np.random.Generator
) -> None:
    """Whatever an earlier, larger or smaller batch left in it; none may be empty."""
    params, reused = drawn(net, rng), Reused()
    x = rng.standard_normal((4, inputs))
    for rows in (4, 1, 3, 0, 4):
        bits = []
        for arrays in (Fresh(), reused):
            work = work_over(params, code, arrays)
            traces = net.forward(x[:rows], work)
            kept = [trace.y.copy() for trace in traces]
            net.backward(np.sin(traces[-1].y), traces, work)
            bits.append([a.tobytes() for a in (traces[-1].y, *work.grads.values())])
            for trace, before in zip(traces, kept, strict=True):
                np.testing.assert_array_equal(trace.y, before)
        assert bits[0] == bits[1]
        if not rows:
            assert not any(grad.any() for grad in work.grads.values())


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
