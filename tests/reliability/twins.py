"""Two processes at one folder: the second leaves what the first has alone."""

import subprocess
import sys
import tempfile
from pathlib import Path

from bounds import HANG
from data import tiny, write_idx

from .kills import BEGIN, MODEL, outcome

# `train`, waiting for a line where it first calls a method of its run.
HELD = """
import sys
from numpyvae.cli.parser import main
from numpyvae.runs.run import Run
{prelude}
name = sys.argv.pop(1)
method = getattr(Run, name, None)
def held(run, *arguments):
    setattr(Run, name, method)
    print("here", flush=True)
    sys.stdin.readline()
    return method(run, *arguments)
if name != "-":
    setattr(Run, name, held)
sys.exit(main(sys.argv[1:]))
"""
ANEW, RESUMED = f"{BEGIN} {MODEL} --epochs 2 --out r", "train --resume r --epochs 2"
PAIRS = (
    ("a new run, and another", ANEW, "save", ANEW),
    ("a new run, resumed", ANEW, "save", RESUMED),
    ("a resumed run, resumed", RESUMED, "load", RESUMED),
    ("a resumed run, and a new one", RESUMED, "load", ANEW),
)


def twins() -> list[tuple[str, str]]:
    """Each pair, and "passed" or "failed: ..."."""
    return [(name, pair(*commands)) for name, *commands in PAIRS]


def pair(first: str, held: str, second: str, prelude: str = "") -> str:
    """Hold the first process where it trains; the second must end, and say why.

    `prelude` is code that both run before.
    """
    code = HELD.format(prelude=prelude)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_idx(folder / "three", tiny())

        def start(options: str, method: str = "-") -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-c", code, method, *options.split()], cwd=folder,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip

        def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
            try:
                _, said = process.communicate("\n", timeout=HANG)
            finally:
                process.kill()
            return process.returncode, said

        begun = ANEW.replace("--epochs 2", "--epochs 1")
        assert ended(start(ANEW.replace("--out r", "--out alone"))) == (0, "")
        if first == RESUMED:
            assert ended(start(begun)) == (0, "")
        process = start(first, held)
        assert process.stdout is not None
        reached = "here\n" in iter(process.stdout.readline, "")
        code_of_second, told = ended(start(second))
        end = ended(process)
        if not reached:
            return f"failed: the first said {end[1]}"
        if code_of_second != 2 or told.count("\n") != 1:
            return f"failed: the second was not refused: {code_of_second}, {told}"
        if end != (0, ""):
            return f"failed: the first ended with {end}"
        if outcome(folder / "r") != outcome(folder / "alone"):
            return "failed: the first has other bits"
    return "passed"
