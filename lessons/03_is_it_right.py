# %% [markdown]
# # 03 · Is it right?
#
# *A wrong gradient trains. It trains a little worse, and nobody is told. So ask
# the derivative itself, to fourteen digits; and then ask what even that can't
# see.*
#
# **You will** derive how good a difference quotient can be, and be a hundred
# thousand times better with an imaginary step; find out when two computed
# numbers are equal; and meet faults that pass every gradient check, and the
# statistics that catch them.
#
# **Reads with** notes 001, 002 and 004 at "reparameterization trick": they give
# the formulas whose code is checked here. **Takes** 2 seconds.

# %%
import math

import numpy as np
from lesson import full_or_fast
from style import ESTIMATE, EXACT, FAINT, WRONG, sheet, show

from numpyvae import gradcheck
from numpyvae.checking.derivative import complex_step, ridders
from numpyvae.checking.rounding import Tracked
from numpyvae.pairs.activations import RELU, TANH
from numpyvae.pairs.dense import dense_backward, dense_forward

rng = np.random.default_rng(3)
U = 2.0**-53  # a rounded result is off by at most U times itself

# %% [markdown]
# ## Differences, and Taylor's theorem
#
# A derivative can be had without deriving anything. For a smooth $f$ of one
# number,
#
# $$f(x + h) = f(x) + h f'(x) + \tfrac{h^2}{2} f''(x)
#   + \tfrac{h^3}{6} f'''(\xi), \tag{3.1}$$
#
# with some $\xi$ between $x$ and $x + h$. Take $f(x)$ away and divide by $h$;
# or take away the same at $-h$, whereupon the even terms cancel:
#
# $$\frac{f(x+h) - f(x)}{h} = f' + \tfrac h2 f''(\xi_1), \qquad
#   \frac{f(x+h) - f(x-h)}{2h} = f' + \tfrac{h^2}{6} f'''(\xi_2). \tag{3.2}$$
#
# (The mean of two third derivatives, at two places, is the third derivative at
# a place between.) The second is called central, and its error falls with the
# *square* of $h$. So make $h$ tiny? The machine forbids it. A computed $f$ is
# off by some $\delta$, about $u |f|$ with $u = 2^{-53}$, or more if $f$ is a
# long sum. The difference of two is off by up to $2 \delta$, and dividing by
# $2h$ makes that $\delta / h$:
#
# $$|\text{error}| \le E(h) = \underbrace{\frac{h^2}{6} M}_{\text{truncation}}
#   + \underbrace{\frac{\delta}{h}}_{\text{rounding}}, \qquad M = \max |f'''|.
#   \tag{3.3}$$
#
# One falls with $h$, one rises: a V. Its bottom is where $E'(h) = hM/3 -
# \delta/h^2 = 0$:
#
# $$h^* = \left( \frac{3 \delta}{M} \right)^{1/3}, \qquad
#   E(h^*) = \frac{\delta}{2 h^*} + \frac{\delta}{h^*} = \frac{3 \delta}{2 h^*}
#   = \tfrac12\, (3 \delta)^{2/3} M^{1/3}. \tag{3.4}$$
#
# (At $h^*$, $h^2 M / 6 = \delta / 2h$.) For $f$ and $M$ near 1 that is $h^*
# \approx 7 \cdot 10^{-6}$, and an error of $2 \cdot 10^{-11}$. The exponent is
# the news: of sixteen digits, differences can give two thirds.
#
# Try it on a loss of this project, the Bernoulli loss of 784 pixels (lesson
# 11), along one direction of its logits.

# %%
D = 784
logits, v = rng.normal(size=D), rng.normal(size=D)
x = (rng.random(D) < 0.3).astype(float)


def R(t):
    """-log p(x) at the logits l + t v: the sum of log(1 + exp l) - x l."""
    l = logits + t * v
    return (np.log1p(np.exp(l)) - x * l).sum()


