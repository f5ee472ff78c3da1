"""The objectives: oracle and slopes, and that they bound what they are to bound.

Shapes: B batch, K samples.
"""

from dataclasses import FrozenInstanceError

import naive
import numpy as np
import pytest
from differences import (
    CENTRAL,
    COMPLEX,
    Array,
    Method,
    assert_rounded,
    check_gradients,
    check_pure,
    drawn,
)
from hypothesis import given
from hypothesis import strategies as st

from numpyvae import VAE
from numpyvae.pairs.objectives import (
    Elbo,
    Iwae,
    elbo_backward,
    elbo_forward,
    iwae_backward,
    iwae_forward,
)
from numpyvae.pairs.posteriors import POSTERIORS

FLOATS = (np.float32, np.float64)
LIMIT = 5  # standard errors

each_method = pytest.mark.parametrize("method", [CENTRAL, COMPLEX], ids=["fd", "cs"])
betas = st.sampled_from([1.0, 0.0, 0.3, 4.0])


@given(drawn("BK BK", FLOATS), betas)
def test_forwards_are_the_oracle(arrays: list[Array], beta: float) -> None:
    recon, kl = arrays
    assert_rounded("elbo", elbo_forward(recon, kl, beta), naive.elbo(recon, kl, beta))
    assert_rounded("iwae", iwae_forward(recon, kl)[0], naive.iwae(recon, kl))


@each_method
@given(drawn("BK BK B"), betas)
def test_backwards_are_the_slopes(
    method: Method, arrays: list[Array], beta: float
) -> None:
    recon, kl, dloss = arrays
    arguments = {"recon": recon, "kl": kl}
    drecon, dkl = elbo_backward(dloss, recon.shape[1], beta)
    check_gradients(
        method,
        lambda recon, kl: elbo_forward(recon, kl, beta),
        arguments,
        dloss,
        {"recon": drecon, "kl": dkl},
    )
    drecon, dkl = iwae_backward(dloss, iwae_forward(recon, kl)[1])
    check_gradients(
        method,
        lambda recon, kl: iwae_forward(recon, kl)[0],
        arguments,
        dloss,
        {"recon": drecon, "kl": dkl},
    )


@given(drawn("BK BK B", (*FLOATS, np.complex128)))
def test_the_dtype_stays_and_so_do_the_inputs(arrays: list[Array]) -> None:
    recon, kl, dloss = arrays
    shares = iwae_forward(recon, kl)[1]
    results = [
        elbo_forward(recon, kl, 0.5),
        *elbo_backward(dloss, 3, 0.5),
        *iwae_forward(recon, kl),
        *iwae_backward(dloss, shares),
    ]
    assert {result.dtype for result in results} == {recon.dtype}
    check_pure(elbo_forward, recon, kl, 0.5)
    check_pure(elbo_backward, dloss, 3, 0.5)
    check_pure(iwae_forward, recon, kl)
    check_pure(iwae_backward, dloss, shares)


# ---- Meaning -------------------------------------------------------------------------


@given(drawn("BK BK", FLOATS))
def test_shares_are_shares(arrays: list[Array]) -> None:
    recon, kl = arrays
    _, shares = iwae_forward(recon, kl)
    assert (shares > 0).all()
    assert_rounded("sum", shares.sum(axis=1), np.ones(len(shares)))
    weights = np.exp(-np.float64(recon) - kl)
    want = weights / weights.sum(axis=1, keepdims=True)
    # exp makes of the rounding of an exponent of up to 8 so many of its own.
    assert_rounded("shares", shares, want, steps=2)


@given(drawn("BK BK", FLOATS))
def test_the_bound_lies_between_the_best_sample_and_the_mean(
    arrays: list[Array],
) -> None:
    """min <= -log mean exp(-l) <= mean, for any losses l; the second is Jensen's."""
    losses = sum(arrays)
    loss, _ = iwae_forward(*arrays)
    slack = 16 * np.finfo(loss.dtype).eps * np.abs(losses).max(axis=1)
    assert (losses.min(axis=1) - slack <= loss).all()
    assert (loss <= losses.mean(axis=1) + slack).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_differences_do_not_overflow(dtype: type) -> None:
    recon = np.array([[1e4, 0, 3e4], [-1e4, 1e4, -1e4], [1e30, 1e30, 1e30]], dtype)
    loss, shares = iwae_forward(recon, np.zeros_like(recon))
    log_3 = np.log(3)
    assert_rounded("loss", loss[:2], np.array([log_3, np.log(1.5) - 1e4]))
    np.testing.assert_array_equal(shares[:2], [[0, 1, 0], [0.5, 0, 0.5]])
    assert_rounded("loss", loss[2:], np.array([1e30]))
    assert_rounded("shares", shares[2], np.full(3, 1 / 3))


