"""Exercise 11 · The Laplace likelihood, and its best scale.

A pixel with the mean m and the scale b = exp(s) has the Laplace density

    p(x) = exp(-|x - m| / b) / (2 b).

It is to the absolute error what the Gaussian is to the squared one. Let all pixels of
all images share one s, a parameter that is learned, like the logvar of (11.7).

Write -log p(x|z) of each image in nats, its gradients for m and s, and the s at which
the mean over the batch is smallest, for given m and x.

Shapes: m, x, dm (B, D); s, ds (1,); nll, dnll (B,); the best s is a number.

Hint: |x - m| has the slope -1 or +1 in m. For the best s, put what you found for ds
to zero with all dnll equal, as the lesson does with (11.9).

Check it with: numpyvae check 11
"""

import numpy as np


def laplace(m, s, x):
    """-log of the Laplace density of each image -> nll."""
    raise NotImplementedError


def laplace_backward(dnll, m, s, x):
    """Gradients for m and s -> (dm, ds)."""
    raise NotImplementedError


def best_s(m, x):
    """The s with the smallest mean nll -> s."""
    raise NotImplementedError
