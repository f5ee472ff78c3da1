"""The whole VAE: its loss is the oracle's, its gradient the slope of that loss.

Shapes: B batch, D pixels, Z latents.
"""

import math
from typing import Any

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

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.model.forward import Forward
from numpyvae.model.params import Parameters
from numpyvae.model.workspace import Fresh, Reused
from numpyvae.pairs.activations import ACTIVATIONS
from numpyvae.pairs.objectives import Elbo

sizes = st.integers(1, 6)
hiddens = st.lists(sizes, max_size=2)
architectures = st.fixed_dictionaries(
    {
        "pixels": sizes,
        "hidden": hiddens,
        "latent": st.integers(1, 3),
        "decoder_hidden": st.none() | hiddens,
        "seed": st.integers(0, 2**32 - 1),
    }
)
batches = st.integers(1, 4)
betas = st.sampled_from([1.0, 0.0, 0.3, 4.0])

each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
each_input = pytest.mark.parametrize("binary", [False, True], ids=["grey", "binary"])
each_code = pytest.mark.parametrize(
    "compiled", [False, True], ids=["reference", "compiled"]
)


def build(arguments: dict[str, Any], **others: Any) -> VAE:
    return VAE(**{"dtype": np.float64, **arguments, **others})


def data(model: VAE, batch: int, binary: bool = False) -> tuple[Any, Array]:
    """Images, as uint8, and eps."""
    rng = np.random.default_rng([batch, model.pixels])
    images = rng.integers(2 if binary else 256, size=(batch, model.pixels))
    eps = rng.standard_normal((batch, model.latent)).astype(model.dtype)
    return images.astype(np.uint8), eps


def layers(model: VAE, name: str) -> list[tuple[Array, Array]]:
    blocks = [b for key, b in model.params.items() if key.startswith(name)]
    return list(zip(blocks[::2], blocks[1::2], strict=True))


@each_code
@each_activation
@each_input
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(architectures, batches, betas)
def test_loss_is_the_oracle(
    compiled: bool,
    activation: str,
    binary: bool,
    dtype: type,
    arguments: dict[str, Any],
    batch: int,
    beta: float,
) -> None:
    model = build(arguments, activation=activation, dtype=dtype, compiled=compiled)
    images, eps = data(model, batch, binary)
    loss, grads = model.loss_and_gradient(
        model.as_input(images, binary=binary), eps, Elbo(beta)
    )
    nets = layers(model, "encoder"), layers(model, "decoder")
    x = images / (1 if binary else 255)
    want = naive.vae_loss(x, eps, *nets, activation, beta)
    assert_rounded("loss", dtype(loss), np.float64(want))
    assert grads.flat.dtype == dtype and grads.shapes == model.params.shapes


@pytest.mark.parametrize(
    ("compiled", "method"),
    [(False, CENTRAL), (True, CENTRAL), (False, COMPLEX)],
    ids=["reference-fd", "compiled-fd", "reference-cs"],
)
@each_activation
@each_input
@given(architectures, batches, betas)
def test_gradient_is_the_slope_of_the_loss(
    compiled: bool,
    method: Method,
    activation: str,
    binary: bool,
    arguments: dict[str, Any],
    batch: int,
    beta: float,
) -> None:
    dtype = np.complex128 if method is COMPLEX else np.float64
    model = build(arguments, activation=activation, dtype=dtype, compiled=compiled)
    start = model.params.flat.real.copy()
    images, eps = data(model, batch, binary)
    x = model.as_input(images, binary=binary)

    def loss(flat: Array) -> Any:
        model.params.flat[:] = flat
        return model.loss_and_gradient(x, eps, Elbo(beta))[0]

    _, grads = model.loss_and_gradient(x, eps, Elbo(beta))
    slopes = Parameters(model.params.shapes, method.slopes(loss, start))
    for name, block in slopes.items():
        assert_close(name, grads[name], block, method.error)


