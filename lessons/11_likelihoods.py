# %% [markdown]
# # 11 · Likelihoods
#
# *Squared error or cross-entropy? The question sounds like taste. It is a
# claim about how pixels are made, and each answer sets how much the code may
# cost.*
#
# **You will** derive $-\log p(x|z)$ and its gradients for five kinds of
# pixels; see why a Bernoulli is taken from logits, what clipping hides, why
# squared error is a Gaussian with $\sigma = 1$ and why that is a $\beta$ in
# disguise; learn $\sigma$; mend the cross-entropy of grey pixels, which is no
# density; and count nats that are bits of a file.
#
# **Reads with** note 001 (Leuphana, the Bernoulli model and "similar to a
# reconstruction error"), note 004 (Louppe, the "Example" with $W_1$ to
# $W_6$). **Takes** 10 seconds.

# %%
from fractions import Fraction
from math import erf, factorial

import numpy as np
from lesson import digits, full_or_fast
from style import ESTIMATE, EXACT, FAINT, WRONG, sheet, show

from numpyvae import VAE, gradcheck
from numpyvae.pairs import likelihoods as package
from numpyvae.pairs.bernoulli import bernoulli_backward, bernoulli_forward
from numpyvae.pairs.discretized_logistic import (
    discretized_logistic_backward,
    discretized_logistic_forward,
    discretized_logistic_mean,
)
from numpyvae.pairs.objectives import Elbo
from numpyvae.training.optimizers import Adam

rng = np.random.default_rng(11)
data = digits(full_or_fast(20_000, 1_000), 500)

# %% [markdown]
# ## Zeros and ones: the Bernoulli, from logits
#
# A pixel that is 1 with probability $p$ and 0 with probability $1 - p$ has
# $\log p(x) = \log p$ or $\log (1 - p)$. Let $x$ and $1 - x$ be the switches,
# and take the pixels to be independent given $z$:
#
# $$\log p(x|z) = \sum_{j=1}^D \left[ x_j \log p_j
#   + (1 - x_j) \log(1 - p_j) \right],
#   \qquad p = \sigma(l) = \frac{1}{1 + \exp(-l)}. \tag{11.1}$$
#
# The decoder's last layer says the *logit* $l$, any real number, and the
# sigmoid $\sigma(l)$ makes it a probability. (With an argument, $\sigma$ is
# the sigmoid; without one, a standard deviation.) It is tempting to stop
# there, and to compute $p$ and then its logarithm. Do the algebra first:
#
# $$\begin{aligned}
#   \log \sigma(l) &= \log \frac{\exp l}{1 + \exp l}
#     = l - \log(1 + \exp l), \\
#   \log(1 - \sigma(l)) &= \log \frac{1}{1 + \exp l} = -\log(1 + \exp l).
#   \end{aligned}$$
#
# Both hold the same softplus. Put them into (11.1); it collects the weight
# $x_j + (1 - x_j) = 1$, and what remains is
#
# $$R = -\log p(x|z) = \sum_{j=1}^D
#   \left[ \log(1 + \exp l_j) - x_j\, l_j \right]. \tag{11.2}$$
#
# No probability appears, so none is ever rounded to 0 or 1. The slope of
# $\log(1 + \exp l)$ is $\exp l / (1 + \exp l) = \sigma(l)$, and therefore
#
# $$\bar l_j = \bar R\, (p_j - x_j). \tag{11.3}$$
#
# The gradient is what the decoder expected minus what it got. It is never
# larger than one, and it vanishes only where the prediction is right.


# %%
def softplus(a):
    return np.where(a.real > 0, a, 0) + np.log1p(np.exp(np.where(a.real > 0, -a, a)))


def bernoulli(logits, x):
    """-log p(x|z) of each image, in nats; (B, D) -> (B,)."""
    return (softplus(logits) - x * logits).sum(axis=1)


def bernoulli_gradient(dnll, logits, x):
    return dnll[:, None] * (1 / (1 + np.exp(-logits)) - x)


logits = 3 * rng.normal(size=(4, 7))
x = rng.integers(0, 2, (4, 7)).astype(float)
report = gradcheck(bernoulli, bernoulli_gradient, logits, x, names=["logits", "x"])
print(report)
assert report

nll, p = bernoulli_forward(logits, x)
assert np.allclose(bernoulli(logits, x), nll, rtol=1e-14)
ours = bernoulli_gradient(np.ones(4), logits, x)
assert np.allclose(ours, bernoulli_backward(np.ones(4), p, x), atol=1e-15)

one = logits.reshape(-1, 1)  # a pixel by itself: its two probabilities add up to 1
total = np.exp(-bernoulli(one, 0 * one)) + np.exp(-bernoulli(one, 0 * one + 1))
assert np.allclose(total, 1, rtol=1e-14)

# %% [markdown]
# ## The lie of clipping
#
# The other way is widespread: $p$ by the sigmoid, clipped to $[10^{-7}, 1 -
# 10^{-7}]$ so that the logarithm survives. Take a pixel that is 0 while the
# decoder is more and more sure of a 1.


# %%
def clipped(l, x=0.0, margin=1e-7):
    p = np.clip(1 / (1 + np.exp(-l)), margin, 1 - margin)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


print("logit   from logits  slope     clipped  slope   (the pixel is 0)")
for l in (5.0, 15.0, 20.0, 40.0):
    slope = (clipped(l + 1e-4) - clipped(l - 1e-4)) / 2e-4
    right = bernoulli(np.array([[l]]), np.zeros((1, 1)))[0]
    right_slope = bernoulli_gradient(np.ones(1), np.array([[l]]), 0.0)[0, 0]
    print(f"{l:5.0f}{right:14.4f}{right_slope:7.3f}{clipped(l):12.4f}{slope:7.3f}")
    assert abs(right_slope - 1) < 0.01 and right >= l
assert slope == 0.0 and clipped(40.0) < 16.2
assert 1 / (1 + np.exp(-40.0)) == 1.0  # unclipped: log(1 - 1)
assert np.float32(1 + np.exp(-17.0)) == 1  # in float32 so soon

