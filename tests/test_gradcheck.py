"""`gradcheck`: right pairs pass, wrong ones are told how they are wrong."""

from typing import Any

import numpy as np
import pytest

from numpyvae import gradcheck
from numpyvae.checking.gradcheck import check
from numpyvae.errors import ArgumentError, expect_function
from numpyvae.kernels import dense as kernels
from numpyvae.pairs.activations import RELU, TANH
from numpyvae.pairs.dense import dense_backward, dense_forward
from numpyvae.pairs.kl import kl_backward, kl_forward

RNG = np.random.default_rng(0)
X, W, B = (
    RNG.standard_normal((5, 3)),
    RNG.standard_normal((3, 3)),
    RNG.standard_normal(3),
)


def forward(x: Any, W: Any, b: Any) -> Any:
    return TANH.forward(dense_forward(x, W, b))


def backward(dy: Any, x: Any, W: Any, b: Any) -> Any:
    y = forward(x, W, b)
    return dense_backward(TANH.backward(dy, y, y), x, W)


def test_a_right_pair() -> None:
    report = gradcheck(forward, backward, X, W, B, names=("x", "W", "b"))
    assert report and report.ok
    assert [block.name for block in report.blocks] == ["x", "W", "b"]
    assert all(0 <= block.ratio <= 1 for block in report.blocks)
    assert str(report).count("right") == 3 and "complex step" in str(report)


