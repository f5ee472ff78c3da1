"""IDX files: what was written is read back, and nothing else is believed."""

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data import idx_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from reliability import idx_fuzz
from told import refusal

from numpyvae.datasets import idx
from numpyvae.datasets.idx import GZIP_CHUNK, MAX_BYTES, idx_sha256, read_idx
from numpyvae.errors import DataError

Images = NDArray[np.uint8]

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 3], dtype=np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, 2**18, np.uint8)


def header(*shape: int, kind: int = 0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


def write(path: Path, data: bytes) -> None:
    """Write a file anew: to write over one costs a wait for the disk."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def refused(path: Path, dimensions: int = 3) -> str:
    """The line, which names it, with which a file is refused."""
    message = refusal(DataError, lambda: read_idx(path, dimensions))
    assert message.startswith(f"{path}: ")
    return message


def peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some-file"


@settings(deadline=None, max_examples=50)
@given(
    array=hnp.arrays(
        np.uint8,
        st.one_of(
            hnp.array_shapes(min_dims=1, max_dims=1, max_side=40),
            hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
        ),
    )
)
@pytest.mark.parametrize("encode", [bytes, gzip.compress], ids=["raw", "gz"])
def test_reads_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    encode: Callable[[bytes], bytes],
    array: Images,
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    write(path, encode(idx_bytes(array)))
    read = read_idx(path, array.ndim)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array, strict=True)


@pytest.mark.parametrize("encode", [bytes, gzip.compress], ids=["raw", "gz"])
def test_a_long_file_takes_little_more_than_its_own_size(
    path: Path, encode: Callable[[bytes], bytes]
) -> None:
    images = np.resize(NOISE, (100, 200, 300))
    write(path, encode(idx_bytes(images)))
    read: list[Images] = []
    assert peak_bytes(lambda: read.append(read_idx(path, 3))) < 1.4 * images.size
    np.testing.assert_array_equal(read[0], images)


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("encode", [bytes, gzip.compress], ids=["raw", "gz"])
def test_compression_is_seen_in_the_bytes_not_in_the_name(
    tmp_path: Path, name: str, encode: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(encode(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(read_idx(tmp_path / name, 3), IMAGES)


@pytest.mark.parametrize("encode", [bytes, gzip.compress], ids=["raw", "gz"])
def test_every_truncation_is_refused(
    path: Path, encode: Callable[[bytes], bytes]
) -> None:
    whole = encode(idx_bytes(IMAGES))
    for length in range(len(whole)):
        write(path, whole[:length])
        assert "download it again" in refused(path)


def test_every_change_of_a_header_byte_is_refused(path: Path) -> None:
    whole = idx_bytes(IMAGES)
    for position in range(len(header(*IMAGES.shape))):
        for value in set(range(256)) - {whole[position]}:
            damaged = bytearray(whole)
            damaged[position] = value
            write(path, damaged)
            refused(path)


def test_a_flipped_bit_in_a_gzip_file_never_changes_the_images(path: Path) -> None:
    whole = gzip.compress(idx_bytes(IMAGES))
    refused = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        write(path, damaged)
        try:
            np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
        except DataError:
            refused += 1
    # What may change unseen: time, system and two unused flags in gzip's header.
    assert refused >= 8 * (len(whole) - 10)


def test_trailing_bytes_are_refused(path: Path) -> None:
    expected = "bytes after the header, expected 24 for 2 x 3 x 4"
    for tail in (b"\0", bytes(1000)):
        whole = idx_bytes(IMAGES) + tail
        write(path, whole)
        assert f": {24 + len(tail)} {expected}" in refused(path)
        write(path, gzip.compress(whole))
        assert f"announcing {len(whole)} bytes, expected 40" in refused(path)
    write(path, gzip.compress(whole)[:-4] + struct.pack("<I", 40))
    assert f": more than 24 {expected}" in refused(path)


def test_fewer_bytes_than_announced_are_refused(path: Path) -> None:
    cut = gzip.compress(idx_bytes(IMAGES)[:-3])
    write(path, cut)
    assert "announcing 37 bytes, expected 40" in refused(path)
    write(path, cut[:-4] + struct.pack("<I", 40))
    assert "damaged gzip file (Error -3" in refused(path)


def test_bytes_behind_the_gzip_member_are_refused(path: Path) -> None:
    raw = idx_bytes(IMAGES)
    name = b"x" * (GZIP_CHUNK - 1 - len(idx_fuzz.gzipped(raw)))
    for whole in (gzip.compress(raw), idx_fuzz.gzipped(raw, name=name)):
        write(path, whole)
        np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
        members = gzip.compress(b""), gzip.compress(b"\0"), whole
        for tail in (b"\0", b"\1", bytes(512), b"\x1f\x8b", *members):
            write(path, whole + tail)
            refused(path)
            write(path, whole + tail + whole[-4:])  # ends by announcing the right size
            assert "more bytes behind its end" in refused(path)
    write(path, gzip.compress(raw[:20]) + gzip.compress(raw[20:]))
    refused(path)


@pytest.mark.parametrize("kind", [0x09, 0x0B, 0x0C, 0x0D, 0x0E])
def test_other_types_are_refused(path: Path, kind: int) -> None:
    path.write_bytes(header(*IMAGES.shape, kind=kind) + IMAGES.tobytes())
    assert f"starts with 0x0000{kind:02x}03, expected 0x00000803" in refused(path)


def test_images_and_labels_are_not_taken_for_each_other(path: Path) -> None:
    path.write_bytes(idx_bytes(LABELS.repeat(20)))
    assert "images and labels are not swapped" in refused(path, 3)
    path.write_bytes(idx_bytes(IMAGES))
    assert "images and labels are not swapped" in refused(path, 1)


@pytest.mark.parametrize(
    "shape",
    [
        (0, 28, 28),
        (2**32 - 1,) * 3,
        # In 64 bits these products wrap round to 0 and to 2**32.
        (2**31, 2**31, 4),
        (2**31 + 1, 2**31, 2),
        (MAX_BYTES + 1, 1, 1),
        (MAX_BYTES, 1, 1),
    ],
)
@pytest.mark.parametrize("encode", [bytes, gzip.compress], ids=["raw", "gz"])
def test_an_empty_or_a_boastful_header_allocates_nothing(
    path: Path, encode: Callable[[bytes], bytes], shape: tuple[int, ...]
) -> None:
    path.write_bytes(encode(header(*shape) + bytes(100)))
    messages: list[str] = []
    assert peak_bytes(lambda: messages.append(refused(path))) < 2**20
    possible = shape == (MAX_BYTES, 1, 1)
    if possible and encode is gzip.compress:
        assert "announcing 116 bytes, expected 2147483664" in messages[0]
        forged = path.read_bytes()[:-4] + struct.pack("<I", 2147483664)
        write(path, forged)
        assert peak_bytes(lambda: messages.append(refused(path))) < 2**20
        assert f"({len(forged)} bytes, expected at least 2080896 for" in messages[1]
        return
    complaint = "100 bytes after the header, expected" if possible else "expected 1 to"
    assert f"{complaint} 2147483648" in messages[0]
    assert " x ".join(map(str, shape)) in messages[0]


def test_what_memory_can_not_hold_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(idx_bytes(IMAGES))
    for memory in (2**40, 48):
        monkeypatch.setattr(idx, "available_memory", lambda memory=memory: memory)
        np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
    monkeypatch.setattr(idx, "available_memory", lambda: 47)
    assert "expected at most 23, half of the memory that is available" in refused(path)
    monkeypatch.undo()

    def full(stream: object, count: int) -> bytearray:
        if count > 16:
            raise MemoryError
        return read(stream, count)

    read = idx._read_at_most
    monkeypatch.setattr(idx, "_read_at_most", full)
    assert "found 24 bytes, expected what memory can hold" in refused(path)


def test_a_gzip_bomb_is_not_unpacked(path: Path) -> None:
    unpacked = 2**25
    bomb = gzip.compress(idx_bytes(IMAGES) + bytes(unpacked), 1)
    # Whoever unpacks all of it meets the damage and complains about that instead.
    path.write_bytes(bomb[:-8] + struct.pack("<II", 0, 40))
    messages: list[str] = []
    assert peak_bytes(lambda: messages.append(refused(path))) < unpacked // 16
    assert "more than 24 bytes after the header" in messages[0]


def test_a_raw_file_of_another_length_is_not_read(path: Path) -> None:
    path.write_bytes(header(2**20, 7, 1) + bytes(2**22))
    assert peak_bytes(lambda: refused(path)) < 2**20


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    paths = [tmp_path, Path(os.devnull)]
    if os.name == "posix":
        paths += [tmp_path / "pipe", tmp_path / "link"]
        os.mkfifo(paths[2])
        paths[3].symlink_to(paths[2])
    for path in paths:
        assert "a directory, pipe or device, expected a file" in refused(path)
    assert "No such file" in refused(tmp_path / "absent")
    assert "embedded null" in refused(tmp_path / "a\0b")


def test_corrupt_inputs_are_refused_or_read_as_the_oracle_reads_them() -> None:
    result = idx_fuzz.hypothesis_inputs(200)
    assert (result.inputs, result.first_fault) == (200, "")
    assert result.exceptions == result.wrong == 0
    assert min(result.loaded, result.refused / 10) > 10


def test_a_careless_reader_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(path: Path, dimensions: int) -> Images:
        data = path.read_bytes()
        raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        shape = struct.unpack_from(f">{dimensions}I", raw, 4)
        return np.ndarray(shape, np.uint8, raw, 4 + 4 * dimensions)

    monkeypatch.setattr(idx_fuzz, "read_idx", careless)
    result = idx_fuzz.hypothesis_inputs(60)
    assert min(result.exceptions, result.wrong) > 5


def test_a_missing_fuzzer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "atheris is not installed" in idx_fuzz.fuzz().note


def test_the_hash_is_that_of_the_raw_file() -> None:
    """Both from sha256sum: printf '\\0\\0\\10\\1\\0\\0\\0\\2\\7\\3' | sha256sum."""
    assert idx_sha256(LABELS) == (
        "6174a6c654c87759472d10d1f90d3efb371aea588b47170672f6ff26dbdf37e9"
    )
    assert idx_sha256(np.zeros((1, 1, 2), np.uint8)) == (
        "4c619ca3e47c520bff08a108d69efc8b10f8e93bf220d7bcb5496f9e2ab96c71"
    )
