"""The variational auto-encoder: forward, and the same list mirrored.

A model is put together from an encoder, a posterior, a decoder and a likelihood; what
is trained is an objective of the two numbers that it gives for each sample. Nothing is
hidden: `forward` returns every intermediate, `backward` takes it.

Shapes: B batch, K samples of each image, D pixels, Z latents, P parameters. Units: nats
per image; sums over pixels and latents, means over the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ArgumentError, expect_whole
from ..kernels import backends
from ..kernels.active_pixels import Input, active_pixels, append, one_hot, repeat
from ..pairs.dense import ACTIVATIONS, Array
from ..pairs.likelihoods import LIKELIHOODS
from ..pairs.objectives import ELBO, Objective
from ..pairs.posteriors import POSTERIORS, Code
from .arguments import (
    expect_bytes,
    expect_dtype,
    expect_images,
    expect_labels,
    expect_matrix,
    expect_one_of,
    expect_shape,
    expect_vector,
    expect_widths,
)
from .networks import decoder, encoder
from .params import Parameters
from .workspace import Allocate, fresh


class Forward(NamedTuple):
    """All that the forward pass computed, in the order in which it did."""

    hs: list[Any]  # encoder: what it saw, hidden layers, h (B, E)
    code: Code  # q(z|x) and z (B K, Z)
    kl: Array  # (B K,) KL(q(z|x) || p(z)), or log q - log p at z
    gs: list[Array]  # decoder: z, hidden layers, outputs
    target: Input  # x, each image K times
    mean: Array  # (B K, D) pixel means
    recon: Array  # (B K,) -log p(x|z)
    loss: Array  # (B,) what the objective makes of recon and kl
    shares: Array | None  # (B, K), of an importance-weighted objective

    def first_overflow(self) -> str:
        """The name of the first step whose results are not all finite, or ""."""
        steps = {
            **{f"encoder layer {i}": h for i, h in enumerate(self.hs[1:], 1)},
            "the KL": self.kl,
            "z": self.code.z,
            **{f"decoder layer {i}": g for i, g in enumerate(self.gs[1:], 1)},
            "the reconstruction": self.recon,
        }
        bad = (name for name, array in steps.items() if not np.isfinite(array).all())
        return next(bad, "")

    @property
    def recon_sum(self) -> float:
        """recon summed over images, in float64; of an image's samples, their mean."""
        return float(self.recon.sum(dtype=np.float64) * self._images_per_sample)

    @property
    def kl_sum(self) -> float:
        """kl in the same way."""
        return float(self.kl.sum(dtype=np.float64) * self._images_per_sample)

    @property
    def _images_per_sample(self) -> float:
        return len(self.loss) / max(1, len(self.recon))


