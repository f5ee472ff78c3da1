"""A few threads, each doing a whole shard of the work with BLAS kept to one thread.

BLAS's own pool and numba's would fight over the cores; matrix products and kernels
release the GIL, so plain Python threads around serial code use them all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
from statistics import median
from typing import Any, TypeVar

from .process import quick_switches, serial_blas

Result = TypeVar("Result")


def available_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """The caller's thread and some helpers, to be used in a `with` block."""

    def __init__(self, threads: int) -> None:
        """With one thread, everything runs in the caller's.

        `threads`, the caller's among them, may be set to fewer for a while.
        """
        self.threads = threads
        self._inboxes: list[SimpleQueue[Any]] = [
            SimpleQueue() for _ in range(threads - 1)
        ]
        self._finished: SimpleQueue[None] = SimpleQueue()

    def __enter__(self) -> Workers:
        """Keep BLAS to one thread from here on, and start the helpers."""
        with ExitStack() as stack:
            stack.enter_context(serial_blas)
            if self._inboxes:
                stack.enter_context(quick_switches)
            for inbox in self._inboxes:
                helper = threading.Thread(
                    target=self._serve, args=(inbox,), daemon=True
                )
                helper.start()
                stack.callback(helper.join)
                stack.callback(inbox.put, None)
            self._process, self._stack = os.getpid(), stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """End the helpers and give BLAS its threads back."""
        self._stack.close()

    def map(self, task: Callable[[int], Result], count: int) -> list[Result]:
        """[task(0), ..., task(count - 1)], in this order, when all have ended.

        Of T threads, the caller's takes the tasks 0, T, 2T, ..., the next one the tasks
        1, T + 1, ... The first error of a task is raised here, then. In a process that
        was forked since, which has no helpers, the caller's takes all.
        """
        results: list[Any] = [None] * count
        errors: dict[int, BaseException] = {}
        helpers = self.threads - 1 if os.getpid() == self._process else 0
        inboxes, threads = self._inboxes[:helpers], 1 + helpers

        def run(first: int) -> None:
            for i in range(first, count, threads):
                try:
                    results[i] = task(i)
                except BaseException as error:
                    errors[i] = error

        for first, inbox in enumerate(inboxes, 1):
            inbox.put((run, first))
        run(0)
        for _ in inboxes:
            self._finished.get()
        if errors:
            raise errors[min(errors)]
        return results

    def _serve(self, inbox: SimpleQueue[Any]) -> None:
        with serial_blas:
            while (order := inbox.get()) is not None:
                run, first = order
                run(first)
                self._finished.put(None)


class Pace:
    """Whether steps are quicker on all threads or on one, tried from time to time.

    Threads that meet wait for the slowest. Where another program keeps a core busy, a
    step on two threads takes longer than on one.
    """

    FIRST, PERIOD, TRIAL = 64, 2048, 8  # steps
    GAIN = 0.9  # a trial that takes less than this share of the time is kept

    def __init__(self, workers: Workers) -> None:
        """Begin with all threads."""
        self._workers, self._all = workers, workers.threads
        self._last: deque[float] = deque(maxlen=self.TRIAL)
        self._steps, self._usual = self.PERIOD - self.FIRST, 0.0

    def note(self, seconds: float) -> None:
        """Note the seconds of a step; the next may be on another number of threads."""
        self._last.append(seconds)
        self._steps += 1
        if self._steps == self.PERIOD:
            self._usual = median(self._last)
            self._change()
        elif self._steps == self.PERIOD + self.TRIAL:
            if median(self._last) > self.GAIN * self._usual:
                self._change()
            self._steps = 0

    def _change(self) -> None:
        self._workers.threads = self._all if self._workers.threads == 1 else 1
