"""`numpyvae evaluate`."""

from __future__ import annotations

from pathlib import Path

from ..evaluate import evaluate
from ..runs import Run
from ..train import Settings, threads_for
from ..workers import Workers


def evaluate_run(
    folder: str, seed: int | None, threads: int | None, data_dir: str | None
) -> int:
    """Print the test set's ELBO under a finished run's model."""
    run = Run.open(Path(folder))
    model, data = run.load_model(), run.load_data(data_dir)
    training = run.config["training"]
    settings = Settings(
        binarize=training["binarize"],
        seed=training["seed"] if seed is None else seed,
        threads=threads,
    )
    with Workers(threads_for(settings)) as workers:
        test = evaluate(
            model, data.test_images, settings.binarize, settings.seed, workers
        )
    print(
        f"{len(data.test_images):,} test images of {data.name}, "
        f"binarization {settings.binarize}, one z each, seed {settings.seed}\n"
        f"reconstruction  {test.recon:9.3f} nats\n"
        f"KL              {test.kl:9.3f} nats\n"
        f"ELBO            {test.elbo:9.3f} nats"
    )
    return 0
