"""`numpyvae gradcheck`: what it covers, and that it fails when it should."""

from typing import Any

import numpy as np
import pytest
from test_citations import NUMBERS, cited

from numpyvae.checking.gradcheck import _rounding_errors
from numpyvae.checking.package import SUBJECTS, Subject, run, wholes
from numpyvae.checking.package.trials import normal, sizes
from numpyvae.cli import parser as cli
from numpyvae.kernels import backends
from numpyvae.kernels import conv as conv_kernels
from numpyvae.kernels import dense as kernels
from numpyvae.pairs import objectives
from numpyvae.pairs.likelihoods import LIKELIHOODS
from numpyvae.pairs.posteriors import POSTERIORS

PLANTED = 1 + 1e-9


def test_every_subject_is_right_with_either_code() -> None:
    rows = list(run(trials=20, seed=1))
    assert all(not row.faults and 0 < row.worst <= 1 for row in rows)
    codes = [(row.subject.name, row.code) for row in rows]
    assert (
        len(set(codes))
        == len(codes)
        == len(SUBJECTS) + sum(s.has_twin for s in SUBJECTS)
    )


def test_every_pair_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def spy(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            called.add(name)
            return function(*args, **kwargs)

        return call

    for name in backends.FUNCTIONS:
        monkeypatch.setattr(
            backends.reference, name, spy(name, getattr(backends.reference, name))
        )
    assert all(not row.faults for row in run(trials=3, seed=0))
    assert called == set(backends.FUNCTIONS)


BACKWARDS = [n for n in backends.FUNCTIONS if n.endswith(("backward", "weights"))]
PLACES = [
    *(("reference", name) for name in BACKWARDS),
    *(
        ("compiled", name)
        for name in BACKWARDS
        if hasattr(kernels, name) or hasattr(conv_kernels, name)
    ),
]


@pytest.mark.slow("the whole check, once for each fault")
@pytest.mark.parametrize(("code", "name"), PLACES)
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, code: str, name: str
) -> None:
    """One gradient of one function, off by a billionth; a thousandth for compiled code.

    For the compiled code the reference keeps right, as in life.
    """
    namespace = getattr(backends, code)
    factor = PLANTED if code == "reference" else 1.001
    function = getattr(namespace, name)

    def spoilt(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        result = (
            function(*args, out=out, **kwargs) if out is not None else function(*args)
        )
        last = result[-1] if isinstance(result, tuple) else result
        last[...] = last * factor
        return result

    monkeypatch.setattr(namespace, name, spoilt)
    faults = [row for row in run(trials=20, seed=0) if row.faults]
    assert any(row.code == code for row in faults)


@pytest.mark.slow("the whole check, once for each fault")
@pytest.mark.parametrize("name", ["elbo_backward", "iwae_backward"])
def test_a_fault_of_an_objective_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    function = getattr(objectives, name)

    def spoilt(*args: Any) -> Any:
        drecon, dkl = function(*args)
        return drecon, dkl * PLANTED

    monkeypatch.setattr(objectives, name, spoilt)
    faults = [row for row in run(trials=20, seed=0) if row.faults]
    assert {"VAE, any combination"} < {row.subject.name for row in faults}


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
    drawn = []

    def record(rng: Any, model: Any, f: Any, x: Any, eps: Any, *others: Any, **g: Any):
        kinds = model.posterior.name, model.likelihood.name, type(others[0]).__name__
        drawn.append((*kinds, others[0].kl, bool(model.channels), "labels" in g))

    monkeypatch.setattr(wholes, "_trial", record)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        wholes._any_vae(rng, backends.reference)
    images = {(False, False), (True, False), (False, True)}
    bounds = {("Elbo", "closed"), ("Elbo", "sampled"), ("Iwae", "sampled")}
    assert set(drawn) == {
        (posterior, likelihood, *bound, *image)
        for posterior in POSTERIORS
        for likelihood in LIKELIHOODS
        for bound in bounds
        for image in images
        if bound == ("Elbo", "closed") or posterior != "point"
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
    monkeypatch.setattr(
        backends.reference, "kl_backward", lambda dkl, mu, logvar: (-mu, logvar)
    )
    assert cli.main(["gradcheck"]) == 1
    out = capsys.readouterr().out
    assert "WRONG: mu" in out and "GRADIENTS WRONG" in out.splitlines()[-1]
