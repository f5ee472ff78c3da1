"""One flat vector and its views; where the first parameters come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.params import Parameters, initialise

SHAPES = {"a.0.W": (2, 3), "a.0.b": (3,), "b.0.W": (3, 1), "b.0.b": (1,)}
SIZE = 6 + 3 + 3 + 1


def test_the_views_lie_in_the_vector_in_the_order_of_the_table() -> None:
    params = Parameters(SHAPES, np.arange(SIZE, dtype=np.float32))
    assert list(params) == list(SHAPES) and len(params) == 4
    assert {name: view.shape for name, view in params.items()} == SHAPES
    order = np.concatenate([view.ravel() for view in params.values()])
    np.testing.assert_array_equal(order, params.flat)
    assert params["a.0.W"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_views_and_vector_are_one_memory() -> None:
    params = Parameters.zeros(SHAPES, np.float64)
    params["b.0.W"][...] = 7
    assert params.flat.tolist() == [0] * 9 + [7] * 3 + [0]
    params.flat[:2] = 5
    assert params["a.0.W"].tolist() == [[5, 5, 0], [0, 0, 0]]
    assert all(np.shares_memory(view, params.flat) for view in params.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_zeros_has_the_dtype_and_the_size(dtype: type) -> None:
    flat = Parameters.zeros(SHAPES, dtype).flat
    assert flat.dtype == dtype and flat.shape == (SIZE,) and not flat.any()


def test_like_lays_the_table_over_another_vector() -> None:
    params = Parameters.zeros(SHAPES, np.float64)
    other = np.ones(SIZE)
    grads = params.like(other)
    assert grads.flat is other and grads.shapes == params.shapes
    grads["a.0.b"][...] = 2
    assert other.sum() == SIZE + 3 and not params.flat.any()


@pytest.mark.parametrize("shape", [(0,), (SIZE - 1,), (SIZE + 1,), (SIZE, 1)])
def test_a_vector_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"the table needs \(13,\), the vector has"):
        Parameters(SHAPES, np.zeros(shape))


def drawn_params(seed: int, dtype: type, inputs: int = 16) -> Parameters:
    shapes = {"a.0.W": (inputs, 300), "a.0.b": (300,), "a.1.W": (300, 2), "a.1.b": (2,)}
    params = Parameters.zeros(shapes, dtype)
    initialise(params, np.random.default_rng(seed))
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
