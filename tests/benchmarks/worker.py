"""A process that runs one entry: `python -m tests.benchmarks.worker SPEC`.

It makes a step, says so, and then answers requests, a line of JSON each.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .spec import COMPILE, EAGER, EXAMPLE, JAX, OURS, PEAK, PRODUCTS, Entry, Spec


def make(spec: Spec) -> Entry:
    """The entry of a spec; only now is its framework imported."""
    if spec.entry in (OURS, PRODUCTS, PEAK):
        from . import ours as module

        names = {OURS: "Ours", PRODUCTS: "Products", PEAK: "Peak"}
    elif spec.entry in (EAGER, COMPILE, EXAMPLE):
        from . import torch_peer as module

        names = {EAGER: "Torch", COMPILE: "Compiled", EXAMPLE: "Example"}
    elif spec.entry == JAX:
        from . import jax_peer as module

        names = {JAX: "Jax"}
    else:
        raise ValueError(f"entry: found {spec.entry!r}")
    return getattr(module, names[spec.entry])(spec)


def peak_memory() -> float:
    """The most memory that this process has held, in MB.

    On Linux, ru_maxrss of a child starts at what its parent held; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # Windows has none

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def answer(entry: Entry, folder: Path, ask: dict[str, Any]) -> dict[str, Any]:
    """What a request is answered with; arrays go by way of files in the folder."""
    match ask.pop("do"):
        case "steps":
            times, loss = entry.steps(**ask)
            return {"seconds": times, "loss": loss}
        case "gradient":
            with np.load(folder / ask["given"]) as given:
                loss, grads = entry.gradient(given["x"], given["eps"])
            np.savez(folder / ask["found"], **grads)
            return {"loss": loss}
        case "nll":
            bits = np.load(folder / "bits.npy")[: ask["images"]]
            begin = time.perf_counter()
            nats = entry.nll(bits, ask["samples"])
            return {"nll": nats, "seconds": time.perf_counter() - begin}
        case "memory":
            return {"megabytes": peak_memory()}
        case other:
            raise ValueError(f"do: found {other!r}")


def main() -> None:
    spec = Spec.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a framework prints is not an answer
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if spec.threads < len(cores):
            os.sched_setaffinity(0, cores[: spec.threads])
    entry = make(spec)
    entry.steps(0, 1)
    print("{}", file=out, flush=True)
    for line in sys.stdin:
        found = answer(entry, Path(spec.folder), json.loads(line))
        print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    main()
