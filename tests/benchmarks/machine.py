"""On what machine, with what versions."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from numpyvae.training.workers import available_cores


def cpu_model() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> list[float]:
    """The load average over 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()]


def describe() -> dict[str, Any]:
    """All that a number depends on."""
    versions = {"python": platform.python_version()}
    for package in ("numpyvae", "numpy", "numba", "torch", "jax", "jaxlib"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return {
        "cpu": cpu_model(),
        "cores": available_cores(),
        "system": platform.platform(),
        "blas": ", ".join(
            f"{b['internal_api']} {b['version']} {b.get('architecture', '')}"
            for b in blas
        ),
        "versions": versions,
        "load_at_start": load(),
    }
