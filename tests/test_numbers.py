"""Numbers at the edge: finite, or refused by name; never silently NaN."""

import contextlib
import csv
import json
import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from data import tiny, write_idx

from numpyvae import VAE, Dataset, train
from numpyvae.cli import parser as cli
from numpyvae.datasets.binarize import BINARIZATIONS
from numpyvae.errors import DivergedError
from numpyvae.pairs.likelihoods import LIKELIHOODS
from numpyvae.pairs.objectives import Elbo
from numpyvae.pairs.posteriors import POSTERIORS
from numpyvae.runs.checkpoint import load_checkpoint, save_checkpoint

KINDS = [
    {"compiled": compiled, "dtype": dtype}
    for compiled in (False, True)
    for dtype in (np.float32, np.float64)
]
each_kind = pytest.mark.parametrize(
    "kind",
    KINDS,
    ids=lambda k: (
        f"{'compiled' if k['compiled'] else 'reference'}-{k['dtype'].__name__}"
    ),
)
DATA = tiny(train=40, test=10)
GREY = tiny(8, 8, train=40, test=10)
IWAE = {"bound": "iwae", "samples": 3, "lr": 100.0}
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}  # of a sum of 48 terms, relative
PLACE = r"(encoder layer \d|decoder layer \d|z|recon|kl|log q\(z\|x\)|-log p\(z\))"


def images(grey: int, height: int = 8, width: int = 6, train: int = 40) -> Dataset:
    return replace(
        tiny(height, width, train, 10),
        train_images=np.full((train, height, width), grey, np.uint8),
    )


def constant(layer: str, bias: Any, kind: dict[str, Any]) -> VAE:
    """A model of which one layer gives the same output for every input."""
    model = VAE(48, (4,), 2, **kind)
    model.params[f"{layer}.W"][...] = 0
    model.params[f"{layer}.b"][...] = bias
    return model


def run(model: VAE, data: Dataset = DATA, **settings: Any) -> list[float]:
    """All nats of a training, and its final parameters."""
    records = train(model, data, progress=False, **{"epochs": 2, **settings})
    nats = [number for record in records for number in record[1:-1]]
    return [*nats, *model.params.flat.tolist()]


def all_finite(numbers: list[float]) -> bool:
    return all(map(math.isfinite, numbers))


@each_kind
@pytest.mark.parametrize("logit", [1e4, -1e4])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "grey"])
def test_huge_logits(logit: float, binary: bool, kind: dict[str, Any]) -> None:
    """The loss is |l| for each pixel on the wrong side, and 0 on the right one."""
    model = constant("decoder.1", logit, kind)
    black_and_white = np.repeat(np.array([[0], [1]], np.uint8), 48, axis=1)
    x = model.as_input(black_and_white * (1 if binary else 255), binary=binary)
    eps = np.ones((2, 2), model.dtype)
    recon = model.forward(x, eps).recon
    expected = [48e4, 0] if logit > 0 else [0, 48e4]
    np.testing.assert_allclose(recon, expected, TOLERANCE[kind["dtype"]], 0)
    loss, grads = model.loss_and_gradient(x, eps)
    assert math.isfinite(loss) and np.isfinite(grads.flat).all()
    wrong_side = 0.5 if logit > 0 else -0.5  # of the mean over two images
    np.testing.assert_array_equal(grads["decoder.1.b"], wrong_side)
    assert all_finite(run(model))


@each_kind
def test_logvar_of_minus_100(kind: dict[str, Any]) -> None:
    """sigma = 2e-22 is not 0 and the KL is 99 / 2 nats for each latent, less mu."""
    model = constant("encoder.1", [0.0, 0.0, -100.0, -100.0], kind)
    x = np.zeros((3, 48), model.dtype)
    forward = model.forward(x, np.ones((3, 2), model.dtype))
    np.testing.assert_allclose(forward.kl, 99.0, TOLERANCE[kind["dtype"]])
    np.testing.assert_allclose(
        forward.code.scale, math.exp(-50), TOLERANCE[kind["dtype"]]
    )
    _, grads = model.loss_and_gradient(x, np.ones((3, 2), model.dtype))
    np.testing.assert_array_equal(grads["encoder.1.b"][2:], -0.5)
    assert all_finite(run(model))


@each_kind
def test_logvar_of_100(kind: dict[str, Any]) -> None:
    """exp(100) is a number in float64 and none in float32: there it is refused."""
    model = constant("encoder.1", [0.0, 0.0, 100.0, 100.0], kind)
    before = model.params.flat.copy()
    if kind["dtype"] is np.float64:
        kl = model.forward(np.zeros((1, 48)), np.ones((1, 2))).kl
        np.testing.assert_allclose(kl, math.exp(100), 1e-13)
        assert all_finite(run(model))
    else:
        with pytest.raises(DivergedError, match=r"^step 1: .* from kl on; .*lr"):
            run(model)
        np.testing.assert_array_equal(model.params.flat, before)


