"""README.md: its Python runs, its commands parse."""

import re
import shlex
from pathlib import Path

import matplotlib
import pytest
from data import tiny

import numpyvae
from numpyvae.cli import parser as cli

README = Path(__file__).parents[1] / "README.md"


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced code blocks of these languages."""
    found = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [code for language, code in found if language in languages]


def commands(script: str) -> list[list[str]]:
    """The arguments of each call of numpyvae in a shell script."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        for i, word in enumerate(words):
            begins = (
                i == 0 or words[i - 1] in ("&&", ";", "time") or "=" in words[i - 1]
            )
            module = words[i - 2 : i + 1][1:] == ["-m", "numpyvae"]
            if (begins and Path(word).name == "numpyvae") or module:
                rest = words[i + 1 :]
                ends = [j for j, w in enumerate(rest) if w in ("&&", ";", "|", ">")]
                found.append(rest[: min(ends, default=len(rest))])
    return found


TEXT = README.read_text(encoding="utf-8")
PYTHON = blocks(TEXT, "python")
COMMANDS = [
    arguments
    for script in blocks(TEXT, "sh", "shell", "bash", "console")
    for arguments in commands(script)
]


def test_commands_are_found_in_a_shell_script() -> None:
    script = (
        "pip install . && numpyvae train  # numpyvae in words\n"
        ".venv/bin/numpyvae \\\n  sample runs/a | cat\n"
        "$ NUMPYVAE_DATA=data python -m numpyvae presets\n"
        "cd numpyvae\n"
    )
    assert commands(script) == [["train"], ["sample", "runs/a"], ["presets"]]


def test_the_readme_shows_both_faces() -> None:
    assert PYTHON, "README.md has no ```python block"
    assert ["train"] in [arguments[:1] for arguments in COMMANDS]


# A block that calls main() is a program of its own: test_own_part.py runs it.
@pytest.mark.parametrize("code", [code for code in PYTHON if "main()" not in code])
def test_the_python_of_the_readme_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny(28, 28)  # instead of 70,000 digits
    for loader in ("load_mnist", "load_strokes", "load_idx"):
        monkeypatch.setattr(numpyvae, loader, lambda *_, **__: data)
    monkeypatch.chdir(tmp_path)
    with matplotlib.rc_context({"backend": "agg"}):
        names: dict[str, object] = {"__name__": "__main__"}
        exec(compile(code, str(README), "exec"), names)
    assert "numpyvae" in code
    assert set(names) > {"__name__", "__builtins__"}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_parses(arguments: list[str]) -> None:
    if arguments in (["--version"], ["--help"]):
        with pytest.raises(SystemExit) as end:
            cli.build_parser().parse_args(arguments)
        assert end.value.code == 0
    else:
        assert cli.build_parser().parse_args(arguments).run


def test_what_is_linked_is_there_and_every_lesson_is_linked() -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", TEXT)
    missing = [path for path in linked if not (README.parent / path).exists()]
    assert not missing
    lessons = sorted((README.parent / "lessons").glob("[0-9][0-9]_*.py"))
    assert lessons
    assert {f"lessons/{path.name}" for path in lessons} <= set(linked)
