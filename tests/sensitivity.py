"""How small a fault `gradcheck` finds, and that it finds none where there is none.

`python -m tests.sensitivity [--models N] [--plot PNG]`: random VAEs, of each one block
of the gradient scaled by 1 + d. Beside it, the same faults by the criteria of others:
torch.autograd.gradcheck's (central differences, rtol 1e-3, atol 1e-5), and central
differences held to a relative 1e-6.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from numpyvae.checking.derivative import complex_step
from numpyvae.checking.gradcheck import DIRECTIONS, check
from numpyvae.checking.package import WHOLE_MODEL, Trial
from numpyvae.checking.rounding import EPS, Tracked
from numpyvae.figures.style import CURVES, GREY, MARGIN, WIDTH, page, panel, save, write
from numpyvae.kernels.backends import reference
from numpyvae.pairs.dense import Array

SIZES = 10.0 ** -np.arange(2, 15)
NAMES = ("torch's criterion", "rtol 1e-6", "rounding bound")


def block_detections(trial: Trial, rng: np.random.Generator) -> list[Array]:
    """For each block, whether each criterion (row) sees each d of SIZES (column)."""
    one = np.float64(1)
    grads = trial.backward(one, *trial.args)
    tracked = trial.backward(Tracked(np.ones(())), *map(Tracked, trial.args))
    found = []
    for i, (x, grad) in enumerate(zip(trial.args, grads, strict=True)):
        if not grad.any():
            continue  # a block behind dead units has the gradient 0, scaled or not

        def loss(block: Array, i: int = i) -> Array:
            kind = block.dtype
            others = [a.astype(kind) for a in trial.args]
            return trial.forward(*others[:i], block, *others[i + 1 :])

        seen = np.zeros((3, len(SIZES)), bool)
        slopes = np.empty_like(grad)
        for index in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[index] = 1e-6
            slopes[index] = (loss(x + step) - loss(x - step)) / 2e-6
        for k, d in enumerate(SIZES):
            off = np.abs(grad * (1 + d) - slopes)
            seen[0, k] = np.any(off > 1e-5 + 1e-3 * np.abs(slopes))
            seen[1, k] = np.any(off > 1e-6 * np.abs(slopes).max())
        for _ in range(DIRECTIONS):
            v = rng.standard_normal(x.shape)
            roundings = tracked[i].error + x.size * np.abs(grad)
            bound = 2 * EPS * (roundings * np.abs(v)).sum()
            slope = complex_step(loss, x, v)
            seen[2] |= np.abs(slope - (1 + SIZES) * (grad * v).sum()) > bound
        found.append(seen)
    return found


def main(arguments: list[str]) -> int:
    """Print the table; 1 if a clean model is called wrong or d = 1e-9 is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sensitivity")
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    false_alarms, blocks = 0, []
    for _ in range(options.models):
        trial = WHOLE_MODEL.draw(rng, reference)
        report = check(trial.forward, trial.backward, trial.args, trial.names, rng)
        false_alarms += not report.ok
        blocks += block_detections(trial, rng)
    rates = np.mean(blocks, axis=0)
    print(f"{options.models:,} clean models: {false_alarms} false alarms")
    print(f"{len(blocks):,} blocks, each scaled by 1 + d; share of them caught:\n")
    print("      d  " + "".join(f"{name:>20}" for name in NAMES))
    for k, d in enumerate(SIZES):
        print(f"  {d:.0e}  " + "".join(f"{rate:20.2%}" for rate in rates[:, k]))
    always = SIZES[rates[2] == 1]
    print(f"\nsmallest d that is always caught: {always.min():.0e}")
    if options.plot:
        draw(rates, always.min(), options.plot)
        print(options.plot)
    return int(false_alarms > 0 or always.min() > 1e-9)


def draw(rates: Array, smallest: float, path: Path) -> None:
    """The share caught against the size of the fault, a line for each criterion."""
    title = f"Scaled by 1 + {smallest:.0e}, a block is always caught"
    figure, y = page(4.3, title)
    write(figure, MARGIN, y, "share of faults caught, by", GREY)
    axes = panel(figure, 0.75, y - 3.8, WIDTH - 1.0, 3.0, ("size of the fault, d", ""))
    axes.set(xscale="log", ylim=(-0.03, 1.05))
    axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    axes.invert_xaxis()
    colours = [dark for _, _, dark, _, _ in reversed(CURVES)]
    for i, name in enumerate(NAMES):
        write(figure, MARGIN + 1.65 * i, y - 0.25, name, colours[i])
        axes.plot(SIZES, rates[i], "o-", color=colours[i], lw=1.4, ms=4)
    save(figure, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