p = 1 / (1 + np.exp(-logits))
exact = math.fsum((p - x) * v)
M2 = (p * (1 - p) * v**2).sum()  # the second derivative, and the third:
M = abs((p * (1 - p) * (1 - 2 * p) * v**3).sum())
delta = U * R(0.0)
best, bottom = (3 * delta / M) ** (1 / 3), 1.5 * delta / (3 * delta / M) ** (1 / 3)
print(f"R' = {exact:.12f}, best step {best:.1e}, error there about {bottom:.1e}")

h = 10.0 ** np.linspace(-16, 0, 129)
forward = np.abs([(R(s) - R(0.0)) / s - exact for s in h])
central = np.abs([(R(s) - R(-s)) / (2 * s) - exact for s in h])
measured = np.median(central[np.abs(np.log10(h / best)) < 0.3])
print(f"measured near it: {measured:.1e}")
assert bottom / 30 < measured < 3 * bottom  # (3.4) is a bound for one rounding of R
large = (h > 30 * best) & (h < 0.03)  # left to truncation alone, (3.2) is sharp
assert np.allclose(central[large], h[large] ** 2 / 6 * M, rtol=0.1)
assert np.allclose(forward[large], h[large] / 2 * M2, rtol=0.1)

# %% [markdown]
# ## Richardson: cancel the error you know
#
# The central difference is even in $h$, so its error has even powers only:
# $D(h) = f' + c_1 h^2 + c_2 h^4 + \dots$. We don't know $c_1$, but at $h/2$ it
# comes with a quarter of the weight. So
#
# $$\frac{4\, D(h/2) - D(h)}{3} = f' - \tfrac14 c_2 h^4 + \dots \tag{3.5}$$
#
# has no $h^2$ any more. Call this $D_1(h)$ and do it again: $D_{k+1}(h) =
# (4^{k+1} D_k(h/2) - D_k(h)) / (4^{k+1} - 1)$ removes one more power each time.
# The steps stay large, where rounding is harmless. Ridders (1982) fills the
# triangle and keeps the entry that agrees best with its neighbours.


# %%
def richardson(f, h, levels):
    """The corner of the triangle that begins with steps h, h/2, ..., h/2^levels."""
    row = [(f(h / 2**k) - f(-h / 2**k)) / (2 * h / 2**k) for k in range(levels + 1)]
    for k in range(1, levels + 1):
        row = [(4**k * row[i + 1] - row[i]) / (4**k - 1) for i in range(len(row) - 1)]
    return row[0]


print("levels      error   (first step 0.1)")
for levels in range(6):
    print(f"{levels:6} {abs(richardson(R, 0.1, levels) - exact):10.1e}")
assert abs(richardson(R, 0.1, 5) - exact) < bottom
assert abs(ridders(R, np.zeros(()), np.ones(())) - exact) < bottom  # the package's

# %% [markdown]
# ## The complex step
#
# The trouble was the difference of two nearly equal numbers. Step sideways
# instead! If $f$ is analytic, (3.1) holds for a step $ih$, too, and $i^2 = -1$,
# $i^3 = -i$:
#
# $$f(x + ih) = f(x) + i h f'(x) - \tfrac{h^2}{2} f''(x)
#   - i\, \tfrac{h^3}{6} f'''(x) + \dots \tag{3.6}$$
#
# Value and slope have come apart: one is real, the other imaginary. Take the
# imaginary part and divide by $h$:
#
# $$\frac{\operatorname{Im} f(x + ih)}{h} = f'(x)
#   - \tfrac{h^2}{6} f'''(x) + \dots \tag{3.7}$$
#
# Nothing was subtracted, so nothing cancels, and $h$ may be as small as one
# likes. We take $2^{-100}$; then $h^2$ is $10^{-60}$, and truncation is gone.

# %%
sideways = np.abs([R(1j * s).imag / s - exact for s in h])
tiny = 2.0**-100
print(f"central, near its best step {measured:.1e}")
print(f"complex step, h = 2^-100    {abs(R(1j * tiny).imag / tiny - exact):.1e}")
terms = np.abs((p - x) * v).sum()
assert abs(R(1j * tiny).imag / tiny - exact) < 64 * U * terms  # explained below
assert np.median(sideways[h < 1e-8]) < measured / 1e5
package = complex_step(lambda t: R(t), np.zeros(()), np.ones(()))
assert package == R(1j * tiny).imag / tiny

