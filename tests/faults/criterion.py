"""What torch.autograd.gradcheck would have noticed, in NumPy.

Its criterion with its defaults (fast_mode=False, float64): central differences of every
output in every entry of every input with eps = 1e-6; beside them the analytic Jacobian,
one call of backward for each output with an upstream of one 1 and zeros; each entry
within atol + rtol |difference|, atol = 1e-5, rtol = 1e-3. As torch does, backward is
called twice and must give the same (nondet_tol=0), and an upstream of zeros must give
zeros. It is applied to every pair and to a network at random places, to the reference
and to the kernels (those of checking/package/), and to whole VAEs, of every part: the
loss that `loss_and_gradient` returns in the flat vector of parameters. That is the most
that a user who has a gradient check and nothing else can do.

Run as a module in a faulty copy; exits 1 where the criterion notices something.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numpyvae import VAE
from numpyvae.checking.package import Trial, subjects
from numpyvae.kernels.backends import compiled, reference
from numpyvae.pairs.objectives import Elbo, Iwae, Objective

EPS, ATOL, RTOL = 1e-6, 1e-5, 1e-3
PLACES = 3  # of each pair


def as_tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def torch_gradcheck(
    forward: Callable[..., Any], backward: Callable[..., Any], args: tuple[Any, ...]
) -> bool:
    """Whether torch would say that `backward(dy, *args)` belongs to `forward(*args)`.

    `forward` has one output, `backward` a gradient for each argument.
    """
    args = tuple(np.array(arg, float) for arg in args)
    y = np.array(forward(*args), float)
    zero = np.zeros(y.shape)
    if any(np.any(grad) for grad in as_tuple(backward(zero, *args))):
        return False
    jacobians = [np.empty((y.size, arg.size)) for arg in args]
    for j in range(y.size):
        dy = zero.copy()
        dy.flat[j] = 1
        first, second = (
            [np.array(grad, float) for grad in as_tuple(backward(dy, *args))]
            for _ in range(2)
        )
        for arg, jacobian, grad, again in zip(
            args, jacobians, first, second, strict=True
        ):
            if grad.shape != arg.shape or not np.array_equal(grad, again):
                return False
            jacobian[j] = grad.ravel()
    for i, jacobian in enumerate(jacobians):
        for k in range(args[i].size):
            ends = []
            for step in (EPS, -EPS):
                moved = args[i].copy()
                moved.flat[k] += step
                ends.append(np.array(forward(*args[:i], moved, *args[i + 1 :]), float))
            slope = (ends[0] - ends[1]).ravel() / (2 * EPS)
            if not np.allclose(jacobian[:, k], slope, RTOL, ATOL):
                return False
    return True


MODELS: tuple[tuple[dict[str, Any], Objective], ...] = (
    *(
        ({"activation": activation, "hidden": hidden}, Elbo(0.7))
        for activation in ("tanh", "relu")
        for hidden in ((5,), (4, 4))
    ),
    (
        {"channels": (2,), "image_shape": (3, 5), "posterior": "full"},
        Elbo(0.7, 2, "sampled"),
    ),
    ({"classes": 3, "posterior": "shared", "likelihood": "gaussian-learned"}, Iwae(3)),
    ({"likelihood": "gaussian-pixels", "posterior": "fixed"}, Elbo(0.7, 2)),
    ({"likelihood": "continuous-bernoulli", "posterior": "point"}, Elbo()),
)


def whole_model(
    is_compiled: bool, arguments: dict[str, Any], objective: Objective
) -> Trial:
    """The loss and its gradient as a user gets them."""
    rng, K = np.random.default_rng(5), objective.samples
    model = VAE(
        15, latent=2, dtype=float, compiled=is_compiled,
        **{"hidden": (4,), "activation": "tanh", **arguments},
    )  # fmt: skip
    images, eps = rng.integers(0, 2, (3, 15)), rng.standard_normal((3 * K, 2))
    x = model.as_input(images.astype(np.uint8), binary=True)
    given = {"labels": rng.integers(0, 3, 3)} if model.classes else {}

    def forward(flat: Any) -> Any:
        model.params.flat[:] = flat
        return model.loss_and_gradient(x, eps, objective, **given)[0]

    def backward(dloss: Any, flat: Any) -> Any:
        model.params.flat[:] = flat
        return dloss * model.loss_and_gradient(x, eps, objective, **given)[1].flat

    return Trial(forward, backward, (model.params.flat.copy(),), ("params",))


def trials() -> Iterator[tuple[str, Trial]]:
    for code, pairs in (("reference", reference), ("compiled", compiled)):
        for arguments, objective in MODELS:
            trial = whole_model(code == "compiled", arguments, objective)
            yield f"VAE of {arguments}, {objective}, {code}", trial
        for subject in subjects():
            rng = np.random.default_rng(4)
            for _ in range(PLACES if subject.has_twin or code == "reference" else 0):
                yield f"{subject.name}, {code}", subject.draw(rng, pairs)


def noticed() -> str:
    """What the criterion notices, "" if nothing; an error is noticed, too."""
    for name, trial in trials():
        try:
            right = torch_gradcheck(trial.forward, trial.backward, trial.args)
        except Exception as error:
            return f"{name}: {type(error).__name__}"
        if not right:
            return name
    return ""


if __name__ == "__main__":
    name = noticed()
    print(name)
    sys.exit(bool(name))
