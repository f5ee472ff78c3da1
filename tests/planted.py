"""All functions of pairs/ as one object, and the same with faults among them. No test.

The object is for a measurement that calls pairs itself; `planted` puts its faults into
the package as well, for one that has a model call them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from types import ModuleType, SimpleNamespace

import pytest

from numpyvae.kernels.backends import Compiled, compiled

Pairs = SimpleNamespace  # by name; `faults`: those of them that are wrong; compiled


def modules() -> list[ModuleType]:
    return [m for name, m in sys.modules.items() if name.startswith("numpyvae.pairs.")]


def functions() -> dict[str, Callable]:
    """All that the files of pairs/ define."""
    return {
        name: function
        for module in modules()
        for name, function in vars(module).items()
        if isfunction(function) and function.__module__ == module.__name__
    }


TWINS = {
    name: getattr(compiled, name) for name in functions() if name in vars(Compiled)
}
REAL = Pairs(**functions(), faults={}, compiled=False)
CODES = {
    "reference": REAL,
    "compiled": Pairs(**functions() | TWINS, faults={}, compiled=True),
}


def wrong(**functions: Callable) -> Pairs:
    """The reference with some functions replaced."""
    return Pairs(**vars(REAL) | functions | {"faults": functions})


@contextmanager
def planted(code: Pairs) -> Iterator[None]:
    """The package with the faults of `code`, wherever a file of pairs/ calls them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, fault in code.faults.items():
            for module in modules():
                if name in vars(module):
                    patch.setattr(module, name, fault)
        yield
