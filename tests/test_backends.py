"""The two namespaces are alike, and the compiled one also works with the JIT off."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpyvae.kernels import backends
from numpyvae.kernels import conv as conv_kernels
from numpyvae.kernels import dense as kernels
from numpyvae.pairs import conv, gaussian, likelihoods
from numpyvae.pairs import dense as ops
from numpyvae.pairs import optimizers as optim

NAMES = sorted(vars(backends.reference))
TESTS = Path(__file__).parent


def test_both_have_the_same_functions() -> None:
    assert sorted(vars(backends.compiled)) == NAMES
    assert set(NAMES) == {*backends.FUNCTIONS, *backends.UPDATES}


def test_every_pair_and_update_is_there() -> None:
    modules = [ops, conv, gaussian, likelihoods, optim]
    endings = ("_forward", "_backward", "_backward_weights", "_update")
    written = {n for m in modules for n in vars(m) if n.endswith(endings)}
    assert set(NAMES) == written


@pytest.mark.parametrize("name", NAMES)
def test_compiled_is_the_kernel_where_there_is_one(name: str) -> None:
    kernel = getattr(kernels, name, getattr(conv_kernels, name, None))
    function = getattr(backends.compiled, name)
    assert function is (kernel or getattr(backends.reference, name))


@pytest.mark.parametrize("name", sorted({*NAMES} & {*vars(kernels)}))
def test_a_kernel_takes_the_arguments_of_its_reference(name: str) -> None:
    """By the same names, in the same order; the pairs also an optional `out`."""
    expected = list(inspect.signature(getattr(backends.reference, name)).parameters)
    found = list(inspect.signature(getattr(kernels, name)).parameters)
    assert found == expected + ["out"] * (name in backends.FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "shapes", "results"),
    [
        ("sigma_forward", ["BZ"], ["BZ"]),
        ("sigma_backward", ["BZ", "BZ"], ["BZ"]),
        ("reparameterize_forward", ["BZ", "BZ", "BZ"], ["BZ"]),
        ("reparameterize_backward", ["BZ", "BZ"], ["BZ", "BZ"]),
        ("kl_forward", ["BZ", "BZ"], ["B"]),
        ("kl_backward", ["B", "BZ", "BZ"], ["BZ", "BZ"]),
        ("bernoulli_forward", ["BD", "BD"], ["B", "BD"]),
        ("bernoulli_backward", ["B", "BD", "BD"], ["BD"]),
    ],
)
@pytest.mark.parametrize("backend", [backends.reference, backends.compiled])
def test_out_receives_the_results(
    backend: Any,
    name: str,
    shapes: list[str],
    results: list[str],
    rng: np.random.Generator,
) -> None:
    size = {"B": 2, "Z": 3, "D": 5}
    arguments = [rng.standard_normal([size[c] for c in shape]) for shape in shapes]
    outs = tuple(np.full([size[c] for c in shape], np.nan) for shape in results)
    out = outs if len(outs) > 1 else outs[0]
    function = getattr(backend, name)
    new = function(*arguments)
    assert function(*arguments, out=out) is out
    for given_out, result in zip(outs, new if len(outs) > 1 else [new], strict=True):
        np.testing.assert_array_equal(given_out, result)


@pytest.mark.slow("many tests again, the JIT off")
def test_the_kernels_hold_with_the_jit_off() -> None:
    """Their tests once more, in a process where numba compiles nothing."""
    files = ["test_kernels.py", "test_conv.py", "test_optimizers.py", "test_vae.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--hypothesis-profile=few", "--hypothesis-verbosity=quiet"]
    command += ["--tb=short", *(str(TESTS / file) for file in files)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
