# %% [markdown]
# # 16 · Making it fast
#
# *A processor does what it is told in the time that its multipliers and its
# memory need. Count both, and you know beforehand what a change will bring.*
#
# **You will** count the work of one training step; measure what this machine
# can do at best; then climb from a step in plain NumPy to one near that limit.
# Each rung has a prediction, a measurement and a proof that it still computes
# the same.
#
# **Reads with** lesson 10 (the step), `numpyvae/kernels/dense.py` and
# `numpyvae/training/fused/turns.py` (the rungs as they are used). None of the
# notes speaks of speed. **Takes** 30 seconds.

# %%
import math
import sys
from time import perf_counter, sleep
from typing import NamedTuple

import numba
import numpy as np
from lesson import digits, full_or_fast
from style import ESTIMATE, EXACT, WRONG, sheet, show
from threadpoolctl import ThreadpoolController

from numpyvae import VAE
from numpyvae.datasets.binarize import binarize
from numpyvae.kernels.active_pixels import active_pixels, rows_of
from numpyvae.kernels.backends import Reference, compiled, reference
from numpyvae.kernels.jit import jit
from numpyvae.pairs import kl as kls
from numpyvae.pairs import posteriors
from numpyvae.pairs.activations import RELU
from numpyvae.pairs.objectives import ELBO
from numpyvae.pairs.optimizers import AdamRates
from numpyvae.training.batches import Batches
from numpyvae.training.fused import kernels as fused_kernels
from numpyvae.training.fused import parallel
from numpyvae.training.fused import step as fused
from numpyvae.training.fused.step import FusedStep
from numpyvae.training.optimizers import Adam
from numpyvae.training.process import SWITCH_SECONDS
from numpyvae.training.workers import Workers, available_cores

rng = np.random.default_rng(16)
B = 128
data = digits(1000, 100)
bits = binarize(data.train_images[:B].reshape(B, -1), "dynamic", rng)
eps = rng.standard_normal((B, 20))
print(f"{available_cores()} cores, NumPy {np.__version__}, numba {numba.__version__}")

# %% [markdown]
# ## Count the multiplications
#
# The network is the one of lesson 10: 784-400-20 and back. A dense layer with
# $N$ inputs and $M$ outputs does, for each of $B$ images, $NM$ products and as
# many additions: $2BNM$ floating point operations. Backward, $\bar W = x^\top
# \bar a$ sums over $B$ for each of the $NM$ weights: $2BNM$ again. And $\bar
# x = \bar a W^\top$: $2BNM$ once more, except in the first layer, since nobody
# asks for the gradient of an image. Forward once, backward twice, minus one:
#
# $$F = 2B \Big( 3 \sum_i N_i M_i - N_1 M_1 \Big). \tag{16.1}$$

# %%
widths = [(784, 400), (400, 40), (20, 400), (400, 784)]
products = [N * M for N, M in widths]
flop = 2 * B * (3 * sum(products) - products[0])
print(f"{flop / 1e6:.1f} million operations a step, {flop / B / 1e6:.2f} per image")

counted = 0  # the same, product by product: y, dW and, but for the first layer, dx
for i, (N, M) in enumerate(widths):
    for rows, inner, columns in ((B, N, M), (N, B, M), (B, M, N))[: 3 if i else 2]:
        counted += 2 * rows * inner * columns
assert counted == flop

# %% [markdown]
# ## Measure what the machine can do
#
# Two numbers bound every piece of code: how many operations a second, and how
# many bytes a second. Work that needs $F$ operations and moves $Q$ bytes can't
# be faster than the slower of the two:
#
# $$t \ge \max \left( \frac{F}{\text{operations per second}},\
#   \frac{Q}{\text{bytes per second}} \right). \tag{16.2}$$
#
# For the first, a large product of matrices is as good as it gets. For the
# second, take $y \leftarrow y + x$, which reads two arrays and writes one. (A
# copy would seem simpler. But before a processor writes to a place it has not
# read, it fetches what is there, so a copy moves three arrays, too, and says so
# to nobody.) Bytes are cheaper the nearer they lie, so take a large array and
# one that fits into the cache of a core. How to measure? Something else always
# runs on a computer, and it only ever makes things slower. So the contestants
# take turns, each is run once to warm up and once against the clock, and of all
# its times the 10th percentile is what it can do. The median beside it says how
# much the machine was disturbed. One disturbance is of our own making: BLAS's
# threads, when they have nothing to do, watch for work for some 25 ms before
# they go to sleep, and a core that watches is a core that is taken. So those
# who use them race among themselves, and then there is a pause.


# %%
blas = ThreadpoolController()
SECONDS = full_or_fast(1.0, 0.02)


def race(tasks, seconds=SECONDS, threads=1):
    """The 10th percentile and the median of each task's time, in ms; interleaved.

    BLAS may use so many `threads`.
    """
    times, end = {name: [] for name in tasks}, perf_counter() + seconds
    with blas.limit(limits=threads, user_api="blas"):
        while perf_counter() < end or min(map(len, times.values())) < 3:
            for name, task in tasks.items():
                task()
                begin = perf_counter()
                task()
                times[name].append((perf_counter() - begin) * 1e3)
    sleep(0.05 if threads > 1 else 0)
    return {name: np.quantile(times[name], (0.1, 0.5)) for name in tasks}


def tell(found):
    for name, (best, median) in found.items():
        print(f"{name:36} {best:7.3f} ms (median {median:7.3f})")


