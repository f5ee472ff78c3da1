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
# **Reads with** lesson 10 (the step), `numpyvae/kernels.py` (the rungs as they
# are used). None of the notes speaks of speed. **Takes** 30 seconds.

# %%
import math
from time import perf_counter, sleep
from types import SimpleNamespace

import numba
import numpy as np
from lesson import digits, full_or_fast
from style import ESTIMATE, EXACT, WRONG, sheet, show
from threadpoolctl import ThreadpoolController

from numpyvae import VAE, gaussian, kernels, likelihoods, ops, optim
from numpyvae.datasets.binarize import binarize
from numpyvae.jit import jit
from numpyvae.pixels import active_pixels, rows_of
from numpyvae.workers import Workers, available_cores

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
# they go to sleep, and a core that watches is a core that is taken. So after a
# contestant that used them there is a pause.


# %%
blas = ThreadpoolController()
SECONDS = full_or_fast(1.0, 0.02)


def race(tasks, seconds=SECONDS, threads=None):
    """The 10th percentile and the median of each task's time, in ms; interleaved.

    `threads` says how many BLAS may use, one where it says nothing.
    """
    times, end, before = {name: [] for name in tasks}, perf_counter() + seconds, 1
    while perf_counter() < end or min(map(len, times.values())) < 3:
        for name, task in tasks.items():
            may_use = (threads or {}).get(name, 1)
            if may_use < before:
                sleep(0.05)
            before = may_use
            with blas.limit(limits=may_use, user_api="blas"):
                task()
                begin = perf_counter()
                task()
                times[name].append((perf_counter() - begin) * 1e3)
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

names = ("product, one core", "product, all cores")
found = race(
    dict.fromkeys(names, lambda: np.matmul(left, right, out=out)),
    threads=dict(zip(names, (1, cores), strict=True)),
)
found |= race(
    {
        "y += x, large arrays": lambda: np.add(*wide, out=wide[1]),
        "y += x, small arrays": lambda: np.add(*near, out=near[1]),
    }
)
tell(found)
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
# takes its functions from `f` and its arrays from `room`, so that the rungs can
# exchange both; this first time, `room` has nothing, and each function makes
# new arrays.


# %%
def loss_and_gradient(f, params, x, eps, room, dtype, batch=B):
    """The mean loss of a VAE, in nats, and the gradients of its eight blocks."""
    W1, b1, W2, b2, W3, b3, W4, b4 = params
    h = f.dense_forward(x, W1, b1, "relu", out=room("h"))
    code = f.dense_forward(h, W2, b2, "identity", out=room("code"))
    mu, logvar = code[:, :20], code[:, 20:]
    sigma = gaussian.sigma_forward(logvar)
    z = gaussian.reparameterize_forward(mu, sigma, eps)
    kl = gaussian.kl_forward(mu, logvar)
    g = f.dense_forward(z, W3, b3, "relu", out=room("g"))
    logits = f.dense_forward(g, W4, b4, "identity", out=room("logits"))
    nll, p = f.bernoulli_forward(logits, x, out=room("nll", "p"))

    d = np.full(len(eps), 1 / batch, dtype)
    dlogits = f.bernoulli_backward(d, p, x, out=room("dlogits"))
    dg, dW4, db4 = f.dense_backward(
        dlogits, g, logits, W4, "identity", out=room("dg", "dW4", "db4")
    )
    dz, dW3, db3 = f.dense_backward(dg, z, g, W3, "relu", out=room("dz", "dW3", "db3"))
    dmu, dsigma = gaussian.reparameterize_backward(dz, eps)
    dmu_kl, dlogvar_kl = gaussian.kl_backward(d, mu, logvar)
    dlogvar = gaussian.sigma_backward(dsigma, sigma) + dlogvar_kl
    dcode = np.hstack([dmu + dmu_kl, dlogvar])
    dh, dW2, db2 = f.dense_backward(
        dcode, h, code, W2, "identity", out=room("dh", "dW2", "db2")
    )
    dW1, db1 = f.dense_backward_weights(dh, x, h, "relu", out=room("dW1", "db1"))
    loss = float(nll.sum() + kl.sum()) / batch
    return loss, [dW1, db1, dW2, db2, dW3, db3, dW4, db4]


# %% [markdown]
# The loss is written as a beginner would: probabilities, their logarithms, and
# the chain rule through both. Adam goes block by block (2.9 to 2.11).


# %%
def naive_bernoulli_forward(logits, x):
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), p


def naive_bernoulli_backward(dnll, p, x):
    dp = dnll[:, None] * (p - x) / (p * (1 - p))
    return dp * p * (1 - p)


def new_arrays(function):
    """A function that ignores where its results should go."""
    return lambda *args, out: function(*args)


naive = SimpleNamespace(
    dense_forward=new_arrays(ops.dense_forward),
    dense_backward=new_arrays(ops.dense_backward),
    dense_backward_weights=new_arrays(ops.dense_backward_weights),
    bernoulli_forward=new_arrays(naive_bernoulli_forward),
    bernoulli_backward=new_arrays(naive_bernoulli_backward),
)


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
# 21 (each NumPy operation is one), and so does `likelihoods.py`, which takes
# the loss from logits by (11.2) and its gradient by (11.3). **Prediction:** no
# gain in speed. It is a rung all the same: at a logit of 100 the probability
# rounds to 1.

