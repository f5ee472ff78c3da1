"""The errors a user can cause.

Each message is one line: what was found, what was expected, what to do.
The command line prints it and exits with 2; a program catches `NumpyvaeError`.
"""

import math
from numbers import Integral, Real


class NumpyvaeError(Exception):
    """The family of all errors that this package raises on purpose."""


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
