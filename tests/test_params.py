"""One flat vector and its views."""

import numpy as np
import pytest

from numpyvae.model.params import Parameters

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


def test_blocks_are_the_views_and_stay_them() -> None:
    params = Parameters.zeros(SHAPES, np.float64)
    assert all(params.blocks[name] is view for name, view in params.items())
    with pytest.raises(TypeError, match="does not support item assignment"):
        params.blocks["a.0.b"] = np.zeros(3)  # type: ignore[index]


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


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_unwritten_is_nan_of_the_same_table_and_dtype(dtype: type) -> None:
    params = Parameters.zeros(SHAPES, dtype)
    grads = params.unwritten()
    assert grads.shapes == params.shapes and grads.flat.dtype == dtype
    assert np.isnan(grads.flat).all() and not params.flat.any()


@pytest.mark.parametrize("shape", [(0,), (SIZE - 1,), (SIZE + 1,), (SIZE, 1)])
def test_a_vector_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"the table needs \(13,\), the vector has"):
        Parameters(SHAPES, np.zeros(shape))
