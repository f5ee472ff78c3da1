"""Ours and its peers, interleaved; see `python -m tests.benchmarks -h`.

Needs a quiet machine to mean anything, and for the peers
`pip install -r tests/benchmarks/requirements.txt`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from numpyvae.datasets import load
from numpyvae.datasets.mnist import ENVIRONMENT
from numpyvae.training.workers import available_cores

from . import machine
from .numbers import bar_table, judged, time_table
from .spec import JAX, absent
from .workloads import WORKLOADS, Bench

# The environment that BLAS and OpenMP are steered by.
STEERING = ("OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "VECLIB_", "OMP_", "GOMP_")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Time numpyvae against torch and JAX, interleaved, after a check "
        "that they compute the same: 15 minutes, or two with --quick.",
        epilog="Exits 1 where peers do not compute the same, or (but with --quick) if "
        "a bar is missed.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a little of each: no timing to believe")
    add("--only", nargs="+", metavar="NAME", choices=WORKLOADS, default=[],
        help=f"of {', '.join(WORKLOADS)}")  # fmt: skip
    add("--growth", action="store_true", help="the curves instead (30 minutes)")
    add("--plot", metavar="PNG", type=Path, help="draw the curves")
    add("--rounds", type=int, default=5, help="turns of each (default 5)")
    add("--data-dir", metavar="DIR", help="with MNIST; default: built-in strokes")
    add("--json", metavar="FILE", type=Path, help="write everything")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error(f"--rounds: found {chosen.rounds}, expected 1 or more")
    if chosen.plot and not chosen.growth:
        parser.error("--plot: found without --growth, whose curves it draws")
    return chosen


def heading(about: dict[str, Any], bench: Bench) -> str:
    """The machine, the versions, and who is absent."""
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    lines = [
        f"{about['cpu']}, {about['cores']} cores, {about['system']}",
        f"{versions}; {about['blas']}",
        f"{bench.data.name}, float32, dynamic binarization, Adam, {bench.threads} "
        f"threads; load average {about['load_at_start']}",
    ]
    lines += [f"absent: {peer}, for {package} is not installed"
              for peer, package in absent().items()]  # fmt: skip
    return "\n".join(lines)


def run(chosen: argparse.Namespace, folder: Path) -> int:
    directory = chosen.data_dir or os.environ.get(ENVIRONMENT)
    data = load("mnist" if directory else "strokes", directory)
    source = ["--data", "mnist", "--data-dir", directory] if directory else []
    bench = Bench(data, source, folder, available_cores(),
                  1 if chosen.quick else chosen.rounds, chosen.quick)  # fmt: skip
    about = machine.describe()
    print(heading(about, bench), flush=True)
    if bench.peers(JAX):
        about["generators"] = bench.choose_generator()
        told = (f"{1000 * s:.2f} ms with {g}" for g, s in about["generators"].items())
        print(f"a step of JAX takes {', '.join(told)}; it gets {bench.generator}")
    print(flush=True)
    found: dict[str, Any] = {"machine": about, "data": data.name, "quick": chosen.quick,
                             "absent": absent()}  # fmt: skip
    begin, missed = time.perf_counter(), False
    if chosen.growth:
        from .growth import growth

        found["growth"] = growth(bench)
    else:
        found["workloads"] = {}
        for name in chosen.only or WORKLOADS:
            found["workloads"][name] = WORKLOADS[name](bench)
            print(time_table(name, found["workloads"][name]) + "\n", flush=True)
        found["bars"] = judged(found["workloads"])
        found["disagreements"] = bench.disagreements
        missed = any(row["verdict"] == "missed" for row in found["bars"])
        print(bar_table(found["bars"]))
    about["load_at_end"] = machine.load()
    seconds = time.perf_counter() - begin
    print(f"{seconds:.0f} s; load average at the end {about['load_at_end']}")
    if chosen.quick:
        print("--quick: a rehearsal, its times mean nothing")
    if bench.disagreements:
        print(f"not the same gradients: {', '.join(bench.disagreements)}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if chosen.plot:
        from .picture import draw

        draw(chosen.plot, found["growth"])
    return int(bool(bench.disagreements) or (missed and not chosen.quick))


def main() -> int:
    steering = [name for name in os.environ if name.startswith(STEERING)]
    if steering:
        print(f"cleared, since a user's machine has none: {', '.join(steering)}")
        free = {k: v for k, v in os.environ.items() if k not in steering}
        again = [sys.executable, "-m", "tests.benchmarks", *sys.argv[1:]]
        return subprocess.call(again, env=free)
    with tempfile.TemporaryDirectory(prefix="numpyvae-benchmarks-") as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"  # an old one may
        # hold half a file of a process that was killed
        return run(options(), Path(folder))


if __name__ == "__main__":
    sys.exit(main())
