"""Curves: how training went, and the errors of numerical derivatives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_numbers, expect_unmasked
from .style import CURVES, GREY, MARGIN, TICK, WIDTH, number, page, panel, save, write


def learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw ELBO, reconstruction and KL, train and test, epoch by epoch.

    `history` has a row per epoch with the keys epoch, train_elbo, train_recon,
    train_kl, test_elbo, test_recon, test_kl: nats per image, ELBO = -(recon + KL).
    The three terms differ in size, so each has its own scale. In a run of 20 epochs
    or more, that scale leaves out the first twentieth, which would flatten the rest.
    An auto-encoder's KL is 0, and then the reconstruction is all there is to draw.
    """
    column = _columns(history)
    epoch = column["epoch"]
    first, last = int(epoch[0]), int(epoch[-1])
    curves: Sequence[tuple[str, str, str, str, float]] = CURVES
    term = "ELBO"
    formula = "ELBO = \N{MINUS SIGN}(reconstruction + KL), nats per image"
    if not (column["train_kl"].any() or column["test_kl"].any()):
        curves, term = CURVES[1:2], "reconstruction"
        formula = "\N{MINUS SIGN}log p(x|z), nats per image"
    reached = number(column[f"test_{curves[0][0]}"][-1])
    title = f"Test {term} {reached} nats after {last} epoch{'s' * (last != 1)}"

    note, heading, left, right, below = 0.2, 0.5, 0.7, 1.2, 0.45
    body = note + sum(heading + height for *_, height in curves) + below
    figure, y = page(body, title)
    write(figure, MARGIN, y, formula, GREY)
    y -= note
    ticks = MaxNLocator(6, integer=True).tick_values(first, last)
    pad = 0.02 * (last - first) + 0.05
    line = "o-" if len(epoch) <= 20 else "-"
    broad = 3.2 if len(epoch) <= 100 else 1.4  # shows behind the other curve
    start = len(epoch) // 20
    for term, name, dark, light, height in curves:
        write(figure, MARGIN, y - 0.2, name, dark)
        y -= heading + height
        lowest = term == curves[-1][0]
        labels = ("epoch" if lowest else "", "")
        axes = panel(figure, left, y, WIDTH - left - right, height, labels)
        test, train = column[f"test_{term}"], column[f"train_{term}"]
        axes.plot(epoch, train, line, color=light, lw=broad, ms=6)
        axes.plot(epoch, test, line, color=dark, lw=1.4, ms=3.5)
        shown = np.concatenate([test[start:], train[start:]])
        room = max(0.08 * np.ptp(shown), 1 - np.ptp(shown) / 2)  # 2 nats at least
        low, high = shown.min() - room, shown.max() + room
        axes.set(ylim=(low, high), xlim=(first - pad, last + pad))
        axes.set_xticks([tick for tick in ticks if first <= tick <= last])
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        axes.tick_params(labelbottom=lowest)
        at = (np.array([test[-1], train[-1]]) - low) / (high - low) * height
        push = max(0.0, 0.19 - abs(at[0] - at[1])) / 2  # a line of text apart at least
        at += y + np.copysign(push, at[0] - at[1]) * np.array([1, -1])
        x, centre = WIDTH - right + 0.08, "center_baseline"
        write(figure, x, at[0], f"test {number(test[-1])}", dark, TICK, va=centre)
        write(figure, x, at[1], f"train {number(train[-1])}", light, TICK, va=centre)
    save(figure, path)


def v_curve(
    steps: NDArray[Any], errors: Mapping[str, NDArray[Any]], path: Path, title: str
) -> None:
    """Draw relative errors (n,) of derivatives, up to three kinds, against steps (n,).

    An error of zero stands at 1e-17, below what float64 tells apart.
    """
    for name, array in {"steps": steps, **errors}.items():
        expect_unmasked(name, array)
        expect_numbers(name, array, finite=False)
        if np.shape(array) != (len(steps),):
            raise ArgumentError(
                f"{name}: found shape {np.shape(array)}, expected ({len(steps)},)"
            )
    figure, y = page(4.5, title)
    write(figure, MARGIN, y, "relative error of the derivative, by", GREY)
    axes = panel(figure, 0.75, y - 4.05, WIDTH - 1.0, 3.3, ("step size h", ""))
    axes.set(xscale="log", yscale="log", ylim=(3e-18, 10))
    axes.set_yticks(10.0 ** np.arange(-16, 1, 4))
    axes.set_xticks(10.0 ** np.arange(-16, 1, 4))
    axes.invert_xaxis()
    colours = [dark for _, _, dark, _, _ in reversed(CURVES)]
    for i, (name, error) in enumerate(errors.items()):
        write(figure, MARGIN + 1.65 * i, y - 0.25, name, colours[i])
        axes.plot(steps, error.clip(1e-17), "o-", color=colours[i], lw=1.4, ms=3)
    save(figure, path)


def _columns(history: Sequence[Mapping[str, float]]) -> dict[str, NDArray[Any]]:
    """The columns of the history that are drawn, each (rows,), all of them finite."""
    if len(history) == 0:
        raise ArgumentError("history: found no rows, expected one per epoch")
    columns = {}
    for name in ["epoch"] + [f"{s}_{t}" for t, *_ in CURVES for s in ("train", "test")]:
        columns[name] = np.array([row.get(name, np.nan) for row in history], float)
        for i in np.flatnonzero(~np.isfinite(columns[name])).tolist():
            found = history[i].get(name, f"no {name}")
            raise ArgumentError(
                f"history: found {found} in row {i}, expected a finite {name}"
            )
    return columns
