"""Is a backward pass the derivative of its forward pass?

`gradcheck(forward, backward, *args)` answers for any pair. Derivatives come from the
complex step, exact to rounding, or from Ridders' extrapolated differences where code
can't take complex numbers. What counts as equal comes from the rounding errors that the
backward pass itself can have made (checking/rounding.py): no tolerance to choose.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.exceptions import ComplexWarning

from ..errors import ArgumentError, expect_function, expect_numbers, expect_whole
from ..pairs.types import Array
from .derivative import complex_step, ridders
from .mistakes import Case, likely_mistake
from .rounding import EPS, Tracked

RIDDERS_BOUND = 1e-9  # relative to the terms added; the worst seen was a tenth of it
DIRECTIONS = 3

Function = Callable[..., Any]


class Block(NamedTuple):
    """What was found for one argument of the pair."""

    name: str
    error: float  # the largest |derivative - <gradient, direction>|
    bound: float  # what rounding allows there
    fault: str = ""  # empty, or what is wrong in words

    @property
    def ratio(self) -> float:
        """The error as a share of its bound."""
        return self.error / self.bound if self.bound else float(self.error > 0)


class Report(NamedTuple):
    """What `gradcheck` found, argument by argument; true if nothing is wrong."""

    blocks: tuple[Block, ...]
    method: str

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return not any(block.fault for block in self.blocks)

    def __bool__(self) -> bool:
        """The same as `ok`."""
        return self.ok

    def __str__(self) -> str:
        """A line for each argument."""
        lines = [
            f"{'WRONG' if b.fault else 'right'}  {b.name:12} error {b.error:.1e}, "
            f"rounding allows {b.bound:.1e}"
            + (f"\n       {b.fault}" if b.fault else "")
            for b in self.blocks
        ]
        return "\n".join([*lines, f"by {self.method}"])


def gradcheck(
    forward: Function,
    backward: Function,
    *args: Any,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Report:
    """Check that `backward` is the derivative of `forward` at `args`.

    `forward(*args)` returns an array, or a tuple of arrays. `backward(dy, *args)` takes
    a gradient for that (a tuple for a tuple) and returns the gradients of the first
    arguments, in their order: one array, or a tuple, with None for an argument that has
    none. Arrays are taken as float64; other arguments are passed on. `names` has one
    for each. Any noise must be among the arguments, so that both calls see the same.

    The upstream gradient and the directions are drawn from `seed`. Raises ArgumentError
    if the two can't be called so, or return what can't be compared.
    """
    expect_whole("seed", seed, 0)
    return check(forward, backward, args, names, np.random.default_rng(seed))


def check(
    forward: Function,
    backward: Function,
    args: Sequence[Any],
    names: Sequence[str] | None,
    rng: np.random.Generator,
    twin: tuple[Function, Function] | None = None,
) -> Report:
    """`gradcheck` with a generator; compiled code comes with its reference `twin`.

    Compiled code takes neither complex nor tracked numbers: its derivatives are
    Ridders' differences, and its bounds are computed with the twin.
    """
    expect_function("forward", forward, len(args))
    expect_function("backward", backward, 1 + len(args))
    names = [f"argument {i}" for i in range(len(args))] if names is None else names
    if not isinstance(names, tuple | list) or len(names) != len(args):
        raise ArgumentError(f"names: found {names!r}, expected a list of {len(args)}")
    args = list(map(_as_float, names, args))
    given = _on_arrays(np.copy, args)
    y = forward(*args)
    for part in _tuple(y) or (None,):
        expect_numbers("forward", part, finite=False)
    dy = _map(lambda part: rng.standard_normal(np.shape(part)), y)
    grads, again = _tuple(backward(dy, *args)), _tuple(backward(dy, *args))
    if len(grads) > len(args):
        raise ArgumentError(
            f"backward: found {len(grads)} gradients, expected at most {len(args)}, "
            "one for each argument of forward"
        )
    errors = _rounding_errors(*(twin or (forward, backward)), dy, args)
    analytic = twin is None and _is_analytic(forward, args, dy, rng)
    batch = len(_tuple(dy)[0]) if np.ndim(_tuple(dy)[0]) else 1
    blocks = []
    for i, (name, grad, same) in enumerate(zip_longest(names, grads, again)):
        if grad is None:
            continue
        expect_numbers("backward", grad, finite=False)
        grad, x = np.asarray(grad), args[i]
        if not isinstance(x, np.ndarray):
            raise ArgumentError(
                f"{name}: found {type(x).__name__}, expected an array or a float"
            )
        fault = _fault_of_form(grad, np.asarray(same), x, given[i])
        if fault:
            blocks.append(Block(name, np.inf, 0.0, f"{name}: {fault}"))
            continue

        def loss(block: Array, i: int = i, f: Function = forward) -> Any:
            others = _complex(args) if np.iscomplexobj(block) else args
            return _dot(dy, f(*others[:i], block, *others[i + 1 :]))

        twin_loss = partial(loss, f=twin[0]) if twin else None
        error = errors[i]
        if error is None:
            error = _guessed_error(grads, x)
        blocks.append(
            _check_block(name, loss, x, grad, error, analytic, rng, batch, twin_loss)
        )
    if not blocks:
        raise ArgumentError("backward: found no gradient, expected one at least")
    return Report(tuple(blocks), "complex step" if analytic else "Ridders' differences")


def _check_block(
    name: str,
    loss: Callable[[Array], Any],
    x: Array,
    grad: Array,
    error: Array,
    analytic: bool,
    rng: np.random.Generator,
    batch: int,
    twin_loss: Callable[[Array], Any] | None,
) -> Block:
    """Compare derivatives along random directions; if they differ, find the entry."""

    def compare(direction: Array) -> tuple[float, float, float]:
        # Each gradient's own rounding, and that of adding up size products.
        roundings = error + grad.size * np.abs(grad)
        allowed = float((roundings * np.abs(direction)).sum())
        found = float((grad * direction).sum())
        if analytic:
            # Derivative and gradient add the same terms, and each rounds so much.
            return complex_step(loss, x, direction), found, 2 * EPS * allowed
        differences = ridders(loss, x, direction)
        coarse = RIDDERS_BOUND * (allowed + abs(float(loss(x))))
        if twin_loss and abs(differences - found) > coarse:
            # A kink nearer than the smallest step deceives the twin's differences, too.
            exact = complex_step(twin_loss, x, direction)
            if abs(ridders(twin_loss, x, direction) - exact) > coarse:
                differences = exact
        return differences, found, coarse

    worst = Block(name, 0.0, 0.0)
    for _ in range(DIRECTIONS):
        expected, found, bound = compare(rng.standard_normal(x.shape))
        block = Block(name, abs(expected - found), bound)
        if not block.error <= block.bound:
            return block._replace(fault=_locate(name, compare, grad, batch))
        worst = max(worst, block, key=lambda b: b.ratio)
    return worst


def _locate(
    name: str,
    compare: Callable[[Array], tuple[float, float, float]],
    grad: Array,
    batch: int,
) -> str:
    """Where the gradient is wrong most, both values, and what it looks like."""
    expected, excess = np.empty_like(grad), np.empty_like(grad)
    for index in np.ndindex(grad.shape):
        direction = np.zeros_like(grad)
        direction[index] = 1
        expected[index], found, bound = compare(direction)
        excess[index] = abs(expected[index] - found) / bound if bound else 0
        if bound == 0 and expected[index] != found:
            excess[index] = np.inf
    index = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), grad.shape)
    place = f"{name}[{', '.join(map(str, index))}]" if grad.ndim else name
    mistake = likely_mistake([Case(grad, expected, {str(batch): batch})])
    return (
        f"{place}: backward says {grad[index]:.10g}, the derivative is "
        f"{expected[index]:.10g}{'; ' * bool(mistake)}{mistake}"
    )


def _fault_of_form(grad: Array, again: Array, x: Any, given: Any) -> str:
    """What is wrong with a gradient before its values are looked at."""
    if grad.shape != np.shape(x):
        return f"the gradient has shape {grad.shape}, its argument {np.shape(x)}"
    if not np.array_equal(x, given):
        return "forward or backward changed its input"
    if grad.tobytes() != again.tobytes():
        return "a second call of backward gave another gradient"
    return ""


def _rounding_errors(
    forward: Function, backward: Function, dy: Any, args: Sequence[Any]
) -> list[Array | None]:
    """Of each gradient the rounding errors in units of EPS; None if not tracked."""
    try:
        grads = _tuple(backward(_map(Tracked, dy), *_on_arrays(Tracked, args)))
    except (TypeError, AttributeError, ValueError):
        return [None] * len(args)
    return [g.error if isinstance(g, Tracked) else None for g in grads]


def _guessed_error(grads: Sequence[Any], x: Array) -> Array:
    """Where rounding is not tracked: a hundred roundings of the largest gradient."""
    largest = max(np.abs(g).max(initial=0) for g in grads if g is not None)
    return np.full(x.shape, 100 * largest)


def _is_analytic(
    forward: Function, args: Sequence[Any], dy: Any, rng: np.random.Generator
) -> bool:
    """Whether the complex step goes through `forward` and gives its derivative.

    An `abs` or a `clip` inside would cut it off. So it is held against differences
    once, along a direction of all arguments; at up to three places near `args`, lest a
    kink there be taken for such a cut.
    """
    if not _takes_complex(forward, args):
        return False
    for _ in range(3):
        place = _on_arrays(lambda x: x + 1e-3 * rng.standard_normal(x.shape), args)
        steps = _on_arrays(lambda x: rng.standard_normal(x.shape), args)

        def loss(t: Array, place: Any = place, steps: Any = steps) -> Any:
            moved = [
                at + t * step if isinstance(arg, np.ndarray) else arg
                for arg, at, step in zip(args, place, steps, strict=True)
            ]
            return _dot(dy, forward(*moved))

        zero, one = np.zeros(()), np.ones(())
        differences = ridders(loss, zero, one)
        size = abs(differences) + abs(float(loss(zero)))
        if abs(complex_step(loss, zero, one) - differences) <= 1e-6 * size:
            return True
    return False


def _takes_complex(forward: Function, args: Sequence[Any]) -> bool:
    """Whether complex arguments come out complex."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ComplexWarning)
            return all(np.iscomplexobj(y) for y in _tuple(forward(*_complex(args))))
    except (TypeError, ValueError, ComplexWarning):
        return False


def _complex(args: Sequence[Any]) -> list[Any]:
    """The arguments, arrays made complex."""
    return _on_arrays(lambda x: x.astype(complex), args)


def _on_arrays(function: Function, args: Sequence[Any]) -> list[Any]:
    """The function's values for arrays; anything else as it is."""
    return [function(arg) if isinstance(arg, np.ndarray) else arg for arg in args]


def _as_float(name: str, arg: Any) -> Any:
    """An array or a float as an array of float64; anything else as it is."""
    if not isinstance(arg, float | np.floating | np.ndarray):
        return arg
    expect_numbers(name, arg, finite=True)
    return np.asarray(arg, float)


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def _map(function: Callable[[Any], Any], x: Any) -> Any:
    return tuple(map(function, x)) if isinstance(x, tuple | list) else function(x)


def _dot(dy: Any, y: Any) -> Any:
    """The sum of dy * y over all outputs."""
    return sum((d * part).sum() for d, part in zip(_tuple(dy), _tuple(y), strict=True))
