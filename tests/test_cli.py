"""The command line: bad input gets one line and exit code 2, and spoils nothing."""

import csv
import importlib.metadata
import inspect
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bounds import HANG
from data import FILES, idx_bytes, tiny, write_idx
from small_runs import train_runs
from told import refused

from numpyvae import __main__ as process
from numpyvae import __version__
from numpyvae.cli import commands
from numpyvae.cli import parser as cli
from numpyvae.cli.commands import training
from numpyvae.runs.run import Run

HERE = "--data idx --data-dir three"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data in three/ and a run in run/."""
    return train_runs(tmp_path_factory.mktemp("made"), {"run": "--epochs 1"})


@pytest.fixture
def at_home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the working directory; who writes to it is found out."""
    monkeypatch.chdir(made)
    return made


BAD_TRAIN = {
    "--data fashion": "'fashion'",
    "--data idx": "--data-dir",
    "--data idx --data-dir nowhere": "nowhere: no such directory",
    "--data idx --data-dir three/nowhere": "three/nowhere: no such directory",
    "--data idx --data-dir run": "run: no train-images",
    "--data idx --data-dir nowhere --latent -1": "latent: found -1",  # told first
    "--data mnist --data-dir nowhere": "nowhere",
    "--data mnist --data-dir three": "three",
    "--data-dir three": "--data-dir: found 'three' with --data strokes",
    "--data strokes --data-dir three": "--data-dir: found 'three' with --data strokes",
    f"{HERE} --batch-size 0": "batch_size: found 0",
    f"{HERE} --batch-size 1.5": "--batch-size: invalid int value: '1.5'",
    f"{HERE} --latent -1": "latent: found -1",
    f"{HERE} --latent 0": "latent: found 0",
    f"{HERE} --hidden 9 0": "hidden: found 0",
    f"{HERE} --hidden 100000000000000": "",  # 23 PB of parameters
    f"{HERE} --activation swish": "'swish'",
    f"{HERE} --epochs 0": "epochs: found 0",
    f"{HERE} --lr nan": "lr: found nan",
    f"{HERE} --lr inf": "lr: found inf",
    f"{HERE} --lr 0": "lr: found 0.0",
    f"{HERE} --lr fast": "--lr: invalid float value: 'fast'",
    f"{HERE} --beta nan": "beta: found nan",
    f"{HERE} --beta -1": "beta: found -1.0",
    f"{HERE} --binarize grey": "'grey'",
    f"{HERE} --seed -1": "seed: found -1",
    f"{HERE} --threads 0": "threads: found 0",
    f"{HERE} --preset nobody": "preset: found 'nobody'",
    f"{HERE} --out run": "run: found a folder with files in it",
    f"{HERE} --out run/config.json": "run/config.json: found",
    f"{HERE} --epoch-count 3": "--epoch-count",
}