# %%
figure, (axes,) = sheet(
    "Differences must choose their step; the complex step is right with any small one",
    labels=("step h", "error of the derivative"),
    height=3.0,
)
for errors, colour in ((forward, FAINT), (central, ESTIMATE), (sideways, EXACT)):
    axes.plot(h, errors.clip(1e-16), color=colour, lw=1.4)
theory = h**2 / 6 * M + delta / h
axes.plot(h, theory, color=ESTIMATE, lw=1, ls=":")
axes.set(xscale="log", yscale="log", ylim=(3e-17, 1e4), xlim=(1e-16, 1))
axes.set_xticks([1e-15, 1e-10, 1e-5, 1], ["1e-15", "1e-10", "1e-5", "1"])
axes.set_yticks([1e-15, 1e-10, 1e-5, 1], ["1e-15", "1e-10", "1e-5", "1"])
axes.minorticks_off()
axes.text(2e-4, 2e-1, "forward", color=FAINT, size=11, ha="right")
axes.text(2e-3, 5e-9, "central", color=ESTIMATE, size=11)
axes.text(1.5e-12, 6e1, "h² M / 6 + δ / h", color=ESTIMATE, size=11)
axes.text(1e-12, 2e-13, "complex step", color=EXACT, size=11)
show(
    figure,
    "03_v_curve",
    "Errors of three derivatives over the step from 1e-16 to 1, both on log scales. "
    "Forward and central differences form a V, with bottoms near 1e-6 and 1e-9; the "
    "complex step falls to 1e-14 by h = 1e-8 and stays there for all smaller steps.",
)

# %% [markdown]
# Why does rounding not hurt? Look at one product of two such numbers:
#
# $$(a + i h\, a')(b + i h\, b') = (ab - h^2 a' b') + i h\, (a' b + a b').
#   \tag{3.8}$$
#
# The real part is $ab$, for $h^2$ is far below its rounding. The imaginary part
# is the product rule. So it is with every operation: the imaginary part carries
# $h$ times the derivative along, by the rules of calculus, each rounded once.
# The complex step *is* automatic differentiation, done with a number type that
# Fortran had in the sixties.
#
# ### What it asks for
#
# Analytic code, and code that lets complex numbers through. `abs`, `norm` and
# `conj` are not analytic: $|x + ih|$ is a real number, and the derivative comes
# out as 0, without a word. Comparisons must look at the real part, as in
# `np.where(a.real > 0, a, 0)`. `gradcheck` holds every function against
# differences first and falls back to Ridders where the complex step lies.

# %%
at = np.array([3.0, 4.0])


def length(x):
    return np.linalg.norm(x)


def length_backward(dy, x):
    return dy * x / np.linalg.norm(x)


print("slope of |x| along (1, 0) is 0.6; the complex step says", end=" ")
print(complex_step(length, at, np.array([1.0, 0.0])))
assert complex_step(length, at, np.array([1.0, 0.0])) == 0.0
report = gradcheck(length, length_backward, at, names=["x"])
print(report)
assert report and report.method == "Ridders' differences"

# %% [markdown]
# And at a kink? A difference reaches across it and mixes both slopes. The
# complex step doesn't move along the real line at all, so it gives the slope of
# the piece that it stands on: right, but it says nothing of a kink nearby, and
# *on* a kink there is no derivative to check.

# %%
near = 1e-7


def relu(x):
    return np.where(x.real > 0, x, 0)


across = (relu(np.float64(near + 1e-5)) - relu(np.float64(near - 1e-5))) / 2e-5
standing = complex_step(relu, np.float64(near), np.float64(1))
print(f"relu at 1e-7: difference with h = 1e-5 {across:.3f}, complex step {standing}")
assert abs(across - 0.505) < 1e-9 and standing == 1.0

