"""What is said where something is refused: one line, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from numpyvae.cli import parser as cli
from numpyvae.errors import NumpyvaeError


def refusal(error: type[NumpyvaeError], call: Callable[[], object]) -> str:
    """The message, of one line, of the error that the call raises."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, every directory with none."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The line on stderr with which a command ends: code 2, nothing written here."""
    before = files(Path())
    capsys.readouterr()
    try:
        code = cli.main(arguments.split())
    except SystemExit as end:  # argparse leaves this way
        code = end.code  # type: ignore[assignment]
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("numpyvae")
    assert said.endswith("\n")
    assert said.count("\n") == 1, said
    assert files(Path()) == before
    return said
