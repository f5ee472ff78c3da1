"""`numpyvae gradcheck`: what it covers, and that it fails when it should."""

import pkgutil
from dataclasses import replace
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from test_citations import NUMBERS, cited

from numpyvae import pairs
from numpyvae.checking.gradcheck import _rounding_errors
from numpyvae.checking.package import Subject, Trial, run, subjects, wholes
from numpyvae.checking.package.trials import normal, sizes
from numpyvae.cli import parser as cli
from numpyvae.kernels import backends
from numpyvae.pairs import kl
from numpyvae.pairs.activations import ACTIVATIONS
from numpyvae.pairs.kl import CLOSED
from numpyvae.pairs.likelihoods import LIKELIHOODS
from numpyvae.pairs.posteriors import POSTERIORS
from numpyvae.pairs.priors import PRIORS

PLANTED = 1 + 1e-9
SUBJECTS = subjects()
MODULES = [
    import_module(f"numpyvae.pairs.{m.name}")
    for m in pkgutil.iter_modules(pairs.__path__)
]


def test_every_subject_is_right_with_either_code() -> None:
    rows = list(run(trials=20, seed=1))
    assert all(not row.faults for row in rows)
    assert all(0 < row.worst <= 1 for row in rows if "Point" not in row.subject.name)
    codes = [(row.subject.name, row.code) for row in rows]
    twins = sum(s.has_twin for s in SUBJECTS)
    assert len(set(codes)) == len(codes) == len(SUBJECTS) + twins


def test_every_part_is_a_subject() -> None:
    kinds = (ACTIVATIONS, POSTERIORS, PRIORS, LIKELIHOODS)
    names = " ".join(subject.name for subject in SUBJECTS)
    assert all(name in names for registry in kinds for name in registry)
    assert all(f"KL {q.__name__} || {p.__name__}" in names for q, p in CLOSED)


CODE = [name for name in vars(backends.Reference) if "backward" in name]


def spoilt(function: Any, factor: float) -> Any:
    """The function with its last result off by the factor."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if not isinstance(result, tuple):
            return result * factor
        result[-1][...] = result[-1] * factor
        return result

    return call


@pytest.mark.slow("the whole check, once for each fault")
@pytest.mark.parametrize("name", CODE)
def test_a_fault_planted_in_compiled_code_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One gradient off by a thousandth; the reference keeps right, as in life."""
    function = getattr(backends.compiled, name)

    def call(*args: Any, out: Any = None) -> Any:
        result = function(*args) if out is None else function(*args, out=out)
        last = result[-1] if isinstance(result, tuple) else result
        last[...] = last * 1.001
        return result

    monkeypatch.setattr(backends.Compiled, name, staticmethod(call))
    assert any(row.faults and row.code == "compiled" for row in run(20, seed=0))


PAIRS = [
    (module, name)
    for module in MODULES
    for name, function in vars(module).items()
    if isinstance(function, FunctionType) and function.__module__ == module.__name__
    if "_backward" in name and not name.startswith("_")
]


@pytest.mark.slow("the whole check, once for each fault")
@pytest.mark.parametrize(("module", "name"), PAIRS, ids=[name for _, name in PAIRS])
def test_a_fault_planted_in_a_pair_is_found(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    """One gradient of one function, off by a billionth."""
    function = getattr(module, name)
    for user in MODULES:
        if getattr(user, name, None) is function:
            monkeypatch.setattr(user, name, spoilt(function, PLANTED))
    for key, f in ACTIVATIONS.items():
        if f.backward is function:
            wrong = replace(f, backward=spoilt(function, PLANTED))
            monkeypatch.setitem(ACTIVATIONS, key, wrong)
    assert any(row.faults for row in run(20, seed=0))


def test_a_backward_that_forgets_a_gradient_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its buffer is NaN, not what the last check has left there."""
    learned = LIKELIHOODS["gaussian-learned"]

    def forgetful(dnll: Any, out: Any, kept: Any, x: Any, work: Any) -> Any:
        return LIKELIHOODS["gaussian"].backward(dnll, out, kept, x, work)

    monkeypatch.setattr(learned, "backward", forgetful, raising=False)
    assert any(row.faults for row in run(20, seed=0))


each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.name)


@each_subject
def test_every_bound_is_tracked(subject: Subject) -> None:
    """None is `gradcheck`'s guess for code that Tracked can't go through."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        trial = subject.draw(rng, backends.reference)
        dy = rng.standard_normal(np.shape(trial.forward(*trial.args)))
        errors = _rounding_errors(trial.forward, trial.backward, dy, trial.args)
        for x, error in zip(trial.args, errors, strict=True):
            assert error is not None and error.shape == x.shape


def test_every_combination_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each two kinds of parts, all that go together."""
    drawn = []

    def record(rng: Any, model: Any, x: Any, objective: Any, **given: Any) -> Trial:
        drawn.append(
            {
                "posterior": model.posterior.name,
                "prior": model.prior.name,
                "likelihood": model.likelihood.name,
                "activation": model.activation,
                "objective": (type(objective).__name__, objective.kl),
                "images": (bool(model.channels), "labels" in given),
            }
        )
        return Trial(lambda: 0.0, lambda dy: 0.0, (), ())

    monkeypatch.setattr(wholes, "_trial", record)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        wholes._any_vae(rng, backends.reference)
    found = {(d["posterior"], d["prior"]) for d in drawn}
    assert {(q, "standard") for q in POSTERIORS} < found
    assert {("diagonal", p) for p in PRIORS} < found
    assert {(d["likelihood"], d["objective"]) for d in drawn} == {
        (likelihood, bound)
        for likelihood in LIKELIHOODS
        for bound in (("Elbo", "closed"), ("Elbo", "sampled"), ("Iwae", "sampled"))
    }
    assert {(d["activation"], d["images"]) for d in drawn} == {
        (activation, images)
        for activation in ACTIVATIONS
        for images in ((False, False), (True, False), (False, True))
    }


def test_equations_are_derived() -> None:
    for subject in SUBJECTS:
        assert cited(f"Eq. {subject.equations}") <= NUMBERS


def test_shapes_begin_at_one_and_views_are_not_all_contiguous() -> None:
    rng = np.random.default_rng(0)
    arrays = [normal(rng, *sizes(rng, 2)) for _ in range(200)]
    assert {n for array in arrays for n in array.shape} == set(range(1, 9))
    assert any(not a.flags.c_contiguous and not a.flags.f_contiguous for a in arrays)


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setattr("numpyvae.cli.commands.gradients.QUICK", 2)
    picture = tmp_path / "v.png"
    assert cli.main(["gradcheck", "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "every gradient is right" in lines[-1] and picture.stat().st_size > 10_000
    monkeypatch.setattr(kl, "kl_backward", lambda dkl, mu, logvar: (-mu, logvar))
    assert cli.main(["gradcheck"]) == 1
    out = capsys.readouterr().out
    assert "WRONG: s[" in out and "GRADIENTS WRONG" in out.splitlines()[-1]
