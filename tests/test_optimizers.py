"""SGD and Adam, reference and compiled, against the oracle and by hand."""

from itertools import pairwise

import naive
import numpy as np
import pytest
from differences import Array, assert_rounded, check_pure
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.kernels import backends
from numpyvae.pairs.reference import Reference
from numpyvae.training.optimizers import SGD, Adam

FLOATS = (np.float32, np.float64)
# The compiled Adam takes 1024 parameters at a time.
SIZES = [1, 2, 7, 63, 1023, 1024, 1025, 2500]
# A step as long as the parameters are large, or their rounding would cover its errors.
LR, BETA1, BETA2, EPS = 0.7, 0.8, 0.95, 1e-3

each_code = pytest.mark.parametrize(
    "code", [backends.reference, backends.compiled], ids=["reference", "compiled"]
)
each_optimizer = pytest.mark.parametrize("kind", [SGD, Adam])
each_dtype = pytest.mark.parametrize("dtype", FLOATS)


def adam(params: Array, code: Reference) -> Adam:
    return Adam(params, code, LR, BETA1, BETA2, EPS)


def gradients_of(
    rng: np.random.Generator, steps: int, shards: int, size: int, dtype: type
) -> Array:
    """(steps, S, P), of very different sizes, as layers have them."""
    scale = 10 ** rng.uniform(-4, 1, size)
    return (rng.standard_normal((steps, shards, size)) * scale).astype(dtype)


@each_code
@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_several_steps_are_the_oracle(
    code: Reference,
    dtype: type,
    size: int,
    shards: int,
    rng: np.random.Generator,
) -> None:
    start = rng.standard_normal(size).astype(dtype)
    grads = gradients_of(rng, 4, shards, size, dtype)
    sums = grads.sum(axis=1, dtype=np.float64)
    for build, want in [
        (lambda params: SGD(params, code, LR), naive.sgd(start, sums, LR)),
        (
            lambda params: adam(params, code),
            naive.adam(start, sums, LR, BETA1, BETA2, EPS),
        ),
    ]:
        optimizer = build(start.copy())
        for grad in grads:
            optimizer.advance()
            optimizer.update(grad)
        assert_rounded(type(optimizer).__name__, optimizer.params, want)


@each_code
@each_dtype
def test_two_steps_by_hand(code: Reference, dtype: type) -> None:
    """beta1 = 1/2, beta2 = 3/4, eps = 1, lr = 1; gradient 4, then 2.

    m = 2, v = 4: m_hat = 2 / (1/2) = 4, v_hat = 4 / (1/4) = 16, step 4 / (4 + 1).
    m = 2, v = 4: m_hat = 2 / (3/4) = 8/3, v_hat = 4 / (7/16) = 64/7.
    """
    params = np.array([10], dtype)
    optimizer = Adam(params, code, 1.0, 0.5, 0.75, 1.0)
    optimizer.advance()
    optimizer.update(np.array([[4]], dtype))
    assert_rounded("step 1", params, np.array([10 - 0.8]))
    optimizer.advance()
    optimizer.update(np.array([[2]], dtype))
    second = (8 / 3) / (np.sqrt(64 / 7) + 1)
    assert_rounded("step 2", params, np.array([10 - 0.8 - second]))
    assert (optimizer.m, optimizer.v, optimizer.step) == (2, 4, 2)


@each_code
@each_dtype
def test_the_first_adam_step_moves_by_lr(code: Reference, dtype: type) -> None:
    """|g| / (|g| + eps) is 1 up to eps / |g| = 1e-8 / 0.1."""
    grad = np.array([[0.1, -0.5, 3, -2000]], dtype)
    optimizer = Adam(np.zeros(4, dtype), code, lr=0.25)
    optimizer.advance()
    optimizer.update(grad)
    error = 1e-7 + 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(optimizer.params, -0.25 * np.sign(grad[0]), rtol=error)


@each_code
@each_optimizer
@each_dtype
@given(
    st.sampled_from(SIZES),
    st.lists(st.integers(0, 2500), max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_parts_give_the_bits_of_the_whole(
    code: Reference,
    kind: type,
    dtype: type,
    size: int,
    cuts: list[int],
    seed: int,
) -> None:
    """Threads update a part each, and must not change what is computed."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(size).astype(dtype)
    steps = gradients_of(rng, 3, 2, size, dtype)
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    parts = [slice(a, b) for a, b in pairwise(edges)]
    whole, split = (kind(start.copy(), code, lr=LR) for _ in range(2))
    for grads in steps:
        whole.advance()
        whole.update(grads)
        split.advance()
        for part in reversed(parts):
            split.update(grads, part)
    assert split.params.tobytes() == whole.params.tobytes()
    assert not np.array_equal(whole.params, start)


@each_code
@each_dtype
def test_updates_leave_the_gradients(
    code: Reference, dtype: type, rng: np.random.Generator
) -> None:
    grads = gradients_of(rng, 1, 3, 5, dtype)[0]

    def update(grads: Array) -> Array:
        optimizer = adam(np.ones(5, dtype), code)
        optimizer.advance()
        optimizer.update(grads)
        sgd = SGD(optimizer.params, code, LR)
        sgd.advance()
        sgd.update(grads)
        assert optimizer.params.dtype == optimizer.m.dtype == optimizer.v.dtype == dtype
        return optimizer.params

    check_pure(update, grads)


@each_dtype
def test_moments_that_fade_become_zero_and_nan_stays(dtype: type) -> None:
    """Subnormal moments made a step of training take half as long again.

    Where the reference has one, the kernel has 0; the weights are the same bits.
    """
    tiny = np.finfo(dtype).tiny
    found = []
    for code in (backends.reference, backends.compiled):
        optimizer = Adam(np.ones(3, dtype), code, LR, 0.5, 0.5)
        optimizer.m[...] = optimizer.v[...] = [8 * tiny, 1.5 * tiny, np.nan]
        optimizer.advance()
        optimizer.update(np.zeros((2, 3), dtype))
        found.append(optimizer)
    plain, kernel = found
    assert 0 < plain.m[1] < tiny
    assert LR / (1 - 0.5) > 1  # a step is larger than its moment
    for moment in (kernel.m, kernel.v):
        np.testing.assert_array_equal(moment, np.array([4 * tiny, 0, np.nan], dtype))
    assert plain.params[:2].tobytes() == kernel.params[:2].tobytes()


@each_dtype
def test_a_moment_whose_step_is_subnormal_becomes_zero(dtype: type) -> None:
    tiny = np.finfo(dtype).tiny
    optimizer = Adam(np.ones(2, dtype), backends.compiled, 1e-3, 0.5, 0.5)
    optimizer.m[...] = [2 * 999 * tiny, 2 * 501 * tiny]
    optimizer.v[...] = 1
    for _ in range(50):  # until 1 - beta1^t is 1
        optimizer.advance()
    optimizer.update(np.zeros((1, 2), dtype))
    np.testing.assert_array_equal(optimizer.m, 0)
    optimizer.m[...] = [2 * 1001 * tiny, 1]
    optimizer.update(np.zeros((1, 2), dtype))
    np.testing.assert_allclose(optimizer.m, [1001 * tiny, 0.5], rtol=1e-6)
