"""Every posterior with every likelihood, network and objective: the number, its slope.

Also every prior, with every posterior that it goes with. The oracle puts a loss
together from densities alone: covariances, determinants, integrals and the mean or the
log of a mean over samples. It calls nothing of posteriors, kl, likelihoods or
objectives, and nothing of priors but what test_priors.py holds to be a density.

Shapes: B batch, K samples of each image, D pixels, Z latents, C classes.
"""

import itertools
from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest
from differences import CENTRAL, Array, assert_close, assert_rounded
from test_posteriors import GAUSSIANS
from works import with_prior

from numpyvae import VAE
from numpyvae.errors import ArgumentError
from numpyvae.kernels.active_pixels import ActivePixels
from numpyvae.model.forward import Forward
from numpyvae.model.workspace import Reused
from numpyvae.pairs.likelihoods import LIKELIHOODS
from numpyvae.pairs.objectives import Elbo, Iwae, Objective
from numpyvae.pairs.posteriors import POSTERIORS
from numpyvae.pairs.priors import PRIORS

NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {},
    "conv": {"channels": (2, 3), "image_shape": (4, 8)},
    "conditional": {"classes": 3},
}
OBJECTIVES = {
    "elbo": Elbo(),
    "elbo, K = 2": Elbo(2.5, 2),
    "sampled, K = 3": Elbo(0.5, 3, "sampled"),
    "iwae, K = 4": Iwae(4),
}
D, Z, B = 32, 3, 3


def build(
    posterior: str,
    likelihood: str,
    network: str,
    prior: str = "standard",
    **others: Any,
) -> VAE:
    """A model with parameters of all sizes: those that start at 0 as well."""
    model = with_prior(
        prior, D, (5,), Z, "tanh", posterior=posterior, likelihood=likelihood,
        **{"dtype": np.float64, **NETWORKS[network], **others},
    )  # fmt: skip
    rng = np.random.default_rng(7)
    model.params.flat[:] += 0.3 * rng.standard_normal(model.params.flat.size)
    return model


def goes_together(parts: tuple[str, str, str, str]) -> bool:
    try:
        build(*parts)
    except (ArgumentError, ValueError):
        return False
    return True


STANDARD = [*itertools.product(POSTERIORS, LIKELIHOODS, NETWORKS, ["standard"])]
OTHERS = [
    parts
    for parts in itertools.product(POSTERIORS, ["bernoulli"], NETWORKS, PRIORS)
    if parts[-1] != "standard" and goes_together(parts)
]

each_model = pytest.mark.parametrize(
    "parts", [pytest.param(parts, id="-".join(parts)) for parts in STANDARD + OTHERS]
)
each_code = pytest.mark.parametrize(
    "compiled", [False, True], ids=["reference", "compiled"]
)


def objectives_of(model: VAE) -> list[Objective]:
    return [
        objective
        for objective in OBJECTIVES.values()
        if model.family.has_density or objective.kl != "sampled"
    ]


def batch(model: VAE, objective: Objective, count: int = B) -> tuple[Array, Array, Any]:
    """Images as uint8, eps, and the labels, or None."""
    rng = np.random.default_rng(11)
    top = 2 if model.likelihood.pixels == "binary" else 256
    images = rng.integers(0, top, (count, D)).astype(np.uint8)
    images[1:2] = 0
    shape = count * objective.samples, model.noise
    eps = rng.standard_normal(shape).astype(model.dtype)
    labels = rng.integers(0, 3, count) if model.classes else None
    return images, eps, labels


def as_input(model: VAE, images: Array) -> Any:
    return model.as_input(images, binary=model.likelihood.pixels == "binary")


# ---- The oracle ----------------------------------------------------------------------


def normal(x: Array, mean: Array, covariance: Array) -> float:
    """log N(x; mean, covariance)."""
    off = x - mean
    _, logdet = np.linalg.slogdet(2 * np.pi * covariance)
    return -(off @ np.linalg.solve(covariance, off) + logdet) / 2


