"""Corrupt IDX files against the reader: a valid array, or DataError, or a fault.

`hypothesis_inputs` breaks well-formed files in the ways files break; `fuzz` lets
atheris look for others. Both ask an oracle that shares no code with the package.
Run as `python -m tests.reliability.idx_fuzz` for both in full.
"""

import importlib.util
import inspect
import io
import math
import re
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from bounds import HANG
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numpyvae.datasets import idx
from numpyvae.datasets.idx import read_idx
from numpyvae.errors import DataError

SEED = 20260101
# Of libFuzzer: bytes of an input, as many from the start; MB; seconds for an input.
OPTIONS = "-max_len=4096 -len_control=0 -rss_limit_mb=1024 -timeout=10 "
OPTIONS += "-reduce_inputs=0 -print_final_stats=1"


class Inputs(NamedTuple):
    """What became of inputs made by `hypothesis_inputs`."""

    inputs: int
    loaded: int
    refused: int
    exceptions: int  # of another kind than DataError
    wrong: int  # loaded though damaged, loaded differently, or refused though sound
    first_fault: str
    peak_mb: float  # of Python's memory while one was read
    seconds: float


class Fuzzed(NamedTuple):
    """What became of a fuzzer's run; `note` says what went wrong."""

    runs: int
    loaded: int  # rounded down
    exceptions: int  # or wrong loads: 1, since the first ends the run
    peak_mb: int  # of the whole process
    start_mb: int  # of the whole process before its first input
    seconds: float
    note: str


# The oracle: RFC 1952 and the IDX header, read once more, in other words.


def oracle(data: bytes, dimensions: int) -> tuple[tuple[int, ...], bytes] | None:
    """Shape and bytes of the array that `data` holds, None if it holds none."""
    if data[:2] == b"\x1f\x8b":
        data = _member(data) or b""
    length = 4 + 4 * dimensions
    sizes = [int.from_bytes(data[i : i + 4], "big") for i in range(4, length, 4)]
    body = data[length:]
    sound = data[:4] == bytes([0, 0, 8, dimensions]) and body
    return (tuple(sizes), body) if sound and len(body) == math.prod(sizes) else None


def _member(data: bytes) -> bytes | None:
    """What the gzip file holds, None unless it is one sound member and no more."""
    if len(data) < 18 or data[2] != 8 or data[3] & 0xE0:
        return None
    flags, at = data[3], 10
    if flags & 4:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            at = data.find(0, at) + 1 or len(data)
    sum16 = (zlib.crc32(data[:at]) & 0xFFFF).to_bytes(2, "little")
    if flags & 2 and data[at : at + 2] != sum16:
        return None
    at += flags & 2
    engine = zlib.decompressobj(wbits=-15)
    try:
        held = engine.decompress(data[at:])
    except zlib.error:
        return None
    trailer = zlib.crc32(held).to_bytes(4, "little") + len(held).to_bytes(4, "little")
    return held if engine.eof and engine.unused_data == trailer else None


def judge(
    read: Callable[[], NDArray[np.uint8]], data: bytes, dimensions: int
) -> tuple[str, str]:
    """What became of reading `data`, a field of Inputs, and the fault in words."""
    try:
        array = read()
    except DataError as error:
        if oracle(data, dimensions) is None:
            return "refused", ""
        return "wrong", f"refused though sound: {error}"
    except Exception as error:  # what must not happen, whatever it is
        return "exceptions", f"{type(error).__name__}: {error}"
    if oracle(data, dimensions) == (array.shape, array.tobytes()):
        return "loaded", ""
    return "wrong", f"loaded as {array.shape}"


# Files broken in the ways files break.

WORDS = [0, 1, 2, 3, 0x801, 0x803, 0x903, 0xD03, 2**16, 2**31 - 1, 2**31, 2**32 - 1]


def gzipped(data: bytes, level: int = 6, extra=b"", name=b"", crc=False) -> bytes:
    """One gzip member with the header fields asked for."""
    flags = 4 * bool(extra) + 8 * bool(name) + 2 * crc
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(5) + b"\x03"
    if extra:
        head += len(extra).to_bytes(2, "little") + extra
    if name:
        head += name + b"\0"
    if crc:
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    engine = zlib.compressobj(level, wbits=-15)
    tail = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return head + engine.compress(data) + engine.flush() + tail


def words_to_bytes(*words: int) -> bytes:
    """A header, or a part of one."""
    return b"".join(word.to_bytes(4, "big") for word in words)


