"""What is measured: each workload is a function from a bench to pairs of numbers."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from numpyvae import Dataset

from .agree import agreements
from .numbers import summary
from .ours import model_of
from .processes import ROOT, Pair, Worker, started, turns
from .spec import (
    BARE,
    COMPILE,
    EAGER,
    EXAMPLE,
    GENERATORS,
    JAX,
    OURS,
    PEERS,
    PRODUCTS,
    USER,
    Spec,
    absent,
)

MODELS = {
    "headline": Spec(),
    "tanh-100": Spec((200, 200), 50, "tanh", batch=100),
    "tanh-20": Spec((200, 200), 50, "tanh", batch=20),
    "conv": Spec((256,), 20, "relu", (32, 64)),
}


@dataclass
class Bench:
    """How long to measure, on what, and where to put it."""

    data: Dataset
    data_options: list[str]  # of `numpyvae train`, to get the same
    folder: Path
    threads: int
    rounds: int = 5
    quick: bool = False
    generator: str = GENERATORS[0]  # of JAX; see `choose_generator`
    disagreements: list[str] = field(default_factory=list)

    @property
    def slice(self) -> dict[str, float]:
        """How long an entry steps before another's turn."""
        if self.quick:
            return {"seconds": 0.05, "least": 3}
        return {"seconds": 2.0, "least": 10}

    def peers(self, *entries: str) -> list[str]:
        """Those that are installed; a rehearsal compiles torch but once."""
        out = {*absent(), COMPILE} if self.quick else absent()
        return [entry for entry in entries if entry not in out]

    def spec(self, name: str, spec: Spec) -> Spec:
        """A spec with its folder: the images, some of them binary, the weights."""
        folder = self.folder / name
        fields = {"folder": str(folder), "threads": spec.threads or self.threads,
                  "generator": self.generator}  # fmt: skip
        spec = Spec(**{**vars(spec), **fields})
        if not folder.exists():
            folder.mkdir()
            images = self.folder / "images.npy"
            if not images.exists():
                np.save(images, self.data.train_images)
            os.symlink(images, folder / "images.npy")
            bits = (self.data.test_images[:100] > 127).astype(np.uint8)
            np.save(folder / "bits.npy", bits)
            params = model_of(spec, self.data.image_shape).params
            np.savez(folder / "weights.npz", **dict(params))
        return spec

    def check(self, spec: Spec, workers: dict[str, Worker]) -> None:
        """Print whether all compute the same, and note who does not."""
        for agreement in agreements(spec, workers):
            print(agreement, flush=True)
            if not agreement.fine:
                self.disagreements.append(agreement.entry)

    def model(self, name: str) -> Spec:
        """One of MODELS, on all threads."""
        return self.spec(name, Spec(**{**vars(MODELS[name]), "threads": 0}))

    def choose_generator(self) -> dict[str, float]:
        """Give JAX the generator that it steps faster with; the seconds of each."""
        found = {}
        for self.generator in GENERATORS:
            with started(self.model("headline"), [JAX]) as workers:
                found[self.generator] = median(
                    workers[JAX].ask("steps", **self.slice)["seconds"]
                )
        self.generator = min(found, key=found.__getitem__)
        return found


Result = dict[str, Any]


def result(about: str, unit: str, pairs: list[Pair], **more: Any) -> Result:
    return {"about": about, "unit": unit, "entries": summary(pairs), **more}


def described(spec: Spec) -> str:
    maps = f"{'-'.join(map(str, spec.channels))} maps, " if spec.channels else ""
    widths = "-".join(map(str, (784, *spec.hidden, spec.latent)))
    return f"{maps}{widths} {spec.activation}, batch {spec.batch}, per step"


def training(bench: Bench, name: str) -> Result:
    """Steps of one of MODELS."""
    peers = bench.peers(EAGER, COMPILE, JAX)
    if name == "headline":
        peers = [entry for entry in PEERS if entry not in absent()]
    spec = bench.model(name)
    print(f"{name}: errors against the float64 reference", flush=True)
    with started(spec, (OURS, *peers)) as workers:
        bench.check(spec, workers)

        def measure(entry: str) -> list[float]:
            return workers[entry].ask("steps", **bench.slice)["seconds"]

        pairs = turns(peers or [OURS], bench.rounds, measure)
    return result(described(spec), "ms", pairs)


def floor(bench: Bench) -> Result:
    """The headline's step against its dense matrix products."""
    spec = bench.model("headline")
    with started(spec, (OURS, PRODUCTS)) as workers:

        def measure(entry: str) -> list[float]:
            return workers[entry].ask("steps", **bench.slice)["seconds"]

        pairs = turns([PRODUCTS], bench.rounds, measure)
    return result(f"{described(spec)}, and its dense products alone", "ms", pairs)