# %%
large, ink = np.full((1, 1), 100.0, np.float32), np.zeros((1, 1), np.float32)
with np.errstate(divide="ignore", invalid="ignore"):
    nll, p = naive_bernoulli_forward(large, ink)
    dlogits = naive_bernoulli_backward(np.ones(1, np.float32), p, ink)
print(f"at a logit of 100: naive {nll[0]} nats, gradient {dlogits[0, 0]}")
nll_right, p_right = likelihoods.bernoulli_forward(large, ink)
print(f"         from the logit: {nll_right[0]} nats, gradient {p_right[0, 0]}")
assert not np.isfinite(nll[0]) and np.isnan(dlogits[0, 0])
assert nll_right[0] == 100 and p_right[0, 0] == 1

from_logits = SimpleNamespace(**vars(naive))
from_logits.bernoulli_forward = new_arrays(likelihoods.bernoulli_forward)
from_logits.bernoulli_backward = new_arrays(likelihoods.bernoulli_backward)

# %% [markdown]
# ## Fewer passes: where the exp stands
#
# A compiled loop makes all of it in one pass, exp and log included. It sounds
# like the best one could do. But a processor takes 16 numbers at a time only
# where the compiler knows how, and LLVM, which numba compiles with, has no
# vectorized exp that numba could call. Then each element is a call of a
# function. NumPy brings its own vectorized `exp`. So leave it to NumPy: one
# loop that writes $-|l|$, `np.exp` in place, one loop for the rest
# (2.6). **Prediction:** three passes with vectors beat one without.


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
        "loss, NumPy": lambda: likelihoods.bernoulli_forward(logits, x32),
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
            optim.adam_update(params, grad32[None], m, v, t, **HYPER)
        elif name == "package":
            kernels.adam_update(params, grad32[None], m, v, t, *HYPER.values())
        else:
            loop = adam_python if name == "python" else adam_numpy
            loop(params, grad32, m, v, *scales(t))
for name in ("python", "numpy", "package"):
    moved = np.abs(states[name][0] - states["NumPy"][0]).max()
    assert moved < 3e-3 * 1e-4  # a ten-thousandth of three steps of lr

