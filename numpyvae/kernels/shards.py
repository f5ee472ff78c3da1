"""How images and parameters are shared out: in nearly equal parts that follow on."""

from .jit import jit


@jit
def part(n, s, S):
    """The s-th of S nearly equal parts of range(n): where it begins and ends."""
    return n * s // S, n * (s + 1) // S