def full(model: VAE, h: Array) -> tuple[Array, Array]:
    below = iter(h[2 * Z :])
    L = np.diag(np.exp(h[Z : 2 * Z]))
    for i in range(Z):
        L[i, :i] = [next(below) for _ in range(i)]
    return h[:Z], L


def of_pixels(model: VAE, out: Array, x: Array) -> float:
    mean, logvar = out.reshape(D, 2).T
    return -normal(x, mean, np.diag(np.exp(logvar)))


def continuous(model: VAE, out: Array, x: Array) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    integrals = np.exp(np.outer(out, nodes + 1) / 2) @ weights / 2
    return (np.log(integrals) - out * x).sum()


def bernoulli(model: VAE, out: Array, x: Array) -> float:
    p = 1 / (1 + np.exp(-out))
    return -np.log(np.where(x, p, 1 - p)).sum()


# The mean of q(z|x), and what eps is multiplied by: a root of the covariance.
MOMENTS: dict[str, Callable[[VAE, Array], tuple[Array, Array]]] = {
    "diagonal": lambda model, h: (h[:Z], np.diag(np.exp(h[Z:] / 2))),
    "shared": lambda model, h: (
        h,
        np.diag(np.exp(model.params["posterior.logvar"] / 2)),
    ),
    "fixed": lambda model, h: (h, np.eye(Z) / 2),
    "full": full,
    "point": lambda model, h: (h, np.zeros((Z, Z))),
}
# -log p(x|z) of an image.
NLLS: dict[str, Callable[[VAE, Array, Array], float]] = {
    "bernoulli": bernoulli,
    "continuous-bernoulli": continuous,
    "gaussian": lambda model, out, x: -normal(x, out, np.eye(D)),
    "gaussian-learned": lambda model, out, x: (
        -normal(x, out, np.exp(model.params["likelihood.logvar"]) * np.eye(D))
    ),
    "gaussian-pixels": of_pixels,
    "discretized-logistic": lambda model, out, x: naive.discretized_logistic(
        *out.reshape(1, D, 2).T, x[:, None]
    ).sum(),
}


def test_every_part_has_an_oracle() -> None:
    assert MOMENTS.keys() == set(GAUSSIANS)
    assert NLLS.keys() == MEANS.keys() == LIKELIHOODS.keys()


def layers(model: VAE, name: str) -> list[tuple[Array, Array]]:
    blocks = [b for key, b in model.params.items() if key.startswith(name)]
    return list(zip(blocks[::2], blocks[1::2], strict=True))


def oracle(
    model: VAE, x: Array, seen: Array, eps: Array, labels: Any, objective: Objective
) -> tuple[float, float, float]:
    """The mean loss, and the sums of recon and kl, sample by sample."""

    def net(part: Any, name: str, row: Array, label: int | None) -> Array:
        if label is not None:
            row = np.concatenate([row, np.eye(3)[label]])
        if not model.channels:
            return naive.mlp(row[None], layers(model, name), "tanh")[0]
        return part.forward(row[None], work)[-1].y[0]

    K, work = objective.samples, model.workspace()
    point, standard = not model.family.has_density, model.prior.name == "standard"
    losses, recons, kls = [], [], []
    for i, image in enumerate(x):
        label = None if labels is None else labels[i]
        h = net(model.encoder, "encoder", seen[i], label)
        mu, L = MOMENTS[model.posterior.name](model, h)
        covariance, recon, kl = L @ L.T, [], []
        for noise in eps[i * K : (i + 1) * K]:
            z = mu + L @ noise[:Z]
            out = net(model.decoder, "decoder", z, label)
            recon.append(NLLS[model.likelihood.name](model, out, image))
            if point:
                kl.append(0.0)
            elif standard and objective.kl == "closed":
                _, logdet = np.linalg.slogdet(covariance)
                kl.append((np.trace(covariance) + mu @ mu - Z - logdet) / 2)
            elif standard:
                log_p = normal(z, np.zeros(Z), np.eye(Z))
                kl.append(normal(z, mu, covariance) - log_p)
            else:
                nll, _ = model.prior.forward(z[None], noise[None, Z:], work)
                kl.append(normal(z, mu, covariance) + nll[0])
        if isinstance(objective, Iwae):
            losses.append(-np.log(np.mean(np.exp(-np.add(recon, kl)))))
        else:
            losses.append(np.mean(recon) + objective.beta * np.mean(kl))
        recons.append(np.mean(recon))
        kls.append(np.mean(kl))
    return float(np.mean(losses)), sum(recons), sum(kls)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(parts, id="-".join(parts))
        for parts in STANDARD + OTHERS
        if parts[0] in MOMENTS and parts[1] in NLLS
    ],
)
def test_the_loss_is_what_the_densities_say(parts: tuple[str, ...]) -> None:
    models = [build(*parts, compiled=c) for c in (False, True)]
    for objective in objectives_of(models[0]):
        images, eps, labels = batch(models[0], objective)
        x = images / (1 if images.max() == 1 else 255)
        want = oracle(models[0], x, x, eps, labels, objective)
        for model in models:
            forward = model.forward(
                as_input(model, images), eps, objective=objective, labels=labels
            )
            K = objective.samples
            sums = (forward.recon.sum() / K, forward.kl.sum() / K)
            got = [forward.loss.mean(), *sums]
            # 40 nodes integrate exp to the last digit; slogdet and solve lose one or
            # two. The numbers are loss, recon and kl.
            assert_close(f"{objective}", np.array(got), np.array(want), 1e-12)


