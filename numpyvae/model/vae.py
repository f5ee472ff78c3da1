"""The variational auto-encoder: forward, and the same list mirrored.

A model is put together from an encoder, a posterior (a head and a family), a prior, a
decoder and a likelihood; what is trained is an objective of the terms that they give
for each sample. Nothing is hidden: `forward` returns every intermediate, `backward`
takes it.

Shapes: B batch, K samples of each image, D pixels, Z latents, S statistics of a code,
N numbers of noise that the prior wants, P parameters. Units: nats per image; sums over
pixels and latents, means over the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ArgumentError, expect_whole
from ..kernels.active_pixels import active_pixels, append, one_hot, repeat
from ..kernels.backends import code_of
from ..pairs.activations import ACTIVATIONS
from ..pairs.kl import CLOSED, Rate, SampledKL
from ..pairs.likelihoods import LIKELIHOODS, Bernoulli
from ..pairs.objectives import ELBO, Objective
from ..pairs.posteriors import POSTERIORS
from ..pairs.priors import PRIORS
from ..pairs.types import Array, Input
from ..pairs.work import Work
from .arguments import (
    expect_bytes,
    expect_dtype,
    expect_generator,
    expect_images,
    expect_labels,
    expect_matrix,
    expect_no_labels,
    expect_objective,
    expect_one_of,
    expect_prior,
    expect_samples,
    expect_seen,
    expect_shape,
    expect_vector,
    expect_widths,
)
from .forward import Forward
from .networks import Images, Network, decoder, encoder, mlp
from .params import Parameters, merged
from .workspace import Fresh, Workspace


def as_floats(images: NDArray[np.uint8], binary: bool, dtype: DTypeLike) -> Array:
    """Zeros and ones, or greys from 0 to 255, as numbers in [0, 1]; shapes stay."""
    x: Array = images.astype(dtype)
    return x if binary else x / x.dtype.type(255)


class VAE:
    """An encoder q(z|x), a decoder p(x|z) and a prior p(z).

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
        prior: str = "standard",
        top: Sequence[int] = (),
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
        of POSTERIORS ("point" makes an auto-encoder), `prior` one of PRIORS,
        `likelihood` one of LIKELIHOODS. `top` are the widths of the second layer of
        latents, its own latents last, for the prior "deep". With `classes`, both
        networks also see a label. `compiled` chooses numba's kernels over the NumPy
        reference; both compute the same. `params` (P,) are taken, not copied, in place
        of drawn ones.

        Raises ArgumentError for a width below 1, an unknown name, what does not go
        together, or a dtype that is neither float32 nor float64 nor, for the reference
        alone, complex128, and ValueError for `params` of another size.
        """
        self.hidden = expect_widths("hidden", hidden)
        self.decoder_hidden = self.hidden[::-1]
        if decoder_hidden is not None:
            self.decoder_hidden = expect_widths("decoder_hidden", decoder_hidden)
        self.channels = expect_widths("channels", channels)
        self.top = expect_widths("top", top)
        expect_whole("pixels", pixels, 1)
        expect_whole("latent", latent, 1)
        expect_whole("classes", classes, 0)
        expect_whole("seed", seed, 0)
        expect_one_of("activation", activation, ACTIVATIONS)
        expect_one_of("posterior", posterior, POSTERIORS)
        expect_one_of("prior", prior, PRIORS)
        expect_one_of("likelihood", likelihood, LIKELIHOODS)
        self.dtype, self.code = expect_dtype(dtype, compiled), code_of(compiled)
        self.pixels, self.latent, self.activation = pixels, latent, activation
        self.classes, self.compiled = classes, compiled
        expect_no_labels(classes, self.channels)
        self.image_shape, images = None, None
        if self.channels:
            self.image_shape = expect_shape(image_shape, pixels)
            images = Images(self.image_shape, self.channels)
        self.posterior, self.likelihood = POSTERIORS[posterior], LIKELIHOODS[likelihood]
        self.reads_lists = compiled and not channels
        self.reads_lists &= type(self.likelihood) is Bernoulli
        self.family = self.posterior.family(latent)
        try:
            self.head = self.posterior.head(self.family, latent)
        except ValueError as error:
            raise ArgumentError(str(error)) from error
        f, widths = ACTIVATIONS[activation], (*self.hidden, self.head.outputs)
        self.encoder = encoder(pixels + classes, widths, f, images)
        try:
            self.prior = PRIORS[prior](self)
        except ValueError as error:
            raise ArgumentError(str(error)) from error
        expect_prior(self.posterior, self.prior, self.top)
        widths = (latent + classes, *self.decoder_hidden)
        self.decoder = decoder(widths, pixels, self.likelihood.outputs, f, images)
        self.noise = latent + self.prior.noise  # numbers of eps for each sample
        sampled, kinds = SampledKL(self.family, self.prior), (self.family, self.prior)
        closed = CLOSED.get((type(kinds[0]), type(kinds[1])), sampled)
        self.rates: dict[str, Rate] = {"sampled": sampled, "closed": closed}
        parts = (
            self.encoder, self.decoder, self.family, self.head, self.prior,
            self.likelihood,
        )  # fmt: skip
        shapes = merged(*(part.shapes() for part in parts))
        if params is not None:
            self.params = Parameters(shapes, expect_vector(params, self.dtype))
            return
        self.params = Parameters.zeros(shapes, self.dtype)
        rng = np.random.default_rng(seed)
        for part in (self.encoder, self.decoder, self.prior):
            part.initialise(self.params, rng)

    @property
    def has_closed_kl(self) -> bool:
        """Whether there is a formula for KL(q(z|x) || p(z))."""
        return self.rates["closed"] is not self.rates["sampled"]

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
            "prior": self.prior.name,
            "top": list(self.top),
            "likelihood": self.likelihood.name,
            "classes": self.classes,
            "dtype": self.dtype.name,
            "compiled": self.compiled,
        }

    def network(self, name: str, widths: Sequence[int]) -> Network:
        """Dense layers, as this model's are, of a part that wants some."""
        return mlp(name, widths, ACTIVATIONS[self.activation], on_data=False)

    def workspace(self, grads: Parameters | None = None) -> Workspace:
        """What `forward` and `backward` compute with; new arrays at each call."""
        blocks = {} if grads is None else grads.blocks
        return Workspace(self.params.blocks, blocks, Fresh(), self.code)

    # ---- Forward, and the same list mirrored -----------------------------------------

    def forward(
        self,
        x: Input,
        eps: Array,
        objective: Objective = ELBO,
        work: Work | None = None,
        *,
        labels: NDArray[np.integer] | None = None,
        seen: Input | None = None,
    ) -> Forward:
        """Encode, sample, decode: everything the loss is made of (Eq. 10.2).

        Shapes: x (B, D), eps (B K, Z + N) drawn from N(0, I), the K samples of an image
        one after the other; labels (B,), if the model takes them. The encoder looks at
        `seen` (B, D) in place of x, if it is given: a corrupted x, to be restored.
        """
        work = work or self.workspace()
        K, Z = len(eps) // len(x) if len(x) else 1, self.latent
        seen = x if seen is None else seen
        if labels is not None:
            seen = append(seen, labels, self.classes)
        hs = self.encoder.forward(seen, work)
        h = hs[-1].y if K == 1 else np.repeat(hs[-1].y, K, axis=0)
        s = self.head.forward(h, work.params)
        code = self.family.forward(s, eps[:, :Z], work)
        rate, kept_kl = self.rates[objective.kl].forward(code, eps, work)
        z = code.z
        if labels is not None:
            z = np.hstack([z, one_hot(np.repeat(labels, K), self.classes, z.dtype)])
        gs = self.decoder.forward(z, work)
        target = x if K == 1 else repeat(x, K)
        recon, kept_x = self.likelihood.forward(gs[-1].y, target, work)
        terms, kl = {"recon": recon, **rate}, reduce(np.add, rate.values())
        loss, shares = objective.forward(recon.reshape(-1, K), kl.reshape(-1, K))
        return Forward(hs, code, kept_kl, gs, target, kept_x, terms, kl, loss, shares)

    def backward(
        self,
        eps: Array,
        forward: Forward,
        work: Work,
        objective: Objective = ELBO,
        batch: int | None = None,
    ) -> None:
        """The gradient of the mean loss: the calls of `forward`, mirrored.

        Overwrites `work.grads` (Eq. 10.3, 10.4). `eps` and `objective` are forward's.
        `batch` is the number of images that the mean is taken over, when x is a shard
        of them; the shards' gradients then add up to the batch's.
        """
        hs, code, kept_kl, gs, target, kept_x, _, _, loss, shares = forward
        B, Z = len(loss), self.latent
        dloss = np.full(B, 1 / (batch or B), loss.dtype)
        drecon, dkl = objective.backward(dloss, shares)
        drecon, dkl = drecon.reshape(-1), dkl.reshape(-1)
        if len(forward.kl) != len(dkl):
            expect_samples(len(forward.kl), B, objective)
        dout = self.likelihood.backward(drecon, gs[-1].y, kept_x, target, work)
        dz = self.decoder.backward(dout, gs, work)[:, :Z]
        rate = self.rates[objective.kl].backward(dkl, code, kept_kl, eps, work)
        ds = self.family.backward(dz + rate.dz, rate.dlog, code, eps[:, :Z], work)
        ds = ds + rate.ds  # mu and logvar: through z, and through the KL
        dh = self.head.backward(ds, work.grads)
        if len(dh) != B:
            dh = dh.reshape(B, -1, dh.shape[1]).sum(axis=1)
        self.encoder.backward(dh, hs, work)
        for name, grad in rate.shared.items():  # of a prior that asked the encoder
            work.grads[name][...] += grad

    def loss_and_gradient(
        self,
        x: Input,
        eps: Array,
        objective: Objective = ELBO,
        *,
        labels: NDArray[np.integer] | None = None,
        seen: Input | None = None,
    ) -> tuple[float, Parameters]:
        """The loss, in nats, the mean over the images, and its gradient.

        The arguments are those of `forward`. Raises ArgumentError for others.
        """
        expect_objective(self.posterior, objective)
        x = expect_images(x, self.reads_lists, self.pixels, self.dtype)
        expect_labels(labels, len(x), self.classes)
        eps = expect_matrix("eps", eps, self.noise, self.dtype)
        if seen is not None:
            seen = expect_seen(seen, len(x), self.pixels, self.dtype)
        if not len(x):
            raise ArgumentError("x: found 0 images, expected at least 1")
        expect_samples(len(eps), len(x), objective)
        grads = self.params.unwritten()
        work = self.workspace(grads)
        forward = self.forward(x, eps, objective, work, labels=labels, seen=seen)
        self.backward(eps, forward, work, objective)
        return forward.loss.mean().item(), grads

    # ---- Using a model ---------------------------------------------------------------

    def as_input(self, images: NDArray[np.uint8], *, binary: bool) -> Input:
        """Images (B, D) as `forward` wants them.

        `binary` ones hold 0 and 1, others greys from 0 to 255. The compiled code takes
        binary ones as lists of their active pixels, where it can. Raises ArgumentError
        for images of another size.
        """
        expect_bytes(images, self.pixels, binary)
        return self.input_of(images, binary)

    def input_of(self, images: NDArray[np.uint8], binary: bool) -> Input:
        """`as_input` of images that need no check."""
        if binary and self.reads_lists:
            return active_pixels(images)
        return as_floats(images, binary, self.dtype)

    def encode(
        self, x: Input, labels: NDArray[np.integer] | None = None
    ) -> tuple[Array, Array]:
        """Mean and deviation of q(z|x); x (B, D) in [0, 1] -> (B, Z), (B, Z).

        As the family's `moments` has them. Raises ArgumentError for another x.
        """
        x = expect_images(x, self.reads_lists, self.pixels, self.dtype)
        expect_labels(labels, len(x), self.classes)
        work, seen = self.workspace(), append(x, labels, self.classes)
        h = self.encoder.forward(seen, work)[-1].y
        return self.family.moments(self.head.forward(h, work.params), work)

    def decode(self, z: Array, labels: NDArray[np.integer] | None = None) -> Array:
        """The pixel means of p(x|z); z (B, Z) -> (B, D). Refuses another z."""
        z = expect_matrix("z", z, self.latent, self.dtype)
        expect_labels(labels, len(z), self.classes)
        if labels is not None:
            z = np.hstack([z, one_hot(labels, self.classes, z.dtype)])
        out = self.decoder.forward(z, self.workspace())[-1].y
        return self.likelihood.mean(out)

    def reconstruct(self, x: Input, labels: NDArray[np.integer] | None = None) -> Array:
        """The pixel means at the mean of q(z|x); (B, D) -> (B, D)."""
        return self.decode(self.encode(x, labels)[0], labels)

    def sample(
        self,
        count: int,
        rng: np.random.Generator,
        labels: NDArray[np.integer] | None = None,
    ) -> Array:
        """The pixel means of `count` images with z from the prior -> (count, D)."""
        expect_whole("count", count, 0)
        expect_generator(rng)
        z = self.prior.sample(count, rng, self.workspace())
        return self.decode(z.astype(self.dtype), labels)
