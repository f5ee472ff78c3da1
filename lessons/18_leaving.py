# %% [markdown]
# # 18 · Leaving the nest
#
# *A framework differentiates whatever you write. You now know what it does
# there, and, which is worth more, what it can't know.*
#
# **You will** write a framework's core, reverse-mode differentiation, in some
# forty lines; give the same weights to PyTorch and to JAX and get the same ELBO
# and the same gradients, to $10^{-10}$ in float64; learn which way each of them
# lays out its arrays; and see three mistakes that no framework reports.
#
# **Reads with** lesson 10 (the gradients by hand), notes 001 and 004 (which
# leave the gradient to the machine). PyTorch and JAX are used where they are
# installed. **Takes** 2 seconds without them, 10 with both.

# %%
import warnings

import numpy as np
from lesson import digits, full_or_fast
from style import ESTIMATE, EXACT, FAINT, KL, WRONG, sheet, show

from numpyvae import VAE
from numpyvae.pairs import conv
from numpyvae.pairs import optimizers as optim

rng = np.random.default_rng(18)

with warnings.catch_warnings():  # what they say to each other is not our subject
    warnings.simplefilter("ignore")
    try:
        import torch
    except ImportError:
        torch = None
        print("torch is not installed: its part of this lesson is skipped")
    try:
        import jax
    except ImportError:
        jax = None
        print("jax is not installed: its part of this lesson is skipped")

# %% [markdown]
# ## What is to be reproduced
#
# The VAE of lesson 10, 784-400-20, in float64 and with the gradients that were
# written by hand; a batch of binary images; and one fixed $\varepsilon$. Noise
# that is an argument is what makes a comparison possible at all.

# %%
B, Z = full_or_fast(100, 20), 20
data = digits(B, 10)
x = (rng.random((B, 784)) < data.train_images.reshape(B, -1) / 255).astype(float)
eps = rng.standard_normal((B, Z))
model = VAE(dtype=np.float64, compiled=False, seed=18)
weights = {name: block.copy() for name, block in model.params.items()}
loss, by_hand = model.loss_and_gradient(x, eps)
print(f"negative ELBO {loss:.10f} nats")
for name, block in weights.items():
    print(
        f"{name:12} {block.shape!s:11} |gradient| {np.linalg.norm(by_hand[name]):.4f}"
    )

# %% [markdown]
# ## A framework in some forty lines
#
# A computation is a list of values $v_1, \dots, v_K$. Each is given, or made
# from earlier ones by one simple function, and the last is the loss $L$. Write
# $j \to k$ if $v_j$ is an argument of $v_k$. If $v_j$ moves, $L$ moves through
# every $k$ that uses it, so the differentials add:
#
# $$\bar v_j = \sum_{k:\ j \to k} \bar v_k \frac{\partial v_k}{\partial v_j},
#   \qquad \bar v_K = 1. \tag{18.1}$$
#
# Every $k$ in the sum is later than $j$. So go through the list backwards: when
# it is the turn of $j$, all its terms have arrived. That is reverse-mode
# differentiation, and backpropagation is its name in a network.
#
# The derivative $\partial v_k / \partial v_j$ of one matrix by another is never
# written down. What is needed is only what it does to $\bar v_k$, a function
# that *pulls* the bar of the result back to an argument:
#
# $$\begin{aligned}
#   y &= x W: & \bar x &= \bar y\, W^\top, & \bar W &= x^\top \bar y, \\
#   y &= u \odot v: & \bar u &= \bar y \odot v, & \bar v &= \bar y \odot u, \\
#   y &= f(u): & \bar u &= \bar y \odot f'(u), \\
#   y &= \textstyle\sum_i u_i: & \bar u_i &= \bar y.
#   \end{aligned} \tag{18.2}$$
#
# You have met all of them (lesson 02). A framework's secret is that while it
# computes $y$ it notes down which pulls belong to it. The notes are the *tape*.

