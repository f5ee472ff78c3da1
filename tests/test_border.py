"""Nothing crosses from Python to compiled code unchecked.

A loop reads where its arguments tell it to: what is wrong there ends the interpreter,
or is read as if it were a number. So all of this is refused with a message, or made
into what compiled code takes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data import tiny
from numpy.typing import NDArray

from numpyvae import VAE, Dataset, train
from numpyvae.errors import ArgumentError
from numpyvae.kernels.active_pixels import ActivePixels, active_pixels
from numpyvae.kernels.backends import compiled as f
from numpyvae.pairs.activations import RELU, TANH
from numpyvae.pairs.conv import Window
from numpyvae.pairs.optimizers import AdamRates
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

# ---- Lists of pixels -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "starts", "width", "said"),
    [
        ([10**9], [0, 1], 25, r"^columns: found 1000000000 to 1000000000, .* 0 to 24$"),
        ([-1], [0, 1], 25, "^columns: found -1 to -1"),
        ([25], [0, 1], 25, "^columns: found 25 to 25"),
        (
            [3, 2],
            [0, 2],
            25,
            r"^columns: found \[3 2\], expected pixels that rise within",
        ),
        ([2, 2], [0, 2], 25, r"^columns: found \[2 2\], expected"),
        (
            [1, 2],
            [0, 1],
            25,
            r"^starts: found \[0 1\], expected numbers that rise from 0 to the 2",
        ),
        ([1, 2], [1, 2], 25, "^starts"),
        ([1, 2], [0, 3, 2], 25, "^starts"),
        ([], [], 25, "^starts"),
        ([0.5], [0, 1], 25, r"^columns: found array\(\[0.5\]\), expected a vector"),
        ([[1]], [0, 1], 25, "^columns: found "),
        ([], [0], 0, "^width: found 0"),
    ],
)
def test_a_list_that_points_elsewhere_is_refused(
    columns: list[Any], starts: list[int], width: int, said: str
) -> None:
    as_array = np.array(columns, None if columns else np.int32)
    with pytest.raises(ArgumentError, match=said):
        ActivePixels(as_array, np.array(starts, np.int32), width)


def test_a_list_of_ones_own_is_what_the_images_give() -> None:
    bits = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], np.uint8)
    theirs, ours = active_pixels(bits), (np.array([1, 2, 0]), np.array([0, 2, 2, 3]))
    made = ActivePixels(*ours, 3)
    assert made.columns.tolist() == theirs.columns.tolist()
    assert made.starts.tolist() == theirs.starts.tolist()
    assert made.shape == theirs.shape == bits.shape


def test_nobody_writes_to_a_list() -> None:
    pixel = np.array([0, 1], np.int32)
    for x in (ActivePixels(pixel[:1], pixel, 3), active_pixels(np.eye(3, dtype="u1"))):
        for array in (x.columns, x.starts):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 10**9
    pixel[0] = 10**9  # our own list is a copy


# ---- Arguments of kernels ------------------------------------------------------------

B, N, M = 4, 6, 5
BITS = np.eye(B, N, dtype=np.uint8)
RNG = np.random.default_rng(0)


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.random(shape, np.float32)


IMAGES, MAPS, W = floats(B, 9, 9, 2), floats(B, 4, 4, 3), floats(4, 4, 2, 3)
WINDOW = Window(2, 1)
RATES = AdamRates(1, 1e-3, 0.9, 0.999, 1e-8)
CALLS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "dense_forward": (f.dense_forward, [BITS, floats(N, M), floats(M)]),
    "dense_backward": (f.dense_backward, [floats(B, M), floats(B, N), floats(N, M)]),
    "dense_backward_weights": (f.dense_backward_weights, [floats(B, M), BITS]),
    "bernoulli_forward": (f.bernoulli_forward, [floats(B, N), BITS]),
    "bernoulli_forward, grey": (f.bernoulli_forward, [floats(B, N), floats(B, N)]),
    "bernoulli_backward": (f.bernoulli_backward, [floats(B), floats(B, N), BITS]),
    "activated_forward": (
        lambda x, W, b, a: f.activated_forward(RELU, x, W, b, a, a),
        [BITS, floats(N, M), floats(M), floats(B, M)],
    ),
    "activation_forward": (
        lambda a, y: f.activation_forward(RELU, a, y),
        [floats(B, N), floats(B, N)],
    ),
    "activation_backward": (
        lambda dy, y: f.activation_backward(TANH, dy, y, y),
        [floats(B, N), floats(B, N)],
    ),
    "adam_update": (
        lambda params, grads, m, v: f.adam_update(
            params.copy(), grads, m.copy(), v.copy(), RATES
        ),
        [floats(N), floats(2, N), floats(N), floats(N)],
    ),
    "conv_forward": (f.conv_forward, [IMAGES, W, floats(3), WINDOW]),
    "conv_backward": (f.conv_backward, [MAPS, IMAGES, W, WINDOW]),
    "conv_backward_weights": (f.conv_backward_weights, [MAPS, IMAGES, 4, WINDOW]),
    "conv_transpose_forward": (
        f.conv_transpose_forward,
        [MAPS, W, floats(2), WINDOW, 1],
    ),
    "conv_transpose_backward": (f.conv_transpose_backward, [IMAGES, MAPS, W, WINDOW]),
}


def given(argument: Any) -> Any:
    """Bits as kernels take them."""
    return active_pixels(argument) if argument is BITS else argument


def other_shapes(argument: NDArray[Any]) -> list[NDArray[Any]]:
    """One row, column, ... more; with one less, NumPy would broadcast."""
    return [
        np.concatenate([argument, argument.take([-1], axis)], axis)
        for axis in range(argument.ndim)
    ]


@pytest.mark.parametrize("name", CALLS)
def test_a_kernel_refuses_an_array_of_another_shape(name: str) -> None:
    """NumPy's own products and sums refuse theirs with a ValueError."""
    function, arguments = CALLS[name]
    results = function(*map(given, arguments))
    updates = results is None or name.startswith("activat")
    room = {} if updates else {"out": results}
    for i, argument in enumerate(arguments):
        if not isinstance(argument, np.ndarray):
            continue
        for other in other_shapes(argument):
            wrong = [given(a) for a in arguments]
            wrong[i] = active_pixels(other) if argument is BITS else other
            if name.startswith("adam") and i == 1 and len(other) == 3:
                continue  # a shard more
            with pytest.raises((ArgumentError, ValueError)):
                function(*wrong, **room)


