"""What a model expects of its arguments; a message names what was found and expected.

Shapes: B batch, D pixels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, expect_unmasked, expect_whole
from ..kernels.active_pixels import ActivePixels
from ..pairs.kl import CLOSED
from ..pairs.objectives import Objective
from ..pairs.posteriors import Posterior
from ..pairs.priors import PRIORS, Prior
from ..pairs.types import Array, Input


def expect_one_of(name: str, value: object, names: Collection[str]) -> None:
    """Raise ArgumentError unless `value` is one of `names`."""
    if not isinstance(value, str) or value not in names:
        raise ArgumentError(
            f"{name}: found {value!r}, expected one of {', '.join(names)}"
        )


def expect_widths(name: str, widths: object) -> tuple[int, ...]:
    """Whole numbers from 1 on, as a tuple. Raises ArgumentError for others."""
    if not isinstance(widths, Sequence | np.ndarray) or isinstance(widths, str):
        raise ArgumentError(
            f"{name}: found {widths!r}, expected a list of widths, such as [400]"
        )
    for width in widths:
        expect_whole(name, width, 1)
    return tuple(int(width) for width in widths)


def expect_shape(shape: Sequence[int] | None, pixels: int) -> tuple[int, int]:
    """Height and width of an image; of a square one, if `shape` is None.

    Raises ArgumentError where they do not make `pixels`.
    """
    if shape is None:
        side = math.isqrt(pixels)
        shape = side, side
    found = expect_widths("image_shape", shape)
    if len(found) != 2 or math.prod(found) != pixels:
        raise ArgumentError(
            f"image_shape: found {list(found)}, expected the height and width of "
            f"{pixels} pixels"
        )
    return found


def expect_dtype(dtype: Any, compiled: bool) -> np.dtype:
    """The dtype. Raises ArgumentError for one that the chosen code can't compute in."""
    kinds = ["float32", "float64"] + ["complex128"] * (not compiled)
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.name not in kinds:
        raise ArgumentError(f"dtype: found {dtype}, expected {' or '.join(kinds)}")
    return found


def expect_vector(params: Array, dtype: np.dtype) -> Array:
    """`params`. Raises ArgumentError unless they are an array of this dtype.

    Its numbers must lie side by side: views of its parts would be copies otherwise.
    """
    expect_unmasked("params", params)
    if not isinstance(params, np.ndarray):
        raise ArgumentError(
            f"params: found {type(params).__name__}, expected {dtype} (P,)"
        )
    if params.dtype != dtype:
        raise ArgumentError(f"params: found {params.dtype}, expected {dtype}")
    if not params.flags.c_contiguous:
        raise ArgumentError(
            "params: found numbers that lie apart, expected them side by side; pass "
            "numpy.ascontiguousarray(params)"
        )
    return params


def expect_matrix(name: str, x: Any, columns: int, dtype: np.dtype) -> Array:
    """x, converted to `dtype` from floats of any length and byte order.

    Raises ArgumentError unless x is a matrix (B, columns) of finite floats.
    """
    expected = f"expected floats of shape (B, {columns})"
    expect_unmasked(name, x)
    if not isinstance(x, np.ndarray):
        raise ArgumentError(f"{name}: found {type(x).__name__}, {expected}")
    kinds = "fc" if dtype.kind == "c" else "f"
    if x.ndim != 2 or x.shape[1] != columns or x.dtype.kind not in kinds:
        raise ArgumentError(f"{name}: found {x.dtype} of shape {x.shape}, {expected}")
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, dtype)
    if not np.isfinite(x).all():
        raise ArgumentError(
            f"{name}: found NaN or infinity, expected numbers that are finite in "
            f"{dtype}"
        )
    return x


def expect_bytes(images: Any, pixels: int, binary: bool) -> None:
    """Raise ArgumentError unless images are uint8 (B, D), and 0 or 1 if `binary`."""
    expected = f"expected uint8 of shape (B, {pixels})"
    expect_unmasked("images", images)
    if not isinstance(images, np.ndarray):
        raise ArgumentError(f"images: found {type(images).__name__}, {expected}")
    if images.shape[1:] != (pixels,) or images.dtype != np.uint8:
        raise ArgumentError(
            f"images: found {images.dtype} of shape {images.shape}, {expected}"
        )
    if binary and images.max(initial=0) > 1:
        raise ArgumentError(
            f"images: found {images.max()}, expected 0 and 1 in binary ones"
        )