cores = min(full_or_fast(2, 1), available_cores())
n = full_or_fast(1024, 256)
left, right, out = (rng.normal(size=(n, n)).astype(np.float32) for _ in range(3))
P = sum(N * M + M for N, M in widths)  # parameters
wide = np.ones(P, np.float32), np.zeros(P, np.float32)
near = np.ones(P // 16, np.float32), np.zeros(P // 16, np.float32)

found = {}
for threads, who in ((1, "one core"), (cores, "all cores")):
    task = {f"product, {who}": lambda: np.matmul(left, right, out=out)}
    found |= race(task, threads=threads)
found |= race(
    {
        "y += x, large arrays": lambda: np.add(*wide, out=wide[1]),
        "y += x, small arrays": lambda: np.add(*near, out=near[1]),
    }
)
tell(found)
names = ("product, one core", "product, all cores")
peak1, peak = (2 * n**3 / found[name][0] / 1e6 for name in names)  # GFLOP/s
far_speed = 3 * wide[0].nbytes / found["y += x, large arrays"][0] / 1e6  # GB/s
near_speed = 3 * near[0].nbytes / found["y += x, small arrays"][0] / 1e6
floor = flop / max(peak1, peak) / 1e6  # ms
print(f"peak {peak1:.0f} GFLOP/s on one core, {peak:.0f} on {cores}; "
      f"{far_speed:.0f} GB/s, near {near_speed:.0f}")  # fmt: skip
print(f"so the products of one step take {floor:.2f} ms at the very least")
if cores > 1 and peak < 1.5 * peak1:
    print("BEWARE: a second core brings little. Something else is using it, and what "
          "follows\nwill say more about that than about the ladder")  # fmt: skip

# %% [markdown]
# ## The first rung: a step in plain NumPy
#
# Here is the whole step, every line a pair that an earlier lesson derived. It
# takes its functions from `code`, as the package does, and its arrays from
# `room`, so that the rungs can exchange both; this first time, `room` has
# nothing, and each function makes new arrays.


# %%
def loss_and_gradient(code, params, x, eps, room, dtype, batch=B):
    """The mean loss of a VAE, in nats, and the gradients of its eight blocks."""
    W1, b1, W2, b2, W3, b3, W4, b4 = params
    a = code.dense_forward(x, W1, b1, out=room("h"))
    h = code.activation_forward(RELU, a, a)
    s = code.dense_forward(h, W2, b2, out=room("s"))
    mu, logvar = s[:, :20], s[:, 20:]
    sigma = posteriors.sigma_forward(logvar)
    z = posteriors.reparameterize_forward(mu, sigma, eps)
    kl = kls.kl_forward(mu, logvar)
    a = code.dense_forward(z, W3, b3, out=room("g"))
    g = code.activation_forward(RELU, a, a)
    logits = code.dense_forward(g, W4, b4, out=room("logits"))
    nll, p = code.bernoulli_forward(logits, x, out=room("nll", "p"))

    d = np.full(len(eps), 1 / batch, dtype)
    dlogits = code.bernoulli_backward(d, p, x, out=room("dlogits"))
    dg, dW4, db4 = code.dense_backward(dlogits, g, W4, out=room("dg", "dW4", "db4"))
    da = code.activation_backward(RELU, dg, None, g)  # relu reads y alone
    dz, dW3, db3 = code.dense_backward(da, z, W3, out=room("dz", "dW3", "db3"))
    dmu, dsigma = posteriors.reparameterize_backward(dz, eps)
    dmu_kl, dlogvar_kl = kls.kl_backward(d, mu, logvar)
    dlogvar = posteriors.sigma_backward(dsigma, sigma) + dlogvar_kl
    ds = np.hstack([dmu + dmu_kl, dlogvar])
    dh, dW2, db2 = code.dense_backward(ds, h, W2, out=room("dh", "dW2", "db2"))
    da = code.activation_backward(RELU, dh, None, h)
    dW1, db1 = code.dense_backward_weights(da, x, out=room("dW1", "db1"))
    loss = float(nll.sum() + kl.sum()) / batch
    return loss, [dW1, db1, dW2, db2, dW3, db3, dW4, db4]


# %% [markdown]
# The functions are those of `pairs/`, in NumPy; the loss alone is written as a
# beginner would: probabilities, their logarithms, and the chain rule through
# both. Adam goes block by block (2.9 to 2.11).


# %%
class NewArrays(Reference):
    """The NumPy pairs, whose activations too make new arrays."""

    def activation_forward(self, f, a, out):
        return f.forward(a)


class Naive(NewArrays):
    def bernoulli_forward(self, logits, x, out=None):
        p = 1 / (1 + np.exp(-logits))
        return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), p

    def bernoulli_backward(self, dnll, p, x, out=None):
        dp = dnll[:, None] * (p - x) / (p * (1 - p))
        return dp * p * (1 - p)


naive, from_logits = Naive(), NewArrays()


def nothing(*names):
    return None


def blocks(flat):
    """The views W1, b1, ..., b4 of a flat vector."""
    views, start = [], 0
    for N, M in widths:
        views.append(flat[start : start + N * M].reshape(N, M))
        views.append(flat[start + N * M : start + N * M + M])
        start += N * M + M
    return views


def flatten(parts):
    return np.concatenate([part.ravel() for part in parts])


# %% [markdown]
# What it computes is held against the package's reference in float64, once; all
# later rungs are held against the same numbers.

# %%
model = VAE(seed=16, dtype=np.float64, compiled=False)
start = model.params.flat.copy()
exact_loss, exact = model.loss_and_gradient(bits.astype(float), eps)
exact = exact.flat


def errors(loss, grads):
    """Relative errors of a loss and a gradient."""
    gap = np.linalg.norm(flatten(grads).astype(float) - exact)
    return abs(loss / exact_loss - 1), gap / np.linalg.norm(exact)


x64, x32 = bits.astype(float), bits.astype(np.float32)
eps32, start32 = eps.astype(np.float32), start.astype(np.float32)
loss, grads = loss_and_gradient(naive, blocks(start), x64, eps, nothing, float)
in_loss, in_gradient = errors(loss, grads)
print(
    f"{loss:.4f} nats; relative errors: loss {in_loss:.0e}, gradient {in_gradient:.0e}"
)
assert max(errors(loss, grads)) < 1e-13

# %% [markdown]
# ## Half the bytes: float32
#
# A register of 64 bytes holds 8 numbers of float64 and 16 of float32, and a
# cache line likewise. **Prediction:** half the time. The price is in the
# digits: each rounding has a relative error of up to $u = 2^{-24} \approx 6
# \cdot 10^{-8}$ instead of $2^{-53}$, and the errors of $n$ terms that are
# added, being of either sign, grow about as $\sqrt n$. For 784 terms that is
# $28 \cdot 6 \cdot 10^{-8} \approx 2 \cdot 10^{-6}$, far below the noise of a
# batch of 128.

# %%
loss, grads = loss_and_gradient(naive, blocks(start32), x32, eps32, nothing, np.float32)
in_loss, in_gradient = errors(loss, grads)
print(f"relative errors: loss {in_loss:.0e}, gradient {in_gradient:.0e}")
SINGLE = 1e-5  # what float32 may be off by: five times the estimate
assert max(errors(loss, grads)) < SINGLE
assert all(grad.dtype == np.float32 for grad in grads)

# %% [markdown]
# One line with a `np.float64` scalar in it, and NumPy 2 computes all that
# follows in float64. So the dtype of the gradients is asserted too.
#
# ## The loss from logits: not faster, but right
#
# Count the passes over the $128 \times 784$ logits: the beginner's pair makes
# 20 (each NumPy operation is one), and that of `pairs/bernoulli.py`, which
# takes the loss from logits by (11.2) and its gradient by (11.3), makes 21.
# **Prediction:** no gain in speed. It is a rung all the same: at a logit of 100
# the probability rounds to 1.

# %%
large, ink = np.full((1, 1), 100.0, np.float32), np.zeros((1, 1), np.float32)
with np.errstate(divide="ignore", invalid="ignore"):
    nll, p = naive.bernoulli_forward(large, ink)
    dlogits = naive.bernoulli_backward(np.ones(1, np.float32), p, ink)
print(f"at a logit of 100: naive {nll[0]} nats, gradient {dlogits[0, 0]}")
nll_right, p_right = reference.bernoulli_forward(large, ink)
print(f"         from the logit: {nll_right[0]} nats, gradient {p_right[0, 0]}")
assert not np.isfinite(nll[0]) and np.isnan(dlogits[0, 0])
assert nll_right[0] == 100 and p_right[0, 0] == 1