@each_kind
@pytest.mark.parametrize("how", BINARIZATIONS)
@pytest.mark.parametrize("grey", [0, 255])
def test_images_of_one_grey(grey: int, how: str, kind: dict[str, Any]) -> None:
    """They are learned: every logit goes to its side."""
    model = VAE(48, (4,), 2, **kind)
    first, *_ = run(model, images(grey), binarize=how, batch_size=10, epochs=1)
    last, *rest = run(model, images(grey), binarize=how, batch_size=10, lr=0.1)
    assert all_finite([first, last, *rest]) and last < first
    p = model.decode(np.zeros((1, 2), model.dtype))
    assert (p < 0.5).all() if grey == 0 else (p > 0.5).all()


@each_kind
@pytest.mark.parametrize(
    ("shape", "hidden", "latent", "batch_size"),
    [
        ((8, 6, 1), (4,), 2, 128),  # one image: a shard is empty
        ((8, 6, 41), (4,), 2, 20),  # a last batch of one
        ((8, 6, 40), (4,), 2, 1),
        ((8, 6, 40), (4,), 2, 10**9),
        ((8, 6, 40), (4,), 1, 16),
        ((3, 4, 40), (4,), 50, 16),  # Z > D
        ((1, 1, 40), (4,), 2, 16),  # D = 1
        ((1, 1, 1), (), 1, 1),
        ((8, 6, 40), (), 2, 16),
        ((8, 6, 40), (1, 1, 1), 1, 16),
        ((1, 65, 40), (4,), 2, 16),  # a pixel more than a block of the kernel's sum
    ],
)
@pytest.mark.parametrize("how", ["dynamic", "none"])
def test_small_shapes(
    how: str,
    shape: tuple[int, int, int],
    hidden: tuple[int, ...],
    latent: int,
    batch_size: int,
    kind: dict[str, Any],
) -> None:
    """Finite, and the reference in float64 gives the same to rounding."""
    height, width, count = shape
    grey = np.random.default_rng(0).integers(0, 256, (count + 2, height, width))
    grey = grey.astype(np.uint8)
    labels = np.zeros(count + 2, np.uint8)
    data = Dataset("a", grey[2:], labels[2:], grey[:2], labels[:2])
    results = [
        run(VAE(height * width, hidden, latent, **k), data,
            binarize=how, batch_size=batch_size, epochs=1)
        for k in (kind, KINDS[1])
    ]  # fmt: skip
    assert all_finite(results[0]) and results[0][0] > 0  # no image was left out
    tolerance = 2e-3 if kind["dtype"] is np.float32 else 1e-9  # after up to 40 steps
    np.testing.assert_allclose(results[0][:6], results[1][:6], tolerance, 1e-6)


@each_kind
@pytest.mark.parametrize("lr", [1e160, 1e300])
def test_a_huge_lr_stops_with_step_place_and_advice(
    lr: float, kind: dict[str, Any]
) -> None:
    with pytest.raises(DivergedError) as caught:
        run(VAE(48, (4,), 2, **kind), lr=lr, batch_size=10)
    advice = re.escape(f"try a smaller lr than {lr:g}")
    assert re.fullmatch(
        rf"step 2: found recon \S+ and KL \S+ nats, not finite from {PLACE} on; "
        rf"expected finite numbers: {advice}",
        str(caught.value),
    )


@each_kind
@pytest.mark.parametrize("lr", [1.0, 1e3, 1e6, 1e10, 1e20, 1e38])
def test_a_large_lr_gives_finite_numbers_or_stops(
    lr: float, kind: dict[str, Any]
) -> None:
    try:
        numbers = run(VAE(48, (4,), 2, **kind), lr=lr, batch_size=10)
    except DivergedError as error:
        assert re.match(rf"step \d+: .*({PLACE}|the test images)", str(error))
        assert f"smaller lr than {lr:g}" in str(error)
    else:
        assert all_finite(numbers)


@each_kind
def test_beta_of_0_is_the_reconstruction_alone(kind: dict[str, Any]) -> None:
    model = constant("encoder.1", [0.0, 0.0, -100.0, -100.0], kind)
    x, eps = np.zeros((3, 48), model.dtype), np.zeros((3, 2), model.dtype)
    loss, grads = model.loss_and_gradient(x, eps, Elbo(0))
    assert loss == pytest.approx(model.forward(x, eps).recon.sum() / 3, rel=1e-5)
    np.testing.assert_array_equal(grads["encoder.1.b"][2:], 0)
    assert all_finite(run(model, beta=0))


