"""The images: MNIST, any four IDX files, and digits drawn by our own pen.

Images are uint8 on disk and in memory; `binarize` and the model turn a batch
into numbers at the last moment.
"""

from ..errors import ArgumentError
from .dataset import Dataset
from .idx import load_idx
from .mnist import load_mnist
from .strokes import load_strokes

__all__ = ["NAMES", "Dataset", "load", "load_idx", "load_mnist", "load_strokes"]

NAMES = ("strokes", "mnist", "idx")


def load(name: str, data_dir: str | None) -> Dataset:
    """One of NAMES, from `data_dir` where it is given.

    Raises ArgumentError if there is no such name or the two don't go together, and
    DataError for bad files.
    """
    if name not in NAMES:
        raise ArgumentError(
            f"--data: found {name!r}, expected one of {', '.join(NAMES)}"
        )
    if name == "mnist":
        return load_mnist(data_dir)
    if name == "idx":
        if data_dir is None:
            raise ArgumentError(
                "--data idx: found no --data-dir, expected the four files' directory"
            )
        return load_idx(data_dir)
    if data_dir is not None:
        raise ArgumentError(
            f"--data-dir: found {data_dir!r} with --data {name}, which is built in; "
            "expected --data mnist or --data idx with it"
        )
    return load_strokes()
