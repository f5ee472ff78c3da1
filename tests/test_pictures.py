"""Pictures as files: only a picture is replaced, and only by a whole one."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from told import refusal

from numpyvae import figures
from numpyvae.errors import ArgumentError, RunError
from numpyvae.figures.files import write_picture

PNG, GIF = b"\x89PNG\r\n\x1a\n of mine", b"GIF89a of mine"
I = np.zeros((2, 4, 4))  # noqa: E741
C, L, AXES = np.zeros((2, 2)), np.zeros(2, int), ("a", "b")
ROW = {"epoch": 1} | {
    f"{part}_{term}": 1.0
    for part in ("train", "test")
    for term in ("elbo", "recon", "kl")
}
DRAWN: dict[str, Callable[[Path], None]] = {
    "interpolation": lambda path: figures.interpolation(I, I[:, None], I, path, ""),
    "latent_panels": lambda path: figures.latent_panels([("a", AXES, C)], L, path, ""),
    "latents": lambda path: figures.latents(C, L, path, "", AXES),
    "learning_curves": lambda path: figures.learning_curves([ROW], path),
    "manifold": lambda path: figures.manifold(I[None], path, ""),
    "named_rows": lambda path: figures.named_rows(I[None], ["a"], [], "", path, ""),
    "rate_distortion": lambda path: figures.rate_distortion(
        [figures.Point("a", 1.0, 2.0)], [], path, ""
    ),
    "reconstruction_rows": lambda path: figures.reconstruction_rows(
        I, [("a", I)], path, ""
    ),
    "reconstructions": lambda path: figures.reconstructions(I, I, path, ""),
    "sample_panels": lambda path: figures.sample_panels([("a", "", I)], path, ""),
    "samples": lambda path: figures.samples(I, path, ""),
    "v_curve": lambda path: figures.v_curve(
        10.0 ** -np.arange(3), {"a": np.ones(3)}, path, ""
    ),
    "walk": lambda path: figures.walk(I[None], path, ""),
}
every_figure = pytest.mark.parametrize("name", DRAWN)


def suffix_of(name: str) -> str:
    return ".gif" if name == "walk" else ".png"


def refused(name: str, path: Path) -> str:
    """The line with which a picture is not drawn."""
    message = refusal(ArgumentError, lambda: DRAWN[name](path))
    assert message.startswith(f"{path}: found ")
    return message


def test_every_figure_is_here() -> None:
    assert DRAWN.keys() == set(figures.__all__) - {"Point"}


@every_figure
def test_a_picture_is_replaced_by_a_picture(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix_of(name)}"
    for before in (None, b"", PNG, GIF):
        if before is not None:
            path.write_bytes(before)
        DRAWN[name](path)
        with Image.open(path) as picture:
            picture.load()
        assert os.listdir(tmp_path) == [path.name]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@every_figure
def test_what_is_no_picture_stays(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"thesis{suffix_of(name)}"
    path.write_text("years of work", encoding="utf-8")
    assert "a file that is no picture" in refused(name, path)
    assert path.read_text(encoding="utf-8") == "years of work"
    for suffix in (".md", ".npz", "", ".png" if name == "walk" else ".gif"):
        other = tmp_path / f"picture{suffix}"
        said = refused(name, other)
        assert (
            f"the suffix {suffix!r}, expected {suffix_of(name)!r}; name it pic" in said
        )
    assert os.listdir(tmp_path) == [path.name]
    assert "found no folder" in refused(name, tmp_path / "none" / path.name)


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder.png"
    folder.mkdir()
    paths = [folder]
    if os.name == "posix":
        picture, link = tmp_path / "mine.png", tmp_path / "link.png"
        picture.write_bytes(PNG)
        link.symlink_to(picture)
        os.mkfifo(tmp_path / "pipe.png")
        paths += [link, tmp_path / "pipe.png"]
    for path in paths:
        before = path.lstat()
        assert "a folder, a link or a device" in refused("samples", path)
        assert stat.S_IFMT(path.lstat().st_mode) == stat.S_IFMT(before.st_mode)


@pytest.mark.parametrize("name", ["samples", "walk"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_picture(
    name: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / f"x{suffix_of(name)}"
    path.write_bytes(PNG)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(
        RunError, match=f"{path.name}: found {os.strerror(errno.ENOSPC)}"
    ):
        DRAWN[name](path)
    assert path.read_bytes() == PNG
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("path", [None, 5, b"a.png"])
def test_a_path_is_text(path: object) -> None:
    with pytest.raises(ArgumentError, match=r"^path: found .*, expected a str"):
        write_picture(path, PNG)  # type: ignore[arg-type]
