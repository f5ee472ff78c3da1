"""Running error analysis: the bound holds, and is near what rounding does."""

from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest

from numpyvae.checking.rounding import EPS, Tracked, bilinear
from numpyvae.pairs.conv import convolve, convolve_transposed

getcontext().prec = 60


def exact(array: np.ndarray) -> np.ndarray:
    """The same numbers as decimals, which these tests compute with to 60 digits."""
    return np.vectorize(Decimal, otypes=[object])(array)


def each(function: Callable[[Decimal], Decimal]) -> Callable[[Any], Any]:
    return np.vectorize(function, otypes=[object])


def tracking(product: Callable[..., Any]) -> Callable[..., Any]:
    """The product of arrays, or the same of Tracked ones."""

    def either(x: Any, *others: Any) -> Any:
        return (bilinear(product) if isinstance(x, Tracked) else product)(x, *others)

    return either


def tanh(x: Decimal) -> Decimal:
    return ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


def in_place(x: Any, y: Any) -> Any:
    z = (x * y).copy()
    z[:, [0, 2]] -= x[:, [0, 2]] * y[:, [1, 3]]
    z += y
    return z


def arrays_alike(x: Any) -> Any:
    z = np.zeros_like(x, shape=(2, 3, 4))
    z[0, :, 1:] = x[:, 1:] * x[:, :3]
    z[1] = np.full_like(x, 2) * np.ones_like(x)
    return z[0] + z[1]


def images(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """An image, kernels and a map of them."""
    kernels = y[:2].reshape(2, 2, 1, 2)
    return x.reshape(1, 3, 4, 1), kernels, y.reshape(1, 2, 3, 2)


# What NumPy computes, and the same with decimals.
BOTH = {
    "sum": lambda x, y: (x + y).sum(axis=0),
    "sum of all": lambda x, y: (x - y).sum(),
    "product": lambda x, y: x * y * x,
    "quotient": lambda x, y: (x - y) / (1 + y * y),
    "matmul": lambda x, y: (x @ y.T) @ (x - y),
    "negative": lambda x, y: -(x * y),
    "where": lambda x, y: np.where(x > y, x * y, y),
    "repeat": lambda x, y: np.repeat(x * y, 2, axis=0) - np.repeat(y, 2, axis=0),
    "hstack": lambda x, y: np.hstack([x * y, y]).sum(axis=(0, 1), keepdims=True),
    "diagonal": lambda x, y: np.diagonal((x @ y.T)[None] * 3, axis1=1, axis2=2),
    "copy, in place": in_place,
    "arrays alike": lambda x, y: arrays_alike(x) - x * y,
    "batches": lambda x, y: (x[:, None] @ y[:, :, None])[:, 0, 0],
}
EXPRESSIONS = {
    **{name: (expression, expression) for name, expression in BOTH.items()},
    "exp": (lambda x, y: np.exp(x * y), lambda x, y: each(Decimal.exp)(x * y)),
    "expm1": (lambda x, y: np.expm1(x - y), lambda x, y: each(Decimal.exp)(x - y) - 1),
    "log": (lambda x, y: np.log(x * x), lambda x, y: each(Decimal.ln)(x * x)),
    "log1p": (lambda x, y: np.log1p(x * x), lambda x, y: each(Decimal.ln)(1 + x * x)),
    "sqrt": (
        lambda x, y: np.sqrt(x * x + 2),
        lambda x, y: each(Decimal.sqrt)(x * x + 2),
    ),
    "tanh": (lambda x, y: np.tanh(x + y), lambda x, y: each(tanh)(x + y)),
    "convolution": (
        lambda x, y: tracking(convolve)(*images(x * y, y)[:2], 1, 0),
        lambda x, y: convolve(*images(x * y, y)[:2], 1, 0),
    ),
    "convolution transposed": (
        lambda x, y: tracking(convolve_transposed)(
            *images(x, x * y)[:0:-1], (3, 4), 1, 0
        ),
        lambda x, y: convolve_transposed(*images(x, x * y)[:0:-1], (3, 4), 1, 0),
    ),
    "cancellation": (lambda x, y: (x + 1e8 * y) - 1e8 * y, lambda x, y: x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_bound_holds_and_is_not_idle(name: str) -> None:
    compute, truth = EXPRESSIONS[name]
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        x, y = rng.standard_normal((2, 3, 4))
        tracked = compute(Tracked(x), Tracked(y))
        np.testing.assert_array_equal(tracked.value, compute(x, y))
        error = np.abs(exact(tracked.value) - truth(exact(x), exact(y)))
        error, bound = np.asarray(error, float), EPS * np.asarray(tracked.error)
        assert np.all(error <= bound)
        shares.append(np.max(error[bound > 0] / bound[bound > 0], initial=0))
    assert np.max(shares) > 0.02  # a bound fifty times too wide would hide faults


def test_cancellation_is_told() -> None:
    """1e8 + x - 1e8 keeps half of x's digits: a bound of 1e-8 beside a value of 1."""
    x = Tracked(np.array([1.0]))
    assert 0.5e8 < ((x + 1e8) - 1e8).error[0] < 5e8


def test_slices_are_views() -> None:
    x = Tracked(np.zeros((2, 3)))
    x[0, 1:] = Tracked(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    np.testing.assert_array_equal(x.value, [[0, 1, 2], [0, 0, 0]])
    np.testing.assert_array_equal(x.T.error, [[0, 0], [3, 0], [4, 0]])
    x.reshape(6)[5] = 7.0
    assert x.value[1, 2] == 7


@pytest.mark.parametrize("function", [np.sin, np.floor, np.maximum.reduce])
def test_what_it_does_not_know_it_refuses(function: Any) -> None:
    with pytest.raises(TypeError):
        function(Tracked(np.ones(3)))
