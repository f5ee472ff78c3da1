"""Exercise 18 · One operation more for the tape, and a layer that travels.

The importance-weighted bound (15.3) needs y_i = log of the sum over k of exp(a_ik),
one number for each row. Write it so that no exponential overflows, and its pull: the
gradient for a, from that for y.

Then a dense layer of ours that stands behind a convolution. Its input is a map
(H, V, C) laid out in one row; PyTorch's map is (C, H, V), and its Linear.weight has
the outputs first. Carry the weights there and back.

Shapes: a, da (B, K); y, dy (B,); W (H V C, M); weight (M, C H V).

Hint: for the pull, write exp(a_ik - y_i): what do these add up to over k? For the
layer, reshape to four axes, move them, and reshape back.

Check it with: numpyvae check 18
"""

import numpy as np


def logsumexp_forward(a):
    """log sum exp of each row -> y."""
    raise NotImplementedError


def logsumexp_backward(dy, a):
    """The gradient for a -> da."""
    raise NotImplementedError


def to_torch(W, H, V):
    """Our W (H V C, M) as PyTorch's Linear.weight -> weight (M, C H V)."""
    raise NotImplementedError


def from_torch(weight, H, V):
    """PyTorch's Linear.weight as our W -> W (H V C, M)."""
    raise NotImplementedError
