"""A handful of degraded homes; `python -m tests.reliability.homes` tries them all."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from reliability.homes import (
    HOMES,
    QUICK,
    Home,
    House,
    differences,
    house,
    outcomes,
    weights,
)


@pytest.fixture(scope="module")
def here() -> Iterator[House]:
    if os.name == "nt":
        pytest.skip("a home is a line of a Unix shell")
    with house() as one:
        yield one


@pytest.mark.slow("a process for each home")
def test_numpyvae_trains_in_degraded_homes_or_says_why_not(here: House) -> None:
    for (name, outcome), home in zip(outcomes(here, QUICK), QUICK, strict=True):
        tried = outcome == "passed" or (home.needs and outcome.startswith("not tried"))
        assert tried, f"{name}: {outcome}"


def test_homes_have_names_of_their_own() -> None:
    assert len({home.name for home in HOMES}) == len(HOMES) > 40


@pytest.mark.parametrize(
    ("line", "expected", "why"),
    [
        ("true", {}, "failed: 0 weights, expected"),
        ("exit 3", {}, "failed: exit code 3, expected 0"),
        ("echo Traceback >&2; exit 2", {"code": 2}, "failed: Traceback"),
        ("echo numpyvae: no >&2", {}, "failed: told ['numpyvae: no'], expected noth"),
        ("exit 2", {"code": 2, "refusal": "why"}, "failed: told [], expected a line"),
        (
            "echo numpyvae: why >&2; echo else >&2; exit 2",
            {"code": 2, "refusal": "why"},
            "failed: told ['numpyvae: why', 'else'], expected a line with why",
        ),
        ("echo numpyvae: why >&2; exit 2", {"code": 2, "refusal": "why"}, "passed"),
        ("true", {"needs": "false"}, "not tried: `false` fails here"),
    ],
)
def test_a_home_is_judged(
    here: House, line: str, expected: dict[str, str], why: str
) -> None:
    assert here.outcome(Home("a home", line, **expected)).startswith(why)


def test_other_weights_are_noticed(here: House) -> None:
    finished, run = here.run("train --lr 0.00100001")
    assert finished.returncode == 0
    assert "other bits" in differences(weights(run), here.weights, exact=True)


@pytest.mark.parametrize(
    ("off", "to_the_bit", "to_rounding"),
    [(0, "", ""), (1e-6, "3 weights have other", ""), (1, "3 weights", "a weight is")],
)
def test_weights_are_compared_to_the_bit_or_to_rounding(
    off: float, to_the_bit: str, to_rounding: str
) -> None:
    one = np.ones(3, np.float32)
    found = one + np.float32(off)
    for exact, fault in ((True, to_the_bit), (False, to_rounding)):
        assert bool(fault) == bool(differences(found, one, exact))
        assert differences(found, one, exact).startswith(fault)


def test_nan_is_not_close() -> None:
    one = np.ones(3, np.float32)
    assert differences(one * np.float32(np.nan), one, exact=False)
