"""How this project compiles a loop."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from ..signals import held


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.njit`: serial, without the GIL, without a zero test at each division.

    The error model "python" would put that test in every loop and stop it from being
    vectorized. `contract` and `reassoc` let a sum be vectorized and, unlike full
    fastmath, leave NaN and infinity their meaning. Where there is no place for numba's
    cache, the function is compiled anew in each process.
    """
    return _compiled(function, parallel=False)


def parallel_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jit`, and numba's threads share the turns of its loops over `prange`."""
    return _compiled(function, parallel=True)


def _compiled(function: Callable[..., Any], *, parallel: bool) -> Callable[..., Any]:
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "reassoc"},
        "parallel": parallel,
        "no_cfunc_wrapper": True,  # for C to call, which nobody does
    }
    compiled: Any = numba.njit(**options)(function)
    if compiled is function:  # NUMBA_DISABLE_JIT=1
        return compiled
    # A KeyboardInterrupt would crash LLVM, or get lost in one of its callbacks.
    compiled.compile = held()(compiled.compile)
    # Without a home, numba would make a folder called "~" in the current one.
    placed = os.environ.get("NUMBA_CACHE_DIR") or os.path.expanduser("~") != "~"
    if placed:
        with suppress(RuntimeError):  # no directory can be written
            compiled._cache = _Cache(function)
    return compiled


class _Files(IndexDataCacheFile):
    """A file for each signature, which says itself what it was compiled from.

    numba keeps an index of its files and counts them. Two processes that save at once
    take the same number, and from then on a signature loads the code of another.
    """

    def save(self, key: Any, code: Any) -> None:
        """Raises OSError where it can't be written."""
        self._save_data(self._name(key), (self._source(key), code))

    def load(self, key: Any) -> Any:
        """The code; None if there is none of this source. Raises if damaged."""
        try:
            source, code = self._load_data(self._name(key))
        except FileNotFoundError:
            return None
        return code if source == self._source(key) else None

    def _source(self, key: Any) -> Any:
        return self._version, self._source_stamp, key

    def _name(self, key: Any) -> str:
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return self._data_name(int(digest[:12], 16))


class _Cache(FunctionCache):
    """numba's cache, but stale after an edit, and no error when damaged or full.

    A kernel that calls another one holds its code; numba looks at the caller's file
    alone, and would go on with what the other was before.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Raises RuntimeError where there is no place for files."""
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), _stamp(Path(__file__).parent)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, *key: Any) -> Any:
        """The compiled code; None if it can't be read."""
        try:
            return super().load_overload(*key)
        except Exception:  # whatever unpickling half a file raises
            return None

    def save_overload(self, *key_and_code: Any) -> None:
        """Keep the compiled code if the disk lets us."""
        with suppress(OSError):
            super().save_overload(*key_and_code)


@cache
def _stamp(folder: Path) -> str:
    """The SHA-256 of each file with a kernel: what a cache was compiled from."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(folder.rglob("*.py")):
        if b"jit\ndef " in (content := path.read_bytes()):
            digest.update(path.name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()
