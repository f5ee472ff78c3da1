"""Training: every image once, no shard forgotten, the same bits on any machine load."""

import os
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from data import TEST, TRAIN, numbered, numbers, tiny
from numpy.typing import NDArray

from numpyvae import VAE, Dataset, load_mnist, train
from numpyvae.datasets.mnist import ENVIRONMENT
from numpyvae.errors import ArgumentError, DivergedError
from numpyvae.pairs.objectives import Elbo, Objective
from numpyvae.pairs.optimizers import AdamRates, adam_update
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import EpochRecord, Trainer, threads_for
from numpyvae.training.workers import Workers, available_cores

QUIET: dict[str, Any] = {"progress": False}
DATA = tiny()


class Witness(VAE):
    """A model that notes what its forward pass was given and what came out."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, compiled=False, dtype=np.float64, **keywords)
        self.seen: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []

    def forward(self, x: Any, eps: NDArray, *others: Any, **given: Any) -> Any:
        forward = super().forward(x, eps, *others, **given)
        notes = x, eps, forward.recon, forward.kl
        self.seen.append(tuple(note.copy() for note in notes))  # type: ignore[arg-type]
        return forward

    def all_seen(self) -> list[NDArray]:
        """x (N, D), eps (N, Z), recon (N,), kl (N,) of all passes together."""
        return [np.concatenate(notes) for notes in zip(*self.seen, strict=True)]


def small(**keywords: Any) -> VAE:
    return VAE(48, [16], 3, **keywords)


@pytest.mark.parametrize("binarize", ["dynamic", "static", "threshold", "none"])
def test_the_elbo_improves_to_a_bar(binarize: str) -> None:
    records = train(
        small(), DATA, epochs=5, batch_size=32, lr=1e-2, binarize=binarize, **QUIET
    )
    losses = [-record.train_elbo for record in records]
    assert losses == sorted(losses, reverse=True)
    # Untrained -33. A decoder that ignores z gets to -25.4, the entropy of the mean
    # image; the worst of four seeds and four binarizations got to -16.2.
    assert records[0].test_elbo < -27
    assert records[-1].test_elbo > -18


@pytest.mark.parametrize("batch_size", [1, 7, 32, TRAIN, 1000])
def test_an_epoch_sees_every_image_once(batch_size: int, workers: Workers) -> None:
    model = Witness(6, [4], 2)
    settings = Settings(batch_size=batch_size, binarize="none")
    record = Trainer(model, numbered(), settings, workers).run_epoch()
    seen = numbers(model.all_seen()[0])
    assert sorted(seen) == list(range(TRAIN + TEST))
    assert seen[:TRAIN] != sorted(seen[:TRAIN])  # shuffled
    assert seen[TRAIN:] == list(range(TRAIN, TRAIN + TEST))  # then the test images
    assert record is not None
    assert np.isfinite(record).all()


def test_every_epoch_has_its_own_order(workers: Workers) -> None:
    orders = []
    model = Witness(6, [4], 2)
    trainer = Trainer(model, numbered(), Settings(binarize="none"), workers)
    for _ in range(2):
        model.seen.clear()
        trainer.run_epoch()
        orders.append(numbers(model.all_seen()[0])[:TRAIN])
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(128, [128, 128, 44]), (1000, [300]), (299, [299, 1]), (100, [100] * 3)],
)
def test_the_last_batch_is_what_is_left(
    batch_size: int, sizes: list[int], workers: Workers
) -> None:
    trainer = Trainer(small(), DATA, Settings(batch_size=batch_size), workers)
    found: list[int] = []
    step = trainer._step

    def note(rows: NDArray[np.int64], objective: Objective) -> tuple[float, float]:
        found.append(len(rows))
        return step(rows, objective)

    trainer._step = note  # type: ignore[method-assign]
    trainer.run_epoch()
    assert found == sizes
    assert trainer.optimizer.step == len(sizes)


def test_a_record_holds_the_mean_over_images_not_batches(workers: Workers) -> None:
    # 300 = 2 * 128 + 44, so that a mean of the batches' means would be another number.
    model = Witness(48, [16], 3)
    trainer = Trainer(model, DATA, Settings(lr=1e-2), workers)
    for epoch in (1, 2):
        model.seen.clear()
        record = trainer.run_epoch()
        _, _, recon, kl = model.all_seen()
        means = [
            mean
            for part in (slice(TRAIN), slice(TRAIN, None))
            for mean in (
                recon[part].mean(), kl[part].mean(), -(recon + kl)[part].mean()
            )
        ]  # fmt: skip
        assert record is not None
        assert record.epoch == epoch
        # Sums of 300 float64 in another order: 1e-12 is a hundred times their rounding.
        np.testing.assert_allclose(record[1:7], means, rtol=1e-12)
        assert record.seconds > 0


@pytest.mark.parametrize("beta", [1.0, 0.25])
@pytest.mark.parametrize("batch", [1, 2, 33])
def test_a_step_is_the_gradient_of_the_whole_batch_then_adam(
    beta: float, batch: int, workers: Workers
) -> None:
    model, lr = Witness(48, [16], 3), 0.01
    by_hand = small(compiled=False, dtype=np.float64)
    params = by_hand.params.flat
    settings = Settings(beta=beta, lr=lr, binarize="none")
    trainer = Trainer(model, DATA, settings, workers)
    m, v = np.zeros_like(params), np.zeros_like(params)
    for step in (1, 2, 3):
        model.seen.clear()
        rows = np.random.default_rng(step).permutation(TRAIN)[:batch]
        recon, kl = trainer.step(rows)
        x, eps, *_ = model.all_seen()
        assert np.array_equal(x, DATA.train_images.reshape(TRAIN, 48)[rows] / 255)
        objective = Elbo(beta)
        grads = by_hand.params.unwritten()
        work = by_hand.workspace(grads)
        forward = by_hand.forward(x, eps, objective, work)
        by_hand.backward(eps, forward, work, objective)
        rates = AdamRates(step, lr, 0.9, 0.999, 1e-8)
        adam_update(params, grads.flat[None], m, v, rates)
        # float64 sums in another order; Adam's quotient of small numbers loses digits.
        np.testing.assert_allclose([recon, kl], [forward.recon.sum(), forward.kl.sum()])
        np.testing.assert_allclose(trainer.optimizer.m, m, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(trainer.optimizer.v, v, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(model.params.flat, params, rtol=1e-7, atol=1e-9)


def test_noise_is_standard_normal_and_each_image_has_its_own(workers: Workers) -> None:
    model = Witness(48, [16], 3)
    Trainer(model, DATA, Settings(), workers).run_epoch()
    eps = model.all_seen()[1]
    assert len(np.unique(eps)) == eps.size
    # Five standard errors of 1,110 draws' mean and standard deviation.
    assert abs(eps.mean()) < 5 / np.sqrt(eps.size)
    assert abs(eps.std() - 1) < 5 / np.sqrt(2 * eps.size)


def outcome(threads: int, seed: int, **keywords: Any) -> tuple[bytes, list[float]]:
    model = small(**keywords)
    records = train(
        model, DATA, epochs=4, batch_size=50, threads=threads, seed=seed, **QUIET
    )
    numbers = [number for record in records for number in record[:-1]]  # but seconds
    return model.params.flat.tobytes(), numbers


@pytest.mark.parametrize("compiled", [True, False])
def test_the_same_seed_gives_the_same_bits_on_one_thread_and_two(
    compiled: bool,
) -> None:
    one = outcome(1, 5, compiled=compiled)
    assert outcome(1, 5, compiled=compiled) == one
    for _ in range(3):  # threads may end in any order
        assert outcome(2, 5, compiled=compiled) == one


def test_another_seed_gives_other_bits() -> None:
    (params, history), (others, other_history) = outcome(1, 5), outcome(1, 6)
    assert params != others
    assert not set(history) & set(other_history) - {1, 2, 3, 4}


def test_compiled_and_reference_train_to_nearly_the_same_numbers() -> None:
    histories = [
        train(small(compiled=c), DATA, epochs=3, lr=1e-2, **QUIET)
        for c in (True, False)
    ]
    for ours, theirs in zip(*histories, strict=True):
        # The same draws; float32 rounds to 1e-7, which nine steps amplify.
        np.testing.assert_allclose(ours[:-1], theirs[:-1], rtol=1e-3)


def test_beta_weighs_the_kl() -> None:
    def kl(beta: float) -> float:
        options = {"epochs": 5, "lr": 1e-2, "batch_size": 32, "beta": beta, **QUIET}
        return train(small(), DATA, **options)[-1].train_kl

    assert kl(100) < 0.1 < kl(1) < kl(0)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("bad", [{"lr": 1e30}, {"beta": 1e300}, {"lr": 100.0}])
def test_divergence_names_the_step_and_leaves_the_parameters(
    bad: dict[str, float], compiled: bool, workers: Workers
) -> None:
    model = small(compiled=compiled)
    trainer = Trainer(model, DATA, Settings(**bad), workers)
    trainer.step(np.arange(100))
    before = model.params.flat.tobytes(), trainer.optimizer.m.tobytes()
    place = r"not finite from (encoder layer [12]|z|kl) on; "
    with pytest.raises(
        DivergedError, match=f"^step 2: found recon .*{place}.* try a smaller"
    ):
        trainer.step(np.arange(100, 200))
    assert (model.params.flat.tobytes(), trainer.optimizer.m.tobytes()) == before
    assert trainer.optimizer.step == 1


def test_divergence_in_an_epochs_last_step_is_told_too() -> None:
    with pytest.raises(DivergedError, match=r"^step \d.* than 1e\+30"):
        train(small(), DATA, epochs=1, batch_size=TRAIN, lr=1e30, **QUIET)


def test_divergence_ends_a_training_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(DivergedError, match=r"^step 2: found recon"):
            train(small(), DATA, lr=1e30, **QUIET)
    assert not caught


WHOLE, SEED = "a whole number from 1 on", "a whole number from 0 on"
BAD_SETTINGS = [
    *[(n, v, WHOLE) for n in ("epochs", "batch_size", "threads") for v in (0, -1, 1.5)],
    ("epochs", None, WHOLE),
    ("batch_size", "32", WHOLE),
    *[("lr", v, "a positive number") for v in (0, -1e-3, np.nan, np.inf, "1", None)],
    *[("beta", v, "0 or more") for v in (-0.1, np.nan, np.inf, "1", None)],
    *[("seed", v, SEED) for v in (-1, 0.5, None)],
    ("binarize", "grey", "one of dynamic, static, threshold, none"),
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD_SETTINGS)
def test_a_bad_setting_is_named(name: str, value: object, expected: str) -> None:
    model = small()
    before = model.params.flat.tobytes()
    with pytest.raises(ArgumentError) as caught:
        train(model, DATA, progress=False, **{name: value})
    assert str(caught.value) == f"{name}: found {value!r}, expected {expected}"
    assert model.params.flat.tobytes() == before


def test_an_unknown_keyword_is_named() -> None:
    with pytest.raises(ArgumentError) as caught:
        train(small(), DATA, epoch=3)
    assert "'epoch'" in str(caught.value)
    known = ", ".join(field.name for field in fields(Settings))
    assert str(caught.value).endswith(f"expected one of {known}")


def wider(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(images, 2, axis=2)


@pytest.mark.parametrize("binarize", ["dynamic", "none"])
@pytest.mark.parametrize(
    "data",
    [
        lambda: tiny(8, 7),
        lambda: replace(DATA, test_images=wider(DATA.test_images)),
        lambda: replace(DATA, test_images=DATA.test_images[:, :-1]),
    ],
    ids=["all", "wider test images", "lower test images"],
)
def test_images_of_another_size_are_refused(
    data: Callable[[], Dataset], binarize: str
) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        train(small(), data(), epochs=1, binarize=binarize, **QUIET)


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        (DATA, small(), "model: found Dataset, expected VAE"),
        (small(), small(), "data: found VAE, expected Dataset"),
        (small(), DATA.train_images, "data: found ndarray, expected Dataset"),
    ],
)
def test_arguments_of_another_kind_are_named(model: Any, data: Any, said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        train(model, data, epochs=1, **QUIET)
    assert str(caught.value) == said


def test_a_stopped_epoch_has_no_record_and_does_not_count(workers: Workers) -> None:
    trainer = Trainer(small(), DATA, Settings(batch_size=32), workers)
    assert trainer.run_epoch(after_batch=lambda: trainer.optimizer.step == 4) is None
    assert trainer.optimizer.step == 4
    assert trainer.epoch == 0
    record = trainer.run_epoch()
    assert isinstance(record, EpochRecord)
    assert record.epoch == 1
    assert trainer.optimizer.step == 10  # of 32 images each: it went on with the fifth


def test_threads_are_the_cores_at_most_one_for_a_shard() -> None:
    assert threads_for(Settings(threads=1)) == 1
    assert threads_for(Settings(threads=64)) == 2
    assert threads_for(Settings()) == min(available_cores(), 2)


def test_an_epoch_of_mnist() -> None:
    if not os.environ.get(ENVIRONMENT):  # load_mnist would download it
        pytest.skip(f"needs MNIST: set ${ENVIRONMENT} to a directory with its files")
    record = train(VAE(), load_mnist(), epochs=1, **QUIET)[0]
    # -126.8 with seed 0; PyTorch's example prints 127 to 128 after its first epoch.
    assert -129 < record.test_elbo < -100
