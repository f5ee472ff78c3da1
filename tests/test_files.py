"""Files: replaced whole or not at all, in folders that strangers can write to."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from numpyvae import files
from numpyvae.errors import RunError
from numpyvae.files import make_folder, read_file, write_atomically

needs_links = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows lets few users make links and pipes"
)


def test_the_order_is_write_sync_keep_replace_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a power cut may undo: bytes before their fsync, names before the folder's.
    calls: list[str] = []

    def note(function: Callable[..., Any], describe: Callable[..., str]) -> Any:
        def noting(*arguments: Any) -> Any:
            calls.append(describe(*arguments))
            return function(*arguments)

        return noting

    def synced(number: int) -> str:
        path = Path(f"/proc/self/fd/{number}").resolve()
        size = path.stat().st_size if path.is_file() else "folder"
        return f"sync {path.name if path.is_file() else ''} {size}"

    (tmp_path / "new").touch()
    content = bytes(100_000)  # more than Python buffers
    monkeypatch.setattr(os, "fsync", note(os.fsync, synced))
    names = "{0.name} to {1.name}"
    monkeypatch.setattr(os, "replace", note(os.replace, names.format))
    write_atomically(tmp_path / "new", content, tmp_path / "old")
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see which file is synced")
    assert calls == [
        f"sync new.partial {len(content)}",
        "new to old",
        "new.partial to new",
        "sync  folder",
    ]


def test_macos_is_asked_to_empty_the_cache_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    control = SimpleNamespace(fcntl=lambda *call: asked.append(call))
    monkeypatch.setattr(files, "fcntl", control, raising=False)
    monkeypatch.setattr(files, "FULL_SYNC", 51)
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("is not enough"))
    write_atomically(tmp_path / "a", b"text")
    assert [what for _, what in asked] == [51] * (1 if files.WINDOWS else 2)


def test_where_the_disk_knows_no_such_call_there_is_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def unknown(*_: object) -> None:
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(files, "fcntl", SimpleNamespace(fcntl=unknown), raising=False)
    monkeypatch.setattr(files, "FULL_SYNC", 51)
    monkeypatch.setattr(os, "fsync", synced.append)
    write_atomically(tmp_path / "a", b"text")
    assert len(synced) == (1 if files.WINDOWS else 2)


@pytest.mark.parametrize("refusals", [0, 2, 9])
def test_windows_waits_for_a_reader(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old", encoding="utf-8")
    slept: list[float] = []
    replace, left = os.replace, [None] * refusals

    def refuse(*paths: Any) -> None:
        if left:
            left.pop()
            raise PermissionError(13, "Access is denied")
        replace(*paths)

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(files, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr(os, "replace", refuse)
    if refusals > len(files.WAITS):
        with pytest.raises(RunError, match="found Access is denied"):
            write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_text(encoding="utf-8") == "old"
    else:
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_text(encoding="utf-8") == "new"
    assert slept == list(files.WAITS)[:refusals]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@needs_links
def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    theirs, path = tmp_path / "theirs", tmp_path / "a"
    theirs.write_text("theirs", encoding="utf-8")
    for name in ("a", "a.partial"):
        (tmp_path / name).symlink_to(theirs)
    write_atomically(path, b"ours")
    assert (theirs.read_text(encoding="utf-8"), path.read_text(encoding="utf-8")) == (
        "theirs",
        "ours",
    )
    assert not path.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a", "theirs"]


@needs_links
def test_nor_is_one_that_comes_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs", encoding="utf-8")
    unlink = Path.unlink

    def link(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        path.symlink_to(theirs)

    monkeypatch.setattr(Path, "unlink", link)
    with pytest.raises(RunError, match="found File exists"):
        write_atomically(tmp_path / "a", b"ours")
    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert not (tmp_path / "a").exists()


@needs_links
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(RunError, match="found a pipe or a device"):
            read_file(path, 10)


def test_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_file(tmp_path / "a", 10) == b"0123456789"
    with pytest.raises(RunError, match="found over 9 bytes"):
        read_file(tmp_path / "a", 9)


def test_each_new_folder_is_made_to_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]
