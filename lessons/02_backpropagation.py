# %% [markdown]
# # 02 · Backpropagation by hand
#
# *There is one rule, it fits in a line, and applied to a product of matrices it
# transposes them. The rest of backpropagation is bookkeeping.*
#
# **You will** meet the bar, which stands over everything in these lessons;
# derive a dense layer's three gradients and the slopes of eight activations;
# derive SGD's largest step and Adam's bias correction; and teach a net of two
# layers to complete half a digit, every gradient by hand.
#
# **Reads with** all five notes, which say "gradient" and move on: note 004
# ("Unbiased gradients of the ELBO"), note 001 ("optimizing the ELBO through
# SGD"), note 002 ("how to calculate gradient?"). **Takes** 5 seconds.

# %%
from math import erf

import numpy as np
from lesson import digits, full_or_fast
from style import AE, ESTIMATE, FAINT, INK, WRONG, sheet, show, strips

from numpyvae import gradcheck
from numpyvae.model.params import Parameters
from numpyvae.pairs.activations import (
    ELU,
    GELU,
    IDENTITY,
    LEAKY_RELU,
    RELU,
    SIGMOID,
    SOFTPLUS,
    TANH,
)
from numpyvae.pairs.dense import dense_backward as package_dense_backward
from numpyvae.pairs.dense import dense_forward as package_dense_forward
from numpyvae.pairs.optimizers import AdamRates, adam_update, sgd_update

rng = np.random.default_rng(2)

# %% [markdown]
# ## The bar
#
# In the end there is one number, the loss $L$. Of anything $y$ that it was
# computed from, be it a number, a vector or a matrix, we ask: how does $L$
# change when $y$ does? The answer is an array of the shape of $y$, and it is
# written with a bar:
#
# $$\bar y = \frac{\partial L}{\partial y}, \qquad
#   dL = \sum_k \bar y_k\, dy_k. \tag{2.0}$$
#
# The second half is the definition of the first: $dy_k$ is a small change of
# the entry $y_k$, and $\bar y_k$ is the number it must be multiplied by. In the
# code $\bar y$ is called `dy`.
#
# Now the rule. Let $y$ be computed from $x$. Write $dy$ in terms of $dx$, put
# that into $dL = \sum_k \bar y_k\, dy_k$, and collect. **What stands before
# $dx$ is $\bar x$.** That is all. And if $x$ goes into two things, two terms
# have $dx$ in them; so the bars of a variable that is used twice *add*.
#
# A worked number. Let $u = x + w$, $v = 3w$ and $L = uv$. Then $dL = v\, du +
# u\, dv$, hence $\bar u = v$ and $\bar v = u$. With $du = dx + dw$ and $dv =
# 3\, dw$ this is $dL = \bar u\, dx + (\bar u + 3 \bar v)\, dw$:

# %%
x, w = 2.0, 5.0
u, v = x + w, 3 * w  # forward: 7 and 15
du, dv = v, u  # backward: the bars of L = u v
dx, dw = du, du + 3 * dv  # w was used twice
print(f"dx = {dx:g}, dw = {dw:g}")
h = 1e-6
assert np.isclose(((x + h + w) * 3 * w - u * v) / h, dx, rtol=1e-5)
assert np.isclose(((x + w + h) * 3 * (w + h) - u * v) / h, dw, rtol=1e-5)

# %% [markdown]
# Forward runs from $x$ to $L$. The bars run from $\bar L = 1$ to $\bar x$, and
# each needs only the bar of what comes next and what forward has computed. One
# walk back gives the gradient of *everything*.
#
# ## The dense layer
#
# $B$ images in a batch, each a row of $N$ numbers, become rows of $M$ numbers:
#
# $$y = f(a), \qquad a = xW + b, \tag{2.1}$$
#
# with $x$ of shape $(B, N)$, $W$ $(N, M)$, $b$ $(M)$, and the activation $f$
# applied to each element. In the package (2.1) is two pairs of functions: the
# sums $a = xW + b$ in `pairs/dense.py`, then $y = f(a)$ in
# `pairs/activations.py`. One reason is that any $f$ can follow any sums, also
# those of a convolution (lesson 14). The other is that backward needs different
# things: (2.3) to (2.5) below read $x$ and $W$, whatever $f$ is, while the
# slope of $f$ is read off $y$ where it can be, and off $a$ where it can't, as
# with gelu at the end of this lesson.
#
# Backward begins where forward ended. Element by element $dy_{im} =
# f'(a_{im})\, da_{im}$; put into $dL = \sum_{im} \bar y_{im}\, dy_{im}$,
#
# $$\bar a_{im} = \bar y_{im}\, f'(a_{im}). \tag{2.2}$$
#
# Next, $a_{im} = \sum_n x_{in} W_{nm} + b_m$. A product changes by the change
# of each factor times the other: $da_{im} = \sum_n \left( dx_{in} W_{nm} +
# x_{in}\, dW_{nm} \right) + db_m$. Put into $dL = \sum_{im} \bar a_{im}\,
# da_{im}$:
#
# $$dL = \sum_{nm} \Big( \sum_i x_{in}\, \bar a_{im} \Big) dW_{nm}
#   + \sum_m \Big( \sum_i \bar a_{im} \Big) db_m
#   + \sum_{in} \Big( \sum_m \bar a_{im} W_{nm} \Big) dx_{in},$$
#
# and there the three gradients stand, each in its bracket:
#
# $$\bar W_{nm} = \sum_i x_{in}\, \bar a_{im}
#   \quad\Longleftrightarrow\quad \bar W = x^\top \bar a, \tag{2.3}$$
#
# $$\bar b_m = \sum_i \bar a_{im}, \tag{2.4}$$
#
# $$\bar x_{in} = \sum_m \bar a_{im} W_{nm}
#   \quad\Longleftrightarrow\quad \bar x = \bar a\, W^\top. \tag{2.5}$$
#
# Why do matrices transpose? Forward, $W_{nm}$ carries what is at $n$ to $m$.
# Backward, the blame at $m$ goes to every $n$ that had a share in it, in
# proportion to the same number $W_{nm}$. The wires are the same, walked the
# other way; and a matrix read from $m$ to $n$ is its transpose. The batch index
# $i$ is summed in (2.3) and (2.4), because all images used the same $W$ and
# $b$: bars of a variable that is used $B$ times add.


