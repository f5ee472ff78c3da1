"""How this project compiles a loop."""

from collections.abc import Callable
from typing import Any

import numba


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.njit`: serial, without the GIL, without a zero test at each division.

    The error model "python" would put that test in every loop and stop it from being
    vectorized. `contract` and `reassoc` let a sum be vectorized and, unlike full
    fastmath, leave NaN and infinity their meaning. Where numba finds no directory for
    its cache, the function is compiled anew in each process.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "reassoc"},
    }
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