# ---- Slopes --------------------------------------------------------------------------


@each_model
def test_the_reference_gradient_is_the_slope(
    parts: tuple[str, ...],
) -> None:
    """Along a random direction, which meets every parameter; by the complex step."""
    model = build(*parts, dtype=complex, compiled=False)
    flat = model.params.flat.copy()
    direction = np.random.default_rng(3).standard_normal(flat.size)
    for objective in objectives_of(model):
        images, eps, labels = batch(model, objective)
        x = as_input(model, images)
        seen = x * 0.5  # a corrupted image
        for given in ({"labels": labels}, {"labels": labels, "seen": seen}):
            model.params.flat[:] = flat
            _, grads = model.loss_and_gradient(x, eps, objective, **given)
            model.params.flat[:] = flat + 1e-30j * direction
            forward = model.forward(x, eps, objective=objective, **given)
            slope = forward.loss.mean().imag / 1e-30
            assert_close(f"{objective}", (grads.flat @ direction).real, slope, 1e-11)


@each_model
def test_the_compiled_gradient_is_the_reference_and_the_slope(
    parts: tuple[str, ...],
) -> None:
    ways = itertools.product((False, True), (np.float64, np.float32))
    models = {way: build(*parts, compiled=way[0], dtype=way[1]) for way in ways}
    compiled = models[True, np.float64]
    rng = np.random.default_rng(5)
    direction = rng.standard_normal(compiled.params.flat.size)
    direction /= np.linalg.norm(direction)
    for objective in objectives_of(compiled):
        found = {}
        for way, model in models.items():
            images, eps, labels = batch(model, objective)
            x = as_input(model, images)
            found[way] = model.loss_and_gradient(x, eps, objective, labels=labels)
        for dtype in (np.float64, np.float32):
            (loss, grads), (want, wanted) = found[True, dtype], found[False, dtype]
            assert grads.flat.dtype == dtype
            # Four layers there and back, and a posterior's and a likelihood's steps.
            assert_rounded("loss", dtype(loss), np.float64(want), steps=12)
            assert_rounded(f"{objective}", grads.flat, wanted.flat, steps=12)
        images, eps, labels = batch(compiled, objective)
        x, flat = as_input(compiled, images), compiled.params.flat.copy()

        def loss_at(t: Array) -> float:
            compiled.params.flat[:] = flat + t[0] * direction  # noqa: B023
            return compiled.loss_and_gradient(x, eps, objective, labels=labels)[0]  # noqa: B023

        slope = CENTRAL.slopes(loss_at, np.zeros(1))
        compiled.params.flat[:] = flat
        grad = found[True, np.float64][1].flat @ direction
        # h = 6e-6: the loss's 40 nats are rounded to 4e-9 in the quotient.
        assert_close(f"{objective}", grad[None], slope, 1e-7)


