"""`numpyvae gradcheck`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ... import figures
from ...checking.derivative import complex_step
from ...checking.package import WHOLE_MODEL, Row, run
from ...figures.files import expect_writable
from ...kernels.backends import reference
from ...pairs.types import Array

QUICK, THOROUGH = 250, 3000  # random shapes for each subject
HEADING = "{:32} {:18} {:10} {:>7} {:>12} {:>12}".format(
    "pair or model", "equations", "code", "shapes", "derivatives", "worst error"
)


def gradcheck(thorough: bool, seed: int, plot: str | None) -> int:
    """Check every gradient of the package; returns 1 if one is wrong, else 0."""
    picture = expect_writable(plot) if plot else None
    begin = time.perf_counter()
    print("Each backward pass against the derivative of its forward pass, float64.")
    print("Reference code: complex step. Compiled code: Ridders' differences.")
    print("Worst error: as a share of what rounding allows.\n")
    print(HEADING)
    rows = []
    for row in run(THOROUGH if thorough else QUICK, seed):
        rows.append(row)
        print(line(row), flush=True)
    seconds = time.perf_counter() - begin
    if picture:
        draw_v_curve(picture)
        print(f"\n{picture}")
    faults = [fault for row in rows for fault in row.faults]
    shapes, derivatives = sum(r.trials for r in rows), sum(r.derivatives for r in rows)
    print(
        f"\n{shapes:,} random shapes, {derivatives:,} derivatives, {seconds:.0f} s: "
        + (f"{len(faults):,} GRADIENTS WRONG" if faults else "every gradient is right")
    )
    return 1 if faults else 0


def line(row: Row) -> str:
    """A row under HEADING, and its first fault."""
    name, equations, *_ = row.subject
    text = (
        f"{name:32} {equations:18} {row.code:10} {row.trials:7,} {row.derivatives:12,} "
        f"{row.worst:12.1e}"
    )
    return text + (f"\n  WRONG: {row.faults[0]}" if row.faults else "")


def draw_v_curve(path: Path) -> None:
    """The error of numerical derivatives of a VAE's loss, by the size of the step.

    It is measured against the complex step at h = STEP, where nothing cancels.
    """
    rng = np.random.default_rng(0)
    trial = WHOLE_MODEL.draw(rng, reference)
    x, *others = trial.args
    direction = rng.standard_normal(x.shape)

    def loss(block: Array) -> Any:
        kind = block.dtype
        return trial.forward(block, *(other.astype(kind) for other in others))

    def at(t: float) -> float:
        return float(loss(x + t * direction))

    truth = complex_step(loss, x, direction)
    steps = 10.0 ** np.arange(0, -16.1, -0.5)
    found = {
        "forward difference": [(at(h) - at(0)) / h for h in steps],
        "central difference": [(at(h) - at(-h)) / (2 * h) for h in steps],
        "complex step": [float(loss(x + 1j * h * direction).imag) / h for h in steps],
    }
    errors = {
        name: np.abs(np.array(values) / truth - 1) for name, values in found.items()
    }
    best = errors["central difference"].min()
    title = (
        f"Differences come within {best:.0e} of the derivative, the complex step to it"
    )
    figures.v_curve(steps, errors, path, title)
