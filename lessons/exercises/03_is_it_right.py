"""Exercise 03 · A difference of four values, and a whole gradient by the complex step.

1. From D(h) = (f(x + h) - f(x - h)) / 2h and D(2h), make the difference whose error has
   no h² any more, as in (3.5).
2. Its error is at most h⁴ M / 30 + 3 delta / 2h, where M is the largest |fifth
   derivative| and delta how far off a computed f is. (Derive both terms, if you like.)
   Find the best step h.
3. By the complex step, the derivative of a loss for every entry of x. `loss` takes an
   array of the shape of x, of any number of axes, and returns one number.

Hints: in 2, a minimum is where the derivative is zero, as in (3.4). In 3, `np.ndindex`
walks over all entries, and np.array(x, complex) is a copy of x that takes a step ih.

Check it with: numpyvae check 3
"""

import numpy as np


def five_point(f, x, h):
    """f' at x, from f(x + h), f(x - h), f(x + 2h) and f(x - 2h) -> slope."""
    raise NotImplementedError


def best_step(delta, M):
    """The step at which five_point's bound is least -> h."""
    raise NotImplementedError


def gradient(loss, x):
    """The gradient of loss at x, of the shape of x -> dx."""
    raise NotImplementedError
