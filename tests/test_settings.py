"""How a model is trained: schedules, what goes together, and that each choice acts.

Shapes: B batch, K samples of each image, D pixels, Z latents.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from data import TEST, TRAIN, numbered, numbers, tiny
from works import with_prior

from numpyvae import VAE, train
from numpyvae.errors import ArgumentError
from numpyvae.pairs.likelihoods import LIKELIHOODS
from numpyvae.pairs.objectives import ELBO, Elbo, Iwae
from numpyvae.pairs.posteriors import POSTERIORS
from numpyvae.pairs.priors import PRIORS
from numpyvae.training.evaluate import evaluate
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

DATA = tiny()
CLEAN = numbered()
LABELLED = replace(
    CLEAN,
    train_labels=(np.arange(TRAIN) % 3).astype(np.uint8),
    test_labels=(np.arange(TRAIN, TRAIN + TEST) % 3).astype(np.uint8),
)


# ---- Schedules -----------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 4.0])
@pytest.mark.parametrize("warmup", [1, 4])
def test_beta_rises_linearly_and_stays(beta: float, warmup: int) -> None:
    settings = Settings(beta=beta, warmup=warmup)
    for epochs in np.linspace(0, 2 * warmup, 9):
        want = beta * min(1, epochs / warmup)
        assert settings.objective(float(epochs)) == Elbo(want)
    assert settings.objective(0) == Elbo(0.0)
    assert settings.objective(warmup) == settings.objective(99) == Elbo(beta)


def test_without_warmup_beta_is_there_from_the_first_step() -> None:
    assert Settings(beta=0.5).objective(0) == Elbo(0.5)
    assert Settings().objective(0) == Elbo()


def test_the_objective_has_the_samples_and_the_kl_of_the_settings() -> None:
    sampled = Settings(samples=3, kl="sampled", beta=2)
    assert sampled.objective(0) == Elbo(2, 3, "sampled")
    assert Settings(bound="iwae", samples=7).objective(0) == Iwae(7)


def test_the_learning_rate_falls_by_one_factor_and_ends_there() -> None:
    settings = Settings(epochs=4, lr=8e-3, lr_end=1e-3)
    found = [settings.learning_rate(epoch) for epoch in range(4)]
    np.testing.assert_allclose(found, [8e-3, 4e-3, 2e-3, 1e-3], rtol=1e-14)
    assert found[0] == 8e-3
    rising = Settings(epochs=3, lr=1e-3, lr_end=4e-3)
    assert rising.learning_rate(1) == pytest.approx(2e-3, rel=1e-14)


def test_the_learning_rate_stays_without_an_end_or_a_second_epoch() -> None:
    assert {Settings(lr=0.1).learning_rate(epoch) for epoch in range(10)} == {0.1}
    assert Settings(epochs=1, lr=0.1, lr_end=0.01).learning_rate(0) == 0.1


# ---- What does not go together -------------------------------------------------------

BINARIZED = r"^binarize: found '.*' with the likelihood '.*', expected 'none': it is"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"bound": "iwae", "beta": 2.0},
            r"^bound: found iwae with beta 2 and warmup 0",
        ),
        (
            {"bound": "iwae", "warmup": 3},
            r"^bound: found iwae with beta 1 and warmup 3",
        ),
        ({"bound": "iwae", "beta": 0}, r"^bound: found iwae with beta 0"),
        ({"bound": "IWAE"}, r"^bound: found 'IWAE', expected one of elbo, iwae$"),
        ({"kl": "open"}, r"^kl: found 'open', expected one of closed, sampled$"),
        ({"bound": "iwae", "kl": "closed"}, r"^kl: found 'closed' with the bound iwae"),
        ({"samples": 0}, r"^samples: found 0, expected a whole number from 1 on$"),
        ({"bound": "iwae", "samples": 0}, r"^samples: found 0"),
        ({"samples": 2**63}, r"^samples: found 9223372036854775808, expected fewer"),
        ({"warmup": -1}, r"^warmup: found -1, expected a whole number from 0 on$"),
        ({"warmup": 0.5}, r"^warmup: found 0.5"),
        ({"warmup": 5, "beta": -1.0}, r"^beta: found -1.0, expected 0 or more$"),
        ({"lr_end": 0}, r"^lr_end: found 0, expected a positive number$"),
        ({"lr_end": np.inf}, r"^lr_end: found inf"),
        ({"corrupt": "blur"}, r"^corrupt: found 'blur', expected one of none"),
        ({"corrupt": "mask", "level": 2}, r"^level: found 2, expected at most 1"),
        ({"level": -1}, r"^level: found -1, expected 0 or more$"),
    ],
)
def test_bad_settings_are_told(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Settings(**chosen)


@pytest.mark.parametrize(
    ("model", "chosen", "message"),
    [
        ({"posterior": "point"}, {"bound": "iwae"}, r"^kl: found 'sampled', or an imp"),
        ({"posterior": "point"}, {"kl": "sampled"}, r"^kl: found 'sampled', or an imp"),
        ({"posterior": "point"}, {"beta": 2.0}, r"^beta: found 2 with warmup 0 for"),
        ({"posterior": "point"}, {"warmup": 2}, r"^beta: found 1 with warmup 2 for"),
        ({"classes": 2}, {}, r"^model: found 2 classes, expected 3 as in the"),
        *[
            ({"likelihood": name}, {"binarize": how}, BINARIZED)
            for name in (p.name for p in LIKELIHOODS.values() if p.pixels == "grey")
            for how in ("dynamic", "static", "threshold")
        ],
    ],
)  # fmt: skip
def test_a_model_is_not_trained_for_what_it_can_not_be(
    model: dict[str, Any], chosen: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        train(VAE(48, (4,), 2, **model), DATA, progress=False, **chosen)


def test_a_label_of_the_test_set_counts_as_well(workers: Workers) -> None:
    data = replace(DATA, test_labels=np.full(TEST, 5, np.uint8))
    with pytest.raises(ArgumentError, match=r"found 5 classes, expected 6 "):
        Trainer(VAE(48, (4,), 2, classes=5), data, Settings(), workers)
    Trainer(VAE(48, (4,), 2, classes=6), data, Settings(), workers)
    Trainer(VAE(48, (4,), 2), data, Settings(), workers)


# ---- Every choice acts ---------------------------------------------------------------


class Witness(VAE):
    """A model that notes what its forward pass was given."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, compiled=False, dtype=np.float64, **keywords)
        self.passes: list[dict[str, Any]] = []

    def forward(
        self, x: Any, eps: Any, objective: Any = ELBO, work: Any = None, **given: Any
    ) -> Any:
        forward = super().forward(x, eps, objective, work, **given)
        notes = {
            "x": x, "eps": eps, "target": forward.target, "input": forward.hs[0].x,
            "recon": forward.recon, "kl": forward.kl, **given,
        }  # fmt: skip
        kept = {name: np.copy(note) for name, note in notes.items() if note is not None}
        self.passes.append({"objective": objective, **kept})
        return forward

    def all(self, what: str, passes: slice = slice(None)) -> Any:
        return np.concatenate([notes[what] for notes in self.passes[passes]])