@each_code
@each_model
def test_gradients_of_shards_add_up(compiled: bool, parts: tuple[str, ...]) -> None:
    """A shard may be empty; an image keeps its K rows of eps, and its label."""
    model = build(*parts, compiled=compiled)
    reused = Reused()
    for objective in objectives_of(model):
        images, eps, labels = batch(model, objective)

        def gradient(start: int, stop: int) -> tuple[Array, Forward]:
            rows, K = slice(start, stop), objective.samples  # noqa: B023
            part = eps[start * K : stop * K]  # noqa: B023
            given = None if labels is None else labels[rows]  # noqa: B023
            x, grads = as_input(model, images[rows]), model.params.unwritten()  # noqa: B023
            work = model.workspace(grads)._replace(arrays=reused)
            forward = model.forward(x, part, objective, work, labels=given)  # noqa: B023
            model.backward(part, forward, work, objective, B)  # noqa: B023
            return grads.flat, forward

        whole, forward = gradient(0, B)
        assert np.isfinite(whole).all()  # nothing is left of what was there before
        # An importance weight is an exponential: of hundreds of nats, a step for each.
        nats = np.abs(forward.recon).max() if isinstance(objective, Iwae) else 0
        steps = 1 + int(nats / 100)
        for cut in (0, 1):
            parts_sum = gradient(0, cut)[0] + gradient(cut, B)[0]
            assert_rounded("sum", parts_sum, whole, steps)


# ---- Denoising -----------------------------------------------------------------------


@each_code
@pytest.mark.parametrize("network", NETWORKS)
def test_the_encoder_sees_the_corrupted_image_the_loss_the_clean_one(
    compiled: bool, network: str
) -> None:
    model, objective = build("full", "bernoulli", network, compiled=compiled), Elbo()
    images, eps, labels = batch(model, objective)
    x, seen = as_input(model, images), np.random.default_rng(1).random((B, D))
    forward = model.forward(x, eps, labels=labels, seen=seen)
    loss, *_ = oracle(model, images / 1, seen, eps, labels, objective)
    assert_close("loss", forward.loss.mean(), np.float64(loss), 1e-12)
    mu, sigma = model.encode(seen, labels)
    np.testing.assert_array_equal(forward.code.mu, mu)
    np.testing.assert_allclose(sigma**2, (forward.code.scale**2).sum(axis=2))


# ---- Using a model -------------------------------------------------------------------


def quadrature_mean(logit: float) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x = (nodes + 1) / 2
    density = weights * np.exp(logit * x)
    return (density @ x) / density.sum()


def sum_over_levels(out: Array) -> Array:
    """The mean of 256 levels, from the probability of each."""
    mean, log_scale = out.reshape(-1, 1, 2).T
    total = np.zeros(mean.size)
    for x in np.linspace(0, 1, 256):
        nll = naive.discretized_logistic(mean.T, log_scale.T, np.full(mean.T.shape, x))
        total += x * np.exp(-nll)
    return total.reshape(len(out), D)


MEANS: dict[str, Callable[[Array], Any]] = {
    "bernoulli": lambda out: 1 / (1 + np.exp(-out)),
    "continuous-bernoulli": np.vectorize(quadrature_mean),
    "gaussian": lambda out: out,
    "gaussian-learned": lambda out: out,
    "gaussian-pixels": lambda out: out.reshape(len(out), D, 2)[:, :, 0],
    "discretized-logistic": sum_over_levels,
}


@each_code
@pytest.mark.parametrize("likelihood", MEANS)
@pytest.mark.parametrize("network", NETWORKS)
def test_decode_gives_the_pixel_means(
    compiled: bool, likelihood: str, network: str
) -> None:
    model = build("diagonal", likelihood, network, compiled=compiled)
    images, eps, labels = batch(model, Elbo())
    forward = model.forward(as_input(model, images), eps, labels=labels)
    want = MEANS[likelihood](forward.gs[-1].y)
    assert_close("decode", model.decode(forward.code.z, labels), want, 1e-13)
    assert_close(
        "reconstruct",
        model.reconstruct(as_input(model, images), labels),
        model.decode(model.encode(as_input(model, images), labels)[0], labels),
        0,
    )


