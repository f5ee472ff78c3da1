"""The command that measures how small a fault `gradcheck` finds."""

from pathlib import Path

import pytest
import sensitivity


def test_a_billionth_is_found_without_a_false_alarm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "rates.png"
    assert sensitivity.main(["--models", "10", "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "10 clean models: 0 false alarms" in out
    assert picture.stat().st_size > 10_000


def test_a_blind_check_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sensitivity, "EPS", 1e-9)
    assert sensitivity.main(["--models", "3"]) == 1