# %% [markdown]
# ## A million parameters, one step
#
# One step for each parameter would take a day. But a gradient $G$ claims to
# know the slope in *every* direction: along $V$,
#
# $$\frac{d}{dt} L(P + tV) = \sum_k G_k V_k = \langle G, V \rangle. \tag{3.9}$$
#
# So draw one random $V$, and compare one number. What if $G$ is wrong, by a
# vector $E$ of errors? Then $\langle E, V \rangle$ is what we see. With normal
# $V_k$ it is normal, with mean 0 and the standard deviation $|E|$. We miss the
# fault if that falls within the tolerance $\tau$. The normal density is at most
# $1 / (\sqrt{2\pi}\, |E|)$, so
#
# $$\Pr\left( |\langle E, V \rangle| \le \tau \right) \;\le\;
#   \frac{2 \tau}{\sqrt{2 \pi}\, |E|} \approx 0.8\, \frac{\tau}{|E|}.
#   \tag{3.10}$$
#
# Take a million parameters, all of one size, and one of them wrong by a
# thousandth. The tolerance that we shall arrive at is then some $10^{-8}$ of
# that size, so the chance is one in a hundred thousand; and three directions
# make it one in $10^{15}$.

# %%
P, draws = 50, full_or_fast(200_000, 20_000)
E = rng.normal(size=P)
tau = np.sqrt(E @ E) / 10
missed = np.mean(np.abs(rng.normal(size=(draws, P)) @ E) <= tau)
bound = 0.2 / np.sqrt(2 * np.pi)
error = np.sqrt(bound / draws)
print(f"a fault of ten tolerances is missed: {missed:.4f}, (3.10) says <= {bound:.4f}")
assert bound - 0.001 - 5 * error < missed < bound + 5 * error  # and it is nearly sharp

# %% [markdown]
# ## When are two computed numbers equal?
#
# "Relative error below $10^{-7}$", checks say, and that is both too lax and too
# strict. Too lax, for faults can be smaller. Too strict, for a gradient is a
# sum: where its terms cancel, the sum is small and their rounding is not. Here
# are biases of *correct* dense layers, 100 rows each, backward against the
# complex step.

# %%
layers = full_or_fast(1000, 200)
relative, weighed = [], []
for _ in range(layers):
    dy, a = rng.normal(size=(2, 100, 4))
    b = rng.normal(size=4)
    y = np.tanh(a + b)
    db = (dy * (1 - y**2)).sum(axis=0)  # Eq. 2.4
    C = (np.abs(dy) * (1 + y**2)).sum(axis=0)  # Eq. 3.11, below
    for m in range(4):
        step = 1j * tiny * np.eye(4)[m]
        error = abs((dy * np.tanh(a + b + step)).sum().imag / tiny - db[m])
        relative.append(error / abs(db[m]))
        weighed.append(error / (U * C[m]))
print(f"{4 * layers} correct entries, each off by rounding only:")
print(f"error / |value|:  median {np.median(relative):.0e}, worst {max(relative):.0e}")
print(f"error / (u C):    median {np.median(weighed):.0e}, worst {max(weighed):.0e}")
assert max(relative) > 30 * np.median(relative)  # no one relative tolerance fits
assert max(weighed) < 64

# %% [markdown]
# The measure that fits is the size of the *terms*. Run the backward pass once
# more on absolute values, with a plus for every minus. Its result $C$ is what
# the gradient would be if nothing cancelled, and each operation's rounding is
# at most $u$ times something that is part of $C$. So the test is
#
# $$\left| \frac{\operatorname{Im} L(P + ihV)}{h} - \langle G, V \rangle \right|
#   \;\le\; 64\, u\, \langle C, |V| \rangle, \tag{3.11}$$
#
# where 64 stands for the few operations that a term goes through. For the dense
# layer with tanh, $C_W = |x|^\top \big( |\bar y|\, (1 + y^2) \big)$.
#
# `gradcheck` counts instead of guessing. Beside each number it carries how far
# rounding may have moved it, in units of $u$. If $x$ and $y$ come with errors
# $e_x$ and $e_y$, then to first order
#
# $$\begin{aligned}
#   x \pm y:& \quad e = e_x + e_y + |x \pm y|, \\
#   x\, y:& \quad e = |x|\, e_y + |y|\, e_x + |x y|, \\
#   f(x):& \quad e = |f'(x)|\, e_x + |f(x)|,
# \end{aligned} \tag{3.12}$$
#
# where the last term is the new rounding. This is running error analysis
# (Wilkinson). By hand for $\bar W$:

