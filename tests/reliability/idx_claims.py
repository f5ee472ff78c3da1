"""IDX files that claim gigabytes: refused before they take the memory.

Raw headers, and gzip files of real compressed megabytes, made here. Each is read in a
process of its own, whose peak memory is asked of the system. Run as
`python -m tests.reliability.idx_claims` for a line each.
"""

import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from .idx_fuzz import gzipped, peak_mb, words_to_bytes

GIB = 2**30
ZEROS = bytes(2**24)
MOST_MB = 16  # that a file which is refused may take
HERE = Path(__file__).parents[2]


class Claim(NamedTuple):
    """A file, and whether it is to be refused where so much memory is available."""

    name: str
    content: bytes
    memory: int = 0  # 0: as much as the machine has
    loads: bool = False


class Claims(NamedTuple):
    """What became of all of them."""

    tried: int  # refused, or to be refused
    failed: int
    peak_mb: int  # that a refused one took, beyond what Python had
    seconds: float
    first_fault: str


def gzip_of_zeros(head: bytes, zeros: int, announced: int | None = None) -> bytes:
    """A gzip file of `head` and so many zeros; sound, unless it announces otherwise.

    Compressed zeros are the same again and again: they are compressed once.
    """
    engine = zlib.compressobj(9, wbits=-15)
    begin = engine.compress(head) + engine.flush(zlib.Z_FULL_FLUSH)
    block = engine.compress(ZEROS) + engine.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(zeros, len(ZEROS))
    end = engine.compress(bytes(rest)) + engine.flush()
    crc = zlib.crc32(head)
    for _ in range(blocks):
        crc = zlib.crc32(ZEROS, crc)
    crc = zlib.crc32(bytes(rest), crc)
    size = len(head) + zeros if announced is None else announced
    trailer = crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    head_of_gzip = b"\x1f\x8b\x08" + bytes(6) + b"\x03"
    return head_of_gzip + begin + blocks * block + end + trailer


def claims() -> Iterator[Claim]:
    """Each file."""

    def header(count: int) -> bytes:
        return words_to_bytes(0x803, count, 1, 1)

    two, small = 2 * GIB, header(24)
    yield Claim("raw, 2 GiB and 100 bytes", header(two) + bytes(100))
    yield Claim("raw, 2^96", words_to_bytes(0x803, *[2**32 - 1] * 3) + bytes(2**20))
    yield Claim("gzip, 2 GiB and 100 bytes", gzipped(header(two) + bytes(100)))
    forged = gzipped(header(two) + bytes(100))[:-4] + (two + 16).to_bytes(4, "little")
    yield Claim("the same, announcing 2 GiB", forged)
    yield Claim("24 claimed, 2 GiB held", gzip_of_zeros(small, two))
    yield Claim("24 claimed and announced, 2 GiB held", gzip_of_zeros(small, two, 40))
    yield Claim("24 claimed, 4 GiB held", gzip_of_zeros(small, 4 * GIB + 24))
    yield Claim("2 GiB claimed, a byte more held", gzip_of_zeros(header(two), two + 1))
    yield Claim(
        "2 GiB claimed and announced, 1 GiB held",
        gzip_of_zeros(header(two), GIB, two + 16),
    )
    yield Claim("over 2 GiB claimed and held", gzip_of_zeros(header(two + 1), two + 1))
    yield Claim(
        "2 GiB claimed and held, 2 GiB available", gzip_of_zeros(header(two), two), two
    )
    yield Claim("2 GiB claimed, gzip damaged", b"".join(damaged(header(two), two)))
    yield Claim("256 MiB claimed and held", gzip_of_zeros(header(GIB // 4), GIB // 4),
                loads=True)  # fmt: skip


def damaged(head: bytes, zeros: int) -> Iterator[bytes]:
    """Such a gzip file whose first compressed megabyte is noise."""
    content = gzip_of_zeros(head, zeros)
    yield content[:40]
    yield os.urandom(2**20)
    yield content[40 + 2**20 :]


def judge(claim: Claim) -> tuple[int, str]:
    """The MB that reading the file took, and what was wrong with that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(claim.content)
        argv = [sys.executable, "-m", "tests.reliability.idx_claims", "--read"]
        child = subprocess.run(
            [*argv, str(path), str(claim.memory)],
            cwd=HERE,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    outcome, _, megabytes = child.stdout.strip().rpartition(" ")
    if child.returncode or not megabytes.isdigit():
        return 0, f"{claim.name}: {child.stderr[-500:]}"
    if (outcome == "loaded") != claim.loads:
        return 0, f"{claim.name}: {outcome}"
    most = MOST_MB + (len(claim.content) >> 20) + 300 * claim.loads
    fault = f"{claim.name}: {outcome}, took {megabytes} MB"
    return int(megabytes), fault if int(megabytes) > most else ""


def try_all() -> Claims:
    """Read every file."""
    begin = perf_counter()
    peaks, faults = [], []
    for claim in claims():
        megabytes, fault = judge(claim)
        peaks += [] if claim.loads else [megabytes]
        faults += [fault] if fault else []
    seconds = round(perf_counter() - begin, 1)
    return Claims(len(peaks), len(faults), max(peaks), seconds, next(iter(faults), ""))


def read_here(path: str, memory: int) -> None:
    """Read a file in this process, and say what became of it and the MB it took."""
    from numpyvae.datasets import idx
    from numpyvae.errors import DataError

    if memory:
        idx.available_memory = lambda: memory  # type: ignore[assignment]
    before = peak_mb()
    try:
        idx.read_idx(path, 3)
        outcome = "loaded"
    except DataError as error:
        outcome = f"refused: {error}"
    print(outcome, peak_mb() - before)


def main() -> int:
    """Print a line for each file; 1 if anything is wrong."""
    wrong = False
    for claim in claims():
        megabytes, fault = judge(claim)
        size = len(claim.content) / 2**20
        print(f"{claim.name:42} {size:5.1f} MB  took {megabytes:4} MB  {fault}")
        wrong |= bool(fault)
    return int(wrong)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read_here(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
