"""Slopes measured, not derived; and what the measurements are fed and held to.

`check_gradients` differences the scalar sum(dy * forward(...)) in every entry of every
argument, dy being random: with ones, a transposed or misplaced dy could pass.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]

# Rounding, in units of the dtype's eps and of the largest entry (at least 1). Entries
# are sums of up to 130 terms, each rounded by eps / 2 of its size and in random
# directions: sqrt(130) / 2 = 6. The worst seen is 6.4.
ROUNDING = 16
# Central differences in float64. With h = eps^(1/3) the truncation, h^2 f''' / 6, and
# the rounding, eps f / h, are about 1e-11 f''' and 4e-11 f, and our f reaches 20 times
# the largest slope. The worst seen is 5.5e-10.
STEP = np.finfo(np.float64).eps ** (1 / 3)
CENTRAL_ERROR = 2e-9
# The complex step subtracts nothing, so only the rounding of forward and backward is
# left; it is measured in float64.
COMPLEX_STEP = 1e-30
COMPLEX_ERROR = ROUNDING * np.finfo(np.float64).eps


def assert_close(name: str, got: Array, want: Array, tolerance: float) -> None:
    """|got - want| <= tolerance * max(1, largest |want|); a NaN only matches a NaN."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
    size = np.max(np.abs(want), initial=1, where=np.isfinite(want))
    with np.errstate(invalid="ignore"):  # inf - inf
        close = np.abs(got - want) <= tolerance * size
    wrong = ~(close | (got == want) | (np.isnan(got) & np.isnan(want)))
    if wrong.any():
        i = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{name}{list(i)} is {got[i]!r}, expected {want[i]!r} within "
            f"{tolerance * size:.1e} ({wrong.sum()} of {wrong.size} entries are off)"
        )


def assert_rounded(name: str, got: Array, want: Array, steps: int = 1) -> None:
    """Equal up to the rounding of got's dtype, in each of `steps` that follow on."""
    eps = np.finfo(np.asarray(got).dtype).eps
    assert_close(name, got, want, ROUNDING * steps * eps)


def central_differences(f: Callable[[Array], Any], at: Array) -> Array:
    """df/dat of the scalar function f, entry by entry."""
    slopes = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        right, left = at.copy(), at.copy()
        right[i] += STEP
        left[i] -= STEP
        slopes[i] = (f(right) - f(left)) / (right[i] - left[i])
    return slopes


def complex_step(f: Callable[[Array], Any], at: Array) -> Array:
    """df/dat as Im f(at + ih) / h, for an f that is analytic and keeps its dtype."""
    slopes = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        aside = at.astype(np.complex128)
        aside[i] += 1j * COMPLEX_STEP
        slopes[i] = f(aside).imag / COMPLEX_STEP
    return slopes


class Method(NamedTuple):
    slopes: Callable[[Callable[[Array], Any], Array], Array]
    error: float


CENTRAL = Method(central_differences, CENTRAL_ERROR)
COMPLEX = Method(complex_step, COMPLEX_ERROR)


def check_gradients(
    method: Method,
    forward: Callable[..., Array],
    arguments: Mapping[str, Any],
    dy: Array,
    gradients: Mapping[str, Array],
) -> None:
    """Each of `gradients`, by its argument's name, against the slope of forward."""
    for name, gradient in gradients.items():

        def loss(array: Array, name: str = name) -> Any:
            return (dy * forward(**{**arguments, name: array})).sum()

        slopes = method.slopes(loss, arguments[name])
        assert_close(f"d{name}", gradient, slopes, method.error)


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def check_pure(function: Callable[..., Any], *arguments: Any) -> None:
    """Called twice, it gives the same results and has changed no argument.

    The same up to rounding: where in memory an array lies may decide how NumPy and
    OpenBLAS cut a loop into vectors.
    """
    before = pickle.dumps(arguments)
    first, second = (as_tuple(function(*arguments)) for _ in range(2))
    for i, (one, other) in enumerate(zip(first, second, strict=True)):
        assert_rounded(f"result {i} of the second call", other, one)
    assert pickle.dumps(arguments) == before, "an argument was changed"


@st.composite
def drawn(
    draw: st.DrawFn,
    shapes: str,
    dtypes: tuple[type, ...] = (np.float64,),
    sizes: st.SearchStrategy[int] = st.integers(1, 7),  # noqa: B008
) -> list[Array]:
    """Normal arrays of shapes written in letters: "BN NM M" are x, W and b.

    A letter is a size; half of the time all sizes differ. The layout is contiguous or
    strided, and all arrays are of one of `dtypes`; complex ones have both parts.
    """
    letters = sorted(set(shapes) - {" "})
    n, unique = len(letters), draw(st.booleans())
    values = draw(st.lists(sizes, min_size=n, max_size=n, unique=unique))
    size = dict(zip(letters, values, strict=True))
    stride, dtype = draw(st.sampled_from([1, 2])), draw(st.sampled_from(dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def normal(shape: str) -> Array:
        array = rng.standard_normal([size[letter] * stride for letter in shape])
        if dtype is np.complex128:
            array = array + 1j * rng.standard_normal(array.shape)
        return array.astype(dtype)[(slice(None, None, stride),) * array.ndim]

    return [normal(shape) for shape in shapes.split()]