# %%
B, N, M = 6, 5, 3
x, dy = rng.normal(size=(B, N)), rng.normal(size=(B, M))
y = np.tanh(2 * rng.normal(size=(B, M)))
slope = 1 - y * y
e_slope = y * y + slope  # the product's rounding, the difference's
da = dy * slope
e_da = np.abs(dy) * e_slope + np.abs(da)
e_dW = np.abs(x.T) @ e_da + B * (np.abs(x.T) @ np.abs(da))  # B products, B - 1 sums

exact_da = dy.astype(np.longdouble) * (1 - y.astype(np.longdouble) ** 2)
error = np.abs(x.T @ da - x.T.astype(np.longdouble) @ exact_da).astype(float)
print(f"rounding allows {U * e_dW.max():.1e}, it took {error.max():.1e}")
assert (error <= U * e_dW).all()
t_dy, t_x, t_y, t_W = map(Tracked, (dy, x, y, rng.normal(size=(N, M))))
t_da = TANH.backward(t_dy, None, t_y)  # tanh's slope is read off y alone
assert np.allclose(dense_backward(t_da, t_x, t_W)[1].error, e_dW, rtol=1e-12)

# %% [markdown]
# ## How small a fault is found?
#
# Plant faults. In random dense layers $\bar W$ is multiplied by $1 + d$, and
# three criteria judge: torch's (central differences with $h = 10^{-6}$, entry
# by entry, relative $10^{-3}$ and absolute $10^{-5}$), central differences with
# a relative $10^{-6}$ along one direction, and (3.11).

# %%
sizes = 10.0 ** -np.arange(1, 16)
trials = full_or_fast(1000, 100)
seen, alarms = np.zeros((3, len(sizes))), np.zeros(3)
for _ in range(trials):
    B, N, M = rng.integers(1, 7, size=3)
    x, W = rng.normal(size=(B, N)), rng.normal(size=(N, M))
    b, dy, V = rng.normal(size=M), rng.normal(size=(B, M)), rng.normal(size=(N, M))

    def loss(W, x=x, b=b, dy=dy):
        return (dy * np.tanh(x @ W + b)).sum()

    y = np.tanh(x @ W + b)
    dW = x.T @ (dy * (1 - y**2))
    C = np.abs(x.T) @ (np.abs(dy) * (1 + y**2))
    each = np.empty((N, M))
    for index in np.ndindex(N, M):
        step = np.zeros((N, M))
        step[index] = 1e-6
        each[index] = (loss(W + step) - loss(W - step)) / 2e-6
    along = (loss(W + 1e-6 * V) - loss(W - 1e-6 * V)) / 2e-6
    slope = complex_step(loss, W, V)
    for k, d in enumerate([0.0, *sizes]):
        G = dW * (1 + d)
        verdicts = np.array(
            [
                (np.abs(G - each) > 1e-5 + 1e-3 * np.abs(each)).any(),
                abs((G * V).sum() - along) > 1e-6 * abs(along),
                abs((G * V).sum() - slope) > 64 * U * (C * np.abs(V)).sum(),
            ]
        )
        if k == 0:
            alarms += verdicts
        else:
            seen[:, k - 1] += verdicts / trials
names = ("torch's", "rtol 1e-6", "(3.11)")
print("d         " + "".join(f"{name:>11}" for name in names))
for k in (1, 2, 3, 6, 9, 11):
    print(f"{sizes[k]:.0e} " + " ".join(f"{share:10.0%}" for share in seen[:, k]))
print("false alarms" + "".join(f"{int(n):9}" for n in alarms) + f" of {trials}")
assert alarms[2] == 0
assert seen[0, 3] == 0 and seen[2, :10].min() > 0.99

