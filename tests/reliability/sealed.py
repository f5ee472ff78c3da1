"""Checkpoints with the right seal, and with anything in them."""

import hashlib
import io
import struct
import zipfile
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np


def members(arrays: dict[str, Any], state: bytes) -> dict[str, bytes]:
    """The files of the archive."""
    files = {}
    for name, array in {**arrays, "state": np.frombuffer(state, np.uint8)}.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        files[f"{name}.npy"] = buffer.getvalue()
    return files


def packed(
    files: dict[str, bytes],
    method: int = zipfile.ZIP_STORED,
    twice: bool = False,
    bomb: tuple[str, bytes] | None = None,
) -> bytes:
    """A zip archive, whose comment is still to be written.

    A bomb's beginning is followed by a GiB of zeros.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in [*files.items()] * (1 + twice):
            archive.writestr(name, content)
        if bomb:
            info = zipfile.ZipInfo(bomb[0])
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as file:
                for content in (bomb[1], *[bytes(2**20)] * 2**10):
                    file.write(content)
        archive.comment = bytes(64)
    return buffer.getvalue()[:-64]


def seal(content: bytes) -> bytes:
    """The bytes with their SHA-256 behind them."""
    return content + hashlib.sha256(content).hexdigest().encode()


def sealed(arrays: dict[str, Any], state: bytes) -> bytes:
    """A sealed checkpoint."""
    return seal(packed(members(arrays, state)))


def others(array: Any) -> Iterator[tuple[str, Any]]:
    """Arrays that are not the one they should be."""
    for dtype in (
        "u1",
        "i8",
        "f2",
        "f8",
        ">f4",
        "c8",
        "?",
        "U4",
        "M8[s]",
        "f4,f4",
        "V3",
    ):
        yield dtype, np.zeros(len(array), dtype)
    yield "objects", np.full(len(array), None)
    for shape in ((), (0,), (1,), (len(array) + 1,), (1, len(array)), (len(array), 1)):
        yield str(shape), np.zeros(shape, array.dtype)
    for value in (np.nan, np.inf, -1, 1):
        yield str(value), np.full(len(array), value, array.dtype)


def headers(params: Any) -> Iterator[tuple[str, bytes]]:
    """.npy files whose header is not what follows."""
    bodies = params.tobytes(), b""
    for shape in (
        "(100000000000,)", "(2147483648,)", "(-1,)", "(True,)", "[3]", "3", "((3,),)",
        "(10000000000, 10000000000)", "(0, 100000000000)", "()", f"({'9' * 400},)",
    ):  # fmt: skip
        for i, body in enumerate(bodies):
            text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
            yield f"shape {shape[:30]} {i}", npy(text) + body
    size = len(params)
    for kind in ("'|O'", "'<f4 '", "[]", "('<f4', (9,))", "[('a', '<f4')]", "'|V0'",
                 "'|S0'", "'<U1000000000'", "None", "'x'", "'<f4,' * 3"):  # fmt: skip
        text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': ({size},), }}"
        yield f"descr {kind}", npy(text) + bodies[0]
    for name, text in {
        "code": "__import__('os').abort()",
        "deep": "(" * 9000,
        "long": " " * 60_000,
        "Python 2": "{'descr': '<f4', 'fortran_order': False, 'shape': (3L,), }",
        "unclosed": "{'descr': '''",
        "none": "",
    }.items():
        yield name, npy(text) + bodies[0]
    for version in ((2, 0), (3, 0), (9, 9)):
        yield f"version {version}", b"\x93NUMPY" + bytes(version) + bytes(200)
    yield "no magic", bodies[0]
    yield "cut in its header", npy("{'descr': '<f4'")[:9]


def npy(header: str) -> bytes:
    """The head of an .npy file with this text as its header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archives(whole: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Zip archives that lie, or hold what they should not."""
    rest = {name: content for name, content in whole.items() if name != "params.npy"}
    head = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (268435456,), }")
    yield "a bomb", seal(packed(rest, bomb=("params.npy", head)))
    yield "a bomb that nobody asked for", seal(packed(whole, bomb=("more.npy", head)))
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield f"method {method}", seal(packed(whole, method))
    yield "empty", seal(packed({}))
    yield "a member more", seal(packed(whole | {"../more.npy": b""}))
    with mock.patch("warnings.warn"):
        yield "a member twice", seal(packed(whole, twice=True))
    plain = packed(whole)
    entry = plain.index(b"PK\x01\x02")
    for name, offset, width in (
        ("version", 6, 2), ("flags", 8, 2), ("method", 10, 2), ("crc", 16, 4),
        ("compressed", 20, 4), ("size", 24, 4), ("name", 28, 2), ("extra", 30, 2),
        ("comment", 32, 2), ("place", 42, 4),
    ):  # fmt: skip
        for value in (0, 1, 99, 2**15, 2**16 - 1, 2**31, 2**32 - 1):
            lie = bytearray(plain)
            number = (value % 2 ** (8 * width)).to_bytes(width, "little")
            lie[entry + offset : entry + offset + width] = number
            yield f"{name} {value}", seal(bytes(lie))
    end = plain.index(b"PK\x05\x06")
    for offset in range(4, 20, 2):
        lie = bytearray(plain)
        lie[end + offset : end + offset + 2] = b"\xff\xff"
        yield f"end {offset}", seal(bytes(lie))
    yield "none", seal(b"")
    yield "text", seal(b"text")
