"""`numpyvae evaluate`."""

from __future__ import annotations

from pathlib import Path

from ..errors import expect_whole
from ..evaluate import evaluate, likelihood
from ..presets import PRESETS
from ..runs import Run
from ..settings import Settings
from ..train import threads_for
from ..workers import Workers


def evaluate_run(
    folder: str,
    seed: int | None,
    threads: int | None,
    data_dir: str | None,
    samples: int | None,
) -> int:
    """Print a ledger of the test set under a finished run's model, in nats."""
    if samples is not None:
        expect_whole("samples", samples, 1)
    run = Run.open(Path(folder))
    model, data = run.load_model(), run.load_data(data_dir)
    training = run.config["training"]
    settings = Settings(
        binarize=training["binarize"],
        seed=training["seed"] if seed is None else seed,
        threads=threads,
    )
    images = data.test_images
    print(
        f"{len(images):,} test images of {data.name}, binarization "
        f"{settings.binarize}, seed {settings.seed}; nats per image"
    )
    with Workers(threads_for(settings)) as workers:
        test = evaluate(
            model, images, settings.binarize, settings.seed, workers, data.test_labels
        )
        print(
            f"reconstruction  {test.recon:9.3f}   one z each\n"
            f"KL              {test.kl:9.3f}\n"
            f"ELBO            {test.elbo:9.3f}\n"
            f"active units    {test.active_units:9d}   of {model.latent}",
            flush=True,
        )
        if samples is not None:
            found = likelihood(
                model,
                images,
                settings.binarize,
                settings.seed,
                samples,
                workers,
                True,
                data.test_labels,
            )
            print(
                f"-log p(x)       {found.nll:9.3f}   importance-weighted, {samples:,} "
                f"samples each; standard error {found.standard_error:.3f}"
            )
    preset = PRESETS.get(run.config["preset"])
    if data.name == "mnist" and preset and preset.published:
        print(f"published       {preset.published}")
    return 0
