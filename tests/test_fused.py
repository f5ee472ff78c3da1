"""The compiled step says what model/vae.py says; without it, nobody notices.

The reference is run in float64 from the same single precision numbers. A loss adds some
hundred terms, a gradient entry as many, through at most seven layers.
"""

import ctypes.util
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from data import tiny
from differences import Array, assert_close
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from own_parts import OWN_PARTS

from numpyvae import VAE, train
from numpyvae.errors import DivergedError
from numpyvae.kernels import blas
from numpyvae.kernels.active_pixels import active_pixels
from numpyvae.kernels.jit import jit
from numpyvae.pairs.objectives import ELBO, Elbo, Iwae
from numpyvae.pairs.optimizers import AdamRates, adam_update
from numpyvae.training.batches import Batches
from numpyvae.training.fused import kernels as fused_kernels
from numpyvae.training.fused import parallel
from numpyvae.training.fused.step import FusedStep, fits
from numpyvae.training.optimizers import Adam
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

# Seven layers, each of whose sums is rounded by 16 eps at most (see differences.py).
ROUNDING = 7 * 16 * float(np.finfo(np.float32).eps)

needs_gemm = pytest.mark.skipif(
    blas.find_gemm() is None,
    reason="NumPy's BLAS is not OpenBLAS's wheel, or the JIT is off: no compiled step",
)


def at_random(rng: np.random.Generator, *args: Any, **more: Any) -> VAE:
    """A model none of whose parameters is zero."""
    model = VAE(*args, **more)
    model.params.flat[...] = 0.3 * rng.standard_normal(model.params.flat.shape)
    return model


# ---- The product ---------------------------------------------------------------------


# Either side of what kernels/blas.py does in two halves, or the other way round.
SIZES = st.tuples(*[st.integers(1, 40)] * 3) | st.sampled_from(
    [(10, 50, 201), (10, 784, 200), (60, 70, 500), (64, 200, 157), (65, 200, 157)]
)


@needs_gemm
@given(SIZES, st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_products_are_numpys(sizes: tuple[int, int, int], more: int, seed: int) -> None:
    """Of parts of larger matrices, too."""
    rng, gemm = np.random.default_rng(seed), blas.find_gemm()
    m, k, n = sizes

    def draw(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns + more), np.float32)[:, :columns]

    def check(name: str, c: Array, a: Array, b: Array) -> None:
        size = np.abs(a).astype(np.float64) @ np.abs(b)
        assert_close(name, c / size, (a.astype(np.float64) @ b) / size, ROUNDING)

    a, b = draw(m, k), draw(k, n)
    a_turned, b_turned = draw(k, m), draw(n, k)
    c, scratch = draw(m, n), np.empty(m * n, np.float32)
    blas.product(gemm, a, b, c)
    check("product", c, a, b)
    blas.product_of_transposed(gemm, a_turned, b, c)
    check("product_of_transposed", c, a_turned.T, b)
    blas.product_with_transposed(gemm, a, b_turned, c, scratch)
    check("product_with_transposed", c, a, b_turned.T)


# ---- exp and tanh --------------------------------------------------------------------


@needs_gemm
def test_exp_is_right_to_the_last_place() -> None:
    a = np.linspace(-87, 88, 40_001, dtype=np.float32)
    found = np.array([fused_kernels.exp(x) for x in a])
    error = np.abs(found / np.exp(a.astype(np.float64)) - 1).max()
    assert error < 2 * np.finfo(np.float32).eps
    with np.errstate(over="ignore"):
        ends = [
            fused_kernels.exp(np.float32(x)) for x in (-math.inf, 0, math.inf, math.nan)
        ]
    assert 0 <= ends[0] < 2 * np.finfo(np.float32).tiny
    assert ends[1:3] == [1, math.inf]
    assert math.isnan(ends[3])


