"""IDX, the format in which MNIST and its relatives are published.

A header of big-endian 32-bit words (type and number of dimensions, then the
sizes), then the bytes. A file may come from anywhere, so nothing it claims is
believed before it is checked, and no memory is taken before it is known that the file
can hold what it claims, that there is room for it, and that bytes have come.
"""

import hashlib
import math
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, expect_path, expect_whole
from .dataset import Dataset

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"

MAX_BYTES = 2**31  # of an array, also where there is more memory
CHUNK_BYTES = 2**20
GZIP_CHUNK = 2**16  # compressed bytes; they may hold a thousand times as many
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1032  # bytes that one compressed byte can hold: 258 in 2 bits
UNSIGNED_BYTES = 0x0800  # the first word of a file is this + the dimensions
AGAIN = "delete it and download it again"


def read_idx(path: str | os.PathLike[str], dimensions: int) -> NDArray[np.uint8]:
    """Return the array in one IDX file of unsigned bytes, gzip-compressed or raw.

    Shape: (N, H, W) for dimensions = 3 (images), (N,) for 1 (labels).
    Raises DataError if the file cannot be read, is of another type or number
    of dimensions, is empty, damaged, truncated, followed by more bytes, or
    claims more than `MAX_BYTES` or than half of the available memory: who reads
    images goes on to work with them.
    Raises ArgumentError if `path` is no path or `dimensions` no positive number.
    """
    expect_path("path", path)
    expect_whole("dimensions", dimensions, 1)
    try:
        status = os.stat(path)
        # Checked before it is opened: to open a pipe waits until someone writes.
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: a directory, pipe or device, expected a file")
        with open(path, "rb") as file:
            return _parse(file, status.st_size, path, dimensions)
    except (OSError, ValueError) as error:  # the latter: a name with a null byte
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read ({reason}); check its name and permissions"
        ) from error


def load_idx(data_dir: str | os.PathLike[str]) -> Dataset:
    """Return the four IDX files of any directory, named after the directory.

    The files are named like MNIST's, each with or without .gz: Fashion-MNIST
    and KMNIST are. Images may have any size. Raises DataError if the directory
    or a file is missing, a file is not what `read_idx` expects, or the
    files do not fit each other, and ArgumentError if `data_dir` is no path.
    """
    expect_path("data_dir", data_dir)
    directory = Path(data_dir)
    if not os.path.isdir(directory):
        raise DataError(
            f"{directory}: no such directory; expected one with the four IDX files"
        )
    train_images, train_labels = _read_part(directory, TRAIN_IMAGES, TRAIN_LABELS)
    test_images, test_labels = _read_part(directory, TEST_IMAGES, TEST_LABELS)
    train_size, test_size = train_images.shape[1:], test_images.shape[1:]
    if train_size != test_size:
        raise DataError(
            f"{directory}: train images are {_times(train_size)}, test images "
            f"{_times(test_size)}, expected one size; are they of one data set?"
        )
    name = directory.resolve().name
    return Dataset(name, train_images, train_labels, test_images, test_labels)


def find_file(directory: Path, name: str) -> Path | None:
    """Return where the IDX file `name` lies in `directory`, under any spelling."""
    for spelling in _spellings(name):
        if os.path.isfile(directory / spelling):
            return directory / spelling
    return None


def idx_sha256(array: NDArray[np.uint8]) -> str:
    """Return the SHA-256, in hex, of the raw IDX file that holds `array`."""
    first = UNSIGNED_BYTES + array.ndim
    digest = hashlib.sha256(struct.pack(f">{1 + array.ndim}I", first, *array.shape))
    digest.update(array.tobytes())
    return digest.hexdigest()


def available_memory() -> int:
    """The bytes that this machine could give without swapping."""
    import psutil  # slow to import

    available: int = psutil.virtual_memory().available
    return available


def _spellings(name: str) -> list[str]:
    dotted = name.replace("-idx", ".idx")
    return [f"{name}.gz", name, f"{dotted}.gz", dotted]


