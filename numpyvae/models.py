"""The variational auto-encoder: forward, and the same list mirrored.

Nothing is hidden: `forward` returns every intermediate, `backward` takes it.

Shapes: B batch, D pixels, Z latents, P parameters. Units: nats per image; sums over
pixels and latents, means over the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import backends
from .errors import ArgumentError, expect_number, expect_whole
from .kernels import ActivePixels, Input, active_pixels
from .networks import MLP
from .ops import ACTIVATIONS, Array, activate
from .params import Parameters, initialise
from .workspace import Allocate, fresh


class Forward(NamedTuple):
    """All that the forward pass computed, in the order in which it did."""

    hs: list[Any]  # encoder: x, hidden layers, (mu | logvar) (B, 2Z)
    mu: Array  # (B, Z)
    logvar: Array  # (B, Z)
    kl: Array  # (B,) KL(q(z|x) || p(z))
    sigma: Array  # (B, Z)
    z: Array  # (B, Z)
    gs: list[Array]  # decoder: z, hidden layers, logits (B, D)
    p: Array  # (B, D) pixel means
    recon: Array  # (B,) -log p(x|z)

    def first_overflow(self) -> str:
        """The name of the first step whose results are not all finite, or ""."""
        steps = {
            **{f"encoder layer {i}": h for i, h in enumerate(self.hs[1:], 1)},
            "the KL": self.kl,
            "sigma": self.sigma,
            **{f"decoder layer {i}": g for i, g in enumerate(self.gs[1:], 1)},
            "the reconstruction": self.recon,
        }
        bad = (name for name, array in steps.items() if not np.isfinite(array).all())
        return next(bad, "")

    @property
    def recon_sum(self) -> float:
        """The sum of recon over the batch, in float64."""
        return float(self.recon.sum(dtype=np.float64))

    @property
    def kl_sum(self) -> float:
        """The sum of kl over the batch, in float64."""
        return float(self.kl.sum(dtype=np.float64))


class VAE:
    """A Gaussian encoder q(z|x), a Bernoulli decoder p(x|z) and the prior N(0, I).

    The encoder is a stack of dense layers from D pixels to mu and logvar, 2 Z outputs;
    the decoder one from Z latents to D logits.
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: Sequence[int] = (400,),
        latent: int = 20,
        activation: str = "relu",
        *,
        decoder_hidden: Sequence[int] | None = None,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
        compiled: bool = True,
        params: Array | None = None,
    ) -> None:
        """Build the networks and draw their parameters from `seed`.

        `hidden` are the widths of the encoder's hidden layers; the decoder's are the
        same mirrored, or `decoder_hidden`. `compiled` chooses numba's kernels over the
        NumPy reference; both compute the same. `params` (P,) are taken, not copied,
        in place of drawn ones.

        Raises ArgumentError for a width below 1, an unknown activation, or a dtype that
        is neither float32 nor float64 nor, for the reference alone, complex128, and
        ValueError for `params` of another size.
        """
        self.hidden = _widths("hidden", hidden)
        self.decoder_hidden = self.hidden[::-1]
        if decoder_hidden is not None:
            self.decoder_hidden = _widths("decoder_hidden", decoder_hidden)
        expect_whole("pixels", pixels, 1)
        expect_whole("latent", latent, 1)
        expect_whole("seed", seed, 0)
        if activation not in ACTIVATIONS:
            raise ArgumentError(
                f"activation: found {activation!r}, expected one of "
                + ", ".join(ACTIVATIONS)
            )
        kinds = ["float32", "float64"] + ["complex128"] * (not compiled)
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            self.dtype = np.dtype(object)
        if self.dtype.name not in kinds:
            raise ArgumentError(f"dtype: found {dtype}, expected {' or '.join(kinds)}")
        self.pixels, self.latent, self.activation = pixels, latent, activation
        self.compiled = compiled
        self.pairs = backends.compiled if compiled else backends.reference
        self.encoder = MLP(
            "encoder", (pixels, *self.hidden, 2 * latent), activation, on_data=True
        )
        self.decoder = MLP(
            "decoder", (latent, *self.decoder_hidden, pixels), activation, on_data=False
        )
        shapes = self.encoder.shapes() | self.decoder.shapes()
        if params is None:
            self.params = Parameters.zeros(shapes, self.dtype)
            initialise(self.params, np.random.default_rng(seed))
        elif not isinstance(params, np.ndarray):
            raise ArgumentError(
                f"params: found {type(params).__name__}, expected {self.dtype} (P,)"
            )
        elif params.dtype != self.dtype:
            raise ArgumentError(f"params: found {params.dtype}, expected {self.dtype}")
        else:
            self.params = Parameters(shapes, params)

    def arguments(self) -> dict[str, Any]:
        """What to call VAE with to get this model again, but for its parameters."""
        return {
            "pixels": self.pixels,
            "hidden": list(self.hidden),
            "latent": self.latent,
            "activation": self.activation,
            "decoder_hidden": list(self.decoder_hidden),
            "dtype": self.dtype.name,
            "compiled": self.compiled,
        }

    def forward(self, x: Input, eps: Array, array: Allocate = fresh) -> Forward:
        """Encode, sample, decode: everything the loss is made of (Eq. 10.2).

        Shapes: x (B, D) in [0, 1], eps (B, Z) drawn from N(0, I).
        """
        f, Z = self.pairs, self.latent
        hs = self.encoder.forward(x, self.params, f, array)
        mu, logvar = hs[-1][:, :Z], hs[-1][:, Z:]
        kl = f.kl_forward(mu, logvar)
        sigma = f.sigma_forward(logvar)
        z = f.reparameterize_forward(mu, sigma, eps)
        gs = self.decoder.forward(z, self.params, f, array)
        p = array("p", gs[-1].shape, gs[-1].dtype)
        recon = array("recon", (len(p),), p.dtype)
        f.bernoulli_forward(gs[-1], x, out=(recon, p))
        return Forward(hs, mu, logvar, kl, sigma, z, gs, p, recon)

    def backward(
        self,
        x: Input,
        eps: Array,
        forward: Forward,
        grads: Mapping[str, Array],
        beta: float = 1.0,
        batch: int | None = None,
        array: Allocate = fresh,
    ) -> None:
        """The gradient of the loss (Eq. 10.1), mean of recon + beta * kl.

        The calls of `forward`, mirrored (Eq. 10.3, 10.4). Overwrites `grads`. `batch`
        is the number of images that the mean is taken over, when x is a shard of them;
        the shards' gradients then add up to the batch's.
        """
        f, Z = self.pairs, self.latent
        hs, mu, logvar, _, sigma, _, gs, p, recon = forward
        drecon = np.full(len(recon), 1 / (batch or len(recon)), recon.dtype)
        dkl = drecon * beta

        dlogits = f.bernoulli_backward(
            drecon, p, x, out=array("dlogits", p.shape, p.dtype)
        )
        dz = self.decoder.backward(dlogits, gs, self.params, grads, f, array)
        dmu_z, dsigma = f.reparameterize_backward(dz, eps)
        dlogvar_z = f.sigma_backward(dsigma, sigma)
        dmu_kl, dlogvar_kl = f.kl_backward(dkl, mu, logvar)
        dh = array("dh", hs[-1].shape, dz.dtype)
        dh[:, :Z] = dmu_z + dmu_kl
        dh[:, Z:] = dlogvar_z + dlogvar_kl
        self.encoder.backward(dh, hs, self.params, grads, f, array)

    def as_input(self, images: NDArray[np.uint8], *, binary: bool) -> Input:
        """Images (B, D) as `forward` wants them.

        `binary` ones hold 0 and 1, others greys from 0 to 255. The compiled code takes
        binary ones as lists of their active pixels. Raises ArgumentError for images of
        another size.
        """
        expected = f"expected uint8 of shape (B, {self.pixels})"
        if not isinstance(images, np.ndarray):
            raise ArgumentError(f"images: found {type(images).__name__}, {expected}")
        if images.shape[1:] != (self.pixels,) or images.dtype != np.uint8:
            raise ArgumentError(
                f"images: found {images.dtype} of shape {images.shape}, {expected}"
            )
        if binary and images.max(initial=0) > 1:
            raise ArgumentError(
                f"images: found {images.max()}, expected 0 and 1 in binary ones"
            )
        if binary and self.compiled:
            return active_pixels(images)
        x = images.astype(self.dtype)
        return x if binary else x / 255

    def loss_and_gradient(
        self, x: Input, eps: Array, beta: float = 1.0
    ) -> tuple[float, Parameters]:
        """The loss, mean of recon + beta * kl in nats, and its gradient.

        Shapes: x (B, D) in [0, 1], eps (B, Z). Raises ArgumentError for other ones.
        """
        self._expect_images(x)
        _expect_matrix("eps", eps, self.latent)
        expect_number("beta", beta, "0 or more")
        if not len(x):
            raise ArgumentError("x: found 0 images, expected at least 1")
        if len(eps) != len(x):
            raise ArgumentError(
                f"eps: found {len(eps)} rows, expected {len(x)} as in x"
            )
        forward = self.forward(x, eps)
        grads = self.params.like(np.empty_like(self.params.flat))
        self.backward(x, eps, forward, grads, beta)
        return (forward.recon + beta * forward.kl).mean().item(), grads

    def encode(self, x: Input) -> tuple[Array, Array]:
        """mu and logvar of q(z|x); x (B, D) in [0, 1] -> (B, Z), (B, Z).

        Raises ArgumentError for an x of another kind.
        """
        self._expect_images(x)
        h = self.encoder.forward(x, self.params, self.pairs, fresh)[-1]
        return h[:, : self.latent], h[:, self.latent :]

    def decode(self, z: Array) -> Array:
        """The pixel means of p(x|z), in (0, 1); z (B, Z) -> (B, D).

        Raises ArgumentError for a z of another kind.
        """
        _expect_matrix("z", z, self.latent)
        logits = self.decoder.forward(z, self.params, self.pairs, fresh)[-1]
        return activate(logits, "sigmoid")

    def reconstruct(self, x: Input) -> Array:
        """The pixel means at z = mu, the mean of q(z|x); (B, D) -> (B, D)."""
        return self.decode(self.encode(x)[0])

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """The pixel means of `count` images with z from the prior -> (count, D)."""
        expect_whole("count", count, 0)
        if not isinstance(rng, np.random.Generator):
            raise ArgumentError(
                f"rng: found {type(rng).__name__}, expected a numpy.random.Generator, "
                "such as numpy.random.default_rng(0)"
            )
        return self.decode(rng.standard_normal((count, self.latent)).astype(self.dtype))

    def _expect_images(self, x: Input) -> None:
        if not isinstance(x, ActivePixels):
            _expect_matrix("x", x, self.pixels)
            if x.dtype.kind == "c" != self.dtype.kind:
                raise ArgumentError(f"x: found {x.dtype}, expected {self.dtype}")
            if x.real.min(initial=0) < 0 or x.real.max(initial=0) > 1:
                raise ArgumentError(
                    f"x: found values from {x.real.min():g} to {x.real.max():g}, "
                    "expected them in [0, 1]; `as_input` makes them from uint8 images"
                )
        elif x.width != self.pixels:
            raise ArgumentError(f"x: found {x.width} pixels, expected {self.pixels}")


def _expect_matrix(name: str, x: Array, columns: int) -> None:
    """Raise ArgumentError unless x is a matrix (B, columns) of finite floats."""
    expected = f"expected floats of shape (B, {columns})"
    if not isinstance(x, np.ndarray):
        raise ArgumentError(f"{name}: found {type(x).__name__}, {expected}")
    if x.ndim != 2 or x.shape[1] != columns or x.dtype.kind not in "fc":
        raise ArgumentError(f"{name}: found {x.dtype} of shape {x.shape}, {expected}")
    if not np.isfinite(x).all():
        raise ArgumentError(f"{name}: found NaN or infinity, expected finite numbers")


def _widths(name: str, widths: Sequence[int]) -> tuple[int, ...]:
    """Hidden widths, checked."""
    if not isinstance(widths, Sequence | np.ndarray) or isinstance(widths, str):
        raise ArgumentError(
            f"{name}: found {widths!r}, expected a list of widths, such as [400]"
        )
    for width in widths:
        expect_whole(name, width, 1)
    return tuple(int(width) for width in widths)