# %% [markdown]
# From logits, a certain mistake of 40 costs 40 nats and pulls with the
# force 1. Clipped, it costs 16.1 nats, however large it grows, and pulls with
# no force at all. The pixel that is most wrong is the one that learns nothing.
# And the number printed is too good: the model did say 40.

# %% [markdown]
# ## Real numbers: the Gaussian
#
# Now let pixel $j$ have the mean $m_j$ and the variance $\sigma_j^2 = \exp
# \ell_j$, both said by the decoder. Its log density is that of (8.1),
#
# $$\log \mathcal N(x_j; m_j, \sigma_j^2) = -\tfrac12 \log 2\pi
#   - \tfrac12 \ell_j - \tfrac12 (x_j - m_j)^2 \exp(-\ell_j),$$
#
# and independent pixels add:
#
# $$R = -\log \mathcal N(x; m, \operatorname{diag}(\exp \ell))
#   = \tfrac12 \sum_{j=1}^D \left[ (x_j - m_j)^2 \exp(-\ell_j)
#   + \ell_j + \log 2\pi \right]. \tag{11.4}$$
#
# From $\partial (x - m)^2 / \partial m = -2 (x - m)$,
#
# $$\bar m_j = -\bar R\, (x_j - m_j) \exp(-\ell_j), \tag{11.5}$$
#
# and from $\partial \exp(-\ell) / \partial \ell = -\exp(-\ell)$,
#
# $$\bar \ell_j = \tfrac12 \bar R
#   \left[ 1 - (x_j - m_j)^2 \exp(-\ell_j) \right]. \tag{11.6}$$
#
# The second says: widen where the residual is beyond one $\sigma$, narrow
# where it is within.


# %%
def gaussian(mean, logvar, x):
    """-log N(x; mean, diag(exp(logvar))) of each image; (B, D) -> (B,)."""
    terms = (x - mean) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi)
    return terms.sum(axis=1) / 2


def gaussian_gradient(dnll, mean, logvar, x):
    residual, precision = x - mean, np.exp(-logvar)
    dmean = -dnll[:, None] * residual * precision
    dlogvar = dnll[:, None] * (1 - residual**2 * precision) / 2
    return dmean, dlogvar


mean, logvar, x = rng.normal(size=(3, 4, 7))
report = gradcheck(
    gaussian, gaussian_gradient, mean, logvar, x, names=["mean", "logvar", "x"]
)
print(report)
assert report
assert np.allclose(
    gaussian(mean, logvar, x), package.gaussian_forward(mean, logvar, x), rtol=1e-13
)
for ours, theirs in zip(
    gaussian_gradient(np.ones(4), mean, logvar, x),
    package.gaussian_backward(np.ones(4), mean, logvar, x),
    strict=True,
):
    assert np.allclose(ours, theirs, rtol=1e-14)

grid, step = np.linspace(-12, 12, 4001, retstep=True)
density = np.exp(-gaussian(np.array([[0.3]]), np.array([[-1.0]]), grid[:, None]))
print(f"integral of one pixel's density {density.sum() * step:.15f}")
assert abs(density.sum() * step - 1) < 1e-13
assert abs((density * (grid - 0.3) ** 2).sum() * step - np.exp(-1)) < 1e-13

# %% [markdown]
# > **Erratum E7** (note 004). The decoder says a mean and a $\sigma$ for every
# > pixel, $\mu, \sigma = \mathrm{NN}_\theta(z)$, and then $p(x|z) = \mathcal
# > N(x; \mu, \sigma^2 I)$. With a vector $\sigma^2$ the covariance is
# > $\operatorname{diag}(\sigma^2)$. $\sigma^2 I$ is one number times the
# > identity: every pixel, and in the note's $q(z|x)$ every latent, equally
# > uncertain.

# %%
sigma, draws = np.array([0.2, 1.0, 2.0]), 50_000
samples = sigma * rng.normal(size=(draws, 3))  # sigma and a sample, as in the note
variances = (samples**2).mean(axis=0)
errors = variances * np.sqrt(2 / draws)
print("variances of the samples", variances.round(3), " sigma²", sigma**2)
assert (abs(variances - sigma**2) < 4 * errors).all()
assert (abs(variances - (sigma**2).mean()) > 20 * errors).all()  # best multiple of I

# %% [markdown]
# > **Erratum E2** (note 001). With $\sigma = 1$ the note prints $\log
# > p(x|z) = +\tfrac12 \sum_j (x_j - \mu_j)^2 + \text{const}$. From (11.4) at
# > $\ell = 0$ it is $-\tfrac12 \sum_j (x_j - \mu_j)^2 - \tfrac D2 \log 2\pi$.
# > The sign decides whether training brings $\mu$ to the image or drives it
# > away. With the printed one, the best reconstruction is the one farthest
# > off.

# %%
at_x = -gaussian(x, 0 * x, x)  # log p, where the mean is the image
elsewhere = -gaussian(mean, 0 * x, x)
half_square = ((x - mean) ** 2).sum(axis=1) / 2
assert np.allclose(elsewhere - at_x, -half_square, rtol=1e-12)
assert (elsewhere < at_x).all()  # what is printed has it the other way round

# %% [markdown]
# So squared error *is* a Gaussian, one whose $\sigma$ was set to 1 without
# asking. Keep that in mind; it will have a price.
#
# ## The example of note 004, in our names
#
# The note writes vectors as columns, $W^\top h$; we keep images in rows, $hW$.
# Its decoder has two heads on one hidden layer,
#
# $$\begin{aligned}
#   h &= \operatorname{relu}(z W_1 + b_1), & m &= h W_2 + b_2,
#     & \ell_x &= h W_3 + b_3, \\
#   h' &= \operatorname{relu}(x W_4 + b_4), & \mu &= h' W_5 + b_5,
#     & \ell_z &= h' W_6 + b_6,
#   \end{aligned}$$
#
# and so has its encoder, in the second line. Two heads are one layer with
# twice the outputs. The package puts $\mu$ and $\ell_z$ side by side, and $m$
# and $\ell_x$ in turns, pixel by pixel; its name for this model is
# `gaussian-pixels`. Cut its matrices, and the note's equations give its loss.

