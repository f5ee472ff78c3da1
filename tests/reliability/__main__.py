"""Print what was tried, what failed, and how long it took; see `python -m ... -h`."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

SEED = 1
HEADING = ("what", "tried", "failed", "seconds", "")
WIDTHS = (38, 9, 8, 8)


class Row(NamedTuple):
    """A line of the table, and what went wrong first, if anything."""

    what: str
    tried: int
    failed: int
    seconds: float
    note: str = ""
    fault: str = ""


def killed(quick: bool) -> Iterator[Row]:
    """Processes killed from their first instruction on, and resumed."""
    from .kills import MODELS, kills

    count, epochs = (2, 15) if quick else (30, 40)
    inside = 0 if quick else 8
    runs = [
        kills(model, "SIGKILL", count, SEED, inside=inside, epochs=epochs)
        for model in MODELS
    ]
    tried, identical, lost, inside = (sum(run[i] for run in runs) for i in range(4))
    fault = next((run.first_fault for run in runs if run.first_fault), "")
    failed = max(tried - identical, bool(fault))
    note = f"{len(runs)} models, {inside} inside a save, seed {SEED}"
    yield Row("SIGKILL: not identical at the end", tried, failed,
              sum(run.seconds for run in runs), note, fault)  # fmt: skip
    yield Row("SIGKILL: committed epochs lost", tried, lost, 0, "the same kills")


def interrupted(quick: bool) -> Iterator[Row]:
    """Processes asked to stop from their first instruction on, and resumed."""
    from .kills import kills

    for name in ("SIGINT", "SIGTERM"):
        for cold, count in ((False, 40), (True, 10)):
            found = kills("fused", name, 2 if quick else count, SEED, cold=cold)
            failed = found.kills - found.identical + found.epochs_lost
            note = f"{found.unheard} before Python heard them, seed {SEED}"
            what = f"{name}, " + ("nothing compiled" if cold else "all compiled")
            yield Row(f"{what}: not right", found.kills, failed, found.seconds, note,
                      found.first_fault)  # fmt: skip


def shared(quick: bool) -> Iterator[Row]:
    """Trainings beside others: in threads, in children, of copies, at one moment."""
    from .together import races, together

    found = together(1 if quick else 3)
    yield Row("threads, children, copies: other bits", *found[:3],
              "six models", found[3])  # fmt: skip
    found = races(1 if quick else 5)
    yield Row("begun at one moment: folders mixed", *found[:3],
              "four processes at a time", found[3])  # fmt: skip


def damaged(quick: bool) -> Iterator[Row]:
    """Checkpoints with a flipped bit, or cut."""
    from .flips import flips, truncations

    for name, damage in (("bit flips", flips), ("truncations", truncations)):
        found = damage(50 if quick else 1)
        note = f"one in 50, seed {SEED - 1}" if quick else "all there are"
        silent, uncaught = found.silent + found.harmless, found.uncaught
        yield Row(
            f"{name}: silent wrong loads", found.tried, silent, found.seconds, note
        )
        yield Row(f"{name}: uncaught exceptions", found.tried, uncaught, 0, "the same",
                  found.first_fault)  # fmt: skip


def sampled(quick: bool) -> Iterator[Row]:
    """A checkpoint of the default model, likewise."""
    from .flips import real

    found = real(20 if quick else 1_000)
    wrong = found.tried - found.refused
    yield Row("flips and cuts of 8 MB: loaded", found.tried, wrong, found.seconds,
              "the default model's, seed 0", found.first_fault)  # fmt: skip


def hostile(quick: bool) -> Iterator[Row]:
    """Run folders that somebody prepared."""
    from . import hostile

    every = 100 if quick else 5
    found = hostile.hostile(every)
    note = f"one in {every}; peak {found.peak_mb} MB more than before"
    yield Row("hostile folders: not refused so", found.tried, found.failed,
              found.seconds, note, found.first_fault)  # fmt: skip


def corrupt(quick: bool) -> Iterator[Row]:
    """IDX files that are none."""
    from . import idx_claims, idx_fuzz

    made = idx_fuzz.hypothesis_inputs(500) if quick else idx_fuzz.hypothesis_inputs()
    note = f"peak {made.peak_mb:.1f} MB, seed {idx_fuzz.SEED}"
    failed = made.exceptions + made.wrong
    yield Row("corrupt IDX: uncaught or wrong", made.inputs, failed, made.seconds, note,
              made.first_fault)  # fmt: skip
    claims = idx_claims.try_all()
    note = f"peak {claims.peak_mb} MB beyond Python's"
    yield Row("IDX of 2 GiB and more: memory taken", claims.tried, claims.failed,
              claims.seconds, note, claims.first_fault)  # fmt: skip
    run = idx_fuzz.fuzz(5_000, 10) if quick else idx_fuzz.fuzz()
    note = f"peak {run.peak_mb} MB (with Python), seed {idx_fuzz.SEED}"
    if not run.runs and not run.exceptions:
        note = "not tried: see below"
    yield Row("fuzzed IDX: uncaught or wrong", run.runs, run.exceptions, run.seconds,
              note, run.note)  # fmt: skip


def unwritable(quick: bool) -> Iterator[Row]:
    """Disks that fail."""
    from .write_faults import full_disk, write_faults

    found = write_faults(10 if quick else 1)
    note = "ENOSPC, EIO, EACCES at each call" + ", one in 10" * quick
    yield Row(
        "write faults: nothing loads, untold", *found[:3], note, found.first_fault
    )
    yield from outcomes("full disks", lambda: full_disk(quick))


def unpowered(quick: bool) -> Iterator[Row]:
    """Power that goes."""
    from .power import power_cuts

    found = power_cuts()
    note = "after each call of three saves"
    yield Row("power cuts: more than one save lost", *found[:3], note, found[3])


def crowded(quick: bool) -> Iterator[Row]:
    """Two processes at one folder."""
    from .twins import twins

    yield from outcomes("two processes at one folder", twins)


def degraded(quick: bool) -> Iterator[Row]:
    """Homes that lack something."""
    from .homes import homes

    yield from outcomes("degraded homes", lambda: homes(quick))


def outcomes(what: str, attempt: Callable[[], list[tuple[str, str]]]) -> Iterator[Row]:
    """A row for named outcomes "passed", "failed" or "not tried: why"."""
    begin = time.perf_counter()
    found = attempt()
    failed = [f"{name}: {told}" for name, told in found if told.startswith("failed")]
    untried = [f"{name} {told}" for name, told in found if told.startswith("not tried")]
    passed = sum(told == "passed" for _, told in found)
    assert passed + len(failed) + len(untried) == len(found), found
    yield Row(what, passed + len(failed), len(failed), time.perf_counter() - begin,
              "; ".join(untried), "; ".join(failed))  # fmt: skip


def cells(*columns: str) -> str:
    """A line of the table."""
    what, *numbers = columns[:4]
    right = "".join(f"{n:>{w}}" for n, w in zip(numbers, WIDTHS[1:], strict=True))
    return f"{what:{WIDTHS[0]}}{right}  {columns[4]}".rstrip()


PARTS = (
    killed, interrupted, shared, damaged, sampled, hostile, corrupt, unwritable,
    unpowered, crowded, degraded,
)  # fmt: skip


def main() -> int:
    """Print the table, a line as soon as it is known; 1 if anything failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability",
        description="Kill, damage, deny, and see what is lost: "
        "a quarter of an hour, or two minutes with --quick.",
    )
    parser.add_argument("--quick", action="store_true", help="a little of each")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    print(cells(*HEADING), flush=True)
    faults = []
    failed = tried = 0
    for part in PARTS:
        if options.only in (None, part.__name__):
            for row in part(options.quick):
                seconds = f"{row.seconds:.1f}" if row.seconds else ""
                numbers = f"{row.tried:,}", f"{row.failed:,}"
                print(cells(row.what, *numbers, seconds, row.note), flush=True)
                failed, tried = failed + row.failed, tried + row.tried
                faults += [f"{row.what}: {row.fault}"] if row.fault else []
    print("\n".join(["", *faults]) if faults else "", end="\n" if faults else "")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