# %% [markdown]
# ## Fewer passes: where the exp stands
#
# A compiled loop makes all of it in one pass, exp and log included. It sounds
# like the best one could do. But a processor takes 16 numbers at a time only in
# a loop of plain arithmetic, and `math.exp` in a loop that numba compiles is a
# function to be called, once for each element. NumPy brings an `exp` of its own
# that takes 16. So leave it to NumPy: one loop that writes $-|l|$, `np.exp` in
# place, one loop for the rest (2.6). **Prediction:** three passes with vectors
# beat one without.


# %%
@jit
def one_loop(logits, p, nll):
    for i in range(logits.shape[0]):
        total = 0.0
        for j in range(logits.shape[1]):
            e = math.exp(-abs(logits[i, j]))
            total += max(logits[i, j], 0) + math.log1p(e)
            p[i, j] = (1 if logits[i, j] > 0 else e) / (1 + e)
        nll[i] = total


@jit
def write_minus_abs(logits, e):
    for i in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            e[i, j] = -abs(logits[i, j])


@jit
def finish(logits, p, nll):
    """p holds exp(-|l|), and is overwritten by sigmoid(l)."""
    zero, one = p.dtype.type(0), p.dtype.type(1)
    for i in range(logits.shape[0]):
        total = 0.0
        for begin in range(0, logits.shape[1], 64):
            product, positive = one, zero
            for j in range(begin, min(begin + 64, logits.shape[1])):
                logit, e = logits[i, j], p[i, j]
                product *= one + e
                positive += max(logit, zero)
                p[i, j] = (one if logit > zero else e) / (one + e)
            total += math.log(product) + positive
        nll[i] = total


@jit
def finish_with_logs(logits, p, nll):
    zero, one = p.dtype.type(0), p.dtype.type(1)
    for i in range(logits.shape[0]):
        total = 0.0
        for j in range(logits.shape[1]):
            logit, e = logits[i, j], p[i, j]
            total += max(logit, zero) + math.log1p(e)
            p[i, j] = (one if logit > zero else e) / (one + e)
        nll[i] = total


def loop_exp_loop(logits, p, nll, last=finish):
    write_minus_abs(logits, p)
    np.exp(p, out=p)
    last(logits, p, nll)


# %% [markdown]
# ## Fewer logarithms: a log of a product
#
# `finish` hides a second trick. The loss needs $\sum_j \log(1 + e_j)$ with $0 <
# e_j = \exp(-|l_j|) \le 1$. A sum of logarithms is the logarithm of a product,
# and every factor lies in $(1, 2]$. So 64 of them can be multiplied first:
#
# $$\sum_{j=1}^{64} \log(1 + e_j) = \log \prod_{j=1}^{64} (1 + e_j), \qquad
#   1 < \prod_{j=1}^{64} (1 + e_j) \le 2^{64} \ll 2^{128}, \tag{16.3}$$
#
# and $2^{128}$ is where float32 overflows. One logarithm stands where 64 stood.
# What does it cost in digits? Each factor is rounded once when it is formed and
# once when it is multiplied, so the product of $n$ factors is off by a factor
# within $1 \pm 2nu$ (to first order), and its logarithm by
#
# $$\left| \text{error of } \log \prod_{j=1}^{n} (1 + e_j) \right| \le 2 n u,
#   \tag{16.4}$$
#
# over a whole image $2 \cdot 784 \cdot 2^{-24} \approx 10^{-4}$ nats, of a loss
# of some hundred.

# %%
logits = (3 * rng.normal(size=(B, 784))).astype(np.float32)
p, nll = np.empty_like(logits), np.empty(B, np.float32)
softplus = np.logaddexp(0, logits.astype(float)).sum(axis=1)
for loop in (
    one_loop,
    loop_exp_loop,
    lambda *args: loop_exp_loop(*args, finish_with_logs),
):
    loop(logits, p, nll)
    assert np.abs(nll - softplus).max() < 2 * 784 * 2**-24 + 2**-24 * softplus.max()
    assert np.allclose(p, 1 / (1 + np.exp(-logits.astype(float))), atol=1e-6)
worst = np.full((1, 64), 0.0, np.float32)  # e = 1, each factor 2
finish(worst, np.exp(worst), nll[:1])
assert abs(nll[0] - 64 * math.log(2)) < 2 * 64 * 2**-24 * 64

losses = race(
    {
        "loss, NumPy": lambda: reference.bernoulli_forward(logits, x32),
        "loss, one loop with exp and log1p": lambda: one_loop(logits, p, nll),
        "loss, loop, np.exp, loop of logs": lambda: loop_exp_loop(
            logits, p, nll, finish_with_logs
        ),
        "loss, loop, np.exp, loop of products": lambda: loop_exp_loop(logits, p, nll),
        "np.exp alone": lambda: np.exp(logits, out=p),
    }
)
tell(losses)

# %% [markdown]
# ## One pass for Adam, and the test that nobody asked for
#
# Adam (2.9 to 2.11) in NumPy is some 15 passes over $P = 652{,}824$ parameters.
# A loop needs one: it reads $\theta, g, m, v$ and writes $\theta, m, v$, seven
# numbers for each parameter, and hardly computes. So bytes decide:
#
# $$t_{\text{Adam}} \ge \frac{7 \cdot 4\, P}{\text{bytes per second}}.
#   \tag{16.5}$$
#
# The loop below is compiled twice. By default numba keeps Python's promise that
# a division by zero raises an error. So it tests each divisor, and leaves the
# loop if it must. A loop that may be left in the middle can't be done 16
# elements at a time. With `error_model="numpy"` a division by zero is infinity,
# and no test is needed.


# %%
def adam_loop(params, grad, m, v, rate, scale, eps):
    one = np.float32(1)
    b1, b2 = np.float32(0.9), np.float32(0.999)
    for i in range(params.shape[0]):
        m[i] = b1 * m[i] + (one - b1) * grad[i]
        v[i] = b2 * v[i] + (one - b2) * grad[i] * grad[i]
        params[i] -= rate * m[i] / (math.sqrt(v[i]) * scale + eps)


flags = {"nogil": True, "fastmath": {"contract", "reassoc"}}
adam_python = numba.njit(**flags)(adam_loop)
adam_numpy = jit(adam_loop)  # the same, with error_model="numpy"


def invert(x):
    return 1 / x


try:
    numba.njit(invert)(0.0)
    raised = False
except ZeroDivisionError:
    raised = True
assert raised and np.isinf(numba.njit(error_model="numpy")(invert)(0.0))

# %% [markdown]
# All three start from the same numbers and must end with the same.

# %%
HYPER = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
grad32 = exact.astype(np.float32)


def adam_state(dtype=np.float32):
    """Parameters, m and v before the first step."""
    return start.astype(dtype), np.zeros(P, dtype), np.zeros(P, dtype)


