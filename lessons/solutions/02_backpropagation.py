"""Solution 02 · A residual layer, and layer normalisation.

1. With h = tanh(a), a = x W + b, the loss changes by sum ȳ (dx + dh). The second part
is a dense layer's (2.2 to 2.5) with the upstream gradient ȳ; the first adds ȳ to x̄:

    ā = ȳ (1 - h²),   x̄ = ȳ + ā W^T,   W̄ = x^T ā,   b̄ = sum over i of ā_i.

2. One row at a time, <·> its mean over the Z entries. c = x - m, y = c / s,
s² = <c²> + 1e-5. The differentials:

    dm = <dx>,   dc = dx - <dx>,   s ds = <c dc> = <c dx>   (<c> = 0 takes dm away),
    dy = dc / s - c ds / s² = (dx - <dx> - y <y dx>) / s,

for c / s = y, and ds / s = <c dx> / s² = <y dx> / s. Put it into dL = sum_k ȳ_k dy_k.
A sum of ȳ_k times a mean of dx is a mean of ȳ times the sum of dx, and so

    dL = sum_k [ ȳ_k - <ȳ> - y_k <ȳ y> ] dx_k / s
    x̄ = (ȳ - <ȳ> - y <ȳ y>) / s.

It takes from ȳ its mean and its part along y: a shift or a stretch of x changes
nothing, so the gradient has nothing to say about them (but for the 1e-5).
"""

import numpy as np


def residual_backward(dy, x, W, b):
    h = np.tanh(x @ W + b)
    da = dy * (1 - h**2)
    dx = dy + da @ W.T
    dW = x.T @ da
    db = da.sum(axis=0)
    return dx, dW, db


def layer_norm_backward(dy, x):
    centred = x - x.mean(axis=1, keepdims=True)
    s = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    y = centred / s
    along = (dy * y).mean(axis=1, keepdims=True)
    dx = (dy - dy.mean(axis=1, keepdims=True) - y * along) / s
    return dx


def draw_residual(rng, B, Z):
    x, W, b = rng.normal(size=(B, Z)), rng.normal(size=(Z, Z)), rng.normal(size=Z)
    return rng.normal(size=(B, Z)), x, W / np.sqrt(Z), b


def draw_layer_norm(rng, B, Z):
    return rng.normal(size=(B, Z)), 2 * rng.normal(size=(B, Z)) + 1


EXERCISES = {residual_backward: draw_residual, layer_norm_backward: draw_layer_norm}
