"""The commands: what they write, what they print, and that Ctrl-C loses nothing."""

import contextlib
import csv
import io
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from data import TEST, TRAIN, tiny, write_idx

from numpyvae import VAE
from numpyvae.cli import parser as cli
from numpyvae.cli.commands.training import ARCHITECTURE
from numpyvae.cli.presets import PRESETS, options_of
from numpyvae.runs.checkpoint import load_checkpoint
from numpyvae.runs.run import Run
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer

ALWAYS = {
    "config.json", "history.csv", "metrics.json", "run.lock",
    "checkpoint.npz", "checkpoint.previous.npz",
    "curves.png", "samples.png", "reconstructions.png", "latents.png",
}  # fmt: skip
SMALL = "--hidden 16 --epochs 2 --lr 0.01 --seed 4"


class Finished(NamedTuple):
    run: Path
    printed: str
    source: Path

    def json(self, name: str) -> dict[str, Any]:
        return json.loads((self.run / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=[3, 2], ids=["Z=3", "Z=2"])
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """A run of three and one of two latents."""
    folder = tmp_path_factory.mktemp("finished")
    source, run = write_idx(folder / "three", tiny()), folder / "run"
    where = f"--data idx --data-dir {source} --latent {request.param} --out {run}"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main(f"train {where} {SMALL}".split()) == 0
    return Finished(run, printed.getvalue(), source)


def train(options: str) -> int:
    return cli.main(f"train --data idx --data-dir three {options}".split())


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_train_writes_its_files_and_no_others(finished: Finished) -> None:
    expected = ALWAYS | ({"manifold.png"} if latent(finished) == 2 else set())
    assert {path.name for path in finished.run.iterdir()} == expected
    assert all(map(is_picture, finished.run.glob("*.png")))
    assert {path.name for path in finished.run.parent.iterdir()} == {"three", "run"}


def latent(finished: Finished) -> int:
    return finished.json("config.json")["model"]["latent"]


def test_config_says_what_was_trained(finished: Finished) -> None:
    config = finished.json("config.json")
    assert (config["preset"], config["data"]) == ("default", "idx")
    assert config["data_dir"] == str(finished.source.resolve())
    assert config["image_shape"] == [8, 6]
    assert config["model"]["hidden"] == [16]
    expected = {"epochs": 2, "lr": 0.01, "seed": 4, "batch_size": 128, "beta": 1.0}
    assert config["training"] | expected == config["training"]


def test_metrics_are_the_last_epochs(finished: Finished) -> None:
    metrics, history = finished.json("metrics.json"), rows(finished.run)
    assert [row["epoch"] for row in history] == ["1", "2"]
    for name in set(history[-1]) - {"seconds"}:
        assert metrics[name] == float(history[-1][name])
    assert metrics["seconds"] == pytest.approx(
        sum(float(r["seconds"]) for r in history)
    )
    assert metrics["ended"] == "done"
    assert metrics["parameters"] == Run.open(finished.run).load_model().params.flat.size


def test_what_train_prints(finished: Finished) -> None:
    Z, lines = latent(finished), finished.printed.splitlines()
    assert lines[0] == (
        f"three: {TRAIN} training and {TEST} test images of 8 x 6, binarization dynamic"
    )
    assert f"VAE 48-16-{Z}-16-48 relu" in lines[1]
    heading = next(i for i, line in enumerate(lines) if line.startswith("  epoch "))
    assert any("nats" in line for line in lines[:heading])
    for line, row in zip(lines[heading + 1 :], rows(finished.run), strict=False):
        numbers = [float(number) for number in line.split()]
        # Printed to two digits, seconds to one.
        assert numbers == pytest.approx([float(v) for v in row.values()], abs=0.051)
        assert numbers[:-1] == pytest.approx(
            [float(v) for v in list(row.values())[:-1]], abs=0.0051
        )
    blank, reached, pictures = lines[heading + 3 :]
    assert blank == ""
    last = float(rows(finished.run)[-1]["test_elbo"])
    assert reached.startswith(f"test ELBO {last:.2f} nats (")
    assert "after 2 epochs" in reached
    names = ", ".join(sorted(path.name for path in finished.run.glob("*.png")))
    assert pictures == f"pictures in {finished.run}: {names}"


def test_evaluate_prints_the_elbo_of_the_last_row(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for options in ([], ["--threads", "1"], ["--seed", "5"]):
        assert cli.main(["evaluate", str(finished.run), *options]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].startswith(f"{TEST} test images of three, binarization dynamic")
    assert printed[0].splitlines()[0].endswith("; nats per image")
    last = rows(finished.run)[-1]
    names = {"recon": "reconstruction", "kl": "KL", "elbo": "ELBO"}
    for name, title in names.items():
        found = re.search(rf"^{title} +(-?[\d.]+)( |$)", printed[0], re.MULTILINE)
        assert found
        assert float(found[1]) == pytest.approx(float(last[f"test_{name}"]), abs=5.1e-4)
    assert printed[2].splitlines()[1:] != printed[0].splitlines()[1:]


@pytest.mark.parametrize("command", ["sample", "reconstruct"])
def test_pictures_can_be_drawn_again(
    command: str, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in finished.run.iterdir()}
    pictures = []
    for i, options in enumerate(["", "", "--seed 1", "--count 7"]):
        out = tmp_path / f"{i}.png"
        arguments = f"{command} {finished.run} --seed 4 {options} --out {out}"
        assert cli.main(arguments.split()) == 0
        assert capsys.readouterr().out == f"{out}\n"
        assert is_picture(out)
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3
    assert {path: path.read_bytes() for path in finished.run.iterdir()} == before
    # The picture that train drew with this seed is the same one.
    assert cli.main(f"{command} {finished.run} --seed 4".split()) == 0
    name = {"sample": "samples", "reconstruct": "reconstructions"}[command] + ".png"
    assert capsys.readouterr().out == f"{finished.run / name}\n"
    assert {path: path.read_bytes() for path in finished.run.iterdir()} == before


@pytest.mark.parametrize("command", ["evaluate", "reconstruct"])
def test_data_that_moved_are_found_with_data_dir(
    command: str, finished: Finished, tmp_path: Path
) -> None:
    moved = write_idx(tmp_path / "moved", tiny())
    gone = finished.source.rename(finished.source.with_name("elsewhere"))
    out = ["--out", str(tmp_path / "r.png")] if command == "reconstruct" else []
    try:
        assert cli.main([command, str(finished.run), *out]) == 2
        here = ["--data-dir", str(moved)]
        assert cli.main([command, str(finished.run), *out, *here]) == 0
    finally:
        gone.rename(finished.source)


@pytest.mark.parametrize("binarize", ["static", "threshold", "none"])
def test_every_binarization_runs_to_the_pictures(
    binarize: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_idx(tmp_path / "three", tiny()).parent)
    assert train(f"{SMALL} --latent 1 --binarize {binarize} --out r") == 0
    assert {path.name for path in Path("r").iterdir()} == ALWAYS
    assert cli.main(["evaluate", "r"]) == 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_model_and_settings(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = options_of(name)
    options.pop("conditional", None)  # says that there are labels, the data how many
    architecture = {key: options.pop(key) for key in ARCHITECTURE if key in options}
    settings, model = Settings(**options), VAE(784, **architecture)
    assert model.hidden == tuple(architecture["hidden"])
    asked = {
        "default": ([400], 20, "relu", 10, 128, "dynamic"),
        "pytorch-example": ([400], 20, "relu", 10, 128, "none"),
        "kingma-welling": ([500], 20, "tanh", 50, 100, "dynamic"),
        "burda": ([200, 200], 50, "tanh", 1200, 100, "dynamic"),
        "plane": ([400, 200], 2, "relu", 20, 128, "dynamic"),
    }
    if name in asked:
        three = (architecture[key] for key in ("hidden", "latent", "activation"))
        training = settings.epochs, settings.batch_size, settings.binarize
        assert (*three, *training) == asked[name]
        assert settings.lr == 1e-3
    assert cli.main(["presets"]) == 0
    heading, _, *listed = capsys.readouterr().out.splitlines()
    assert "nats" in heading and len(listed) == len(PRESETS)
    assert sum(line.startswith(f"{name} ") for line in listed) == 1


def test_explicit_options_beat_the_preset(house: Path) -> None:
    explicit = "--latent 3 --hidden 9 --epochs 1 --beta 0 --seed 0"
    assert train(f"--preset kingma-welling {explicit}") == 0
    run = Run.open(house / "runs" / "kingma-welling-three")
    model, training = run.config["model"], run.config["training"]
    assert (model["latent"], model["hidden"], training["epochs"]) == (3, [9], 1)
    assert training["beta"] == 0
    assert (model["activation"], training["batch_size"]) == ("tanh", 100)


def test_a_second_run_has_its_own_folder(house: Path) -> None:
    for _ in range(3):
        assert train("--hidden 9 --epochs 1") == 0
    names = ["default-three", "default-three-2", "default-three-3"]
    runs = [house / "runs" / name for name in names]
    assert sorted((house / "runs").iterdir()) == sorted(runs)
    assert len({Run.open(run).load_model().params.flat.tobytes() for run in runs}) == 1


def test_a_conditional_model_knows_the_labels_of_both_parts(house: Path) -> None:
    data = tiny()
    data.test_labels[-1] = 7
    write_idx(house / "eight", data)
    train = "train --data idx --data-dir eight --conditional --hidden 9 --epochs 1"
    assert cli.main(f"{train} --out r".split()) == 0
    assert Run.open(house / "r").load_model().classes == 8
    assert cli.main(["plot", "r"]) == 0


@pytest.fixture
def own_ctrl_c() -> Iterator[Any]:
    """Python's own handling of Ctrl-C, even where a shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_pythons_own_again_after_a_run(house: Path, own_ctrl_c: Any) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert train("--hidden 9 --epochs 1 --out r") == 0
    assert signal.getsignal(signal.SIGINT) is own_ctrl_c
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def press_at(
    monkeypatch: pytest.MonkeyPatch, own_ctrl_c: Any
) -> Callable[[int, int], None]:
    """Press Ctrl-C some times within the step of a number."""

    def arrange(number: int, times: int) -> None:
        step = Trainer._step

        def pressed(self: Trainer, *arguments: Any) -> tuple[float, float]:
            if self.optimizer.step + 1 == number:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return step(self, *arguments)

        monkeypatch.setattr(Trainer, "_step", pressed)

    return arrange


@pytest.mark.parametrize(("number", "epochs"), [(2, 0), (5, 1), (8, 2)])
def test_ctrl_c_ends_after_the_batch_with_everything_written(
    number: int,
    epochs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    press_at: Callable[[int, int], None],
    own_ctrl_c: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(write_idx(tmp_path / "three", tiny()).parent)
    press_at(number, 1)
    assert train("--hidden 9 --epochs 50 --out r") == 130
    assert signal.getsignal(signal.SIGINT) is own_ctrl_c
    run = Path("r")
    written = {path.name for path in run.iterdir()}
    assert written == ALWAYS - (set() if epochs else {"curves.png"})
    _, state = load_checkpoint(run)
    assert (state["adam_step"], len(state["records"])) == (number, epochs)
    assert state["start"] == (number - 3 * epochs) * 128
    assert Run.open(run).load_model().latent == 20
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["ended"] == "interrupted"
    assert metrics.get("epoch", 0) == epochs == len(rows(run))
    said = capsys.readouterr().out
    assert (
        f"interrupted in epoch {epochs + 1} of 50; "
        "`numpyvae train --resume r` goes on from there\n"
    ) in said
    assert "pictures in r: " in said


def test_a_second_ctrl_c_aborts_at_once(
    house: Path,
    press_at: Callable[[int, int], None],
    own_ctrl_c: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    press_at(5, 2)
    assert train("--hidden 9 --epochs 50 --out r") == 130
    assert signal.getsignal(signal.SIGINT) is own_ctrl_c
    assert capsys.readouterr().err == "numpyvae: aborted\n"
    _, state = load_checkpoint(house / "r")
    assert (len(state["records"]), state["start"]) == (1, 0)  # the last epoch's stands


def test_ctrl_c_after_the_last_batch_speaks_of_no_further_epoch(
    house: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_ctrl_c: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = sys.modules[
        "numpyvae.training.trainer"
    ]  # the package's `train` is the function
    evaluate = vars(module)["evaluate"]

    def pressed(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return evaluate(*arguments)

    monkeypatch.setattr(module, "evaluate", pressed)
    assert train("--hidden 9 --epochs 1 --out r") in (0, 130)
    assert len(rows(house / "r")) == 1
    assert "epoch 2 of 1" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    ["--posterior point --beta 4", "--likelihood gaussian-pixels --binarize dynamic"],
)
def test_what_is_refused_leaves_no_folder(
    options: str, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"{SMALL} --out r {options}") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert not (house / "r").exists()
