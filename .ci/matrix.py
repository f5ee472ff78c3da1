"""The README's test command, then the quick tests once for each row below.

`python .ci/matrix.py FOLDER` makes its environments in FOLDER with uv, from the Python
that runs it; it runs two rows at a time and ends with a table. What is marked `slow` in
the tests is left out of all rows but the first.
"""

import glob
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = 10, 14  # Python 3.x; the oldest is pyproject.toml's
QUICK = ["-m", "not slow", "--hypothesis-profile", "few"]
VERSIONS = """
from importlib.metadata import version
from platform import python_version
print(python_version(), *map(version, ["numpy", "numba", "matplotlib"]))
"""


class Row(NamedTuple):
    """One run of the tests."""

    name: str
    python: str
    resolution: str = "highest"
    settings: tuple[str, ...] = ()  # of the environment: NAME=value


def find_python(minor: int) -> str | None:
    """Python 3.`minor`: pyenv's, on the PATH, or installed now; None if there is none.

    pyenv's own first: on the PATH it may have a script that refuses to run.
    """
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = sorted(glob.glob(f"{pyenv}/versions/3.{minor}.*/bin/python3"))
    on_path = shutil.which(f"python3.{minor}")
    for python in [*found, *([on_path] if on_path else [])]:
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    ask = ["uv", "python", "install", f"3.{minor}"]
    try:
        subprocess.run(ask, capture_output=True, timeout=180, check=True)
        ask[2] = "find"
        return subprocess.run(
            ask, capture_output=True, check=True, text=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        print(f"left out: Python 3.{minor}, neither here nor to be installed")
        return None


def rows() -> list[Row]:
    """All but the README's command."""
    here = sys.version_info.minor
    pythons = {
        minor: sys.executable if minor == here else find_python(minor)
        for minor in range(OLDEST, max(NEWEST, here) + 1)
    }
    have = {minor: python for minor, python in pythons.items() if python}
    oldest = min(have)
    return [
        Row("lowest versions", have[oldest], "lowest-direct"),
        *(Row(f"Python 3.{n}", python) for n, python in have.items() if n != here),
        Row("no OpenMP", sys.executable, settings=("NUMBA_THREADING_LAYER=workqueue",)),
        Row("any processor", sys.executable, settings=("NUMBA_CPU_NAME=generic",)),
        Row("-W error", sys.executable, settings=("PYTHONWARNINGS=error",)),
    ]


def output(command: list[str], **more: object) -> tuple[int, str]:
    """The exit code of a command, and all that it says."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, **more,
    )  # fmt: skip
    return done.returncode, done.stdout


def tests(python: str, arguments: list[str], environment: dict[str, str]) -> list[str]:
    """Run them, show what they say if they fail; the row's end of the table."""
    begin = time.monotonic()
    scripts = Path(python).parent  # on the PATH, as in an environment that is activated
    path = os.pathsep.join([str(scripts), os.environ["PATH"]])
    command = [str(scripts / "pytest"), "-p", "no:cacheprovider", *arguments]
    code, told = output(command, env=os.environ | {"PATH": path} | environment)
    if code or not arguments:
        print(told, flush=True)
    _, versions = output([python, "-c", VERSIONS])
    last = told.strip().splitlines()[-1].strip("= ")
    seconds = f"{time.monotonic() - begin:.0f} s"
    return [*versions.split(), seconds, "failed" if code else "passed", last]


def run(row: Row, folder: Path) -> list[str]:
    """A row of the table: make the environment, run the quick tests in it."""
    home = folder / row.name.replace(" ", "-")
    python = str(home / "bin" / "python")
    for command in (
        ["uv", "venv", "--quiet", "--python", row.python, str(home)],
        [
            "uv", "pip", "install", "--quiet", "--python", python,
            "--resolution", row.resolution, "-e", ".[test]",
        ],
    ):  # fmt: skip
        code, told = output(command)
        if code:
            print(told, flush=True)
            return [row.name, "-", "-", "-", "-", "-", "failed", "not installed"]
    settings = dict(setting.split("=") for setting in row.settings)
    # Rows that run at once, and with other versions, would spoil a cache they share.
    settings["NUMBA_CACHE_DIR"] = str(home / "numba")
    return [row.name, *tests(python, QUICK, settings)]


def main(folder: Path) -> int:
    """The exit code: 1 if any row failed."""
    others = rows()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tests, sys.executable, [], {})
        ends = list(pool.map(lambda row: run(row, folder), others))
        ends.insert(0, ["pytest", *first.result()])
    head = ["row", "Python", "numpy", "numba", "matplotlib", "time", "result", ""]
    widths = [max(map(len, column)) for column in zip(head, *ends, strict=True)]
    for line in [head, *ends]:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    return int(any(line[6] == "failed" for line in ends))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
