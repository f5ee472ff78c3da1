"""Exercise 14 · A dilated convolution.

Its kernel's entries meet pixels that lie d apart, not side by side: with K = 3 and
d = 2 it covers 5 pixels with 3 weights. So it sees further and learns no more. For
d = 1 it is the convolution of the lesson.

Write the height of its map, the convolution without bias and activation, and its
gradients for the image and the kernel. Stride s and padding p are as in the lesson.

Shapes: x, dx (B, H, V, C); W, dW (K, K, C, M); y, dy (B, H', V', M), where H' and V'
are what your `dilated_size` says of H and V.

Hint: write down its T(x, W, y). Which one index changes in (14.3)? Then all the rest
follows as in the lesson, and so does the code: which pixels does the kernel's entry
(i, j) meet now?

Check it with: numpyvae check 14
"""

import numpy as np


def dilated_size(H, K, s, p, d):
    """The height (or width) of the map of an image of H, a whole number."""
    raise NotImplementedError


def dilated_forward(x, W, s, p, d):
    """The dilated convolution of x with W -> y."""
    raise NotImplementedError


def dilated_backward(dy, x, W, s, p, d):
    """Gradients for x and W -> (dx, dW)."""
    raise NotImplementedError
