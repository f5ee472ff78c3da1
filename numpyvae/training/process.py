"""What a training sets for the whole process, and who puts it back.

BLAS works on one thread, since the shards' threads take all the cores, and since the
bits of a product depend on how many threads share it. A thread that waits for the GIL
asks for it at shorter intervals. Both are settings of the process, which the user's
threads share: the first training to begin sets them, the last to end puts them back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from threadpoolctl import ThreadpoolController

Value = TypeVar("Value")
Pools = list[tuple[Any, int]]  # the controller of a BLAS, and its number of threads

# How long a thread that waits for the GIL sleeps before it looks again. Ours hold it
# for microseconds between two kernels; Python's 5 ms made a step a seventh longer.
SWITCH_SECONDS = 1e-5


class Held(Generic[Value]):
    """A setting of the process, changed in `with` blocks of any thread, also nested."""

    def __init__(
        self,
        read: Callable[[], Value],
        write: Callable[[Value], None],
        change: Callable[[Value], Value],
    ) -> None:
        """`change` computes the value to write from the one that `read` returned."""
        self._read, self._write, self._change = read, write, change
        self._lock = threading.Lock()
        self._holders: Counter[int] = Counter()  # the blocks that each thread is in
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._forked,
            )

    def __enter__(self) -> None:
        """Set it; again in each thread, since some BLAS have a limit for each."""
        with self._lock:
            if not self._holders:
                self._before = self._read()
            self._write(self._change(self._before))
            self._holders[threading.get_ident()] += 1

    def __exit__(self, *error: object) -> None:
        """Put it back, if nobody else holds it."""
        with self._lock:
            self._holders -= Counter([threading.get_ident()])
            if not self._holders:
                self._write(self._before)

    def _forked(self) -> None:
        """In a forked child there is one thread, the one that forked."""
        held, me = bool(self._holders), threading.get_ident()
        self._holders = +Counter({me: self._holders[me]})
        if held and not self._holders:
            self._write(self._before)
        self._lock.release()


def _pools() -> Pools:
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(pool, pool.num_threads) for pool in found]


def _limit(pools: Pools) -> None:
    for pool, threads in pools:
        pool.set_num_threads(threads)
        # From 3.8 on, threadpoolctl lets only one thread set it, until that is cleared.
        release = getattr(pool, "clear_controlling_thread", None)
        if release is not None:
            if pool.get_num_threads() != threads:
                release(force=True)
                pool.set_num_threads(threads)
            release()


serial_blas = Held(_pools, _limit, lambda pools: [(pool, 1) for pool, _ in pools])
quick_switches = Held(
    sys.getswitchinterval, sys.setswitchinterval, lambda _: SWITCH_SECONDS
)
