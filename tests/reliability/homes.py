"""Degraded homes: numpyvae trains there to the bits it gives at home, or says why not.

`python -m tests.reliability.homes [--quick]` prints a line for each. A home is a line
of bash around `train`, a run of one epoch into $RUN.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bounds import HANG
from data import tiny, write_idx

import numpyvae

PACKAGE = Path(numpyvae.__file__).parent
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
FORGET = ("NUMBA_", "NUMPYVAE_", "PYTHON", "MPL", "LC_", "OMP_", "OPENBLAS_")

# Root may write anywhere, unless it gives that up.
GIVE_UP = "setpriv --bounding-set -dac_override,-dac_read_search --inh-caps -all"
SCRIPTS = {
    "numpyvae": 'exec "$PYTHON" $OPTIONS -m numpyvae "$@"',
    "train": 'exec numpyvae train --data idx --data-dir "$DATA" --out "$RUN" '
    '--hidden 8 --latent 2 --epochs 1 "$@"',
    "plain": f'exec {GIVE_UP if ROOT else ""} "$@"',
    "nameless": 'exec unshare --user --map-user 12345 env -u HOME "$@"',
    # on SIZE COMMAND...: with a disk of that size at $DISK, which only it sees
    "on": f"exec unshare {'-m' if ROOT else '-rm'} sh -c 'mount -t tmpfs -o size=$0 "
    'tmpfs "$DISK" && exec "$@"\' "$@"',
}
PLAIN = "plain true"
NAMELESS = "nameless true"
MOUNT = "on 16k true"
NO_NETWORK = "https_proxy=http://127.0.0.1:9 no_proxy="
CODES = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii"
STRANGE = "'a é 数字 🖊'"
STATUS = "; exit ${PIPESTATUS[0]}"


class Home(NamedTuple):
    """What is missing, the line of bash, and what is expected of it."""

    name: str
    line: str
    code: int = 0
    refusal: str = ""  # what the one line says in which numpyvae tells why it can't
    needs: str = ""  # a command without whose success the home can't be made here
    exact: bool = True  # to the bit, or only to rounding?


QUICK = (
    Home(
        "read-only install, unwritable HOME",
        "PYTHONPATH=$COPY HOME=$LOCKED plain train",
        needs=PLAIN,
    ),
    Home("NUMBA_DISABLE_JIT=1", "NUMBA_DISABLE_JIT=1 train", exact=False),
    Home(
        "ASCII terminal, non-ASCII run and data",
        f'cp -r "$DATA" $HERE/{STRANGE}; DATA=$HERE/{STRANGE} {CODES} train'
        f' --out $HERE/{STRANGE}/run && mv $HERE/{STRANGE}/run "$RUN"',
    ),
    Home("stdin, stdout and stderr closed", "train <&- >&- 2>&-"),
    Home("output to a closed pipe", f"train | true{STATUS}", code=141),
    Home(
        "file size limit (RLIMIT_FSIZE)",
        "ulimit -f 4; train",
        code=2,
        refusal="checkpoint.npz: found File too large",
    ),
)

HOMES = (
    *QUICK,
    Home(
        "read-only install, HOME unset, user unknown",
        "PYTHONPATH=$COPY nameless train && test ! -e '~'",
        needs=NAMELESS,
    ),
    Home("HOME unset", "env -u HOME train"),
    Home("HOME empty", "HOME= train"),
    Home(
        "numba's cache on a full disk",
        'on 4m sh -c \'cp -r $COPY/numpyvae "$DISK"; chmod -R u+w "$DISK"; cd "$DISK"; '
        "head -c 4m /dev/zero >filler; truncate -s -100K filler; "
        "export PYTHONDONTWRITEBYTECODE=1; "
        'PYTHONPATH="$DISK" train && find numpyvae -name "*.nbc" | grep -q .\'',
        needs=MOUNT,
    ),
    Home(
        "numba's cache damaged",
        "cp -r $COPY $HERE/site && chmod -R u+w $HERE/site && "
        "export PYTHONPATH=$HERE/site && train --out $HERE/first && "
        "truncate -s 20 $(find $HERE/site/numpyvae -name '*.nbc') && train",
    ),
    Home(
        "MNIST's cache unwritable",
        f"{NO_NETWORK} XDG_CACHE_HOME=$LOCKED plain numpyvae train --data mnist",
        code=2,
        refusal="MNIST could not be downloaded: put its four files into a directory",
        needs=PLAIN,
    ),
    Home(
        "no network",
        f"{NO_NETWORK} XDG_CACHE_HOME=$HERE/cache numpyvae train --data mnist",
        code=2,
        refusal="MNIST could not be downloaded: put its four files into a directory",
    ),
    Home(
        "MNIST, HOME unset, user unknown",
        f"{NO_NETWORK} nameless env -u XDG_CACHE_HOME numpyvae train --data mnist",
        code=2,
        refusal="MNIST: found no home directory for its cache",
        needs=NAMELESS,
    ),
    Home("no display", "env -u DISPLAY MPLBACKEND=TkAgg train"),
    Home("MPLCONFIGDIR unwritable", "MPLCONFIGDIR=$LOCKED/no plain train", needs=PLAIN),
    Home("python -O", "OPTIONS=-O train"),
    Home("python -OO", "OPTIONS=-OO train"),
    Home("python -W error", "OPTIONS='-W error' train"),
    Home("python -X dev -W error", "OPTIONS='-X dev -W error' train"),
    Home(
        "UTF-8 terminal, non-ASCII run and data",
        f'cp -r "$DATA" $HERE/{STRANGE}; DATA=$HERE/{STRANGE} train'
        f' --out $HERE/{STRANGE}/run && mv $HERE/{STRANGE}/run "$RUN"',
    ),
    Home(
        "ASCII terminal with a progress bar",
        f"{CODES} script -qec train /dev/null",
        needs="script --version",
    ),
    Home(
        "dumb terminal",
        "TERM=dumb NO_COLOR=1 script -qec train /dev/null",
        needs="script --version",
    ),
    Home("TERM unset", "env -u TERM train"),
    Home(
        "full disk: no room for a checkpoint",
        'on 16k train --out "$DISK/run"',
        code=2,
        refusal="checkpoint.npz: found No space left on device",
        needs=MOUNT,
    ),
    Home(
        "full disk: no room for the history",
        'on 40k train --out "$DISK/run"',
        code=2,
        refusal="history.csv: found No space left on device",
        needs=MOUNT,
    ),
    Home(
        "full disk: no room for pictures",
        'on 64k train --out "$DISK/run"',
        code=2,
        refusal="No space left on device",
        needs=MOUNT,
    ),
    Home(
        "output to a full disk",
        "train >/dev/full",
        code=2,
        refusal="output: No space left on device",
        needs="test -c /dev/full",
    ),
    Home("output to a file", "train >$HERE/log && grep -q ELBO $HERE/log"),
    Home("output to `head -1`", "train | head -1"),
    Home("closed pipe, then resumed", "train | true; numpyvae train --resume $RUN"),
    Home("help to a closed pipe", f"train; numpyvae --help | true{STATUS}", code=141),
    Home("stdin closed", "train <&-"),
    Home("stdout closed", "OPTIONS='-X dev -W error' train >&-"),
    Home("stderr closed", "train 2>&-"),
    Home("one core", "taskset -c 0 train", needs="taskset -c 0 true"),
    Home("--threads 1", "train --threads 1"),
    Home("umask 077", "umask 077; train"),
    Home(
        "current directory unwritable, no --out",
        "cd $LOCKED; plain numpyvae train --data idx --data-dir $DATA",
        code=2,
        refusal="found Permission denied, expected a folder to write to",
        needs=PLAIN,
    ),
    Home("current directory unwritable, --out", "cd $LOCKED; plain train", needs=PLAIN),
    Home(
        "current directory deleted, no --out",
        "mkdir $HERE/d; cd $HERE/d; rmdir $HERE/d; "
        "numpyvae train --data idx --data-dir $DATA",
        code=2,
        refusal="expected a folder to write to",
    ),
    Home(
        "current directory deleted, --out",
        "mkdir $HERE/d; cd $HERE/d; rmdir $HERE/d; train",
    ),
    Home("PYTHONHASHSEED=1", "PYTHONHASHSEED=1 train"),
    Home("PYTHONHASHSEED=2", "PYTHONHASHSEED=2 train"),
    Home("Turkish", "LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8 train"),
    Home("BLAS told 1 thread", "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 train"),
    Home("BLAS told 8 threads", "OMP_NUM_THREADS=8 OPENBLAS_NUM_THREADS=8 train"),
)


class House:
    """A folder with data, a copy of the package, and the weights of a run at home."""

    def __init__(self, folder: Path) -> None:
        """Lay everything out and train once, where nothing is missing."""
        self.folder = folder
        self.data = write_idx(folder / "data", tiny(train=150, test=30))
        self.locked, self.copy = folder / "locked", folder / "copy"
        self.locked.mkdir()
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, self.copy / "numpyvae", ignore=compiled)
        for path in (self.locked, self.copy, *self.copy.rglob("*")):
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP))
        (folder / "bin").mkdir()
        for name, line in SCRIPTS.items():
            script = folder / "bin" / name
            script.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            script.chmod(0o755)
        run, printed = self.run("train")
        assert run.returncode == 0, run.stderr
        self.weights = weights(printed)

    def run(self, line: str) -> tuple[subprocess.CompletedProcess[str], Path]:
        """What became of a line of bash in a new folder, and its run folder."""
        here = Path(tempfile.mkdtemp(dir=self.folder))
        (here / "disk").mkdir()
        known = {k: v for k, v in os.environ.items() if not k.startswith(FORGET)}
        paths = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(PACKAGE.parent),
            "OPTIONS": "",
            "HERE": str(here),
            "RUN": str(here / "run"),
            "DISK": str(here / "disk"),
            "DATA": str(self.data),
            "LOCKED": str(self.locked),
            "COPY": str(self.copy),
        }
        finished = subprocess.run(
            ["bash", "-c", line],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd=here,
            env=known | paths,
            timeout=HANG,
        )
        return finished, here / "run"

    def outcome(self, home: Home) -> str:
        """ "passed", "failed: why" or "not tried: why"."""
        if home.needs and self.run(home.needs)[0].returncode:
            return f"not tried: `{home.needs}` fails here"
        try:
            finished, run = self.run(home.line)
        except subprocess.TimeoutExpired:
            return f"failed: still running after {HANG} s"
        fault = self.fault(home, finished, run)
        return f"failed: {fault}" if fault else "passed"

    def fault(
        self, home: Home, finished: subprocess.CompletedProcess[str], run: Path
    ) -> str:
        """What is not as the home expects it, or ""."""
        told = finished.stderr.splitlines()
        for line in [*told, *finished.stdout.splitlines()]:
            if line.startswith(("Traceback", "Exception ignored")):
                return f"{line} ... {(told or [line])[-1]}"
        if finished.returncode != home.code:
            return f"exit code {finished.returncode}, expected {home.code}: {told[-1:]}"
        ours = [line for line in told if line.startswith("numpyvae: ")]
        if home.refusal:
            right = len(ours) == 1 and ours == told[-1:] and home.refusal in ours[0]
            return "" if right else f"told {told}, expected a line with {home.refusal}"
        if ours:
            return f"told {ours}, expected nothing"
        return differences(weights(run), self.weights, home.exact)


def weights(run: Path) -> np.ndarray:
    """Parameters and Adam's moments in a run's checkpoint; empty if there is none."""
    try:
        with np.load(run / "checkpoint.npz") as archive:
            names = ("params", "adam_m", "adam_v")
            return np.concatenate([archive[name] for name in names])
    except FileNotFoundError:
        return np.empty(0, np.float32)


def differences(found: np.ndarray, expected: np.ndarray, exact: bool) -> str:
    """In which way the weights are not the expected ones, or ""."""
    if found.shape != expected.shape:
        return f"{found.size} weights, expected {expected.size}"
    if exact and found.tobytes() != expected.tobytes():
        return f"{(found != expected).sum()} weights have other bits than at home"
    worst = abs(found - expected).max()
    return "" if worst <= 1e-5 else f"a weight is {worst:.1e} off"


@contextmanager
def house() -> Iterator[House]:
    """A house in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="numpyvae-homes-") as folder:
        try:
            yield House(Path(folder))
        finally:
            subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)


def outcomes(here: House, chosen: Sequence[Home]) -> Iterator[tuple[str, str]]:
    """Each home's name and what became of it there; two are tried at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield from zip(
            [home.name for home in chosen], pool.map(here.outcome, chosen), strict=True
        )


def homes(quick: bool = False) -> list[tuple[str, str]]:
    """All homes, or a handful: their names, and "passed" or why not."""
    with house() as here:
        return list(outcomes(here, QUICK if quick else HOMES))


def main() -> int:
    """Try them, print a line for each; returns 1 if one failed."""
    failed = False
    with house() as here:
        chosen = QUICK if "--quick" in sys.argv[1:] else HOMES
        for name, outcome in outcomes(here, chosen):
            print(f"{name:44} {outcome}", flush=True)
            failed |= outcome.startswith("failed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