@each_activation
@each_input
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(architectures, batches, betas)
def test_compiled_is_the_reference(
    activation: str,
    binary: bool,
    dtype: type,
    arguments: dict[str, Any],
    batch: int,
    beta: float,
) -> None:
    gradients = []
    for compiled in (False, True):
        model = build(arguments, activation=activation, dtype=dtype, compiled=compiled)
        images, eps = data(model, batch, binary)
        x = model.as_input(images, binary=binary)
        assert isinstance(x, np.ndarray) or (binary and compiled)
        gradients.append(model.loss_and_gradient(x, eps, Elbo(beta))[1].flat)
    # Up to six layers there and six back, each rounded; NumPy's tanh and exp of float32
    # round by where in memory an entry lies, so the bits differ from run to run.
    assert_rounded("gradient", gradients[1], gradients[0], steps=12)


def gradient(
    model: VAE, images: Array, eps: Array, batch: int | None = None, arrays: Any = None
) -> Array:
    grads, objective = model.params.unwritten(), Elbo(0.7)
    work = model.workspace(grads)._replace(arrays=Fresh() if arrays is None else arrays)
    x = model.as_input(images, binary=True)
    forward = model.forward(x, eps, objective, work)
    model.backward(eps, forward, work, objective, batch)
    return grads.flat


@each_code
@each_activation
@given(architectures, st.integers(1, 5), st.integers(0, 5))
def test_gradients_of_shards_add_up(
    compiled: bool, activation: str, arguments: dict[str, Any], batch: int, cut: int
) -> None:
    """A shard may be empty: then its gradient is zero."""
    model = build(arguments, activation=activation, compiled=compiled)
    images, eps = data(model, batch, binary=True)
    parts = slice(0, cut), slice(cut, batch)
    shards = [gradient(model, images[p], eps[p], batch=batch) for p in parts]
    assert_rounded("sum", sum(shards), gradient(model, images, eps))


@each_code
@each_activation
@given(architectures)
def test_a_workspace_gives_the_bits_of_fresh_arrays(
    compiled: bool, activation: str, arguments: dict[str, Any]
) -> None:
    """Whatever an earlier, larger or smaller batch left in it."""
    model = build(arguments, activation=activation, compiled=compiled)
    images, eps = data(model, 5, binary=True)
    arrays = Reused()
    for rows in (5, 2, 4, 0, 5):
        want = gradient(model, images[:rows], eps[:rows], 5)
        got = gradient(model, images[:rows], eps[:rows], 5, arrays)
        assert got.tobytes() == want.tobytes()


def arrays_of(forward: Forward) -> list[Array]:
    """All that a pass computed."""
    layers = [array for trace in (*forward.hs, *forward.gs) for array in trace[1:]]
    return [
        *layers, *forward.code, forward.kept_x, *forward.terms.values(),
        forward.kl, forward.loss,
    ]  # fmt: skip


