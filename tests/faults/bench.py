"""A throwaway copy of the checkout, in which faults are planted and tests run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

CHECKOUT = Path(__file__).parents[2]
COPIED = ("numpyvae", "tests", "lessons", "pyproject.toml", "README.md")

# The tests that judge mathematics and training, the quickest first.
QUICK = (
    "activations dense gaussian kl priors likelihoods optimizers params active_pixels "
    "corrupt workspace binarize flow mixture deep discretized_logistic"
)
SLOW = (
    "evaluate kernels vae networks layers conv trainer package meaning ppca "
    "objectives posteriors settings combinations"
)
SUITE = [f"test_{name}.py" for name in f"{QUICK} {SLOW}".split()]
HANGS = -9  # the exit code of what was killed for taking longer than ...
PATIENCE = 3  # ... so many times the suite without a fault


class Bench:
    """A copy with a warm Python in it, the JIT on or off; to be used with `with`."""

    def __init__(self, jit: bool) -> None:
        """Copy the checkout; files keep their times, and with them numba's cache."""
        self._directory = tempfile.TemporaryDirectory(prefix="numpyvae-faults-")
        self.root = Path(self._directory.name) / "checkout"
        for name in COPIED:
            source, target = CHECKOUT / name, self.root / name
            if source.is_dir():
                unwanted = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(source, target, ignore=unwanted)
            else:
                shutil.copy2(source, target)
        self.jit, self._planted = jit, 0
        self.seconds = 3600.0  # that a run may take, until `expect_right` knows better
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "PYTHONPYCACHEPREFIX": str(self.root.parent / "bytecode"),
            "NUMBA_CACHE_DIR": str(self.root.parent / "numba"),
            "NUMBA_DISABLE_JIT": "0" if jit else "1",
            "OPENBLAS_NUM_THREADS": "1",  # a bench is a core
        }
        environment.pop("NUMPYVAE_DATA", None)  # MNIST is for the suite itself
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            cwd=self.root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.communicate()
        self._directory.cleanup()

    @contextmanager
    def planted(self, file: str, text: str) -> Iterator[None]:
        """Put `text` into a file of the package, and afterwards the old one back.

        With its old time, so that bytecode and compiled code of the other texts stay
        good. The planted text gets a time of its own, and compiles to a cache of its
        own: size and time alone would not tell + from -.
        """
        path = self.root / "numpyvae" / file
        old, times = path.read_bytes(), path.stat()
        self._planted += 1
        path.write_text(text, encoding="utf-8")
        os.utime(
            path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10 * self._planted)
        )
        try:
            yield
        finally:
            path.write_bytes(old)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def run(self, module: str, *arguments: str, own_cache: bool = False) -> dict:
        """Run a module in the copy; `own_cache` keeps what numba compiles apart."""
        environment = {"PYTHONDONTWRITEBYTECODE": "1"} if self._planted else {}
        with tempfile.TemporaryDirectory(dir=self.root.parent) as cache:
            if own_cache:
                environment["NUMBA_CACHE_DIR"] = cache
            request = {
                "module": module,
                "arguments": arguments,
                "environment": environment,
                "seconds": self.seconds,
            }
            assert self._server.stdin and self._server.stdout
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            return json.loads(self._server.stdout.readline())

    def expect_right(self) -> None:
        """Raise SystemExit unless every test passes as the code is.

        How long that takes tells what hangs from then on, on this machine and today.
        """
        begin = time.monotonic()
        if test := self.failing_test(SUITE):
            raise SystemExit(f"no fault planted, and {test} fails")
        self.seconds = PATIENCE * (time.monotonic() - begin)

    def failing_test(self, tests: Sequence[str], own_cache: bool = False) -> str:
        """The first of `tests` to fail, or how the run ended; "" if they pass."""
        options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-W"]
        options += ["ignore::pytest.PytestAssertRewriteWarning"]
        options += ["--hypothesis-profile=few"]
        paths = [f"tests/{test}" for test in tests]
        result = self.run("pytest", *options, *paths, own_cache=own_cache)
        if result["code"] == 0:
            return ""
        if result["code"] < 0:
            return "a hang" if result["code"] == HANGS else "a crash"
        found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", result["output"], re.M)
        if "while loading conftest" in result["output"]:
            return "the import of the package"
        if not found:
            raise RuntimeError(f"pytest could not run {tests}: {result['output']}")
        return found[1]
