"""`numpyvae train` and `presets`."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import Dataset, load
from ...errors import ArgumentError, DivergedError
from ...model.vae import VAE
from ...runs.checkpoint import model_of
from ...runs.run import Run, claim, fingerprint
from ...runs.versions import versions
from ...signals import first_signal
from ...training.settings import Settings
from ...training.trainer import EpochRecord, Trainer, threads_for
from ...training.workers import Workers
from ..presets import PRESETS, options_of
from .pictures import draw

HISTORY = """\
           ------- train -------    -------- test -------
  epoch    recon     KL     ELBO    recon     KL     ELBO   seconds"""

ARCHITECTURE = (
    "hidden", "latent", "activation", "channels", "posterior", "prior", "top",
    "likelihood",
)  # fmt: skip
RESUMABLE = ("epochs", "threads", "data_dir", "checkpoint_every")


def train(resume: str | None, **options: Any) -> int:
    """Train a model into a new run folder, or go on with the one to resume.

    Options that are None are the preset's. Returns the exit code: 0, or 130 after
    Ctrl-C.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if resume is None:
        return begin(**given)
    for name in given.keys() - set(RESUMABLE):
        raise ArgumentError(
            f"--resume: found --{name.replace('_', '-')} with it, expected only "
            + ", ".join("--" + option.replace("_", "-") for option in RESUMABLE)
        )
    return go_on(resume, **given)


def begin(
    data: str = "strokes",
    data_dir: str | None = None,
    preset: str = "default",
    out: str | None = None,
    checkpoint_every: str | None = None,
    **options: Any,
) -> int:
    """Train a new model."""
    due = Due(checkpoint_every)
    chosen = options_of(preset) | options
    architecture = {name: chosen.pop(name) for name in ARCHITECTURE if name in chosen}
    conditional = chosen.pop("conditional", False)
    settings = Settings(**chosen)
    VAE(28 * 28, **architecture)  # names a bad option before the data are read
    images = load(data, data_dir)
    classes = images.classes if conditional else 0
    model = VAE(
        images.pixels, **architecture, image_shape=images.image_shape, classes=classes,
        seed=settings.seed,
    )  # fmt: skip
    threads = threads_for(settings)
    with Workers(threads) as workers:
        trainer = Trainer(model, images, settings, workers)  # raises if unfit
        run = Run.create(
            Path(out) if out else claim(Path("runs") / f"{preset}-{images.name}"),
            {
                "preset": preset,
                "data": data,
                "data_dir": data_dir and str(Path(data_dir).resolve()),
                "data_sha256": fingerprint(images),
                "image_shape": list(images.image_shape),
                "model": model.arguments(),
                "training": vars(settings),
                "versions": [versions(trainer)],
            },
        )
        print(describe(images, model, settings, threads))
        with run.lock():
            run.save(trainer)
            return finish(run, trainer, due)


def go_on(
    folder: str,
    data_dir: str | None = None,
    checkpoint_every: str | None = None,
    **changes: int,
) -> int:
    """Go on with a run where its checkpoint stopped, or from the start if it has none.

    It ends with the bits of a run that was never stopped. `changes` are to its
    threads, or to its epochs, which may become more.
    """
    due = Due(checkpoint_every)
    run = Run.open(Path(folder))
    with run.lock():
        run.config["training"] |= changes
        settings = Settings(**run.config["training"])
        threads = threads_for(settings)
        untrained = run.is_untrained()
        if untrained:
            model = run.untrained_model()
        else:
            arrays, state = run.load()
            model = model_of(arrays, run.config["model"])
        images = run.load_data(data_dir)
        run.expect_data(images)
        with Workers(threads) as workers:
            trainer = Trainer(model, images, settings, workers)
            if untrained:
                tell(f"{run.path}: found no checkpoint yet; beginning from the start")
                run.config["versions"] = [versions(trainer)]
                run.write_config()
                run.save(trainer)
            else:
                for warning in run.restore(trainer, arrays, state):
                    tell(warning)
                before = Settings(**state["config"]["training"])
                expect_same_epochs(settings, before, trainer.epoch)
                run.write_config()
                run.write_history(trainer.records)  # which a kill may have prevented
            print(describe(images, model, settings, threads))
            return finish(run, trainer, due)


def expect_same_epochs(settings: Settings, before: Settings, done: int) -> None:
    """Raise ArgumentError if `settings` would have changed the epochs already done."""
    if settings.epochs < done:
        raise ArgumentError(
            f"--epochs: found {settings.epochs}, expected at least {done}, which the "
            "run has done"
        )
    for epoch in range(min(done, before.epochs)):
        if settings.learning_rate(epoch) != before.learning_rate(epoch):
            raise ArgumentError(
                f"--epochs: found {settings.epochs}, expected {before.epochs} as "
                f"before: lr falls to {settings.lr_end:g} by the last epoch, so the "
                f"{done} that are done would have had another one; train anew with "
                "another --out"
            )


def tell(warning: str) -> None:
    """Say on stderr what the user should know."""
    print(f"numpyvae: {warning}", file=sys.stderr)


