"""MNIST: where it is looked for, what is accepted, and how it is downloaded.

Downloads come from a server on 127.0.0.1 with small files in place of MNIST's.
"""

import gzip
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from time import sleep
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pooch
import pytest
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from numpyvae.datasets import load_mnist, mnist
from numpyvae.datasets.idx import find_file
from numpyvae.errors import DataError

FILES = {
    "train-images-idx3-ubyte": np.arange(48, dtype=np.uint8).reshape(3, 4, 4),
    "train-labels-idx1-ubyte": np.array([5, 0, 4], dtype=np.uint8),
    "t10k-images-idx3-ubyte": np.arange(32, dtype=np.uint8).reshape(2, 4, 4),
    "t10k-labels-idx1-ubyte": np.array([7, 2], dtype=np.uint8),
}
RAW = {
    name: struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    + array.tobytes()
    for name, array in FILES.items()
}
SERVED = {f"{name}.gz": gzip.compress(raw, mtime=0) for name, raw in RAW.items()}
TRAIN_GZ = len(SERVED["train-images-idx3-ubyte.gz"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Mirror(BaseHTTPRequestHandler):
    """Serves /good/NAME; the other mirrors fail as they are called."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        _, mirror, name = urlsplit(self.path).path.split("/")
        if mirror.startswith("to-"):
            self.send_response(302)
            self.send_header("Location", f"/{mirror.removeprefix('to-')}/{name}")
            self.end_headers()
            return
        data = {
            "altered": SERVED[name][:-1] + bytes([SERVED[name][-1] ^ 1]),
            "longer": SERVED[name] + bytes(1),
            "shorter": SERVED[name][:-1],
        }.get(mirror, SERVED[name])
        self.send_response(404 if mirror == "absent" else 200)
        if mirror != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        cut = len(data) // 2 if mirror in ("halved", "stalled") else len(data)
        self.wfile.write(data[:cut])
        with suppress(ConnectionError):  # the client is expected to hang up
            if mirror == "stalled":
                sleep(0.5)
                self.wfile.write(data[cut:])
            for _ in range(1000 if mirror == "endless" else 0):
                self.wfile.write(bytes(2**16))

    def log_message(self, format: str, *args: object) -> None:
        """Keep stderr for what is tested."""


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths asked of the server, in order."""
    paths: list[str] = []
    monkeypatch.setattr(Mirror, "requests", paths, raising=False)
    return paths


@pytest.fixture
def server(requests: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server whose mirror /good/ is the only one in the table."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(mnist, "SCHEME", "http://")
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda _: None))
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as listener:
        thread = Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{listener.server_port}"
        monkeypatch.setattr(mnist, "MIRRORS", (f"{address}/good/",))
        yield address
        listener.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads go, not made yet; the table holds the small files."""
    monkeypatch.delenv("NUMPYVAE_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    table = {
        name: mnist.Download(
            len(SERVED[f"{name}.gz"]), sha256(SERVED[f"{name}.gz"]), sha256(raw)
        )
        for name, raw in RAW.items()
    }
    monkeypatch.setattr(mnist, "DOWNLOADS", table)
    return tmp_path / "numpyvae" / "mnist"


def fill(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name, data in SERVED.items():
        (directory / name).write_bytes(data)
    return directory


def use_mirrors(monkeypatch: pytest.MonkeyPatch, server: str, *names: str) -> list[str]:
    mirrors = [f"{server}/{name}/" for name in names]
    monkeypatch.setattr(mnist, "MIRRORS", mirrors)
    return mirrors


def refusal(data_dir: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load_mnist(data_dir, progress=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def listing(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


# Places


def test_data_dir_comes_before_environment_and_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMPYVAE_DATA", str(tmp_path / "absent"))
    dataset = load_mnist(fill(tmp_path / "given"))
    assert dataset.name == "mnist"
    np.testing.assert_array_equal(
        dataset.train_images, FILES["train-images-idx3-ubyte"]
    )
    np.testing.assert_array_equal(dataset.test_labels, FILES["t10k-labels-idx1-ubyte"])
    assert not cache.exists()


def test_environment_comes_before_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMPYVAE_DATA", str(fill(tmp_path / "environment")))
    assert len(load_mnist().train_images) == 3
    assert not cache.exists()


def test_a_filled_cache_is_used_without_a_download(
    cache: Path, server: str, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache)
    monkeypatch.setenv("NUMPYVAE_DATA", "")
    assert len(load_mnist().train_images) == 3
    assert requests == []


def test_a_given_place_without_the_files_is_refused_and_not_filled(
    tmp_path: Path,
    cache: Path,
    server: str,
    requests: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(cache)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: no train-images-idx3-ubyte" in refusal(empty)
    monkeypatch.setenv("NUMPYVAE_DATA", str(empty))
    assert f"$NUMPYVAE_DATA: {empty}: no train-images-idx3-ubyte" in refusal()
    assert listing(empty) == []
    assert requests == []


# Contents


def test_a_file_may_be_compressed_in_any_way(tmp_path: Path, cache: Path) -> None:
    directory = fill(tmp_path / "given")
    name = "train-labels-idx1-ubyte"
    (directory / f"{name}.gz").write_bytes(gzip.compress(RAW[name], 1, mtime=9))
    load_mnist(directory)
    (directory / f"{name}.gz").unlink()
    (directory / name).write_bytes(RAW[name])
    load_mnist(directory)


@pytest.mark.parametrize("name", FILES)
def test_one_other_pixel_or_label_is_refused(
    tmp_path: Path, cache: Path, name: str
) -> None:
    directory = fill(tmp_path / "given")
    other = RAW[name][:-1] + bytes([RAW[name][-1] ^ 1])
    (directory / f"{name}.gz").write_bytes(gzip.compress(other))
    message = refusal(directory)
    assert message.startswith(f"{directory / name}.gz: not MNIST's")
    for part in (sha256(other), sha256(RAW[name]), "--data idx", "load_idx"):
        assert part in message


# Downloads


def test_downloads_into_the_cache_once(
    cache: Path, server: str, requests: list[str]
) -> None:
    for _ in range(2):
        dataset = load_mnist(progress=False)
        np.testing.assert_array_equal(
            dataset.test_images, FILES["t10k-images-idx3-ubyte"]
        )
    assert sorted(requests) == [f"/good/{name}" for name in sorted(SERVED)]
    assert {name: (cache / name).read_bytes() for name in listing(cache)} == SERVED


def test_downloads_only_what_is_missing(
    cache: Path, server: str, requests: list[str]
) -> None:
    fill(cache)
    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    (cache / "train-labels-idx1-ubyte.gz").unlink()
    (cache / "train-labels.idx1-ubyte").write_bytes(RAW["train-labels-idx1-ubyte"])
    load_mnist(progress=False)
    assert requests == ["/good/t10k-labels-idx1-ubyte.gz"]


def test_says_what_it_downloads_on_stderr_only_if_asked(
    cache: Path, server: str, capfd: pytest.CaptureFixture[str]
) -> None:
    load_mnist(progress=False)
    assert capfd.readouterr() == ("", "")
    (cache / "t10k-images-idx3-ubyte.gz").unlink()
    load_mnist()
    out, err = capfd.readouterr()
    assert out == ""
    assert f"MNIST: downloading 0.0 MB to {cache}" in err
    assert "100%" in err


def test_silences_pooch_only_while_it_downloads(
    cache: Path, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    logger = pooch.get_logger()
    logger.addHandler(caplog.handler)
    try:
        logger.info("before")
        load_mnist(progress=False)
        logger.info("after")
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages == ["before", "after"]


@pytest.mark.parametrize(
    "first", ["absent", "halved", "altered", "shorter", "longer", "endless"]
)
def test_the_second_mirror_serves_if_the_first_fails(
    cache: Path,
    server: str,
    requests: list[str],
    monkeypatch: pytest.MonkeyPatch,
    first: str,
) -> None:
    use_mirrors(monkeypatch, server, first, "good")
    assert len(load_mnist(progress=False).test_images) == 2
    assert listing(cache) == sorted(SERVED)
    tried = "/train-images-idx3-ubyte.gz"
    assert requests[:3] == [f"/{first}{tried}", f"/{first}{tried}", f"/good{tried}"]
    assert len(requests) == 6


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("absent", "absent"), "404"),
        (("halved", "altered"), "hash"),
        (("altered", "halved"), "hash"),
        (("shorter", "longer"), f"{TRAIN_GZ - 1} bytes, expected {TRAIN_GZ}"),
        (("longer", "endless"), f"more bytes than the expected {TRAIN_GZ}"),
    ],
)
def test_if_all_mirrors_fail_the_message_names_them_and_the_ways_out(
    cache: Path,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, str],
    reason: str,
) -> None:
    mirrors = use_mirrors(monkeypatch, server, *names)
    message = refusal()
    ways_out = ("--data-dir DIR", "NUMPYVAE_DATA", "strokes")
    for part in (*mirrors, reason, *ways_out):
        assert part in message
    assert listing(cache) == []


def test_no_server_at_all_is_said(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as closed:
        nobody = f"http://127.0.0.1:{closed.server_port}/"
    monkeypatch.setattr(mnist, "MIRRORS", (nobody,))
    assert nobody in refusal()
    assert listing(cache) == []


def test_a_cache_that_cannot_be_made_is_said(cache: Path, server: str) -> None:
    cache.parent.touch()
    message = refusal()
    assert str(cache) in message
    assert "--data-dir DIR" in message


@pytest.mark.parametrize("mirror", ["longer", "endless"])
def test_no_byte_too_many_is_written(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    sizes: list[int] = []

    def watched(url: str, file: str, source: object, **keywords: Any) -> None:
        try:
            fetch(url, file, source, **keywords)
        finally:
            sizes.append(os.path.getsize(file))

    fetch = mnist._fetch
    monkeypatch.setattr(mnist, "_fetch", watched)
    use_mirrors(monkeypatch, server, mirror)
    refusal()
    assert len(sizes) == 2
    assert max(sizes) <= TRAIN_GZ


def test_a_mirror_that_falls_silent_is_left(
    cache: Path, server: str, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "TIMEOUT_SECONDS", (5, 0.05))
    use_mirrors(monkeypatch, server, "stalled", "good")
    assert len(load_mnist(progress=False).test_images) == 2
    assert "/good/train-images-idx3-ubyte.gz" in requests
    assert listing(cache) == sorted(SERVED)


def test_a_redirect_is_followed(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, server, "to-good")
    assert len(load_mnist(progress=False).test_images) == 2


def test_http_is_refused_before_anything_is_asked(
    cache: Path, server: str, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "SCHEME", "https://")
    assert "expected https:// all the way" in refusal()
    assert requests == []
    assert listing(cache) == []


def test_a_redirect_from_https_to_http_is_refused(
    cache: Path, server: str, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def redirect(
        adapter: HTTPAdapter, request: PreparedRequest, **_: object
    ) -> Response:
        assert request.url is not None
        asked.append(request.url)
        response = Response()
        response.status_code = 302
        response.headers["Location"] = f"{server}/good/train-images-idx3-ubyte.gz"
        response.request, response.url, response.raw = request, request.url, BytesIO()
        return response

    asked: list[str] = []
    mirror = "https://mirror.invalid/"
    monkeypatch.setattr(mnist, "SCHEME", "https://")
    monkeypatch.setattr(mnist, "MIRRORS", (mirror,))
    monkeypatch.setattr(HTTPAdapter, "send", redirect)
    assert "expected https:// all the way" in refusal()
    assert asked == [f"{mirror}train-images-idx3-ubyte.gz"] * 2
    assert requests == []


def test_proxies_of_the_environment_are_used(
    cache: Path, server: str, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://mirror.invalid/good/",))
    load_mnist(progress=False)
    assert requests[0] == "http://mirror.invalid/good/train-images-idx3-ubyte.gz"


def test_an_interrupted_download_leaves_nothing_behind(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(response: Response, size: int) -> Iterator[bytes]:
        yield SERVED["train-images-idx3-ubyte.gz"][:20]
        meanwhile.extend(listing(cache))
        raise KeyboardInterrupt

    meanwhile: list[str] = []
    monkeypatch.setattr(Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_mnist(progress=False)
    assert len(meanwhile) == 1
    assert not any(find_file(cache, name) for name in FILES)
    assert "train-images" not in meanwhile[0]
    assert listing(cache) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_in_the_cache_is_refused(
    cache: Path, server: str, requests: list[str]
) -> None:
    cache.mkdir(parents=True)
    os.mkfifo(cache / "t10k-images-idx3-ubyte.gz")
    assert f"{cache / 't10k-images-idx3-ubyte.gz'}: a directory, pipe" in refusal()
    assert requests == []


# The real thing


@pytest.fixture
def real_directory() -> Path:
    directory = os.environ.get("NUMPYVAE_DATA")
    if not directory:
        pytest.skip("NUMPYVAE_DATA does not name a directory with MNIST's four files")
    return Path(directory)


def test_real_mnist(real_directory: Path) -> None:
    dataset = load_mnist()
    assert dataset.name == "mnist"
    assert dataset.train_images.shape == (60000, 28, 28)
    assert dataset.test_images.shape == (10000, 28, 28)
    assert np.bincount(dataset.train_labels).tolist() == (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    assert np.bincount(dataset.test_labels).tolist() == (
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert dataset.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_real_mnist_with_its_two_parts_swapped(
    real_directory: Path, tmp_path: Path
) -> None:
    other = {"train": "t10k", "t10k": "train"}
    for name in mnist.DOWNLOADS:
        found = find_file(real_directory.resolve(), name)
        assert found is not None
        part, rest = name.split("-", 1)
        (tmp_path / f"{other[part]}-{rest}").symlink_to(found)
    assert "not MNIST's" in refusal(tmp_path)
