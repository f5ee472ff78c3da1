"""Every bit of a checkpoint flipped, every length cut: refused, never believed."""

import json
import os
import tempfile
import time
import traceback
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from data import tiny

from numpyvae import VAE, Dataset
from numpyvae.errors import RunError
from numpyvae.runs.checkpoint import NAME, load_checkpoint, save_checkpoint
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

RAM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Damaged(NamedTuple):
    """What became of files of which none is the one that was written."""

    tried: int
    refused: int
    harmless: int  # loaded with all that was written
    silent: int  # loaded with something else
    uncaught: int  # exceptions that are no RunError
    seconds: float
    first_fault: str


def flips(every: int = 1, seed: int = 0) -> Damaged:
    """Flip each bit, or one in `every` drawn from `seed`; about 0.1 ms each."""
    whole = checkpoint_bytes(six(), hidden=[], latent=1)
    bits = chosen(8 * len(whole), every, seed)
    return attempt(whole, (flipped(whole, bit) for bit in bits))


def truncations(every: int = 1, seed: int = 0) -> Damaged:
    """Cut it to each length below its own, or to one in `every`."""
    whole = checkpoint_bytes(six(), hidden=[], latent=1)
    return attempt(whole, (whole[:i] for i in chosen(len(whole), every, seed)))


def real(tries: int, seed: int = 0) -> Damaged:
    """Flip a bit of the default model's checkpoint, or cut it, `tries` times each."""
    whole = checkpoint_bytes(tiny(28, 28))
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, len(whole), tries).tolist()
    bits = rng.integers(0, 8 * len(whole), tries).tolist()
    cut = (whole[:length] for length in lengths)
    return attempt(whole, chain((flipped(whole, bit) for bit in bits), cut))


def flipped(whole: bytes, bit: int) -> bytes:
    """The bytes with one bit the other way round."""
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def chosen(count: int, every: int, seed: int) -> list[int]:
    """One in `every` of range(count)."""
    rng = np.random.default_rng(seed)
    return rng.permutation(count)[: -(-count // every)].tolist()


def six() -> Dataset:
    """Six images of four pixels."""
    images = np.arange(0, 240, 10, np.uint8).reshape(6, 2, 2)
    labels = np.zeros(6, np.uint8)
    return Dataset("six", images, labels, images, labels)


def checkpoint_bytes(data: Dataset, **architecture: Any) -> bytes:
    """A whole checkpoint of a model in its second epoch."""
    with tempfile.TemporaryDirectory() as folder, Workers(1) as workers:
        model = VAE(data.pixels, **architecture)
        batch_size = len(data.train_images) // 2
        trainer = Trainer(model, data, Settings(batch_size=batch_size), workers)
        trainer.run_epoch()
        trainer.run_epoch(after_batch=lambda: True)
        arrays, state = trainer.state()
        records = [record._replace(seconds=0.5) for record in trainer.records]
        state |= {"model": model.arguments(), "seconds": 0.5, "records": records}
        save_checkpoint(Path(folder), arrays, state)
        return (Path(folder) / NAME).read_bytes()


def attempt(whole: bytes, contents: Iterable[bytes]) -> Damaged:
    """Load each of `contents` in place of `whole`."""
    begin = time.perf_counter()
    counts = dict.fromkeys(("refused", "harmless", "silent", "uncaught"), 0)
    first_fault = ""
    with tempfile.TemporaryDirectory(dir=RAM) as folder:
        path = Path(folder) / NAME
        path.write_bytes(whole)
        expected = loaded(path.parent)
        for i, content in enumerate(contents):
            path.write_bytes(content)
            try:
                same = loaded(path.parent) == expected
                what = "harmless" if same else "silent"
            except RunError:
                what = "refused"
            except Exception:
                what = "uncaught"
                first_fault = first_fault or f"number {i}: {traceback.format_exc(-1)}"
            counts[what] += 1
    seconds = time.perf_counter() - begin
    return Damaged(sum(counts.values()), **counts, seconds=seconds,
                   first_fault=first_fault)  # fmt: skip


def loaded(folder: Path) -> Any:
    """All that a checkpoint holds, to be compared."""
    arrays, state = load_checkpoint(folder)
    described = {
        name: (array.dtype.str, array.shape, array.tobytes())
        for name, array in arrays.items()
    }
    return described, json.dumps(state)
