"""A little of `python -m tests.reliability`, which says what each of these proves."""

import os
import stat
import sys
from pathlib import Path

import pytest
from reliability import __main__ as table
from reliability import idx_claims
from reliability.flips import flips, truncations
from reliability.hostile import hostile
from reliability.kills import kills
from reliability.power import power_cuts
from reliability.twins import RESUMED, pair
from reliability.write_faults import full_disk, write_faults

from numpyvae import files
from numpyvae.runs import checkpoint
from numpyvae.runs import run as runs

pytestmark = pytest.mark.slow("kills, damages, fills disks, in many processes")
unix = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no pipes in folders, and limits no process"
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_runs_ended_by_a_signal_end_with_the_bits_of_one_never_ended(name: str) -> None:
    found = kills("fused", name, 2, seed=2, epochs=12)
    assert (found.kills, found.identical, found.epochs_lost) == (2, 2, 0), found


@pytest.mark.parametrize("damage", [flips, truncations])
def test_no_damaged_checkpoint_is_believed(damage: object) -> None:
    found = damage(20)  # type: ignore[operator]
    assert found.tried > 100
    assert found.refused == found.tried, found


@unix
def test_no_folder_that_was_prepared_does_harm() -> None:
    found = hostile(300)
    assert found.tried > 10
    assert found.failed == 0, found


def test_a_save_that_fails_loses_nothing() -> None:
    found = write_faults()
    assert found.tried > 400
    assert found.failed == 0, found


@unix
def test_a_full_disk_ends_a_training_that_goes_on_later() -> None:
    assert [told for _, told in full_disk(quick=True)] == ["passed"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process's peak")
def test_a_file_that_claims_gigabytes_takes_no_memory() -> None:
    found = {claim.name: claim for claim in idx_claims.claims()}
    for name in ("2 GiB claimed, a byte more held", "256 MiB claimed and held"):
        megabytes, fault = idx_claims.judge(found[name])
        assert (fault, megabytes > 200) == ("", found[name].loads)


def test_no_power_cut_loses_more_than_one_save() -> None:
    found = power_cuts()
    assert found.tried > 500
    assert found.failed == 0, found


WRITE, SYNC, FOLDER = files.write_atomically, files._sync, files.sync_folder


def sync_folders_alone(number: int) -> None:
    if stat.S_ISDIR(os.fstat(number).st_mode):
        SYNC(number)


def replace_early(path: Path, content: bytes, keep: Path | None = None) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("xb") as file:
        file.write(content)
        if path.exists() and keep is not None:
            os.replace(path, keep)
        os.replace(partial, path)
        SYNC(file.fileno())
    FOLDER(path.parent)


def write_in_place(path: Path, content: bytes, keep: Path | None = None) -> None:
    with path.open("wb") as file:
        file.write(content)
        SYNC(file.fileno())
    FOLDER(path.parent)


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        (files, "_sync", sync_folders_alone),
        (files, "sync_folder", lambda folder: None),
        (runs, "make_folder", lambda path: path.mkdir(parents=True, exist_ok=True)),
        (checkpoint, "write_atomically", lambda path, new, keep: WRITE(path, new)),
        (checkpoint, "write_atomically", replace_early),
        (checkpoint, "write_atomically", write_in_place),
    ],
    ids=["file unsynced", "names unsynced", "folder unsynced", "none before kept",
         "replaced before synced", "in place"],
)  # fmt: skip
def test_a_save_that_is_not_safe_is_noticed(
    module: object, name: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    assert power_cuts().failed > 10


@pytest.mark.parametrize(
    ("prelude", "told"),
    [
        ("", "passed"),
        ("import contextlib; Run.lock = contextlib.nullcontext", "failed"),
    ],
    ids=["as it is", "no lock"],
)
def test_of_two_processes_at_one_folder_one_trains(prelude: str, told: str) -> None:
    assert pair(RESUMED, "load", RESUMED, prelude).partition(":")[0] == told


@pytest.mark.parametrize(
    ("told", "code", "failed"), [("passed", 0, 0), ("failed: badly", 1, 1)]
)
def test_what_failed_is_told_and_counted(
    told: str,
    code: int,
    failed: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def part(quick: bool) -> list[table.Row]:
        return [
            table.Row("fine", 1000, 0, 1.25, "seed 3"),
            *table.outcomes("homes", lambda: [("a", told), ("b", "not tried: why")]),
        ]

    monkeypatch.setattr(table, "PARTS", (part,))
    monkeypatch.setattr("sys.argv", ["reliability", "--quick"])
    assert table.main() == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["what", "tried", "failed", "seconds"]
    assert lines[1].split() == ["fine", "1,000", "0", "1.2", "seed", "3"]
    assert lines[2].split()[:3] == ["homes", "1", str(failed)]
    assert lines[2].endswith("b not tried: why")
    assert lines[3:] == ["", "homes: a: failed: badly"][: 2 * failed]
