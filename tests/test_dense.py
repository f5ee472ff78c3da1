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

from numpyvae.pairs.dense import dense_backward, dense_backward_weights, dense_forward

FLOATS = (np.float32, np.float64)

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


@given(drawn("BN NM M", FLOATS))
def test_dense_forward_is_the_oracle(arrays: list[Array]) -> None:
    want = naive.dense(*arrays, "identity")
    assert_rounded("a", dense_forward(*arrays), want)


@each_method
@given(drawn("BN NM M BM"))
def test_dense_backward_is_the_slope(method: Method, arrays: list[Array]) -> None:
    x, W, b, da = arrays
    layer = {"x": x, "W": W, "b": b}
    dx, dW, db = dense_backward(da, x, W)
    check_gradients(method, dense_forward, layer, da, {"x": dx, "W": dW, "b": db})
    dW, db = dense_backward_weights(da, x)
    check_gradients(method, dense_forward, layer, da, {"W": dW, "b": db})


@given(drawn("BN NM M BM", (*FLOATS, np.complex128)))
def test_dense_keeps_the_dtype_and_its_inputs(arrays: list[Array]) -> None:
    x, W, b, da = arrays
    results = [dense_forward(x, W, b), *dense_backward(da, x, W)]
    results += dense_backward_weights(da, x)
    assert {array.dtype for array in results} == {x.dtype}
    check_pure(dense_forward, x, W, b)
    check_pure(dense_backward, da, x, W)
    check_pure(dense_backward_weights, da, x)
