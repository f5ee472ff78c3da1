"""`numpyvae train` and `presets`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ..datasets import Dataset, load
from ..errors import DivergedError
from ..evaluate import evaluate
from ..models import VAE
from ..presets import PRESETS, options_of
from ..runs import Run, free_path
from ..train import EpochRecord, Settings, Trainer, threads_for
from ..workers import Workers
from .pictures import draw

HISTORY = """\
           ------- train -------    -------- test -------
  epoch    recon     KL     ELBO    recon     KL     ELBO   seconds"""


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
    images = load(data, data_dir)
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


def presets() -> int:
    """List the presets, a line each."""
    for name, preset in PRESETS.items():
        print(f"{name:16} {preset.about}")
    return 0
