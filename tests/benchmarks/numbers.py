"""From seconds to a table: percentiles, ratios, and the bars of issue 5."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .processes import Pair
from .spec import BARE, COMPILE, EAGER, EXAMPLE, JAX, OURS, PRODUCTS

BEST, ITSELF = "best peer", "seconds"
FRAMEWORKS = (EAGER, COMPILE, EXAMPLE, JAX)


class Bar(NamedTuple):
    """The most that ours / theirs may be; or ours itself, in seconds."""

    workload: str
    against: str
    most: float


BARS = (
    Bar("headline", JAX, 0.6),
    Bar("headline", COMPILE, 0.45),
    Bar("headline", EAGER, 0.35),
    Bar("headline", EXAMPLE, 0.1),
    Bar("floor", PRODUCTS, 1.0),
    Bar("tanh-20", BEST, 0.5),
    Bar("nll", BEST, 0.7),
    Bar("conv", EAGER, 1.0),
    Bar("start-cold", ITSELF, 6.0),
    Bar("start-cached", ITSELF, 1.5),
    Bar("memory", EAGER, 0.6),
    Bar("user", BARE, 1.1),
)


def tenth(values: Sequence[float]) -> float:
    """The 10th percentile."""
    return float(np.percentile(values, 10))


def ratio(pairs: Sequence[Pair]) -> tuple[float, list[float]]:
    """Ours / theirs: of each pair the ratio of 10th percentiles, and their median."""
    ratios = [tenth(pair.ours) / tenth(pair.theirs) for pair in pairs]
    return float(np.median(ratios)), ratios


def summary(pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """Of ours and each peer: median, p10, and ours / peer, in all and pair by pair."""
    found: dict[str, dict[str, Any]] = {}
    slices = {OURS: [pair.ours for pair in pairs]}
    for pair in pairs:
        slices.setdefault(pair.peer, []).append(pair.theirs)
    for name, parts in slices.items():
        values = [value for part in parts for value in part]
        found[name] = {
            "median": float(np.median(values)), "p10": tenth(values), "slices": parts,
        }  # fmt: skip
        if name != OURS:
            middle, each = ratio([pair for pair in pairs if pair.peer == name])
            found[name] |= {"ratio": middle, "ratios": each}
    return found


def measured(bar: Bar, workloads: Mapping[str, Mapping[str, Any]]) -> float | None:
    """What a bar is held against, or None where that was not run."""
    entries = workloads.get(bar.workload, {}).get("entries", {})
    if bar.against == ITSELF:
        return entries[OURS]["median"] if OURS in entries else None
    if bar.against == BEST:
        ratios = [entries[peer]["ratio"] for peer in FRAMEWORKS if peer in entries]
        return max(ratios, default=None)
    return entries[bar.against]["ratio"] if bar.against in entries else None


def judged(workloads: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each bar with what was measured, and "met", "missed" or "not measured"."""
    rows = []
    for bar in BARS:
        value = measured(bar, workloads)
        verdict = "not measured" if value is None else "missed"
        if value is not None and value <= bar.most:
            verdict = "met"
        rows.append({**bar._asdict(), "measured": value, "verdict": verdict})
    return rows


def bar_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The bars, a line each."""
    lines = [f"{'bar':34}{'at most':>8}{'measured':>10}"]
    for row in rows:
        of = "/ " * (row["against"] != ITSELF) + row["against"]
        value = "-" if row["measured"] is None else f"{row['measured']:.3f}"
        what = f"{row['workload']:13}{of}"
        lines.append(f"{what:34}{row['most']:>8g}{value:>10}  {row['verdict']}")
    return "\n".join(lines)


def time_table(name: str, workload: Mapping[str, Any]) -> str:
    """A workload's entries, a line each."""
    unit, scale = workload["unit"], 1000 if workload["unit"] == "ms" else 1
    lines = [f"{name}: {workload['about']}"]
    lines.append(f"  {unit:20}{'median':>9}{'p10':>9}{'ours / it':>11}  pair by pair")
    for entry, found in workload["entries"].items():
        line = f"  {entry:20}{found['median'] * scale:9.2f}{found['p10'] * scale:9.2f}"
        if "ratio" in found:
            low, high = min(found["ratios"]), max(found["ratios"])
            line += f"{found['ratio']:11.3f}  {low:.3f} to {high:.3f}"
        lines.append(line)
    return "\n".join(lines)