# %%
tape = []  # of each value: the value, and (argument, pull) for each argument


def record(value, *pulls):
    tape.append((value, pulls))
    return len(tape) - 1


def matmul(a, b):
    A, B = tape[a][0], tape[b][0]
    return record(A @ B, (a, lambda bar: bar @ B.T), (b, lambda bar: A.T @ bar))


def add(a, b):  # b may be one row for all rows of a
    A, B = tape[a][0], tape[b][0]
    same = A.shape == B.shape
    return record(
        A + B, (a, lambda bar: bar), (b, lambda bar: bar if same else bar.sum(axis=0))
    )


def times(a, b):
    A, B = tape[a][0], tape[b][0]
    return record(A * B, (a, lambda bar: bar * B), (b, lambda bar: bar * A))


def elementwise(f, slope):
    def apply(a):
        A = tape[a][0]
        return record(f(A), (a, lambda bar: bar * slope(A)))

    return apply


relu = elementwise(lambda a: np.where(a > 0, a, 0), lambda a: a > 0)
exp = elementwise(np.exp, np.exp)
softplus = elementwise(lambda a: np.logaddexp(0, a), lambda a: 1 / (1 + np.exp(-a)))


def scale(a, c):
    return elementwise(lambda a: c * a, lambda a: c)(a)


def total(a):
    A = tape[a][0]
    return record(A.sum(), (a, lambda bar: np.full(A.shape, bar)))