# %%
D, H, Z, B = 12, 6, 3, 5
model = VAE(
    D, (H,), Z, likelihood="gaussian-pixels", dtype=np.float64, compiled=False, seed=11
)
theta = model.params
W4, b4, W1, b1 = (theta[f"{n}.0.{w}"] for n in ("encoder", "decoder") for w in "Wb")
(W5, W6), (b5, b6) = (np.split(theta[f"encoder.1.{w}"], 2, axis=-1) for w in "Wb")
W2, W3 = theta["decoder.1.W"][:, ::2], theta["decoder.1.W"][:, 1::2]
b2, b3 = theta["decoder.1.b"][::2], theta["decoder.1.b"][1::2]

x, eps = rng.random((B, D)), rng.normal(size=(B, Z))
h = np.maximum(x @ W4 + b4, 0)
mu, logvar_z = h @ W5 + b5, h @ W6 + b6
z = mu + np.exp(logvar_z / 2) * eps
h = np.maximum(z @ W1 + b1, 0)
recon = gaussian(h @ W2 + b2, h @ W3 + b3, x)
kl = (mu**2 + np.exp(logvar_z) - 1 - logvar_z).sum(axis=1) / 2
loss = (recon + kl).mean()
print(f"the note's equations {loss:.12f}")
print(f"the package          {model.loss_and_gradient(x, eps)[0]:.12f} nats")
assert np.isclose(loss, model.loss_and_gradient(x, eps)[0], rtol=1e-13)

# %% [markdown]
# ## A density has no ceiling
#
# Here is what the note does not say about its example. A probability is at
# most 1, so a Bernoulli's $R$ is at least 0. A *density* may be as high as it
# likes. Take a pixel in a corner, blank in every image. The decoder says $m =
# 0$, exactly right, and what is left of (11.4) is $\tfrac12 (\ell + \log
# 2\pi)$: it falls without end as $\ell \to -\infty$, and by (11.6) the slope
# is $\tfrac12$ for ever. Each halving of $\sigma$ earns $\log 2$ nats, for
# each such pixel and every image, and nothing has been learned.

# %%
images = data.train_images.reshape(-1, data.pixels) / np.float32(255)
constant = (images == images[0]).all(axis=0)
print(
    f"{constant.sum()} of {data.pixels} pixels are the same in all {len(images)} images"
)
print("     sigma   -log p(x|z) of these pixels alone")
for sigma in (1, 1e-1, 1e-2, 1e-4, 1e-8):
    l = np.full((1, constant.sum()), 2 * np.log(sigma))
    corner = images[:1, constant].astype(float)
    nats = gaussian(corner, l, corner)[0]
    print(f"{sigma:10.0e}{nats:12.0f} nats")
assert constant.sum() > 10 and nats < -17 * constant.sum()

# %% [markdown]
# And a decoder finds this out. Train one, by a loop that watches:


# %%
def fit(likelihood, steps, watch, lr=4e-3):
    """Train a VAE of grey images; what `watch` saw at every step."""
    H, B = full_or_fast(128, 16), full_or_fast(64, 16)
    model = VAE(data.pixels, (H,), 10, likelihood=likelihood, seed=11)
    adam, seen = Adam(model.params.flat, model.code, lr), []
    grads = model.params.unwritten()
    work = model.workspace(grads)
    noise = np.random.default_rng(11)
    for _ in range(steps):
        x = images[noise.integers(0, len(images), B)]
        eps = noise.standard_normal((B, 10), np.float32)
        forward = model.forward(x, eps, work=work)
        model.backward(eps, forward, work)
        seen.append(watch(model, x, forward))
        adam.advance()
        adam.update(grads.flat[None])
    return model, np.array(seen)


def nats(model, x, forward):
    """-log p(x|z) per image: of the constant pixels, of all others."""
    out = forward.gs[-1].y
    mean, logvar = out[:, ::2], out[:, 1::2]
    terms = (x - mean) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi)
    return terms[:, constant].mean() / 2, terms[:, ~constant].mean() / 2


third = full_or_fast(200, 100)
_, seen = fit("gaussian-pixels", 3 * third, nats, lr=2e-3)
thirds = seen.reshape(3, third, 2).mean(axis=1)
print("nats a pixel       constant ones   all others")
for k, (still, moving) in enumerate(thirds):
    print(f"steps {k * third + 1:3} to {(k + 1) * third:3}{still:16.2f}{moving:13.2f}")
assert thirds[2, 0] < thirds[1, 0] < thirds[0, 0]  # and on it goes
assert thirds[2, 0] < thirds[2, 1] - 0.5

# %% [markdown]
# Pixel for pixel, the ones in which nothing ever happens are the model's
# greatest success, and they go on getting better. So nats of a density compare
# only with nats of the same kind of model, and never with a Bernoulli's.
# (Usual mends: a floor under $\sigma$; noise of one grey level added to the
# images; or one $\sigma$ for all pixels, which comes next.)
#
# ## One sigma for all pixels
#
# Let all pixels of all images share one $\ell$, a parameter like any other.
# With $S = \sum_j (x_j - m_j)^2$, (11.4) becomes
#
# $$R = -\log \mathcal N(x; m, \exp(\ell)\, I) = \tfrac12
#   \left[ S \exp(-\ell) + D\, (\ell + \log 2\pi) \right], \tag{11.7}$$
#
# $$\bar m_j = -\bar R \exp(-\ell)\, (x_j - m_j), \tag{11.8}$$
#
# and all images' terms add to the gradient of the $\ell$ that they share:
#
# $$\bar\ell = \tfrac12 \sum_{i=1}^B \bar R_i
#   \left[ D - S_i \exp(-\ell) \right]. \tag{11.9}$$
#
# In a mean over the batch $\bar R_i = 1/B$. Then (11.9) is 0 where $BD =
# \sum_i S_i \exp(-\ell)$, that is at
#
# $$\boxed{\ \sigma^2 = \exp \ell
#   = \frac{1}{BD} \sum_{i=1}^B \sum_{j=1}^D (x_{ij} - m_{ij})^2\ }$$
#
# The best variance is the mean squared residual. It is a minimum: $\bar\ell$
# is negative below and positive above. No pixel can run away with it, for it
# belongs to all.


