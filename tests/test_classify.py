"""The softmax pair, the classifier at its minimum, and who sees which labels."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import TEST, tiny, write_idx
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from small_runs import train_runs

from numpyvae.analysis import classify
from numpyvae.analysis.classify import (
    FOLDS,
    TOLERANCE,
    Classifier,
    Scale,
    choose_decay,
    draw_balanced,
    fit,
    loss_and_gradient,
    softmax_backward,
    softmax_forward,
)
from numpyvae.cli import parser as cli
from numpyvae.cli.commands import classification
from numpyvae.cli.commands.classification import errors_of_draws
from numpyvae.errors import ArgumentError

FLOATS = (np.float32, np.float64)
each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])


def labels_for(noise: Array, classes: int) -> Any:
    """Some labels (B,) from noise (B,)."""
    return (np.abs(noise.real) * 1000).astype(int) % classes


def naive(logits: Array, labels: Array) -> tuple[Array, Array]:
    """nll and p in loops; for logits that exp can take."""
    nll, p = np.zeros(len(logits)), np.zeros(logits.shape)
    for i, row in enumerate(logits):
        total = sum(math.exp(float(a)) for a in row)
        for c, a in enumerate(row):
            p[i, c] = math.exp(float(a)) / total
        nll[i] = -math.log(p[i, labels[i]])
    return nll, p


@given(drawn("BC B", FLOATS))
def test_forward_is_the_oracle(arrays: list[Array]) -> None:
    logits, noise = arrays
    labels = labels_for(noise, logits.shape[1])
    for name, got, want in zip(
        ("nll", "p"),
        softmax_forward(logits, labels),
        naive(logits, labels),
        strict=True,
    ):
        assert got.dtype == logits.dtype
        assert_rounded(name, got, want)


@each_method
@given(drawn("BC B B"))
def test_backward_is_the_slope(method: Method, arrays: list[Array]) -> None:
    logits, noise, dnll = arrays
    labels = labels_for(noise, logits.shape[1])
    dlogits = softmax_backward(dnll, softmax_forward(logits, labels)[1], labels)

    def nll_of(logits: Array) -> Array:
        return softmax_forward(logits, labels)[0]

    check_gradients(method, nll_of, {"logits": logits}, dnll, {"logits": dlogits})


@given(drawn("BC B B", (*FLOATS, np.complex128)))
def test_the_pair_is_pure(arrays: list[Array]) -> None:
    logits, noise, dnll = arrays
    labels = labels_for(noise, logits.shape[1])
    check_pure(softmax_forward, logits, labels)
    check_pure(softmax_backward, dnll, softmax_forward(logits, labels)[1], labels)


@given(drawn("BC B"))
def test_p_is_a_distribution_that_a_constant_does_not_move(arrays: list[Array]) -> None:
    logits, noise = arrays
    labels = labels_for(noise, logits.shape[1])
    nll, p = softmax_forward(logits, labels)
    assert (p >= 0).all()
    assert_rounded("sums", p.sum(axis=1), np.ones(len(p)))
    for got, want in zip(softmax_forward(logits + 64, labels), (nll, p), strict=True):
        assert_rounded("shifted", got, want, steps=64)


@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_logits_overflow_nowhere(dtype: type) -> None:
    logits = np.array([[1e30, -1e30, 0.0]] * 3, dtype)
    nll, p = softmax_forward(logits, np.arange(3))
    assert_rounded("nll", nll / dtype(1e30), np.array([0.0, 2.0, 1.0]))
    assert np.array_equal(p, [[1, 0, 0]] * 3)


# ---- The classifier ------------------------------------------------------------------


@given(drawn("BN B NC C"))
def test_the_gradient_of_the_loss(arrays: list[Array]) -> None:
    x, noise, W, b = arrays
    labels = labels_for(noise, len(b))
    _, grads = loss_and_gradient(Classifier(W, b), x, labels, 0.3)

    def loss_of(W: Array, b: Array) -> Array:
        return np.array(loss_and_gradient(Classifier(W, b), x, labels, 0.3)[0])

    arguments = {"W": W, "b": b}
    one = np.ones(())
    check_gradients(COMPLEX, loss_of, arguments, one, grads._asdict())


def clouds(rng: np.random.Generator, each: int, features: int) -> tuple[Array, Array]:
    """Three clouds 6 deviations apart, and their labels."""
    labels = np.repeat(np.arange(3), each)
    centres = 6 / math.sqrt(2) * np.eye(3, features)
    return centres[labels] + rng.standard_normal((3 * each, features)), labels


@pytest.mark.parametrize("features", [4, 90], ids=["N < B", "N > B"])
def test_it_separates_what_is_separable(
    rng: np.random.Generator, features: int
) -> None:
    x, labels = clouds(rng, 15, features)
    assert fit(x, labels, 3, 1e-3).errors(x, labels) == 0
    unseen, theirs = clouds(rng, 200, 4)
    x, labels = clouds(rng, 15, 4)
    assert fit(x, labels, 3, 1e-2).errors(unseen, theirs) < 0.03 * len(unseen)


@pytest.mark.parametrize("decay", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("features", [4, 90], ids=["N < B", "N > B"])
def test_the_gradient_vanishes_at_the_minimum(
    rng: np.random.Generator, features: int, decay: float
) -> None:
    x, labels = clouds(rng, 15, features)
    best = fit(x, labels, 3, decay)
    loss, grads = loss_and_gradient(best, x, labels, decay)
    assert np.linalg.norm(np.vstack(grads)) <= 1.01 * TOLERANCE
    for _ in range(20):
        W = best.W + 0.01 * rng.standard_normal(best.W.shape)
        b = best.b + 0.01 * rng.standard_normal(3)
        assert loss_and_gradient(Classifier(W, b), x, labels, decay)[0] > loss


def test_a_fit_is_the_same_bits_again(rng: np.random.Generator) -> None:
    x, labels = clouds(rng, 10, 5)
    assert np.array_equal(fit(x, labels, 3, 0.1).W, fit(x, labels, 3, 0.1).W)


def test_a_decay_must_be_positive(rng: np.random.Generator) -> None:
    x, labels = clouds(rng, 10, 5)
    with pytest.raises(Exception, match="decay: found 0, expected a positive number"):
        fit(x, labels, 3, 0)


def test_the_curvature_has_its_bound(rng: np.random.Generator) -> None:
    """Eq. 12.12 along random directions; attained for two classes at p = 1/2."""
    x, labels = clouds(rng, 5, 4)
    bound = np.linalg.norm(np.hstack([x, np.ones((15, 1))]), 2) ** 2 / 30 + 0.1
    h = 1e-3
    for _ in range(50):
        v, at = rng.standard_normal((2, 5, 3))
        v /= np.linalg.norm(v)

        def loss(t: float, at: Array = at, v: Array = v) -> float:
            W = at + t * v
            return loss_and_gradient(Classifier(W[:4], W[4]), x, labels, 0.1)[0]

        curvature = (loss(h) - 2 * loss(0) + loss(-h)) / h**2
        assert 0 <= curvature <= bound
    slopes = [
        softmax_backward(np.ones(1), softmax_forward(t * v, np.zeros(1, int))[1], [0])
        for v in [np.array([[1.0, -1.0]]) / math.sqrt(2)]
        for t in (-1e-4, 1e-4)
    ]
    along = (slopes[1] - slopes[0]) @ np.array([1.0, -1.0]) / math.sqrt(2) / 2e-4
    assert along[0] == pytest.approx(1 / 2, rel=1e-6)


# ---- Who sees which labels -----------------------------------------------------------


def test_cross_validation_smooths_noise_and_trusts_signal(
    rng: np.random.Generator,
) -> None:
    x, labels = clouds(rng, 20, 10)
    assert choose_decay(x, labels, 3, [1e-2, 10.0]) == 1e-2
    assert choose_decay(x, rng.permutation(labels), 3, [1e-2, 10.0]) == 10.0


def test_no_fold_is_fitted_with_what_it_is_judged_by(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels = clouds(rng, 7, 2)
    x[:, 0] = np.arange(21)  # says which image it is
    fitted: list[set[float]] = []
    judged: list[set[float]] = []
    real = Classifier.logits

    def spied_fit(x: Array, *others: Any) -> Classifier:
        fitted.append(set(x[:, 0]))
        assert sorted(set(others[0])) == [0, 1, 2]
        return Classifier(np.zeros((2, 3)), np.zeros(3))

    def spied_logits(self: Classifier, x: Array) -> Array:
        judged.append(set(x[:, 0]))
        return real(self, x)

    monkeypatch.setattr(classify, "fit", spied_fit)
    monkeypatch.setattr(Classifier, "logits", spied_logits)
    choose_decay(x, labels, 3, [1.0])
    assert len(fitted) == len(judged) == FOLDS
    assert all(
        not a & b and len(a | b) == 21 for a, b in zip(fitted, judged, strict=True)
    )
    assert set().union(*judged) == set(range(21))
    assert sum(map(len, judged)) == 21


def test_cross_validation_needs_two_of_each_class() -> None:
    with pytest.raises(Exception, match="labels of each class: found 1, expected"):
        choose_decay(np.zeros((3, 2)), np.array([0, 0, 1]), 2)


def test_a_draw_is_balanced_and_drawn_anew(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 4, 500)
    one, other = (draw_balanced(labels, 40, 4, rng) for _ in range(2))
    for rows in (one, other):
        assert len(set(rows.tolist())) == 40
        assert np.bincount(labels[rows]).tolist() == [10] * 4
    assert set(one.tolist()) != set(other.tolist())


def test_the_scale_is_one_for_all(rng: np.random.Generator) -> None:
    x = rng.standard_normal((1000, 3)) * [1, 2, 0] + 5
    y = Scale.of(x)(x)
    assert y.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    assert y.var(axis=0).mean() == pytest.approx(1)
    assert y[:, 1].std() / y[:, 0].std() == pytest.approx(2, rel=0.1)
    assert np.array_equal(Scale.of(np.ones((4, 2)))(np.ones((4, 2))), np.zeros((4, 2)))


def test_nothing_is_chosen_by_the_test_labels(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny()
    features = [rng.standard_normal((n, 4)) for n in (len(data.train_images), TEST)]
    calls: list[list[Any]] = [[], []]
    for seen, labels in zip(
        calls, (data.test_labels, 2 - data.test_labels), strict=True
    ):

        def spied(x: Array, *others: Any, seen: list[Any] = seen) -> Classifier:
            found = fit(x, *others)
            seen.append((others[-1], x.tobytes(), found.W.tobytes()))
            return found

        monkeypatch.setattr(classification, "fit", spied)
        errors_of_draws(features, [data.train_labels, labels], 12, 4, 0)
    assert calls[0] == calls[1]
    assert len(calls[0]) == 4


# ---- The command ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = {"plain": "--epochs 1", "told": "--epochs 1 --conditional"}
    return train_runs(tmp_path_factory.mktemp("classify"), runs)


def test_it_prints_a_line_each_and_a_finding(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for seed in (0, 0):
        options = f"--labels 12 --draws 2 --seed {seed}"
        assert cli.main(f"classify {made / 'plain'} {options}".split()) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    lines = printed[0].splitlines()
    assert lines[0] == (
        "12 labels of 300 training images of three, 4 of each class; 2 draws, seed 0"
    )
    assert lines[2] == "raw pixels        0.00 %, deviation 0.00"  # three clear shapes
    assert lines[3].startswith("mu,    3 latents ")
    assert "of 2 draws" in lines[-1]
    assert "published" not in printed[0]


@pytest.mark.parametrize("labels", [0, 3, 13, 999])
def test_labels_that_can_not_be_drawn_are_refused(
    made: Path, labels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(f"classify {made / 'plain'} --labels {labels}".split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"found {labels}, expected" in line


def test_the_classes_are_the_labels_that_occur(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, apart = tiny(), np.array([3, 200, 77], np.uint8)
    train_labels, test_labels = apart[data.train_labels], apart[data.test_labels]
    spaced = replace(data, train_labels=train_labels, test_labels=test_labels)
    printed = []
    for name, part in (("three", data), ("spaced", spaced)):
        source, run = write_idx(tmp_path / name, part), tmp_path / f"run-{name}"
        train = f"train --data idx --data-dir {source} --hidden 16 --epochs 1"
        assert cli.main(f"{train} --latent 3 --lr 0.01 --out {run}".split()) == 0
        capsys.readouterr()
        assert cli.main(f"classify {run} --labels 12 --draws 2".split()) == 0
        printed.append(capsys.readouterr().out)
    assert "4 of each class" in printed[1]
    assert printed[1].split()[-20:] == printed[0].split()[-20:]


def test_a_label_of_test_images_alone_is_always_an_error() -> None:
    known = classification.expect_classes(np.array([5, 9, 5, 9, 7, 7]), 6)
    assert known.tolist() == [5, 7, 9]
    found = classification.class_of(np.array([9, 5, 8, 200, 0, 7]), known)
    assert found.tolist() == [2, 0, 3, 3, 3, 1]
    with pytest.raises(ArgumentError, match="one training image of the label 7, exp"):
        classification.expect_classes(np.array([5, 9, 5, 9, 7]), 6)


def test_a_model_that_has_seen_labels_is_refused(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["classify", str(made / "told")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "found a conditional model, expected one that has seen no labels" in line


def test_the_finding_counts_wins() -> None:
    codes, pixels = np.array([10.0, 20.0, 30.0]), np.array([11.0, 20.0, 35.0])
    assert classification.finding(codes, pixels) == (
        "mu beat the pixels in 2 of 3 draws, 1 even: 2.00 points of error less on "
        "average"
    )
