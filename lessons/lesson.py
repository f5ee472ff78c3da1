"""What all lessons share: how large they run, and the digits they run on."""

import os

from threadpoolctl import threadpool_limits

from numpyvae import Dataset, NumpyvaeError, load_mnist, load_strokes

threadpool_limits(1, "blas")  # for products this small, threads that wait cost more

FAST = os.environ.get("NUMPYVAE_FAST") == "1"


def full_or_fast(full: int, fast: int) -> int:
    """A size: `fast` where NUMPYVAE_FAST=1 asks for a lesson in a second or two."""
    return fast if FAST else full


def digits(train: int = 60_000, test: int = 10_000) -> Dataset:
    """The first images of MNIST where it is found, else of the built-in strokes."""
    try:
        data = load_mnist(download=False)
    except NumpyvaeError:
        data = load_strokes(train, test)
    print(f"on {data.name}: {train} training and {test} test images")
    return Dataset(
        data.name,
        data.train_images[:train],
        data.train_labels[:train],
        data.test_images[:test],
        data.test_labels[:test],
    )
