"""Solution 03 · A difference of four values, and a whole gradient by the complex step.

1. D(h) = f' + c h² + O(h⁴), so D(2h) = f' + 4 c h² + O(h⁴), and c goes away in

    (4 D(h) - D(2h)) / 3 = [ 8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h)) ] / 12h.

2. The next term of D(h) is f⁽⁵⁾ h⁴ / 120, so there remains (4 - 16) / 3 of it:
-h⁴ f⁽⁵⁾ / 30. Each f is off by delta at most, which makes 8 + 8 + 1 + 1 = 18 delta over
12h, or 3 delta / 2h. The sum's derivative vanishes:

    4 h³ M / 30 - 3 delta / 2h² = 0,   h⁵ = 45 delta / 4M.

With delta = 1e-16 and M = 1 the step is a thousandth and the error about 2e-13: the
exponent of delta, 2/3 for the central difference, is now 4/5.

3. An imaginary step for one entry after the other (3.7). The copy is made once, and
the entry put back after its turn.
"""

import numpy as np


def five_point(f, x, h):
    near, far = f(x + h) - f(x - h), f(x + 2 * h) - f(x - 2 * h)
    slope = (8 * near - far) / (12 * h)
    return slope


def best_step(delta, M):
    h = (45 * delta / (4 * M)) ** (1 / 5)
    return h


def gradient(loss, x):
    step, h = np.array(x, complex), 2.0**-100
    dx = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        step[index] += 1j * h
        dx[index] = loss(step).imag / h
        step[index] = x[index]
    return dx


def draw_five_point(rng):
    powers = rng.normal(size=7)

    def f(x):
        return np.exp(powers[0] * x) + np.polyval(powers, x)

    return f, rng.normal(), 0.1


def draw_best_step(rng):
    return 2.0**-53 * np.exp(rng.normal()), np.exp(rng.normal())


def draw_gradient(rng, B, Z):
    weights = rng.normal(size=(B, Z))

    def loss(x):
        return (weights * np.tanh(x) ** 2).sum() + x[0, 0] * x[-1, -1]

    return loss, rng.normal(size=(B, Z))


EXERCISES = {
    five_point: draw_five_point,
    best_step: draw_best_step,
    gradient: draw_gradient,
}
