"""Ctrl-C and SIGTERM: who obeys them, and when.

The first file that a process of `numpyvae` loads: it imports nothing that takes time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager

TYPE_CHECKING = False  # to import `typing` for it would take 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any, NoReturn

# On Windows, Ctrl-Break is what one process can send to another.
NAMES = "SIGINT", "SIGTERM", "SIGBREAK"
STOPS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
ABORTED = 130  # the exit code


def obey(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    """Let `handler` have the signals from now on."""
    _set(dict.fromkeys(_handlers(), handler))


def abort(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that ends the process at once, with one line."""
    try:
        if sys.stderr is not None:
            os.write(sys.stderr.fileno(), b"numpyvae: aborted\n")
    finally:
        os._exit(ABORTED)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that raises KeyboardInterrupt, and lets the next signal abort."""
    obey(abort)
    raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Let signals wait for the end of the block, where they are obeyed.

    For what KeyboardInterrupt must not cut in two. Python raises it in the main thread
    alone; in others the block does nothing.
    """
    waiting: list[int] = []
    before = {n: handler for n, handler in _handlers().items() if callable(handler)}
    _set(dict.fromkeys(before, lambda number, frame: waiting.append(number)))
    try:
        yield
    finally:
        _set(before)
        for number in waiting:
            signal.raise_signal(number)


@contextmanager
def first_signal() -> Iterator[list[int]]:
    """A list that the first signal adds to; the second one is obeyed as before.

    In another thread than the main one, which may not set handlers, it stays empty.
    """
    signals: list[int] = []
    before = _handlers()

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        _set(before)

    _set(dict.fromkeys(before, note))
    try:
        yield signals
    finally:
        _set(before)


def _handlers() -> dict[int, Any]:
    """Those that may be replaced: not of signals that our parent lets us ignore."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    now = {number: signal.getsignal(number) for number in STOPS}
    return {n: h for n, h in now.items() if h not in (signal.SIG_IGN, None)}


def _set(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