def scales(t):
    rate, scale = 1e-3 / (1 - 0.9**t), 1 / math.sqrt(1 - 0.999**t)
    return np.float32(rate), np.float32(scale), np.float32(1e-8)


states = {}
for name in ("NumPy", "python", "numpy", "package"):
    params, m, v = states[name] = adam_state()
    for t in (1, 2, 3):
        if name == "NumPy":
            reference.adam_update(params, grad32[None], m, v, AdamRates(t, **HYPER))
        elif name == "package":
            compiled.adam_update(params, grad32[None], m, v, AdamRates(t, **HYPER))
        else:
            loop = adam_python if name == "python" else adam_numpy
            loop(params, grad32, m, v, *scales(t))
for name in ("python", "numpy", "package"):
    moved = np.abs(states[name][0] - states["NumPy"][0]).max()
    assert moved < 3e-3 * 1e-4  # a ten-thousandth of three steps of lr

params, m, v = adam_state()
adams = race(
    {
        "Adam, NumPy": lambda: reference.adam_update(
            params, grad32[None], m, v, AdamRates(9, **HYPER)
        ),
        "Adam, error model python": lambda: adam_python(
            params, grad32, m, v, *scales(9)
        ),
        "Adam, error model numpy": lambda: adam_numpy(params, grad32, m, v, *scales(9)),
    }
)
tell(adams)
adam_bytes = 7 * 4 * P
adam_floor = adam_bytes / far_speed / 1e6
print(f"predicted from {adam_bytes / 1e6:.1f} MB: {adam_floor:.3f} ms")

# %% [markdown]
# ## Arrays that stay
#
# Each `x @ W` asks for a new array. A large one may come fresh from the
# operating system, a page at a time, each page filled with zeros for safety
# before the result is written over them. Or the C library has kept the memory
# of an array that was given back, and hands it out again at no cost. Which of
# the two? Ask:

# %%
kept = np.empty(P, np.float32)
touch = race(
    {
        "write to a kept array": lambda: kept.fill(1),
        "write to a new array": lambda: np.empty(P, np.float32).fill(1),
    }
)
tell(touch)
per_byte = max(0, touch["write to a new array"][0] - touch["write to a kept array"][0])
per_byte /= 4 * P
# New in a step: gradients; of each layer x W, the sums and (but for the first) dx;
# two relus' y, p, and dlogits (their da are new in either rung).
layers_new = sum(2 * M for _, M in widths) + sum(N for N, _ in widths[1:])
fresh_bytes = 4 * (P + B * (layers_new + 2 * 400 + 2 * 784))
print(f"{fresh_bytes / 1e6:.1f} MB are new in each step: "
      f"{fresh_bytes * per_byte:.2f} ms predicted")  # fmt: skip

# %% [markdown]
# Whatever it says, the rung is needed for the next one, in which each thread
# writes to arrays of its own: a shelf of arrays, made once, handed out by name.


# %%
def shelf(grad, batch):
    """Arrays made once: a room that hands them out by name."""
    names = ("dW1", "db1", "dW2", "db2", "dW3", "db3", "dW4", "db4")
    arrays = dict(zip(names, blocks(grad), strict=True))
    sizes = {"h": 400, "s": 40, "g": 400, "logits": 784, "p": 784}
    sizes |= {"dlogits": 784, "dg": 400, "dz": 20, "dh": 400}
    for name, width in sizes.items():
        arrays[name] = np.empty((batch, width), np.float32)
    arrays["nll"] = np.empty(batch, np.float32)

    def room(*names):
        got = tuple(arrays[name] for name in names)
        return got[0] if len(got) == 1 else got

    return room


# %% [markdown]
# ## Two threads, and nobody else's
#
# Who uses the second core? BLAS can share out a single product among threads of
# its own, but what stands between two products runs on one core, while the
# other waits. Rather cut the *batch* in two. A shard of the batch is a whole
# step's forward and backward, on a core of its own, with BLAS kept to one
# thread; matrix products and our loops let go of Python's lock. The mean over
# the batch keeps its $1/B$, so the shards' gradients add up to the batch's,
#
# $$\bar\theta = \frac1B \sum_{i=1}^{B} \frac{\partial L_i}{\partial \theta}
#   = \sum_{s=1}^{S} \Big( \frac1B \sum_{i \in \text{shard } s}
#     \frac{\partial L_i}{\partial \theta} \Big), \tag{16.6}$$
#
# and Adam, which adds them as it reads them, is shared out by parameters. The
# order of the sum does not depend on which thread was faster. **Prediction:**
# half of what one core needs, plus two meetings of the threads.

