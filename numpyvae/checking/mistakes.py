"""What a wrong array looks like beside the right one.

Most wrong gradients are right but for one factor, and the factor names the mistake. The
gradient check and the exercises both ask here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from ..pairs.types import Array

CLOSE = 1e-6  # relative; any mistake is larger


class Case(NamedTuple):
    """One comparison; what a mistake has to do with a size, several of them show."""

    found: Array
    expected: Array
    sizes: Mapping[str, int]  # by the name that a message calls each


@np.errstate(all="ignore")  # inf - inf and the like are to be expected here
def likely_mistake(cases: Sequence[Case]) -> str:
    """What is wrong in all the cases, in words; empty if they share no mistake."""
    if any(case.found.shape != case.expected.shape for case in cases):
        return "it is the transpose" if _is_transposed(cases) else ""
    told = [case for case in cases if case.expected.any() or case.found.any()]
    ratios = [_constant_ratio(case.found, case.expected) for case in told]
    known = [ratio for ratio in ratios if ratio is not None]
    if known and len(known) == len(ratios):
        factor, meaning = _meaning(known, [case.sizes for case in told])
        if factor:
            return f"the ratio is {factor} everywhere: {meaning}"
        if np.allclose(known, known[0], rtol=CLOSE):
            return f"the ratio is {known[0]:.12g} everywhere"
    return "it is the transpose" if _is_transposed(cases) else _offset(cases)


def _meaning(ratios: list[float], sizes: list[Mapping[str, int]]) -> tuple[str, str]:
    """The factor that all ratios are, and what it means; empty if it has no meaning."""
    meanings = [
        ("1", np.ones(len(ratios)), ""),
        ("2", np.full(len(ratios), 2.0), "twice too large: a 1/2 is lost"),
        ("0.5", np.full(len(ratios), 0.5), "half of it: a 1/2 too many"),
    ]
    for name in sizes[0]:
        size = np.array([float(each[name]) for each in sizes])
        meanings += [
            (name, size, f"a sum over {name} where a mean belongs"),
            (f"1/{name}", 1 / size, f"a mean over {name} where a sum belongs"),
        ]
    for factor, known, meaning in meanings:
        if np.allclose(ratios / known, 1, rtol=CLOSE) and meaning:
            return factor, meaning
        if np.allclose(ratios / known, -1, rtol=CLOSE):
            flipped = "the sign is flipped"
            return f"-{factor}", f"{flipped}, and {meaning}" if meaning else flipped
    return "", ""


def _constant_ratio(found: Array, expected: Array) -> float | None:
    """found / expected, if it is one number for all entries but those near 0."""
    sizes = np.abs(expected)
    mask = sizes > 1e-9 * sizes.max(initial=0)
    ratios = found[mask] / expected[mask]
    if not ratios.size or not np.isfinite(ratios).all():
        return None
    return float(ratios[0]) if np.allclose(ratios, ratios[0], rtol=CLOSE) else None


def _offset(cases: Sequence[Case]) -> str:
    """Whether one number was added everywhere, or left out."""
    apart = np.concatenate([(case.found - case.expected).ravel() for case in cases])
    finite = apart.size and np.isfinite(apart).all()
    if not finite or not np.allclose(apart, apart[0], rtol=CLOSE):
        return ""
    return f"it is {abs(apart[0]):.12g} too {'large' if apart[0] > 0 else 'small'}"


def _is_transposed(cases: Sequence[Case]) -> bool:
    """Whether one order of the axes makes all cases right."""
    return any(
        all(
            case.found.ndim == len(order)
            and case.found.transpose(order).shape == case.expected.shape
            and np.allclose(case.found.transpose(order), case.expected, rtol=CLOSE)
            for case in cases
        )
        for order in list(permutations(range(cases[0].expected.ndim)))[1:]
    )
