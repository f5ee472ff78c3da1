"""The code for Tracked arrays: the reference itself, but for what can't take them.

`pairs/conv.py` adds into arrays of its own. It is made of three sums of products, and
the rounding of such a sum is known: so a copy of it, with the sums that track.
"""

from __future__ import annotations

from importlib.util import module_from_spec
from typing import Any

from ...pairs import conv
from ...pairs.reference import Reference
from ..rounding import bilinear


def _copy_of_conv() -> Any:
    assert conv.__spec__ is not None and conv.__spec__.loader is not None
    copy = module_from_spec(conv.__spec__)
    conv.__spec__.loader.exec_module(copy)
    for name in ("convolve", "convolve_transposed", "convolve_weights"):
        setattr(copy, name, bilinear(getattr(conv, name)))
    return copy


class TrackedReference(Reference):
    """The reference, of whose conv.py a copy is called."""

    name = "tracked"
    conv = _copy_of_conv()


tracked = TrackedReference()
