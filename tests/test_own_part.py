"""The recipes for a part of one's own, as README and CONTRIBUTING print them."""

import importlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import tiny, write_idx
from differences import Array
from test_readme import blocks

import numpyvae
from numpyvae import VAE
from numpyvae.checking.gradcheck import check
from numpyvae.checking.package import subjects
from numpyvae.errors import ArgumentError
from numpyvae.kernels.backends import reference
from numpyvae.pairs.activations import ACTIVATIONS
from numpyvae.pairs.deep import Deep
from numpyvae.pairs.likelihoods import LIKELIHOODS
from numpyvae.pairs.posteriors import POSTERIORS, Full, Posterior, SharedVariance
from numpyvae.pairs.priors import PRIORS

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


class OwnLikelihood:
    """Whatever is asked of its name, parameters and work arrays."""

    name, outputs, pixels, levels, equations = "own", 1, "any", 0, ""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self._shapes

    def forward(self, out: Array, x: Array, work: Any) -> tuple[Array, Array]:
        """What is kept stands where the backward pass writes."""
        off = work.arrays["own", out.shape, out.dtype]
        off[...] = x - out
        return (off * off).sum(axis=1) / 2, off

    def backward(
        self, dnll: Array, out: Array, kept: Array, x: Array, work: Any
    ) -> Array:
        scratch = work.arrays["own", out.shape, out.dtype]
        scratch[...] = dnll[:, None]
        return -scratch * kept

    def mean(self, out: Array) -> Array:
        return out


def test_a_name_that_is_taken_is_refused() -> None:
    """A run's config would mean another part than it was trained with."""
    own = OwnLikelihood({})
    own.name = "bernoulli"
    before = dict(LIKELIHOODS)
    with pytest.raises(
        ValueError, match=r"^bernoulli: found another part of that name"
    ):
        LIKELIHOODS.add(own)
    assert dict(LIKELIHOODS) == before
    assert LIKELIHOODS.add(before["bernoulli"]) is before["bernoulli"]


def test_parameters_of_two_parts_with_one_name_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(LIKELIHOODS, "own", OwnLikelihood({"decoder.0.b": (4,)}))
    with pytest.raises(ArgumentError, match=r"^parameters: found 'decoder.0.b' in two"):
        VAE(4, [], 2, likelihood="own")


def test_a_work_array_that_is_asked_for_twice_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Training uses its arrays again, and so does the check."""
    monkeypatch.setitem(LIKELIHOODS, "own", OwnLikelihood({}))
    (one,) = [s for s in subjects() if s.name == "likelihood own"]
    rng = np.random.default_rng(0)
    assert not check(*one.draw(rng, reference)[:3], None, rng).ok


def test_an_activation_that_does_not_say_what_it_reads_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A layer would write y over the a that its backward pass reads."""
    monkeypatch.setitem(
        ACTIVATIONS, "gelu", replace(ACTIVATIONS["gelu"], reads_input=False)
    )
    (one,) = [s for s in subjects() if s.name == "activation gelu"]
    rng = np.random.default_rng(0)
    assert not check(*one.draw(rng, reference)[:3], None, rng).ok


def test_a_second_layer_of_ones_own_takes_its_widths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mine(Deep):
        name = "mine"

    monkeypatch.setitem(PRIORS, "mine", Mine)
    assert VAE(9, [4], 2, prior="mine", top=[3, 2]).prior.noise == 2


def test_a_shared_variance_wants_a_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Posterior("own", Full, "", SharedVariance)
    monkeypatch.setitem(POSTERIORS, "own", own)
    with pytest.raises(ArgumentError, match=r"expected a Diagonal family"):
        VAE(9, [4], 2, posterior="own")


def test_a_gradient_of_other_samples_than_the_forward_pass_is_refused() -> None:
    model, eps = VAE(9, [4], 2, dtype=float), np.zeros((6, 2))
    work = model.workspace(model.params.unwritten())
    forward = model.forward(np.zeros((2, 9)), eps, work=work)
    with pytest.raises(ArgumentError, match=r"^eps: found 6 rows, expected 2, 1 for"):
        model.backward(eps, forward, work)