# %%
figure, (axes,) = sheet(
    "A gradient off by one part in a thousand passes torch's check; "
    "(3.11) sees one in 10¹⁰",
    labels=("the gradient is off by the factor 1 + d, d =", "faults found"),
    height=2.4,
)
for shares, name, colour, place in zip(
    seen, names, (WRONG, FAINT, ESTIMATE), (2.3e-2, 3e-5, 2e-11), strict=True
):
    axes.plot(sizes, shares, "o-", color=colour, lw=1.6, ms=4)
    axes.text(place, 1.05, name, color=colour, size=11, ha="center")
axes.set(xscale="log", ylim=(-0.04, 1.18))
axes.set_xticks([1e-1, 1e-5, 1e-10, 1e-15], ["0.1", "1e-5", "1e-10", "1e-15"])
axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
axes.minorticks_off()
axes.invert_xaxis()
show(
    figure,
    "03_planted",
    "The share of planted faults found against their size d from 0.1 down to 1e-15. "
    "Torch's criterion drops to zero at 1e-3, a relative tolerance of 1e-6 at 1e-6, "
    "the complex step with the rounding bound only below 1e-13.",
)

# %% [markdown]
# ## What a check must be given
#
# The criterion is sharp. It can still be handed a question whose answer says
# nothing. Five ways to do so.
#
# **All ones for $\bar y$.** To check a function of many outputs, a loss $\sum_k
# \bar y_k y_k$ is needed. With $\bar y_k = 1$, what permutes the entries of
# $\bar y$ is invisible. Here forward transposes images, and backward, instead
# of transposing back, only restores the shape. And the gradient of a softmax,
# whose outputs always add up to 1, is *zero* for ones. Anything that returns
# zero passes.


# %%
def flip(x):
    return x.swapaxes(1, 2)


def flip_backward(dy, x):
    return dy.reshape(x.shape)  # wrong: should be swapaxes(1, 2)


def softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - dy.mean(axis=1, keepdims=True))  # wrong: the mean is weighed by y


image, scores = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3))
for f, f_backward, x in (
    (flip, flip_backward, image),
    (softmax, softmax_backward, scores),
):
    V = rng.normal(size=x.shape)
    found = (f_backward(np.ones_like(f(x)), x) * V).sum()
    slope = complex_step(lambda x, f=f: f(x).sum(), x, V)
    report = gradcheck(f, f_backward, x, names=["x"])
    print(f"{f.__name__:8} with ones off by {abs(found - slope):.0e}", end="; ")
    print("with random upstream gradients", "right" if report else "WRONG")
    assert abs(found - slope) < 1e-14 and not report

# %% [markdown]
# **A batch of one**, where a sum over the batch and a mean are the same.


# %%
def shift(b, x):
    return x + b


def shift_backward(dy, b, x):
    return dy.mean(axis=0)  # wrong: Eq. 2.4 is a sum


b, rows = rng.normal(size=4), rng.normal(size=(3, 4))
alone = gradcheck(shift, shift_backward, b, rows[:1], names=["b", "x"])
report = gradcheck(shift, shift_backward, b, rows, names=["b", "x"])
print(f"batch of one: {alone.ok}; batch of three:\n{report}")
assert alone and not report

# %% [markdown]
# **Equal widths**, where a wrong array of the right shape slips in. The next
# net is one that was found in the wild: its first layer receives the bar of the
# *second* layer's output, a stale variable. With widths 4, 4, 4 it runs. And it
# learns!


# %%
def run(params, x):
    h = np.tanh(x @ params[0])
    return h, np.tanh(h @ params[1])


def stale_backward(dy, params, x):
    h, y = run(params, x)
    da = dy * (1 - y**2)
    return x.T @ (da * (1 - h**2)), h.T @ da  # the first should take da @ W2.T