@pytest.mark.parametrize("options", BAD_TRAIN)
def test_bad_input_to_train(
    options: str, at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BAD_TRAIN[options] in refused(f"train {options}", capsys)


BAD_OTHERS = {
    "": "COMMAND",
    "dance": "'dance'",
    "sample": "RUN",
    "sample nowhere": "nowhere: found no config.json",
    "sample three": "three: found no config.json",
    "sample run/config.json": "run/config.json",
    "sample run --count 0": "count: found 0",
    "sample run --count -1": "count: found -1",
    "sample run --seed -1": "seed: found -1",
    "sample run --out nowhere/a.png": "found no folder nowhere",
    "sample run --out three": "three",
    "sample run --out thesis.md": "found the suffix '.md', expected '.png'; name it ",
    "sample run --out run/checkpoint.npz": "found the suffix '.npz'",
    "reconstruct run --out run/config.json": "found the suffix '.json'",
    "gradcheck --plot thesis.pdf": "found the suffix '.pdf'",
    "reconstruct nowhere": "nowhere: found no config.json",
    "reconstruct run --count 0": "count: found 0",
    "reconstruct run --count -1": "count: found -1",
    "reconstruct run --seed -1": "seed: found -1",
    "reconstruct run --out nowhere/a.png": "nowhere",
    "reconstruct run --data-dir nowhere": "nowhere: no such directory",
    "evaluate nowhere": "nowhere: found no config.json",
    "evaluate run --seed -1": "seed: found -1",
    "evaluate run --threads 0": "threads: found 0",
    "evaluate run --data-dir nowhere": "nowhere: no such directory",
}


@pytest.mark.parametrize("arguments", BAD_OTHERS)
def test_bad_input_to_the_others(
    arguments: str, at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BAD_OTHERS[arguments] in refused(arguments, capsys)


IMAGES, LABELS = FILES[:2]
DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "truncated": (IMAGES, lambda whole: whole[:-1], IMAGES),
    "header only": (IMAGES, lambda whole: whole[:16], IMAGES),
    "empty": (LABELS, lambda whole: b"", LABELS),
    "longer": (LABELS, lambda whole: whole + b"\0", LABELS),
    "text": (IMAGES, lambda whole: b"label,pixel0,pixel1\n" * 9, IMAGES),
    "a label file as images": (
        IMAGES,
        lambda _: idx_bytes(tiny().train_labels),
        IMAGES,
    ),
    "fewer labels": (LABELS, lambda _: idx_bytes(tiny().test_labels), "70 labels"),
    "another size": (IMAGES, lambda _: idx_bytes(tiny(9).train_images), "9 x 6"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_bad_idx_files(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    name, damage, named = DAMAGES[kind]
    path = write_idx(tmp_path / "three", tiny()) / name
    path.write_bytes(damage(path.read_bytes()))
    assert named in refused(f"train {HERE}", capsys)
    path.unlink()
    assert name in refused(f"train {HERE}", capsys)


@pytest.mark.parametrize("command", ["sample", "evaluate", "reconstruct"])
@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("config.json", b"{}"),
        ("config.json", b"[1]"),
        ("config.json", b"{"),
        ("config.json", b'{"data": "idx", "image_shape": [8, 5], "training": {}}'),
        ("config.json", b'{"data": null, "image_shape": null, "training": null}'),
        ("checkpoint*.npz", b""),
        ("checkpoint*.npz", None),
        ("config.json", None),
    ],
)
def test_damaged_runs(
    name: str,
    contents: bytes | None,
    command: str,
    at_home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path: path.read_bytes() for path in (at_home / "run").glob(name)}
    assert len(before) == (1 if name == "config.json" else 2)
    try:
        for path in before:
            path.unlink()
            if contents is not None:
                path.write_bytes(contents)
        assert "run" in refused(f"{command} run", capsys)
    finally:
        for path, whole in before.items():
            path.write_bytes(whole)


@pytest.mark.parametrize(
    "how",
    [
        "--lr 1e30 --batch-size 128",
        "--lr 1e30 --batch-size 300",
        "--beta 1e300 --checkpoint-every 1",
    ],
    ids=["mid epoch", "last step of epoch", "NaN before the loss is"],
)
def test_divergence_keeps_a_checkpoint(
    how: str,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(made)
    out = tmp_path / "diverged"
    options = f"train {HERE} --hidden 9 {how} --out {out}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cli.main(options.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("numpyvae: step ")
    assert said.endswith(f"; {out} keeps the last good checkpoint\n")
    assert not caught, caught[0].message
    assert np.isfinite(Run.open(out).load_model().params.flat).all()
    metrics = json.loads(
        (out / "metrics.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
    )
    assert metrics["ended"].startswith("step ")
    assert (out / "history.csv").read_text(encoding="utf-8").count("\n") == 1
    assert cli.main(["sample", str(out)]) == 0


def test_strokes_are_the_default_of_train() -> None:
    options = vars(cli.build_parser().parse_args(["train"]))
    assert options.pop("run") is commands.train
    assert not [value for value in options.values() if value is not None]
    defaults = inspect.signature(training.begin).parameters
    names = "data", "data_dir", "preset"
    expected = ["strokes", None, "default"]
    assert [defaults[name].default for name in names] == expected


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        *[f"{c} --help" for c in ("train", "sample", "reconstruct", "evaluate")],
    ],
)
def test_help_is_there(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments.split())
    assert end.value.code == 0
    assert "usage: numpyvae" in capsys.readouterr().out


def test_the_console_script_is_python_m_numpyvae() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="numpyvae")
    assert {script.load() for script in scripts} == {process.main}


def test_python_m_numpyvae_is_numpyvae() -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "numpyvae", *arguments],
            capture_output=True, text=True, timeout=HANG, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr

    assert call("--version") == (0, f"numpyvae {__version__}\n", "")
    code, printed, said = call("sample", "nowhere")
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith("numpyvae: nowhere: ")


@pytest.mark.skipif(
    os.name == "nt", reason="Windows has no SIGINT to send to a process"
)
def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path) -> None:
    write_idx(tmp_path / "three", tiny(28, 28, train=3000, test=500))
    run = tmp_path / "run"
    options = f"train {HERE} --epochs 100000 --hidden 32 --latent 2 --out run"
    process = subprocess.Popen(
        [sys.executable, "-m", "numpyvae", *options.split()],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + HANG
        while not has_a_row(run / "history.csv"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no epoch ended"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=HANG)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, said
    assert said == ""
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert [row[0] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert all(len(row) == len(heading) == 8 for row in rows)
    assert all(np.isfinite([float(v) for v in row]).all() for row in rows)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["ended"], metrics["epoch"]) == ("interrupted", len(rows))
    assert np.isfinite(Run.open(run).load_model().params.flat).all()
    pictures = ("curves", "samples", "reconstructions", "latents", "manifold")
    assert {path.stem for path in run.glob("*.png")} == set(pictures)
    assert "interrupted " in printed
    assert "pictures in run: " in printed


def has_a_row(history: Path) -> bool:
    return history.exists() and history.read_text(encoding="utf-8").count("\n") > 1
