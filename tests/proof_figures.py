"""Draw the proof: `python -m tests.proof_figures [OUTDIR]`, from the checkout.

meaning.png sets every claim of test_meaning.py beside its planted faults;
ground_truth.png shows the ELBO of a model whose log p(x) is known (test_ppca.py).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, NullLocator

from numpyvae.figures.style import (
    CURVES,
    FONT,
    GREY,
    GRID,
    INK,
    MARGIN,
    PAPER,
    TICK,
    WIDTH,
    page,
    panel,
    save,
    write,
)

sys.path.insert(0, str(Path(__file__).parent))  # the tests import each other so

import planted
import ppca
import test_meaning
import test_ppca
from test_meaning import LIMIT, POWER, Claim

REAL, OTHER, FAULT = CURVES[1][2], CURVES[0][2], CURVES[2][2]
# Inches: a row, what parts two claims, how far a fault is indented, all names.
ROW, APART, INDENT, TEXT = 0.19, 0.09, 0.12, 2.68


class Row(NamedTuple):
    name: str
    y: float  # inches below the first
    real: float
    fault: float | None  # None in a row that only names the claim


def meaning(path: Path) -> None:
    """A row for each fault: where it puts the statistic, and where the code is."""
    noisy = [claim for claim in test_meaning.CLAIMS if not claim.exact]
    exact = [claim for claim in test_meaning.CLAIMS if claim.exact]
    groups = (
        ("By sampling: off by so many standard errors", noisy, (0.1, 1, 10, 100, 1000)),
        (
            "Exactly: off, taking 2e-13 for a standard error",
            exact,
            (1e-3, 1, 1e6, 1e12),
        ),
    )
    tables = [_rows(claims) for _, claims, _ in groups]
    heights = [table[-1].y + ROW for table in tables]
    title = (
        f"{len(test_meaning.CLAIMS)} claims hold within {LIMIT} standard errors; "
        f"each of {len(test_meaning.FAULTS)} planted faults is beyond {POWER}"
    )
    key, heading, below = 0.4, 0.4, 0.45
    figure, y = page(key + sum(heights) + 2 * (heading + below) - 0.2, title)
    write(figure, MARGIN, y, "the code", REAL)
    write(figure, MARGIN + 0.85, y, "the same code with the fault named", FAULT)
    y -= key
    for (unit, _, ticks), table, height in zip(groups, tables, heights, strict=True):
        write(figure, MARGIN, y, unit, GREY)
        y -= heading + height
        axes = panel(figure, TEXT, y, WIDTH - MARGIN - TEXT, height, ("", ""))
        _dumbbells(axes, table, height, ticks)
        for row in table:
            is_claim = row.fault is None
            x, colour = (MARGIN, INK) if is_claim else (MARGIN + INDENT, GREY)
            at = y + height - row.y - ROW / 2
            write(figure, x, at, row.name, colour, TICK, va="center_baseline")
        y -= below
    save(figure, path)


def _rows(claims: Sequence[Claim]) -> list[Row]:
    rows: list[Row] = []
    y = -ROW - APART
    for claim in claims:
        real = max(
            test_meaning.measured(claim, code) for code in test_meaning.CODES.values()
        )
        y += ROW + APART
        rows.append(Row(claim.name, y, real, None))
        for fault, code in claim.faults.items():
            y += ROW
            rows.append(Row(fault, y, real, test_meaning.measured(claim, code)))
    return rows


def _dumbbells(
    axes: Axes, rows: Sequence[Row], height: float, ticks: Sequence[float]
) -> None:
    low = ticks[0] / 3
    high = 6 * max(row.fault for row in rows if row.fault is not None)
    for row in rows:
        if row.fault is not None:
            real = max(row.real, ticks[0])  # an exact 0 stands at the first tick
            axes.plot([real, row.fault], [row.y, row.y], color=GREY, lw=1, alpha=0.5)
            axes.plot(real, row.y, "o", color=REAL, ms=5)
            axes.plot(row.fault, row.y, "o", color=FAULT, ms=5)
    axes.set(xscale="log", xlim=(low, high), ylim=(height - ROW / 2, -ROW / 2))
    axes.axvspan(low, LIMIT, color=REAL, alpha=0.08, lw=0)
    axes.axvspan(POWER, high, color=FAULT, alpha=0.08, lw=0)
    axes.grid(visible=False)
    axes.yaxis.set_major_locator(NullLocator())
    _ticks(axes.xaxis, ticks)
    for at, side in ((LIMIT, "right"), (POWER, "left")):
        axes.text(at, -0.13, f"{at}", ha=side, color=GREY, size=TICK, family=FONT)


def _ticks(axis: Axis, at: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(at))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        lambda value, _: (
            np.format_float_positional(value, trim="-")
            if 1e-5 < value < 1e5
            else f"{value:.0e}"
        )
    )


def ground_truth(path: Path) -> None:
    """The ELBO along two ways through the exact posterior; the bound's gap over K."""
    title = (
        "The ELBO touches log p(x) at the exact posterior only; "
        "more samples close the gap"
    )
    left, heights, below, heading, key = 0.78, (2.6, 2.0), 0.6, 0.3, 0.72
    figure, y = page(sum(heights) + 2 * heading + key + 2 * below - 0.3, title)
    width = WIDTH - left - MARGIN
    write(figure, MARGIN, y, "ELBO, nats above log p(x)", INK)
    for i, (x, text, colour) in enumerate(
        (
            (0, "posterior\N{RIGHT SINGLE QUOTATION MARK}s mean + t std. dev.", OTHER),
            (2.6, "its log-variance + t", REAL),
            (0, "faulty ELBO, taken at z = mean", FAULT),
            (2.6, "\N{WHITE CIRCLE} minus KL(q, posterior)", GREY),
        )
    ):
        write(figure, MARGIN + x, y - 0.3 - 0.23 * (i // 2), text, colour, TICK)
    y -= heading + key + heights[0] - 0.2
    names = ("t, the distance from the exact posterior", "")
    _ways(panel(figure, left, y, width, heights[0], names))
    y -= below
    write(figure, MARGIN, y, "Importance-weighted bound, nats below log p(x)", INK)
    y -= heading + heights[1]
    _bound(panel(figure, left, y, width, heights[1], ("samples K", "")))
    save(figure, path)


def _ways(axes: Axes) -> None:
    rng = np.random.default_rng(test_ppca.SEED)
    decoder = ppca.draw_decoder(rng, 2, 5, diagonal=True)
    x = 2 * rng.standard_normal((1, 5))
    truth = ppca.log_evidence(x, decoder)
    at, covariance = ppca.posterior(x, decoder)
    variance = np.diag(covariance)[None]
    t = np.linspace(-2.5, 2.5, 201)[:, None]
    images, points = np.repeat(x, len(t), axis=0), ppca.sigma_points(2)
    mu, logvar = np.repeat(at, len(t), axis=0), np.log(variance).repeat(len(t), axis=0)
    moved = mu + t * np.sqrt(variance / 2)  # by t standard deviations in all
    for colour, mean, spread, code in (
        (REAL, mu, logvar + t, planted.REAL),
        (OTHER, moved, logvar, planted.REAL),
        (FAULT, moved, logvar, test_ppca.NO_NOISE),
    ):
        elbo = ppca.elbo(code, images, decoder, mean, spread, points) - truth
        axes.plot(t[:, 0], elbo, color=colour, lw=2)
    for colour, mean, spread in ((REAL, mu, logvar + t), (OTHER, moved, logvar)):
        gap = ppca.kl_between(mean[::20], np.exp(spread[::20]), at, covariance)
        axes.plot(t[::20, 0], -gap, "o", color=colour, ms=5, mfc=PAPER)
    axes.axhline(0, color=INK, lw=1)
    axes.axhspan(0, 1.6, color=FAULT, alpha=0.08, lw=0)
    axes.set(xlim=(-2.65, 2.65), ylim=(-3.3, 1.6))
    _say(axes, -2.55, 1.3, "impossible", FAULT)


def _bound(axes: Axes) -> None:
    found = test_ppca.importance(planted.REAL, test_ppca.REPEATS)
    axes.plot(test_ppca.COUNTS, found.predicted, color=GRID, lw=7)
    axes.plot(test_ppca.COUNTS, found.gap, "o", color=REAL, ms=5)
    axes.set(xscale="log", yscale="log", ylim=(2, 8e-5))
    _ticks(axes.xaxis, (1, 8, 64, 512, 4096))
    _ticks(axes.yaxis, (1, 0.1, 0.01, 0.001, 0.0001))
    _say(
        axes,
        40,
        0.25,
        "dots: 200 \N{MULTIPLICATION SIGN} 4,096 samples\nline: χ²(p(z|x), q) / 2K",
        GREY,
    )


def _say(
    axes: Axes, x: float, y: float, text: str, colour: str, ha: str = "left"
) -> None:
    axes.text(x, y, text, color=colour, size=TICK, family=FONT, ha=ha, va="center")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "proof")
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (meaning, ground_truth):
        path = folder / f"{draw.__name__}.png"
        draw(path)
        print(path)


if __name__ == "__main__":
    main()
