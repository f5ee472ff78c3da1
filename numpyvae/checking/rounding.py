"""How far rounding may have moved a number: running error analysis.

A `Tracked` array stands in for an array of float64 in NumPy code. Beside each value it
carries a bound on |computed - exact|, to first order, in units of eps = 2^-53 (Higham,
Accuracy and Stability of Numerical Algorithms, section 3.3). Run a backward pass with
it, and the bounds include what cancellation costs; a relative tolerance does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..pairs.types import Array

EPS = 2.0**-53

# |f'(x)| from x and r = f(x): what an error of the argument is multiplied by.
SLOPES: dict[np.ufunc, Callable[[Array, Array], Array]] = {
    np.exp: lambda x, r: r,
    np.expm1: lambda x, r: np.exp(x),
    np.log: lambda x, r: 1 / np.abs(x),
    np.log1p: lambda x, r: 1 / np.abs(1 + x),
    np.tanh: lambda x, r: 1 - r * r,
    np.sqrt: lambda x, r: 1 / (2 * r),
}
COMPARISONS = (np.greater, np.less, np.greater_equal, np.less_equal, np.equal)


class Tracked(np.lib.mixins.NDArrayOperatorsMixin):
    """Values and the bounds of their rounding errors, in units of EPS.

    `value` and `error` have the same shape. Slices are views, as an array's are.
    """

    def __init__(self, value: Array, error: Array | None = None) -> None:
        """Exact values, unless their error is given."""
        self.value = value
        self.error = np.zeros_like(value) if error is None else error

    def __array_ufunc__(
        self, ufunc: Any, method: str, *args: Any, **kwargs: Any
    ) -> Any:
        """The operation on the values, and what it does to the errors."""
        out = kwargs.pop("out", None)
        if out is not None:
            out[0][...] = getattr(ufunc, method)(*args, **kwargs)
            return out[0]
        if method != "__call__" or kwargs:
            return NotImplemented
        (x, ex), *rest = map(_split, args)
        with np.errstate(all="ignore"):
            r = ufunc(x, *[value for value, _ in rest])
            if ufunc in COMPARISONS:
                return r
            rounding = np.abs(r)
            if ufunc in (np.expm1, np.log1p):
                # The complex step differentiates exp(x) - 1 and log(1 + x), whose
                # derivatives have the rounding errors that these two avoid.
                rounding = rounding + 1
            if ufunc in SLOPES:  # good to a unit in the last place, not to half of one
                return Tracked(r, SLOPES[ufunc](x, r) * ex + 2 * rounding)
            if ufunc is np.negative:
                return Tracked(r, ex)
            if len(rest) != 1:
                return NotImplemented
            y, ey = rest[0]
            if ufunc in (np.add, np.subtract):
                return Tracked(r, ex + ey + rounding)
            if ufunc is np.multiply:
                return Tracked(r, np.abs(x) * ey + np.abs(y) * ex + rounding)
            if ufunc is np.divide:
                return Tracked(r, (ex + rounding * ey) / np.abs(y) + rounding)
            if ufunc is np.matmul:
                terms = np.abs(x) @ np.abs(y) * x.shape[-1]
                return Tracked(r, np.abs(x) @ ey + ex @ np.abs(y) + terms)
        return NotImplemented

    def __array_function__(
        self, function: Any, types: Any, args: Any, kwargs: Any
    ) -> Any:
        """The few functions that the pairs use and that are not ufuncs."""
        if function is np.where:
            condition, (x, ex), (y, ey) = args[0], _split(args[1]), _split(args[2])
            return Tracked(np.where(condition, x, y), np.where(condition, ex, ey))
        if function in (np.ones_like, np.zeros_like, np.empty_like, np.full_like):
            return Tracked(function(args[0].value, *args[1:], **kwargs))
        if function in (np.repeat, np.diagonal):
            parts = (args[0].value, args[0].error)
            return Tracked(*(function(part, *args[1:], **kwargs) for part in parts))
        if function is np.hstack:
            values, errors = zip(*map(_split, args[0]), strict=True)
            return Tracked(np.hstack(values), np.hstack(errors))
        return NotImplemented

    def sum(
        self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> Tracked:
        """The sum along axes; each of n - 1 additions rounds once."""
        r = self.value.sum(axis, keepdims=keepdims)
        terms = self.value.size // max(1, r.size)
        error = (self.error + (terms - 1) * np.abs(self.value)).sum(
            axis, keepdims=keepdims
        )
        return Tracked(r, error)

    def __getitem__(self, key: Any) -> Tracked:
        """A view, as of an array."""
        return Tracked(self.value[key], self.error[key])

    def __setitem__(self, key: Any, item: Any) -> None:
        """Write values with their errors."""
        self.value[key], self.error[key] = _split(item)

    def reshape(self, *shape: Any) -> Tracked:
        """A view in another shape."""
        return Tracked(self.value.reshape(*shape), self.error.reshape(*shape))

    def astype(self, dtype: Any) -> Tracked:
        """Itself: everything here is float64."""
        return self

    def copy(self) -> Tracked:
        """New arrays of the same numbers."""
        return Tracked(self.value.copy(), self.error.copy())

    def __len__(self) -> int:
        """The length of the first axis."""
        return len(self.value)

    @property
    def real(self) -> Array:
        """The values, to be compared."""
        return self.value

    @property
    def T(self) -> Tracked:
        """The transpose, a view."""
        return Tracked(self.value.T, self.error.T)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.value.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the values."""
        return self.value.dtype


def bilinear(product: Callable[..., Array]) -> Callable[..., Tracked]:
    """A function of two arrays that adds up products x_i y_j, made to take Tracked.

    Where x and y are ones, it tells how many it adds: each sum of n rounds n times.
    """

    def tracked(x: Any, y: Any, *rest: Any) -> Tracked:
        (x, ex), (y, ey) = _split(x), _split(y)
        terms = product(np.ones_like(x), np.ones_like(y), *rest)
        error = product(np.abs(x), ey, *rest) + product(ex, np.abs(y), *rest)
        error += terms * product(np.abs(x), np.abs(y), *rest)
        return Tracked(product(x, y, *rest), error)

    return tracked


def tracked_array(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """A new Tracked array: a pass's work arrays, when the pass is tracked."""
    return Tracked(np.empty(shape))


def _split(x: Any) -> tuple[Array, Array]:
    """The values and errors of a Tracked; numbers and arrays are exact."""
    if isinstance(x, Tracked):
        return x.value, x.error
    value = np.asarray(x, float)
    return value, np.zeros_like(value)
