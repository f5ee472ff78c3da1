"""The variational auto-encoder in NumPy, every gradient written by hand."""

import importlib
import sys
from types import ModuleType

TYPE_CHECKING = False  # to import `typing` for it would take 10 ms
if TYPE_CHECKING:
    from .datasets import Dataset, load_idx, load_mnist, load_strokes
    from .errors import NumpyvaeError
    from .gradcheck import gradcheck
    from .models import VAE
    from .train import train

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "Dataset",
    "NumpyvaeError",
    "gradcheck",
    "load_idx",
    "load_mnist",
    "load_strokes",
    "train",
]

_HOMES = {
    "VAE": "models",
    "NumpyvaeError": "errors",
    "gradcheck": "gradcheck",
    "train": "train",
}  # the others' is datasets


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for.

    So the process `numpyvae` can answer Ctrl-C before it imports numba.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'datasets')}")
    return globals().setdefault(name, getattr(home, name))


class _Package(ModuleType):
    """A package whose `train` and `gradcheck` are the functions, not their files."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