# %%
def dense_forward(x, W, b):
    return np.tanh(x @ W + b)


def dense_backward(dy, x, W, b):
    y = dense_forward(x, W, b)
    da = dy * (1 - y**2)  # Eq. 2.2; the slope of tanh is derived below
    return da @ W.T, x.T @ da, da.sum(axis=0)  # Eq. 2.5, 2.3, 2.4


B, N, M = 3, 5, 2
x, W, b = rng.normal(size=(B, N)), rng.normal(size=(N, M)), rng.normal(size=M)
report = gradcheck(dense_forward, dense_backward, x, W, b, names=["x", "W", "b"])
print(report)
assert report

dy, y = rng.normal(size=(B, M)), dense_forward(x, W, b)
a = package_dense_forward(x, W, b)  # the first pair's sums
assert np.array_equal(y, TANH.forward(a))  # the second's activation
da = TANH.backward(dy, a, y)  # and back, in opposite order
package = package_dense_backward(da, x, W)
for ours, theirs in zip(dense_backward(dy, x, W, b), package, strict=True):
    assert np.allclose(ours, theirs, rtol=1e-14)

# %% [markdown]
# A help for life: **a bar has the shape of what it stands over.** From $x$
# $(B, N)$ and $\bar a$ $(B, M)$ there is one product of shape $(N, M)$, and it
# is (2.3). But don't trust shapes alone. Where $N = M$ they no longer tell $W$
# from $W^\top$, so all sizes in our checks differ.

# %%
figure, (panel,) = sheet(
    "A bar has the shape of what it stands over, so only one product fits", height=4.6
)
blue, red, grey = ESTIMATE, WRONG, FAINT
bias = ("b", 1, M, grey)
rows_of_blocks = (
    (
        ("a", B, M, blue),
        "=",
        ("x", B, N, blue),
        ("W", N, M, grey),
        "+",
        ("b", 1, M, grey),
    ),
    (("dW", N, M, red), "=", ("x.T", N, B, blue), ("da", B, M, red)),
    (("dx", B, N, red), "=", ("da", B, M, red), ("W.T", M, N, grey)),
)
centre = {"size": 12, "ha": "center", "va": "center"}
for y, title, blocks in zip(
    (0, -8, -15), ("Forward", "Backward", ""), rows_of_blocks, strict=True
):
    panel.text(0, y + 2.9, title, size=11, color=INK)
    left = 0.0
    for block in blocks:
        if isinstance(block, str):
            panel.text(left + 0.1, y, block, color=INK, **centre)
            left += 0.8
            continue
        text, height, width, colour = block
        middle, bottom = left + width / 2, y - height / 2
        panel.fill_between([left, left + width], bottom, bottom + height, color=colour)
        edges = {"color": "white", "lw": 0.8}
        panel.vlines(left + np.arange(width + 1), bottom, bottom + height, **edges)
        panel.hlines(bottom + np.arange(height + 1), left, left + width, **edges)
        panel.text(
            middle,
            y,
            text,
            color="white",
            bbox={"fc": colour, "lw": 0, "pad": 1},
            **centre,
        )
        size = f"{height} by {width}"
        panel.text(middle, bottom - 0.7, size, color=FAINT, **{**centre, "size": 10})
        left += width + 0.8
panel.set(xlim=(-0.2, 15), ylim=(-18.5, 3.7), aspect="equal", anchor="W")
panel.set_axis_off()
show(
    figure,
    "02_shapes",
    "Three equations drawn as blocks of squares. Forward: a 3 by 2 equals x 3 by 5 "
    "times W 5 by 2 plus b 1 by 2. Backward: dW 5 by 2 equals x transposed 5 by 3 "
    "times da 3 by 2; dx 3 by 5 equals da 3 by 2 times W transposed 2 by 5.",
)

# %% [markdown]
# ## The chain rule is a product; the order is everything
#
# Another way to see the same. For one image (a row), let a layer's Jacobian be
# the matrix $J_{nm} = \partial y_m / \partial x_n$, so that $dy = dx\, J$. Then
# $dL = \sum_m \bar y_m\, dy_m = dx\, J\, \bar y^\top$, and so $\bar x = \bar
# y\, J^\top$. Three layers in a row, $dy = dx\, J_1 J_2 J_3$, make
#
# $$\bar x = \Big( \big( \bar y\, J_3^\top \big) J_2^\top \Big) J_1^\top.$$
#
# The brackets are the invention. From the left, every product is a row times a
# matrix; from the right, a matrix times a matrix. At a width of 400 that is
# 480,000 multiplications against 128 million.