def half(a, which):  # the left or the right half of the columns
    A = tape[a][0]
    zero = np.zeros((len(A), A.shape[1] // 2))
    return record(
        np.split(A, 2, axis=1)[which],
        (a, lambda bar: np.hstack([zero, bar] if which else [bar, zero])),
    )


def pull_back(last):
    """The bars of all values, by (18.1)."""
    bars = {last: np.ones_like(tape[last][0])}
    for k in reversed(range(last + 1)):
        for argument, pull in tape[k][1] if k in bars else ():
            bars[argument] = bars.get(argument, 0) + pull(bars[k])
    return bars


# %% [markdown]
# Look at the one `+` in the last function. Where a value is used twice, its
# bars add; lesson 10 did that by hand for $\mu$ and $\ell$, which feed the
# sample and the KL. Now the whole VAE, forward only, and nobody writes a
# backward pass.


# %%
def dense(x, weights, name):
    return add(matmul(x, weights[f"{name}.W"]), weights[f"{name}.b"])


def spread_of(logvar):
    return exp(scale(logvar, 0.5))


def loss_on_tape(weights, x, eps, spread=spread_of):
    """Where the loss is on the tape, and where everything else is."""
    tape.clear()
    at = {name: record(block) for name, block in weights.items()}
    at["x"], at["eps"] = record(x), record(eps)
    h = relu(dense(at["x"], at, "encoder.0"))
    code = dense(h, at, "encoder.1")
    at["mu"], at["logvar"] = half(code, 0), half(code, 1)
    at["z"] = add(at["mu"], times(spread(at["logvar"]), at["eps"]))
    g = relu(dense(at["z"], at, "decoder.0"))
    at["logits"] = logits = dense(g, at, "decoder.1")
    recon = add(total(softplus(logits)), scale(total(times(at["x"], logits)), -1))
    squares = add(total(times(at["mu"], at["mu"])), total(exp(at["logvar"])))
    kl = add(squares, scale(total(at["logvar"]), -1))
    constant = record(np.array(-float(eps.size)))
    kl = scale(add(kl, constant), 0.5)
    at["loss"] = scale(add(recon, kl), 1 / len(x))
    return at


at = loss_on_tape(weights, x, eps)
bars = pull_back(at["loss"])


def worst(grads):
    """The largest error of a block, relative to the block's norm; and its name."""
    errors = {
        name: np.linalg.norm(np.asarray(grads[name], float) - by_hand[name])
        / np.linalg.norm(by_hand[name])
        for name in weights
    }
    name = max(errors, key=errors.get)
    return errors[name], name, errors


found = {}
found["tape, float64"] = worst({name: bars[at[name]] for name in weights})
print(f"{len(tape)} values on the tape; loss {tape[at['loss']][0]:.10f}")
print(
    f"worst block {found['tape, float64'][1]}: off by {found['tape, float64'][0]:.0e}"
)
assert abs(tape[at["loss"]][0] / loss - 1) < 1e-13
assert found["tape, float64"][0] < 1e-12

# %% [markdown]
# The gradients by hand and those of the tape are the same to rounding: neither
# knew of the other. What did it cost? The product $xW$ forward has two products
# as pulls, so all gradients cost about two forward passes more, for 652,824
# parameters as for one. Whoever perturbed them one at a time would need 652,824
# forward passes.

# %%
figure, (axes,) = sheet(
    f"Forward writes {len(tape)} values rightwards; backward reads them leftwards",
    height=2.3,
)
used = np.zeros(len(tape), int)
for k, (_, pulls) in enumerate(tape):
    for argument, _ in pulls:
        used[argument] += 1
        angle = np.linspace(0, np.pi, 40)
        radius = (k - argument) / 2
        axes.plot(
            argument + radius * (1 - np.cos(angle)),
            np.sqrt(radius) * np.sin(angle),
            color=FAINT, lw=0.9,
        )  # fmt: skip
twice = used > 1
places = np.arange(len(tape))
axes.plot(places[~twice], 0 * places[~twice], ".", color=ESTIMATE, ms=8)
axes.plot(places[twice], 0 * places[twice], "o", color=WRONG, ms=7)
for name in ("x", "mu", "z", "logits", "loss"):
    axes.text(at[name], -0.35, name, size=10, ha="center", va="top", color=EXACT)
axes.text(0, 4.6, "large: used more than once,\nso its bars add", size=10, color=WRONG,
          va="top")  # fmt: skip
axes.set_axis_off()
axes.set_ylim(-1, 4.8)
show(
    figure,
    "18_tape",
    "The values of the tape as dots in a row, with arcs from each argument to what was "
    "made of it. A few dots, among them x, mu and the logits, are large: used twice.",
)
assert used[at["mu"]] >= 2 and used[at["logvar"]] >= 2 and used[at["loss"]] == 0

# %% [markdown]
# ## Three things that no framework tells you
#
# **It differentiates what you wrote, not what you meant.** Leave out the
# $\tfrac12$ in $\sigma = \exp(\ell / 2)$, the most copied mistake there is. The
# gradients are then exactly those of the wrong loss: a finite difference
# agrees. Only meaning tells: the variance of $z$ must be $\exp \ell$. (The
# encoder's biases are moved first, to a $\sigma$ of about a third; where $\ell$
# is 0, right and wrong agree.)

# %%
sure = {name: block.copy() for name, block in weights.items()}
sure["encoder.1.b"][Z:] -= 2  # the half of the outputs that is logvar
direction = rng.normal(size=2 * Z)


def compare(name, spread, h=1e-6):
    """The slope along a direction of encoder.1.b, twice; and the variance of z."""

    def moved(t):
        there = sure | {"encoder.1.b": sure["encoder.1.b"] + t * direction}
        return tape[loss_on_tape(there, x, eps, spread)["loss"]][0]

    difference = (moved(h) - moved(-h)) / (2 * h)
    at = loss_on_tape(sure, x, eps, spread)
    slope = pull_back(at["loss"])[at["encoder.1.b"]] @ direction
    sigma = (tape[at["z"]][0] - tape[at["mu"]][0]) / eps
    ratio = (sigma**2 / np.exp(tape[at["logvar"]][0])).mean()
    print(f"{name:9} slope {slope:8.5f}, by a difference {difference:8.5f}; "
          f"variance x {ratio:.3f}")  # fmt: skip
    return abs(slope / difference - 1), abs(ratio - 1)


slope_error, variance_error = compare("right:", spread_of)
assert slope_error < 1e-5 and variance_error < 1e-12
slope_error, variance_error = compare("no half:", exp)
assert slope_error < 1e-5 and variance_error > 0.5  # a perfect gradient, of nonsense

# %% [markdown]
# **What leaves the tape is a constant.** `.detach()`, `.item()`, a detour
# through NumPy, `stop_gradient`: the value goes on, its pulls don't. Nothing
# fails. The loss falls, too, since half of the gradient is still there. This
# time a finite difference knows.


# %%
def detached(logvar):
    return record(np.exp(tape[logvar][0] / 2))  # the right number, and no pull


slope_error, variance_error = compare("detached:", detached)
assert slope_error > 1e-2 and variance_error < 1e-12

# %% [markdown]
# **The derivative of a formula is not the formula of the derivative.**
# $\log(1 + \exp l)$ has the slope $\sigma(l) \le 1$ everywhere. Taken apart
# into operations it is $\exp l / (1 + \exp l)$: infinity over infinity for a
# large $l$, and one such pixel makes all weights NaN. Frameworks have
# `softplus` and `binary_cross_entropy_with_logits` for that reason; you have to
# know it.

# %%
log = elementwise(np.log, lambda a: 1 / a)
tape.clear()
l, one = record(np.array([1000.0])), record(np.array([1.0]))
with np.errstate(over="ignore", invalid="ignore"):
    apart = pull_back(total(log(add(exp(l), one))))[l][0]
whole = pull_back(total(softplus(l)))[l][0]
print(f"slope at l = 1000: from parts {apart}, as one operation {whole}")
assert np.isnan(apart) and whole == 1.0

# %% [markdown]
# ## Who lays out what, and how
#
# | here | PyTorch | JAX |
# |---|---|---|
# | `W` $(N, M)$, `x @ W + b` | `Linear.weight` $(M, N)$ | as here |
# | images $(B, H, V, C)$ | $(B, C, H, V)$ | say `"NHWC"`: as here |
# | `W` $(K, K, C, M)$ | `Conv2d.weight` $(M, C, K, K)$ | `"HWIO"`: as here |
# | the same, transposed | `ConvTranspose2d`: same | `transpose_kernel=True` |
# | backward overwrites | `.grad` is *added to* | returned, as here |
# | `eps` is an argument | a global seed | a `key` is an argument |
# | float64 if you say so | the same | only with `jax_enable_x64` |
# | mean over images only | `reduction="sum"`, divide by $B$ | you write it |
#
# A forgotten transpose is loud where $N \ne M$ and silent where $N = M$: a
# wrong number and no error. And where an image becomes a row, the two orders of
# its axes give two orders of the row, so the dense layer behind it needs its
# rows permuted:

# %%
H, V, C, M = 3, 4, 2, 5
maps, W = rng.normal(size=(7, H, V, C)), rng.normal(size=(H * V * C, M))
order = np.arange(H * V * C).reshape(H, V, C).transpose(2, 0, 1).ravel()
their_row = maps.transpose(0, 3, 1, 2).reshape(7, -1)
assert np.allclose(their_row @ W[order], maps.reshape(7, -1) @ W, rtol=1e-12)
assert not np.allclose(their_row @ W, maps.reshape(7, -1) @ W, rtol=0.1)  # silent

# %% [markdown]
# ## PyTorch
#
# The same model in its own words: modules that hold their weights, a loss, and
# `backward()`. Our weights go in transposed; its gradients come back
# transposed.

# %%
if torch:
    from torch import nn
    from torch.nn import functional as F

    def torch_model(dtype):
        encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 2 * Z))
        decoder = nn.Sequential(nn.Linear(Z, 400), nn.ReLU(), nn.Linear(400, 784))
        named = {
            f"{part}.{i}": net[2 * i]
            for part, net in (("encoder", encoder), ("decoder", decoder))
            for i in (0, 1)
        }
        for name, layer in named.items():
            layer.to(dtype)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weights[f"{name}.W"].T))
                layer.bias.copy_(torch.from_numpy(weights[f"{name}.b"]))
        return encoder, decoder, named

    def torch_loss(encoder, decoder, x, eps):
        mu, logvar = encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(logvar / 2) * eps
        recon = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar).sum()
        return (recon + kl) / len(x)

    def torch_gradients(named):
        grads = {}
        for name, layer in named.items():
            grads[f"{name}.W"] = layer.weight.grad.T.numpy()
            grads[f"{name}.b"] = layer.bias.grad.numpy()
        return grads

    for dtype, allowed in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        encoder, decoder, named = torch_model(dtype)
        given = torch.from_numpy(x).to(dtype), torch.from_numpy(eps).to(dtype)
        value = torch_loss(encoder, decoder, *given)
        value.backward()
        label = f"PyTorch, {str(dtype)[6:]}"
        found[label] = worst(torch_gradients(named))
        off = abs(value.item() / loss - 1)
        print(f"{label:17} ELBO off by {off:.0e}, gradients by {found[label][0]:.0e}")
        assert off < allowed and found[label][0] < allowed

    torch_loss(encoder, decoder, *given).backward()  # a second time, unasked:
    once, twice = by_hand["encoder.0.W"], torch_gradients(named)["encoder.0.W"]
    factor = np.vdot(twice, once) / np.vdot(once, once)
    print(f"backward twice without zero_grad: {factor:.4f} times the gradient")
    assert abs(factor - 2) < 1e-4

