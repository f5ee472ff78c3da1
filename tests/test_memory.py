"""How much memory there is: what this system says, and what a container allows."""

from pathlib import Path

import pytest

from numpyvae.datasets import memory


def test_this_machine_has_some() -> None:
    found = memory.available_memory()
    assert found is None or 2**24 < found < 2**50


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"limit": "5000\n"}, 5000),
        ({"limit": "max\n", "info": "MemFree: 9 kB\nMemAvailable:    7 kB\n"}, 7168),
        ({"limit": "8000", "info": "MemAvailable:  7 kB\n"}, 7168),
        ({"limit": "7000", "info": "MemAvailable:  7 kB\n"}, 7000),
        ({}, 10_000),
    ],
)
def test_the_least_that_is_told_counts(
    told: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in told.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(memory, "LIMITS", (tmp_path / "limit", tmp_path / "none"))
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "info")
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 100, raising=False)
    monkeypatch.setattr(memory.sys, "platform", "linux")
    assert memory.available_memory() == expected


def test_a_system_may_tell_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(memory, "LIMITS", ())
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory.os, "sysconf", unknown, raising=False)
    monkeypatch.setattr(memory.sys, "platform", "linux")
    assert memory.available_memory() is None
