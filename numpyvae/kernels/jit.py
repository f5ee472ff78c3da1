"""How this project compiles a loop."""

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from ..signals import held

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FROM = r"from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|.+)"
IMPORT = re.compile(rf"^[ \t]*(?:{FROM}|import[ \t]+(.+))", re.MULTILINE)


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
        # No directory can be written, or the function stands in no file.
        with suppress(RuntimeError, OSError):
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
        """RuntimeError where there is no place for files; OSError: none to read."""
        super().__init__(function)
        file = os.path.abspath(function.__code__.co_filename)
        stamp = self._impl.locator.get_source_stamp(), _stamp(file)
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


def _stamp(path: str) -> str:
    """What a cache was compiled from: a file and all of ours that it needs to run.

    That is the SHA-256 of theirs, of what it imports of this package and what those do.
    """
    found: set[str] = set()
    ahead = {path}
    while ahead:
        found |= ahead
        ahead = {file for each in ahead for file in _read(each)[1]} - found
    digests = b"".join(_read(each)[0] for each in sorted(found))
    return hashlib.sha256(digests).hexdigest()


@cache
def _read(path: str) -> tuple[bytes, set[str]]:
    """The SHA-256 of a file, and the files of ours that it imports itself."""
    with open(path, "rb") as file:
        content = file.read()
    folder, name = os.path.split(PACKAGE)
    found: set[str] = set()
    for dots, module, names, modules in IMPORT.findall(content.decode("utf-8")):
        for dotted in [module] if names else re.findall(r"[\w.]+", modules):
            parts = dotted.split(".")
            if not dots and parts[0] != name:
                continue  # another package
            above = folder if not dots else path
            for _ in dots:
                above = os.path.dirname(above)
            place = os.path.join(above, *parts)
            found |= _files(place)
            if os.path.isdir(place):  # whose names may be files
                for each in re.findall(r"\w+", names):
                    found |= _files(os.path.join(place, each))
    return hashlib.sha256(content).digest(), found


@cache
def _files(place: str) -> set[str]:
    """The file of a module, or of a package; empty where there is none."""
    return {
        file
        for file in (f"{place}.py", os.path.join(place, "__init__.py"))
        if os.path.isfile(file)
    }
