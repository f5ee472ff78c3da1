"""What one process is to run, and the loop that times it; NumPy and no more.

A peer's process imports this and its own framework, so that its memory and its start
are its own.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Weights = dict[str, Floats]  # by the names and in the layout of numpyvae

OURS, USER, BARE = "numpyvae", "numpyvae train", "bare steps"
EAGER, COMPILE, EXAMPLE = "torch eager", "torch.compile", "torch example"
JAX, PRODUCTS, PEAK = "JAX jit", "matrix products", "peak"
PEERS = {EAGER: "torch", COMPILE: "torch", EXAMPLE: "torch", JAX: "jax"}
KERNEL, STRIDE, PADDING = 4, 2, 1  # of every convolution
GENERATORS = ("threefry2x32", "rbg")  # JAX's own, and the one it calls faster


@dataclass(frozen=True)
class Spec:
    """A model, a batch, and who trains it on how many threads."""

    hidden: tuple[int, ...] = (400,)
    latent: int = 20
    activation: str = "relu"
    channels: tuple[int, ...] = ()
    batch: int = 128
    entry: str = OURS
    threads: int = 2
    generator: str = GENERATORS[0]  # of JAX
    folder: str = ""  # with images.npy, bits.npy and weights.npz

    def of(self, entry: str) -> "Spec":
        return replace(self, entry=entry)

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "Spec":
        fields = json.loads(text)
        return cls(**{k: tuple(v) if isinstance(v, list) else v
                      for k, v in fields.items()})  # fmt: skip

    def images(self) -> NDArray[np.uint8]:
        """Grey images (N, H, W)."""
        return np.load(Path(self.folder) / "images.npy")

    def weights(self) -> Weights:
        with np.load(Path(self.folder) / "weights.npz") as arrays:
            return dict(arrays)

    def flops(self, pixels: int = 784) -> int:
        """Of a step's dense products: y, dW, and dx but for the first layer's."""
        encoder = (pixels, *self.hidden, 2 * self.latent)
        decoder = (self.latent, *self.hidden[::-1], pixels)
        layers = [a * b for ws in (encoder, decoder)
                  for a, b in pairwise(ws)]  # fmt: skip
        return 2 * self.batch * (3 * sum(layers) - layers[0])


class Entry(Protocol):
    """What a process can be asked for."""

    def steps(self, seconds: float, least: int) -> tuple[list[float], float]:
        """Train so long, but `least` steps: the seconds of each, and the last loss."""
        ...

    def gradient(self, x: Floats, eps: Floats) -> tuple[float, Weights]:
        """The loss and its gradient at the weights of the folder; x (B, D)."""
        ...

    def nll(self, bits: NDArray[np.uint8], samples: int) -> float:
        """-log p(x) of binary images (N, H, W), in nats."""
        ...


def timed(
    step: Callable[[], float], seconds: float, least: int
) -> tuple[list[float], float]:
    """Call `step` for so long: the seconds each call took, and the last result."""
    times: list[float] = []
    begin = time.perf_counter()
    last, loss = begin, 0.0
    while last - begin < seconds or len(times) < least:
        loss = step()
        now = time.perf_counter()
        times.append(now - last)
        last = now
    return times, float(loss)


def absent() -> dict[str, str]:
    """The peers that can't run here, and the package they want."""
    return {
        entry: package
        for entry, package in PEERS.items()
        if package not in sys.modules and importlib.util.find_spec(package) is None
    }