# %% [markdown]
# `.grad` is added to, so a training loop must call `zero_grad()`: forget it,
# and the gradient grows with every step. And `reduction="mean"` would divide by
# the pixels too, and the KL would weigh 784 times as much beside it.
#
# ## JAX
#
# A function of a dictionary of weights, and a function that makes its gradient.
# There is nothing to transpose and nothing to reset. One thing is to be said
# beforehand: without `jax_enable_x64` every float64 becomes float32, silently.

# %%
if jax:
    import jax.numpy as jnp

    def jax_loss(weights, x, eps):
        h = jax.nn.relu(x @ weights["encoder.0.W"] + weights["encoder.0.b"])
        h = h @ weights["encoder.1.W"] + weights["encoder.1.b"]
        mu, logvar = jnp.split(h, 2, axis=1)
        z = mu + jnp.exp(logvar / 2) * eps
        g = jax.nn.relu(z @ weights["decoder.0.W"] + weights["decoder.0.b"])
        logits = g @ weights["decoder.1.W"] + weights["decoder.1.b"]
        recon = (jax.nn.softplus(logits) - x * logits).sum()
        kl = 0.5 * (mu**2 + jnp.exp(logvar) - 1 - logvar).sum()
        return (recon + kl) / len(x)

    for double, allowed in ((True, 1e-10), (False, 1e-5)):
        jax.config.update("jax_enable_x64", double)
        kind = np.float64 if double else np.float32
        given = {name: block.astype(kind) for name, block in weights.items()}
        value, grads = jax.jit(jax.value_and_grad(jax_loss))(
            given, x.astype(kind), eps.astype(kind)
        )
        label = f"JAX, {np.dtype(kind).name}"
        found[label] = worst(grads)
        off = abs(float(value) / loss - 1)
        print(f"{label:17} ELBO off by {off:.0e}, gradients by {found[label][0]:.0e}")
        assert value.dtype == kind and off < allowed and found[label][0] < allowed