@each_code
@pytest.mark.parametrize("posterior", MOMENTS)
def test_encode_gives_the_posteriors_mean_and_deviations(
    compiled: bool, posterior: str
) -> None:
    model = build(posterior, "bernoulli", "dense", compiled=compiled)
    images, *_ = batch(model, Elbo())
    x = as_input(model, images)
    hs = naive.mlp(images, layers(model, "encoder"), "tanh")
    mu, sigma = model.encode(x)
    for i, h in enumerate(hs):
        mean, L = MOMENTS[posterior](model, h)
        assert_close("mu", mu[i], mean, 1e-13)
        assert_close("sigma", sigma[i], np.sqrt(np.diag(L @ L.T)), 1e-13)


@each_code
def test_labels_decide_what_is_drawn(compiled: bool) -> None:
    model = build("diagonal", "gaussian", "conditional", compiled=compiled)
    labels = np.array([0, 1, 2, 1])
    drawn = model.sample(4, np.random.default_rng(2), labels)
    z = np.random.default_rng(2).standard_normal((4, Z))
    zs = np.hstack([z, np.eye(3)[labels]])
    assert_rounded("x", drawn, naive.mlp(zs, layers(model, "decoder"), "tanh"))


def test_only_dense_bernoulli_models_are_given_lists() -> None:
    bits = np.ones((2, D), np.uint8)
    for likelihood, network in itertools.product(LIKELIHOODS, NETWORKS):
        lists = likelihood == "bernoulli" and network != "conv"
        for compiled in (False, True):
            model = build("diagonal", likelihood, network, compiled=compiled)
            x = model.as_input(bits, binary=True)
            assert isinstance(x, ActivePixels) == (lists and compiled)


@each_model
def test_arguments_build_the_model_again(parts: tuple[str, ...]) -> None:
    model = build(*parts)
    again = VAE(**model.arguments(), params=model.params.flat)
    assert again.arguments() == model.arguments()
    assert list(again.params.shapes.items()) == list(model.params.shapes.items())


@pytest.mark.parametrize("objective", [Elbo(kl="sampled"), Iwae(2)])
def test_a_point_has_no_density(objective: Objective) -> None:
    model = build("point", "bernoulli", "dense")
    images, eps, _ = batch(model, objective)
    with pytest.raises(ArgumentError, match=r"^kl: found 'sampled', .* 'closed'"):
        model.loss_and_gradient(as_input(model, images), eps, objective)


# ---- Numbers that are hard to hold ---------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_unlikely_image_has_a_finite_bound(dtype: type) -> None:
    """Its weights, exp(-1e4), are 0 in any dtype; their shares of the sum are not."""
    recon = np.array([[1e4, 1e4 + 1, 1e4], [-1e4, -1e4, -2e4]], dtype)
    loss, shares = Iwae(3).forward(recon, np.zeros((2, 3), dtype))
    e = np.exp(-1.0)
    assert loss.dtype == shares.dtype == dtype
    assert_rounded("loss", loss, [1e4 - np.log((2 + e) / 3), -2e4 + np.log(3)])
    assert_rounded("share", shares, np.array([[1, e, 1], [0, 0, 2 + e]]) / (2 + e))


@pytest.mark.parametrize("logit", [0.0, 1e-12, -1e-7, 1e-4, -0.49, 0.51])
def test_a_faint_logit_keeps_its_digits(logit: float) -> None:
    """The continuous mean is 1/2 + l/12 - l^3/720 + l^5/30240 near 0."""
    model = VAE(1, (1,), 1, likelihood="continuous-bernoulli", dtype=np.float64)
    model.params.flat[:] = 0
    model.params["decoder.1.b"][:] = logit
    want = 1 / 2 + logit / 12 - logit**3 / 720 + logit**5 / 30240 - logit**7 / 1209600
    # The next term is l^9 / 47900160; rounding, where that is nothing.
    error = max(abs(logit) ** 9 / 4e7, 4 * np.finfo(float).eps)
    got = model.decode(np.zeros((1, 1)))[0, 0]
    assert_close("mean", got, np.float64(want), error)