# %%
def isotropic(mean, logvar, x):
    """-log N(x; mean, exp(logvar) I) of each image; (B, D), (1,), (B, D) -> (B,)."""
    squares = ((x - mean) ** 2).sum(axis=1)
    return (squares * np.exp(-logvar) + x.shape[1] * (logvar + np.log(2 * np.pi))) / 2


def isotropic_gradient(dnll, mean, logvar, x):
    residual, precision = x - mean, np.exp(-logvar)
    squares = (residual**2).sum(axis=1)
    dlogvar = dnll * (x.shape[1] - squares * precision) / 2
    return -dnll[:, None] * precision * residual, dlogvar.sum(keepdims=True)


mean, x = rng.normal(size=(2, 4, 7))
logvar = np.array([-0.7])
report = gradcheck(
    isotropic, isotropic_gradient, mean, logvar, x, names=["mean", "logvar", "x"]
)
print(report)
assert report
args = mean, logvar, x
assert np.allclose(isotropic(*args), package.isotropic_forward(*args), rtol=1e-14)
for ours, theirs in zip(
    isotropic_gradient(np.ones(4), *args),
    package.isotropic_backward(np.ones(4), *args),
    strict=True,
):
    assert np.allclose(ours, theirs, rtol=1e-13)
assert np.allclose(isotropic(*args), gaussian(mean, np.full_like(x, -0.7), x))

best = np.log(((x - mean) ** 2).mean(keepdims=True)[0])
assert abs(isotropic_gradient(np.ones(4) / 4, mean, best, x)[1]) < 1e-14
for other in (best - 0.1, best + 0.1):
    assert isotropic(mean, other, x).sum() > isotropic(mean, best, x).sum()

# %% [markdown]
# In a VAE the residuals are not given; they shrink as the decoder learns, and
# $\sigma$ runs after them. Train it and see whether it arrives:


# %%
def spread(model, x, forward):
    """Sigma, the root of the mean squared residual of the batch, and the KL."""
    logvar = model.params.get("likelihood.logvar", np.zeros(1))[0]  # or sigma = 1
    mean = model.likelihood.mean(forward.gs[-1].y)
    residual = np.sqrt(((x - mean) ** 2).mean())
    return np.exp(logvar / 2), residual, forward.kl.mean()


steps = full_or_fast(1_800, 1_300)
_, sigmas = fit("gaussian-learned", steps, spread)
ratio = sigmas[-100:, 0].mean() / sigmas[-100:, 1].mean()
print(f"sigma by training {sigmas[-100:, 0].mean():.4f}")
print(f"by the formula    {sigmas[-100:, 1].mean():.4f}, ratio {ratio:.3f}")
assert abs(ratio - 1) < 0.05 < 1 < sigmas[0, 0] / sigmas[0, 1] - 1

figure, (axes,) = sheet(
    "The learned sigma runs after the residuals, and settles on them",
    labels=("step", "grey level, from 0 to 1"),
)
axes.plot(sigmas[:, 1], color=EXACT, lw=1)
axes.plot(sigmas[:, 0], color=ESTIMATE, lw=2)
axes.text(0.33 * steps, 0.52, "sigma, by gradient descent", color=ESTIMATE, size=11)
axes.text(
    0.3 * steps, 0.03, "root mean square of x \N{MINUS SIGN} m", color=EXACT, size=11
)
axes.set_ylim(0)
show(
    figure,
    "11_sigma",
    "Two curves over the steps of training. The root mean square residual drops at "
    "once to below 0.2. The learned sigma starts at 1, sinks steadily, and from about "
    "step 1000 on lies upon the other curve.",
)

# %% [markdown]
# ## Grey pixels: the cross-entropy is no density
#
# Grey pixels lie between 0 and 1, and nothing stops you from putting one into
# (11.2). Much code does. What comes out is the cross-entropy, a fine measure
# of error with its minimum at $p = x$. But $\exp(-R)$ is then no density of
# $x$. A density integrates to one:
#
# $$\int_0^1 \exp(x\, l - \log(1 + \exp l))\, dx
#   = \frac{1}{1 + \exp l} \cdot \frac{\exp l - 1}{l}
#   = \frac{\tanh(l / 2)}{l},$$
#
# where the last step divides both by $\exp(l/2)$. That is $\tfrac12$ at $l =
# 0$ (since $\tanh t \approx t$), and less elsewhere.


# %%
def simpson(f, n=2001):
    """The integral of f over [0, 1] by Simpson's rule; f takes (n,) -> (n,)."""
    x = np.linspace(0, 1, n)
    weights = np.where(np.arange(n) % 2, 4, 2).astype(float)
    weights[[0, -1]] = 1
    return (weights * f(x)).sum() / (3 * (n - 1))


def of_one_pixel(f, l):
    """exp(-f) as a function of x alone."""
    return lambda x: np.exp(-f(np.full((len(x), 1), float(l)), x[:, None]))


print("logit   integral   tanh(l/2)/l")
for l in (-8, -2, 1e-3, 2, 8):
    integral = simpson(of_one_pixel(bernoulli, l))
    print(f"{l:5g}{integral:11.6f}{np.tanh(l / 2) / l:12.6f}")
    assert abs(integral - np.tanh(l / 2) / l) < 1e-11
    assert integral < 0.5 + 1e-9

