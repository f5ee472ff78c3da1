"""The variational auto-encoder in NumPy, every gradient written by hand."""

import importlib

TYPE_CHECKING = False  # to import `typing` for it would take 10 ms
if TYPE_CHECKING:
    from .checking.gradcheck import gradcheck
    from .datasets import Dataset, load_idx, load_mnist, load_strokes
    from .errors import NumpyvaeError
    from .model.vae import VAE
    from .training.trainer import train

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
    "VAE": "model.vae",
    "NumpyvaeError": "errors",
    "gradcheck": "checking.gradcheck",
    "train": "training.trainer",
}  # of all others: datasets


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for.

    So the process `numpyvae` can answer Ctrl-C before it imports numba.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'datasets')}")
    return globals().setdefault(name, getattr(home, name))
