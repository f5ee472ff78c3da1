"""MNIST's download: from a server on 127.0.0.1, see mirror.py."""

import os
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
from mirror import (
    FILES,
    RAW,
    SERVED,
    TRAIN_GZ,
    Mirror,
    fill,
    listing,
    refused_load,
    use_mirrors,
)
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from numpyvae.datasets import load_mnist, mnist
from numpyvae.datasets.idx import find_file


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
    message = refused_load()
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
    assert nobody in refused_load()
    assert listing(cache) == []


def test_a_cache_that_cannot_be_made_is_said(cache: Path, server: str) -> None:
    cache.parent.touch()
    message = refused_load()
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
    refused_load()
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
    assert "expected https:// all the way" in refused_load()
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
    assert "expected https:// all the way" in refused_load()
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
    assert f"{cache / 't10k-images-idx3-ubyte.gz'}: a directory, pipe" in refused_load()
    assert requests == []
