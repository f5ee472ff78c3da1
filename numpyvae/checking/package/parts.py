"""The parts of a model, each by itself: whatever the registries have.

Shapes: B batch, D pixels, Z latents, E outputs of an encoder, N a prior's own noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...kernels.active_pixels import active_pixels
from ...kernels.backends import compiled
from ...kernels.dense import KERNELS
from ...model.vae import VAE
from ...pairs.activations import ACTIVATIONS, Activation
from ...pairs.kl import CLOSED
from ...pairs.likelihoods import LIKELIHOODS, Bernoulli, Likelihood
from ...pairs.posteriors import POSTERIORS, Family, Posterior
from ...pairs.priors import PRIORS, Prior
from ...pairs.reference import Reference
from ...pairs.types import Array
from ...pairs.work import Work
from .trials import Subject, Trial, block, code_for, normal, sizes, work_for

Pass = Callable[[Any, Work], Any]  # from what comes in, a part's result
Back = Callable[[Any, Any, Work], Any]  # and the gradient of what came in


def _trial(
    rng: np.random.Generator,
    code: Reference,
    x: tuple[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
    passes: tuple[Pass, Back],
) -> Trial:
    """A part with parameters of its own, as a function of its input and of them."""
    forward_, backward_ = passes
    names = tuple(shapes)

    def forward(x: Any, *blocks: Any) -> Any:
        return forward_(x, work_for(code, dict(zip(names, blocks, strict=True)), x))

    def backward(dy: Any, x: Any, *blocks: Any) -> tuple[Any, ...]:
        work = work_for(code, dict(zip(names, blocks, strict=True)), x)
        return backward_(dy, x, work), *work.grads.values()

    blocks = (block(rng, shape) for shape in shapes.values())
    return Trial(forward, backward, (x[1], *blocks), (x[0], *names))


# ---- Activations ---------------------------------------------------------------------


def _activation(f: Activation, rng: np.random.Generator, code: Reference) -> Trial:
    def forward(a: Any) -> Any:
        return f.forward(a) if code is not compiled else into(a)

    def into(a: Array) -> Array:
        return code.activation_forward(f, a, np.empty_like(a))

    def backward(dy: Any, a: Any) -> Any:
        y = forward(a)
        kept = a if f.reads_input else y
        return code_for(code, a).activation_backward(f, dy, kept, y)

    return Trial(forward, backward, (2 * normal(rng, *sizes(rng, 2)),), ("a",))


# ---- Likelihoods ---------------------------------------------------------------------


def _likelihood(p: Likelihood, rng: np.random.Generator, code: Reference) -> Trial:
    """Outputs from near 0, where formulas change, to where they saturate."""
    B, D = sizes(rng, 2)
    x: Any = _pixels(p, rng, B, D)
    if code is compiled and type(p) is Bernoulli and np.isin(x, (0, 1)).all():
        x = active_pixels(x.astype(np.uint8))
    out = normal(rng, B, p.outputs * D) * 10.0 ** rng.uniform(-3, 0.7)

    def forward(out: Any, work: Work) -> Any:
        return p.forward(out, x, work)[0]

    def backward(dnll: Any, out: Any, work: Work) -> Any:
        return p.backward(dnll, out, p.forward(out, x, work)[1], x, work)

    return _trial(rng, code, ("out", out), p.shapes(), (forward, backward))


def _pixels(p: Likelihood, rng: np.random.Generator, B: int, D: int) -> Array:
    """What it is a density of; for that of bits greys, too, as the lessons do."""
    if p.pixels == "binary" and rng.integers(2):
        return (rng.random((B, D)) < 0.3).astype(float)
    if p.levels:
        greys = rng.integers(p.levels, size=(B, D))
        ends = rng.choice([0, p.levels - 1], (B, D))
        return np.where(rng.random((B, D)) < 0.5, greys, ends) / (p.levels - 1)
    return rng.random((B, D))


# ---- Posteriors ----------------------------------------------------------------------


def _posterior(kind: Posterior, rng: np.random.Generator, code: Reference) -> Trial:
    """z and log q(z|x) side by side, as functions of the encoder's outputs."""
    B, Z = sizes(rng, 2, largest=5)
    family = kind.family(Z)
    head, eps = kind.head(family, Z), normal(rng, B, Z)

    def forward(h: Any, work: Work) -> Any:
        made = family.forward(head.forward(h, work.params), eps, work)
        if not family.has_density:
            return made.z
        return np.hstack([made.z, family.log_prob(made, eps)[:, None]])

    def backward(dy: Any, h: Any, work: Work) -> Any:
        made = family.forward(head.forward(h, work.params), eps, work)
        dlog = dy[:, Z] if family.has_density else None
        ds = family.backward(dy[:, :Z], dlog, made, eps, work)
        return head.backward(ds, work.grads)

    shapes = {**head.shapes(), **family.shapes()}
    h = normal(rng, B, head.outputs)
    return _trial(rng, code, ("h", h), shapes, (forward, backward))


