"""Every pair and whole models, on random shapes: what `numpyvae gradcheck` runs.

The reference code is held against the complex step, the compiled code against Ridders'
differences.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...kernels.backends import compiled, reference
from ..gradcheck import DIRECTIONS, check
from . import convs, pairs, parts, wholes
from .trials import Subject, Trial

__all__ = ["WHOLE_MODEL", "Row", "Subject", "Trial", "run", "subjects"]

WHOLE_MODEL = wholes.WHOLE_MODEL  # it is drawn and measured, too


def subjects() -> tuple[Subject, ...]:
    """All there are; of parts, those that are registered now."""
    return (*pairs.SUBJECTS, *convs.SUBJECTS, *parts.subjects(), *wholes.SUBJECTS)


class Row(NamedTuple):
    """What came out for one subject and one code."""

    subject: Subject
    code: str
    trials: int
    derivatives: int
    worst: float  # largest error, as a share of what rounding allows
    faults: tuple[str, ...]


def run(trials: int, seed: int) -> Iterator[Row]:
    """Check every subject on `trials` random shapes, a row for each of its codes.

    A compiled twin has a tenth of the trials: its differences take longer.
    """
    for subject in subjects():
        for code in ("reference", "compiled") if subject.has_twin else ("reference",):
            count = trials if code == "reference" else -(-trials // 10)
            stream = zlib.crc32(f"{subject.name}, {code}".encode())
            rng = np.random.default_rng([seed, stream])
            derivatives, worst, faults = 0, 0.0, []
            for _ in range(count):
                state = rng.bit_generator.state
                trial = subject.draw(rng, reference)
                twin = None
                if code == "compiled":
                    twin = trial.forward, trial.backward
                    rng.bit_generator.state = state
                    trial = subject.draw(rng, compiled)
                report = check(
                    trial.forward, trial.backward, trial.args, trial.names, rng, twin
                )
                derivatives += DIRECTIONS * len(report.blocks)
                worst = max(worst, *(block.ratio for block in report.blocks))
                faults += [block.fault for block in report.blocks if block.fault]
            yield Row(subject, code, count, derivatives, worst, tuple(faults))
