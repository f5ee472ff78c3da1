"""The images: MNIST, any four IDX files, and digits drawn by our own pen.

Images are uint8 on disk and in memory; `binarize` and the model turn a batch
into numbers at the last moment.
"""

from .dataset import Dataset
from .idx import load_idx
from .mnist import load_mnist
from .strokes import load_strokes

__all__ = ["Dataset", "load_idx", "load_mnist", "load_strokes"]