def nll(bench: Bench) -> Result:
    """-log p(x) of images, seconds in all."""
    images, samples = (5, 1000) if bench.quick else (100, 5000)
    peers, spec = bench.peers(EAGER, COMPILE, JAX), bench.model("headline")
    values: dict[str, float] = {}
    with started(spec, (OURS, *peers)) as workers:

        def measure(entry: str) -> list[float]:
            found = workers[entry].ask("nll", images=images, samples=samples)
            values[entry] = found["nll"]
            return [found["seconds"]]

        for entry in workers:  # compiles what it will
            workers[entry].ask("nll", images=2, samples=samples)
        pairs = turns(peers or [OURS], bench.rounds, measure)
    spread = max(values.values()) - min(values.values())
    about = f"-log p(x) of {images} images, {samples:,} samples; all within "
    return result(f"{about}{spread:.2f} nats", "seconds", pairs, nats=values)


def start(bench: Bench, cached: bool) -> Result:
    """From the start of a process to the end of its first step."""
    peers, spec = bench.peers(EAGER, COMPILE, JAX), bench.model("headline")

    def measure(entry: str) -> list[float]:
        caches = Path(tempfile.mkdtemp(dir=bench.folder))
        environment = {
            "NUMBA_CACHE_DIR": str(caches / "numba"),
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
            "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        if cached:
            Worker(spec.of(entry), environment).close()
        worker = Worker(spec.of(entry), environment)
        worker.close()
        shutil.rmtree(caches)
        return [worker.started]

    rounds = min(bench.rounds, 3)
    about = "process start to the end of the first step, compiled code "
    about += "cached" if cached else "not cached"
    return result(about, "seconds", turns(peers or [OURS], rounds, measure))


def memory(bench: Bench) -> Result:
    """The most that a training process holds."""
    peers, spec = bench.peers(EAGER, COMPILE, JAX, EXAMPLE), bench.model("headline")

    def measure(entry: str) -> list[float]:
        worker = Worker(spec.of(entry))
        worker.ask("steps", **bench.slice)
        used = worker.ask("memory")["megabytes"]
        worker.close()
        return [used]

    return result("peak memory of a training process, data included", "MB",
                  turns(peers or [OURS], 1, measure))  # fmt: skip


def user(bench: Bench) -> Result:
    """An epoch of `numpyvae train` on a terminal against as many bare steps.

    The first epoch and the test images are left out, the latter told beside.
    """
    spec, size = bench.model("headline"), len(bench.data.train_images)
    testing: list[float] = []
    with started(spec, (OURS,)) as workers:

        def measure(entry: str) -> list[float]:
            if entry == BARE:
                steps = -(-size // spec.batch)
                found = workers[OURS].ask("steps", seconds=0, least=steps)
                return [sum(found["seconds"])]
            epochs = train(bench, 1 if bench.quick else 2)
            testing.append(epochs[-1]["testing"])
            return [epochs[-1]["training"]]

        pairs = turns([BARE], min(bench.rounds, 3), measure)
    about = f"`{USER}`, an epoch on a terminal against the same number of bare steps; "
    about += f"the test images take {np.median(testing):.2f} s more"
    return result(about, "seconds", pairs, testing=testing)


def train(bench: Bench, epochs: int) -> list[dict[str, float]]:
    """Run `numpyvae train` with a terminal to show its progress on."""
    import pty  # Windows has none

    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    found = folder / "epochs.json"
    arguments = ["--epochs", str(epochs), "--out", str(folder / "run")]
    ours, terminal = pty.openpty()

    def drain() -> None:
        with suppress(OSError):  # EIO: the other end is closed
            while os.read(ours, 4096):
                pass

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.user", str(found), "train",
             *bench.data_options, *arguments, "--threads", str(bench.threads)],
            cwd=ROOT, check=True, stdout=terminal, stderr=terminal,
        )  # fmt: skip
    finally:
        os.close(terminal)
        reader.join(5)
        os.close(ours)
    epochs_found = json.loads(found.read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    return epochs_found


WORKLOADS: dict[str, Callable[[Bench], Result]] = {
    **{name: lambda bench, name=name: training(bench, name) for name in MODELS},
    "floor": floor,
    "nll": nll,
    "start-cold": lambda bench: start(bench, cached=False),
    "start-cached": lambda bench: start(bench, cached=True),
    "memory": memory,
    "user": user,
}
