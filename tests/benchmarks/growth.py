"""How step times grow with width, batch and threads, for ours and the peers."""

from typing import Any

from .numbers import summary
from .ours import SIDE
from .processes import started, turns
from .spec import COMPILE, EAGER, JAX, OURS, PEAK, Spec
from .workloads import Bench

HIDDEN = (100, 200, 400, 800, 1600, 3200)
BATCHES = (16, 32, 64, 128, 256, 512, 1024)
QUICK = {"hidden": (100, 3200), "batch": (16, 1024)}


def growth(bench: Bench) -> list[dict[str, Any]]:
    """A point for each curve ("hidden", "batch"), number of threads and size."""
    sizes = QUICK if bench.quick else {"hidden": HIDDEN, "batch": BATCHES}
    slice_ = {**bench.slice, "seconds": bench.slice["seconds"] / 2}
    points = []
    for threads in sorted({1, bench.threads}):
        for curve, values in sizes.items():
            for value in values:
                size = {"hidden": (value,)} if curve == "hidden" else {"batch": value}
                spec = bench.spec(f"{curve}-{value}-{threads}",
                                  Spec(**size, threads=threads))  # fmt: skip
                point = measured(bench, spec, slice_)
                points.append({"curve": curve, "threads": threads, "size": value,
                               **point})  # fmt: skip
                print(line(points[-1]), flush=True)
    return points


def measured(bench: Bench, spec: Spec, slice_: dict[str, float]) -> dict[str, Any]:
    """The entries of one point, each with its share of the measured peak."""
    peers = [*bench.peers(EAGER, COMPILE, JAX), PEAK]
    with started(spec, (OURS, *peers)) as workers:

        def measure(entry: str) -> list[float]:
            return workers[entry].ask("steps", **slice_)["seconds"]

        entries = summary(turns(peers, min(bench.rounds, 3), measure))
    peak = 2 * SIDE**3 / entries.pop(PEAK)["p10"]
    for found in entries.values():
        found["share"] = spec.flops() / found["p10"] / peak
        del found["slices"]
    return {"gflops_peak": peak / 1e9, "entries": entries}


def line(point: dict[str, Any]) -> str:
    """A point in a line: ms, and the share of the peak."""
    head = f"{point['curve']:7}{point['size']:5}, {point['threads']} threads "
    each = (f"{entry} {found['p10'] * 1000:.2f} ms {found['share']:.0%}"
            for entry, found in point["entries"].items())  # fmt: skip
    return f"{head}(peak {point['gflops_peak']:.0f} GFLOP/s): {', '.join(each)}"