def test_beta_warms_up_step_by_step_and_the_rate_falls_by_epochs(
    workers: Workers,
) -> None:
    model = Witness(6, [4], 2)
    settings = Settings(
        epochs=3, batch_size=100, warmup=2, beta=0.6, lr=0.04, lr_end=0.01,
        binarize="none",
    )  # fmt: skip
    trainer = Trainer(model, CLEAN, settings, workers)
    betas, rates = [], []

    def note() -> bool:
        betas.append([notes["objective"].beta for notes in model.passes])
        rates.append(trainer.optimizer.lr)
        model.passes.clear()
        return False

    for _ in range(3):
        trainer.run_epoch(after_batch=note)
        model.passes.clear()  # the test images'
    risen = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6]  # each shard alike
    np.testing.assert_allclose(betas, [[beta] * 2 for beta in risen], rtol=1e-12)
    np.testing.assert_allclose(rates, [0.04] * 3 + [0.02] * 3 + [0.01] * 3, rtol=1e-12)


def test_an_epoch_that_goes_on_warms_up_from_where_it_was(workers: Workers) -> None:
    model = Witness(6, [4], 2)
    settings = Settings(batch_size=100, warmup=3, binarize="none")
    trainer = Trainer(model, CLEAN, settings, workers)
    trainer.run_epoch(after_batch=lambda: True)
    trainer.run_epoch(after_batch=lambda: True)
    betas = [notes["objective"].beta for notes in model.passes]
    np.testing.assert_allclose(betas, [0, 0, 1 / 9, 1 / 9])


@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_each_image_has_as_many_draws_as_samples(bound: str, workers: Workers) -> None:
    model = Witness(6, [4], 2)
    settings = Settings(bound=bound, samples=3, batch_size=77, binarize="none")
    record = Trainer(model, CLEAN, settings, workers).run_epoch()
    training = slice(0, 8)  # four batches, two shards each
    eps = model.all("eps", training)
    assert eps.shape == (3 * TRAIN, 2) and len(np.unique(eps)) == eps.size
    # What is told is the mean over samples, whatever the bound; test images have one.
    recon, kl = (model.all(name, training).mean() for name in ("recon", "kl"))
    assert record is not None
    np.testing.assert_allclose(record[1:4], [recon, kl, -(recon + kl)], rtol=1e-12)
    assert len(model.all("eps", slice(8, None))) == TEST


