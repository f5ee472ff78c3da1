"""Exercise 15 · Rényi's bounds.

Between the ELBO and the importance-weighted bound lies a family of bounds (Li and
Turner 2016), one for each alpha with 0 <= alpha < 1:

    loss_i = -1 / (1 - alpha) · log of the mean over k of w_ik^(1 - alpha).

At alpha = 0 it is (15.3); towards alpha = 1 it becomes the mean of -log w_ik.

Write it from logs = log w, finite where log w is -1000, and its gradient for logs.

Shapes: logs, dlogs (B, K); loss, dloss (B,); alpha a number.

Hint: what is the logarithm of w^(1 - alpha)? Then do as (15.3) and (15.4) do, and
watch what becomes of the factor in front.

Check it with: numpyvae check 15
"""

import numpy as np


def renyi(logs, alpha):
    """The loss of each image -> loss."""
    raise NotImplementedError


def renyi_backward(dloss, logs, alpha):
    """The gradient for logs -> dlogs."""
    raise NotImplementedError
