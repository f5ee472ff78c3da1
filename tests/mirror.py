"""A server on 127.0.0.1 with small files in place of MNIST's, and what tests ask of it.

The fixtures that start it are in conftest.py.
"""

import gzip
import hashlib
import os
import struct
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from told import refusal

from numpyvae.datasets import load_mnist, mnist
from numpyvae.errors import DataError

FILES = {
    "train-images-idx3-ubyte": np.arange(48, dtype=np.uint8).reshape(3, 4, 4),
    "train-labels-idx1-ubyte": np.array([5, 0, 4], dtype=np.uint8),
    "t10k-images-idx3-ubyte": np.arange(32, dtype=np.uint8).reshape(2, 4, 4),
    "t10k-labels-idx1-ubyte": np.array([7, 2], dtype=np.uint8),
}
RAW = {
    name: struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    + array.tobytes()
    for name, array in FILES.items()
}
SERVED = {f"{name}.gz": gzip.compress(raw, mtime=0) for name, raw in RAW.items()}
TRAIN_GZ = len(SERVED["train-images-idx3-ubyte.gz"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Mirror(BaseHTTPRequestHandler):
    """Serves /good/NAME; the other mirrors fail as they are called."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        _, mirror, name = urlsplit(self.path).path.split("/")
        if mirror.startswith("to-"):
            self.send_response(302)
            self.send_header("Location", f"/{mirror.removeprefix('to-')}/{name}")
            self.end_headers()
            return
        data = {
            "altered": SERVED[name][:-1] + bytes([SERVED[name][-1] ^ 1]),
            "longer": SERVED[name] + bytes(1),
            "shorter": SERVED[name][:-1],
        }.get(mirror, SERVED[name])
        self.send_response(404 if mirror == "absent" else 200)
        if mirror != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        cut = len(data) // 2 if mirror in ("halved", "stalled") else len(data)
        self.wfile.write(data[:cut])
        with suppress(ConnectionError):  # the client is expected to hang up
            if mirror == "stalled":
                self.rfile.read(1)  # says nothing more until the client hangs up
            for _ in range(1000 if mirror == "endless" else 0):
                self.wfile.write(bytes(2**16))

    def log_message(self, format: str, *args: object) -> None:
        """Keep stderr for what is tested."""


def fill(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name, data in SERVED.items():
        (directory / name).write_bytes(data)
    return directory


def use_mirrors(monkeypatch: pytest.MonkeyPatch, server: str, *names: str) -> list[str]:
    mirrors = [f"{server}/{name}/" for name in names]
    monkeypatch.setattr(mnist, "MIRRORS", mirrors)
    return mirrors


def refused_load(data_dir: Path | None = None) -> str:
    """The line with which MNIST can't be had."""
    return refusal(DataError, lambda: load_mnist(data_dir, progress=False))


def listing(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))
