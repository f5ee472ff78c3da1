"""MNIST: found in a directory, or downloaded once into the user's cache.

What identifies a file is the SHA-256 of its decompressed bytes, because a .gz
can be made in many ways; only a download is held to the mirrors' own .gz.
"""

import logging
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ..errors import DataError, expect_path
from .dataset import Dataset
from .idx import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    find_file,
    idx_sha256,
    load_idx,
)

ENVIRONMENT = "NUMPYVAE_DATA"

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
SCHEME = "https://"  # the only one, also after a redirect
TIMEOUT_SECONDS = (10, 30)  # to connect, and between bytes
CHUNK_BYTES = 2**16


class Download(NamedTuple):
    """What a mirror serves as NAME.gz, and what it holds."""

    gz_bytes: int
    gz_sha256: str
    sha256: str


DOWNLOADS = {
    TRAIN_IMAGES: Download(
        gz_bytes=9_912_422,
        gz_sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    TRAIN_LABELS: Download(
        gz_bytes=28_881,
        gz_sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    TEST_IMAGES: Download(
        gz_bytes=1_648_877,
        gz_sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    TEST_LABELS: Download(
        gz_bytes=4_542,
        gz_sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def load_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    progress: bool = True,
) -> Dataset:
    """Return MNIST: 60000 training and 10000 test images of 28 x 28.

    Looks in `data_dir` if given, else in $NUMPYVAE_DATA if set, else in the
    user's cache; only the cache is filled by a download, if `download` allows
    it, about which `progress` reports on stderr. Raises DataError if a file is missing,
    damaged or not MNIST's, or if no mirror could be reached, and
    ArgumentError if `data_dir` is no path.
    """
    if data_dir is not None:
        expect_path("data_dir", data_dir)
        return _load_checked(Path(data_dir))
    if directory := os.environ.get(ENVIRONMENT):
        try:
            return _load_checked(Path(directory))
        except DataError as error:
            raise DataError(f"${ENVIRONMENT}: {error}") from error
    cache = _cache()
    missing = [name for name in DOWNLOADS if find_file(cache, name) is None]
    if missing and not download:
        raise DataError(
            f"MNIST: found no {missing[0]} in {cache}, expected its four files there "
            f"or in ${ENVIRONMENT}; numpyvae train --data mnist downloads them"
        )
    if missing:
        _download(missing, cache, progress)
    return _load_checked(cache)


def _cache() -> Path:
    """Where downloads are kept. Raises DataError for a user without a home."""
    import pooch  # slow to import, and needed only for the cache

    try:
        cache: Path = pooch.os_cache("numpyvae") / "mnist"
    except RuntimeError:
        cache = Path("~")
    if not cache.is_absolute():  # some versions of platformdirs leave the ~ there
        raise DataError(
            "MNIST: found no home directory for its cache, expected $HOME to be one; "
            "put its four files into a directory and pass --data-dir DIR or set "
            f"${ENVIRONMENT}"
        )
    return cache


def _load_checked(directory: Path) -> Dataset:
    """Return the four files of `directory` if they are MNIST's, bit for bit."""
    dataset = load_idx(directory)
    arrays = {
        TRAIN_IMAGES: dataset.train_images,
        TRAIN_LABELS: dataset.train_labels,
        TEST_IMAGES: dataset.test_images,
        TEST_LABELS: dataset.test_labels,
    }
    for name, array in arrays.items():
        found, expected = idx_sha256(array), DOWNLOADS[name].sha256
        if found != expected:
            raise DataError(
                f"{find_file(directory, name)}: not MNIST's, its decompressed bytes "
                f"have SHA-256 {found}, expected {expected}; delete it and download "
                "it again, or use --data idx (load_idx) for other images"
            )
    return replace(dataset, name="mnist")


def _download(names: list[str], directory: Path, progress: bool) -> None:
    """Put NAME.gz for all names into `directory`, from the first mirror that works.

    A file comes under its final name only once its SHA-256 is right; until then it
    has a temporary one, which an interruption removes. Raises DataError if every
    mirror failed.
    """
    import pooch

    registry = {f"{name}.gz": f"sha256:{DOWNLOADS[name].gz_sha256}" for name in names}
    for file in registry:
        if os.path.exists(directory / file):  # pooch would wait for a pipe's bytes
            raise DataError(
                f"{directory / file}: a directory, pipe or device, expected a file; "
                "delete it"
            )
    if progress:
        megabytes = sum(DOWNLOADS[name].gz_bytes for name in names) / 1e6
        print(f"MNIST: downloading {megabytes:.1f} MB to {directory}", file=sys.stderr)
    failures = []
    for mirror in MIRRORS:
        source = pooch.create(directory, mirror, registry=registry, retry_if_failed=1)
        try:
            with _silent(pooch.get_logger()):
                for name in names:
                    expected = DOWNLOADS[name].gz_bytes
                    fetch = partial(_fetch, expected=expected, progress=progress)
                    source.fetch(f"{name}.gz", downloader=fetch)
            return
        except (OSError, ValueError) as error:
            reason = str(error)
            if "Caused by " in reason:  # requests wraps it in three layers
                reason = reason.rpartition("Caused by ")[2].partition(": ")[2][:-3]
            failures.append(f"{mirror}: {textwrap.shorten(reason, 200)}")
    raise DataError(
        "MNIST could not be downloaded: put its four files into a directory and pass "
        f"--data-dir DIR or set {ENVIRONMENT}, or use the built-in --data strokes; "
        f"tried {' and '.join(failures)}"
    )


def _fetch(
    url: str, output_file: str, _: object, *, expected: int, progress: bool
) -> None:
    """Write to the file the `expected` bytes that `url` serves.

    Raises ValueError for fewer bytes, for more (none of which are written), and if
    `url` or a redirect is not https; OSError if it can't be had.
    """
    import requests  # comes with pooch, and is as slow to import

    left = expected
    with requests.Session() as session:
        session.adapters = {SCHEME: session.adapters[SCHEME]}
        try:
            response = session.get(url, stream=True, timeout=TIMEOUT_SECONDS)
        except requests.exceptions.InvalidSchema as error:
            raise ValueError(f"expected {SCHEME} all the way: {error}") from error
        bar = tqdm(total=expected, unit="B", unit_scale=True, disable=not progress)
        with response, bar, open(output_file, "wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"more bytes than the expected {expected}")
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if left:
        raise ValueError(f"{expected - left} bytes, expected {expected}")


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    # Not setLevel: pooch's logger is in no hierarchy, so its cached levels stay.
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
