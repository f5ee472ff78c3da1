"""What the bits of a training depend on besides its config: versions and machine.

A run that was begun on one machine and resumed on another has the bits of neither. So
its config keeps all sets of versions that have had a hand in it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from textwrap import shorten
from typing import Any

import matplotlib
import numba
import numpy as np
from numba.core.registry import cpu_target
from threadpoolctl import threadpool_info

from .. import __version__
from ..training.trainer import Trainer


def versions(trainer: Trainer) -> dict[str, str]:
    """All that the bits of a run depend on besides its config."""
    blas = {
        f"{p['internal_api']} {p.get('architecture', '')}"
        for p in threadpool_info()
        if p["user_api"] == "blas"
    }
    jit = "off"
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
        jit = f"for {cpu} {features.replace(',', ' ')}"
    return {
        "numpyvae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "matplotlib": matplotlib.__version__,
        "jit": jit,
        "step": "fused" if trainer.fuses else "general",
        "machine": platform.machine(),
        "blas": ", ".join(sorted(blas)),
    }


def sets_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """All sets of versions that a run has been trained with. Raises ValueError."""
    sets = config.get("versions")
    if not isinstance(sets, list) or not all(isinstance(s, dict) for s in sets):
        raise ValueError("its versions are none")
    return sets


def differences(
    now: dict[str, str], then: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Each version that is another: its name, and the words that differ."""
    for name, found in now.items():
        was = str(then.get(name))
        if found != was:
            yield name, _words(found, was), _words(was, found)


def _words(one: str, other: str) -> str:
    """The first words of `one` that are not in `other`."""
    words = (word for word in one.split() if word not in other.split())
    return shorten(" ".join(words), 60, placeholder=" ...")
