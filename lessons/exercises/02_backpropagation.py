"""Exercise 02 · A residual layer, and layer normalisation.

Two backward passes, from the rule of (2.0): write the change of y in terms of that of
x, put it into the change of L, and collect what stands before the change of x.

1. A residual layer, y = x + tanh(x W + b). W is square.
2. Layer normalisation of each row of x: m its mean over the Z columns, s the root of
   the mean of (x - m)² plus 1e-5, and y = (x - m) / s. No scale, no shift.

Shapes: x, y, dy, dx (B, Z); W, dW (Z, Z); b, db (Z,).

Hints: in 1, x is used twice. In 2, every y of a row depends on every x of that row,
through m and through s. Begin with ds: s² = mean (x - m)² + 1e-5, so
2 s ds = 2 mean[(x - m)(dx - dm)], and the mean of (x - m) dm is zero. Three terms.

Check it with: numpyvae check 2
"""

import numpy as np


def layer_norm(x):
    """y = (x - m) / s, row by row -> y."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def residual_backward(dy, x, W, b):
    """Gradients of y = x + tanh(x W + b) -> (dx, dW, db)."""
    raise NotImplementedError


def layer_norm_backward(dy, x):
    """The gradient of layer_norm -> dx."""
    raise NotImplementedError