class VAE:
    """An encoder q(z|x), a decoder p(x|z) and the prior N(0, I).

    The encoder goes from D pixels to the numbers that the posterior is made of, the
    decoder from Z latents to those that the likelihood is made of.
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: Sequence[int] = (400,),
        latent: int = 20,
        activation: str = "relu",
        *,
        decoder_hidden: Sequence[int] | None = None,
        channels: Sequence[int] = (),
        image_shape: Sequence[int] | None = None,
        posterior: str = "diagonal",
        likelihood: str = "bernoulli",
        classes: int = 0,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
        compiled: bool = True,
        params: Array | None = None,
    ) -> None:
        """Build the networks and draw their parameters from `seed`.

        `hidden` are the widths of the encoder's hidden layers; the decoder's are the
        same mirrored, or `decoder_hidden`. With `channels`, convolutions come before
        the encoder's dense layers, one for each number, and their transposes after the
        decoder's; images are then (H, V) = `image_shape`, or square. `posterior` is one
        of POSTERIORS ("point" makes an auto-encoder), `likelihood` one of LIKELIHOODS.
        With `classes`, both networks also see a label. `compiled` chooses numba's
        kernels over the NumPy reference; both compute the same. `params` (P,) are
        taken, not copied, in place of drawn ones.

        Raises ArgumentError for a width below 1, an unknown name, what does not go
        together, or a dtype that is neither float32 nor float64 nor, for the reference
        alone, complex128, and ValueError for `params` of another size.
        """
        self.hidden = expect_widths("hidden", hidden)
        self.decoder_hidden = self.hidden[::-1]
        if decoder_hidden is not None:
            self.decoder_hidden = expect_widths("decoder_hidden", decoder_hidden)
        self.channels = expect_widths("channels", channels)
        expect_whole("pixels", pixels, 1)
        expect_whole("latent", latent, 1)
        expect_whole("classes", classes, 0)
        expect_whole("seed", seed, 0)
        expect_one_of("activation", activation, ACTIVATIONS)
        expect_one_of("posterior", posterior, POSTERIORS)
        expect_one_of("likelihood", likelihood, LIKELIHOODS)
        self.dtype = expect_dtype(dtype, compiled)
        self.pixels, self.latent, self.activation = pixels, latent, activation
        self.classes, self.compiled = classes, compiled
        self.pairs: SimpleNamespace = (
            backends.compiled if compiled else backends.reference
        )
        self.posterior = POSTERIORS[posterior](latent)
        self.likelihood = LIKELIHOODS[likelihood]
        self.image_shape = expect_shape(image_shape, pixels) if self.channels else None
        widths = (*self.hidden, self.posterior.outputs)
        self.encoder = encoder(
            pixels, self.image_shape, self.channels, widths, activation, classes
        )
        self.decoder = decoder(
            (latent + classes, *self.decoder_hidden),
            self.channels, self.image_shape, pixels,
            self.likelihood.outputs, activation,
        )  # fmt: skip
        shapes = self.encoder.shapes() | self.decoder.shapes()
        shapes |= self.posterior.learned | self.likelihood.learned
        if params is None:
            self.params = Parameters.zeros(shapes, self.dtype)
            rng = np.random.default_rng(seed)
            self.encoder.initialise(self.params, rng)
            self.decoder.initialise(self.params, rng)
        else:
            self.params = Parameters(shapes, expect_vector(params, self.dtype))

    def arguments(self) -> dict[str, Any]:
        """What to call VAE with to get this model again, but for its parameters."""
        return {
            "pixels": self.pixels,
            "hidden": list(self.hidden),
            "latent": self.latent,
            "activation": self.activation,
            "decoder_hidden": list(self.decoder_hidden),
            "channels": list(self.channels),
            "image_shape": self.image_shape and list(self.image_shape),
            "posterior": self.posterior.name,
            "likelihood": self.likelihood.name,
            "classes": self.classes,
            "dtype": self.dtype.name,
            "compiled": self.compiled,
        }

    # ---- Forward, and the same list mirrored -----------------------------------------

    def forward(
        self,
        x: Input,
        eps: Array,
        array: Allocate = fresh,
        objective: Objective = ELBO,
        *,
        labels: NDArray[np.integer] | None = None,
        seen: Input | None = None,
    ) -> Forward:
        """Encode, sample, decode: everything the loss is made of (Eq. 10.2).

        Shapes: x (B, D), eps (B K, Z) drawn from N(0, I), the K samples of an image one
        after the other; labels (B,), if the model takes them. The encoder looks at
        `seen` (B, D) in place of x, if it is given: a corrupted x, to be restored.
        """
        f, q, p, params = self.pairs, self.posterior, self.likelihood, self.params
        K = len(eps) // len(x) if len(x) else 1
        seen = append(x if seen is None else seen, labels, self.classes)
        hs = self.encoder.forward(seen, params, f, array)
        h = hs[-1] if K == 1 else np.repeat(hs[-1], K, axis=0)
        code = q.forward(h, eps, params, f)
        if objective.kl == "closed":
            kl = q.kl_forward(code, f)
        else:
            kl = f.sampled_kl_forward(code.z, eps, q.logdet_forward(code))
        z = code.z
        if labels is not None:
            ys = one_hot(np.repeat(labels, K), self.classes, z.dtype)
            z = np.hstack([z, ys])
        gs = self.decoder.forward(z, params, f, array)
        target = x if K == 1 else repeat(x, K)
        recon, mean = p.forward(gs[-1], target, params, f, array)
        terms = recon.reshape(-1, K), kl.reshape(-1, K)
        loss, shares = objective.forward(*terms)
        return Forward(hs, code, kl, gs, target, mean, recon, loss, shares)

    def backward(
        self,
        eps: Array,
        forward: Forward,
        grads: Mapping[str, Array],
        objective: Objective = ELBO,
        batch: int | None = None,
        array: Allocate = fresh,
    ) -> None:
        """The gradient of the mean loss: the calls of `forward`, mirrored.

        Overwrites `grads` (Eq. 10.3, 10.4). `eps` and `objective` are forward's.
        `batch` is the number of images that the mean is taken over, when x is a shard
        of them; the shards' gradients then add up to the batch's.
        """
        f, q, p, params = self.pairs, self.posterior, self.likelihood, self.params
        hs, code, _, gs, target, mean, recon, loss, shares = forward
        dloss = np.full(len(loss), 1 / (batch or len(loss)), recon.dtype)

        drecon, dkl = (d.reshape(-1) for d in objective.backward(dloss, shares))
        dout = p.backward(drecon, gs[-1], mean, target, params, grads, f, array)
        dz = self.decoder.backward(dout, gs, params, grads, f, array)[:, : self.latent]
        if objective.kl == "closed":
            dmu_kl, dspread_kl = q.kl_backward(dkl, code, f)
            dmu, dspread = q.backward(dz, eps, code, f)
            dmu, dspread = dmu + dmu_kl, dspread + dspread_kl
        else:
            dz_kl, dlogdet = f.sampled_kl_backward(dkl, code.z)
            dmu, dspread = q.backward(dz + dz_kl, eps, code, f)
            dspread = dspread + q.logdet_backward(dlogdet, code)
        dh = array("dh", (len(dz), q.outputs), dz.dtype)
        dh = q.gather(dmu, dspread, grads, dh)
        if len(dh) != len(hs[-1]):
            dh = dh.reshape(len(hs[-1]), -1, q.outputs).sum(axis=1)
        self.encoder.backward(dh, hs, params, grads, f, array)

    def loss_and_gradient(
        self, x: Input, eps: Array, objective: Objective = ELBO, **given: Any
    ) -> tuple[float, Parameters]:
        """The loss, in nats, the mean over the images, and its gradient.

        Shapes: x (B, D), eps (B K, Z). The keywords are those of `forward`. Raises
        ArgumentError for other arguments.
        """
        self.expect(objective)
        labels = given.get("labels")
        x = expect_images(x, labels, self.pixels, self.classes, self.dtype)
        eps = expect_matrix("eps", eps, self.latent, self.dtype)
        if not len(x):
            raise ArgumentError("x: found 0 images, expected at least 1")
        if len(eps) != len(x) * objective.samples:
            raise ArgumentError(
                f"eps: found {len(eps)} rows, expected {len(x) * objective.samples}, "
                f"{objective.samples} for each image of x"
            )
        forward = self.forward(x, eps, objective=objective, **given)
        grads = self.params.like(np.empty_like(self.params.flat))
        self.backward(eps, forward, grads, objective)
        return forward.loss.mean().item(), grads

    # ---- Using a model ---------------------------------------------------------------

    def as_input(self, images: NDArray[np.uint8], *, binary: bool) -> Input:
        """Images (B, D) as `forward` wants them.

        `binary` ones hold 0 and 1, others greys from 0 to 255. The compiled code takes
        binary ones as lists of their active pixels, where it can. Raises ArgumentError
        for images of another size.
        """
        expect_bytes(images, self.pixels, binary)
        lists = not self.channels and self.likelihood.name == "bernoulli"
        if binary and self.compiled and lists:
            return active_pixels(images)
        x = images.astype(self.dtype)
        return x if binary else x / 255

    def encode(
        self, x: Input, labels: NDArray[np.integer] | None = None
    ) -> tuple[Array, Array]:
        """mu and sigma of q(z|x); x (B, D) in [0, 1] -> (B, Z), (B, Z).

        sigma are the standard deviations of each latent by itself. Raises
        ArgumentError for an x of another kind.
        """
        x = expect_images(x, labels, self.pixels, self.classes, self.dtype)
        seen = append(x, labels, self.classes)
        h = self.encoder.forward(seen, self.params, self.pairs, fresh)[-1]
        eps = np.zeros((len(h), self.latent), self.dtype)
        code = self.posterior.forward(h, eps, self.params, self.pairs)
        return code.mu, self.posterior.deviations(code)

    def decode(self, z: Array, labels: NDArray[np.integer] | None = None) -> Array:
        """The pixel means of p(x|z); z (B, Z) -> (B, D).

        Raises ArgumentError for a z of another kind.
        """
        z = expect_matrix("z", z, self.latent, self.dtype)
        expect_labels(labels, len(z), self.classes)
        if labels is not None:
            z = np.hstack([z, one_hot(labels, self.classes, z.dtype)])
        out = self.decoder.forward(z, self.params, self.pairs, fresh)[-1]
        return self.likelihood.mean(out)

    def reconstruct(self, x: Input, labels: NDArray[np.integer] | None = None) -> Array:
        """The pixel means at z = mu, the mean of q(z|x); (B, D) -> (B, D)."""
        return self.decode(self.encode(x, labels)[0], labels)

    def sample(
        self,
        count: int,
        rng: np.random.Generator,
        labels: NDArray[np.integer] | None = None,
    ) -> Array:
        """The pixel means of `count` images with z from the prior -> (count, D)."""
        expect_whole("count", count, 0)
        if not isinstance(rng, np.random.Generator):
            raise ArgumentError(
                f"rng: found {type(rng).__name__}, expected a numpy.random.Generator, "
                "such as numpy.random.default_rng(0)"
            )
        z = rng.standard_normal((count, self.latent)).astype(self.dtype)
        return self.decode(z, labels)

    # ---- What does not go together ---------------------------------------------------

    def expect(self, objective: Objective) -> None:
        """Raise ArgumentError for an objective that this model can't be trained for."""
        if self.posterior.name == "point" and objective.kl == "sampled":
            raise ArgumentError(
                "kl: found 'sampled', or an importance-weighted bound, for the "
                "posterior 'point', expected 'closed': a point has no density"
            )