params, m, v = adam_state()
adams = race(
    {
        "Adam, NumPy": lambda: optim.adam_update(
            params, grad32[None], m, v, 9, **HYPER
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
# New in a step: gradients; three arrays for each forward layer, four backward.
fresh_bytes = 4 * (P + B * sum(3 * M + 3 * M + N for N, M in widths))
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
    sizes = {"h": 400, "code": 40, "g": 400, "logits": 784, "p": 784}
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


def sharded_step(x, workers):
    """A function that makes a step; and the gradients (S, P), for whoever asks."""
    flat, m, v = adam_state()
    grads = np.empty((SHARDS, P), np.float32)
    rooms = [shelf(grads[s], B // SHARDS) for s in range(SHARDS)]
    views, shards, noise = blocks(flat), [rows_of(x, h) for h in halves], eps32
    t = 0

    def differentiate(s):
        half = noise[halves[s]]
        return loss_and_gradient(kernels, views, shards[s], half, rooms[s], np.float32)[
            0
        ]

    def update(s):
        part = parts[s]
        kernels.adam_update(
            flat[part], grads[:, part], m[part], v[part], t, *HYPER.values()
        )

    def step():
        nonlocal t
        t += 1
        loss = sum(workers.map(differentiate, SHARDS))
        gradient = grads.sum(axis=0) if t == 1 else None
        workers.map(update, SHARDS)
        return loss, gradient

    return step


bitwise = []
for threads in (1, 2):
    with Workers(threads) as workers:
        loss, gradient = sharded_step(x32, workers)()
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

full, of_list = kernels.bernoulli_forward(logits, x32)[0], softplus.copy()
for i in range(B):
    mine = slice(listed.starts[i], listed.starts[i + 1])
    of_list[i] -= logits[i, listed.columns[mine]].sum()
assert np.allclose(full, of_list, rtol=1e-5)
assert np.allclose(kernels.bernoulli_forward(logits, listed)[0], of_list, rtol=1e-5)

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
        "first layer, dense product": lambda: kernels.dense_forward(
            x32, W1, b1, "identity", out=summed
        ),
        "first layer, sums of rows": lambda: sum_rows(
            W1, listed.columns, listed.starts, summed
        ),
        "first layer, the package's sums": lambda: kernels.dense_forward(
            listed, W1, b1, "identity", out=summed
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
# ## The ladder
#
# Now all rungs, each a whole step with all that came before it.


# %%
def step_of(f, dtype, adam, room=nothing, flat_adam=False):
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
        loss, grads = loss_and_gradient(f, views, x, noise, room, dtype)
        kept = flatten(grads) if t == 1 else None
        if flat_adam:
            adam(flat, gradient[None], m, v, t, *HYPER.values())
        else:
            for block in zip(views, grads, ms, vs, strict=True):
                p_, g_, m_, v_ = (a.reshape(-1) for a in block)
                adam(p_, g_[None], m_, v_, t, *HYPER.values())
        return loss, kept

    return step


loops = SimpleNamespace(**vars(from_logits))
loops.bernoulli_forward = kernels.bernoulli_forward
loops.bernoulli_backward = kernels.bernoulli_backward

with Workers(cores) as workers:
    rungs = {
        "plain NumPy": step_of(naive, np.float64, optim.adam_update),
        "float32": step_of(naive, np.float32, optim.adam_update),
        "loss from logits": step_of(from_logits, np.float32, optim.adam_update),
        "loop, exp, loop": step_of(loops, np.float32, optim.adam_update),
        "Adam in one loop": step_of(loops, np.float32, kernels.adam_update),
        "arrays that stay": step_of(
            kernels, np.float32, kernels.adam_update, flat_adam=True
        ),
        "shards on threads": sharded_step(x32, workers),
        "active pixels": sharded_step(listed, workers),
    }
    for name, step in rungs.items():
        loss, gradient = step()
        allowed = 1e-13 if name == "plain NumPy" else SINGLE
        assert max(errors(loss, [gradient])) < allowed, name
    one_core = step_of(kernels, np.float32, kernels.adam_update, flat_adam=True)
    one_core()
    pool = dict.fromkeys(list(rungs)[:6], cores)  # BLAS as it comes
    with Workers(1) as alone:
        in_turn = sharded_step(x32, alone)
        in_turn()
    others = {"one core": one_core, "shards in turn": in_turn}
    others["meeting"] = lambda: workers.map(int, SHARDS)
    measured = race(
        rungs | others,
        full_or_fast(12.0, 0.1),
        threads=pool,
    )

# %% [markdown]
# Each prediction starts from the rung before, as measured, takes away what the
# change saves and adds what it costs, both counted above.

# %%
time = {name: best for name, (best, _) in measured.items()}
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
}
print(f"{'ms a step':19}{'predicted':>10}{'measured':>10}{'median':>8}  verdict")
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
    print(f"{name:19}{guess:>10}{best:10.2f}{median:8.2f}  {verdict}")
    above = measured[name]
print(f"{'floor, by (16.2)':19}{'':10}{floor:10.2f}")

# %% [markdown]
# Where shards take longer than half of one core's step, how much of that is the
# threads, and how much the cutting? Do both shards in turn on a single thread:
# each writes a whole gradient, and its products have 64 rows, which BLAS likes
# less.

# %%
print(f"one batch on one core     {time['one core']:.2f} ms")
print(f"two shards on one core    {time['shards in turn']:.2f} ms")
print(f"two shards on {cores} threads   {time['shards on threads']:.2f} ms")
print(f"two meetings of threads   {2 * time['meeting']:.2f} ms")

# %%
last = min(time[name] for name in rungs)
gain = time["plain NumPy"] / last
figure, (axes,) = sheet(
    f"A step becomes {gain:.0f} times faster and ends at {last / floor:.1f} times "
    "what its products need at peak",
    height=3.2,
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
axes.text(longest * 1.48, 0.1, "diamonds:\nwhat counting\npredicted", color=WRONG,
          size=10, ha="right", va="bottom")  # fmt: skip
axes.set_yticks([])
axes.set_xlim(0, longest * 1.5)
axes.grid(False)
show(
    figure,
    "16_ladder",
    "Horizontal bars, one for each rung of the ladder, of the milliseconds of a step: "
    "longest for plain NumPy, shortest for shards and active pixels; a diamond at "
    "each marks the prediction, a dotted line the floor.",
)

# %% [markdown]
# ## What was dropped
#
# Ideas that sounded good and lost, seen by themselves: the loop with everything
# in it, and Adam under Python's zero test.

# %%
mixed = losses["loss, one loop with exp and log1p"][0]
split = losses["loss, loop, np.exp, loop of products"][0]
tested, free = (adams[f"Adam, error model {name}"][0] for name in ("python", "numpy"))
figure, panels = sheet(
    f"With np.exp between two loops the loss takes 1/{mixed / split:.0f} of the time "
    f"of one loop; without zero tests Adam takes 1/{tested / free:.0f}",
    names=("The loss of a batch", "Adam on all parameters"),
    height=1.3,
    labels=("ms", ""),
)
groups = (
    {
        "NumPy": losses["loss, NumPy"][0],
        "one loop, exp and log inside": mixed,
        "loop, np.exp, loop of logs": losses["loss, loop, np.exp, loop of logs"][0],
        "loop, np.exp, loop of products": split,
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
    "loop, two loops around np.exp, the same with products. Adam: NumPy, a loop that "
    "tests for zero, a loop that doesn't.",
)

# %% [markdown]
# What remains above the floor? The products of a step are not all large: a
# shard has 64 rows, and the two layers at the code are 40 and 20 wide, so they
# run below the peak. Adam and the loss move bytes and multiply little. The two
# meetings of the threads cost what was printed. `numpyvae/train.py` does what
# the last rung does and draws a new batch besides.
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
