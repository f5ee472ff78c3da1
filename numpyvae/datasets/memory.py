"""How much memory there is to take, as far as the system tells."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
# What a container may take, in either version of Linux's control groups.
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def available_memory() -> int | None:
    """The bytes that this process could take without swapping; None if nobody tells.

    Linux and Windows say what is available now, and Linux what a container is
    limited to; of other systems, such as macOS, it is all the memory they have.
    """
    if sys.platform == "win32":
        return _of_windows()
    told = [_number(path, r"^(\d+)$") for path in LIMITS]
    if kilobytes := _number(MEMINFO, r"^MemAvailable: *(\d+) kB$"):
        told.append(1024 * kilobytes)
    with suppress(OSError, ValueError):  # where it has no such name
        told.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((number for number in told if number), default=None)


def _number(path: Path, pattern: str) -> int | None:
    """The number in a file of the system's, if there is one."""
    try:
        found = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def _of_windows() -> int | None:
    """GlobalMemoryStatusEx's ullAvailPhys."""
    if sys.platform != "win32":
        return None
    import ctypes

    status = (ctypes.c_uint64 * 8)(64)  # two 32-bit words, then seven of 64 bits
    known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status[2] if known else None
