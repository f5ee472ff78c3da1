"""JAX: one jitted step with donated buffers, from the rows to Adam."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from .spec import KERNEL, PADDING, STRIDE, Floats, Spec, Weights, timed

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
LAYOUT = ("NHWC", "HWIO", "NHWC")
Params = dict[str, Array]


class Net:
    """The model of a spec, as functions of its parameters."""

    def __init__(self, spec: Spec, height: int, width: int) -> None:
        self.spec, self.height, self.width = spec, height, width
        self.act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[spec.activation]
        self.layers = len(spec.channels) + len(spec.hidden) + 1

    def encode(self, params: Params, x: Array) -> tuple[Array, Array]:
        h, convs = x, len(self.spec.channels)
        if convs:
            h = h.reshape(-1, self.height, self.width, 1)
        for i in range(self.layers):
            W, b = params[f"encoder.{i}.W"], params[f"encoder.{i}.b"]
            if i < convs:
                pads = ((PADDING, PADDING),) * 2
                h = lax.conv_general_dilated(
                    h, W, (STRIDE, STRIDE), pads, dimension_numbers=LAYOUT
                )
            else:
                h = h.reshape(len(x), -1) @ W
            h = h + b
            h = self.act(h) if i < self.layers - 1 else h
        return h[:, : self.spec.latent], h[:, self.spec.latent :]

    def decode(self, params: Params, z: Array) -> Array:
        g, convs = z, len(self.spec.channels)
        for i in range(self.layers):
            W, b = params[f"decoder.{i}.W"], params[f"decoder.{i}.b"]
            left = self.layers - i
            if left > convs:
                g = g @ W
            else:
                side = [n // 2**left for n in (self.height, self.width)]
                pads = ((KERNEL - 1 - PADDING,) * 2,) * 2
                g = lax.conv_transpose(
                    g.reshape(len(z), *side, -1), W, (STRIDE, STRIDE), pads,
                    dimension_numbers=LAYOUT, transpose_kernel=True,
                )  # fmt: skip
            g = g + b
            g = self.act(g) if left > 1 else g
        return g.reshape(len(z), -1)

    def loss(self, params: Params, x: Array, eps: Array) -> Array:
        mu, logvar = self.encode(params, x)
        logits = self.decode(params, mu + eps * jnp.exp(0.5 * logvar))
        recon = (jax.nn.softplus(logits) - x * logits).sum()
        kl = -0.5 * (1 + logvar - mu**2 - jnp.exp(logvar)).sum()
        return (recon + kl) / len(x)

    def step(self, state: dict[str, Any], images: Array, order: Array) -> Any:
        """The next state and the loss: gather, binarize, differentiate, Adam."""
        batch, t = self.spec.batch, state["t"]
        key, pixel_key, eps_key = jax.random.split(state["key"], 3)
        at = t % (len(order) // batch) * batch
        grey = images[lax.dynamic_slice(order, (at,), (batch,))]
        noise = jax.random.bits(pixel_key, grey.shape, jnp.uint16)
        x = (noise < grey.astype(jnp.uint16) * 257).astype(jnp.float32)
        eps = jax.random.normal(eps_key, (batch, self.spec.latent))
        loss, grads = jax.value_and_grad(self.loss)(state["params"], x, eps)
        t = t + 1
        rate = LR / (1 - BETA1**t)
        scale = 1 / (1 - BETA2**t)
        new: dict[str, Any] = {"key": key, "t": t, "params": {}, "m": {}, "v": {}}
        for name, g in grads.items():
            new["m"][name] = m = BETA1 * state["m"][name] + (1 - BETA1) * g
            new["v"][name] = v = BETA2 * state["v"][name] + (1 - BETA2) * g * g
            change = rate * m / (jnp.sqrt(v * scale) + EPS)
            new["params"][name] = state["params"][name] - change
        return new, loss

    def nll(self, params: Params, x: Array, key: Array, samples: int) -> Array:
        """-log p(x) of one image (D,), all its samples at once."""
        mu, logvar = self.encode(params, x[None])
        eps = jax.random.normal(key, (samples, self.spec.latent))
        z = mu + eps * jnp.exp(0.5 * logvar)
        logits = self.decode(params, z)
        log_p = (x * logits - jax.nn.softplus(logits)).sum(1)
        logs = log_p + 0.5 * (eps**2 - z**2 + logvar).sum(1)
        return jnp.log(samples) - jax.nn.logsumexp(logs)


class Jax:
    """The step of `Net`, jitted whole, its state donated."""

    def __init__(self, spec: Spec) -> None:
        images = spec.images()
        net = Net(spec, *images.shape[1:])
        self.images = jnp.asarray(images.reshape(len(images), -1))
        order = np.random.default_rng(0).permutation(len(images))
        self.order = jnp.asarray(order.astype(np.int32))
        self.weights = jax.tree.map(jnp.asarray, spec.weights())
        self.state = {
            "params": jax.tree.map(jnp.copy, self.weights),
            "m": jax.tree.map(jnp.zeros_like, self.weights),
            "v": jax.tree.map(jnp.zeros_like, self.weights),
            "t": jnp.int32(0),
            "key": jax.random.key(0, impl=spec.generator),
        }
        self.generator = spec.generator
        self.advance = jax.jit(net.step, donate_argnums=0)
        self.value_and_grad = jax.jit(jax.value_and_grad(net.loss))
        self._nll = partial(jax.jit, static_argnums=3)(net.nll)

    def step(self) -> float:
        # Waits for its result, as ours does: of steps called ahead, the time between
        # two results is not the time of a step.
        self.state, loss = self.advance(self.state, self.images, self.order)
        return float(loss)

    def steps(self, seconds: float, least: int) -> tuple[list[float], float]:
        return timed(self.step, seconds, least)

    def gradient(self, x: Floats, eps: Floats) -> tuple[float, Weights]:
        loss, grads = self.value_and_grad(self.weights, x, eps)
        return float(loss), {name: np.asarray(grad) for name, grad in grads.items()}

    def nll(self, bits: NDArray[np.uint8], samples: int) -> float:
        keys = jax.random.split(jax.random.key(0, impl=self.generator), len(bits))
        rows = jnp.asarray(bits.reshape(len(bits), -1), jnp.float32)
        found = [self._nll(self.weights, *of, samples)
                 for of in zip(rows, keys, strict=True)]  # fmt: skip
        return float(jnp.stack(found).mean())
