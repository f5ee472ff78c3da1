"""A softmax classifier of features: what a few labels are worth on top of a model.

Its loss is convex: accelerated gradient descent reaches the one minimum, to the same
bits each time.

Shapes: B images, N features, C classes. Units: nats per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, expect_number, expect_whole
from ..pairs.dense import dense_backward_weights, dense_forward
from ..pairs.types import Array

DECAYS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # what cross-validation chooses from
FOLDS = 5  # of cross-validation; fewer where a class has fewer labels
TOLERANCE = 1e-5  # norm of the gradient at the minimum, where the loss is about 1
STEPS = 20_000  # at most; no fit has needed more than a tenth of them

Labels = NDArray[np.integer]


def softmax_forward(logits: Array, labels: Labels) -> tuple[Array, Array]:
    """-log p(label), and p, the softmax of the logits (Eq. 12.8, 12.9).

    Shapes: logits (B, C), labels (B,) -> nll (B,), p (B, C).
    """
    rows = np.arange(len(logits))
    logits = logits - logits[rows, logits.real.argmax(axis=1)][:, None]
    e = np.exp(logits)
    total = e.sum(axis=1)
    return np.log(total) - logits[rows, labels], e / total[:, None]


def softmax_backward(dnll: Array, p: Array, labels: Labels) -> Array:
    """The gradient of the logits (Eq. 12.10).

    Shapes: dnll (B,), p (B, C), labels (B,) -> dlogits (B, C).
    """
    excess = p.copy()
    excess[np.arange(len(p)), labels] -= 1
    return dnll[:, None] * excess


class Classifier(NamedTuple):
    """A dense layer from features to logits."""

    W: Array  # (N, C)
    b: Array  # (C,)

    def logits(self, x: Array) -> Array:
        """x (B, N) -> (B, C)."""
        return dense_forward(x, self.W, self.b)

    def errors(self, x: Array, labels: Labels) -> int:
        """How many of x (B, N) are misclassified."""
        return int((self.logits(x).argmax(axis=1) != labels).sum())


class Scale(NamedTuple):
    """Features centred and divided by one number, so that their mean variance is 1.

    One number for each feature would magnify pixels at the edge and unused latents.
    """

    mean: Array  # (N,)
    deviation: float

    @classmethod
    def of(cls, x: Array) -> Scale:
        """The scale of x (B, N)."""
        return cls(x.mean(axis=0), float(np.sqrt(x.var(axis=0).mean())) or 1.0)

    def __call__(self, x: Array) -> Array:
        """x (B, N) on this scale."""
        return (x - self.mean) / self.deviation


def loss_and_gradient(
    classifier: Classifier, x: Array, labels: Labels, decay: float
) -> tuple[float, Classifier]:
    """The mean nll with weight decay, and its gradient (Eq. 12.11).

    Shapes: x (B, N), labels (B,).
    """
    W = classifier.W
    logits = classifier.logits(x)
    nll, p = softmax_forward(logits, labels)
    dlogits = softmax_backward(np.full(len(x), 1 / len(x)), p, labels)
    dW, db = dense_backward_weights(dlogits, x)
    loss = nll.mean() + decay / 2 * (W * W).sum()
    return loss, Classifier(dW + decay * W, db)


def fit(x: Array, labels: Labels, classes: int, decay: float) -> Classifier:
    """The classifier of least loss on x (B, N) with labels (B,) below `classes`.

    Nesterov's accelerated descent in float64, from zero; its momentum is reset where
    it points uphill. The norm of the gradient is TOLERANCE or less. Raises
    ArgumentError for a decay that is not positive, or too small to get there.
    """
    expect_number("decay", decay, "a positive number")
    x = x.astype(np.float64)
    basis = None
    if x.shape[1] > len(x):  # the minimum lies in the span of the images
        basis, x = np.linalg.qr(x.T)
        x = x.T
    beside_ones = np.hstack([x, np.ones((len(x), 1))])
    step = 1 / (np.linalg.norm(beside_ones, 2) ** 2 / (2 * len(x)) + decay)  # Eq. 12.12
    now = ahead = np.zeros((x.shape[1] + 1, classes))  # W over b
    t = 1.0
    for _ in range(STEPS):
        found = Classifier(ahead[:-1], ahead[-1])
        gradient = np.vstack(loss_and_gradient(found, x, labels, decay)[1])
        if np.linalg.norm(gradient) <= TOLERANCE:
            return found if basis is None else Classifier(basis @ found.W, found.b)
        new = ahead - step * gradient
        if (gradient * (new - now)).sum() > 0:
            t = 1.0
        last, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        now, ahead = new, new + (last - 1) / t * (new - now)
    raise ArgumentError(
        f"decay: found {decay:g}, for which the minimum is not reached in {STEPS:,} "
        "steps, expected a larger one"
    )


def choose_decay(
    x: Array, labels: Labels, classes: int, decays: Sequence[float] = DECAYS
) -> float:
    """The decay of least nll in cross-validation on x (B, N), labels (B,).

    The images of each class are dealt out over the folds in turn. Raises ArgumentError
    unless every class has two images or more.
    """
    fewest = int(np.bincount(labels, minlength=classes).min())
    expect_whole("labels of each class", fewest, 2)
    fold = np.empty(len(labels), int)
    for label in range(classes):
        rows = np.flatnonzero(labels == label)
        fold[rows] = np.arange(len(rows)) % min(FOLDS, fewest)

    def held_out(decay: float) -> float:
        total = 0.0
        for k in range(min(FOLDS, fewest)):
            kept, out = fold != k, fold == k
            classifier = fit(x[kept], labels[kept], classes, decay)
            nll, _ = softmax_forward(classifier.logits(x[out]), labels[out])
            total += float(nll.sum())
        return total

    return min(decays, key=held_out)


def draw_balanced(
    labels: Labels, count: int, classes: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Which rows of labels (B,) to take: count / classes of each class, at random."""
    each = count // classes
    rows = [
        rng.choice(np.flatnonzero(labels == label), each, replace=False)
        for label in range(classes)
    ]
    return np.concatenate(rows)