# %% [markdown]
# ## And the convolutions
#
# One permutation, $(K, K, C, M) \to (M, C, K, K)$, serves both of PyTorch's
# layers, because both of ours share the $W$ of (14.3). (PyTorch says "in, out"
# of its transposed layer, and in is the map.)

# %%
image, small = rng.normal(size=(2, 8, 6, C)), rng.normal(size=(2, 4, 3, M))
kernel = rng.normal(size=(4, 4, C, M))
down = conv.convolve(image, kernel, 2, 1)
up = conv.convolve_transposed(small, kernel, (8, 6), 2, 1)
assert np.isclose(
    np.vdot(down, small), np.vdot(image, up), rtol=1e-12
)  # (14.4), (14.5)
if torch:

    def theirs(a, *axes):
        return torch.from_numpy(np.ascontiguousarray(a.transpose(*axes)))

    W = theirs(kernel, 3, 2, 0, 1)
    y = F.conv2d(theirs(image, 0, 3, 1, 2), W, stride=2, padding=1)
    assert np.allclose(y.numpy().transpose(0, 2, 3, 1), down, rtol=1e-10, atol=1e-10)
    y = F.conv_transpose2d(theirs(small, 0, 3, 1, 2), W, stride=2, padding=1)
    assert np.allclose(y.numpy().transpose(0, 2, 3, 1), up, rtol=1e-10, atol=1e-10)
    print("PyTorch's two convolutions are ours")
