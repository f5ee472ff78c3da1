"""The variational auto-encoder in NumPy, every gradient written by hand."""

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
