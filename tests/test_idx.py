"""IDX files: what was written is read back, and nothing else is believed."""

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from reliability import idx_fuzz

from numpyvae.datasets import load_idx
from numpyvae.datasets.idx import GZIP_CHUNK, MAX_BYTES, idx_sha256, read_idx
from numpyvae.errors import DataError

Images = NDArray[np.uint8]

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 3], dtype=np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, 2**18, np.uint8)
FILES = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": IMAGES[:1],
    "t10k-labels-idx1-ubyte": LABELS[:1],
}


def header(*shape: int, kind: int = 0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


def idx_bytes(array: Images) -> bytes:
    return header(*array.shape) + array.tobytes()


def write(path: Path, data: bytes) -> None:
    """Write a file anew: to write over one costs a wait for the disk."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def refusal(path: Path, dimensions: int = 3) -> str:
    """The message with which the file is refused: one line that names it."""
    with pytest.raises(DataError) as caught:
        read_idx(path, dimensions)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def refusal_of_directory(directory: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_idx(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "fashion"
    folder.mkdir()
    for name, array in FILES.items():
        (folder / name).write_bytes(idx_bytes(array))
    return folder


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
        assert "download it again" in refusal(path)


def test_every_change_of_a_header_byte_is_refused(path: Path) -> None:
    whole = idx_bytes(IMAGES)
    for position in range(len(header(*IMAGES.shape))):
        for value in set(range(256)) - {whole[position]}:
            damaged = bytearray(whole)
            damaged[position] = value
            write(path, damaged)
            refusal(path)


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
        assert f": {24 + len(tail)} {expected}" in refusal(path)
        write(path, gzip.compress(whole))
        assert f": more than 24 {expected}" in refusal(path)


def test_bytes_behind_the_gzip_member_are_refused(path: Path) -> None:
    raw = idx_bytes(IMAGES)
    name = b"x" * (GZIP_CHUNK - 1 - len(idx_fuzz.gzipped(raw)))
    for whole in (gzip.compress(raw), idx_fuzz.gzipped(raw, name=name)):
        write(path, whole)
        np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
        members = gzip.compress(b""), gzip.compress(b"\0"), whole
        for tail in (b"\0", b"\1", bytes(512), b"\x1f\x8b", *members):
            write(path, whole + tail)
            assert "more bytes behind its end" in refusal(path)
    write(path, gzip.compress(raw[:20]) + gzip.compress(raw[20:]))
    assert "more bytes behind its end" in refusal(path)


@pytest.mark.parametrize("kind", [0x09, 0x0B, 0x0C, 0x0D, 0x0E])
def test_other_types_are_refused(path: Path, kind: int) -> None:
    path.write_bytes(header(*IMAGES.shape, kind=kind) + IMAGES.tobytes())
    assert f"starts with 0x0000{kind:02x}03, expected 0x00000803" in refusal(path)


def test_images_and_labels_are_not_taken_for_each_other(path: Path) -> None:
    path.write_bytes(idx_bytes(LABELS.repeat(20)))
    assert "images and labels are not swapped" in refusal(path, 3)
    path.write_bytes(idx_bytes(IMAGES))
    assert "images and labels are not swapped" in refusal(path, 1)


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
    assert peak_bytes(lambda: messages.append(refusal(path))) < 2**20
    possible = shape == (MAX_BYTES, 1, 1)
    complaint = "100 bytes after the header, expected" if possible else "expected 1 to"
    assert f"{complaint} 2147483648" in messages[0]
    assert " x ".join(map(str, shape)) in messages[0]


def test_a_gzip_bomb_is_not_unpacked(path: Path) -> None:
    unpacked = 2**25
    bomb = gzip.compress(idx_bytes(IMAGES) + bytes(unpacked), 1)
    # Whoever unpacks all of it meets the damage and complains about that instead.
    path.write_bytes(bomb[:-8] + bytes(8))
    messages: list[str] = []
    assert peak_bytes(lambda: messages.append(refusal(path))) < unpacked // 16
    assert "more than 24 bytes after the header" in messages[0]


def test_a_raw_file_of_another_length_is_not_read(path: Path) -> None:
    path.write_bytes(header(2**20, 7, 1) + bytes(2**22))
    assert peak_bytes(lambda: refusal(path)) < 2**20


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (tmp_path, pipe, link, Path(os.devnull)):
        assert "a directory, pipe or device, expected a file" in refusal(path)
    assert "No such file" in refusal(tmp_path / "absent")


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


def test_load_idx_returns_the_four_arrays(directory: Path) -> None:
    dataset = load_idx(directory)
    assert dataset.name == "fashion"
    assert dataset.image_shape == (3, 4)
    assert dataset.pixels == 12
    np.testing.assert_array_equal(dataset.train_images, IMAGES)
    np.testing.assert_array_equal(dataset.train_labels, LABELS)
    np.testing.assert_array_equal(dataset.test_images, IMAGES[:1])
    np.testing.assert_array_equal(dataset.test_labels, LABELS[:1])


def test_the_current_directory_has_a_name_too(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    assert load_idx(os.curdir).name == "fashion"


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_load_idx_knows_the_spellings(
    tmp_path: Path, separator: str, suffix: str
) -> None:
    for name, array in FILES.items():
        spelling = name.replace("-idx", f"{separator}idx") + suffix
        encode = gzip.compress if suffix else bytes
        (tmp_path / spelling).write_bytes(encode(idx_bytes(array)))
    np.testing.assert_array_equal(load_idx(tmp_path).train_images, IMAGES)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert "no such directory" in refusal_of_directory(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "no such directory" in refusal_of_directory(tmp_path / "file")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_with_the_names_looked_for(
    directory: Path, name: str
) -> None:
    (directory / name).unlink()
    message = refusal_of_directory(directory)
    dotted = name.replace("-idx", ".idx")
    for spelling in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        assert f" {spelling}" in message


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_counts_that_differ_are_refused(directory: Path, part: str) -> None:
    labels = directory / f"{part}-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    message = refusal_of_directory(directory)
    assert "5 labels in " + labels.name in message
    assert f"{part}-images-idx3-ubyte" in message


def test_train_and_test_images_of_different_size_are_refused(directory: Path) -> None:
    turned = IMAGES[:1].transpose(0, 2, 1)
    (directory / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(turned))
    message = refusal_of_directory(directory)
    assert "train images are 3 x 4, test images 4 x 3" in message