@pytest.mark.parametrize("kind", [">f4", "float16", "longdouble"])
def test_a_kernel_refuses_floats_that_it_is_not_compiled_for(kind: str) -> None:
    x = floats(B, N).astype(kind)
    with pytest.raises(ArgumentError, match=r"^x: found .* expected float32 or float6"):
        f.bernoulli_forward(floats(B, N), x)


# ---- Models and trainings ------------------------------------------------------------


def made(**more: Any) -> VAE:
    return VAE(48, [7], 2, **more)


def test_a_batch_of_another_width_is_refused() -> None:
    model = made()
    bits = (tiny().test_images[:5].reshape(5, 48) > 0).astype(np.uint8)
    wide, narrow = active_pixels(bits), active_pixels(bits[:, :25])
    eps = np.zeros((5, 2), np.float32)
    with pytest.raises(ArgumentError, match=r"^x: found a list .* \(5, 25\), .*48\)$"):
        model.forward(narrow, eps)
    with pytest.raises(ArgumentError, match=r"^x: .* \(5, 25\), .* \(5, 48\)$"):
        model.forward(narrow, eps, seen=wide)
    work = model.workspace(model.params.unwritten())
    forward = model.forward(wide, eps, work=work)
    first = forward.hs[0]._replace(x=narrow)
    for changed in ({"target": narrow}, {"hs": [first, *forward.hs[1:]]}):
        with pytest.raises(ArgumentError, match=r"^x: .* \(5, 25\)"):
            model.backward(eps, forward._replace(**changed), work)


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("rows", [[10**6], [-1], [300], [], [0.5], [[1]], 3])
def test_a_step_refuses_rows_that_are_no_images(rows: Any, posterior: str) -> None:
    with Workers(1) as workers:
        trainer = Trainer(made(posterior=posterior), tiny(), Settings(), workers)
        with pytest.raises(
            ArgumentError, match=r"^rows: found .* numbers from 0 to 299"
        ):
            trainer.step(np.asarray(rows))


KINDS = [">f8", ">f4", "float16", "longdouble", "float64", "strided", "read-only"]


def as_kind(x: NDArray[Any], kind: str) -> NDArray[Any]:
    if kind == "strided":
        return np.repeat(x, 2, axis=1)[:, ::2]
    if kind == "read-only":
        x = x.copy()
        x.flags.writeable = False
        return x
    return x.astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compiled", [True, False])
def test_floats_of_any_kind_are_converted(kind: str, compiled: bool) -> None:
    model = made(compiled=compiled)
    x = RNG.integers(0, 5, (3, 48)).astype(np.float32) / 4
    z = RNG.integers(-5, 5, (3, 2)).astype(np.float32) / 4
    for use, argument in ((model.encode, x), (model.decode, z)):
        wanted, found = use(argument), use(as_kind(argument, kind))
        np.testing.assert_array_equal(found, wanted)
    (loss, grads), again = (
        model.loss_and_gradient(as_kind(x, how), as_kind(z, how))
        for how in (kind, "float32")
    )
    assert loss == again[0] and np.array_equal(grads.flat, again[1].flat)


@pytest.mark.parametrize("use", ["encode", "decode", "as_input"])
def test_an_array_that_hides_numbers_is_refused(use: str) -> None:
    width = 2 if use == "decode" else 48
    dtype = np.uint8 if use == "as_input" else np.float32
    masked = np.ma.masked_equal(np.zeros((3, width), dtype), 0)
    with pytest.raises(ArgumentError, match=r": found a masked array"):
        getattr(made(), use)(masked, **({"binary": True} if use == "as_input" else {}))


def test_parameters_that_cannot_be_trained_are_refused() -> None:
    flat = made().params.flat
    for wrong in (np.repeat(flat, 2)[::2], np.ma.masked_equal(flat, 0)):
        with pytest.raises(
            ArgumentError, match=r"^params: found (numbers that|a masked)"
        ):
            made(params=wrong)
    model = made(params=as_kind(flat[None], "read-only")[0])
    model.decode(np.zeros((1, 2), np.float32))
    with pytest.raises(
        ArgumentError, match=r"^model: found parameters that are read-o"
    ):
        train(model, tiny(), epochs=1, progress=False)


@pytest.mark.parametrize("binarize", ["dynamic", "none"])
@pytest.mark.parametrize("kind", ["strided", "read-only"])
def test_images_may_lie_anywhere(kind: str, binarize: str) -> None:
    data = tiny()
    images = [as_kind(part, kind) for part in (data.train_images, data.test_images)]
    moved = Dataset("moved", images[0], data.train_labels, images[1], data.test_labels)
    params = []
    for each in (data, moved):
        model = made()
        train(model, each, epochs=1, progress=False, binarize=binarize)
        params.append(model.params.flat.tobytes())
    assert params[0] == params[1]
