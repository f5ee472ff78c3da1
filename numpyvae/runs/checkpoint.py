"""A training's state as one .npz file that is whole and right, or refused.

Arrays and JSON, no pickle. The zip archive's comment holds the SHA-256 of all bytes
before it, so that one flipped bit or one missing byte is noticed before anything is
parsed; whoever only wants the arrays can still say `np.load`.

The hash tells damage, not a forgery, which can have a hash as well. So sizes are read
from headers before memory is taken, and what `Trainer.state` can't give is refused.

Shapes: P parameters.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
import warnings
import zipfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from ..files import read_file, write_atomically
from ..model.vae import VAE
from ..pairs.types import Array
from ..training.trainer import EpochRecord, Trainer

NAME, PREVIOUS = "checkpoint.npz", "checkpoint.previous.npz"
ARRAYS = ("params", "adam_m", "adam_v")  # each (P,)
SEAL = 64  # characters of a SHA-256
MAX_BYTES, MAX_STATE = 2**31, 2**25  # of the file, of its JSON

_written: dict[Path, tuple[int, ...]] = {}  # by this process, with their marks


def save_checkpoint(
    folder: Path, arrays: Mapping[str, Array], state: Mapping[str, Any]
) -> None:
    """Write checkpoint.npz; the one before it stays as checkpoint.previous.npz.

    At any moment one of the two is whole on disk. Raises RunError if the disk refuses,
    or if it would be larger than one that is loaded; the checkpoint before then still
    loads.
    """
    path = folder / NAME
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    contents: dict[str, Any] = {"state": text, **arrays}
    np.savez(buffer, **contents)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = bytes(SEAL)
    content = buffer.getvalue()[:-SEAL]
    for found, most in ((text.size, MAX_STATE), (len(content) + SEAL, MAX_BYTES)):
        if found > most:
            raise RunError(f"{path}: found {found:,} bytes, expected at most {most:,}")
    # A damaged one must not take the place of the one that was fallen back on.
    keep = folder / PREVIOUS if _is_whole(path) else None
    write_atomically(path, content + _seal(content), keep)
    _written[path] = _mark(path)


def load_checkpoint(folder: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the state of the newest whole checkpoint.

    The arrays are finite vectors (P,) of one dtype. Falls back on the previous one, and
    says so on stderr. Raises RunError if there is neither.
    """
    try:
        return _read(folder / NAME)
    except RunError as error:
        try:
            contents = _read(folder / PREVIOUS)
        except RunError:
            raise error from None
        print(f"numpyvae: {error}; going on with {PREVIOUS}", file=sys.stderr)
        return contents


def model_of(arrays: Mapping[str, Array], arguments: Mapping[str, Any]) -> VAE:
    """The model with these arguments and a checkpoint's parameters.

    It is no larger than these. Raises RunError if the two don't fit each other.
    """
    try:
        return VAE(**arguments, params=arrays["params"])
    except Exception as error:  # whatever comes of a stranger's arguments
        raise RunError(
            f"checkpoint: found {error}, expected a model's parameters"
        ) from error


def expect_state(trainer: Trainer, arrays: Mapping[str, Array], state: Any) -> None:
    """Raise RunError unless this trainer can have come to this state."""
    size, n = trainer.settings.batch_size, len(trainer.batches)
    batches = -(-n // size)
    try:
        records, start, steps = state["records"], state["start"], state["adam_step"]
        sums = [state[name] for name in ("recon", "kl", "seconds")]
        rngs = [state["order_state"], *state["shard_states"]]
        fits = {
            "params": arrays["params"].shape == trainer.model.params.flat.shape
            and arrays["params"].dtype == trainer.model.dtype,
            "records": all(
                len(record) == len(EpochRecord._fields)
                and (type(record[0]), record[0]) == (int, epoch)
                for epoch, record in enumerate(records, 1)
            ),
            "start": start in range(0, batches * size + 1, size),
            "adam_step": steps == len(records) * batches + start // size,
            "numbers": all(
                type(number) in (int, float) and math.isfinite(number)
                for number in (start, steps, *sums, *chain(*records))
            ),
            "generators": len(rngs) == 1 + len(trainer.shard_rngs)
            and all(map(_is_generator, rngs)),
        }
        wrong = next((name for name, fine in fits.items() if not fine), None)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        wrong = repr(error)
    if wrong:
        raise RunError(
            f"checkpoint: found {wrong} that no training of this run has, expected "
            "what `numpyvae train` saved"
        )


def _is_generator(state: Any) -> bool:
    generator = np.random.PCG64(0)
    generator.state = state
    return generator.state == state


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    content = _content(path)
    try:
        return _parse(content)
    except Exception as error:  # whatever comes of parsing a stranger's bytes
        raise RunError(
            f"{path}: found {error}, expected a checkpoint of this numpyvae"
        ) from error


def _parse(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        expected = sorted(f"{name}.npy" for name in ("state", *ARRAYS))
        if sorted(member.filename for member in members) != expected:
            raise ValueError(f"members other than {', '.join(expected)}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("a compressed member")
        vectors = {m.filename[:-4]: _vector(archive.read(m)) for m in members}
    text = vectors.pop("state")
    if text.dtype != np.uint8 or text.size > MAX_STATE:
        raise ValueError(f"{text.size:,} numbers of {text.dtype} as its state")
    state = json.loads(text.tobytes())
    if not isinstance(state, dict):
        raise ValueError("a state that is no JSON object")
    params = vectors["params"]
    for name, vector in vectors.items():
        if vector.dtype.kind != "f" or not np.isfinite(vector).all():
            raise ValueError(f"{name} that are not finite")
        if vector.dtype != params.dtype or vector.size != params.size:
            raise ValueError(f"{name} unlike params")
    if vectors["adam_v"].min(initial=0) < 0:
        raise ValueError("adam_v below 0")
    return vectors, state


def _vector(member: bytes) -> Array:
    """What an .npy file holds, if that is a vector and nothing else."""
    stream = io.BytesIO(member)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("another version of .npy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of headers that are another program's
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype not in (np.uint8, np.float32, np.float64):
        raise ValueError(f"an array of {dtype}")
    vector = np.frombuffer(member, dtype, offset=stream.tell())
    if shape != vector.shape:
        raise ValueError(f"{vector.size:,} numbers for an array of shape {shape}")
    return vector.copy()


def _mark(path: Path) -> tuple[int, ...]:
    """What changes once a file is replaced or written to."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Whether the hash is right, or this process wrote the file and nobody since."""
    try:
        if path in _written and _mark(path) == _written[path]:
            return True
        _content(path)
    except (RunError, OSError):
        return False
    return True


def _content(path: Path) -> bytes:
    """The bytes that were written. Raises RunError if there are others or none."""
    try:
        content = read_file(path, MAX_BYTES)
    except FileNotFoundError:
        raise RunError(
            f"{path}: found no such file, expected a checkpoint of `numpyvae train`"
        ) from None
    except OSError as error:
        raise RunError(f"{path}: found {error.strerror}, expected a file") from error
    if len(content) < SEAL or _seal(content[:-SEAL]) != content[-SEAL:]:
        raise RunError(
            f"{path}: found bytes that are not the ones that were written (SHA-256), "
            "expected a checkpoint of `numpyvae train`"
        )
    return content


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