def spoilt(spoil: Any) -> Any:
    """The right backward with its dW spoilt."""

    def wrong(dy: Any, x: Any, W: Any, b: Any) -> Any:
        dx, dW, db = backward(dy, x, W, b)
        return dx, spoil(dW), db

    return wrong


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda dW: -dW, "the ratio is -1 everywhere: the sign is flipped"),
        (lambda dW: 2 * dW, "twice too large: a 1/2 is lost"),
        (lambda dW: dW / 2, "half of it"),
        (lambda dW: 5 * dW, "a sum over 5 where a mean belongs"),
        (lambda dW: dW / 5, "a mean over 5 where a sum belongs"),
        (lambda dW: 3.25 * dW, "the ratio is 3.25 everywhere"),
        (lambda dW: dW.T, "it is the transpose"),
        (lambda dW: dW[:2], "shape (2, 3), its argument (3, 3)"),
        (lambda dW: dW + (np.arange(9).reshape(3, 3) == 5), "W[1, 2]: backward says"),
        (lambda dW: dW * np.nan, "backward says nan"),
        (lambda dW: 0 * dW, "backward says 0"),
        (lambda dW: dW * (1 + 1e-12), "the ratio is 1 everywhere"),
        (lambda dW: dW + 1e-12, "backward says"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_told_how(spoil: Any, words: str) -> None:
    report = gradcheck(forward, spoilt(spoil), X, W, B, names=("x", "W", "b"))
    assert not report
    assert [bool(block.fault) for block in report.blocks] == [False, True, False]
    assert words in report.blocks[1].fault
    assert "WRONG" in str(report)


def test_both_values_are_given() -> None:
    report = gradcheck(lambda x: x * x, lambda dy, x: dy * x, np.array([3.0]))
    dy = np.random.default_rng(0).standard_normal(1)[0]
    assert f"says {3 * dy:.10g}, the derivative is {6 * dy:.10g}" in str(report)


def test_backward_must_be_pure() -> None:
    def changes(dy: Any, x: Any) -> Any:
        x += 1e-3
        return 2 * dy * x

    def forgets(dy: Any, x: Any, count: list[int] = [0]) -> Any:  # noqa: B006 (the fault)
        count[0] += 1
        return 2 * dy * x * count[0]

    assert "changed its input" in str(gradcheck(lambda x: x * x, changes, X.copy()))
    assert "second call" in str(gradcheck(lambda x: x * x, forgets, X))

    def loses(dy: Any, x: Any, calls: list[int] = [0]) -> Any:  # noqa: B006
        calls[0] += 1
        return (2 * dy * x,)[: calls[0] % 2]

    assert "second call" in str(gradcheck(lambda x: x * x, loses, X))


def test_several_outputs_scalars_and_what_is_no_array() -> None:
    def forward(x: Any, scale: float, how: str, mask: Any) -> Any:
        assert how == "both"
        return scale * x, (x * x).sum()

    def backward(dy: Any, x: Any, scale: float, how: str, mask: Any) -> Any:
        dfirst, dsecond = dy
        return scale * dfirst + 2 * dsecond * x, (dfirst * x).sum()

    assert gradcheck(forward, backward, X, 1.5, "both", np.ones(2))
    none_first = gradcheck(
        forward, lambda dy, *a: (None, backward(dy, *a)[1]), X, 1.5, "both", 0
    )
    assert none_first and [b.name for b in none_first.blocks] == ["argument 1"]


def test_more_gradients_than_arguments() -> None:
    with pytest.raises(ArgumentError, match="found 2 gradients, expected at most 1"):
        gradcheck(lambda x: x, lambda dy, x: (dy, dy), X)


def test_what_is_not_a_number_is_a_wrong_gradient() -> None:
    report = gradcheck(lambda x: x * np.nan, lambda dy, x: dy, X)
    assert "the derivative is nan" in str(report) and not report


def test_a_function_that_does_not_tell_its_arguments_is_taken_at_its_word() -> None:
    expect_function("forward", min, 5)


def real_buffer(x: Any) -> Any:
    buffer = np.empty(x.shape)
    buffer[...] = x
    return buffer


def clip(x: Any) -> Any:
    return np.clip(x, -9, 9)


@pytest.mark.parametrize("cut", [np.abs, clip, np.square, real_buffer])
def test_code_that_cuts_the_complex_step_off_is_differenced(cut: Any) -> None:
    """|cut(x)|, which has no complex derivative, or loses it on the way."""

    def forward(x: Any) -> Any:
        return np.abs(cut(x))

    def backward(dy: Any, x: Any) -> Any:
        return dy * 2 * x if cut is np.square else dy * np.sign(x)

    assert gradcheck(forward, backward, X)
    assert not gradcheck(forward, lambda dy, x: backward(dy, x) * (1 + 1e-6), X)


def test_a_smooth_forward_with_a_cut_inside() -> None:
    """The complex step sees x + |x| as x alone; differences put it right."""

    def forward(x: Any) -> Any:
        return x * np.clip(x.real, 0, None)

    def backward(dy: Any, x: Any) -> Any:
        return 2 * dy * np.where(x > 0, x, 0)

    for x in (X, np.array(2.0), 2.0):
        assert gradcheck(forward, backward, x)
        assert not gradcheck(forward, lambda dy, x: dy * np.where(x > 0, x, 0), x)


def test_compiled_code_with_its_twin() -> None:
    def compiled(x: Any, W: Any, b: Any) -> Any:
        a = kernels.dense_forward(x, W, b)
        return kernels.activation_forward(RELU, a, a)

    def reference(x: Any, W: Any, b: Any) -> Any:
        return RELU.forward(dense_forward(x, W, b))

    def its_backward(dy: Any, x: Any, W: Any, b: Any) -> Any:
        y = compiled(x, W, b)
        da = kernels.activation_backward(RELU, dy, y, y)
        return kernels.dense_backward(da, x, W)

    def their_backward(dy: Any, x: Any, W: Any, b: Any) -> Any:
        y = reference(x, W, b)
        return dense_backward(RELU.backward(dy, y, y), x, W)

    twin = reference, their_backward
    args = (
        X,
        W,
        B - X[0] @ W + 1e-9,
    )  # the first image's units lie next to their kinks
    assert check(compiled, its_backward, args, None, RNG, twin)
    wrong = [
        lambda *a: tuple(g * (1 + 1e-6) for g in its_backward(*a)),
        lambda *a: (its_backward(*a)[0], *(g + 1e-4 for g in its_backward(*a)[1:])),
    ]
    for fault in wrong:
        assert not check(compiled, fault, args, None, RNG, twin)


def test_the_criterion_follows_the_condition() -> None:
    """What cancels rightly loses digits, where a relative tolerance cries wolf."""

    def forward(x: Any, big: float) -> Any:
        return big * x - (big - 1) * x

    def backward(dy: Any, x: Any, big: float) -> Any:
        return big * dy - (big - 1) * dy

    assert gradcheck(forward, backward, X, 1e9)


def test_kl_signs_of_the_wild() -> None:
    """dKL/dmu = -mu, as in two published repositories."""
    mu, logvar = X, X[::-1].copy()
    assert gradcheck(kl_forward, kl_backward, mu, logvar)

    def wrong(dkl: Any, mu: Any, logvar: Any) -> Any:
        return -dkl[:, None] * mu, kl_backward(dkl, mu, logvar)[1]

    report = gradcheck(kl_forward, wrong, mu, logvar, names=("mu", "logvar"))
    assert "mu" in report.blocks[0].fault and "sign" in report.blocks[0].fault
    assert not report.blocks[1].fault
