"""The errors a user can cause.

Each message is one line: what was found, what was expected, what to do.
The command line prints it and exits with 2; a program catches `NumpyvaeError`.
"""

import inspect
import math
import os
from numbers import Integral, Real

import numpy as np


class NumpyvaeError(Exception):
    """The family of all errors that this package raises on purpose."""

    def __str__(self) -> str:
        """One line, also where an array or a path that was found has several."""
        return " ".join(line.strip() for line in super().__str__().splitlines())


class ArgumentError(NumpyvaeError):
    """An argument or option has a wrong value, shape or type."""


class DataError(NumpyvaeError):
    """A data file or directory is missing, damaged or not what it should be."""


class RunError(NumpyvaeError):
    """A run folder is missing, taken or damaged."""


class DivergedError(NumpyvaeError):
    """The loss stopped being a finite number."""


def expect_whole(name: str, value: object, least: int) -> None:
    """Raise ArgumentError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ArgumentError(
            f"{name}: found {value!r}, expected a whole number from {least} on"
        )


def expect_number(name: str, value: object, least: str) -> None:
    """Raise ArgumentError unless `value` is "a positive number" or "0 or more"."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    try:
        number = number and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # an int that no float holds
        number = False
    if not number or value < 0 or (value == 0 and least == "a positive number"):  # type: ignore[operator]
        raise ArgumentError(f"{name}: found {value!r}, expected {least}")


def expect_path(name: str, value: object) -> None:
    """Raise ArgumentError unless `value` is a path as text."""
    try:
        text = isinstance(os.fspath(value), str)  # type: ignore[call-overload]
    except TypeError:
        text = False
    if not text:
        raise ArgumentError(
            f"{name}: found {value!r}, expected a str or a pathlib.Path"
        )


def expect_function(name: str, value: object, count: int) -> None:
    """Raise ArgumentError unless `value` can be called with `count` arguments."""
    if not callable(value):
        raise ArgumentError(
            f"{name}: found {type(value).__name__}, expected a function"
        )
    try:
        inspect.signature(value).bind(*range(count))
    except TypeError as error:
        raise ArgumentError(
            f"{name}: found {error}, expected a function that takes {count}"
        ) from error
    except ValueError:  # written in C, it has no signature to ask
        return


def expect_unmasked(name: str, value: object) -> None:
    """Raise ArgumentError if `value` is a masked array, whose mask would be lost."""
    if isinstance(value, np.ma.MaskedArray):
        raise ArgumentError(
            f"{name}: found a masked array, expected one without a mask; choose the "
            "values to stand in its place with numpy.ma.filled"
        )


def expect_numbers(name: str, value: object, finite: bool) -> None:
    """Raise ArgumentError unless `value` is an array of real numbers, or one."""
    found, kind = type(value).__name__, "finite real" if finite else "real"
    if isinstance(value, np.ndarray | Real):
        array = np.asarray(value)
        found = f"{array.dtype} of shape {array.shape}"
        if array.dtype.kind in "bfiu":
            if not finite or np.isfinite(array).all():
                return
            found = "NaN or infinity"
    raise ArgumentError(f"{name}: found {found}, expected an array of {kind} numbers")
