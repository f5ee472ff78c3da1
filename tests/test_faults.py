"""The planted faults are where they claim to be, and who judges them can judge.

`python -m tests.faults` plants them all; here a few, with the tests they fall to.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.bench import CHECKOUT, SUITE
from faults.catalogue import FAMILIES, FAULTS
from faults.criterion import noticed, torch_gradcheck
from faults.equivalent import EQUIVALENT
from faults.fault import SEEN, Fault
from faults.mutate import mutants
from faults.plant import faulty
from faults.sweep import made

PACKAGE = CHECKOUT / "numpyvae"
BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_where_it_claims_to_be(fault: Fault) -> None:
    text = faulty(fault, PACKAGE)  # each old text occurs once
    assert text != (PACKAGE / fault.file).read_text(encoding="utf-8")
    ast.parse(text)
    assert fault.story and fault.name.isprintable()


def test_the_catalogue_is_long_and_names_are_unique() -> None:
    assert len(BY_NAME) == len(FAULTS) >= 250
    assert sum(map(len, FAMILIES.values())) == len(FAULTS)


def test_what_is_seen_in_the_wild_is_planted() -> None:
    assert {fault.seen for fault in FAULTS} == {*SEEN, ""}


def test_the_tests_to_run_first_exist() -> None:
    tests = {fault.tests or f"test_{Path(fault.file).stem}.py" for fault in FAULTS}
    for test in {*tests, *SUITE}:
        file, _, name = test.partition("::")
        assert (
            f"def {name}(" in (CHECKOUT / "tests" / file).read_text(encoding="utf-8")
            or not name
        )


@pytest.mark.slow("many tests again, on a faulty package")
@pytest.mark.parametrize(
    "name", ["sigma = exp(logvar)", "test ELBO at z = mu", "one pixel in 64 left out"]
)
def test_a_planted_fault_is_caught(name: str, tmp_path: Path) -> None:
    fault = BY_NAME[name]
    for part in ("numpyvae", "tests"):
        shutil.copytree(
            CHECKOUT / part, tmp_path / part, ignore=shutil.ignore_patterns("__py*")
        )
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / "numpyvae" / fault.file).write_text(
        faulty(fault, PACKAGE), encoding="utf-8"
    )
    test = fault.tests or f"test_{Path(fault.file).stem}.py"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    environment = {"PYTHONPATH": str(tmp_path), "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(
        [*command, f"tests/{test}"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and "FAILED tests/test_" in run.stdout


# ---- torch's criterion ---------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((3, 4))


def cube(x: Any) -> Any:
    return (x**3).sum(axis=1)


def slope(dy: Any, x: Any) -> Any:
    return 3 * dy[:, None] * x * x


def test_torchs_criterion_accepts_what_torch_accepts() -> None:
    assert torch_gradcheck(cube, slope, (X,))
    assert torch_gradcheck(cube, lambda dy, x: 1.0005 * slope(dy, x), (X,))
    assert not torch_gradcheck(cube, lambda dy, x: 1.01 * slope(dy, x), (X,))
    assert not torch_gradcheck(cube, lambda dy, x: slope(dy, x) + 1e-4, (X,))


def test_torchs_criterion_wants_a_gradient_that_repeats_and_is_linear() -> None:
    rng = np.random.default_rng(1)
    noisy = torch_gradcheck(
        cube, lambda dy, x: slope(dy, x) * (1 + 1e-9 * rng.standard_normal()), (X,)
    )
    assert not noisy
    assert not torch_gradcheck(cube, lambda dy, x: slope(dy, x) + 1e-9, (X,))
    assert not torch_gradcheck(cube, lambda dy, x: slope(np.ones(3), x), (X,))


@pytest.mark.slow("every pair, many times")
def test_torchs_criterion_notices_nothing_in_the_code_as_it_is() -> None:
    assert noticed() == ""


# ---- Mutants -------------------------------------------------------------------------

SOURCE = '''"""Not a number: 1 + 1."""
A: int = 3
def f(x, n=2):
    """Nor this: 2 - 1."""
    if x > 0.5:
        raise ValueError(f"{x + 1}")
    y = x.T.sum(axis=0) * -n  # 1 + 1
    y -= x
    return x - y, True
'''


def test_every_rule_makes_its_mutants() -> None:
    found = [f"{m.line}: {m.change.partition(',')[0]}" for m in mutants(SOURCE)]
    assert sorted(found) == sorted(
        [
            "3: 2 -> 1", "3: 2 -> 3",
            "5: > -> >=", "5: > -> <", "5: 0.5 -> 1", "5: 0.5 -> 1.5",
            "7: * -> /", "7: =0 -> =1", "7: .T -> nothing", "7: - -> nothing",
            "8: -= -> +=",
            "9: - -> +", "9: True -> False", "9: x - y",
        ]
    )  # fmt: skip
    for mutant in mutants(SOURCE):
        ast.parse(mutant.text)
        assert mutant.text != SOURCE
        assert SOURCE.splitlines()[mutant.line - 1].strip() == mutant.source
    assert not list(mutants(SOURCE, {"g"})) and list(mutants(SOURCE, {"f"}))


def test_every_equivalent_mutant_is_made_and_has_its_reason() -> None:
    keys = {(file, mutant.source, mutant.change) for file, mutant in made()}
    assert len(keys) > 700
    for key, reason in EQUIVALENT.items():
        assert key in keys, f"no longer made: {key}"
        assert reason.endswith(".")
