"""The pairs for Tracked arrays: the reference itself, but for what can't take them.

`pairs/conv.py` adds into arrays of its own. It is made of three sums of products, and
the rounding of such a sum is known: so a copy of it, with the sums that track.
"""

from __future__ import annotations

from importlib.util import module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ...kernels.backends import _with_out, reference
from ...pairs import conv, likelihoods
from ...pairs.dense import Array
from ..rounding import Tracked, bilinear


def suited(f: SimpleNamespace, like: Any) -> SimpleNamespace:
    """The namespace f, or that for Tracked arrays if `like` is one."""
    if not isinstance(like, Tracked):
        return f
    return SimpleNamespace(**vars(reference) | PAIRS)


def _copy_of_conv() -> ModuleType:
    assert conv.__spec__ is not None and conv.__spec__.loader is not None
    copy = module_from_spec(conv.__spec__)
    conv.__spec__.loader.exec_module(copy)
    for name in ("convolve", "convolve_transposed", "convolve_weights"):
        setattr(copy, name, bilinear(getattr(conv, name)))
    return copy


def _continuous_bernoulli_forward(logits: Any, x: Array) -> tuple[Any, Any]:
    """The mean with the rounding of what the complex step differentiates.

    That is log((1 - exp(-l)) / l): of its derivative's two terms, near 0, each is 1/l
    and rounds by so much, where the series of the mean has nothing to lose.
    """
    pair: Any = likelihoods.continuous_bernoulli_forward(logits, x)
    nll, mean = pair
    size = np.abs(logits.value)
    return nll, Tracked(mean.value, mean.error + 4 / np.where(size > 0, size, 1))


_conv = _copy_of_conv()
PAIRS = {
    function.__name__.removeprefix("_"): _with_out(function)
    for function in (
        _conv.conv_forward,
        _conv.conv_backward,
        _conv.conv_backward_weights,
        _conv.conv_transpose_forward,
        _conv.conv_transpose_backward,
        _continuous_bernoulli_forward,
    )
}
