"""A few threads, each doing a whole shard of the work with BLAS kept to one thread.

BLAS's own pool and numba's would fight over the cores; matrix products and kernels
release the GIL, so plain Python threads around serial code use them all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


def available_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """A pool of threads to be used in a `with` block."""

    def __init__(self, threads: int) -> None:
        """With one thread, everything runs in the caller's."""
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Workers:
        """Keep BLAS to one thread from here on."""
        self._limits = threadpool_limits(1, "blas")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give BLAS its threads back and end the pool's."""
        self._limits.restore_original_limits()
        if self._pool is not None:
            self._pool.shutdown()

    def map(self, task: Callable[[int], Result], count: int) -> list[Result]:
        """[task(0), ..., task(count - 1)], in this order, when all have ended.

        The first error of a task is raised here, then.
        """
        if self._pool is None:
            return [task(i) for i in range(count)]
        futures = [self._pool.submit(task, i) for i in range(count)]
        wait(futures)
        return [future.result() for future in futures]