def idx_bytes(*shape: int) -> bytes:
    """A sound file of this shape."""
    body = bytes(i % 251 for i in range(math.prod(shape)))
    return words_to_bytes(0x800 + len(shape), *shape) + body


BOMB = gzipped(idx_bytes(1, 4, 6) + bytes(2**22), 9)
TAILS = [b"\0", b"\xff", bytes(512), gzipped(b"")]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with one accident: cut, longer, other bits, another header word."""
    data = bytearray(whole)
    kind = draw(st.sampled_from(["cut", "tail", "bits", "word", "hole", "twice"]))
    at = draw(st.integers(0, max(0, len(data) - 1)))
    if kind == "cut":
        del data[at:]
    elif kind == "tail":
        data += draw(st.sampled_from([*TAILS, whole]))
    elif kind == "bits" and data:
        for bit in draw(st.lists(st.integers(0, 8 * len(data) - 1), max_size=4)):
            data[bit // 8] ^= 1 << bit % 8
        data[at] ^= 1 << draw(st.integers(0, 7))
    elif kind == "word":
        first = 4 * draw(st.integers(0, 3))
        data[first : first + 4] = words_to_bytes(draw(st.sampled_from(WORDS)))
    elif kind == "hole":
        del data[at : at + draw(st.integers(1, 9))]
    else:
        data[at:at] = data[at : at + draw(st.integers(1, 9))]
    return bytes(data)


@st.composite
def tailed(draw: st.DrawFn, data: bytes) -> bytes:
    """A gzip member with more behind it, and the size that it announces at the end.

    Where it ends, what the reader takes from the file at a time may end too.
    """
    member = gzipped(data)
    if draw(st.booleans()):
        member = gzipped(data, name=b"n" * (idx.GZIP_CHUNK - 1 - len(member)))
    return member + draw(st.sampled_from([*TAILS, member])) + member[-4:]


@st.composite
def corrupt_files(draw: st.DrawFn) -> tuple[bytes, int]:
    """A file, mostly a broken one, and the dimensions that are expected of it."""
    dimensions = draw(st.sampled_from([3, 3, 1]))
    data = idx_bytes(*(draw(st.integers(1, 6)) for _ in range(dimensions)))
    if draw(st.integers(0, 19)) == 0:
        dimensions = 4 - dimensions
    inner = draw(st.integers(0, 2)) == 0
    if inner:
        data = draw(damaged(data))
    forms = ["raw", "gzip", "gzip", "gzip", "members", "tail", "bomb"]
    form = draw(st.sampled_from(forms))
    if form == "gzip":
        level, crc = draw(st.sampled_from([0, 1, 6, 9])), draw(st.booleans())
        extra = draw(st.sampled_from([b"", b"", b"extra", bytes(300)]))
        name = draw(st.sampled_from([b"", b"", b"name"]))
        data = gzipped(data, level, extra, name, crc)
    elif form == "members":
        at = draw(st.integers(0, len(data)))
        data = gzipped(data[:at]) + gzipped(data[at:])
    elif form == "tail":
        data = draw(tailed(data))
    elif form == "bomb":
        data = draw(st.sampled_from([BOMB, gzipped(data + bytes(2**18))]))
    if not inner or draw(st.integers(0, 3)) == 0:
        for _ in range(draw(st.integers(0, 2))):
            data = draw(damaged(data))
    return data, dimensions


def hypothesis_inputs(count: int = 2_500) -> Inputs:
    """Read `count` corrupt files through `read_idx`; the same ones on every call."""
    faults: list[str] = []
    outcomes = dict.fromkeys(["loaded", "refused", "exceptions", "wrong"], 0)
    peaks = [0]
    start = perf_counter()

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(corrupt_files())
    def read(file: tuple[bytes, int]) -> None:
        data, dimensions = file
        path.unlink(missing_ok=True)  # to write over a file costs a wait for the disk
        path.write_bytes(data)
        outcome, fault = judge(lambda: traced_read(dimensions), data, dimensions)
        outcomes[outcome] += 1
        if fault:
            faults.append(f"{fault} for {data[:200].hex()}, {dimensions} dimensions")

    def traced_read(dimensions: int) -> NDArray[np.uint8]:
        tracemalloc.start()
        try:
            return read_idx(path, dimensions)
        finally:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        read()
    return Inputs(
        sum(outcomes.values()),
        **outcomes,
        first_fault=next(iter(faults), ""),
        peak_mb=round(max(peaks) / 2**20, 2),
        seconds=round(perf_counter() - start, 1),
    )


# The fuzzer, in a process of its own: it counts branches, and ends the process.


def fuzz(runs: int = 1_000_000, seconds: int = 300) -> Fuzzed:
    """Let atheris try `runs` inputs, or as many as it can in `seconds`."""
    if importlib.util.find_spec("atheris") is None:
        return Fuzzed(0, 0, 0, 0, 0, 0.0, "not run: atheris is not installed")
    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(sound_inputs()):
            Path(folder, str(number)).write_bytes(data)
        argv = [sys.executable, "-m", "tests.reliability.idx_fuzz", "--child", folder]
        bounds = [f"-runs={runs}", f"-max_total_time={seconds}", f"-seed={SEED}"]
        child = subprocess.run(
            [*argv, *bounds, *OPTIONS.split(), f"-artifact_prefix={folder}/"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            timeout=seconds + HANG,
        )
    said = dict(re.findall(r"^(?:stat::)?(\w+): +(\d+)$", child.stdout, re.MULTILINE))
    names = ["number_of_executed_units", "loaded", "peak_mb", "start_mb"]
    executed, loaded, peak, before = (int(said.get(name, 0)) for name in names)
    failed, took = child.returncode != 0, round(perf_counter() - start, 1)
    note = child.stdout[-2000:] if failed else ""
    return Fuzzed(executed, loaded, int(failed), peak, before, took, note)


def sound_inputs() -> list[bytes]:
    """Inputs of `try_one` to start from, in each of its modes."""
    images, labels = idx_bytes(2, 3, 4), idx_bytes(7)
    foreign = gzipped(images, extra=b"extra", name=b"name", crc=True)
    stored = gzipped(idx_bytes(3600), level=0)
    raw = [b"\0" + images, b"\1" + labels, b"\0" + foreign, b"\1" + stored]
    gz = [b"\2" + images, b"\3" + labels, b"\x43" + labels]
    return raw + gz + [bytes([mode]) + bytes(range(99)) for mode in range(4, 32)]


def try_one(data: bytes) -> str:
    """Return what became of an input; RuntimeError if that must not happen.

    No fuzzer guesses a checksum, so the first byte, by its bits, says what is
    made of the others before they are read:
    1 labels are expected; 2 they are gzipped; 4 a header comes in front, which by the
    next two bits claims as many, one more or one fewer; the last two: as many are cut.
    """
    mode, data = (data or b"\0")[0], data[1:]
    dimensions = 1 if mode & 1 else 3
    if mode & 4:
        claimed = max(0, len(data) + (0, 0, 1, -1)[mode >> 3 & 3])
        shape = [claimed] if mode & 1 else [1, 1, claimed]
        data = words_to_bytes(0x800 + dimensions, *shape) + data
    if mode & 2:
        data = gzipped(data, 1)
    data = data[: len(data) - (mode >> 6)]
    read = partial(idx._parse, io.BytesIO(data), len(data), "input", dimensions)
    outcome, fault = judge(read, data, dimensions)
    if fault:
        raise RuntimeError(f"{outcome}: {fault}")
    return outcome


def fuzz_here(arguments: list[str]) -> None:
    """Fuzz in this process, which ends with it; said on the way is what it did."""
    import atheris

    outcomes = {"loaded": 0, "refused": 0}

    def counted(data: bytes) -> None:
        outcomes[try_one(data)] += 1
        if sum(outcomes.values()) % 1000 == 0:
            print(f"loaded: {outcomes['loaded']}\npeak_mb: {peak_mb()}", flush=True)

    for function in filter(inspect.isfunction, [*vars(idx).values(), idx._Gunzip.read]):
        atheris.instrument_func(function)
    atheris.Setup(["idx_fuzz", *arguments], counted)
    print(f"start_mb: {peak_mb()}", flush=True)
    atheris.Fuzz()


def peak_mb() -> int:
    """The most memory this process has had; getrusage counts its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> int:
    """Print a line for each part; 1 if anything is wrong."""
    made = hypothesis_inputs()
    print("made:", made, flush=True)
    run = fuzz()
    print("fuzzed:", run)
    return int(bool(made.first_fault or run.exceptions))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        fuzz_here(sys.argv[2:])
    else:
        sys.exit(main())
