"""Exercise 16 · The loss of images that are lists.

A binary image of D pixels is given as the list of its active pixels: image i has the
pixels columns[starts[i]:starts[i + 1]] set and all others zero. From the logits of
its pixels compute the loss of each image (16.8), the gradient for the logits, and the
weight gradient of a first layer (16.7). Build no array of zeros and ones.

Shapes: logits, dlogits (B, D); nll, dnll (B,); da (B, M); dW (D, M); columns (total,)
of whole numbers, starts (B + 1,). An image may have no active pixel at all.

Hint: for the sum over all pixels, np.logaddexp(0, logits) is log(1 + exp l) without
overflow. For the gradient, what does (11.3) say where x = 0? And no image lists a
pixel twice, but many images list the same one: np.add.at adds them all.

Check it with: numpyvae check 16
"""

import numpy as np


def listed_forward(logits, columns, starts):
    """-log p(x|z) of each image, in nats -> nll."""
    raise NotImplementedError


def listed_backward(dnll, logits, columns, starts):
    """The gradient for the logits -> dlogits."""
    raise NotImplementedError


def listed_weights(da, columns, starts, D):
    """The weight gradient x^T da of a layer whose input the lists are -> dW."""
    raise NotImplementedError