# %% [markdown]
# What is missing is the factor $C(l) = l / \tanh(l/2)$, at least 2. Without it
# every pixel is charged $\log C(l)$ nats too much: $\log 2$ at $l = 0$, which
# is $784 \log 2 = 543$ nats an image, and more where the decoder is decided.
# It depends on $l$, so it is no constant that training could ignore. (In the
# paper of Loaiza-Ganem and Cunningham the same $C$ is $2
# \operatorname{artanh}(1 - 2p) / (1 - 2p)$.) Put it in, and the Bernoulli's
# formula becomes a density on $[0, 1]$, the *continuous Bernoulli*. It is
# $\exp(x\, l)$ divided by its own integral:
#
# $$\begin{aligned}
#   p(x|z) &= \prod_j \frac{\exp(x_j l_j)}{\int_0^1 \exp(t\, l_j)\, dt}, \\
#   \int_0^1 \exp(t\, l)\, dt &= \frac{\exp(l) - 1}{l}
#     = \exp(\max(l, 0))\, \frac{1 - \exp(-|l|)}{|l|}.
#   \end{aligned}$$
#
# The last form cannot overflow. (For $l > 0$ take $\exp l$ out of $\exp(l) -
# 1$; for $l < 0$ it is $(1 - \exp(-|l|)) / |l|$ as it stands.) Its negative
# logarithm:
#
# $$R = -\log p(x|z) = \sum_{j=1}^D \left[ \max(l_j, 0)
#   + \log \frac{1 - \exp(-|l_j|)}{|l_j|} - x_j\, l_j \right],
#   \tag{11.10}$$
#
# where the fraction is 1 at $l_j = 0$. For the gradient, the derivative of
# $\log \int \exp(t\, l)\, dt$ in $l$ is $\int t \exp(t\, l)\, dt \,/ \int
# \exp(t\, l)\, dt$, which is the mean of $x$. From $\log(\exp(l) - 1) - \log
# l$ it is
#
# $$\begin{aligned}
#   m = \mathbb E\, x &= \frac{\exp l}{\exp(l) - 1} - \frac1l
#     = \frac{1}{1 - \exp(-l)} - \frac1l \\
#   &= \tfrac12 \left[ 1 + \coth t - \frac1t \right], \qquad t = \tfrac l2 \\
#   &= \tfrac12 \left[ 1 + t \left( \tfrac13 - \tfrac{1}{45} t^2
#     + \tfrac{2}{945} t^4 - \dots \right) \right].
#   \end{aligned} \tag{11.11}$$
#
# (Here $1 / (1 - \exp(-2t)) = \tfrac12 (1 + \coth t)$: multiply out $\coth t =
# (\exp t + \exp(-t)) / (\exp t - \exp(-t))$.) So again the gradient is a mean
# minus a pixel:
#
# $$\bar l_j = \bar R\, (m_j - x_j). \tag{11.12}$$
#
# The series is for small $l$, where $1 / (1 - \exp(-l))$ and $1 / l$ are both
# huge and their difference is $\tfrac12$: digit after digit cancels. Its
# coefficients come from dividing the series of $\cosh$ by that of $\sinh t /
# t$. If $t \coth t = \sum_n c_n t^{2n}$, then $\cosh t = (t \coth t)(\sinh t /
# t)$ says, power by power, $1 / (2n)! = \sum_{k \le n} c_k / (2(n - k) + 1)!$,
# which gives $c_n$ from those before it.

# %%
c = []
for n in range(8):
    known = sum(c[k] / factorial(2 * (n - k) + 1) for k in range(n))
    c.append(Fraction(1, factorial(2 * n)) - known)
print("t coth t =", " + ".join(f"({a}) t^{2 * n}" for n, a in enumerate(c[:5])), "...")
assert [float(a) for a in c[1:]] == list(package.SERIES)


def cb_mean(l):
    """The mean of a continuous Bernoulli, by its series for |l| < 1/2."""
    t = l / 2
    small = abs(t.real) < 1 / 4
    near, far = np.where(small, t, 0), np.where(small, 1, l)
    series = sum(float(a) * near ** (2 * n) for n, a in enumerate(c[1:]))
    return np.where(small, (1 + near * series) / 2, 1 / -np.expm1(-far) - 1 / far)


def cb(l, x):
    """-log p(x|z) of each image under the continuous Bernoulli; (B, D) -> (B,)."""
    size = np.where(l.real > 0, l, -l)
    size = np.where(size == 0, 1e-300, size)
    log_share = np.log(-np.expm1(-size) / size)
    return (np.where(l.real > 0, l, 0) + log_share - x * l).sum(axis=1)


def cb_gradient(dnll, l, x):
    return dnll[:, None] * (cb_mean(l) - x)


tiny = np.array([1e-7])
direct = 1 / (1 - np.exp(-tiny)) - 1 / tiny
print(
    f"mean at l = 1e-7: directly {direct[0]:.4f}, by the series {cb_mean(tiny)[0]:.4f}"
)
assert abs(direct - 0.5)[0] > 1e-3 and abs(cb_mean(tiny) - 0.5 - 1e-7 / 12)[0] < 1e-15

for l in (-30.0, -2.0, -0.1, 0.0, 0.4, 3.0, 30.0):
    p = of_one_pixel(cb, l)
    assert abs(simpson(p) - 1) < 1e-8
    assert abs(simpson(lambda x, p=p: x * p(x)) - cb_mean(np.array([l]))[0]) < 1e-8

l, x = 4 * rng.normal(size=(4, 7)), rng.random((4, 7))
report = gradcheck(cb, cb_gradient, l, x, names=["logits", "x"])
print(report)
assert report

C = l / np.tanh(l / 2)
p = 1 / (1 + np.exp(-l))
assert np.allclose(cb(l, x), bernoulli(l, x) - np.log(C).sum(axis=1), rtol=1e-12)
assert np.allclose(C, 2 * np.arctanh(1 - 2 * p) / (1 - 2 * p), rtol=1e-9)