def _read_part(
    directory: Path, images_name: str, labels_name: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (N, H, W) and their labels (N,)."""
    images = read_idx(_find_or_refuse(directory, images_name), 3)
    labels = read_idx(_find_or_refuse(directory, labels_name), 1)
    if len(images) != len(labels):
        raise DataError(
            f"{directory}: {len(images)} images in {images_name}, {len(labels)} labels "
            f"in {labels_name}, expected as many; download both again"
        )
    return images, labels


def _find_or_refuse(directory: Path, name: str) -> Path:
    path = find_file(directory, name)
    if path is None:
        raise DataError(
            f"{directory}: no {name} (looked for {', '.join(_spellings(name))}); "
            "put the four IDX files there"
        )
    return path


class _Gunzip:
    """Decompresses a gzip file of one member, only as many bytes as are asked for.

    Unlike gzip.GzipFile it takes nothing behind that member, not even zeros.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        file.seek(max(0, size - 4))
        # How many bytes it holds, modulo 2**32, as its end says.
        self.announced = int.from_bytes(file.read(4), "little")
        file.seek(0)
        self._engine = zlib.decompressobj(wbits=31)  # gzip's header and checksums

    def read(self, count: int) -> bytes:
        """Return 1 to `count` bytes, none at the end; count is at least 1.

        Raises zlib.error if the file is damaged, cut or goes on behind its end.
        """
        while not self._engine.eof:
            compressed = self._engine.unconsumed_tail or self._file.read(GZIP_CHUNK)
            if data := self._engine.decompress(compressed, count):
                return data
            if not compressed:
                raise zlib.error("it ends too early")
        if self._engine.unused_data or self._file.read(1):
            raise zlib.error("more bytes behind its end")
        return b""


def _parse(
    file: BinaryIO, size: int, name: str | os.PathLike[str], dimensions: int
) -> NDArray[np.uint8]:
    """Return the array in a file of `size` bytes; `name` is for the messages."""
    compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    stream = _Gunzip(file, size) if compressed else file
    try:
        shape = _read_shape(name, stream, dimensions)
        expected, length = math.prod(shape), 4 * (1 + dimensions)
        if isinstance(stream, _Gunzip):
            _expect_room(name, stream, size, length + expected)
        elif size - length != expected:
            raise _wrong_count(name, str(size - length), shape)
        data = _read_at_most(stream, expected + 1)
    except zlib.error as error:
        raise DataError(f"{name}: damaged gzip file ({error}); {AGAIN}") from error
    except MemoryError as error:
        raise DataError(
            f"{name}: found {expected} bytes, expected what memory can hold; close "
            "other programs"
        ) from error
    if len(data) > expected:
        raise _wrong_count(name, f"more than {expected}", shape)
    if len(data) < expected:
        raise _wrong_count(name, str(len(data)), shape)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_shape(
    name: str | os.PathLike[str], stream: BinaryIO | _Gunzip, dimensions: int
) -> tuple[int, ...]:
    """Read the header; refuse it unless it announces a possible array."""
    length = 4 * (1 + dimensions)
    header = _read_at_most(stream, length)
    if len(header) < length:
        raise DataError(
            f"{name}: {len(header)} bytes, expected an IDX header of {length}; {AGAIN}"
        )
    first, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if first != UNSIGNED_BYTES + dimensions:
        raise DataError(
            f"{name}: starts with 0x{first:08x}, expected "
            f"0x{UNSIGNED_BYTES + dimensions:08x} (unsigned bytes, {dimensions} "
            "dimensions); check that images and labels are not swapped, or "
            "download it again"
        )
    announced, most = math.prod(shape), available_memory() // 2
    if not 0 < announced <= MAX_BYTES:
        raise DataError(
            f"{name}: announces {_times(shape)} bytes, expected 1 to {MAX_BYTES}; "
            f"{AGAIN}"
        )
    if announced > most:
        raise DataError(
            f"{name}: announces {_times(shape)} bytes, expected at most {most}, "
            "half of the memory that is available; close other programs"
        )
    return tuple(shape)


def _expect_room(
    name: str | os.PathLike[str], stream: _Gunzip, size: int, expected: int
) -> None:
    """Refuse a gzip file of `size` bytes that can't hold the `expected` bytes."""
    if stream.announced != expected:
        raise DataError(
            f"{name}: damaged gzip file (it ends by announcing {stream.announced} "
            f"bytes, expected {expected}); it is cut, continued or altered; {AGAIN}"
        )
    if GZIP_RATIO * size < expected:
        raise DataError(
            f"{name}: damaged gzip file ({size} bytes, expected at least "
            f"{-(-expected // GZIP_RATIO)} for the {expected} that it announces); "
            f"{AGAIN}"
        )


def _read_at_most(stream: BinaryIO | _Gunzip, count: int) -> bytearray:
    """Read `count` bytes or to the end, allocating only for what is there."""
    data = bytearray()
    while left := count - len(data):
        chunk = stream.read(min(CHUNK_BYTES, left))
        if not chunk:
            break
        data += chunk
    return data


def _wrong_count(
    name: str | os.PathLike[str], found: str, shape: Sequence[int]
) -> DataError:
    return DataError(
        f"{name}: {found} bytes after the header, expected {math.prod(shape)} for "
        f"{_times(shape)}; {AGAIN}"
    )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