# %%
width = 400
J1, J2, J3 = rng.normal(size=(3, width, width)) / np.sqrt(width)
dy_row = rng.normal(size=width)
backward_mode = ((dy_row @ J3.T) @ J2.T) @ J1.T
forward_mode = dy_row @ (J3.T @ (J2.T @ J1.T))
print(f"from the left {3 * width**2:,}, from the right {2 * width**3 + width**2:,}")
assert np.allclose(backward_mode, forward_mode, atol=1e-12)

# %% [markdown]
# And nobody ever writes a Jacobian down. That of $y$ by $W$ has an entry for
# each pair of an entry of $y$ and one of $W$: for a layer $784 \to 400$ and a
# batch of 128 that is $51{,}200 \times 313{,}600$, or 128 gigabytes of doubles,
# nearly all of them zero. (2.3) is its product with $\bar a$, without it. On
# the small layer it fits:

# %%
jacobian = np.zeros((B * M, N * M))  # of a by W: a_im depends on W_nm alone
for i in range(B):
    for m in range(M):
        jacobian[i * M + m, np.arange(N) * M + m] = x[i]
assert np.allclose((dy.ravel() @ jacobian).reshape(N, M), x.T @ dy, rtol=1e-13)
print(f"zeros in it: {np.mean(jacobian == 0):.0%}, which is (M - 1) / M")
assert np.isclose(np.mean(jacobian == 0), (M - 1) / M)

# %% [markdown]
# So (2.3) and (2.5) are two products of $B N M$ multiplications each, where
# (2.1) was one. The whole gradient costs about as much as two more forward
# passes, for ten parameters or ten million. Differences would cost one forward
# pass *per parameter*.
#
# ## Activations
#
# Sigmoid and softplus, as one finds them in books, are $1 / (1 + \exp(-a))$ and
# $\log (1 + \exp a)$. At $a = -1000$ the first computes $\exp(1000)$, which is
# infinite, and at $a = 1000$ the second. So write both in $e = \exp(-|a|)$,
# which lies in $(0, 1]$. For $a > 0$ the sigmoid is $1/(1+e)$ as it stands; for
# $a \le 0$ expand the fraction by $\exp a = e$. For $a > 0$ the softplus is
# $\log [\exp a \,(\exp(-a) + 1)] = a + \log(1 + e)$; for $a \le 0$ it is
# $\log(1 + e)$:
#
# $$\begin{aligned}
#   \sigma(a) &= \frac{1}{1 + \exp(-a)} =
#   \begin{cases} 1/(1+e) & a > 0 \\ e/(1+e) & a \le 0 \end{cases} \\
#   \log(1 + \exp a) &= \max(a, 0) + \log(1 + e).
#   \end{aligned} \tag{2.6}$$


# %%
def sigmoid(a):
    e = np.exp(np.where(a.real > 0, -a, a))
    return np.where(a.real > 0, 1, e) / (1 + e)


def softplus(a):
    e = np.exp(np.where(a.real > 0, -a, a))
    return np.where(a.real > 0, a, 0) + np.log1p(e)


a = np.array([-1000.0, -40.0, 0.0, 40.0, 1000.0])
with np.errstate(over="ignore"):
    naive = np.log(1 + np.exp(a))
print("       a     naive softplus     softplus")
for values in zip(a, naive, softplus(a), strict=True):
    print("{:8.0f} {:18.9g} {:12.9g}".format(*values))
assert np.isinf(naive[-1]) and naive[1] == 0  # 1 + 4e-18 rounds to 1
assert np.isclose(softplus(a)[1], np.exp(-40), rtol=1e-15)
assert np.array_equal(sigmoid(a), SIGMOID.forward(a))
assert np.array_equal(softplus(a), SOFTPLUS.forward(a))

# %% [markdown]
# The slopes of these five can be read off the *output*, so backward needs $y$
# and can forget $a$ (a layer of the package then writes $y$ over it):
#
# $$f'(a) = \begin{cases}
#   1 & \text{identity} \\
#   [\,y > 0\,] & \text{relu} \\
#   1 - y^2 & \text{tanh} \\
#   y\,(1 - y) & \text{sigmoid} \\
#   1 - \exp(-y) & \text{softplus}
# \end{cases} \tag{2.7}$$
#
# One by one. Relu is $a$ or 0, with the slope 1 or 0 (at the kink itself it has
# none; 0 is our choice). Tanh is $s/c$ with $s' = c$ and $c' = s$ (sinh and
# cosh), so its slope is $(c \cdot c - s \cdot s)/c^2 = 1 - y^2$. The sigmoid's
# is $\exp(-a) / (1 + \exp(-a))^2$, one factor of which is $y$ and the other
# $\exp(-a) / (1 + \exp(-a)) = 1 - y$. The softplus's is $\exp a / (1 + \exp a)
# = \sigma(a) = 1 - 1/(1 + \exp a)$, and $\exp y = 1 + \exp a$.

