"""Plant the catalogue, one fault at a time, and see who notices."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from .bench import SUITE, Bench
from .fault import Fault

# numba keeps what it makes
COMPILED = tuple(
    f"kernels/{n}.py" for n in ("dense", "bernoulli", "conv", "active_pixels")
)


class Verdict(NamedTuple):
    """Who noticed a fault: the test's name, or empty."""

    fault: Fault
    jit_on: str
    jit_off: str
    torch: str  # what torch's criterion noticed


def faulty(fault: Fault, package: Path) -> str:
    """The file's text with the fault in it; each old text must stand there once."""
    text = (package / fault.file).read_text(encoding="utf-8")
    for old, new in fault.edits.items():
        if text.count(old) != 1:
            raise ValueError(
                f"{fault.name}: found {old!r} {text.count(old)} times in {fault.file}, "
                "expected once"
            )
        text = text.replace(old, new)
    return text


def caught_by(fault: Fault, bench: Bench) -> str:
    """The first failing test, beginning with those most likely to."""
    likely = fault.tests or f"test_{Path(fault.file).stem}.py"
    rest = [test for test in SUITE if test != likely]
    own = fault.file in COMPILED
    return bench.failing_test([likely], own) or bench.failing_test(rest, own)


def expect_right(bench: Bench) -> None:
    """Without a fault, every test passes and torch's criterion notices nothing."""
    bench.expect_right()
    if not bench.jit and (found := bench.run("tests.faults.criterion"))["code"]:
        raise SystemExit(f"no fault planted, and torch's criterion says {found}")


def verdicts(faults: Sequence[Fault]) -> Iterator[Verdict]:
    """Each fault's, in order: one bench runs with the JIT, one without and torch's."""
    with ExitStack() as stack:
        on, off = (stack.enter_context(Bench(jit)) for jit in (True, False))
        # A thread for each bench, which does one thing at a time.
        one, other = (stack.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
        for right in [one.submit(expect_right, on), other.submit(expect_right, off)]:
            right.result()

        def with_jit(fault: Fault) -> str:
            with on.planted(fault.file, faulty(fault, on.root / "numpyvae")):
                return caught_by(fault, on)

        def without(fault: Fault) -> tuple[str, str]:
            with off.planted(fault.file, faulty(fault, off.root / "numpyvae")):
                torch = off.run("tests.faults.criterion")
                return caught_by(fault, off), torch["code"] and torch["output"].strip()

        results = zip(
            faults, one.map(with_jit, faults), other.map(without, faults), strict=True
        )
        for fault, jit_on, (jit_off, torch) in results:
            yield Verdict(fault, jit_on, jit_off, torch or "")
