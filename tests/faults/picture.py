"""Draw what came out, family by family."""

from pathlib import Path

from matplotlib.ticker import NullLocator

from numpyvae.figures.style import (
    CURVES,
    FONT,
    GREY,
    GRID,
    INK,
    MARGIN,
    TICK,
    WIDTH,
    page,
    panel,
    save,
    write,
)

TORCHS = "torch\N{RIGHT SINGLE QUOTATION MARK}s gradcheck criterion"
OURS, TORCH = CURVES[1][2], CURVES[2][2]
ROW, TEXT = 0.47, 2.1  # inches: a family's height, the width of its name
BAR, OFF = 0.32, 0.19  # of a row: a bar, its distance from the middle


def draw(path: Path, counts: dict[str, tuple[int, int, int, int]]) -> None:
    """Two bars for each family: what the tests caught, what a gradient check alone."""
    shown = {name: numbers for name, numbers in counts.items() if numbers[0]}
    planted, on, off, torch = map(sum, zip(*shown.values(), strict=True))
    title = (
        f"{min(on, off)} of {planted} planted faults are caught; "
        f"a gradient check alone sees {torch} of them"
    )
    key, below = 0.4, 0.0
    height = ROW * len(shown)
    figure, y = page(key + height + below, title)
    write(figure, MARGIN, y, "these tests", OURS)
    write(figure, MARGIN + 1.1, y, TORCHS, TORCH)
    write(figure, MARGIN + 3.45, y, "all planted", GREY)
    y -= key + height
    axes = panel(figure, TEXT, y, WIDTH - MARGIN - TEXT, height, ("", ""))
    axes.grid(visible=False)
    for i, (name, (total, on, off, torch)) in enumerate(shown.items()):
        for at, caught, colour, label in (
            (i - OFF, min(on, off), OURS, f"{min(on, off)} of {total}"),
            (i + OFF, torch, TORCH, f"{torch}"),
        ):
            axes.barh(at, total, BAR, color=GRID)
            axes.barh(at, caught, BAR, color=colour)
            axes.text(
                total + 0.5, at, label, color=colour, size=TICK, family=FONT,
                va="center_baseline",
            )  # fmt: skip
        write(
            figure, MARGIN, y + height - (i + 0.5) * ROW, name, INK, TICK,
            va="center_baseline",
        )  # fmt: skip
    axes.set(
        ylim=(len(shown) - 0.5, -0.5),
        xlim=(0, 1.28 * max(numbers[0] for numbers in shown.values())),
    )
    axes.yaxis.set_major_locator(NullLocator())
    axes.xaxis.set_major_locator(NullLocator())
    save(figure, path)
