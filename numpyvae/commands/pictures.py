"""`numpyvae sample` and `reconstruct`, and the pictures of a finished run."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np

from .. import figures
from ..datasets import Dataset
from ..datasets.binarize import Batches
from ..errors import expect_whole
from ..evaluate import principal_plane
from ..models import VAE
from ..ops import Array
from ..runs import Run
from ..settings import Settings
from ..train import EpochRecord


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
    model, data = run.load_model(), run.load_data(data_dir)
    path = Path(out) if out else run.path / "reconstructions.png"
    draw_reconstructions(run, model, data, count, seed, path)
    print(path)
    return 0


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
