"""The two ways to a derivative, on functions whose derivative is known."""

from typing import Any

import numpy as np
import pytest

from numpyvae.checking.derivative import complex_step, ridders


def test_a_smooth_function() -> None:
    x, v = np.array([0.3, -1.2]), np.array([1.0, 2.0])

    def loss(x: Any) -> Any:
        return np.exp(x).sum() + (x * x * x).sum()

    truth = (np.exp(x) + 3 * x * x) @ v
    assert complex_step(loss, x, v) == pytest.approx(truth, rel=1e-15)
    assert ridders(loss, x, v) == pytest.approx(truth, rel=1e-11)


@pytest.mark.parametrize("distance", [0.5, 0.05, 5e-3, 5e-4])
def test_ridders_steps_aside_from_a_kink(distance: float) -> None:
    """|x - kink| seen from the left, smooth up to the kink."""
    slope = ridders(lambda x: np.abs(x - distance) + x * x, np.zeros(()), np.ones(()))
    assert slope == pytest.approx(-1, abs=1e-10)
