"""`python -m tests.faults`, from the checkout: is every planted fault noticed?

Copies the checkout to throwaway directories, asserts that its tests pass there, plants
each fault of the catalogue in turn and runs the tests with the JIT on and off (a hang
counts as caught), and beside them torch's gradcheck criterion: half an hour on two
cores. `--sweep` asks the same of every small mechanical change. A run that takes three
times as long as all tests did without a fault hangs. Exits 1 if a fault is not caught.
Wants a Unix.
"""

import argparse
import sys
import time
from pathlib import Path

from .catalogue import FAMILIES, FAULTS
from .plant import Verdict, verdicts


def line(verdict: Verdict) -> str:
    """on / off / torch: caught or -; and the test that failed first."""
    fault, on, off, torch = verdict
    marks = "  ".join("caught" if by else "   -  " for by in (on, off, torch))
    test = (on or off).partition("[")[0].replace("test_", "", 1)
    return f"{marks}  {fault.file:20}  {fault.name:44} {test}"


def table(found: list[Verdict]) -> dict[str, tuple[int, int, int, int]]:
    """Of each family: planted, caught with the JIT on, off, noticed by torch's."""
    counts = {}
    for family, faults in FAMILIES.items():
        of_family = [verdict for verdict in found if verdict.fault in faults]
        caught = (sum(bool(v[i]) for v in of_family) for i in (1, 2, 3))
        counts[family] = (len(of_family), *caught)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--only", metavar="NAME", help="faults with this in the name")
    parser.add_argument("--list", action="store_true", help="print the catalogue")
    parser.add_argument("--sweep", action="store_true", help="mutate the mathematics")
    parser.add_argument("--plot", metavar="PNG", type=Path, help="draw the outcome")
    options = parser.parse_args()
    if options.sweep:
        from .sweep import sweep

        return sweep(options.only)
    chosen = [f for f in FAULTS if (options.only or "") in f.name]
    if options.list:
        for fault in chosen:
            print(f"{fault.file:20}  {fault.name:44} {fault.story}")
        return 0
    begin, found = time.monotonic(), []
    print("JIT on  JIT off torch   planted in            fault")
    for verdict in verdicts(chosen):
        found.append(verdict)
        print(line(verdict), flush=True)
    counts = table(found)
    print("\nplanted  JIT on  JIT off  torch's criterion")
    for family, numbers in counts.items():
        print("{:7}  {:6}  {:7}  {:17}".format(*numbers), family)
    planted, on, off, torch = map(sum, zip(*counts.values(), strict=True))
    print(f"{time.monotonic() - begin:.0f} s")
    print(f"caught with the JIT on: {on} of {planted}; with the JIT off: {off}")
    print(f"torch's gradcheck criterion would have caught {torch} of {planted}")
    if options.plot:
        from .picture import draw

        draw(options.plot, counts)
    return int(min(on, off) < planted)


if __name__ == "__main__":
    sys.exit(main())
