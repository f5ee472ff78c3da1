"""Processes of one entry each, and rounds in which they take turns."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from .spec import OURS, Spec

ROOT = Path(__file__).parents[2]


class Pair(NamedTuple):
    """What ours and a peer took, one right after the other."""

    peer: str
    ours: list[float]
    theirs: list[float]


class WorkerError(RuntimeError):
    """A process ended before its answer."""


class Worker:
    """A process that has made its first step; `started` seconds after it was begun."""

    def __init__(
        self, spec: Spec, environment: Mapping[str, str] | None = None
    ) -> None:
        self.entry = spec.entry
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", spec.dumps()],
            cwd=ROOT, env={**os.environ, **(environment or {})}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._answer()
        self.started = time.perf_counter() - begin

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """The answer to a request."""
        print(json.dumps({"do": do, **what}), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait(10)
        self._errors.seek(0)
        text = self._errors.read()[-2000:]
        self.close()
        raise WorkerError(f"{self.entry}: {text}")

    def close(self) -> None:
        """End the process, and wait until it has."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._errors.close()


@contextmanager
def started(spec: Spec, entries: Sequence[str]) -> Iterator[dict[str, Worker]]:
    """A process for each entry, begun one after the other."""
    with ExitStack() as stack:
        workers = {}
        for entry in entries:
            workers[entry] = Worker(spec.of(entry))
            stack.callback(workers[entry].close)
        yield workers


def turns(
    peers: Sequence[str], rounds: int, measure: Callable[[str], list[float]]
) -> list[Pair]:
    """In each round ours before each peer, in every other round after it."""
    pairs = []
    for i in range(rounds):
        for peer in peers:
            order = (OURS, peer) if i % 2 == 0 else (peer, OURS)
            found = {entry: measure(entry) for entry in order}
            pairs.append(Pair(peer, found[OURS], found[peer]))
    return pairs
