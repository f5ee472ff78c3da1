"""A few threads, each doing a whole shard of the work with BLAS kept to one thread.

BLAS's own pool and numba's would fight over the cores; matrix products and kernels
release the GIL, so plain Python threads around serial code use them all.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")
# How long a thread that waits for the GIL sleeps before it looks again. Ours hold it
# for microseconds between two kernels; Python's 5 ms made a step a seventh longer.
SWITCH_SECONDS = 1e-5


def available_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """The caller's thread and some helpers, to be used in a `with` block."""

    def __init__(self, threads: int) -> None:
        """With one thread, everything runs in the caller's."""
        self._inboxes: list[SimpleQueue[Any]] = [
            SimpleQueue() for _ in range(threads - 1)
        ]
        self._finished: SimpleQueue[None] = SimpleQueue()

    def __enter__(self) -> Workers:
        """Keep BLAS to one thread from here on, and start the helpers."""
        self._limits = threadpool_limits(1, "blas")
        self._interval = sys.getswitchinterval()
        if self._inboxes:
            sys.setswitchinterval(SWITCH_SECONDS)
        self._helpers = [
            threading.Thread(target=self._serve, args=(inbox,), daemon=True)
            for inbox in self._inboxes
        ]
        for helper in self._helpers:
            helper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the helpers and give BLAS its threads back."""
        for inbox in self._inboxes:
            inbox.put(None)
        for helper in self._helpers:
            helper.join()
        sys.setswitchinterval(self._interval)
        self._limits.restore_original_limits()

    @property
    def threads(self) -> int:
        """How many there are, with the caller's."""
        return 1 + len(self._inboxes)

    def map(self, task: Callable[[int], Result], count: int) -> list[Result]:
        """[task(0), ..., task(count - 1)], in this order, when all have ended.

        Every thread takes every so-manieth task, the caller's the first. The first
        error of a task is raised here, then.
        """
        outcomes: list[Any] = [None] * count
        threads = self.threads

        def run(first: int) -> None:
            for i in range(first, count, threads):
                try:
                    outcomes[i] = True, task(i)
                except BaseException as error:
                    outcomes[i] = False, error

        for first, inbox in enumerate(self._inboxes, 1):
            inbox.put((run, first))
        run(0)
        for _ in self._inboxes:
            self._finished.get()
        for fine, result in outcomes:
            if not fine:
                raise result
        return [result for _, result in outcomes]

    def _serve(self, inbox: SimpleQueue[Any]) -> None:
        while (order := inbox.get()) is not None:
            run, first = order
            run(first)
            self._finished.put(None)