# ---- Priors --------------------------------------------------------------------------


def _with_prior(name: str, D: int, Z: int) -> VAE:
    """A small model, with a second layer of latents if the prior wants one."""
    how: dict[str, Any] = {"prior": name, "dtype": float, "compiled": False}
    try:
        return VAE(D, [2], Z, "tanh", **how)
    except ArgumentError:
        return VAE(D, [2], Z, "tanh", **how, top=[2, 2])


def _prior(name: str, rng: np.random.Generator, code: Reference) -> Trial:
    """-log p(z), as a function of z and of all that the prior asks in the model."""
    B, Z, D = sizes(rng, 3, largest=4)
    model = _with_prior(name, D, Z)
    prior, eps = model.prior, normal(rng, B, model.prior.noise)
    z = normal(rng, B, Z)
    work = model.workspace(model.params.unwritten())
    _, kept = prior.forward(z, eps, work)
    _, shared = prior.backward(np.ones(B), z, kept, eps, work)
    shapes = {
        name: shape
        for name, shape in model.params.shapes.items()
        if name in prior.shapes() or name in shared
    }

    def forward(z: Any, work: Work) -> Any:
        return prior.forward(z, eps, work)[0]

    def backward(dnll: Any, z: Any, work: Work) -> Any:
        dz, shared = prior.backward(dnll, z, prior.forward(z, eps, work)[1], eps, work)
        for name, grad in shared.items():
            work.grads[name][...] = grad
        return dz

    return _trial(rng, code, ("z", z), shapes, (forward, backward))


# ---- Closed forms of the KL ----------------------------------------------------------


def _closed_kl(
    kinds: tuple[type[Family], type[Prior]], rng: np.random.Generator, code: Reference
) -> Trial:
    B, Z = sizes(rng, 2)
    family, rate = kinds[0](Z), CLOSED[kinds]
    eps = normal(rng, B, Z)

    def forward(s: Any, work: Work) -> Any:
        terms, _ = rate.forward(family.forward(s, eps, work), eps, work)
        return terms["kl"]

    def backward(dkl: Any, s: Any, work: Work) -> Any:
        made = family.forward(s, eps, work)
        _, kept = rate.forward(made, eps, work)
        ds = rate.backward(dkl, made, kept, eps, work).ds
        return np.zeros_like(s) if isinstance(ds, float) else ds

    s = normal(rng, B, family.statistics)
    return _trial(rng, code, ("s", s), {}, (forward, backward))


def subjects() -> tuple[Subject, ...]:
    """One for each part that is registered, also by a user's script."""
    return (
        *(
            Subject(
                f"activation {name}", f.equations, partial(_activation, f), f in KERNELS
            )
            for name, f in ACTIVATIONS.items()
        ),
        *(
            Subject(
                f"likelihood {name}", p.equations, partial(_likelihood, p),
                type(p) is Bernoulli,
            )
            for name, p in LIKELIHOODS.items()
        ),
        *(
            Subject(f"posterior {name}", q.equations, partial(_posterior, q), False)
            for name, q in POSTERIORS.items()
        ),
        *(
            Subject(f"prior {name}", prior.equations, partial(_prior, name), False)
            for name, prior in PRIORS.items()
        ),
        *(
            Subject(
                f"KL {q.__name__} || {p.__name__}", CLOSED[q, p].equations,
                partial(_closed_kl, (q, p)), False,
            )
            for q, p in CLOSED
        ),
    )  # fmt: skip