x, target = rng.normal(size=(50, 4)), np.tanh(rng.normal(size=(50, 4)) / 2)
params = [rng.normal(size=(4, 4)) / 2 for _ in range(2)]
losses = []
for _ in range(300):
    _, y = run(params, x)
    losses.append(((y - target) ** 2).sum() / 50)
    grads = stale_backward(2 / 50 * (y - target), params, x)
    params = [W - 0.05 * dW for W, dW in zip(params, grads, strict=True)]
print(f"equal widths: the loss falls from {losses[0]:.2f} to {losses[-1]:.2f}")
assert losses[-1] < losses[0] / 1.5

wide = [rng.normal(size=(4, 5)), rng.normal(size=(5, 3))]
try:
    stale_backward(np.ones((50, 3)), wide, x)
    raise AssertionError("it ran")
except ValueError as error:
    print("widths 4, 5, 3:", str(error)[:60])


def stale_pair(dy, W1, W2):
    return stale_backward(dy, (W1, W2), x)


report = gradcheck(lambda W1, W2: run((W1, W2), x)[1], stale_pair, *params)
print(report)
assert not report

# %% [markdown]
# **Parameters only.** If a layer's $\bar x$ is wrong and its $\bar W$ and $\bar
# b$ are right, a check of that layer's parameters passes. The fault hits the
# layer *below*. So check $\bar x$, too, or put a layer in front.
#
# **A dead place.** Where every relu is off, all gradients are zero, and so is
# twice each of them. Before you trust a pass, look whether the gradient is
# nonzero.


# %%
def twice(dy, x, W, b):
    a = dense_forward(x, W, b)
    da = RELU.backward(dy, a, RELU.forward(a))
    dx, dW, db = dense_backward(da, x, W)
    return 2 * dx, dW, db  # dx is wrong


def layer(x, W, b):
    return RELU.forward(dense_forward(x, W, b))


x, W, b = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
parameters_only = gradcheck(
    lambda W, b: layer(x, W, b), lambda dy, W, b: twice(dy, x, W, b)[1:], W, b
)
dead = gradcheck(layer, twice, x, W, b - 100)
whole = gradcheck(layer, twice, x, W, b, names=["x", "W", "b"])
print(f"parameters only: {parameters_only.ok}, a dead place: {dead.ok}")
print(whole)
assert parameters_only and dead and not whole

# %% [markdown]
# ## What no gradient check can see
#
# A gradient check asks whether backward is the derivative of forward. It can't
# ask whether forward is what you *meant*. The best-known fault of VAE code is
# of this kind. The encoder's second output $\ell$ is meant as $\log \sigma^2$,
# so $\sigma = \exp(\ell / 2)$. Write
#
# $$z = \mu + \exp(\ell)\, \varepsilon \qquad \text{(wrong)} \tag{3.13}$$
#
# and derive it correctly: $\bar\ell = \bar z\, \varepsilon \exp \ell$. Both are
# wrong together, and the check is content.


# %%
def sample(mu, logvar, eps):
    return mu + np.exp(logvar / 2) * eps


def wrong_sample(mu, logvar, eps):
    return mu + np.exp(logvar) * eps


def wrong_sample_backward(dz, mu, logvar, eps):
    return dz, dz * eps * np.exp(logvar)


arrays = rng.normal(size=(3, 4, 2))
report = gradcheck(
    wrong_sample, wrong_sample_backward, *arrays, names=["mu", "logvar", "eps"]
)
print(report)
assert report  # indeed

# %% [markdown]
# What is left is to ask for *meaning*. A variable said to be $\mathcal N(\mu,
# \sigma^2)$ must have that spread. Of $n$ samples, $\sum_i (z_i - \mu)^2 /
# \sigma^2$ is a sum of $n$ squares of standard normals. Each has mean 1 and
# variance $\mathbb E \varepsilon^4 - 1 = 2$. So
#
# $$T = \frac{1}{\sqrt{2n}} \sum_{i=1}^n \left(
#   \frac{(z_i - \mu)^2}{\sigma^2} - 1 \right) \tag{3.14}$$
#
# has mean 0 and standard deviation 1 if the code is right. Ask for $|T| < 5$,
# fix the seed, and show that the fault would be far outside.