class Due:
    """When to save within an epoch: every N batches ("500") or seconds ("60s")."""

    def __init__(self, every: str | None) -> None:
        """Raises ArgumentError if `every` says neither."""
        number = (every or "").removesuffix("s")
        if every is not None and not (number.isascii() and number.isdigit()):
            raise ArgumentError(
                f"--checkpoint-every: found {every!r}, "
                "expected batches, such as 500, or seconds, such as 60s"
            )
        self.every = float(number) if every else math.inf
        self.seconds = every is not None and every.endswith("s")
        self.last, self.batches = time.monotonic(), 0

    def __call__(self) -> bool:
        """Whether a save is due after the batch that has just been done."""
        self.batches += 1
        now = time.monotonic()
        if (now - self.last if self.seconds else self.batches) < self.every:
            return False
        self.last, self.batches = now, 0
        return True


def finish(run: Run, trainer: Trainer, due: Due) -> int:
    """Train the epochs that are left; save, draw, and say what was reached."""
    model, settings = trainer.model, trainer.settings
    print("\n".join([HISTORY, *map(line, trainer.records)]))
    with first_signal() as signals:

        def after_batch() -> bool:
            stop = bool(signals)  # read once: a signal may come at any time
            if (stop or due()) and np.isfinite(model.params.flat).all():
                run.save(trainer)
            return stop

        try:
            while trainer.epoch < settings.epochs and not signals:
                record = trainer.run_epoch(True, after_batch)
                if record is not None:
                    run.save(trainer)
                    print(line(record), flush=True)
        except DivergedError as error:
            run.write_metrics(metrics(trainer, str(error)))
            raise DivergedError(
                f"{error}; {run.path} keeps the last good checkpoint"
            ) from error
        interrupted = trainer.epoch < settings.epochs
        test = trainer.evaluate()
    run.write_metrics(metrics(trainer, "interrupted" if interrupted else "done"))
    draw(run, model, trainer.data, settings, trainer.records, test.mu)
    print(summary(run, trainer))
    return 130 if interrupted else 0


def describe(data: Dataset, model: VAE, settings: Settings, threads: int) -> str:
    """What is about to be trained on what."""
    height, width = data.image_shape
    maps = [f"{m} maps" for m in model.channels]
    widths = (
        data.pixels, *maps, *model.hidden, model.latent,
        *model.decoder_hidden, *reversed(maps), data.pixels,
    )  # fmt: skip
    objective = f"beta {settings.beta:g}"
    if settings.warmup:
        objective += f" from epoch {settings.warmup + 1} on"
    if settings.bound == "iwae":
        objective = "importance-weighted"
    if settings.samples > 1:
        objective += f", {settings.samples} samples"
    if settings.kl == "sampled" or not model.has_closed_kl:
        objective += ", sampled KL"
    kind = "auto-encoder" if not model.family.has_density else "VAE"
    falling = f" to {settings.lr_end:g}" if settings.lr_end else ""
    corrupted = f", {settings.corrupt} {settings.level:g}"
    return (
        f"{data.name}: {len(data.train_images):,} training and "
        f"{len(data.test_images):,} test images of {height} x {width}, binarization "
        f"{settings.binarize}{corrupted * (settings.corrupt != 'none')}\n"
        f"{kind} {'-'.join(map(str, widths))} {model.activation}, posterior "
        f"{model.posterior.name}, prior {model.prior.name}"
        + f" {'-'.join(map(str, model.top))}" * bool(model.top)
        + f", likelihood {model.likelihood.name}"
        + f", {model.classes} classes" * (model.classes > 0)
        + f": {model.params.flat.size:,} parameters\n"
        f"Adam {settings.lr:g}{falling}, batch {settings.batch_size}, {objective}, "
        f"seed {settings.seed}, {threads} thread{'s' * (threads > 1)}\n"
        "nats per image, summed over pixels and latents; ELBO = -(recon + KL)\n"
    )


def line(record: EpochRecord) -> str:
    """A record under HISTORY's heading."""
    epoch, *nats, seconds = record
    columns = "{:7d} {:8.2f} {:6.2f} {:8.2f} {:8.2f} {:6.2f} {:8.2f} {:9.1f}"
    return columns.format(epoch, *nats, seconds)


def metrics(trainer: Trainer, ended: str) -> dict[str, Any]:
    """What metrics.json says: the last epoch, and how the run ended."""
    records = trainer.records
    last = records[-1]._asdict() if records else {}
    return last | {
        "seconds": sum(record.seconds for record in records),
        "parameters": trainer.model.params.flat.size,
        "ended": ended,
    }


def summary(run: Run, trainer: Trainer) -> str:
    """The last lines: what was reached, and where the pictures are."""
    records, epochs = trainer.records, trainer.settings.epochs
    lines = []
    if len(records) < epochs:
        lines.append(
            f"interrupted in epoch {len(records) + 1} of {epochs}; "
            f"`numpyvae train --resume {run.path}` goes on from there"
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
    """List the presets, a line each, with what they reached on MNIST."""
    print("nats per MNIST test image; half a minute, unless told\n")
    for name, preset in PRESETS.items():
        reached = f"; {preset.reached}" * bool(preset.reached)
        print(f"{name:17} {preset.about}{reached}")
    return 0