# %%
slopes = {
    IDENTITY: np.ones_like,
    RELU: lambda y: (y > 0).astype(float),
    TANH: lambda y: 1 - y**2,
    SIGMOID: lambda y: y * (1 - y),
    SOFTPLUS: lambda y: 1 - np.exp(-y),
}
a, h = np.linspace(-4, 4, 40), 1e-5  # 40 points: none of them is relu's kink
for f, slope in slopes.items():
    y, ones = f.forward(a), np.ones_like(a)
    differences = (f.forward(a + h) - f.forward(a - h)) / (2 * h)
    error = np.abs(slope(y) - differences).max()
    print(f"{f.name:9} off the differences by {error:.0e}")
    assert error < 1e-9  # h² / 6 of the third derivative, and 1e-16 / h
    assert not f.reads_input  # y is enough
    assert np.allclose(slope(y), f.backward(ones, a, y), rtol=1e-14)

# %% [markdown]
# ## Descent
#
# Let $\theta$ be all parameters in one vector and $g = \bar\theta$. A step
# $d\theta = -\eta\, g$ changes the loss by $dL = \sum_k g_k\, d\theta_k = -\eta
# \sum_k g_k^2$: down, unless the gradient is zero. This is stochastic gradient
# descent, if $g$ is that of a random batch:
#
# $$\text{SGD:}\quad \theta \leftarrow \theta - \eta\, g. \tag{2.8}$$
#
# Adam keeps two running means in step $t = 1, 2, \dots$, of the gradient and of
# its square (element by element), both begun at 0:
#
# $$\text{Adam:}\quad m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad
#   v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \tag{2.9}$$
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad
#   \hat v = \frac{v}{1 - \beta_2^t}, \tag{2.10}$$
#
# $$\theta \leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}.
#   \tag{2.11}$$
#
# Where does (2.10) come from? Unroll (2.9). A gradient $g_s$ entered with the
# weight $1 - \beta_1$ and has been multiplied by $\beta_1$ in each of the $t -
# s$ steps since: $m_t = (1 - \beta_1) \sum_{s=1}^t \beta_1^{t-s} g_s$. If all
# $g_s$ have the same mean $\mathbb E\, g$, then
#
# $$\mathbb E\, m_t = (1 - \beta_1)\, \mathbb E\, g \sum_{s=1}^t \beta_1^{t-s}
#   = (1 - \beta_1)\, \frac{1 - \beta_1^t}{1 - \beta_1}\, \mathbb E\, g
#   = (1 - \beta_1^t)\, \mathbb E\, g,$$
#
# a geometric sum. What is missing from 1 is the weight of the zero it began
# with. Dividing by $1 - \beta_1^t$ makes $\hat m$ unbiased from the first step
# on, and the same with $g^2$ does so for $\hat v$. Ask Monte Carlo:

# %%
beta1, beta2, steps, runs = 0.9, 0.999, 5, full_or_fast(200_000, 20_000)
m = np.zeros(runs)
for _ in range(steps):
    m = beta1 * m + (1 - beta1) * rng.normal(1.0, 2.0, size=runs)  # E g = 1
for name, estimate in (("m", m), ("m hat", m / (1 - beta1**steps))):
    off = (estimate.mean() - 1) / (estimate.std() / np.sqrt(runs))
    print(
        f"{name:5} {estimate.mean():.4f}, true mean 1: {off:7.1f} standard errors off"
    )
    assert (abs(off) < 4) if name == "m hat" else (abs(off) > 20)

# %% [markdown]
# The correction does not make the first steps longer, as one might think, but
# *shorter*. In step 1, $\hat m = g$ and $\hat v = g^2$, so the step is $\eta$
# times the sign of $g$. Without the correction it would be $0.1\, g /
# (\sqrt{0.001}\, |g|) = 3.16$ times as long.