nll, m = package.continuous_bernoulli_forward(l, x)
assert np.allclose(cb(l, x), nll, rtol=1e-13) and np.allclose(cb_mean(l), m, rtol=1e-13)
ours = cb_gradient(np.ones(4), l, x)
theirs = package.continuous_bernoulli_backward(np.ones(4), m, x)
assert np.allclose(ours, theirs, atol=1e-14)

# %% [markdown]
# ## Four opinions about one pixel
#
# Give all four the same mean, 0.8, and look at what each believes. The
# Bernoulli expects a coin. The continuous Bernoulli knows all greys, but it
# can only lean: to say 0.8 it piles up at white. Squared error believes in a
# pixel that is mostly blacker than black or whiter than white. A Gaussian
# whose $\sigma$ was learned is the only one that can be sure of a grey.

# %%
logit = np.array([4.8])
for _ in range(50):  # Newton: the slope of the mean is the variance
    slope = (cb_mean(logit + 1e-6) - cb_mean(logit - 1e-6)) / 2e-6
    logit = logit - (cb_mean(logit) - 0.8) / slope
assert abs(cb_mean(logit)[0] - 0.8) < 1e-9


def inside(m, sigma):
    """The probability that a Gaussian pixel lies in [0, 1]."""
    return (erf((1 - m) / sigma / 2**0.5) + erf(m / sigma / 2**0.5)) / 2


outside = 1 - inside(0.8, 1.0)
print(f"outside [0, 1]: {outside:.0%} of sigma = 1, {1 - inside(0.8, 0.1):.0%} of 0.1")
assert round(100 * outside) == 63

figure, panels = sheet(
    "Squared error puts 63 % of a pixel's greys where no grey can be",
    names=(
        "Bernoulli",
        "Continuous Bernoulli",
        "Gaussian, sigma = 1",
        "Gaussian, sigma = 0.1",
    ),
    columns=2,
    height=1.5,
)
greys, wide = np.linspace(0, 1, 400), np.linspace(-1.5, 2.5, 400)
panels[0].bar([0, 1], [0.2, 0.8], width=0.06, color=ESTIMATE)
panels[1].fill_between(greys, of_one_pixel(cb, logit[0])(greys), color=ESTIMATE, lw=0)
for axes, sigma in zip(panels[2:], (1.0, 0.1), strict=True):
    bell = np.exp(-((wide - 0.8) ** 2) / sigma**2 / 2) / sigma / np.sqrt(2 * np.pi)
    good = (wide >= 0) & (wide <= 1)
    axes.fill_between(wide, bell, color=WRONG, lw=0)
    axes.fill_between(wide, bell, where=good, color=ESTIMATE, lw=0)
    axes.set_xlabel("grey")
for axes in panels:
    axes.set_xlim(-1.5, 2.5)
    axes.set_xticks([-1, 0, 1, 2])
    axes.axvline(0.8, color=EXACT, lw=1, ls=":")
    axes.set_ylabel("probability" if axes is panels[0] else "density")
    axes.set_ylim(0)
panels[0].text(0.7, 0.5, "mean 0.8", color=EXACT, size=10, ha="right")
show(
    figure,
    "11_pixel",
    "Four panels with the same mean, 0.8. Bernoulli: two bars at 0 and 1. Continuous "
    "Bernoulli: rising over [0, 1]. Gaussian with sigma 1: a wide bell, most of it "
    "outside of [0, 1]. Gaussian with sigma 0.1: a narrow bell, nearly all inside.",
)

# %% [markdown]
# ## Sigma is a beta in disguise
#
# What does a wrong $\sigma$ cost? Take (11.7) with some fixed $\sigma$, add
# the KL $k$, and pull out $1 / \sigma^2$:
#
# $$R + k = \frac{1}{\sigma^2} \Big[ \underbrace{\tfrac12 \textstyle\sum_j
#   (x_j - m_j)^2 + \sigma^2\, k}_{\text{squared error, } \beta = \sigma^2}
#   \Big] + \tfrac D2 \log 2\pi \sigma^2. \tag{11.13}$$
#
# The last term doesn't move, and the factor in front is a learning rate. So a
# Gaussian of width $\sigma$ under the true ELBO, and squared error under a KL
# weighted by $\beta = \sigma^2$, are the same model, gradient for gradient.
# Read it from right to left as well: whoever adds a KL to half the squared
# error has chosen $\sigma = 1$, for pixels that lie between 0 and 1.

# %%
sigma = 0.12
wide = VAE(12, (6,), 3, likelihood="gaussian", dtype=np.float64, seed=3)
flat = np.append(wide.params.flat, np.log(sigma**2))
narrow = VAE(12, (6,), 3, likelihood="gaussian-learned", dtype=np.float64, params=flat)
x, eps = rng.random((5, 12)), rng.normal(size=(5, 3))
_, of_sigma = narrow.loss_and_gradient(x, eps)
_, of_beta = wide.loss_and_gradient(x, eps, Elbo(beta=sigma**2))
error = (
    abs(sigma**2 * of_sigma.flat[:-1] - of_beta.flat).max() / abs(of_beta.flat).max()
)
print(f"sigma = {sigma} against beta = {sigma**2:.4f}: gradients differ by {error:.0e}")
assert error < 1e-12

# %% [markdown]
# On the digits the learned $\sigma$ came to rest near 0.15, so $\sigma^2$ is
# about $1/45$. Beside it, plain squared error weighs its KL some 45 times too
# much. (With the *mean* squared error it is worse still: $\tfrac1D S =
# \tfrac2D \cdot \tfrac12 S$, so by (10.5) the KL weighs $D / 2 = 392$ times
# more than that.) The same network, the same images and steps, once with the
# $\sigma$ that was learned and once with 1:

# %%
_, squared = fit("gaussian", steps, spread)
print("           sigma   root mean square residual       KL")
ends = []
for name, run in (("learned", sigmas), ("squared", squared)):
    sigma, residual, kl = run[-100:].mean(axis=0)
    print(f"{name:10}{sigma:6.3f}{residual:28.3f}{kl:9.1f} nats")
    ends.append((sigma, residual, kl))
