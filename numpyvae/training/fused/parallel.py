"""Turns of a compiled function, shared out among the threads that numba keeps.

They wait for the next turns without sleeping, so it takes microseconds to begin; where
they can't be had, the workers' threads take the turns, to the same bits. The function
is called at its address: compiled into the loop, it would be compiled again for each
loop that calls it, which takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numba
from numba import config, get_num_threads, prange, set_num_threads, types
from numba.extending import intrinsic
from threadpoolctl import threadpool_info

from ...kernels.jit import jit, parallel_jit
from ...pairs.types import Array
from ..workers import Workers

# How often a waiting thread looks for its next turn before it goes to sleep: for some
# 0.2 ms, more than what Python takes between two steps. With GNU's own choice, thirty
# times as long, two trainings at once on two cores made a step take 21 ms.
SPINS = 10_000


@cache
def owner() -> int | None:
    """The process whose the threads are; None if they are not OpenMP's or TBB's.

    numba's own ("workqueue") are slow to meet, and end the process when two threads of
    Python's call them at once; OpenMP's end it when they are called after a fork. GNU's
    OpenMP, where another package has loaded one before, may not have heard of SPINS.
    """
    asked = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    late = "libgomp" in str(threadpool_info())
    if not asked:
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    try:
        get_num_threads()  # only now does numba choose, and the library look
        layer = numba.threading_layer()
    except ValueError:  # it was told to take a layer that isn't there
        return None
    finally:
        if not asked:
            del os.environ["GOMP_SPINCOUNT"]
    unheard = late and not asked
    return os.getpid() if layer in ("omp", "tbb") and not unheard else None


def _remember_owner() -> None:
    """Let a child know that the threads are its parent's, whoever started them."""
    with suppress(ValueError):
        numba.threading_layer()
        owner()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_remember_owner)


def address(function: Callable[..., Any], work: tuple[Any, ...]) -> int:
    """Where the code of function(turn, work) begins; compiles it if need be.

    It must not raise: nobody would hear of it.
    """
    kinds = types.int64, numba.typeof(work)
    compiled: Any = function
    compiled.compile(kinds)
    code = compiled.overloads[kinds]
    place: int = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
    return place


def share(
    addresses: Array, work: tuple[Any, ...], turns: int, workers: Workers
) -> None:
    """Call what is at each of `addresses` in order, each for all of range(turns).

    As many threads as there are workers take the turns of one, and meet before the
    next.
    """
    if owner() != os.getpid():
        for place in addresses:
            workers.map(partial(_call_at, place, work), turns)
        return
    before, most = get_num_threads(), config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    set_num_threads(min(workers.threads, most))
    try:
        _share(addresses, work, turns)
    finally:
        set_num_threads(before)


@parallel_jit
def _share(addresses, work, turns):
    for k in range(addresses.shape[0]):
        for turn in prange(turns):
            _call(addresses[k], turn, work)


@jit
def _call_at(address, work, turn):
    _call(address, turn, work)


@intrinsic
def _call(context: Any, address: Any, turn: Any, work: Any) -> Any:
    """The function at an address, as numba calls its own."""
    kinds, nothing = (types.int64, work), types.none

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        convention = context.call_conv
        kind = convention.get_function_type(nothing, kinds)
        function = builder.inttoptr(args[0], kind.as_pointer())
        turn = context.cast(builder, args[1], signature.args[1], types.int64)
        convention.call_function(builder, function, nothing, kinds, [turn, args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, turn, work), generate