# %%
def adam(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """One step of Eq. 2.9 to 2.11 -> theta, m, v."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return theta - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


g = np.array([1e-4, -1.0, 1e4])
step, m, v = adam(np.zeros(3), g, 0.0, 0.0, 1)
print("gradient  ", g, "\nfirst step", step)
assert np.allclose(step, -1e-3 * np.sign(g), rtol=2e-4)  # eps is 1e-4 of 1e-4
assert np.allclose(np.abs(m / np.sqrt(v)), 0.1 / np.sqrt(0.001))

theta, m, v = rng.normal(size=(3, 10)) ** 2
package_theta, package_m, package_v = theta.copy(), m.copy(), v.copy()
for t in range(1, 6):
    shards = rng.normal(size=(2, 10))  # the package adds the gradients of two halves
    theta, m, v = adam(theta, shards.sum(axis=0), m, v, t)
    rates = AdamRates(t, 1e-3, 0.9, 0.999, 1e-8)
    adam_update(package_theta, shards, package_m, package_v, rates)
    assert np.allclose(package_theta, theta, rtol=1e-12)
sgd_update(package_theta, shards, 0.1)
assert np.allclose(package_theta, theta - 0.1 * shards.sum(axis=0), rtol=1e-12)

# %% [markdown]
# ## Where to start
#
# Not at zero. If all hidden units are alike, so are their gradients, and they
# stay alike for ever. Every weight and bias of a layer with $N$ inputs is drawn
# from
#
# $$W_{nm},\ b_m \sim \mathrm{Uniform}\left(-\tfrac{1}{\sqrt N},\
#   \tfrac{1}{\sqrt N}\right). \tag{2.12}$$
#
# Why $\sqrt N$? A uniform variable on $(-c, c)$ has the variance $\int_{-c}^c
# \frac{u^2}{2c}\, du = c^2/3$, here $1/(3N)$. The terms of $a_m = \sum_n x_n
# W_{nm} + b_m$ are independent with mean zero, so their variances add:
#
# $$\operatorname{Var} a_m = \frac{1}{3N} \left( \sum_{n=1}^N x_n^2 + 1 \right).
#   \tag{2.13}$$
#
# For inputs of size 1 it is $\tfrac13 + \tfrac{1}{3N}$, whatever $N$: wide
# layers and narrow ones begin in the same range, where $f$ has a slope.

# %%
for N in (4, 784):
    x, draws = rng.uniform(-1, 1, size=N), full_or_fast(20_000, 2_000)
    W, b = rng.uniform(-1, 1, (draws, N)) / np.sqrt(N), rng.uniform(-1, 1, draws)
    a = W @ x + b / np.sqrt(N)
    theory = (x @ x + 1) / (3 * N)
    error = theory * np.sqrt(2 / draws)  # of a variance; for lighter tails it is less
    print(f"N = {N:3}: Var a {a.var():.4f} ± {error:.4f}, (2.13) {theory:.4f}")
    assert abs(a.var() - theory) < 5 * error

# %% [markdown]
# A third, not one: with each layer the signal shrinks. For the two or three
# layers of these lessons it does not matter. For twenty it would: with relu,
# which passes half of a symmetric $a$'s mean square, $\operatorname{Var} W =
# 2/N$ keeps $\mathbb E\, a^2$ as it is (He et al. 2015), while $1/(3N)$ divides
# it by 6 every time, down to what the biases bring.

# %%
signal = {"(2.12)": rng.normal(size=(100, 300)), "He": rng.normal(size=(100, 300))}
for layer in range(1, 21):
    for name, x in signal.items():
        if name == "He":
            W, b = rng.normal(size=(300, 300)) * np.sqrt(2 / 300), 0
        else:
            W, b = rng.uniform(-1, 1, (2, 300, 300)) / np.sqrt(300)
            b = b[0]
        signal[name] = np.maximum(x @ W + b, 0)
    if layer in (1, 5, 20):
        sizes = [f"{name} {(x**2).mean():.5f}" for name, x in signal.items()]
        print(f"mean square after {layer:2} layers:", ", ".join(sizes))
assert (signal["(2.12)"] ** 2).mean() < 0.01 < (signal["He"] ** 2).mean()

# %% [markdown]
# ## A valley: what SGD can't, and what Adam can't
#
# Near a minimum a loss is a bowl, $L = \tfrac12 \sum_i \lambda_i e_i^2$, where
# $e_i$ is the distance from the minimum along its axis $i$ and $\lambda_i > 0$
# the curvature there. The gradient is $\lambda_i e_i$, and a step of (2.8)
# makes
#
# $$e_i \leftarrow (1 - \eta \lambda_i)\, e_i. \tag{2.14}$$
#
# It shrinks if $|1 - \eta \lambda_i| < 1$. So the *steepest* direction limits
# the step, and the *flattest* sets the pace:
#
# $$\eta < \frac{2}{\lambda_{\max}}, \qquad
#   \eta^* = \frac{2}{\lambda_{\min} + \lambda_{\max}}: \quad
#   |1 - \eta^* \lambda| \le \frac{\kappa - 1}{\kappa + 1}, \quad
#   \kappa = \frac{\lambda_{\max}}{\lambda_{\min}}. \tag{2.15}$$
#
# ($\eta^*$ makes both ends equally slow, $1 - \eta \lambda_{\min} = \eta
# \lambda_{\max} - 1$; any other makes one of them slower.) With $\kappa = 100$
# the slowest part shrinks by 2 % a step. Adam divides each coordinate by the
# size of its own gradient. Scale the gradient of one coordinate by $c > 0$, and
#
# $$m \to c\, m, \quad v \to c^2 v, \quad \frac{\hat m}{\sqrt{\hat v}} \to
#   \frac{c\, \hat m}{c \sqrt{\hat v}} = \frac{\hat m}{\sqrt{\hat v}}:
#   \tag{2.16}$$
#
# the step is the same. Steep or flat, it walks both coordinates at one pace.
# But only *coordinates*: turn the valley by 45 degrees, and the trick is lost.

# %%
curvature = np.array([1.0, 100.0])
turn = np.array([[1, -1], [1, 1]]) / np.sqrt(2)


def walk(update, hessian, start, steps):
    """The path (steps + 1, 2) of an optimizer on ½ e^T H e."""
    path = [start]
    m = v = np.zeros(2)
    for t in range(1, steps + 1):
        g = hessian @ path[-1]
        if update == "SGD":
            new = path[-1] - 2 / curvature.sum() * g  # Eq. 2.15
        else:
            new, m, v = adam(path[-1], g, m, v, t, lr=0.1)
        path.append(new)
    return np.array(path)


straight, turned = np.diag(curvature), turn @ np.diag(curvature) @ turn.T
start, walks = np.array([-4.0, 1.0]), {}
for name, update, hessian in (
    ("SGD", "SGD", straight),
    ("SGD, turned", "SGD", turned),
    ("Adam", "Adam", straight),
    ("Adam, turned", "Adam", turned),
):
    begin = turn @ start if hessian is turned else start
    path = walk(update, hessian, begin, 150)
    walks[name] = path @ turn if hessian is turned else path  # seen along its axes
    losses = (walks[name] ** 2 @ curvature) / 2
    print(f"{name:12}  loss after 20 steps {losses[20]:8.3f}, 150: {losses[150]:.1e}")
assert np.allclose(walks["SGD"], walks["SGD, turned"], atol=1e-12)
assert (walks["Adam"][-1] ** 2 @ curvature) < (walks["SGD"][-1] ** 2 @ curvature) / 100
assert (walks["Adam, turned"][-1] ** 2 @ curvature) > (
    walks["SGD"][-1] ** 2 @ curvature
)

# %%
names = []
for text, suffix in (("Along the axes", ""), ("Turned by 45°", ", turned")):
    last = [(walks[name + suffix][-1] ** 2 @ curvature) / 2 for name in ("SGD", "Adam")]
    names.append("{}. At last: SGD {:.1g}, Adam {:.1g}".format(text, *last))
figure, panels = sheet(
    "Adam is at ease in a valley along the axes, and lost in one across them",
    names=names,
    height=1.9,
)
grid = np.stack(np.meshgrid(np.linspace(-4.6, 0.9, 200), np.linspace(-3.6, 1.3, 200)))
for panel, hessian, suffix in zip(
    panels, (straight, turned), ("", ", turned"), strict=True
):
    height = np.einsum("ixy,ij,jxy->xy", grid, hessian, grid) / 2
    levels = [0.3, 3, 12, 30, 60]
    panel.contour(*grid, height, levels=levels, colors=FAINT, linewidths=0.5)
    for name, colour, width in (("SGD", AE, 0.7), ("Adam", ESTIMATE, 2)):
        path = walks[name + suffix] @ (turn.T if suffix else np.eye(2))
        panel.plot(*path.T, color=colour, lw=width)
    panel.plot(*path[0], "o", color=INK, ms=4)
    panel.plot(0, 0, "+", color=INK, ms=9)
    panel.set(xlim=(-4.6, 0.9), aspect="equal", anchor="W")
    panel.set_axis_off()
panels[0].set_ylim(-1.35, 1.2)
panels[1].set_ylim(-3.5, 0.7)
panels[0].text(-2.9, 0.85, "Adam", color=ESTIMATE, size=11)
panels[0].text(-3.7, -1.3, "SGD", color=AE, size=11)
panels[1].text(-3.3, -0.9, "Adam", color=ESTIMATE, size=11)
panels[1].text(-1.0, -3.0, "SGD", color=AE, size=11)
show(
    figure,
    "02_valley",
    "Two narrow elliptic valleys with the paths of SGD and Adam from the same start. "
    "In the valley along the axes SGD zigzags from wall to wall and Adam goes round in "
    "one bow; in the valley turned by 45 degrees Adam too is caught between the walls.",
)

# %% [markdown]
# ## Two layers, there and back
#
# All pieces are there. Two layers and a squared error, summed over the outputs,
# averaged over the batch; from left to right:
#
# $$h = \tanh(x W_1 + b_1), \qquad y = \sigma(h W_2 + b_2), \qquad
#   L = \frac1B \sum_{i=1}^B \sum_{m=1}^M (y_{im} - t_{im})^2. \tag{2.17}$$
#
# And backward, *the same list mirrored*. Each line takes the bar that the line
# above has made:
#
# $$\begin{aligned}
#   \bar y_{im} &= \tfrac2B\, (y_{im} - t_{im}), \\
#   \bar a_2 &= \bar y\, y (1 - y), &
#   \bar W_2 &= h^\top \bar a_2, & \bar b_2 &= \textstyle\sum_i \bar a_{2,i}, &
#   \bar h &= \bar a_2 W_2^\top, \\
#   \bar a_1 &= \bar h\, (1 - h^2), &
#   \bar W_1 &= x^\top \bar a_1, & \bar b_1 &= \textstyle\sum_i \bar a_{1,i}. &&
# \end{aligned} \tag{2.18}$$
#
# It ends there: $x$ is data, and nobody asks for its bar. Parameters and
# gradients live in one flat vector each, with a named view of every block. The
# optimizer sees the vector, the layers see the views.


# %%
def shapes(N, H, M):
    return {"1.W": (N, H), "1.b": (H,), "2.W": (H, M), "2.b": (M,)}


def forward(x, params):
    h = np.tanh(x @ params["1.W"] + params["1.b"])
    y = sigmoid(h @ params["2.W"] + params["2.b"])
    return h, y


def backward(dy, x, h, y, params, grads):
    da = dy * y * (1 - y)  # Eq. 2.18, line by line
    grads["2.W"][...] = h.T @ da
    grads["2.b"][...] = da.sum(axis=0)
    dh = da @ params["2.W"].T
    da = dh * (1 - h**2)
    grads["1.W"][...] = x.T @ da
    grads["1.b"][...] = da.sum(axis=0)


N, H, M, B = 7, 4, 3, 5
small_x, small_t = rng.normal(size=(B, N)), rng.random((B, M))


def net_loss(flat):
    _, y = forward(small_x, Parameters(shapes(N, H, M), flat))
    return ((y - small_t) * (y - small_t)).sum() / B


def net_gradient(dloss, flat):
    params = Parameters(shapes(N, H, M), flat)
    grads = params.like(np.zeros_like(flat))
    h, y = forward(small_x, params)
    backward(dloss * 2 / B * (y - small_t), small_x, h, y, params, grads)
    return grads.flat


flat = rng.normal(size=sum(map(np.prod, shapes(N, H, M).values())))
report = gradcheck(net_loss, net_gradient, flat, names=["parameters"])
print(report)
assert report

# %% [markdown]
# The claim about zeros from above, at any weights that are alike for all hidden
# units: the columns of $\bar W_1$ come out alike, so descent can't part them.

# %%
alike = Parameters(shapes(N, H, M), np.full(flat.shape, 0.3))
grads = alike.like(net_gradient(1.0, alike.flat))
assert np.array_equal(grads["1.W"], np.repeat(grads["1.W"][:, :1], H, axis=1))
assert grads["1.W"].any()

# %% [markdown]
# ## Three more activations, one of which needs $a$
#
# Relu cuts hard: a unit whose $a$ is negative for every image gets no gradient
# and may never come back. Three newer functions leave the negative side a
# slope.
#
# **Gelu** (Hendrycks and Gimpel 2016) lets $a$ through by the share of a normal
# distribution that lies below it, $y = a\, \Phi(a)$. NumPy has no $\Phi$. So
# take the authors' approximation by a tanh, which is a sigmoid too: $g =
# \sigma(2u)$ is $\tfrac12 (1 + \tanh u)$, as multiplying $1/(1 + \exp(-2u))$
# by $\exp u$ above and below shows. Which $u$ makes it $\Phi$? Around 0
#
# $$\begin{aligned}
#   \Phi(a) &= \tfrac12 + \frac{1}{\sqrt{2\pi}}
#     \Big( a - \frac{a^3}{6} + \dots \Big), \\
#   \sigma(2u) &= \tfrac12 + \tfrac12 \Big( u - \frac{u^3}{3} + \dots \Big).
#   \end{aligned}$$
#
# Let $u = c\, (a + k a^3)$. In front of $a$ it says $c/2 = 1/\sqrt{2\pi}$, so
# $c = \sqrt{2/\pi}$. In front of $a^3$ it says $\tfrac c2 (k - c^2/3) =
# -\tfrac{c}{12}$, so $k = 2/(3\pi) - 1/6 = 0.0455$. The authors' $k$ is two per
# cent smaller, which fits worse near 0 and better where 0.0455 fits worst:
#
# $$y = a\, g, \qquad g = \sigma(2u), \qquad
#   u = \sqrt{2/\pi}\, (a + 0.044715\, a^3). \tag{2.19}$$
#
# A product changes by the change of each factor times the other, and $\sigma' =
# \sigma (1 - \sigma)$ as above:
#
# $$\frac{dy}{da} = g + a\, g\, (1 - g)\, 2u' = g + y\, (1 - g)\, 2u', \qquad
#   u' = \sqrt{2/\pi}\, (1 + 3 \cdot 0.044715\, a^2). \tag{2.20}$$
#
# **Elu** and **leaky relu** are $a$ where $a > 0$, and on the other side
#
# $$y = \exp(a) - 1 \quad \text{(elu)}, \qquad
#   y = \tfrac{1}{100}\, a \quad \text{(leaky relu)}, \tag{2.21}$$
#
# with the slopes, for $\exp a = y + 1$,
#
# $$\frac{dy}{da} = 1 \ \text{ where } y > 0, \text{ else} \quad
#   y + 1 \quad \text{(elu)}, \qquad \tfrac{1}{100} \quad \text{(leaky relu)}.
#   \tag{2.22}$$
#
# At 0 elu's slope is 1 from either side; leaky relu keeps relu's kink. Near 0
# the difference $\exp(a) - 1$ cancels, so compute it with `expm1`.


# %%
def gate(a, k=0.044715):
    return sigmoid(2 * np.sqrt(2 / np.pi) * (a + k * a**3))


def gelu(a):
    return a * gate(a)


def gelu_backward(dy, a):
    g, slope = gate(a), np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * a**2)
    return dy * (g + a * g * (1 - g) * 2 * slope)  # Eq. 2.20


def elu(a):
    return np.where(a.real > 0, a, np.expm1(np.where(a.real > 0, 0, a)))


def elu_backward(dy, a):
    y = elu(a)
    return dy * np.where(y.real > 0, 1, y + 1)  # Eq. 2.22


def leaky_relu(a):
    return np.where(a.real > 0, a, a / 100)


def leaky_relu_backward(dy, a):
    return np.where(leaky_relu(a).real > 0, dy, dy / 100)  # Eq. 2.22


a, dy = 3 * rng.normal(size=(4, 7)), rng.normal(size=(4, 7))
for f, ours, ours_backward in (
    (GELU, gelu, gelu_backward),
    (ELU, elu, elu_backward),
    (LEAKY_RELU, leaky_relu, leaky_relu_backward),
):
    report = gradcheck(ours, ours_backward, a, names=[f.name])
    print(report)
    assert report
    y, da = ours(a), ours_backward(dy, a)
    assert np.allclose(y, f.forward(a), rtol=1e-14)
    assert np.allclose(da, f.backward(dy, a, y), rtol=1e-13)

a = np.linspace(-6, 6, 2001)
exact = np.array([(1 + erf(x / 2**0.5)) / 2 for x in a])
near, worst = {}, {}
for k in (2 / (3 * np.pi) - 1 / 6, 0.044715):
    off = abs(a * (gate(a, k) - exact))
    near[k], worst[k] = off[abs(a) < 0.5].max(), off.max()
    print(f"k = {k:.6f}: off a Phi(a) by {near[k]:.0e} near 0, {worst[k]:.1e} at most")
taylor, fitted = worst.keys()
assert near[taylor] < near[fitted] < worst[fitted] < 5e-4 < worst[taylor]

# %% [markdown]
# Gelu falls before it rises. It comes from 0 at $-\infty$, has its valley at $a
# = -0.75$ with $y = -0.17$, and passes 0 at $a = 0$; so each $y$ in between is
# reached twice, once with a slope below 0 and once with one above. Who has kept
# only $y$ cannot know which. The package's gelu says so (`reads_input`), and
# the layer then leaves $a$ where it is and writes $y$ beside it.

# %%
left, right = np.array([-5.0, -0.75]), np.array([-0.75, 0.0])  # of the valley
for _ in range(60):  # halve until both ends meet at y = -0.1
    middle = (left + right) / 2
    falls = np.array([True, False])
    beyond = (gelu(middle) < -0.1) == falls
    left, right = np.where(beyond, left, middle), np.where(beyond, middle, right)
falling, rising = gelu_backward(np.ones(2), left)
print("y = -0.1 at a =", left.round(3), f"with the slopes {falling:.3f}, {rising:.3f}")
assert np.allclose(gelu(left), -0.1, rtol=1e-12) and falling < 0 < rising
assert GELU.reads_input and not ELU.reads_input and not LEAKY_RELU.reads_input

# %% [markdown]
# ## Use it: complete the digit
#
# Show the net the upper half of a digit, and ask for the lower.

# %%
data = digits(full_or_fast(20_000, 3_000), 1000)
upper, lower = np.split(data.train_images.reshape(-1, 784) / 255.0, 2, axis=1)
test_upper, test_lower = np.split(data.test_images.reshape(-1, 784) / 255.0, 2, axis=1)


def train(update, lr, epochs, batch=100):
    rng = np.random.default_rng(22)
    params = Parameters.zeros(shapes(392, 128, 392), np.float64)
    for layer, fan_in in (("1", 392), ("2", 128)):
        for name in (f"{layer}.W", f"{layer}.b"):
            bound = 1 / np.sqrt(fan_in)  # Eq. 2.12
            params[name][...] = rng.uniform(-bound, bound, params[name].shape)
    theta, grads = params.flat, params.like(np.zeros_like(params.flat))
    m, v, t, losses = 0.0, 0.0, 0, []
    for _ in range(epochs):
        order = rng.permutation(len(upper))
        for i in range(0, len(order), batch):
            x, target = upper[order[i : i + batch]], lower[order[i : i + batch]]
            h, y = forward(x, params)
            backward(2 / batch * (y - target), x, h, y, params, grads)
            t += 1
            if update == "SGD":
                theta -= lr * grads.flat
            else:
                theta[...], m, v = adam(theta, grads.flat, m, v, t, lr)
            losses.append(((y - target) ** 2).sum() / batch)
    return params, np.array(losses)


epochs = full_or_fast(5, 3)
always_the_mean = ((lower - lower.mean(axis=0)) ** 2).sum(axis=1).mean()
trained = {name: train(name, lr, epochs) for name, lr in (("SGD", 0.1), ("Adam", 2e-3))}
print(f"squared error of the mean half {always_the_mean:6.2f}")
for name, (params, losses) in trained.items():
    _, guess = forward(test_upper, params)
    error = ((guess - test_lower) ** 2).sum(axis=1).mean()
    print(f"{name:5} {len(losses)} steps, on test digits {error:6.2f}")
    assert error < always_the_mean

figure = strips(
    "Shown the upper half, the net draws the lower: sure where it can be, else grey",
    [
        ("Test digits", data.test_images[:10] / 255.0),
        ("What it is\nshown", np.hstack([test_upper, 0 * test_lower])[:10]),
        ("Completed", np.hstack([test_upper, guess])[:10]),
    ],
)
show(
    figure,
    "02_halves",
    "Three rows of ten test digits: whole; their upper halves alone; and the upper "
    "halves with the lower halves that the net has drawn, fitting but blurred.",
)

# %% [markdown]
# Where several lower halves would do, it draws their average, in grey. That is
# not a fault of the gradients. It is what squared error asks for, and lesson 04
# is about it. And how do we know that a gradient is right, beyond a loss that
# falls? This project began by reading fourteen VAEs with gradients by hand.
# None checked them by differences, and seven were wrong. Hence lesson 03.

# %% [markdown]
# ## Exercise
#
# In `lessons/exercises/02_backpropagation.py` write two backward passes. In a
# residual layer, $y = x + \tanh(xW + b)$, one variable is used twice. Layer
# normalisation, $y = (x - m)/s$ with the mean $m$ and the standard deviation
# $s$ of each row, uses every variable everywhere: the rule is the same, and
# what comes out is short. Then ask
#
# ```sh
# numpyvae check 2
# ```