@each_code
def test_backward_leaves_the_forward_pass(compiled: bool) -> None:
    """So a second backward gives the same bits; only the gradient is overwritten."""
    model = VAE(5, (4, 3), 2, "tanh", dtype=np.float64, compiled=compiled)
    images, eps = data(model, 3, binary=True)
    grads = model.params.unwritten()
    work = model.workspace(grads)._replace(arrays=Reused())
    forward = model.forward(model.as_input(images, binary=True), eps, work=work)
    kept = [np.copy(a) for a in [*arrays_of(forward), model.params.flat]]
    bits = set()
    for filler in (7.0, -3.0):
        grads.flat[:] = filler
        model.backward(eps, forward, work)
        bits.add(grads.flat.tobytes())
    assert len(bits) == 1
    after = [*arrays_of(forward), model.params.flat]
    for now, before in zip(after, kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_the_kl_is_the_sum_of_its_terms() -> None:
    model = VAE(5, (4,), 2)
    images, eps = data(model, 3)
    for kl, names in {"closed": ["kl"], "sampled": ["log q(z|x)", "-log p(z)"]}.items():
        forward = model.forward(model.as_input(images, binary=False), eps, Elbo(kl=kl))
        first, *others = forward.terms
        assert first == "recon" and others == names
        assert_rounded("kl", forward.kl, sum(forward.terms[name] for name in names))


# ---- Using a model -------------------------------------------------------------------


@each_code
@each_input
def test_encode_decode_and_reconstruct(compiled: bool, binary: bool) -> None:
    model = VAE(6, (5,), 2, dtype=np.float64, compiled=compiled, decoder_hidden=(3, 4))
    images, eps = data(model, 3, binary)
    x = model.as_input(images, binary=binary)
    forward = model.forward(x, eps)
    mu, sigma = model.encode(x)
    np.testing.assert_array_equal(mu, forward.code.mu)
    np.testing.assert_array_equal(sigma, forward.code.scale)
    assert mu.shape == sigma.shape == (3, 2)
    p = model.likelihood.mean(forward.gs[-1].y)
    assert_rounded("p", model.decode(forward.code.z), p)
    at_mu = naive.mlp(mu, layers(model, "decoder"), "relu")
    one, zero = np.ones((1, 1)), np.zeros(1)
    for i in np.ndindex(at_mu.shape):
        want = naive.dense(one * at_mu[i], one, zero, "sigmoid")[0, 0]
        assert_rounded("reconstruction", model.reconstruct(x)[i], want)


@each_code
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_are_decoded_from_the_prior(compiled: bool, dtype: type) -> None:
    model = VAE(6, (5,), 2, dtype=dtype, compiled=compiled)
    p = model.sample(7, np.random.default_rng(3))
    assert p.shape == (7, 6) and p.dtype == dtype and (p > 0).all() and (p < 1).all()
    z = np.random.default_rng(3).standard_normal((7, 2)).astype(dtype)
    np.testing.assert_array_equal(p, model.decode(z))
    assert model.sample(0, np.random.default_rng(3)).shape == (0, 6)


@given(architectures, st.sampled_from([*ACTIVATIONS]), st.booleans())
def test_arguments_build_the_model_again(
    arguments: dict[str, Any], activation: str, double: bool
) -> None:
    dtype = np.float64 if double else np.float32
    model = build(arguments, activation=activation, dtype=dtype)
    again = VAE(**model.arguments())
    assert list(again.params.shapes.items()) == list(model.params.shapes.items())
    assert again.params.flat.dtype == dtype
    assert again.activation == activation and again.arguments() == model.arguments()


def test_the_seed_draws_the_parameters() -> None:
    first, same, other = (VAE(4, (3,), 2, seed=s).params.flat for s in (1, 1, 2))
    assert first.tobytes() == same.tobytes() != other.tobytes()


def test_the_default_is_784_400_20_mirrored() -> None:
    shapes = VAE().params.shapes
    weights = [shape for shape in shapes.values() if len(shape) == 2]
    assert weights == [(784, 400), (400, 40), (20, 400), (400, 784)]
    assert sum(map(math.prod, shapes.values())) == 652_824


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixels": 0}, "pixels: found 0, expected a whole number from 1 on"),
        ({"hidden": (4, -1)}, "hidden: found -1, expected a whole number"),
        ({"decoder_hidden": (2.5,)}, "decoder_hidden: found 2.5, expected a whole"),
        ({"latent": 0}, "latent: found 0, expected a whole number"),
        ({"latent": "2"}, "latent: found '2', expected a whole number"),
        ({"activation": "rleu"}, "activation: found 'rleu', expected one of identity"),
        ({"dtype": "int32"}, "dtype: found int32, expected float32 or float64"),
        ({"dtype": "float16"}, "dtype: found float16, expected float32 or float64"),
        ({"dtype": "nonsense"}, "dtype: found nonsense, expected float32"),
        ({"dtype": "complex128"}, "dtype: found complex128, expected float32"),
        ({"hidden": 400}, "hidden: found 400, expected a list of widths"),
        ({"hidden": "400"}, "hidden: found '400', expected a list of widths"),
        ({"seed": -1}, "seed: found -1, expected a whole number from 0 on"),
    ],
)
def test_bad_arguments_are_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        VAE(**arguments)


@each_code
def test_beta_is_1_unless_told(compiled: bool) -> None:
    model = VAE(5, (4,), 2, dtype=np.float64, compiled=compiled)
    images, eps = data(model, 3, binary=True)
    x = model.as_input(images, binary=True)
    want, told = model.loss_and_gradient(x, eps, Elbo(1.0))
    loss, grads = model.loss_and_gradient(x, eps)
    assert loss == want and grads.flat.tobytes() == told.flat.tobytes()
    grads = model.params.unwritten()
    work = model.workspace(grads)
    model.backward(eps, model.forward(x, eps, work=work), work)
    assert grads.flat.tobytes() == told.flat.tobytes()
