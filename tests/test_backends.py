"""The reference and the compiled code are alike, and both work with the JIT off."""

import copy
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_kernels import check_twin

from numpyvae import kernels
from numpyvae.kernels.backends import Compiled, Reference, code_of, compiled, reference
from numpyvae.pairs import bernoulli, conv, dense, optimizers
from numpyvae.pairs.conv import Window

KERNELS = [kernels.bernoulli, kernels.conv, kernels.dense]
NAMES = sorted(
    name
    for name, method in vars(Reference).items()
    if inspect.isfunction(method) and not name.startswith("_")
)
PAIRS = [name for name in NAMES if not name.startswith("activat")]
TESTS = Path(__file__).parent


def pair(name: str) -> Callable[..., Any]:
    """The function that has this name in pairs/."""
    modules = (dense, conv, bernoulli, optimizers)
    return next(vars(m)[name] for m in modules if name in vars(m))


@pytest.mark.parametrize("name", NAMES)
def test_compiled_is_the_kernel_of_that_name(name: str) -> None:
    kernel = next(vars(m)[name] for m in KERNELS if name in vars(m))
    assert getattr(compiled, name) is kernel


def test_every_kernel_is_used() -> None:
    endings = ("_forward", "_backward", "_backward_weights", "_update")
    public = {name for module in KERNELS for name in vars(module)}
    written = {n for n in public if n.endswith(endings) and not n.startswith("_")}
    assert written == {*NAMES} == {*vars(Compiled)} & {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_all_take_the_same_arguments(name: str) -> None:
    """By the same names, in the same order; the pairs also an optional `out`."""
    found = list(inspect.signature(getattr(reference, name)).parameters)
    assert list(inspect.signature(getattr(compiled, name)).parameters) == found
    if name in PAIRS:
        own = list(inspect.signature(pair(name)).parameters)
        assert found == own + ["out"] * (not name.endswith("_update"))


def four(n: int) -> Any:
    return np.linspace(-1, 1, n**4).reshape(n, n, n, n)


MATRIX, VECTOR, WINDOW = np.linspace(-1, 1, 9).reshape(3, 3), np.ones(3), Window(1, 1)
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "dense_forward": (MATRIX, MATRIX, VECTOR),
    "dense_backward": (MATRIX, MATRIX.T, MATRIX),
    "dense_backward_weights": (MATRIX, MATRIX.T),
    "bernoulli_forward": (MATRIX, MATRIX.T),
    "bernoulli_backward": (VECTOR, MATRIX, MATRIX.T),
    "conv_forward": (four(3), four(3), VECTOR, WINDOW),
    "conv_backward": (four(3), four(3), four(3), WINDOW),
    "conv_backward_weights": (four(3), four(3), 3, WINDOW),
    "conv_transpose_forward": (four(3), four(3), VECTOR, WINDOW, 0),
    "conv_transpose_backward": (four(3), four(3), four(3), WINDOW),
}


@pytest.mark.parametrize("name", [n for n in PAIRS if not n.endswith("_update")])
def test_the_reference_is_the_pair_and_fills_out(name: str) -> None:
    check_twin(getattr(reference, name), pair(name), *ARGUMENTS[name])


@pytest.mark.parametrize("code", [reference, compiled], ids=lambda code: code.name)
def test_there_is_one_of_each(code: Reference) -> None:
    """A copied model computes with the code of the original."""
    assert code_of(code is compiled) is code
    assert copy.deepcopy(code) is pickle.loads(pickle.dumps(code)) is code


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
