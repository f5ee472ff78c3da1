"""MNIST: where it is looked for, and what is accepted."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pooch
import pytest
from mirror import (
    FILES,
    RAW,
    fill,
    listing,
    refused_load,
    sha256,
)

from numpyvae.cli import parser as cli
from numpyvae.datasets import load_mnist, mnist
from numpyvae.datasets.idx import find_file


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
    assert f"{empty}: no train-images-idx3-ubyte" in refused_load(empty)
    monkeypatch.setenv("NUMPYVAE_DATA", str(empty))
    assert f"$NUMPYVAE_DATA: {empty}: no train-images-idx3-ubyte" in refused_load()
    assert listing(empty) == []
    assert requests == []


@pytest.fixture
def homeless(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """A user without a name and without $HOME, in a directory of its own."""

    def unknown(number: int) -> object:
        raise KeyError(number)

    users = pytest.importorskip("pwd", reason="Windows knows homes by other means")
    monkeypatch.setattr(users, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "NUMPYVAE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize("cache", [None, Path("~/.cache/numpyvae")])
def test_without_a_home_the_ways_out_are_told(
    cache: Path | None, homeless: pytest.MonkeyPatch, requests: list[str]
) -> None:
    if cache:  # what older versions of platformdirs say
        homeless.setattr(pooch, "os_cache", lambda project: cache)
    message = refused_load()
    assert message.startswith("MNIST: found no home directory for its cache, expected")
    for way_out in ("$HOME", "--data-dir DIR", "$NUMPYVAE_DATA"):
        assert way_out in message
    assert (requests, os.listdir()) == ([], [])


def test_without_a_home_the_command_line_says_so(
    homeless: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--data", "mnist"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("numpyvae: MNIST: found no home directory")
    assert os.listdir() == []


def test_without_a_home_other_places_are_used(
    homeless: pytest.MonkeyPatch, cache: Path, requests: list[str]
) -> None:
    assert len(load_mnist(fill(cache)).train_images) == 3
    homeless.setenv("NUMPYVAE_DATA", str(cache))
    assert len(load_mnist().train_images) == 3
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
    message = refused_load(directory)
    assert message.startswith(f"{directory / name}.gz: not MNIST's")
    for part in (sha256(other), sha256(RAW[name]), "--data idx", "load_idx"):
        assert part in message


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
        shutil.copy(found, tmp_path / f"{other[part]}-{rest}")
    assert "not MNIST's" in refused_load(tmp_path)