@needs_gemm
def test_tanh_is_right_to_the_last_places_near_0_as_well() -> None:
    a = np.concatenate([np.linspace(-20, 20, 20_001), np.geomspace(1e-20, 1, 20_001)])
    a = a.astype(np.float32)
    found, want = (
        np.array([fused_kernels.tanh(x) for x in a]),
        np.tanh(a.astype(np.float64)),
    )
    assert np.all(np.abs(found - want) <= 4 * np.finfo(np.float32).eps * np.abs(want))
    ends = [fused_kernels.tanh(np.float32(x)) for x in (-math.inf, math.inf, math.nan)]
    assert ends[:2] == [-1, 1]
    assert math.isnan(ends[2])


# ---- The step ------------------------------------------------------------------------


@needs_gemm
@given(
    pixels=st.integers(1, 150),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    decoder_hidden=st.lists(st.integers(1, 20), max_size=3),
    latent=st.integers(1, 8),
    activation=st.sampled_from(["relu", "tanh", "identity"]),
    batch=st.integers(1, 9),
    beta=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_reference(
    pixels: int,
    hidden: list[int],
    decoder_hidden: list[int],
    latent: int,
    activation: str,
    batch: int,
    beta: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    args = pixels, hidden, latent, activation
    model = at_random(rng, *args, decoder_hidden=decoder_hidden)
    reference = VAE(
        *args, decoder_hidden=decoder_hidden, dtype=np.float64, compiled=False,
        params=model.params.flat.astype(np.float64),
    )  # fmt: skip
    images = (rng.random((11, 1, pixels)) < 0.3) * np.uint8(255)
    adam = Adam(model.params.flat, model.code)
    batches, rngs = Batches(images, "threshold", rng), rng.spawn(2)
    rows, before = rng.integers(0, 11, batch), model.params.flat.copy()
    with Workers(2) as workers:
        step = FusedStep(model, batches, adam, rngs, batch, workers)
        step.draw(rows)
        eps = np.concatenate([step.shard(s)[1] for s in range(2)])
        recon, kl = step(Elbo(beta))

    x, noise = batches.images[rows].astype(np.float64), eps.astype(np.float64)
    forward = reference.forward(x, noise, Elbo(beta))
    _, wanted = reference.loss_and_gradient(x, noise, Elbo(beta))
    assert_close("recon", recon, forward.recon.sum(), ROUNDING)
    assert_close("kl", kl, forward.kl.sum(), ROUNDING)
    size = max(1.0, float(np.abs(wanted.flat).max()))
    for name, m in model.params.like(adam.m).items():  # (1 - beta1) g, after a step
        grad = m.astype(np.float64) / (1 - adam.beta1)
        assert_close(name, grad / size, wanted[name] / size, ROUNDING)
    params, m, v = before, np.zeros_like(before), np.zeros_like(before)
    grad = (adam.m / np.float32(1 - adam.beta1))[None]
    rates = AdamRates(1, adam.lr, adam.beta1, adam.beta2, adam.eps)
    adam_update(params, grad, m, v, rates)
    assert np.abs(model.params.flat - params).max() < 1e-4 * adam.lr + 2e-7


@needs_gemm
@pytest.mark.parametrize("normals", [True, False])
@pytest.mark.parametrize("pixels", [1, 48, 51])
@pytest.mark.parametrize("how", ["dynamic", "static", "threshold"])
def test_it_draws_what_others_draw(
    how: str, pixels: int, normals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves the generators as they do: a run may go on either way.

    Whether NumPy's normals are to be found or, as on Windows, not.
    """
    if not normals:
        monkeypatch.setattr("numpyvae.training.fused.step.find_normals", lambda: 0)
    grey = np.random.default_rng(2).integers(0, 256, (30, 1, pixels)).astype(np.uint8)
    batches = Batches(grey, how, np.random.default_rng(3))
    model = VAE(pixels, [7], 3)
    adam = Adam(model.params.flat, model.code)
    rngs, others = (np.random.default_rng(5).spawn(2) for _ in range(2))
    workers = Workers(2)
    step = FusedStep(model, batches, adam, rngs, 9, workers)
    for k in range(3):
        rows = np.random.default_rng(k).integers(0, 30, 9)
        with workers:
            step.draw(rows)
        for s, part in enumerate((rows[:4], rows[4:])):
            want = active_pixels(batches.rows(part, others[s]))
            x, eps = step.shard(s)
            assert np.array_equal(x.starts, want.starts)
            assert np.array_equal(x.columns, want.columns)
            noise = others[s].standard_normal((len(part), 3), np.float32)
            assert np.array_equal(eps, noise)
    for rng, other in zip(rngs, others, strict=True):
        assert rng.bit_generator.state == other.bit_generator.state


@needs_gemm
def test_a_batch_of_one_image() -> None:
    """The first of two shards has none."""
    both = []
    for compiled in (True, False):
        model = VAE(48, [16], 3, compiled=compiled)
        with Workers(2) as workers:
            trainer = Trainer(model, DATA, Settings(), workers)
            both.append(trainer.step(np.array([3])))
    np.testing.assert_allclose(*both, rtol=1e-5)


@needs_gemm
def test_the_bits_do_not_depend_on_the_threads() -> None:
    params = []
    for threads in (1, 2, 3):
        model = VAE(48, [16, 5], 3)
        with Workers(threads) as workers:
            trainer = Trainer(model, DATA, Settings(), workers)
            for i in range(4):
                trainer.step(np.arange(i, i + 31))
        params.append(model.params.flat.tobytes())
    assert len(set(params)) == 1


# ---- The threads ---------------------------------------------------------------------


class Counts(NamedTuple):
    """Work of another kind than a step's."""

    counts: NDArray[np.int64]
    by: float


@jit
def add(turn, work):  # type: ignore[no-untyped-def] # numba finds them
    work.counts[turn] += work.by * (turn + 1)


@jit
def double(turn, work):  # type: ignore[no-untyped-def] # numba finds them
    work.counts[turn] *= 2


@needs_gemm
@pytest.mark.parametrize("owner", [os.getpid(), None], ids=["numba's", "Python's"])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("turns", [0, 1, 2, 7])
def test_every_turn_is_taken_once_by_each_in_order(
    turns: int, threads: int, owner: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "owner", lambda: owner)
    before = numba.get_num_threads()
    work = Counts(np.zeros(turns, np.int64), 2.0)
    addresses = np.array([parallel.address(f, work) for f in (add, double)])
    with Workers(threads) as workers:
        for _ in range(2):
            parallel.share(addresses, work, turns, workers)
    assert work.counts.tolist() == [12 * (turn + 1) for turn in range(turns)]
    assert numba.get_num_threads() == before


@needs_gemm
def test_choosing_threads_leaves_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    asks: tuple[dict[str, str], ...] = ({}, {"GOMP_SPINCOUNT": "7"})
    for asked in asks:
        for name, value in asked.items():
            monkeypatch.setenv(name, value)
        before = dict(os.environ)
        parallel.owner.cache_clear()
        parallel.owner()
        assert dict(os.environ) == before
    parallel.owner.cache_clear()


PRINT_BITS = """
import os, sys
if sys.argv[1:]:
    import ctypes
    ctypes.CDLL(sys.argv[1])
from data import tiny
from numpyvae import VAE, train
from numpyvae.training.fused import parallel
model = VAE(48, [16], 3)
train(model, tiny(), epochs=1, batch_size=64, progress=False)
print(parallel.owner() == os.getpid(), float(model.params.flat.sum()).hex())
"""


def printed(layer: str = "", *libraries: str) -> list[str]:
    """Whether a process took numba's threads, and the sum of what it trained."""
    env = {k: v for k, v in os.environ.items() if "SPIN" not in k and "WAIT" not in k}
    env |= {"PYTHONPATH": str(Path(__file__).parent)}
    env |= {"NUMBA_THREADING_LAYER": layer} if layer else {}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_BITS, *libraries],
        capture_output=True, text=True, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_gemm
@pytest.mark.parametrize("layer", ["workqueue", "tbb", "safe"])
def test_without_quick_threads_the_bits_are_the_same(layer: str) -> None:
    """`tbb` and `safe` are not there as a rule: numba raises where it is asked."""
    assert printed(layer)[1] == printed()[1]
    assert layer != "workqueue" or printed(layer)[0] == "False"


@needs_gemm
def test_openmp_that_another_package_has_loaded_is_left_alone() -> None:
    """GNU's waits for milliseconds where it was not told otherwise at its start."""
    library = ctypes.util.find_library("gomp")
    if library is None or printed()[0] == "False":
        pytest.skip("numba's threads are not those of GNU's OpenMP here")
    assert printed("", library) == ["False", printed()[1]]


# ---- In training ---------------------------------------------------------------------

DATA = tiny()
OTHERS = {
    "double": (lambda: VAE(48, [16], 3, dtype=np.float64), {}),
    "reference": (lambda: VAE(48, [16], 3, compiled=False), {}),
    "sigmoid": (lambda: VAE(48, [16], 3, "sigmoid"), {}),
    "full": (lambda: VAE(48, [16], 3, posterior="full"), {}),
    "gaussian": (lambda: VAE(48, [16], 3, likelihood="gaussian"), {}),
    "conditional": (lambda: VAE(48, [16], 3, classes=10), {}),
    "grey": (lambda: VAE(48, [16], 3), {"binarize": "none"}),
    "corrupt": (lambda: VAE(48, [16], 3), {"corrupt": "mask"}),
    "two samples": (lambda: VAE(48, [16], 3), {"samples": 2}),
    "sampled": (lambda: VAE(48, [16], 3), {"kl": "sampled"}),
    "iwae": (lambda: VAE(48, [16], 3), {"bound": "iwae"}),
    **{name: (make, {}) for name, make in OWN_PARTS.items()},
}


def steps(model: VAE, **settings: Any) -> tuple[list[tuple[float, float]], Array]:
    """What ten steps tell, and the parameters after them."""
    with Workers(1) as workers:
        trainer = Trainer(model, DATA, Settings(lr=1e-3, **settings), workers)
        told = [trainer.step(np.arange(i, i + 32)) for i in range(10)]
    return told, model.params.flat


@needs_gemm
@pytest.mark.parametrize("warmup", [0, 2])
def test_training_is_the_same_with_it_and_without(
    warmup: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam's step has the size of lr whatever the gradient's: 10 lr are at stake."""
    told, params = steps(VAE(48, [16], 3), warmup=warmup)
    monkeypatch.setattr("numpyvae.training.fused.step.find_gemm", lambda: None)
    plainly_told, plain = steps(VAE(48, [16], 3), warmup=warmup)
    np.testing.assert_allclose(told, plainly_told, rtol=1e-4, atol=1e-4)
    assert np.median(np.abs(params - plain)) < 1e-6
    assert np.abs(params - plain).max() < 1e-2


@needs_gemm
@pytest.mark.parametrize("make, settings", OTHERS.values(), ids=OTHERS)
def test_other_models_take_the_general_way(
    make: Callable[[], VAE], settings: dict[str, Any]
) -> None:
    model = make()
    with Workers(1) as workers:
        trainer = Trainer(model, DATA, Settings(**settings), workers)
        assert not trainer.fuses
        trainer.step(np.arange(5))
        assert Trainer(VAE(48, [16], 3), DATA, Settings(), workers).fuses


def test_the_objective_alone_can_rule_it_out() -> None:
    model = VAE(48, [16], 3)
    adam = Adam(model.params.flat, model.code)
    assert fits(model, ELBO, adam) == (blas.find_gemm() is not None)
    assert not fits(model, Iwae(1), adam)
    assert not fits(model, Elbo(samples=2), adam)


def test_an_overflow_is_told_with_its_place() -> None:
    model = VAE(48, [16], 3)
    model.params["decoder.0.W"][...] = np.inf
    with pytest.raises(DivergedError, match=r"decoder layer 1"):
        train(model, DATA, epochs=1, progress=False)
