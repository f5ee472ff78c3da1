"""Trainings that share a process, or were copied, end with the bits of one alone.

And trainings that begin at one moment share no folder.
"""

import copy
import json
import multiprocessing
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bounds import HANG
from data import tiny, write_idx

from numpyvae import VAE, train
from numpyvae.runs.checkpoint import load_checkpoint

from .kills import BEGIN, MODEL, start

HIDDEN = [784, 400]  # on two threads, OpenBLAS gives their product other bits
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fused": ({}, {}),
    "convolutions": ({"channels": [4], "image_shape": (8, 6)}, {}),
    "full posterior": ({"posterior": "full"}, {}),
    "IWAE": ({}, {"bound": "iwae", "samples": 3}),
    "conditional, denoising": ({"classes": 3}, {"corrupt": "mask"}),
    "grey auto-encoder": (
        {"posterior": "point", "likelihood": "gaussian"},
        {"binarize": "none"},
    ),
}


class Together(NamedTuple):
    """What was tried, and how often it went wrong."""

    tried: int
    failed: int
    seconds: float
    first_fault: str


def made(name: str) -> VAE:
    """The untrained model of that name."""
    return VAE(48, HIDDEN, 3, **MODELS[name][0])


def trained(name: str, again: Callable[[VAE], VAE] = lambda model: model) -> bytes:
    """The parameters after an epoch of the model, or of what `again` makes of it."""
    model, data = again(made(name)), tiny()
    train(
        model, data, epochs=1, batch_size=128, threads=2, progress=False,
        **MODELS[name][1],
    )  # fmt: skip
    return model.params.flat.tobytes()


def in_threads(name: str, count: int) -> list[bytes]:
    """In each of so many threads, all at the same time."""
    together = threading.Barrier(count, timeout=HANG)

    def run(_: int) -> bytes:
        together.wait()
        return trained(name)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def in_a_child(name: str, how: str) -> list[bytes]:
    """In a process that was started that way while a thread of ours trains."""
    context = multiprocessing.get_context(how)
    with ThreadPoolExecutor(1) as pool, ProcessPoolExecutor(1, context) as processes:
        here, there = pool.submit(trained, name), processes.submit(trained, name)
        return [there.result(HANG), here.result(HANG)]


def ways() -> Iterator[tuple[str, Callable[[str], list[bytes]]]]:
    """All of them, and what each makes of a model's name."""
    for count in (1, 2, 4):
        yield f"{count} other threads", lambda name, n=count: in_threads(name, n)
    for how in multiprocessing.get_all_start_methods():
        yield how, lambda name, how=how: in_a_child(name, how)
    yield "deepcopy", lambda name: [trained(name, copy.deepcopy)]
    yield (
        "pickle",
        lambda name: [trained(name, lambda m: pickle.loads(pickle.dumps(m)))],
    )


def together(rounds: int) -> Together:
    """Every model in every way, so many times."""
    begin, tried, faults = time.perf_counter(), 0, []
    for name in MODELS:
        alone = trained(name)
        for _ in range(rounds):
            for way, run in ways():
                found = run(name)
                tried += len(found)
                faults += [f"{name}, {way}: other bits"] * sum(
                    bits != alone for bits in found
                )
    return Together(
        tried, len(faults), time.perf_counter() - begin, next(iter(faults), "")
    )


def races(rounds: int, runners: int = 4) -> Together:
    """Processes that begin at one moment with no --out, each with a seed of its own."""
    begin, faults = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_idx(folder / "three", tiny())
        for i in range(rounds):
            seeds = range(i * runners, (i + 1) * runners)
            faults += filter(None, at_once(folder, seeds))
        runs = sorted((folder / "runs").iterdir())
        kept = [json.loads((run / "config.json").read_text("utf-8")) for run in runs]
        saved = [load_checkpoint(run)[1]["config"] for run in runs]
        found = [config["training"]["seed"] for config in kept]
        if sorted(found) != list(range(rounds * runners)):
            faults.append(f"{len(runs)} folders, of the seeds {sorted(found)}")
        faults += [
            f"{run.name}: another run's checkpoint"
            for run, one, other in zip(runs, kept, saved, strict=True)
            if one != other
        ]
    return Together(
        rounds * runners, len(faults), time.perf_counter() - begin,
        next(iter(faults), ""),
    )  # fmt: skip


def at_once(folder: Path, seeds: range) -> list[str]:
    """What each of the processes said that did not end well; "" of the others."""

    def run(seed: int) -> str:
        options = f"{BEGIN} {MODEL} --seed {seed} --epochs 1"
        with start(folder, options) as process:
            _, said = process.communicate()
        return "" if process.returncode == 0 else f"seed {seed}: {said}"

    with ThreadPoolExecutor(len(seeds)) as pool:
        return list(pool.map(run, seeds))