@each_kind
def test_a_huge_beta_kills_the_kl_and_one_too_huge_is_refused(
    kind: dict[str, Any],
) -> None:
    model = VAE(48, (4,), 2, **kind)
    numbers = run(model, beta=1e10, batch_size=10, lr=0.1)
    assert all_finite(numbers)
    assert numbers[7] < numbers[1] / 2  # train_kl of the two epochs
    if kind["dtype"] is np.float32:
        with pytest.raises(DivergedError, match=r"or beta than 1e\+300"):
            run(model, beta=1e300)
        # Adam's v overflows, and every step would be 0.
        with pytest.raises(DivergedError, match=r"^step \d+: found adam_v of encoder"):
            run(VAE(48, (4,), 2, **kind), beta=1e30)


@pytest.mark.parametrize("lr", ["1e3", "1e10", "1e30", "1e300"])
def test_a_run_that_diverges_leaves_no_nan(
    lr: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in history.csv, in metrics.json or in the checkpoint."""
    source, folder = write_idx(tmp_path / "three", DATA), tmp_path / "run"
    code = cli.main(
        f"train --data idx --data-dir {source} --out {folder} --hidden 4 --latent 2 "
        f"--epochs 3 --batch-size 10 --lr {lr}".split()
    )
    assert code == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert (
        told.startswith("numpyvae: step ") and f"smaller lr than {float(lr):g}" in told
    )
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(math.isfinite(float(cell)) for row in rows for cell in row.values())
    metrics = json.loads(
        (folder / "metrics.json").read_text(encoding="utf-8"),
        parse_constant=pytest.fail,
    )
    assert metrics["ended"].startswith("step ")
    arrays, _ = load_checkpoint(folder)
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("compiled", [False, True], ids=["reference", "compiled"])
@pytest.mark.parametrize(
    "settings",
    [{"lr": 3.0}, {"lr": 100.0}, {"lr": 1e10}, {"beta": 1e300}, IWAE],
    ids=lambda s: " ".join(map(str, [*s, *s.values()])),
)
def test_no_model_diverges_with_a_warning(
    settings: dict[str, Any], compiled: bool
) -> None:
    """They are errors here; each model trains, or stops with what it found."""
    for posterior, likelihood in product(POSTERIORS, LIKELIHOODS):
        for layers in ({"hidden": (6,)}, {"hidden": (), "channels": (2,)}):
            if posterior == "point" and settings.keys() & {"beta", "bound"}:
                continue
            model = VAE(
                64, latent=3, posterior=posterior, likelihood=likelihood,
                compiled=compiled, **layers,
            )  # fmt: skip
            with contextlib.suppress(DivergedError):
                numbers = run(model, GREY, binarize="none", batch_size=10, **settings)
                assert all_finite(numbers), (posterior, likelihood, layers)


@pytest.mark.slow("six commands on each model")
@pytest.mark.parametrize("scale", [1e5, 1e19, 1e35])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_commands_on_weights_of_any_size_serve_or_say_why_not(
    posterior: str,
    scale: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a warning, which is an error here; finite weights are no promise."""
    source = write_idx(tmp_path / "three", GREY)
    for likelihood in LIKELIHOODS:
        folder = tmp_path / likelihood
        train_it = (
            f"train --data idx --data-dir {source} --out {folder} --hidden 6 "
            f"--latent 2 --epochs 1 --binarize none --posterior {posterior} "
            f"--likelihood {likelihood}"
        )
        with patch("numpyvae.cli.commands.training.draw"):
            assert cli.main(train_it.split()) == 0
        arrays, state = load_checkpoint(folder)
        largest = np.finfo(np.float32).max
        params = arrays["params"] * np.float64(scale)
        arrays["params"] = params.clip(-largest, largest).astype(np.float32)
        save_checkpoint(folder, arrays, state)
        capsys.readouterr()
        commands = [
            f"evaluate {folder}" + " --samples 2" * (posterior != "point"),
            f"sample {folder} --count 4",
            f"reconstruct {folder} --count 4",
            f"classify {folder} --labels 10 --draws 2",
        ]
        if likelihood == "bernoulli":  # these take longest
            commands += [
                f"compare {folder} {folder} --out {tmp_path / 'compared'}",
                f"plot {folder} latents manifold",
            ]
        for command in commands:
            code = cli.main(command.split())
            told = capsys.readouterr().err.splitlines()
            assert code in (0, 2), command
            assert len(told) == code // 2, (command, told)
