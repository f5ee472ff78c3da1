"""The four IDX files of a directory: their names, and whether they fit together."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from data import idx_bytes
from told import refusal

from numpyvae.datasets import load_idx
from numpyvae.errors import DataError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 3], dtype=np.uint8)
FILES = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": IMAGES[:1],
    "t10k-labels-idx1-ubyte": LABELS[:1],
}


def refused(directory: Path) -> str:
    """The line, which names it, with which a directory is refused."""
    message = refusal(DataError, lambda: load_idx(directory))
    assert str(directory) in message
    return message


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "fashion"
    folder.mkdir()
    for name, array in FILES.items():
        (folder / name).write_bytes(idx_bytes(array))
    return folder


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
    assert "no such directory" in refused(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "no such directory" in refused(tmp_path / "file")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_with_the_names_looked_for(
    directory: Path, name: str
) -> None:
    (directory / name).unlink()
    message = refused(directory)
    dotted = name.replace("-idx", ".idx")
    for spelling in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        assert f" {spelling}" in message


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_counts_that_differ_are_refused(directory: Path, part: str) -> None:
    labels = directory / f"{part}-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    message = refused(directory)
    assert "5 labels in " + labels.name in message
    assert f"{part}-images-idx3-ubyte" in message


def test_train_and_test_images_of_different_size_are_refused(directory: Path) -> None:
    turned = IMAGES[:1].transpose(0, 2, 1)
    (directory / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(turned))
    message = refused(directory)
    assert "train images are 3 x 4, test images 4 x 3" in message