@pytest.mark.parametrize("how", ["mask", "gaussian", "salt-and-pepper"])
def test_the_encoder_sees_corrupted_images_the_decoder_makes_clean_ones(
    how: str, workers: Workers
) -> None:
    model = Witness(6, [4], 2)
    settings = Settings(corrupt=how, level=0.5, binarize="none")
    Trainer(model, CLEAN, settings, workers).run_epoch()
    x, seen = model.all("x"), model.all("seen")
    assert sorted(numbers(x)) == list(range(TRAIN + TEST))
    for notes in model.passes:
        np.testing.assert_array_equal(notes["target"], notes["x"])
        np.testing.assert_array_equal(notes["input"], notes["seen"])
    if how == "mask":
        assert np.isin(seen[seen != x], 0).all()
    shares = [(seen != x)[x > 0][part].mean() for part in np.s_[:300, 300:]]
    want = {"mask": 0.5, "gaussian": 1.0, "salt-and-pepper": 0.5}[how]
    # 0.5 with standard errors of 0.03 and 0.04; the test images are corrupted, too.
    assert all(abs(share - want) <= 0.2 for share in shares)


def test_corrupted_greys_are_in_the_units_of_the_clean_ones(workers: Workers) -> None:
    for binarize in ("none", "threshold"):
        model = Witness(6, [4], 2)
        settings = Settings(corrupt="mask", level=0.0, binarize=binarize)
        Trainer(model, CLEAN, settings, workers).run_epoch()
        np.testing.assert_array_equal(model.all("seen"), model.all("x"))


def test_without_corruption_the_encoder_sees_the_image(workers: Workers) -> None:
    model = Witness(6, [4], 2)
    Trainer(model, CLEAN, Settings(), workers).run_epoch()
    assert all("seen" not in notes for notes in model.passes)


def test_an_image_goes_with_its_label(workers: Workers) -> None:
    model = Witness(6, [4], 2, classes=3)
    Trainer(model, LABELLED, Settings(binarize="none"), workers).run_epoch()
    x, labels = model.all("x"), model.all("labels")
    assert labels.tolist() == [number % 3 for number in numbers(x)]
    assert len(labels) == TRAIN + TEST


def test_every_block_of_test_images_has_its_labels(workers: Workers) -> None:
    count = 1100  # blocks of 500
    images = np.zeros((count, 2, 3), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(count), 256)
    labels = (np.arange(count) % 3).astype(np.uint8)
    model = Witness(6, [4], 2, classes=3)
    evaluate(model, images, "none", 0, workers, labels)
    assert numbers(model.all("x")) == list(range(count))
    assert model.all("labels").tolist() == labels.tolist()


# ---- Downhill, to the same bits ------------------------------------------------------

GREY = {"binarize": "none"}
TRAININGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "iwae": ({}, {"bound": "iwae", "samples": 3}),
    "sampled": ({}, {"kl": "sampled"}),
    "samples": ({}, {"samples": 3, "kl": "sampled"}),
    "warmup": ({}, {"warmup": 3}),
    "lr_end": ({}, {"lr_end": 1e-3}),
    "mask": ({}, {"corrupt": "mask", "level": 0.2}),
    "gaussian": ({}, {"corrupt": "gaussian", **GREY}),
    "salt": ({}, {"corrupt": "salt-and-pepper", "level": 0.2}),
    "conditional": ({"classes": 3}, {}),
    "conditional iwae": ({"classes": 3}, {"bound": "iwae", "samples": 2}),
    "conv": ({"channels": (4,), "image_shape": (8, 6)}, {}),
    "conv iwae": (
        {"channels": (4,), "image_shape": (8, 6), "posterior": "full"},
        {"bound": "iwae", "samples": 2},
    ),
    **{name: ({"posterior": name}, {}) for name in POSTERIORS},
    **{f"prior {name}": ({"prior": name}, {}) for name in PRIORS},
    **{name: ({"likelihood": name}, GREY) for name in LIKELIHOODS},
}


@pytest.mark.parametrize(("model", "chosen"), TRAININGS.values(), ids=TRAININGS)
def test_training_goes_downhill_to_the_same_bits_on_two_threads(
    model: dict[str, Any], chosen: dict[str, Any]
) -> None:
    settings = {"epochs": 4, "batch_size": 30, "lr": 1e-2, **chosen}
    outcomes = []
    for threads in (1, 2):
        vae = with_prior(
            **{"prior": "standard", **model}, pixels=48, hidden=(16,), latent=3
        )
        with Workers(threads) as workers:
            begin = Trainer(vae, DATA, Settings(**settings), workers).evaluate()
        records = train(vae, DATA, progress=False, threads=threads, **settings)
        elbos = [record.test_elbo for record in records]
        outcomes.append((vae.params.flat.tobytes(), elbos))
    assert outcomes[0] == outcomes[1]
    # Each number is one draw's; the first epoch gains nats, the last hundredths.
    assert elbos[-1] > elbos[0] > begin.elbo
    assert elbos[-1] > begin.elbo + 1