learned, fixed = ends
times = fixed[0] ** 2 / learned[0] ** 2
print(f"squared error weighs the KL {times:.0f} times more than the learned sigma")
assert times > 20 and learned[2] > 2 * fixed[2] and learned[1] < fixed[1]

# %% [markdown]
# With $\sigma = 1$ the code is nearly silenced, and the digits blur. Many a
# remedy has been sold for the blur of VAEs; before you buy one, ask for the
# $\sigma$.

# %% [markdown]
# ## Grey levels can be counted: the discretized logistic
#
# The trouble with densities has one root: a grey pixel is no real number. It is
# one of 256 levels, $x = k/255$. A distribution over these has a ceiling: no
# level is likelier than 1, and no pixel costs less than 0 nats.
#
# To make one, cut a density on the line into bins one level wide. The
# *logistic* distribution is a bell with longer tails than the Gaussian's, and
# the one whose bins are easy: what lies below $t$ is just $\sigma((t - \mu) /
# s)$, with the mean $\mu$ and the scale $s$ that the decoder says. What lies
# below black is counted as black, what lies above white as white (Kingma et
# al. 2016, Salimans et al. 2017):
#
# $$P(x) = \begin{cases}
#   \sigma(b) & x = 0 \\ \sigma(b) - \sigma(a) & 0 < x < 1 \\
#   1 - \sigma(a) & x = 1
#   \end{cases} \qquad a = \frac{x - \mu - \tfrac1{510}}{s}, \quad
#   b = \frac{x - \mu + \tfrac1{510}}{s}. \tag{11.14}$$
#
# The bins meet at their edges, so in the sum over all levels every $\sigma$
# comes once with a plus and once with a minus, and 1 remains. Computed as it
# stands, though, a difference of two sigmoids is 0 as soon as both round to the
# same number, and its logarithm $-\infty$. Written as a product it keeps its
# digits. Let $\delta = b - a = 1 / (255\, s)$:
#
# $$\begin{aligned}
#   \sigma(b) - \sigma(a)
#     &= \frac{\exp b}{1 + \exp b} - \frac{\exp a}{1 + \exp a}
#     = \frac{\exp b - \exp a}{(1 + \exp b)(1 + \exp a)} \\
#     &= \sigma(b)\, \sigma(-a)\, (1 - \exp(-\delta)),
#   \end{aligned} \tag{11.15}$$
#
# and $-\log \sigma(b) = \log(1 + \exp(-b))$ is a softplus, as in (11.2). Let
# $[\dots]$ be 1 where it holds and 0 where not. Then all three cases are
#
# $$\begin{aligned}
#   R = \sum_{j=1}^D \big\{\ & [x_j < 1]\, \log(1 + \exp(-b_j))
#     + [x_j > 0]\, \log(1 + \exp a_j) \\
#   & - [0 < x_j < 1]\, \log(1 - \exp(-\delta_j))\ \big\}.
#   \end{aligned} \tag{11.16}$$
#
# The slope of $\log(1 + \exp t)$ is $\sigma(t)$. If $\mu$ rises by $d\mu$, then
# $a$ and $b$ fall by $d\mu / s$ and $\delta$ stays:
#
# $$\bar\mu_j = \frac{\bar R}{s_j} \left( [x_j < 1]\, \sigma(-b_j)
#   - [x_j > 0]\, \sigma(a_j) \right). \tag{11.17}$$
#
# In the bracket stands what the model expects above the pixel less what it
# expects below. Let $\ell = \log s$. Each of $a$, $b$ and $\delta$ is something
# over $s$, so that $da = -a\, d\ell$, and likewise for the others. The slope of
# $\log(1 - \exp(-\delta))$ is $\exp(-\delta) / (1 - \exp(-\delta))$, hence
#
# $$\bar\ell_j = \bar R \left( [x_j < 1]\, b_j\, \sigma(-b_j)
#   - [x_j > 0]\, a_j\, \sigma(a_j) + [0 < x_j < 1]\,
#   \frac{\delta_j}{\exp \delta_j - 1} \right). \tag{11.18}$$
#
# Last, the mean, for pictures. A whole number $k \ge 0$ is the count of the
# numbers $1, 2, \dots$ that it reaches, so its mean is the sum of the
# probabilities of reaching each:
#
# $$\mathbb E\, x = \frac{1}{255} \sum_{k=1}^{255}
#   P\Big( x \ge \frac{k}{255} \Big) = \frac{1}{255} \sum_{k=1}^{255}
#   \sigma\Big( \frac{\mu - (k - \tfrac12) / 255}{s} \Big). \tag{11.19}$$
#
# Near black and white it is not $\mu$, for $\mu$ may lie beyond them.


# %%
def bins(mean, log_scale, x):
    """a, b and delta (Eq. 11.14)."""
    width, levels = np.exp(-log_scale) / 255, 255 * (x - mean)
    return (levels - 0.5) * width, (levels + 0.5) * width, width


def discretized(mean, log_scale, x):
    """-log P(x) of each image of levels k / 255; (B, D) -> (B,)."""
    a, b, delta = bins(mean, log_scale, x)
    beside = (x < 1) * softplus(-b) + (x > 0) * softplus(a)
    return (beside - (x > 0) * (x < 1) * np.log(-np.expm1(-delta))).sum(axis=1)


def discretized_gradient(dnll, mean, log_scale, x):
    a, b, delta = bins(mean, log_scale, x)
    above, below = (x < 1) / (1 + np.exp(b)), (x > 0) / (1 + np.exp(-a))
    rest = (x > 0) * (x < 1) * delta / np.expm1(delta)
    dmean = dnll[:, None] * 255 * delta * (above - below)  # Eq. 11.17
    return dmean, dnll[:, None] * (b * above - a * below + rest)  # Eq. 11.18


