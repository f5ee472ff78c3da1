"""What each command does, once its options are known."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import NormalDist
from types import FrameType
from typing import Any

import numpy as np

from . import figures
from .datasets import Dataset, load_idx, load_mnist, load_strokes
from .datasets.binarize import Batches
from .errors import ArgumentError, DivergedError, expect_whole
from .evaluate import evaluate, principal_plane
from .models import VAE
from .ops import Array
from .presets import PRESETS, options_of
from .runs import Run, free_path
from .train import EpochRecord, Settings, Trainer, threads_for
from .workers import Workers

DATA = ("strokes", "mnist", "idx")
HISTORY = """\
           ------- train -------    -------- test -------
  epoch    recon     KL     ELBO    recon     KL     ELBO   seconds"""


def load_data(name: str, data_dir: str | None) -> Dataset:
    """The images that --data and --data-dir name.

    Raises ArgumentError if the two don't go together and DataError for bad files.
    """
    if name == "mnist":
        return load_mnist(data_dir)
    if name == "idx":
        if data_dir is None:
            raise ArgumentError(
                "--data idx: found no --data-dir, expected the four files' directory"
            )
        return load_idx(data_dir)
    if data_dir is not None:
        raise ArgumentError(
            f"--data-dir: found {data_dir!r} with --data {name}, which is built in; "
            "expected --data mnist or --data idx with it"
        )
    return load_strokes()


def train(
    data: str, data_dir: str | None, preset: str, out: str | None, **options: Any
) -> int:
    """Train a model into a new run folder; options that are None are the preset's.

    Returns the exit code: 0, or 130 after Ctrl-C.
    """
    given = {name: value for name, value in options.items() if value is not None}
    chosen = options_of(preset) | given
    architecture = {
        name: chosen.pop(name) for name in ("hidden", "latent", "activation")
    }
    settings = Settings(**chosen)
    VAE(pixels=1, **architecture)  # names a bad option before the data are read
    images = load_data(data, data_dir)
    model = VAE(images.pixels, **architecture, seed=settings.seed)
    run = Run.create(
        Path(out) if out else free_path(Path("runs") / f"{preset}-{images.name}"),
        {
            "preset": preset,
            "data": data,
            "data_dir": data_dir and str(Path(data_dir).resolve()),
            "image_shape": images.image_shape,
            "model": model.arguments(),
            "training": vars(settings),
        },
    )
    threads = threads_for(settings)
    print(describe(images, model, settings, threads))
    print(HISTORY)
    records: list[EpochRecord] = []
    with Workers(threads) as workers, first_interrupt() as interrupts:
        trainer = Trainer(model, images, settings, workers)
        run.save(trainer)
        try:
            while trainer.epoch < settings.epochs and not interrupts:
                record = trainer.run_epoch(True, lambda: bool(interrupts))
                if record is not None:
                    records.append(record)
                    run.append(record)
                    run.save(trainer)
                    print(line(record), flush=True)
        except DivergedError as error:
            run.write_metrics(metrics(records, model, str(error)))
            raise DivergedError(
                f"{error}; {run.path} keeps the checkpoint of epoch {trainer.epoch}"
            ) from error
        interrupted = trainer.epoch < settings.epochs
        if interrupted:
            run.save(trainer)
        test = evaluate(
            model, images.test_images, settings.binarize, settings.seed, workers
        )
    run.write_metrics(metrics(records, model, "interrupted" if interrupted else "done"))
    draw(run, model, images, settings, records, test.mu)
    print(summary(run, settings, records, interrupted))
    return 130 if interrupted else 0


@contextmanager
def first_interrupt() -> Iterator[list[int]]:
    """A list that the first Ctrl-C adds to; the second one is Python's own."""
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.signal(number, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def describe(data: Dataset, model: VAE, settings: Settings, threads: int) -> str:
    """What is about to be trained on what."""
    height, width = data.image_shape
    widths = (
        data.pixels,
        *model.hidden,
        model.latent,
        *model.decoder_hidden,
        data.pixels,
    )
    return (
        f"{data.name}: {len(data.train_images):,} training and "
        f"{len(data.test_images):,} test images of {height} x {width}, "
        f"binarization {settings.binarize}\n"
        f"VAE {'-'.join(map(str, widths))} {model.activation}: "
        f"{model.params.flat.size:,} parameters; Adam {settings.lr:g}, "
        f"batch {settings.batch_size}, beta {settings.beta:g}, seed {settings.seed}, "
        f"{threads} thread{'s' * (threads > 1)}\n"
        "nats per image, summed over pixels and latents; ELBO = -(recon + KL)\n"
    )


def line(record: EpochRecord) -> str:
    """A record under HISTORY's heading."""
    epoch, *nats, seconds = record
    columns = "{:7d} {:8.2f} {:6.2f} {:8.2f} {:8.2f} {:6.2f} {:8.2f} {:9.1f}"
    return columns.format(epoch, *nats, seconds)


def metrics(records: list[EpochRecord], model: VAE, ended: str) -> dict[str, Any]:
    """What metrics.json says: the last epoch, and how the run ended."""
    last = records[-1]._asdict() if records else {}
    return last | {
        "seconds": sum(record.seconds for record in records),
        "parameters": model.params.flat.size,
        "ended": ended,
    }


def summary(
    run: Run, settings: Settings, records: list[EpochRecord], interrupted: bool
) -> str:
    """The last lines: what was reached, and where the pictures are."""
    lines = []
    if interrupted:
        lines.append(
            f"interrupted in epoch {len(records) + 1} of {settings.epochs}; "
            "checkpoint.npz holds the last batch's state"
        )
    if records:
        last = records[-1]
        lines.append(
            f"test ELBO {last.test_elbo:.2f} nats (recon {last.test_recon:.2f}, "
            f"KL {last.test_kl:.2f}) after {last.epoch} "
            f"epoch{'s' * (last.epoch > 1)} in {sum(r.seconds for r in records):.0f} s"
        )
    pictures = sorted(path.name for path in run.path.glob("*.png"))
    lines.append(f"pictures in {run.path}: {', '.join(pictures)}")
    return "\n" + "\n".join(lines)


def draw(
    run: Run,
    model: VAE,
    data: Dataset,
    settings: Settings,
    records: list[EpochRecord],
    mu: Array,
) -> None:
    """All pictures of a run; mu (N, Z) are the test images' posterior means."""
    if records:
        figures.learning_curves([r._asdict() for r in records], run.path / "curves.png")
    draw_samples(run, model, 100, settings.seed, run.path / "samples.png")
    draw_reconstructions(
        run, model, data, 20, settings.seed, run.path / "reconstructions.png"
    )
    direct = model.latent <= 2
    figures.latents(
        principal_plane(mu),
        data.test_labels,
        run.path / "latents.png",
        f"Where {len(mu):,} test images lie in latent space"
        + ("" if direct else f" (plane of largest variance of {model.latent})"),
        ("z1", "z2") if direct else ("first component", "second component"),
    )
    if model.latent == 2:
        quantiles = [NormalDist().inv_cdf((i + 0.5) / 20) for i in range(20)]
        z1, z2 = np.meshgrid(quantiles, quantiles[::-1])
        means = model.decode(np.stack([z1, z2], -1).reshape(-1, 2).astype(model.dtype))
        figures.manifold(
            means.reshape(20, 20, *run.config["image_shape"]),
            run.path / "manifold.png",
            "What each place of latent space decodes to",
        )


def draw_samples(run: Run, model: VAE, count: int, seed: int, path: Path) -> None:
    """Decoded draws from the prior."""
    means = model.sample(count, np.random.default_rng(seed))
    figures.samples(
        means.reshape(count, *run.config["image_shape"]),
        path,
        f"{count} samples: z from N(0, I), decoded",
    )


def draw_reconstructions(
    run: Run, model: VAE, data: Dataset, count: int, seed: int, path: Path
) -> None:
    """Test images as the model sees them, over what it makes of them."""
    rng = np.random.default_rng(seed)
    how = run.config["training"]["binarize"]
    batches = Batches(data.test_images[:count], how, rng)
    seen = batches.rows(slice(None), rng)
    means = model.reconstruct(model.as_input(seen, binary=batches.binary))
    originals = seen * np.uint8(255) if batches.binary else seen
    shape = (len(seen), *run.config["image_shape"])
    figures.reconstructions(
        originals.reshape(shape),
        means.reshape(shape),
        path,
        f"Test images, and what {model.latent} latents keep of them",
    )


def sample(folder: str, count: int, seed: int, out: str | None) -> int:
    """Draw `count` samples of a finished run."""
    expect_whole("count", count, 1)
    expect_whole("seed", seed, 0)
    run = Run.open(Path(folder))
    path = Path(out) if out else run.path / "samples.png"
    draw_samples(run, run.load_model(), count, seed, path)
    print(path)
    return 0


def reconstruct(
    folder: str, count: int, seed: int, data_dir: str | None, out: str | None
) -> int:
    """Draw `count` test images of a finished run over their reconstructions."""
    expect_whole("count", count, 1)
    expect_whole("seed", seed, 0)
    run = Run.open(Path(folder))
    model, data = run.load_model(), data_of(run, data_dir)
    path = Path(out) if out else run.path / "reconstructions.png"
    draw_reconstructions(run, model, data, count, seed, path)
    print(path)
    return 0


def evaluate_run(
    folder: str, seed: int | None, threads: int | None, data_dir: str | None
) -> int:
    """Print the test set's ELBO under a finished run's model."""
    run = Run.open(Path(folder))
    model, data = run.load_model(), data_of(run, data_dir)
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


def data_of(run: Run, data_dir: str | None) -> Dataset:
    """The data that a run was trained on, from `data_dir` if they have moved.

    Raises ArgumentError if the images have another size.
    """
    data = load_data(run.config["data"], data_dir or run.config["data_dir"])
    shape = tuple(run.config["image_shape"])
    if data.image_shape != shape:
        raise ArgumentError(
            f"--data-dir: found images of {data.image_shape}, expected {shape}"
        )
    return data


def presets() -> int:
    """List the presets, a line each."""
    for name, preset in PRESETS.items():
        print(f"{name:16} {preset.about}")
    return 0