if jax:
    jax.config.update("jax_enable_x64", True)
    layout = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(
        image, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=layout
    )
    assert np.allclose(y, down, rtol=1e-10, atol=1e-10)
    y = jax.lax.conv_transpose(
        small, kernel, (2, 2), ((2, 2), (2, 2)), dimension_numbers=layout,
        transpose_kernel=True,
    )  # fmt: skip
    assert np.allclose(y, up, rtol=1e-10, atol=1e-10)
    print("JAX's two convolutions are ours")

# %% [markdown]
# (JAX wants the padding of the picture that it widens, $K - 1 - p = 2$ here,
# where PyTorch and we say the $p = 1$ of the convolution that is being
# transposed.)
#
# ## The same road, step by step
#
# One gradient may agree by luck. Ten steps of Adam may not: each starts where
# the last one ended, so what is off would grow.

# %%
steps = full_or_fast(10, 4)
trained, m, v = model.params.flat.copy(), *np.zeros((2, model.params.flat.size))
params, ours, on_tape = model.params.like(trained), [], []
taped = {name: block.copy() for name, block in weights.items()}
moments = {name: np.zeros((2, block.size)) for name, block in weights.items()}
for t in range(1, steps + 1):
    noise = np.random.default_rng(t).standard_normal((B, Z))
    stepped = VAE(dtype=np.float64, compiled=False, params=trained)
    value, grads = stepped.loss_and_gradient(x, noise)
    ours.append(value)
    rates = optim.AdamRates(t, 1e-3, 0.9, 0.999, 1e-8)
    optim.adam_update(trained, grads.flat[None], m, v, rates)

    at = loss_on_tape(taped, x, noise)
    bars = pull_back(at["loss"])
    on_tape.append(float(tape[at["loss"]][0]))
    for name, block in taped.items():
        block, grad = block.reshape(-1), bars[at[name]].reshape(1, -1)
        optim.adam_update(block, grad, *moments[name], rates)
print("by hand:", " ".join(f"{value:.3f}" for value in ours[::3]), "nats")
print("tape:   ", " ".join(f"{value:.3f}" for value in on_tape[::3]), "nats")
assert np.allclose(on_tape, ours, rtol=1e-10) and ours[-1] < ours[0] - 20

# %%
if torch:
    encoder, decoder, named = torch_model(torch.float64)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    theirs = []
    for t in range(1, steps + 1):
        noise = np.random.default_rng(t).standard_normal((B, Z))
        adam.zero_grad()
        value = torch_loss(
            encoder, decoder, torch.from_numpy(x), torch.from_numpy(noise)
        )
        value.backward()
        adam.step()
        theirs.append(value.item())
    print("PyTorch:", " ".join(f"{value:.3f}" for value in theirs[::3]), "nats")
    assert np.allclose(theirs, ours, rtol=1e-10)