x = np.where(rng.random((4, 7)) < 0.5, rng.integers(0, 2, (4, 7)), 0.4)  # k = 102
mean, log_scale = rng.random((4, 7)), rng.normal(-2, 1, (4, 7))
report = gradcheck(
    lambda mean, log_scale: discretized(mean, log_scale, x),
    lambda dnll, mean, log_scale: discretized_gradient(dnll, mean, log_scale, x),
    mean,
    log_scale,
    names=["mean", "log_scale"],
)
print(report)
assert report
args = mean, log_scale, x
assert np.allclose(discretized(*args), discretized_logistic_forward(*args), rtol=1e-13)
for ours, theirs in zip(
    discretized_gradient(np.ones(4), *args),
    discretized_logistic_backward(np.ones(4), *args),
    strict=True,
):
    assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def of_levels(mean, log_scale):
    """-log P of all 256 levels of one pixel."""
    k = np.arange(256)[:, None]
    return discretized(np.full(k.shape, mean), np.full(k.shape, log_scale), k / 255)


for m, l in ((0.5, -1.0), (0.0, -4.0), (1.3, -3.0), (-40.0, -2.0), (0.2, 5.0)):
    p = np.exp(-of_levels(m, l))
    expected = discretized_logistic_mean(np.array([[m]]), np.array([[l]]))[0, 0]
    print(f"mu {m:5} log s {l:4}: sum of P {p.sum():.12f}, mean {expected:.4f}")
    assert abs(p.sum() - 1) < 1e-12
    assert abs(p @ np.arange(256) / 255 - expected) < 1e-12

a, b, _ = bins(0.2, -5.0, 102 / 255)  # 51 levels off, s = 1.7 of them
difference = 1 / (1 + np.exp(-b)) - 1 / (1 + np.exp(-a))
print(
    f"a level at 0.4, mu at 0.2: -log of the difference {-np.log(difference):.6f},",
    f"{of_levels(0.2, -5.0)[102]:.6f} by (11.16)",
)
assert abs(-np.log(difference) - of_levels(0.2, -5.0)[102]) > 1e-3
a, b = np.array([a, b], np.float32)
assert 1 / (1 + np.exp(-b)) == 1 / (1 + np.exp(-a))  # in single precision: log 0
single = [np.full((1, 1), v, np.float32) for v in (0.2, -5.0, 0.4)]
assert np.isclose(discretized_logistic_forward(*single)[0], 30.2098, rtol=1e-5)

# %% [markdown]
# Its nats are those of a *probability*, and so they are a length. Whoever has
# the same model can be told $x$, given $z$, in about $-\log P / \log 2$ bits.
# To tell $z$ too costs the KL on average, if the choice of $z$ carries other
# data along ("bits back"; taken here without proof). Together that is
#
# $$\text{bits per pixel} = \frac{-\mathrm{ELBO}}{D \log 2}. \tag{11.20}$$
#
# A file that stores a byte for each pixel needs 8. Noise can't be had for less,
# whatever $\mu$ and $s$; digits soon can. And a pixel that never changes costs
# almost 0 nats, but never less.


# %%
def levels_nats(model, x, forward):
    """-log p(x|z) a pixel: of the constant pixels, of all others; bits of all."""
    out = forward.gs[-1].y
    single = x.reshape(-1, 1)
    nll = discretized(out[:, ::2].reshape(-1, 1), out[:, 1::2].reshape(-1, 1), single)
    nll = nll.reshape(x.shape)
    bits = forward.loss.mean() / data.pixels / np.log(2)
    return nll[:, constant].mean(), nll[:, ~constant].mean(), bits


best = min(
    of_levels(m, l).mean() / np.log(2)
    for m in np.linspace(-0.5, 1.5, 21)
    for l in np.linspace(-4, 2, 25)
)
print(f"noise of 256 levels: {best:.3f} bits a pixel at best")
assert best >= 8

_, seen = fit("discretized-logistic", 3 * third, levels_nats, lr=2e-3)
thirds = seen.reshape(3, third, 3).mean(axis=1)
print("nats a pixel       constant ones   all others   bits a pixel")
for k, (still, moving, bits) in enumerate(thirds):
    rows = f"steps {k * third + 1:3} to {(k + 1) * third:3}"
    print(f"{rows}{still:16.4f}{moving:13.2f}{bits:15.2f}")
assert (seen >= 0).all() and thirds[2, 2] < thirds[0, 2] < 8
assert thirds[2, 0] < 0.02 * thirds[0, 0]

# %%
figure, panels = sheet(
    "What lies beyond white is counted as white",
    names=("s = 0.01", "s = 0.05"),
    columns=2,
    height=1.7,
    labels=("grey", "probability"),
)
line = np.linspace(0.4, 1.2, 801)
for axes, scale in zip(panels, (0.01, 0.05), strict=True):
    p = np.exp(-of_levels(0.8, np.log(scale)))
    axes.bar(np.arange(255) / 255, p[:255], width=1 / 255, color=ESTIMATE, lw=0)
    axes.vlines(1, 0, p[255], color=EXACT, lw=3)
    bell = 1 / (4 * scale * np.cosh((line - 0.8) / (2 * scale)) ** 2)
    axes.plot(line, bell / 255, color=FAINT, lw=1.5)
    axes.set_xlim(0.4, 1.2)
    axes.set_ylim(0)
panels[1].text(1.02, 0.75 * p[255], f"white\n{p[255]:.3f}", color=EXACT, size=10)
assert abs(p[255] / p[:255].max() - 1) < 0.1
show(
    figure,
    "11_levels",
    "Two panels of bars over the grey levels around 0.8, the logistic's bell drawn "
    "over them. Scale 0.01: a narrow bell, all within. Scale 0.05: a wide bell that "
    "reaches beyond white, and at white a bar as tall as its peak.",
)

# %% [markdown]
# ## Exercise
#
# In `lessons/exercises/11_likelihoods.py` write the *Laplace* likelihood,
# which is to the absolute error what the Gaussian is to the squared one: its
# $-\log p$ with one learned scale, its gradients, and the best scale in closed
# form. Then ask
#
# ```sh
# numpyvae check 11
# ```
