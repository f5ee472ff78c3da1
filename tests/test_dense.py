"""The dense pair: equal to the oracle, and its backward to the slope of its forward."""

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given

from numpyvae.pairs import dense as ops
from numpyvae.pairs.dense import ACTIVATIONS

DTYPES = (np.float32, np.float64, np.complex128)

each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


@each_activation
@given(drawn("BN NM M", (np.float32, np.float64)))
def test_dense_forward_is_the_oracle(activation: str, arrays: list[Array]) -> None:
    y = ops.dense_forward(*arrays, activation)
    assert_rounded("y", y, naive.dense(*arrays, activation))


@each_activation
@each_method
@given(drawn("BN NM M BM"))
def test_dense_backward_is_the_slope(
    activation: str, method: Method, arrays: list[Array]
) -> None:
    x, W, b, dy = arrays
    layer = {"x": x, "W": W, "b": b, "activation": activation}
    y = ops.dense_forward(**layer)
    dx, dW, db = ops.dense_backward(dy, x, y, W, activation)
    gradients = {"x": dx, "W": dW, "b": db}
    check_gradients(method, ops.dense_forward, layer, dy, gradients)
    dW, db = ops.dense_backward_weights(dy, x, y, activation)
    check_gradients(method, ops.dense_forward, layer, dy, {"W": dW, "b": db})


@each_activation
@given(drawn("BN NM M BM", DTYPES))
def test_dense_keeps_the_dtype_and_its_inputs(
    activation: str, arrays: list[Array]
) -> None:
    x, W, b, dy = arrays
    y = ops.dense_forward(x, W, b, activation)
    gradients = ops.dense_backward(dy, x, y, W, activation)
    weights = ops.dense_backward_weights(dy, x, y, activation)
    assert {array.dtype for array in (y, *gradients, *weights)} == {x.dtype}
    check_pure(ops.dense_forward, x, W, b, activation)
    check_pure(ops.dense_backward, dy, x, y, W, activation)
    check_pure(ops.dense_backward_weights, dy, x, y, activation)


@pytest.mark.parametrize(
    ("activation", "ends"),
    {
        "identity": [-1e4, 1e4, np.nan],
        "relu": [0, 1e4, np.nan],
        "tanh": [-1, 1, np.nan],
        "sigmoid": [0, 1, np.nan],
        "softplus": [0, 1e4, np.nan],
    }.items(),
)
@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_activations_saturate_and_keep_nan(
    activation: str, ends: list[float], dtype: type
) -> None:
    y = ops.activate(np.array([-1e4, 1e4, np.nan], dtype), activation)
    np.testing.assert_array_equal(y, ends)


@each_activation
def test_the_slope_at_the_ends_is_finite(activation: str) -> None:
    y = ops.activate(np.array([-1e4, 1e4]), activation)
    left, right = {"identity": (1, 1), "relu": (0, 1), "softplus": (0, 1)}.get(
        activation, (0, 0)
    )
    np.testing.assert_array_equal(ops.activation_slope(y, activation), [left, right])


def test_small_slopes_keep_their_digits() -> None:
    """softplus(-40) = 4e-18: 1 - exp(-y) would be 0, expm1 is not."""
    y = ops.activate(np.array([-40.0]), "softplus")
    slope = ops.activation_slope(y, "softplus")
    np.testing.assert_allclose(slope, np.exp(-40), rtol=4 * np.finfo(float).eps)


@pytest.mark.parametrize("function", [ops.activate, ops.activation_slope])
def test_an_unknown_activation_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="unknown activation 'rleu'"):
        function(np.ones(1), "rleu")  # type: ignore[operator]
