"""The recipes for a part of one's own, as README and CONTRIBUTING print them."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from data import tiny, write_idx
from test_readme import blocks

import numpyvae

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CHECK = """
import numpy as np
from numpyvae.checking.gradcheck import check
from numpyvae.checking.package import subjects
from numpyvae.kernels.backends import compiled, reference
(one,) = [s for s in subjects() if s.name == "{}"]
for code in (reference, compiled):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert check(*one.draw(rng, code)[:3], None, rng).ok, seed
print("right")
"""


def block_with(text: str, found: str) -> str:
    (code,) = [block for block in blocks(text, "python") if found in block]
    return code


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def digits(tmp_path: Path) -> str:
    return str(write_idx(tmp_path / "data", tiny(28, 28)))


SMALL = ("--hidden", "8", "--latent", "2", "--epochs", "1", "--binarize", "none")


def test_the_readmes_likelihood_is_trained_checked_and_drawn(
    tmp_path: Path, digits: str
) -> None:
    code = block_with((ROOT / "README.md").read_text("utf-8"), "LIKELIHOODS.add")
    assert len(list(filter(None, code.splitlines()))) <= 15
    (tmp_path / "laplace.py").write_text(code, "utf-8")
    data = ("--data", "idx", "--data-dir", digits)
    train = ("train", *data, *SMALL, "--likelihood", "laplace", "--out", "run")
    assert "likelihood laplace" in run("laplace.py", *train, cwd=tmp_path)
    assert "ELBO" in run("laplace.py", "evaluate", "run", cwd=tmp_path)
    assert "manifold.png" in run("laplace.py", "plot", "run", cwd=tmp_path)
    register = code.replace("main()\n", "")
    checked = run("-c", register + CHECK.format("likelihood laplace"), cwd=tmp_path)
    assert checked == "right\n"


def test_contributings_activation_is_found_where_it_stands(
    tmp_path: Path, digits: str
) -> None:
    package = tmp_path / "numpyvae"
    shutil.copytree(Path(numpyvae.__file__).parent, package)
    code = block_with(CONTRIBUTING, "ACTIVATIONS.add")
    (package / "pairs" / "swish.py").write_text(code, "utf-8")
    data = ("--data", "idx", "--data-dir", digits)
    train = ("train", *data, *SMALL, "--activation", "swish", "--out", "run")
    assert "784 swish," in run("-m", "numpyvae", *train, cwd=tmp_path)
    checked = run("-c", CHECK.format("activation swish"), cwd=tmp_path)
    assert checked == "right\n"


WAY = re.findall(r"^\| [^|].*\| `([\w.]+)` \| `([\w/]+\.py)` \|$", CONTRIBUTING, re.M)


def test_the_way_of_a_step_is_told() -> None:
    assert len(WAY) >= 10


@pytest.mark.parametrize(("name", "file"), WAY)
def test_every_name_on_the_way_of_a_step_is_in_its_file(name: str, file: str) -> None:
    module = f"numpyvae.{file.removesuffix('.py').replace('/', '.')}"
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if callable(found):
        assert found.__module__ == module