def expect_images(x: Input, reads_lists: bool, pixels: int, dtype: np.dtype) -> Input:
    """x, converted to `dtype`.

    Raises ArgumentError unless x (B, D) is what a model of `pixels` takes.
    """
    if not isinstance(x, ActivePixels):
        x = expect_matrix("x", x, pixels, dtype)
        if x.real.min(initial=0) < 0 or x.real.max(initial=0) > 1:
            raise ArgumentError(
                f"x: found values from {x.real.min():g} to {x.real.max():g}, "
                "expected them in [0, 1]; `as_input` makes them from uint8 images"
            )
    elif not reads_lists:
        raise ArgumentError(
            "x: found a list of pixels, expected floats: only a compiled model of "
            "dense layers with the Bernoulli likelihood reads lists; `as_input` gives "
            "what a model takes"
        )
    elif x.width != pixels:
        raise ArgumentError(f"x: found {x.width} pixels, expected {pixels}")
    return x


def expect_seen(seen: Any, count: int, pixels: int, dtype: np.dtype) -> Input:
    """seen, converted to `dtype`. Raises ArgumentError unless it goes with x (B, D).

    A corrupted image may leave [0, 1].
    """
    if not isinstance(seen, ActivePixels):
        seen = expect_matrix("seen", seen, pixels, dtype)
    if seen.shape != (count, pixels):
        raise ArgumentError(
            f"seen: found shape {seen.shape}, expected {(count, pixels)} as of x"
        )
    found: Input = seen
    return found


def expect_labels(labels: Any, count: int, classes: int) -> None:
    """Raise ArgumentError unless there are `count` labels below `classes`.

    A model without classes takes None.
    """
    if labels is None and not classes:
        return
    expected = f"expected {count} whole numbers below {classes}"
    if not classes:
        expected = "expected None: this model takes no labels"
    if not isinstance(labels, np.ndarray):
        raise ArgumentError(f"labels: found {type(labels).__name__}, {expected}")
    if not classes or labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise ArgumentError(
            f"labels: found {labels.dtype} of shape {labels.shape}, {expected}"
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise ArgumentError(f"labels: found {wrong[0]}, {expected}")


def expect_rows(rows: Any, count: int) -> None:
    """Raise ArgumentError unless rows (B,) are one or more of range(count)."""
    expected = f"expected one or more whole numbers from 0 to {count - 1}"
    if (
        not isinstance(rows, np.ndarray)
        or rows.ndim != 1
        or rows.dtype.kind not in "iu"
    ):
        raise ArgumentError(f"rows: found {type(rows).__name__}, {expected}")
    if not rows.size or rows.min() < 0 or rows.max() >= count:
        found = f"{rows.min()} to {rows.max()}" if rows.size else "none"
        raise ArgumentError(f"rows: found {found}, {expected}")


def expect_generator(rng: Any) -> None:
    """Raise ArgumentError unless rng is a NumPy generator."""
    if not isinstance(rng, np.random.Generator):
        raise ArgumentError(
            f"rng: found {type(rng).__name__}, expected a numpy.random.Generator, "
            "such as numpy.random.default_rng(0)"
        )


# ---- What does not go together -------------------------------------------------------


def expect_no_labels(classes: int, channels: Sequence[int]) -> None:
    """Raise ArgumentError for labels with convolutions."""
    if classes and channels:
        raise ArgumentError(
            f"classes: found {classes} with channels {list(channels)}, expected 0: a "
            "convolution has no place for a label"
        )


def expect_prior(posterior: Posterior, prior: Prior, top: Sequence[int]) -> None:
    """Raise ArgumentError for a prior that does not go with what is given."""
    if top and not prior.takes_top:
        others = [name for name, kind in PRIORS.items() if kind.takes_top]
        raise ArgumentError(
            f"top: found {list(top)} with the prior {prior.name!r}, expected one with "
            f"a second layer of latents: {', '.join(others)}"
        )
    if not posterior.family.has_density and (
        (posterior.family, type(prior)) not in CLOSED
    ):
        raise ArgumentError(
            f"prior: found {prior.name!r} for the posterior {posterior.name!r}, "
            "expected 'standard': a point has no density"
        )


def expect_objective(posterior: Posterior, objective: Objective) -> None:
    """Raise ArgumentError for an objective that needs a density where there is none."""
    if objective.kl == "sampled" and not posterior.family.has_density:
        raise ArgumentError(
            "kl: found 'sampled', or an importance-weighted bound, for the posterior "
            f"{posterior.name!r}, expected 'closed': a point has no density"
        )


def expect_samples(rows: int, images: int, objective: Objective) -> None:
    """Raise ArgumentError unless there are an objective's samples of each image."""
    if rows != images * objective.samples:
        raise ArgumentError(
            f"eps: found {rows} rows, expected {images * objective.samples}, "
            f"{objective.samples} for each image of x"
        )