# %%
n, mu, logvar = 100_000, 0.7, -1.0
eps = rng.normal(size=n)
for name, sampler in (("exp(logvar / 2)", sample), ("exp(logvar)", wrong_sample)):
    z = sampler(mu, logvar, eps)
    T = (((z - mu) ** 2 / np.exp(logvar)) - 1).sum() / np.sqrt(2 * n)
    print(f"sigma = {name:15}  T = {T:8.1f}")
    assert (abs(T) < 5) if sampler is sample else (abs(T) > 20)

# %% [markdown]
# The KL asks the same of the whole chain. The closed form (8.4) reads $\ell$ as
# a log variance, whatever the sampler does. By definition it is the mean of
# $\log q(z) - \log p(z)$ over samples. If sampler and formula disagree about
# $\sigma$, the two numbers part. At $\ell = 0$ they don't: $\exp(0) =
# \exp(0/2)$, and a freshly initialised encoder stands just there.


# %%
def kl(mu, logvar):
    return (mu**2 + np.exp(logvar) - 1 - logvar) / 2  # Eq. 8.4


def kl_by_samples(sampler, mu, logvar, eps):
    """The mean of log q - log p, and its standard error."""
    z = sampler(mu, logvar, eps)
    log_q = -(logvar + (z - mu) ** 2 / np.exp(logvar)) / 2
    terms = log_q + z**2 / 2
    return terms.mean(), terms.std() / np.sqrt(len(eps))


print("logvar  formula  samples ± error   samples of the wrong code ± error")
logvars = np.array([-3.0, -2, -1, 0, 1])
right, wrong = [
    np.array([kl_by_samples(sampler, mu, l, eps) for l in logvars])
    for sampler in (sample, wrong_sample)
]
for l, (m, e), (m2, e2) in zip(logvars, right, wrong, strict=True):
    print(f"{l:6.0f} {kl(mu, l):8.4f} {m:8.4f} ± {e:.4f} {m2:14.4f} ± {e2:.4f}")
off = np.abs(right[:, 0] - kl(mu, logvars)) / right[:, 1]
wrong_off = np.abs(wrong[:, 0] - kl(mu, logvars)) / wrong[:, 1]
assert off.max() < 5 and wrong_off[logvars != 0].min() > 20 and wrong_off[3] < 5

# %%
figure, (axes,) = sheet(
    "Forward and backward agree, and both are wrong: the KL by samples knows",
    labels=("logvar", "KL, nats"),
    height=2.5,
)
fine = np.linspace(-3.2, 1.2, 100)
axes.plot(fine, kl(mu, fine), color=EXACT, lw=1.2)
axes.plot(logvars, right[:, 0], "o", color=ESTIMATE, ms=7)
axes.plot(logvars, wrong[:, 0], "X", color=WRONG, ms=8)
axes.text(-2.4, 0.9, "(8.4)", color=EXACT, size=11, ha="right", va="top")
axes.text(-1.1, 0.37, "samples", color=ESTIMATE, size=11, ha="right", va="top")
axes.text(-2.0, 1.75, "samples, sigma = exp(logvar)", color=WRONG, size=11)
axes.set_xticks(logvars)
show(
    figure,
    "03_meaning",
    "The KL over logvar from -3 to 1. Samples of the right code lie on the curve of "
    "the closed form; those of the code with sigma = exp(logvar) lie off it "
    "everywhere but at logvar 0.",
)

# %% [markdown]
# Whoever looks for such a test asks: *what else is known about this number?* A
# KL is 0 at the prior and nowhere negative. Probabilities add up to 1. The ELBO
# stays below $\log p(x)$, and on a linear model $\log p(x)$ is known (lesson
# 07). Lesson 17 goes through a museum of such faults.

# %% [markdown]
# ## Exercise
#
# In `lessons/exercises/03_is_it_right.py` derive a difference of your own from
# four values, $f(x \pm h)$ and $f(x \pm 2h)$, with its best step; and write the
# whole gradient of any loss by the complex step, ten lines that you will want
# to keep. Then ask
#
# ```sh
# numpyvae check 3
# ```