# %%
SHARDS = 2
halves = [slice(s * B // SHARDS, (s + 1) * B // SHARDS) for s in range(SHARDS)]
parts = [slice(s * P // SHARDS, (s + 1) * P // SHARDS) for s in range(SHARDS)]


def sharded_step(workers, shards_of):
    """A function that makes a step; and the gradient (P,), the first time."""
    flat, m, v = adam_state()
    grads, t = np.empty((SHARDS, P), np.float32), 0
    differentiate = shards_of(flat, grads)  # shard -> its part of the loss

    def update(s):
        part = parts[s]
        rates = AdamRates(t, **HYPER)
        compiled.adam_update(flat[part], grads[:, part], m[part], v[part], rates)

    def step():
        nonlocal t
        t += 1
        loss = sum(workers.map(differentiate, SHARDS))
        gradient = grads.sum(axis=0) if t == 1 else None
        workers.map(update, SHARDS)
        return loss, gradient

    return step


def in_python(x):
    """Shards of x whose kernels Python calls one by one."""

    def shards_of(flat, grads):
        rooms = [shelf(grad, B // SHARDS) for grad in grads]
        views, xs = blocks(flat), [rows_of(x, half) for half in halves]

        def differentiate(s):
            noise = eps32[halves[s]]
            return loss_and_gradient(
                compiled, views, xs[s], noise, rooms[s], np.float32
            )[0]

        return differentiate

    return shards_of


bitwise = []
for threads in (1, 2):
    with Workers(threads) as workers:
        loss, gradient = sharded_step(workers, in_python(x32))()
        bitwise.append(gradient)
        assert max(errors(loss, [gradient])) < SINGLE
assert np.array_equal(*bitwise)  # one thread or two: the same bits

# %% [markdown]
# ## Only the pixels that are there
#
# A binary image is a list of its active pixels, and a row of $x W$ is the sum
# of the rows of $W$ that the list names. Backward, a row of $\bar W$ is the sum
# of $\bar a$ over the images that have the pixel:
#
# $$(xW)_i = \sum_{n:\, x_{in} = 1} W_n, \qquad
#   \bar W_n = \sum_{i:\, x_{in} = 1} \bar a_i. \tag{16.7}$$
#
# And the loss reads $x$ only where it is 1. From (11.2), since $x_j l_j$ is
# $l_j$ or nothing,
#
# $$R = \sum_{j=1}^{D} \log(1 + \exp l_j)\ -\ \sum_{j:\, x_j = 1} l_j.
#   \tag{16.8}$$


# %%
@jit
def sum_rows(W, columns, starts, y):
    for i in range(y.shape[0]):
        y[i] = 0
        for a in range(starts[i], starts[i + 1]):
            y[i] += W[columns[a]]


listed = active_pixels(bits)
share = len(listed.columns) / bits.size
print(f"{share:.1%} of the pixels are active")

W1 = blocks(start32)[0]
summed = np.empty((B, 400), np.float32)
sum_rows(W1, listed.columns, listed.starts, summed)
assert np.allclose(summed, x32 @ W1, atol=1e-5)

full, of_list = compiled.bernoulli_forward(logits, x32)[0], softplus.copy()
for i in range(B):
    mine = slice(listed.starts[i], listed.starts[i + 1])
    of_list[i] -= logits[i, listed.columns[mine]].sum()
assert np.allclose(full, of_list, rtol=1e-5)
assert np.allclose(compiled.bernoulli_forward(logits, listed)[0], of_list, rtol=1e-5)

# %% [markdown]
# That is one operation for each active pixel and output where the product had
# two for every pixel: about one in fifteen. **Prediction:** much less than
# that. The product uses each weight that it loads for all images of the batch,
# while a sum of rows loads a row to add it once. Operations are saved, bytes
# are not, and by (16.2) the bytes now decide. A pass that adds one row moves
# three: it reads the row and the sum, and writes the sum. The package adds
# eight rows in a pass, which moves $(8 + 2)/8$ for each row.

# %%
dense_flop, row_bytes = 2 * B * 784 * 400, 4 * 400 * len(listed.columns)
b1 = np.zeros(400, np.float32)
firsts = race(
    {
        "first layer, dense product": lambda: compiled.dense_forward(
            x32, W1, b1, out=summed
        ),
        "first layer, sums of rows": lambda: sum_rows(
            W1, listed.columns, listed.starts, summed
        ),
        "first layer, the package's sums": lambda: compiled.dense_forward(
            listed, W1, b1, out=summed
        ),
    }
)
tell(firsts)
predicted_dense = dense_flop / peak1 / 1e6
singly, predicted_rows = (moved * row_bytes / near_speed / 1e6 for moved in (3, 10 / 8))
print(f"predicted: {predicted_dense:.2f} ms dense, from {dense_flop / 1e6:.0f} MFLOP; "
      f"from the {row_bytes / 1e6:.0f} MB of rows\n{singly:.2f} ms one a pass and "
      f"{predicted_rows:.2f} ms eight a pass")  # fmt: skip

# %% [markdown]
# ## Waiting for Python
#
# Kernels let go of Python's lock, but between two kernels there are some lines
# of Python, which only one thread at a time may run. Whoever finds the lock
# taken goes to sleep until it is free, and a sleeper takes a while to wake. How
# often? The operating system counts how often we went to sleep.
#
# Python lets one choose how long a sleeper sleeps before it looks by itself: 5
# ms by default, longer than the whole step. `Workers` makes it 10 µs. Then
# nobody need wake the sleeper; it hardly slept. **Prediction:** a meeting of
# the threads is two waits, so a wait takes half a meeting; all but those of the
# two meetings go, and since two threads wait beside each other, the clock shows
# half.


# %%
def patient(step):
    """The step with Python's own patience."""

    def with_default():
        ours = sys.getswitchinterval()
        sys.setswitchinterval(5e-3)
        result = step()
        sys.setswitchinterval(ours)
        return result

    return with_default


def waits(step):
    """How often our threads go to sleep in a step."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows doesn't tell
        return math.nan
    n = full_or_fast(200, 2)
    step()
    before = getrusage(RUSAGE_SELF).ru_nvcsw
    for _ in range(n):
        step()
    return (getrusage(RUSAGE_SELF).ru_nvcsw - before) / n


with Workers(cores) as workers:
    step = sharded_step(workers, in_python(listed))
    slept, sleeps = waits(patient(step)), waits(step)
print(f"waits in a step: {slept:.1f} with Python's 5 ms, "
      f"{sleeps:.1f} with {SWITCH_SECONDS * 1e6:.0f} µs")  # fmt: skip

# %% [markdown]
# ## exp, written out
#
# Better no Python in between at all. Then a shard has to be one compiled
# function, `np.exp` can't be called in it, and `math.exp` is slow. But what is
# an exp? Cut $a$ into a multiple of $\log 2$ and a rest:
#
# $$\begin{aligned}
#   n &= \Big\lfloor \frac{a}{\log 2} + \frac12 \Big\rfloor, \qquad
#   r = a - n \log 2, \qquad |r| \le \frac{\log 2}{2}, \\
#   \exp a &= 2^n \exp r \approx 2^n \sum_{k=0}^{7} \frac{r^k}{k!}.
#   \end{aligned} \tag{16.9}$$
#
# The first term left out is at most $0.347^8 / 8! = 5 \cdot 10^{-9}$, a
# twelfth of $u$. And $2^n$ is no computation: a float32 keeps its exponent, plus
# 127, in the bits from the 23rd on, so write $n + 127$ there. One care is
# needed: $n \log 2$ of size 80 is rounded by up to $80\, u$, and all of that
# would be a relative error of the result. So $\log 2$ comes in two parts, the
# first of so few digits that its product with $n$ is exact.


# %%
def written_out(a):
    """exp(a) of float32 within [-87, 88], by nothing but arithmetic."""
    high, low = np.float32(0.693359375), np.float32(-2.12194440e-4)
    n = np.floor(a / np.float32(math.log(2)) + np.float32(0.5))
    r = a - n * high - n * low
    series = np.zeros_like(a)
    for k in range(7, -1, -1):
        series = series * r + np.float32(1 / math.factorial(k))
    return series * ((n.astype(np.int32) + 127) << 23).view(np.float32)


@jit
def row_by_row(logits, p, nll):
    """The whole loss in one pass: of each row exp, written out, and what follows."""
    for i in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            p[i, j] = fused_kernels.exp(-abs(logits[i, j]))
        finish(logits[i : i + 1], p[i : i + 1], nll[i : i + 1])


@jit
def exps(a, e):
    for i in range(a.shape[0]):
        e[i] = fused_kernels.exp(a[i])


a = np.linspace(-87, 88, 100_001, dtype=np.float32)
true, e = np.exp(a.astype(float)), np.empty_like(a)
exps(a, e)
for name, got in (("the series", written_out(a)), ("package", e), ("NumPy", np.exp(a))):
    off = np.abs(got / true - 1).max() * 2**24
    print(f"{name:10} wrong by at most {off:.2f} u")
    assert (
        name == "NumPy" or off < 4
    )  # u for 1 + r, u for 2^n's product, and what the small terms add
row_by_row(logits, p, nll)
assert np.abs(nll - softplus).max() < 2 * 784 * 2**-24 + 2**-24 * softplus.max()

# %% [markdown]
# **Prediction:** some 20 instructions for 16 numbers (or for 8, if the compiler
# prefers short registers). The matrix product, which does two operations for
# each number of a register, has shown how many instructions there are in a
# second. And the loss: a single pass with exp inside is the best one can do
# after all, as long as its exp is no call.

# %%
in_one = race(
    {
        "np.exp, of all logits": lambda: np.exp(logits, out=p),
        "exp written out, of all logits": lambda: exps(logits.ravel(), p.ravel()),
        "loss, loop, np.exp, loop of products": lambda: loop_exp_loop(logits, p, nll),
        "loss, one loop, exp written out": lambda: row_by_row(logits, p, nll),
    }
)
tell(in_one)
of_16 = 20 * logits.size / (peak1 / 2) / 1e6
print(f"predicted for exp: {of_16:.3f} ms, or {2 * of_16:.3f} ms with 8 at a time")

# %% [markdown]
# ## No Python in between
#
# All that is left to call is the matrix product. NumPy brings a BLAS along, and
# a compiled function may call it at its address: `numpyvae/kernels/blas.py`
# finds it. And threads need not be Python's. numba keeps some, which wait for
# work awake and never ask for the lock. So `numpyvae/training/fused/turns.py`
# writes the step as three compiled functions (draw, differentiate, update), and
# numba's threads meet after each.
#
# Now that a meeting is cheap, the work may be cut differently. In (16.6) each
# shard writes a whole gradient, which Adam reads again: $2 S P$ numbers through
# the memory. But the gradient of *one row* of a weight needs one column of $x$
# and all of $\bar a$, and both are small:
#
# $$\bar W_n = \sum_{i=1}^{B} x_{in}\, \bar a_i. \tag{16.10}$$
#
# So a shard goes forward and back only as far as its $\bar a_i$. When both have
# met, half of each weight's rows gets its gradient of the whole batch, by one
# thread, and at once its step of Adam, while it is still in the thread's cache.
# **Prediction:** gone are the lines of Python of both shards, since they ran
# one at a time; the two meetings of Python's threads; what is left of the
# waits, up to 10 µs each; and the memory's $2 S P$ numbers, half of them for
# each thread. How long are the lines? Take the same step of a network so small
# that there is nothing else to do.


# %%
class Nothing(NamedTuple):
    """Work that is done at once."""

    done: np.ndarray


@jit
def idle(turn, work):
    work.done[turn] = 1


def compiled_step(workers):
    """A function that makes a step; and the gradient (P,), the first time."""
    model, images = VAE(seed=16), 255 * bits.reshape(B, 28, 28)
    model.params.flat[...] = start32
    adam = Adam(model.params.flat, model.code, **HYPER)
    batches, rngs = Batches(images, "threshold", rng), rng.spawn(SHARDS)
    whole = FusedStep(model, batches, adam, rngs, B, workers)
    whole.draw(np.arange(B))
    whole.work.eps[...] = eps32

    def step():
        loss = sum(whole(ELBO)) / B
        return loss, adam.m / (1 - adam.beta1) if adam.step == 1 else None

    return step


usual = VAE()
fusible = fused.fits(usual, ELBO, Adam(usual.params.flat, usual.code))
if not fusible:
    print("NumPy's BLAS is not OpenBLAS: the last rung is left out")

small_widths = [(1, 1), (1, 40), (20, 1), (1, 1)]
small = [np.ones(size, np.float32) for N, M in small_widths for size in ((N, M), M)]
one_pixel = active_pixels(np.ones((2, 1), np.uint8))
lines = {
    "the Python of a shard": lambda: loss_and_gradient(
        compiled, small, one_pixel, eps32[:2], nothing, np.float32
    )
}
if fusible:
    work = Nothing(np.zeros(SHARDS))
    at = np.array([parallel.address(idle, work)])
    lines["a meeting of numba's threads"] = lambda: parallel.share(
        at, work, SHARDS, workers
    )
with Workers(cores) as workers:
    lines = race(lines)
tell(lines)

# %% [markdown]
# ## The ladder
#
# Now all rungs, each a whole step with all that came before it, and always on the
# same images. They would be learned by heart, and the beginner's loss would meet
# its infinity after all, so the learning rate is small.


# %%
def step_of(code, dtype, adam, room=nothing, flat_adam=False):
    """A function that makes a whole step on one core's Python thread."""
    flat, m, v = adam_state(dtype)
    views, ms, vs = blocks(flat), blocks(m), blocks(v)
    x, noise = bits.astype(dtype), eps.astype(dtype)
    gradient = np.empty(P, dtype)
    room = shelf(gradient, B) if flat_adam else room
    t = 0

    def step():
        nonlocal t
        t += 1
        loss, grads = loss_and_gradient(code, views, x, noise, room, dtype)
        rates = AdamRates(t, **HYPER)
        kept = flatten(grads) if t == 1 else None
        if flat_adam:
            adam(flat, gradient[None], m, v, rates)
        else:
            for block in zip(views, grads, ms, vs, strict=True):
                p_, g_, m_, v_ = (a.reshape(-1) for a in block)
                adam(p_, g_[None], m_, v_, rates)
        return loss, kept

    return step


HYPER["lr"] = 1e-6
loops = NewArrays()
loops.bernoulli_forward = compiled.bernoulli_forward
loops.bernoulli_backward = compiled.bernoulli_backward

rungs = {
    "plain NumPy": step_of(naive, np.float64, reference.adam_update),
    "float32": step_of(naive, np.float32, reference.adam_update),
    "loss from logits": step_of(from_logits, np.float32, reference.adam_update),
    "loop, exp, loop": step_of(loops, np.float32, reference.adam_update),
    "Adam in one loop": step_of(loops, np.float32, compiled.adam_update),
    "arrays that stay": step_of(
        compiled, np.float32, compiled.adam_update, flat_adam=True
    ),
}
allowed = dict.fromkeys(rungs, SINGLE) | {"plain NumPy": 1e-13}
for name, step in rungs.items():
    loss, gradient = step()
    assert max(errors(loss, [gradient])) < allowed[name], name
measured = race(rungs, full_or_fast(7.0, 0.05), threads=cores)  # BLAS as it comes

with Workers(1) as alone, Workers(cores) as workers:
    dense, of_lists = in_python(x32), in_python(listed)
    shards = {
        "shards on threads": patient(sharded_step(workers, dense)),
        "active pixels": patient(sharded_step(workers, of_lists)),
        "short waits": sharded_step(workers, of_lists),
    }
    if fusible:
        shards["no Python in between"] = compiled_step(workers)
    for name, step in shards.items():
        loss, gradient = step()
        assert max(errors(loss, [gradient])) < SINGLE, name
    others = {
        "one core": step_of(compiled, np.float32, compiled.adam_update, flat_adam=True),
        "shards in turn": sharded_step(alone, dense),
        "meeting": lambda: workers.map(int, SHARDS),
    }
    measured |= race(shards | others, full_or_fast(7.0, 0.05))
rungs |= shards
HYPER["lr"] = 1e-3

# %% [markdown]
# Each prediction starts from the rung before, as measured, takes away what the
# change saves and adds what it costs, both counted above.

# %%
time = {name: best for name, (best, _) in measured.items()}
python = lines["the Python of a shard"][0]
pass_bytes = 4 * B * 784  # once through the logits
fused_loss = losses["np.exp alone"][0] + 7 * pass_bytes / near_speed / 1e6
predicted = {
    "plain NumPy": math.nan,
    "float32": time["plain NumPy"] / 2,
    "loss from logits": time["float32"],
    "loop, exp, loop": time["loss from logits"] - losses["loss, NumPy"][0] + fused_loss,
    "Adam in one loop": time["loop, exp, loop"] - adams["Adam, NumPy"][0] + adam_floor,
    "arrays that stay": time["Adam in one loop"] - fresh_bytes * per_byte,
    "shards on threads": time["one core"] / cores + 2 * time["meeting"],
    "active pixels": time["shards on threads"]
    - 2 * (predicted_dense - predicted_rows) / cores,
    "short waits": time["active pixels"] - max(0, slept - 4) * time["meeting"] / 2 / 2,
    "no Python in between": time["short waits"]
    - SHARDS * python
    - slept * SWITCH_SECONDS * 1e3 / 2
    - 2 * time["meeting"]
    - 2 * 4 * P / far_speed / 1e6,
}
print(f"{'ms a step':20}{'predicted':>10}{'measured':>10}{'median':>8}  verdict")
above = None
for name in rungs:
    best, median = measured[name]
    verdict = ""
    if above is not None:
        gap, noise = above[0] - best, max(above[1] - above[0], median - best)
        verdict = "within the noise"
        if abs(gap) > noise:
            verdict = "faster: kept" if gap > 0 else "slower here"
    guess = "" if math.isnan(predicted[name]) else f"{predicted[name]:.2f}"
    print(f"{name:20}{guess:>10}{best:10.2f}{median:8.2f}  {verdict}")
    above = measured[name]
floor = (flop - 2 * dense_flop) / max(peak1, peak) / 1e6
print(f"{'floor, by (16.2)':20}{'':10}{floor:10.2f}   of the products that are left")

# %% [markdown]
# Where shards take longer than half of one core's step, how much of that is the
# threads (their waits were counted above), and how much the cutting? Do both
# shards in turn on a single thread: each writes a whole gradient, and its
# products have 64 rows, which BLAS likes less.

# %%
print(f"one batch on one core     {time['one core']:.2f} ms")
print(f"two shards on one core    {time['shards in turn']:.2f} ms")
print(f"two shards on {cores} threads   {time['shards on threads']:.2f} ms")
print(f"two meetings of threads   {2 * time['meeting']:.2f} ms")

# %%
last = min(time[name] for name in rungs)
figure, (axes,) = sheet(
    f"From {time['plain NumPy']:.0f} ms a step to {last:.1f} ms, "
    "and every rung computes the same",
    height=3.8,
    labels=("ms a step", ""),
)
places = np.arange(len(rungs))[::-1]
best = [time[name] for name in rungs]
guesses = [predicted[name] for name in rungs]
axes.barh(places, best, height=0.62, color=ESTIMATE)
axes.plot(guesses, places, ls="", marker="D", ms=7, mec="white", mfc=WRONG)
axes.plot([floor, floor], [-0.5, len(rungs) - 0.3], color=EXACT, lw=1.5, ls=":")
longest = max(best)
for name, place, value, guess in zip(rungs, places, best, guesses, strict=True):
    right = value if math.isnan(guess) else max(value, guess)
    axes.text(right + longest / 25, place, f"{name}, {value:.1f}",
              color=EXACT, va="center", size=11)  # fmt: skip
axes.text(floor, len(rungs) - 0.25, f"floor {floor:.1f}", color=EXACT, size=10,
          ha="center", va="bottom")  # fmt: skip
axes.text(longest * 1.56, 0.1, "diamonds:\nwhat counting\npredicted", color=WRONG,
          size=10, ha="right", va="bottom")  # fmt: skip
axes.set_yticks([])
axes.set_xlim(0, longest * 1.6)
axes.grid(False)
show(
    figure,
    "16_ladder",
    "Horizontal bars, one for each rung of the ladder, of the milliseconds of a step: "
    "longest for plain NumPy, shortest for no Python in between; a diamond at "
    "each marks the prediction, a dotted line the floor.",
)

# %% [markdown]
# ## The step that slowed down
#
# A race of some hundred steps says nothing about step 1000. The ladder stood,
# and in training a step took 3.0 ms; from about the 700th on it took 5.1 ms,
# for ever. What ages? A pixel in the corner is black in every batch for a
# while: its weights have no gradient, and of their moment $m$ (2.9) each step
# keeps 0.9. The smallest normal float32 is $2^{-126} \approx 10^{-38}$. Below
# it the leading zeros have to be written out (a *subnormal* number), and many a
# processor then leaves its fast path. A moment of $10^{-5}$ gets there after
#
# $$t = \frac{\log \big( 10^{-5} / 2^{-126} \big)}{\log (1 / 0.9)} = 720
#   \tag{16.11}$$
#
# steps. And it never leaves: what is stored are multiples of $2^{-149}$, and
# nine tenths of four of them, 3.6, are rounded to four. (The product of $m$ and
# the learning rate of $10^{-3}$, if it is taken first, gets there at step 655
# already. The second moment, which keeps 0.999, needs a hundred times as many.)
#
# The cure is a comparison that vectorizes: the compiled `adam_update` takes a
# moment for 0 as soon as its product with the learning rate is below
# $2^{-126}$. No weight can tell. Even where $v = 0$ it would move a weight by no
# more than $10^{-38} / 10^{-8} = 10^{-30}$, and the last digit of a weight of
# 0.01 is worth $10^{-9}$. Below, the loop from above keeps them. (The package's
# is slower at first, as it also adds the shards' gradients.)

# %%
smallest, size = 2.0**-126, full_or_fast(P // 16, 1024)
expected = math.ceil(math.log(1e-5 / smallest) / math.log(1 / 0.9))
sooner = math.ceil(math.log(1e-8 / smallest) / math.log(1 / 0.9))
assert smallest == np.finfo(np.float32).tiny and (sooner, expected) == (655, 720)
no_gradient = np.zeros(size, np.float32)
aging, last_normal, aged = {}, {}, {}
for name in ("kept", "taken for 0"):
    params = np.full(size, 0.01, np.float32)
    m, v = np.full(size, 1e-5, np.float32), np.full(size, 1e-10, np.float32)
    aging[name] = np.empty(1100)
    for t in range(1, 1101):
        rates = AdamRates(t, **HYPER)
        begin = perf_counter()
        if name == "kept":
            adam_numpy(params, no_gradient, m, v, *scales(t))
        else:
            compiled.adam_update(params, no_gradient[None], m, v, rates)
        aging[name][t - 1] = (perf_counter() - begin) * 1e6 / size * 1e3  # ns
        if m[0] >= smallest:
            last_normal[name], settled = t, params.copy()
    aged[name] = m[0]
    assert np.array_equal(params, settled)  # not a bit of a weight has changed since
assert abs(last_normal["kept"] - expected) <= 1  # 0.9 is rounded, too
assert aged["kept"] == 4 * 2.0**-149 and aged["taken for 0"] == 0

young, old = (
    {name: np.median(times[part]) for name, times in aging.items()}
    for part in (slice(300, 600), slice(850, 1100))
)
for name in aging:
    print(f"moments {name:12} {young[name]:6.2f} ns a parameter, then {old[name]:6.2f}")

# %%
ratio = old["kept"] / young["kept"]
figure, (axes,) = sheet(
    f"After some 700 steps without a gradient Adam takes {ratio:.0f} times as long, "
    "unless it takes such a moment for 0"
    if ratio > 1.5
    else "This processor does not mind numbers that are too small to be normal",
    labels=("steps without a gradient", "ns a parameter"),
)
low, high = min(young.values()) / 2.5, max(old.values()) * 4
for (name, times), colour in zip(aging.items(), (WRONG, ESTIMATE), strict=True):
    axes.plot(np.arange(5, 1100, 10), np.median(times.reshape(-1, 10), axis=1),
              color=colour, lw=2)  # fmt: skip
    axes.text(1100, old[name] * 1.6, name, color=colour, size=11, ha="right")
for step, name, side in ((sooner, "lr m", "right"), (expected, "m", "left")):
    axes.axvline(step, color=EXACT, lw=1.5, ls=":")
    axes.text(step + (10 if side == "left" else -10), low * 1.15,
              f"{name} subnormal: {step}", color=EXACT, size=11, ha=side)  # fmt: skip
axes.set_yscale("log")
axes.set_ylim(low, high)
show(
    figure,
    "16_subnormal",
    "Time of Adam for each parameter against the steps without a gradient, with dotted "
    "lines at 655 and 720. Where moments are kept the time jumps up at the first and "
    "stays up; where they are taken for 0 in time it stays low.",
)

# %% [markdown]
# ## What was dropped
#
# Ideas that sounded good and lost, seen by themselves: the loop with a call of
# exp in it, and Adam under Python's zero test.

# %%
mixed = losses["loss, one loop with exp and log1p"][0]
split = losses["loss, loop, np.exp, loop of products"][0]
tested, free = (adams[f"Adam, error model {name}"][0] for name in ("python", "numpy"))
figure, panels = sheet(
    f"With np.exp between two loops the loss takes 1/{mixed / split:.0f} of the time "
    f"of one loop; without zero tests Adam takes 1/{tested / free:.0f}",
    names=("The loss of a batch", "Adam on all parameters"),
    height=1.5,
    labels=("ms", ""),
)
groups = (
    {
        "NumPy": losses["loss, NumPy"][0],
        "one loop, exp and log inside": mixed,
        "loop, np.exp, loop of logs": losses["loss, loop, np.exp, loop of logs"][0],
        "loop, np.exp, loop of products": split,
        "one loop, exp written out": in_one["loss, one loop, exp written out"][0],
    },
    {
        "NumPy": adams["Adam, NumPy"][0],
        "one loop that tests for zero": tested,
        "one loop that doesn't": free,
    },
)
for axes, group in zip(panels, groups, strict=True):
    for place, (name, value) in enumerate(reversed(group.items())):
        axes.barh(place, value, height=0.6, color=ESTIMATE)
        axes.text(value + max(group.values()) / 60, place, f"{name}, {value:.2f}",
                  color=EXACT, va="center", size=11)  # fmt: skip
    axes.set_xlim(0, max(group.values()) * 1.9)
    axes.set_yticks([])
    axes.grid(False)
show(
    figure,
    "16_loops",
    "Two groups of horizontal bars, in milliseconds. The loss: NumPy, one compiled "
    "loop, two loops around np.exp, the same with products, one loop with exp written "
    "out. Adam: NumPy, a loop that tests for zero, a loop that doesn't.",
)

# %% [markdown]
# A third was dropped: the functions of the code (`pairs/posteriors.py`,
# `pairs/kl.py`) have no compiled twins of their own, since their 2,560 numbers
# take NumPy some microseconds.
#
# And one was dropped and came back. BLAS computes $W \bar a^\top$ faster than
# its transpose $\bar x = \bar a W^\top$, but whoever reads $\bar x$ next wants
# it row by row, and turning it round takes a part of the gain. Between lines of
# Python nothing was left to see of it. In the compiled step it shows, so
# `kernels/blas.py` does it for few rows. When the ground has changed, measure
# again.

# %%
da, W4 = np.ascontiguousarray(logits[: B // SHARDS]), blocks(start32)[6]
dx, turned = np.empty((len(da), 400), np.float32), np.empty((400, len(da)), np.float32)


def turn():
    np.matmul(W4, da.T, out=turned)
    dx[...] = turned.T


tell(
    race(
        {
            "dx as da W^T": lambda: np.matmul(da, W4.T, out=dx),
            "dx as (W da^T)^T": lambda: np.matmul(W4, da.T, out=turned),
            "the same, turned round": turn,
        }
    )
)

# %% [markdown]
# ## What remains
#
# Of the last rung, what can be counted: the products at peak, the sums of rows,
# the loss, Adam (which reads and writes a parameter and its two moments; the
# gradient is in the cache) and two meetings.

# %%
meeting = lines["a meeting of numba's threads"][0] if fusible else time["meeting"]
account = {
    "products, at peak": floor,
    "sums of rows": 2 * firsts["first layer, the package's sums"][0] / cores,
    "loss": in_one["loss, one loop, exp written out"][0] / cores,
    "Adam's 24 bytes a parameter": 6 * 4 * P / far_speed / 1e6,
    "two meetings": 2 * meeting,
}
for name, value in account.items():
    print(f"{name:30}{value:6.2f} ms")
print(f"{'together':30}{sum(account.values()):6.2f} ms, measured {last:.2f}")

# %% [markdown]
# The rest can't be read off so easily. A shard's products have 64 rows, and the
# two layers at the code are 40 and 20 wide, so they run below the peak. And both
# threads read weights of which the other has just written a half: a core has to
# fetch them out of the other's cache.
#
# Why not give each thread half the *units* of a layer, so that nobody else ever
# touches its weights? It was tried, and took almost half as long again. Half of
# a matrix's columns are many short pieces of memory, and a processor that reads
# on ahead, as they all do, reads into the other thread's pieces; we suppose that
# each then has to be fetched back. Half of the rows is one piece.
#
# The habit is worth more than the numbers, which are this machine's. Count,
# then predict, then measure. Where prediction and measurement disagree, one of
# them will teach you something.
#
# ## Exercise
#
# In `lessons/exercises/16_fast.py` write what (16.7) and (16.8) say: the
# Bernoulli loss of images that are given as lists of active pixels, its
# gradient, and the weight gradient of the first layer; without ever writing
# down the images. Then ask
#
# ```sh
# numpyvae check 16
# ```