def test_what_is_not_finite_is_told() -> None:
    loss, _ = iwae_forward(np.array([[np.nan, 1.0]]), np.zeros((1, 2)))
    assert np.isnan(loss).all()


def tiny(posterior: str, seed: int = 0) -> tuple[VAE, Array]:
    """A model of one latent, or two, with a z that matters; and binary images."""
    model = VAE(
        6, (5,), 1, "tanh", posterior=posterior, seed=seed, dtype=float, compiled=False
    )
    rng = np.random.default_rng(1)
    model.params.flat[...] = rng.standard_normal(model.params.flat.size) / 2
    return model, (rng.random((4, 6)) < 0.5).astype(float)


@pytest.mark.parametrize(
    "posterior", [p.name for p in POSTERIORS.values() if p.family.has_density]
)
def test_one_sample_is_the_elbo(posterior: str, rng: np.random.Generator) -> None:
    """The importance-weighted bound of K = 1, and the ELBO with its KL sampled."""
    model, x = tiny(posterior)
    eps = rng.standard_normal((4, 1))
    loss, grads = model.loss_and_gradient(x, eps, Iwae(1))
    want, slopes = model.loss_and_gradient(x, eps, Elbo(kl="sampled"))
    assert_rounded("loss", np.float64(loss), np.float64(want))
    assert_rounded("gradient", grads.flat, slopes.flat)


@pytest.mark.parametrize("objective", [Elbo(0.5), Elbo(0.5, kl="sampled"), Iwae(1)])
def test_samples_that_are_alike_count_as_one(
    objective: Elbo | Iwae, rng: np.random.Generator
) -> None:
    """The same eps three times: the loss and the gradient of one."""
    model, x = tiny("diagonal")
    eps = rng.standard_normal((4, 1))
    loss, grads = model.loss_and_gradient(x, eps, objective)
    three = Iwae(3) if isinstance(objective, Iwae) else Elbo(0.5, 3, objective.kl)
    again, slopes = model.loss_and_gradient(x, np.repeat(eps, 3, axis=0), three)
    assert_rounded("loss", np.float64(again), np.float64(loss))
    assert_rounded("gradient", slopes.flat, grads.flat)


def test_more_samples_are_a_tighter_bound(rng: np.random.Generator) -> None:
    """Nested samples: the bound of 2K is above the mean of its two halves' of K.

    So it rises in expectation with K; and it stays below log p(x), which an integral
    over the one latent gives, and at K = 256 nearly reaches it.
    """
    model, x = tiny("diagonal")
    at, weights = np.polynomial.hermite_e.hermegauss(60)
    p = model.decode(at[:, None])
    log_px = np.log(p) @ x.T + np.log(1 - p) @ (1 - x).T  # (nodes, images)
    truth = -np.log(weights @ np.exp(log_px) / np.sqrt(2 * np.pi)).mean()

    counts, repeats = 2 ** np.arange(9), 200
    eps = rng.standard_normal((len(x), repeats * 256, 1)).reshape(-1, 1)
    pass_ = model.forward(x, eps, objective=Elbo(1.0, repeats * 256, "sampled"))
    recon, kl = (part.reshape(-1, 256) for part in (pass_.recon, pass_.kl))
    bounds, errors = [], []
    for K in counts:
        losses, _ = iwae_forward(recon.reshape(-1, K), kl.reshape(-1, K))
        of_repeats = losses.reshape(len(x), repeats, -1).mean(axis=(0, 2))
        bounds.append(of_repeats.mean())
        errors.append(of_repeats.std() / np.sqrt(repeats))
    assert (np.diff(bounds) < 0).all(), "loss falls, bound rises"
    assert (np.array(bounds) > truth - LIMIT * np.array(errors)).all()
    assert bounds[0] - truth > LIMIT * errors[0]
    assert abs(bounds[-1] - truth) < 0.02 * (bounds[0] - truth) + LIMIT * errors[-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elbo(-1.0), "beta: found -1.0, expected"),
        (lambda: Elbo(float("nan")), "beta: found nan, expected"),
        (lambda: Elbo("1"), "beta: found '1', expected"),  # type: ignore[arg-type]
        (lambda: Elbo(samples=0), "samples: found 0, expected a whole number from 1"),
        (lambda: Elbo(kl="open"), "kl: found 'open', expected closed or sampled"),
        (lambda: Iwae(0), "samples: found 0, expected a whole number from 1"),
    ],
)
def test_bad_values_are_told(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("objective", [Elbo(), Iwae()])
def test_an_objective_does_not_change(objective: Elbo | Iwae) -> None:
    """Its checks are made once, and it is the default argument of every model."""
    with pytest.raises(FrozenInstanceError):
        objective.samples = 2