# %% [markdown]
# All of it in one picture, with our own compiled float32 code for company.
# Float32 has seven digits and all use them; float64 has sixteen.

# %%
compiled = VAE(seed=18)
_, grads = compiled.loss_and_gradient(x.astype(np.float32), eps.astype(np.float32))
found["compiled, float32"] = worst(grads)
assert found["compiled, float32"][0] < 1e-5

double = max(f[0] for name, f in found.items() if name.endswith("64"))
single = max(f[0] for name, f in found.items() if name.endswith("32"))
figure, (axes,) = sheet(
    f"{len(found)} ways to the same gradient: within {single:.0e} in float32 and "
    f"{double:.0e} in float64",
    height=0.5 + 0.3 * len(found),
    labels=("error of each block, relative to its norm", ""),
)
for place, (name, (_, _, errors)) in enumerate(
    sorted(found.items(), key=lambda f: f[1])
):
    colour = ESTIMATE if name.endswith("64") else KL
    values = np.maximum(list(errors.values()), 1e-17)
    axes.plot(values, np.full(len(values), place), "o", ms=6, color=colour, alpha=0.6)
    axes.text(3e-12, place, name, size=11, color=colour, ha="center", va="center")
axes.set_xscale("log")
axes.set_xlim(1e-17, 1e-4)
axes.set_ylim(-0.6, len(found) - 0.4)
axes.set_yticks([])
axes.grid(axis="x", color="#e4e5ea")
show(
    figure,
    "18_agreement",
    "Dots for the errors of the eight blocks of the gradient by each way of computing "
    "it, on a log scale: those in float64 near 1e-16, those in float32 near 1e-7.",
)

# %% [markdown]
# ## Where to go from here
#
# You can read these now. Ask of each: what is its $q$, what is its bound, and
# which gradient is hard?
#
# - **The beginning.** Kingma and Welling (2014); Rezende, Mohamed and Wierstra
#   (2014). The same authors look back: Kingma and Welling (2019).
# - **Tighter bounds.** Burda, Grosse and Salakhutdinov (2016). Why a tighter
#   one can train a worse encoder: Rainforth et al. (2018). What is lost where:
#   Cremer, Li and Duvenaud (2018).
# - **A richer $q$.** Rezende and Mohamed (2015); Kingma et al. (2016).
# - **A richer prior.** Tomczak and Welling (2018).
# - **Codes that are not numbers.** Jang, Gu and Poole (2017); Maddison, Mnih
#   and Teh (2017); van den Oord, Vinyals and Kavukcuoglu (2017).
# - **Rate, distortion, collapse.** Bowman et al. (2016); Higgins et al. (2017);
#   Chen et al. (2017); Alemi et al. (2018); Lucas et al. (2019).
# - **What a latent can mean.** Locatello et al. (2019); Khemakhem et al.
#   (2020).
# - **Deep hierarchies.** Sønderby et al. (2016); Vahdat and Kautz (2020); Child
#   (2021).
# - **One long chain of latents, with a $q$ that nobody trains.** Sohl-Dickstein
#   et al. (2015); Ho, Jain and Abbeel (2020); Kingma et al. (2021). It is the
#   ELBO again.
# - **Differentiating programs.** Griewank and Walther (2008); Baydin et al.
#   (2018).
#
# ## Exercise
#
# In `lessons/exercises/18_leaving.py` give the tape an operation that it lacks,
# the $\log \sum \exp$ of each row, which the importance-weighted bound needs,
# with its pull; and write the two functions that carry a dense layer behind a
# convolution to PyTorch and back. Then ask
#
# ```sh
# numpyvae check 18
# ```
