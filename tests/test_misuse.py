"""What a user gets wrong: an error of one line, naming argument, found and expected."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import tiny

from numpyvae import (
    VAE,
    Dataset,
    NumpyvaeError,
    gradcheck,
    load_idx,
    load_mnist,
    load_strokes,
    train,
)
from numpyvae.datasets import load
from numpyvae.datasets.idx import read_idx
from numpyvae.errors import ArgumentError, DataError
from numpyvae.training.evaluate import evaluate
from numpyvae.training.workers import Workers

DATA = tiny(train=9, test=4)
MODEL = VAE(48, (4,), 2)
RNG = np.random.default_rng(0)
X = RNG.random((3, 48), np.float32)
EPS = RNG.standard_normal((3, 2), np.float32)
GREYS = DATA.train_images.reshape(9, 48)
BITS = GREYS // 255
NAN = np.where(np.arange(48) == 7, np.nan, X)

encode, decode, sample = MODEL.encode, MODEL.decode, MODEL.sample
gradient = MODEL.loss_and_gradient
fit = partial(train, MODEL, DATA, progress=False)
change = partial(replace, DATA)
Y = RNG.standard_normal((3, 4))


def square(x: Any) -> Any:
    return x * x


def slope(dy: Any, x: Any) -> Any:
    return 2 * dy * x


check = partial(gradcheck, square, slope)


def score(images: Any, how: str = "none", model: VAE = MODEL) -> None:
    with Workers(1) as workers:
        evaluate(model, images, how, 0, workers)


# argument, what is found (a regular expression), the call
TABLE: list[tuple[str, str, Callable[[], object]]] = [
    ("pixels", "48.0", lambda: VAE(48.0)),  # type: ignore[arg-type]
    ("pixels", "True", lambda: VAE(True)),
    ("pixels", "0", lambda: VAE(0)),
    ("pixels", "'48'", lambda: VAE("48")),  # type: ignore[arg-type]
    ("hidden", "'400'", lambda: VAE(48, "400")),
    ("hidden", "400", lambda: VAE(48, 400)),  # type: ignore[arg-type]
    ("hidden", "None", lambda: VAE(48, None)),  # type: ignore[arg-type]
    ("hidden", r"\{4\}", lambda: VAE(48, {4})),  # type: ignore[arg-type]
    ("hidden", "4.0", lambda: VAE(48, (4.0,))),  # type: ignore[arg-type]
    ("hidden", "True", lambda: VAE(48, (True,))),
    ("hidden", r"\[4\]", lambda: VAE(48, [[4]])),  # type: ignore[list-item]
    ("hidden", "-4", lambda: VAE(48, (-4,))),
    ("decoder_hidden", "'4'", lambda: VAE(48, decoder_hidden="4")),
    ("latent", "2.0", lambda: VAE(48, (4,), 2.0)),  # type: ignore[arg-type]
    ("latent", "True", lambda: VAE(48, (4,), True)),
    ("latent", "-1", lambda: VAE(48, (4,), -1)),
    ("activation", "'ReLU'", lambda: VAE(48, activation="ReLU")),
    ("activation", "None", lambda: VAE(48, activation=None)),  # type: ignore[arg-type]
    ("seed", "0.5", lambda: VAE(48, seed=0.5)),  # type: ignore[arg-type]
    ("seed", "None", lambda: VAE(48, seed=None)),  # type: ignore[arg-type]
    ("seed", "-1", lambda: VAE(48, seed=-1)),
    ("dtype", "int64", lambda: VAE(48, dtype="int64")),
    ("dtype", ".*float16.*", lambda: VAE(48, dtype=np.float16)),
    ("params", "float64", lambda: VAE(48, params=np.zeros(3))),
    # Images and codes of another kind
    ("x", "list", lambda: encode(X.tolist())),
    ("x", "NoneType", lambda: encode(None)),  # type: ignore[arg-type]
    ("x", "Dataset", lambda: encode(DATA)),  # type: ignore[arg-type]
    ("x", r"uint8 of shape \(9, 48\)", lambda: encode(GREYS)),
    ("x", r"uint8 of shape \(9, 48\)", lambda: MODEL.reconstruct(GREYS)),
    ("x", r"uint8 of shape \(9,\)", lambda: encode(DATA.train_labels)),
    ("x", r"float32 of shape \(3, 8, 6\)", lambda: encode(X.reshape(3, 8, 6))),
    ("x", r"float32 of shape \(48,\)", lambda: encode(X[0])),
    ("x", r"float32 of shape \(3, 47\)", lambda: encode(X[:, 1:])),
    ("x", r"object of shape \(3, 48\)", lambda: encode(X.astype(object))),
    ("x", r"bool of shape \(3, 48\)", lambda: encode(X > 0.5)),
    ("x", "NaN or infinity", lambda: encode(NAN)),
    ("x", "NaN or infinity", lambda: gradient(NAN, EPS)),
    ("x", "NaN or infinity", lambda: encode(np.full_like(X, np.inf))),
    ("x", "values from .* to 25.*", lambda: encode(X * 255)),
    ("x", "values from -.* to -.*", lambda: encode(-X)),
    ("x", "values from .* to 1.1", lambda: gradient(X * 0 + np.float32(1.1), EPS)),
    ("x", "40 pixels", lambda: encode(VAE(40).as_input(BITS[:, 8:], binary=True))),
    ("images", r"uint8 of shape \(9, 8, 6\)", lambda: MODEL.as_input(DATA.train_images,
                                                            binary=False)),
    ("images", r"uint8 of shape \(9,\)",
     lambda: MODEL.as_input(DATA.train_labels, binary=True)),
    ("x", r"complex128 of shape \(3, 48\)", lambda: encode(X.astype(complex))),
    ("x", "0 images", lambda: gradient(X[:0], EPS[:0])),
    ("params", "list", lambda: VAE(48, params=[0.0])),
    ("images", "list", lambda: MODEL.as_input(GREYS.tolist(), binary=True)),
    ("images", "Dataset", lambda: MODEL.as_input(DATA, binary=False)),
    ("images", r"float32 of shape .*", lambda: MODEL.as_input(X, binary=False)),
    ("images", r"int64 .*", lambda: MODEL.as_input(GREYS.astype(int), binary=False)),
    ("images", r"2\d\d", lambda: MODEL.as_input(GREYS, binary=True)),
    ("rng", "int", lambda: sample(3, 0)),
    ("rng", "NoneType", lambda: sample(3, None)),
    ("beta", r"(np.complex128)?\(.*", lambda: fit(beta=np.complex128(1))),
    ("lr", "True", lambda: fit(lr=True)),
    ("lr", "10+", lambda: fit(lr=10**400)),
    ("model", "complex128",
     lambda: train(VAE(48, dtype=complex, compiled=False), DATA)),
    ("z", "list", lambda: decode([[0.0, 0.0]])),  # type: ignore[arg-type]
    ("z", r"float64 of shape \(1, 3\)", lambda: decode(np.zeros((1, 3)))),
    ("z", r"float64 of shape \(2,\)", lambda: decode(np.zeros(2))),
    ("z", r"int64 of shape \(1, 2\)", lambda: decode(np.zeros((1, 2), np.int64))),
    ("z", "NaN or infinity", lambda: decode(np.full((1, 2), np.inf))),
    ("eps", "2 rows", lambda: gradient(X, EPS[:2])),
    ("eps", r"float32 of shape \(3, 1\)", lambda: gradient(X, EPS[:, :1])),
    ("eps", "list", lambda: gradient(X, EPS.tolist())),
    ("eps", "int", lambda: gradient(X, 0)),  # type: ignore[arg-type]
    ("eps", "NaN or infinity", lambda: gradient(X, EPS * np.nan)),
    ("count", "-1", lambda: sample(-1, RNG)),
    ("count", "2.0", lambda: sample(2.0, RNG)),  # type: ignore[arg-type]
    ("count", "True", lambda: sample(True, RNG)),
    # Training
    ("model", "Dataset", lambda: train(DATA, DATA)),  # type: ignore[arg-type]
    ("model", "Dataset", lambda: train(DATA, MODEL)),  # type: ignore[arg-type]
    ("model", "47 pixels", lambda: train(VAE(47), DATA)),
    ("data", "VAE", lambda: train(MODEL, MODEL)),  # type: ignore[arg-type]
    ("data", "ndarray", lambda: train(MODEL, DATA.train_images)),  # type: ignore[arg-type]
    ("data", "str", lambda: train(MODEL, "strokes")),  # type: ignore[arg-type]
    ("train", "the keyword 'learning_rate'", lambda: fit(learning_rate=1e-3)),
    ("epochs", "0", lambda: fit(epochs=0)),
    ("epochs", "-3", lambda: fit(epochs=-3)),
    ("epochs", "1.0", lambda: fit(epochs=1.0)),
    ("epochs", "True", lambda: fit(epochs=True)),
    ("batch_size", "0", lambda: fit(batch_size=0)),
    ("batch_size", "32.0", lambda: fit(batch_size=32.0)),
    ("batch_size", "True", lambda: fit(batch_size=True)),
    ("lr", "'1e-3'", lambda: fit(lr="1e-3")),
    ("lr", "0", lambda: fit(lr=0)),
    ("lr", "-1", lambda: fit(lr=-1)),
    ("lr", "nan", lambda: fit(lr=float("nan"))),
    ("lr", "inf", lambda: fit(lr=float("inf"))),
    ("lr", "None", lambda: fit(lr=None)),
    ("lr", r"array\(.*\)", lambda: fit(lr=np.ones(2))),
    ("beta", "-1", lambda: fit(beta=-1)),
    ("beta", "nan", lambda: fit(beta=float("nan"))),
    ("beta", "None", lambda: fit(beta=None)),
    ("binarize", "'binary'", lambda: fit(binarize="binary")),
    ("binarize", "None", lambda: fit(binarize=None)),
    ("seed", "0.5", lambda: fit(seed=0.5)),
    ("seed", "'0'", lambda: fit(seed="0")),
    ("seed", "-1", lambda: fit(seed=-1)),
    ("threads", "0", lambda: fit(threads=0)),
    ("threads", "True", lambda: fit(threads=True)),
    # Evaluation
    ("images", r"shape \(9, 48\) of uint8", lambda: score(GREYS)),
    ("images", r"shape \(9,\) of uint8", lambda: score(DATA.train_labels)),
    ("images", r"shape .* of float64", lambda: score(DATA.test_images / 255)),
    ("images", r"uint8 of shape \(4, 48\)",
     lambda: score(DATA.test_images, model=VAE(47))),
    ("binarize", "'greys'", lambda: score(DATA.test_images, "greys")),
    # Data
    ("train_images", r"shape \(9,\) of uint8",
     lambda: change(train_images=DATA.train_labels)),
    ("train_labels", r"shape \(9, 8, 6\) of uint8",
     lambda: change(train_labels=DATA.train_images)),
    ("train_images", "shape .* of float64",
     lambda: change(train_images=DATA.train_images / 255)),
    ("train_images", "shape .* of float64",
     lambda: change(train_images=np.full((9, 8, 6), np.nan))),
    ("train_images", r"shape \(9, 48\) of uint8", lambda: change(train_images=GREYS)),
    ("test_images", "a list", lambda: change(test_images=DATA.test_images.tolist())),
    ("test_images", r"shape \(0, 8, 6\) of uint8",
     lambda: change(test_images=DATA.test_images[:0])),
    ("test_images", "images of 4 x 6",
     lambda: change(test_images=DATA.test_images[:, :4])),
    ("train_labels", r"shape \(9,\) of float64",
     lambda: change(train_labels=DATA.train_labels.astype(float))),
    ("test_labels", r"shape \(3,\) of uint8",
     lambda: change(test_labels=DATA.test_labels[1:])),
    ("train", "-1", lambda: load_strokes(-1)),
    ("train", "5.0", lambda: load_strokes(5.0)),  # type: ignore[arg-type]
    ("train", "True", lambda: load_strokes(True)),
    ("test", "'5'", lambda: load_strokes(5, "5")),  # type: ignore[arg-type]
    ("train", r"array\(\[\[0., 0.\], \[0., 0.\]\]\)",
     lambda: load_strokes(np.zeros((2, 2)))),  # type: ignore[arg-type]
    ("path", "None", lambda: read_idx(None, 3)),  # type: ignore[arg-type]
    ("path", "0", lambda: read_idx(0, 3)),  # type: ignore[arg-type]
    ("dimensions", "'3'", lambda: read_idx("three", "3")),  # type: ignore[arg-type]
    ("dimensions", "0", lambda: read_idx("three", 0)),
    ("data_dir", "None", lambda: load_idx(None)),  # type: ignore[arg-type]
    ("data_dir", "5", lambda: load_idx(5)),  # type: ignore[arg-type]
    ("data_dir", "b'three'", lambda: load_idx(b"three")),  # type: ignore[arg-type]
    ("data_dir", r"\['three'\]", lambda: load_idx(["three"])),  # type: ignore[arg-type]
    ("data_dir", "5", lambda: load_mnist(5)),  # type: ignore[arg-type]
    ("data_dir", "b'three'", lambda: load_mnist(b"three")),  # type: ignore[arg-type]
    ("data_dir", "False", lambda: load_mnist(False)),
    ("data_dir", "5", lambda: load("idx", 5)),  # type: ignore[arg-type]
    ("--data", "'fashion'", lambda: load("fashion", None)),
    ("--data", "'fashion'", lambda: load("fashion", "three")),
    ("--data", "None", lambda: load(None, None)),  # type: ignore[arg-type]
    ("--data", r"\['mnist'\]", lambda: load(["mnist"], None)),  # type: ignore[arg-type]
    # The gradient check
    ("forward", "NoneType", lambda: gradcheck(None, slope, Y)),  # type: ignore[arg-type]
    ("backward", "ndarray", lambda: gradcheck(square, Y, Y)),  # type: ignore[arg-type]
    ("forward", "too many .*", lambda: gradcheck(square, slope, Y, Y)),
    ("backward", "too many .*", lambda: gradcheck(square, square, Y)),
    ("backward", "missing .*'x'", lambda: gradcheck(lambda: Y, slope)),
    ("argument 0", r"complex128 of shape \(3, 4\)", lambda: check(Y + 1j)),
    ("argument 0", r"object of shape \(3, 4\)", lambda: check(Y.astype(object))),
    ("argument 0", r"<U32 of shape \(3, 4\)", lambda: check(Y.astype(str))),
    ("argument 0", "NaN or infinity", lambda: check(Y * np.nan)),
    ("y", "NaN or infinity", lambda: check(np.inf, names=("y",))),
    ("argument 0", "int", lambda: check(3)),
    ("y", "list", lambda: gradcheck(lambda y: np.square(y), lambda dy, y: dy, [1.0],
                                    names=["y"])),
    ("names", r"\(\)", lambda: check(Y, names=())),
    ("names", "'y'", lambda: check(Y, names="y")),
    ("names", r"\['x', 'y'\]", lambda: check(Y, names=["x", "y"])),
    ("names", "5", lambda: check(Y, names=5)),  # type: ignore[arg-type]
    ("seed", "-1", lambda: check(Y, seed=-1)),
    ("seed", "0.5", lambda: check(Y, seed=0.5)),  # type: ignore[arg-type]
    ("seed", "None", lambda: check(Y, seed=None)),  # type: ignore[arg-type]
    ("forward", "NoneType", lambda: gradcheck(lambda x: None, slope, Y)),
    ("forward", "NoneType", lambda: gradcheck(lambda x: (), slope, Y)),
    ("forward", "str", lambda: gradcheck(lambda x: (x, "x"), slope, Y)),
    ("forward", r"complex128 of shape \(3, 4\)",
     lambda: gradcheck(lambda x: 1j * x, slope, Y)),
    ("backward", "no gradient", lambda: gradcheck(square, lambda dy, x: None, Y)),
    ("backward", "no gradient", lambda: gradcheck(square, lambda dy, x: (), Y)),
    ("backward", "3 gradients",
     lambda: gradcheck(square, lambda dy, x: (2 * dy * x).tolist(), Y)),
    ("backward", "dict", lambda: gradcheck(square, lambda dy, x: {"x": dy}, Y)),
    ("backward", "list", lambda: gradcheck(square, lambda dy, x: ([1, [2]],), Y)),
    ("backward", r"complex128 of shape \(3, 4\)",
     lambda: gradcheck(square, lambda dy, x: 2j * dy * x, Y)),
    ("backward", r"object of shape \(3, 4\)",
     lambda: gradcheck(square, lambda dy, x: (2 * dy * x).astype(object), Y)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "found", "call"),
    TABLE,
    ids=[f"{i}-{argument}" for i, (argument, *_) in enumerate(TABLE)],
)
def test_a_line_names_argument_found_and_expected(
    argument: str, found: str, call: Callable[[], object]
) -> None:
    before = MODEL.params.flat.copy()
    with pytest.raises(ArgumentError) as caught:
        call()
    assert isinstance(caught.value, NumpyvaeError)
    message = str(caught.value)
    assert re.match(f"{argument}: found {found}, expected [A-Za-z0-9(]", message), (
        message
    )
    assert message.isprintable()  # no second line
    np.testing.assert_array_equal(MODEL.params.flat, before)


@pytest.mark.parametrize("load", [load_idx, load_mnist])
@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_wrong_directory_is_named(
    load: Callable[[Path], Dataset], kind: str, tmp_path: Path
) -> None:
    path = tmp_path / kind
    if kind == "file":
        path.touch()
    elif kind == "empty":
        path.mkdir()
    with pytest.raises(DataError, match=r"expected|put the four") as caught:
        load(path)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()


def test_a_path_of_two_lines_is_told_on_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two lines: no such directory") as caught:
        load_idx(tmp_path / "two\nlines")
    assert str(caught.value).isprintable()
