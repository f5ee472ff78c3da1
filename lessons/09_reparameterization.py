# %% [markdown]
# # 09 · The reparameterization trick
#
# *Backpropagation stops dead at a dice roll. Roll the dice first, then compute,
# and it walks straight through.*
#
# **You will** see why the gradient of an expectation is not the expectation of
# a gradient; move the randomness out of the way, for diagonal and for full
# covariances; derive the density of what comes out; compare the trick with its
# rival, the score function: both are right, one is noisier by a factor that can
# grow with the square of the number of latents; and bend a Gaussian into a
# density that is no Gaussian.
#
# **Reads with** all notes: 000 and 003 ("Reparameterization trick"), 001 ("we
# can use the reparametrization trick"), 002 ("how to calculate gradient?"), 004
# ("Optimization" to "Example"). **Takes** 3 seconds.

# %%
from math import erf

import numpy as np
from lesson import full_or_fast
from style import ELBO, ESTIMATE, EXACT, RECON_TRAIN, WRONG, sheet, show

from numpyvae import gradcheck
from numpyvae.model.params import Parameters
from numpyvae.model.workspace import Fresh, Workspace
from numpyvae.pairs.flow import Flow, iaf_backward, iaf_forward
from numpyvae.pairs.kl import full_kl_backward, full_kl_forward
from numpyvae.pairs.posteriors import (
    Diagonal,
    Full,
    cholesky_backward,
    cholesky_forward,
    correlate_backward,
    correlate_forward,
    reparameterize_backward,
    reparameterize_forward,
    sigma_backward,
    sigma_forward,
)
from numpyvae.pairs.priors import standard_normal_backward, standard_normal_forward
from numpyvae.pairs.reference import reference
from numpyvae.training.optimizers import Adam

rng = np.random.default_rng(9)

# %% [markdown]
# ## The problem
#
# The ELBO is the mean over $q_\phi(z|x)$ of $f = \log p_\theta(x, z) - \log
# q_\phi(z|x)$. For the *decoder's* $\theta$ its gradient is easy, because they
# occur in $f$ only: the gradient of the mean is the mean of the gradients. The
# encoder's $\phi$ occur in $f$ and in the density that we average over, here
# written $q_\phi(z)$, and the product rule gives two terms:
#
# $$\frac{\partial}{\partial \phi} \int q_\phi(z) f_\phi(z)\, dz
#   = \int q_\phi(z)\, \frac{\partial f_\phi(z)}{\partial \phi}\, dz
#   + \int \frac{\partial q_\phi(z)}{\partial \phi}\, f_\phi(z)\, dz.$$
#
# The first can be estimated by samples. The second, as it stands, is no mean
# over $q$. It is why note 004 prints $\neq$. Leave it out and you may lose
# everything: for $q = \mathcal N(\mu, 1)$ and $f(z) = z^2$ the mean is
# $\mu^2 + 1$ with the derivative $2\mu$, while $f$ doesn't contain $\mu$, and
# the first term is 0.
#
# (Note 001 calls sampling from $q$ "impractical". Sampling is cheap. What is
# missing is the derivative of a drawing.)
#
# ## The trick
#
# Draw the noise first, from a density without parameters. Then let the
# parameters make $z$ of it. In place of the variance we let the encoder give
# its logarithm, $\ell$ (`logvar`), so that any real number will do:
#
# $$\sigma = \exp(\ell / 2). \tag{9.1}$$
#
# Its differential is $d\sigma = \tfrac12 \exp(\ell / 2)\, d\ell$. Put it into
# the change of the loss, $\bar\sigma\, d\sigma$; what then stands before
# $d\ell$ is $\bar\ell$ (the rule of lesson 02):
#
# $$d\sigma = \tfrac12 \sigma\, d\ell \quad\Longrightarrow\quad
#   \bar\ell = \tfrac12\, \bar\sigma\, \sigma. \tag{9.2}$$
#
# A standard normal number, stretched by $\sigma$ and moved by $\mu$, is normal
# with that deviation and that mean. With $\odot$, the product entry by entry,
#
# $$z = \mu + \sigma \odot \varepsilon, \qquad
#   \varepsilon \sim \mathcal N(0, I). \tag{9.3}$$
#
# Now $\mathbb E_q f(z) = \mathbb E_\varepsilon f(\mu + \sigma \odot
# \varepsilon)$, and the density of $\varepsilon$ knows no parameter. The second
# term is gone. For each $\varepsilon$, $z$ is a plain function of $\mu$ and
# $\sigma$, and backpropagation goes through it as through any other:
#
# $$dz = d\mu + \varepsilon \odot d\sigma \quad\Longrightarrow\quad
#   \bar\mu = \bar z, \qquad \bar\sigma = \bar z \odot \varepsilon. \tag{9.4}$$


# %%
def sample(mu, logvar, eps):
    """z of (9.1) and (9.3); all (B, Z)."""
    return mu + np.exp(logvar / 2) * eps


def sample_gradient(dz, mu, logvar, eps):
    """dmu, dlogvar of (9.4) and (9.2), with the eps that made z."""
    dsigma = dz * eps
    return dz, dsigma * np.exp(logvar / 2) / 2


mu, logvar, eps = rng.normal(size=(3, 4, 5))
report = gradcheck(
    sample, sample_gradient, mu, logvar, eps, names=["mu", "logvar", "eps"]
)
print(report)
assert report

dz = rng.normal(size=mu.shape)
sigma = sigma_forward(logvar)
z = reparameterize_forward(mu, sigma, eps)
dmu, dsigma = reparameterize_backward(dz, eps)
assert np.allclose(z, sample(mu, logvar, eps), rtol=1e-14)
theirs = dmu, sigma_backward(dsigma, sigma)
for a, b in zip(sample_gradient(dz, mu, logvar, eps), theirs, strict=True):
    assert np.allclose(a, b, rtol=1e-14)

# %% [markdown]
# A gradient check can't see everything. The most famous fault of VAE code is
# $z = \mu + \exp(\ell)\, \varepsilon$, where the KL takes $\ell$ for the log of
# the *variance*. Its backward matches its forward, so no check of slopes
# complains. Ask for the meaning instead: how far does $z$ spread?


# %%
def sample_by_variance(mu, logvar, eps):
    return mu + np.exp(logvar) * eps


def sample_by_variance_gradient(dz, mu, logvar, eps):
    return dz, dz * eps * np.exp(logvar)


passes = gradcheck(sample_by_variance, sample_by_variance_gradient, mu, logvar, eps)
count = 100_000
draws = rng.normal(size=(count, 1))
at, wide = np.zeros((1, 1)), np.ones((1, 1))  # mu = 0, logvar = 1
away = {}  # in standard errors; that of a variance is sqrt(2 / count) of it
for name, function in (("right", sample), ("famous fault", sample_by_variance)):
    variance = function(at, wide, draws).var()
    away[name] = (variance / np.e - 1) / np.sqrt(2 / count)
    print(f"{name:12} variance of z {variance:6.3f}, exp(logvar) {np.e:.3f}", end="")
    print(f": {away[name]:7.1f} standard errors")
assert abs(away["right"]) < 4 and away["famous fault"] > 20
assert passes  # the slopes are consistent; the meaning is not

# %% [markdown]
# ## One eps, there and back
#
# The $\varepsilon$ in (9.4) is that of (9.3), the same numbers. Freeze it and
# the loss is a smooth function of $\mu$, whose slope is what backward returns.
# Draw a new one at each $\mu$, and there is no slope to speak of.


# %%
def loss_at(z):
    """Of a decoder with one latent and one pixel, x = 1."""
    return (1.0 - 1.3 * np.tanh(1.5 * z)) ** 2 / 0.2


means = np.linspace(-1.5, 1.5, 151)
frozen = rng.normal(size=4)
smooth = [loss_at(mean + 0.6 * frozen).mean() for mean in means]
rough = [loss_at(mean + 0.6 * rng.normal(size=4)).mean() for mean in means]
nodes, shares = np.polynomial.hermite_e.hermegauss(60)  # 60 eps for an exact mean
truth = [np.average(loss_at(mean + 0.6 * nodes), weights=shares) for mean in means]
figure, (axes,) = sheet(
    "Freeze eps and the loss has a slope; draw anew and it has none",
    labels=("mu", "loss, the mean of 4 samples (nats)"),
    height=2.8,
)
axes.plot(means, rough, color=WRONG, lw=1)
axes.plot(means, smooth, color=ESTIMATE, lw=2.5)
axes.plot(means, truth, color=EXACT, lw=1.5, ls="--")
top = max(rough)
axes.text(1.5, 0.86 * top, "4 new eps at each mu", color=WRONG, size=11, ha="right")
axes.text(1.5, 0.74 * top, "the same 4 for all", color=ESTIMATE, size=11, ha="right")
axes.text(1.5, 0.62 * top, "exact mean (dashed)", color=EXACT, size=11, ha="right")
axes.set_ylim(0)
show(
    figure,
    "09_frozen",
    "Loss against mu. With new eps at each mu it is a jagged line; with four frozen "
    "eps a smooth curve beside the dashed exact mean.",
)
jumps = np.abs(np.diff(rough, 2)).mean() / np.abs(np.diff(smooth, 2)).mean()
print(f"second differences: {jumps:.0f} times larger without freezing")
assert jumps > 20

# %% [markdown]
# Two repositories in the wild draw a fresh $\varepsilon$ in backward. Backward
# could also use a stale one, from another batch. `gradcheck` gives forward and
# backward the same noise, and calls backward twice. It sees both:

# %%
own = np.random.default_rng(0)


def fresh_gradient(dz, mu, logvar, eps):
    return sample_gradient(dz, mu, logvar, own.normal(size=eps.shape))


stale = rng.normal(size=eps.shape)


def stale_gradient(dz, mu, logvar, eps):
    return sample_gradient(dz, mu, logvar, stale)


for wrong in (fresh_gradient, stale_gradient):
    report = gradcheck(sample, wrong, mu, logvar, eps, names=["mu", "logvar", "eps"])
    print(report, end="\n\n")
    assert not report

# %% [markdown]
# > **Erratum E10** (note 001). The list of usual choices feeds the noise to the
# > decoder as well: $\mu^g, \sigma^g = g(\theta, z, \epsilon)$. It must be
# > $g(\theta, z)$. What the decoder computes is $p_\theta(x|z)$, a function of
# > $z$ alone. The KL charges for what $z$ tells about $x$, and $\varepsilon$
# > would be a way around the toll: who knows $z$ and $\varepsilon$ knows
# > $\mu(x) = z - \sigma \varepsilon$ to the last digit, however noisy $z$ is.
# > Then the "ELBO" is no bound.
#
# To settle it: images of one pixel, $x \sim \mathcal N(0, 1)$. No model at all
# can have a mean $\log p(x)$ above $-\tfrac12 \log 2\pi e = -1.419$ nats, that
# of the true density: the difference is a KL. Let the encoder say
# $\mu = x / 1000$, $\sigma = 1$, next to nothing.

# %%
x, noise = rng.normal(size=(2, 10_000))
code = x / 1000 + noise
paid = (x / 1000) ** 2 / 2  # the KL (8.4) at sigma = 1
s = 0.01


def log_pixel(x, mean, s):
    return -(((x - mean) / s) ** 2 + np.log(2 * np.pi * s**2)) / 2


from_both = (log_pixel(x, 1000 * (code - noise), s) - paid).mean()
from_code = (log_pixel(x, code / 1000, 1.0) - paid).mean()
limit = -np.log(2 * np.pi * np.e) / 2
print(f"decoder sees z:         ELBO {from_code:6.3f}, no model exceeds {limit:.3f}")
print(f"decoder sees z and eps: ELBO {from_both:6.3f}, KL paid {paid.mean():.7f} nats")
assert from_both > limit + 4 and paid.mean() < 1e-6
assert from_code < limit + 4 * np.sqrt(0.5 / 10_000)  # Var of x²/2 is 1/2

# %% [markdown]
# ## Full covariance
#
# A diagonal $q$ can't lean (lesson 07). One that can has a covariance matrix,
# and where $\sigma$ stood the trick wants a square root of it, $\Sigma = L
# L^\top$. Every $\Sigma$ without a direction of zero variance has exactly one
# that is lower triangular with a positive diagonal. To see it, compare entries.
# $\Sigma_{11} = L_{11}^2$ and $\Sigma_{i1} = L_{i1} L_{11}$ leave no choice for
# the first column. What remains is $\Sigma_{ij} - L_{i1} L_{j1} = \Sigma_{ij} -
# \Sigma_{i1} \Sigma_{j1} / \Sigma_{11}$: the covariance of
# $z_i - z_1 \Sigma_{i1} / \Sigma_{11}$, of what $z_1$ doesn't explain. It is a
# covariance of $Z - 1$ variables without a flat direction, and so on.


# %%
def cholesky(Sigma):
    """The lower triangular L with L L' = Sigma, column by column."""
    rest, L = Sigma.copy(), np.zeros_like(Sigma)
    for j in range(len(Sigma)):
        L[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
        rest = rest - np.outer(L[:, j], L[:, j])
    return L


root = rng.normal(size=(4, 4))
Sigma = root @ root.T
assert np.allclose(cholesky(Sigma), np.linalg.cholesky(Sigma), atol=1e-12)

# %% [markdown]
# The encoder should give free numbers $c$, any real ones; as for $\sigma$, the
# positive diagonal comes from an exponential. There are $T = Z (Z + 1) / 2$:
#
# $$L_{ij} = \begin{cases} \exp c_{ii} & i = j \\ c_{ij} & i > j \\ 0 & i < j,
#   \end{cases} \tag{9.5}$$
#
# $$dL_{ii} = L_{ii}\, dc_{ii} \quad\Longrightarrow\quad
#   \bar c_{ii} = \bar L_{ii}\, L_{ii}, \qquad \bar c_{ij} = \bar L_{ij}
#   \quad (i > j). \tag{9.6}$$
#
# What stands above the diagonal is the constant 0, and its bar goes nowhere.
# The sample (of one image, written as a column),
#
# $$z = \mu + L \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I),
#   \tag{9.7}$$
#
# has the covariance $\mathbb E\, L \varepsilon \varepsilon^\top L^\top = L
# L^\top$. From $dz_i = d\mu_i + \sum_j dL_{ij}\, \varepsilon_j$,
#
# $$\bar\mu = \bar z, \qquad \bar L_{ij} = \bar z_i\, \varepsilon_j. \tag{9.8}$$


# %%
Z = 3
below = np.tril_indices(Z, -1)


def factor(c):
    """L (B, Z, Z) of (9.5); the Z logarithms of the diagonal come first in c (B, T)."""
    L = np.zeros((len(c), Z, Z), c.dtype)
    L[:, range(Z), range(Z)] = np.exp(c[:, :Z])
    L[:, below[0], below[1]] = c[:, Z:]
    return L


def lean(mu, c, eps):
    """z of (9.7): mu, eps (B, Z), c (B, T)."""
    return mu + np.einsum("bij,bj->bi", factor(c), eps)


def lean_gradient(dz, mu, c, eps):
    """dmu, dc of (9.8) and (9.6)."""
    L, dL = factor(c), dz[:, :, None] * eps[:, None, :]
    on = dL[:, range(Z), range(Z)] * L[:, range(Z), range(Z)]
    return dz, np.hstack([on, dL[:, below[0], below[1]]])


B, T = 4, Z * (Z + 1) // 2
mu, c, eps = rng.normal(size=(B, Z)), rng.normal(size=(B, T)), rng.normal(size=(B, Z))
report = gradcheck(lean, lean_gradient, mu, c, eps, names=["mu", "c", "eps"])
print(report)
assert report

L = cholesky_forward(c)
assert np.allclose(L, factor(c), rtol=1e-14)
assert np.allclose(correlate_forward(mu, L, eps), lean(mu, c, eps), rtol=1e-13)
dz = rng.normal(size=(B, Z))
dmu, dL = correlate_backward(dz, eps)
assert np.allclose(
    cholesky_backward(dL, L), lean_gradient(dz, mu, c, eps)[1], rtol=1e-13
)

count = 100_000
draws = rng.normal(size=(count, Z)) @ L[0].T
Sigma = L[0] @ L[0].T
diagonal = np.diag(Sigma)
error = np.sqrt((Sigma**2 + np.outer(diagonal, diagonal)) / count)  # of a covariance
worst = np.abs((draws.T @ draws / count - Sigma) / error).max()
print(f"covariance of {count:,} samples: within {worst:.1f} standard errors")
assert worst < 4

# %% [markdown]
# ## The density of what comes out
#
# We drew $z$ without ever writing $q(z|x)$ down. What is it? Take one latent
# and an increasing map $z = g(\varepsilon)$. The probability of landing in a
# short interval doesn't depend on what we call its points:
# $q(z)\, dz = p(\varepsilon)\, d\varepsilon$, so
# $q(z) = p(\varepsilon) / g'(\varepsilon)$. Where the map stretches, the
# density thins out. In $Z$ dimensions a small cube about $\varepsilon$ becomes
# a parallelepiped, whose edges are the columns of the Jacobian
# $\partial z / \partial \varepsilon$ times the cube's. Its volume is $|\det|$
# times the cube's, and by the same argument
#
# $$\log q(z|x) = \log p(\varepsilon)
#   - \log \left| \det \frac{\partial z}{\partial \varepsilon} \right|.$$
#
# It needs that $\varepsilon \mapsto z$ can be inverted, or else several cubes
# would land on one place. For our map the Jacobian is $L$. The determinant of a
# triangular matrix is the product of its diagonal, so the log of the stretch is
# a sum of numbers we have already:
#
# $$\Lambda = \log \left| \det \frac{\partial z}{\partial \varepsilon} \right|
#   = \sum_i \log L_{ii} = \begin{cases}
#   \sum_j \ell_j / 2 & \text{diagonal covariance} \\
#   \sum_i c_{ii} & \text{full covariance,} \end{cases} \tag{9.9}$$
#
# so that $\bar\ell_j = \bar\Lambda / 2$, and $\bar c_{ii} = \bar\Lambda$.
#
# Check the rule on a map that is not linear, $z = \sinh \varepsilon$, by
# quadrature: the density must add up to 1. Then check (9.9) against the density
# of $\mathcal N(\mu, L L^\top)$ by matrices.

# %%
fine = np.linspace(-9, 9, 4001)  # in eps: z reaches 4000
step = np.diff(np.sinh(fine))
log_p = -(fine**2 + np.log(2 * np.pi)) / 2
adds_up = []
for stretch in (np.log(np.cosh(fine)), 0 * fine):
    density = np.exp(log_p - stretch)
    adds_up.append(((density[1:] + density[:-1]) / 2 * step).sum())
print(f"sinh: total probability {adds_up[0]:.6f}; without the stretch {adds_up[1]:.6f}")
assert abs(adds_up[0] - 1) < 1e-5  # trapezia of width dz, coarse in the tails
assert abs(adds_up[1] - np.exp(0.5)) < 1e-4  # it is E cosh(eps), not 1

z = lean(mu, c, eps)
log_eps = -(eps**2 + np.log(2 * np.pi)).sum(axis=1) / 2
by_stretch = log_eps - c[:, :Z].sum(axis=1)
for i in range(B):
    Sigma = L[i] @ L[i].T
    off = z[i] - mu[i]
    squares = off @ np.linalg.solve(Sigma, off)
    by_matrix = -(squares + np.linalg.slogdet(2 * np.pi * Sigma)[1]) / 2
    assert np.isclose(by_stretch[i], by_matrix, rtol=1e-10)  # solve loses a few digits

# %% [markdown]
# ## The KL at one sample
#
# (8.4) and (8.6) are means over all $z$, and there are posteriors without such
# a formula. If $z$ is an invertible map of $\varepsilon$, the KL can be
# estimated all the same, at the sample itself. With $\log q(z|x) = \log
# \mathcal N(\varepsilon; 0, I) - \Lambda$ the $2\pi$ cancel in
#
# $$k = \log q(z|x) - \log p(z)
#   = \tfrac12 \sum_j \left( z_j^2 - \varepsilon_j^2 \right) - \Lambda,
#   \tag{9.10}$$
#
# and $\mathbb E_\varepsilon\, k = \mathrm{KL}(q \,\|\, p)$ by definition. Since
# $\varepsilon$ is no function of the parameters,
#
# $$\bar z_j = \bar k\, z_j, \qquad \bar\Lambda = -\bar k. \tag{9.11}$$
#
# This $\bar z$ is added to the decoder's and goes through (9.4) or (9.8). At
# $\bar k = 1$ the mean of what comes out is the gradient of the formula, (8.7):
# $\mathbb E\, z = \mu$ for $\mu$; for $L$, $\mathbb E\, z_i \varepsilon_j =
# L_{ij}$, and $-\Lambda$ brings the $-1 / L_{ii}$.
#
# The package keeps the two densities apart, constants and all: $\log q(z|x)$ is
# the posterior's to say (`log_prob` in `pairs/posteriors.py`), $-\log p(z)$ the
# prior's (`pairs/priors.py`). So any posterior goes with any prior, and the
# $2\pi$ cancel in the sum. Backward, the prior turns $\bar k$ into $\bar z$,
# and the posterior takes $\bar z$ and $\bar k$, the bar of its $\log q$; both
# are (9.11).


# %%
def sampled_kl(mu, c, eps):
    """k of (9.10), one number for each row."""
    z = lean(mu, c, eps)
    return (z**2 - eps**2).sum(axis=1) / 2 - c[:, :Z].sum(axis=1)


def sampled_kl_gradient(dk, mu, c, eps):
    """dmu, dc through (9.11), (9.8), (9.6), and the logdet's own share."""
    dz = dk[:, None] * lean(mu, c, eps)
    dmu, dc = lean_gradient(dz, mu, c, eps)
    dc[:, :Z] -= dk[:, None]
    return dmu, dc


assert gradcheck(sampled_kl, sampled_kl_gradient, mu, c, eps)
posterior, dk = Full(Z), np.arange(1.0, B + 1)
work = Workspace({}, {}, Fresh(), reference)  # no parameters, no gradients of any
code = posterior.forward(np.hstack([mu, c]), eps, work)
log_q, minus_log_p = posterior.log_prob(code, eps), standard_normal_forward(code.z)
assert np.allclose(log_q, by_stretch, rtol=1e-13)
assert np.allclose(log_q + minus_log_p, sampled_kl(mu, c, eps), rtol=1e-12)
dz = standard_normal_backward(dk, code.z)
theirs = posterior.backward(dz, dk, code, eps, work)
assert np.allclose(theirs, np.hstack(sampled_kl_gradient(dk, mu, c, eps)), rtol=1e-12)

draws = rng.normal(size=(count, Z))
many_mu, many_c = np.repeat(mu[:1], count, axis=0), np.repeat(c[:1], count, axis=0)
values = sampled_kl(many_mu, many_c, draws)
kl = full_kl_forward(mu[:1], L[:1])[0]
error = values.std() / np.sqrt(count)
print(f"mean of k {values.mean():.4f} ± {error:.4f}, by (8.6) {kl:.4f} nats;")
print(f"a single k may well be negative: {np.mean(values < 0):.0%} of them are")
assert abs(values.mean() - kl) < 4 * error and (values < 0).any()

slopes = np.hstack(sampled_kl_gradient(np.ones(count), many_mu, many_c, draws))
dmu, dL = full_kl_backward(np.ones(1), mu[:1], L[:1])
exact = np.hstack([dmu, cholesky_backward(dL, L[:1])])[0]
error = slopes.std(axis=0) / np.sqrt(count)
worst = np.abs((slopes.mean(axis=0) - exact) / error).max()
print(f"its gradient, {len(exact)} entries: within {worst:.1f} standard errors")
assert worst < 4

# %% [markdown]
# ## The rival: the score function
#
# There is another way to the missing term, and it asks nothing of $f$. Let $f$
# be free of $\phi$, so that this term is all there is. Write
# $\partial q = q\, \partial \log q$, and it is a mean over $q$ after all:
#
# $$\frac{\partial}{\partial \phi} \mathbb E_q f(z)
#   = \int \frac{\partial q_\phi(z)}{\partial \phi}\, f(z)\, dz
#   = \mathbb E_q \left[ f(z)\, \frac{\partial \log q_\phi(z)}{\partial \phi}
#   \right]. \tag{9.12}$$
#
# $\partial \log q / \partial \phi$ is called the score. Differentiate (8.1),
# with $z$ held fixed and $\varepsilon = (z - \mu) / \sigma$:
#
# $$\frac{\partial \log q}{\partial \mu} = \frac{z - \mu}{\sigma^2}
#   = \frac{\varepsilon}{\sigma}, \qquad
#   \frac{\partial \log q}{\partial \ell} = -\tfrac12
#   + \frac{(z - \mu)^2}{2 \sigma^2} = \tfrac12 (\varepsilon^2 - 1).
#   \tag{9.13}$$
#
# (9.12) needs values of $f$ only: $f$ may jump, may be a game's points, may be
# code that nobody can differentiate. But it learns by trial and error: samples
# that happened to do well are made more probable. And since $\int q\, dz = 1$,
# for every constant $b$
#
# $$\mathbb E_q \frac{\partial \log q}{\partial \phi} = \int \frac{\partial
#   q}{\partial \phi}\, dz = 0 \quad\Longrightarrow\quad
#   \mathbb E_q \left[ (f - b)\, \frac{\partial \log q}{\partial \phi} \right]
#   \text{ is the same}; \tag{9.14}$$
#
# a good *baseline* $b$ makes it less noisy.
#
# ## They are one integral
#
# How can two so different estimators have the same mean? Take one latent, and
# turn the knob $\phi$ with $\varepsilon$ held: each sample moves with the
# velocity $v = \partial z / \partial \phi$. Probability is neither made nor
# lost on the way. An interval gains $q v$ at its left end and loses $q v$ at
# its right one. For a short interval, divided by its length, that is what every
# fluid obeys, the conservation law
#
# $$\frac{\partial q}{\partial \phi} = -\frac{\partial}{\partial z} \left( q\, v
#   \right). \tag{9.15}$$
#
# For $\mu$, $v = 1$: the density shifts, $\partial q / \partial \mu = -\partial
# q / \partial z$, as (9.13) says too. For $\sigma$,
# $v = \varepsilon = (z - \mu) / \sigma$: $-\partial (q \varepsilon) / \partial
# z = q \varepsilon^2 / \sigma - q / \sigma$, and that is
# $\partial q / \partial \sigma$. Put (9.15) into (9.12) and integrate by parts;
# what stands at the far ends vanishes with $q$:
#
# $$\int \frac{\partial q}{\partial \phi} f\, dz
#   = -\int \frac{\partial (q v)}{\partial z} f\, dz
#   = \int q\, v\, f'\, dz
#   = \mathbb E_\varepsilon \left[ f'(z)\, \frac{\partial z}{\partial \phi}
#   \right]. \tag{9.16}$$
#
# There is (9.4). The left side is what the score function estimates, the right
# side what the trick does: the *pathwise* estimator. The condition can be seen
# as well: integration by parts allows kinks in $f$ (a relu), but no jumps, of
# which $f'$ knows nothing. Let $f = 1$ for $z > 0$ and 0 elsewhere. Shift $q$
# by $d\mu$, and $P(z > 0)$ grows by $q(0)\, d\mu$. The pathwise estimator says
# 0, with perfect certainty.

# %%
count, mu0 = 100_000, 0.5
eps = rng.normal(size=count)
jump = (mu0 + eps > 0).astype(float)
exact = np.exp(-(mu0**2) / 2) / np.sqrt(2 * np.pi)  # q(0)
by_score = (jump - jump.mean()) * eps  # sigma = 1, baseline: the mean of f
error = by_score.std() / np.sqrt(count)
print(
    f"a jump: exact {exact:.4f}, score {by_score.mean():.4f} ± {error:.4f}, pathwise 0"
)
assert abs(by_score.mean() - exact) < 4 * error and exact > 20 * error

slope = jump  # a relu's derivative f' is this very jump, so E f' = P(z > 0)
exact = (1 + erf(mu0 / np.sqrt(2))) / 2  # also the slope of E relu(z) in mu
error = slope.std() / np.sqrt(count)
print(f"a kink: exact {exact:.4f}, pathwise {slope.mean():.4f} ± {error:.4f}")
assert abs(slope.mean() - exact) < 4 * error

# %% [markdown]
# ## Both unbiased, on a model whose gradient is known
#
# A linear decoder, and $f = R = -\log p(x|z)$ with
# $p(x|z) = \mathcal N(zW + b, s^2 I)$. The mean of $-R$ is the first line of
# (7.5), with $\Sigma = \operatorname{diag}(\sigma^2)$, so the exact gradient of
# $\mathbb E_q R$ is
#
# $$\bar\mu = -\tfrac{1}{s^2} (x - b - \mu W)\, W^\top, \qquad
#   \bar\ell_j = \tfrac{1}{2 s^2}\, \sigma_j^2\, (W W^\top)_{jj}. \tag{9.17}$$
#
# Now 100,000 samples of either estimator. Each entry of their mean, minus the
# exact one, in units of its own standard error, should look like a standard
# normal number, seldom above 3. And to show that the test has teeth, a planted
# fault: (9.2) without its $\tfrac12$.

# %%
Z, D, s2 = 12, 30, 0.5
W, b = rng.normal(size=(Z, D)), rng.normal(size=D)
x = rng.normal(size=D)
mu, logvar = rng.normal(size=Z), rng.normal(size=Z) - 1
sigma = np.exp(logvar / 2)
exact = np.concatenate(
    [-(x - b - mu @ W) @ W.T / s2, sigma**2 * (W**2).sum(axis=1) / (2 * s2)]
)

eps = rng.normal(size=(count, Z))
off = x - b - (mu + sigma * eps) @ W
R = ((off**2).sum(axis=1) / s2 + D * np.log(2 * np.pi * s2)) / 2
dz = -off @ W.T / s2
pathwise = np.hstack([dz, dz * eps * sigma / 2])  # (9.4), (9.2)
scores = np.hstack([eps / sigma, (eps**2 - 1) / 2])  # (9.13)
by_score = R[:, None] * scores
with_baseline = (R - R.mean())[:, None] * scores
lost_half = np.hstack([dz, dz * eps * sigma])

print("estimator        worst of 24, in standard errors   mean standard error")
largest = {}
for name, terms in (
    ("pathwise", pathwise),
    ("score function", by_score),
    ("… with baseline", with_baseline),
    ("½ lost in (9.2)", lost_half),
):
    error = terms.std(axis=0) / np.sqrt(count)
    largest[name] = np.abs((terms.mean(axis=0) - exact) / error).max()
    print(f"{name:16} {largest[name]:31.1f} {error.mean():21.3f}")
assert max(list(largest.values())[:3]) < 4  # of 24 normal numbers: 1 in 650
assert largest["½ lost in (9.2)"] > 20

noisier = by_score.var(axis=0).sum() / pathwise.var(axis=0).sum()
calmed = with_baseline.var(axis=0).sum() / pathwise.var(axis=0).sum()
print(
    f"for the same precision the score function needs {noisier:.0f} times the samples,"
)
print(f"with a baseline {calmed:.0f} times")
assert noisier > 50 and 5 < calmed < noisier

# %% [markdown]
# ## How the noise grows
#
# Why so much worse? A case where all can be computed: $q = \mathcal N(0, I)$
# and $f(z) = \tfrac12 \sum_j z_j^2$. The gradient for $\mu_1$ is
# $\mathbb E\, z_1 = 0$. The pathwise estimate is $z_1 = \varepsilon_1$:
# variance 1, whatever the other latents do. The score's is $f \varepsilon_1$,
# and *all* latents are in $f$. Write $2f = \varepsilon_1^2 + S$, where $S$ is
# the sum of the other $Z - 1$ squares. The means of $\varepsilon^2$,
# $\varepsilon^4$, $\varepsilon^6$ are 1, 3, 15. So $S$ has the mean $Z - 1$ and
# the mean square $3 (Z - 1) + (Z - 1)(Z - 2) = (Z - 1)(Z + 1)$, and
#
# $$\mathbb E\, (f \varepsilon_1)^2 = \tfrac14 \left[ 15 + 2 \cdot 3 (Z - 1)
#   + (Z - 1)(Z + 1) \right] = \tfrac14 (Z + 2)(Z + 4).$$
#
# Its mean is 0, so this is its variance. A baseline $b$ takes away
# $2b\, \mathbb E f \varepsilon_1^2 - b^2$, where $\mathbb E f \varepsilon_1^2 =
# \tfrac12 (3 + Z - 1)$. The most, $\tfrac14 (Z + 2)^2$, goes at
# $b = \tfrac12 (Z + 2)$:
#
# $$\operatorname{Var} = \begin{cases} 1 & \text{pathwise} \\
#   \tfrac12 (Z + 2) & \text{score function, best baseline} \\
#   \tfrac14 (Z + 2)(Z + 4) & \text{score function.} \end{cases} \tag{9.18}$$
#
# One number $f$ must tell each latent how it did, and all the others are in it
# too. The slope $f'$ is a letter to each.

# %%
sizes = np.array([1, 2, 5, 10, 20, 50, 100, 200])
measured = []
for n in sizes:
    eps = rng.normal(size=(20_000, n))
    f, first = (eps**2).sum(axis=1) / 2, eps[:, 0]
    measured.append([first.var(), ((f - n / 2 - 1) * first).var(), (f * first).var()])
measured = np.array(measured)
formulas = np.array([0 * sizes + 1, (sizes + 2) / 2, (sizes + 2) * (sizes + 4) / 4]).T
print("latents   pathwise   baseline      score")
for n, row in zip(sizes, measured, strict=True):
    print(f"{n:7} {row[0]:10.2f} {row[1]:10.1f} {row[2]:10.1f}")
assert np.abs(measured / formulas - 1).max() < 0.2  # at Z = 1 a standard error is 7 %

figure, (axes,) = sheet(
    "The score function's noise grows with the latents, the pathwise one's doesn't",
    labels=("latents (lines: formulas, dots: measured)", "variance of one slope"),
    height=3,
)
for i, colour in enumerate((ELBO, RECON_TRAIN, WRONG)):
    axes.plot(sizes, formulas[:, i], color=colour, lw=1.5)
    axes.plot(sizes, measured[:, i], "o", color=colour, ms=6)
axes.text(12, 1.3, "pathwise", color=ELBO, size=11)
axes.text(30, 5.5, "score, best baseline", color=RECON_TRAIN, size=11)
axes.text(17, 230, "score function", color=WRONG, size=11, ha="right")
axes.set_xscale("log")
axes.set_yscale("log")
axes.set_xticks(sizes, [f"{n}" for n in sizes])
axes.set_yticks(10 ** np.arange(5), [f"{10**n:,}" for n in range(5)])
axes.minorticks_off()
show(
    figure,
    "09_variance",
    "Variance against 1 to 200 latents, both axes logarithmic: level at 1 for the "
    "pathwise estimator, rising to 100 for the score function with the best baseline, "
    "and to 10,000 without; measured dots on the lines of the formulas.",
)

# %% [markdown]
# With 200 latents, ten thousand samples of the score function are worth one of
# the pathwise kind here. That is why a VAE gets along with a *single* sample
# for each image and step, and why it had to wait for this trick.
#
# ## A posterior that bends
#
# A Gaussian is one ellipse, however it leans. The trick, and the argument for
# (9.9), ask for less: a map from $\varepsilon$ to $z$ that can be inverted, and
# whose determinant is cheap. Such maps can be chained. The Jacobian of a chain
# is the product of its links' Jacobians, and its determinant the product of
# theirs, so
#
# $$z_0 = \mu + \sigma \odot \varepsilon, \quad z_k = T_k(z_{k-1}), \qquad
#   \log q(z_K|x) = \log \mathcal N(\varepsilon; 0, I)
#   - \sum_j \log \sigma_j - \sum_{k=1}^K \Lambda_k, \tag{9.19}$$
#
# with $\Lambda_k = \log |\det \partial z_k / \partial z_{k-1}|$. In general a
# determinant costs $Z^3$. That of a triangle is read off its diagonal. So let
# entry $j$ of a step see only the entries before it. Of all such steps, called
# *inverse autoregressive* (Kingma et al. 2016), take the simplest, with
# products of matrices inside and a gate $g$ between the old $z$ and the new
# $m$:
#
# $$m = zM + a, \qquad g = s(zG + c + 2), \qquad
#   z' = g \odot z + (1 - g) \odot m, \qquad
#   M_{ij} = G_{ij} = 0 \text{ for } i \ge j. \tag{9.20}$$
#
# The *contexts* $a$ and $c$ are outputs of the encoder and differ from image to
# image; $M$ and $G$ are learned, the same for all, and begin at 0, where the
# posterior is diagonal. $s$ is the sigmoid. The 2 keeps the gates open at the
# start: $s(2) = 0.88$. Without it each step would halve $z$, and four of them
# would leave a sixteenth of what the encoder said.
#
# $m_j$ and $g_j$ don't know $z_j$. So $\partial z_j' / \partial z_j = g_j$,
# while $\partial z_j' / \partial z_i = 0$ for $i > j$, and
#
# $$\Lambda = \sum_j \log g_j. \tag{9.21}$$
#
# All $g_j > 0$: the step can be inverted, one entry after the other, though
# nobody needs to. The first entry is moved by no other, the last by all. The
# next step therefore reads the latents from the last to the first: its $M$ and
# $G$ are *lower* triangles.
#
# Backward. Call the gate's sums $v = zG + c + 2$. With $dg = g (1 - g)\, dv$,
#
# $$dz' = g \odot dz + (1 - g) \odot dm + (z - m) \odot g (1 - g) \odot dv,
#   \qquad d\Lambda = \sum_j (1 - g_j)\, dv_j,$$
#
# and $dm = dz\, M + z\, dM + da$, $dv = dz\, G + z\, dG + dc$. Put both into
# $dL = \sum \bar z'\, dz' + \sum \bar\Lambda\, d\Lambda$; what then stands
# before $dm$ and $dv$ are their bars. $M$ and $G$ are the weights of dense
# layers, (2.3) and (2.5); of $\bar M$ and $\bar G$ only the entries that are
# not 0 by rule are used:
#
# $$\begin{aligned}
#   \bar m &= \bar z' \odot (1 - g), \qquad
#   \bar v = \left[ \bar z' \odot (z - m) \odot g + \bar\Lambda \right]
#     \odot (1 - g), \\
#   \bar z &= \bar z' \odot g + \bar m M^\top + \bar v\, G^\top, \qquad
#   \bar M = z^\top \bar m, \quad \bar G = z^\top \bar v, \quad
#   \bar a = \bar m, \quad \bar c = \bar v.
#   \end{aligned} \tag{9.22}$$


# %%
def bend(z, M, G, a, c):
    """z' (B, Z) of (9.20), and Lambda (B,) of (9.21)."""
    m, g = z @ M + a, 1 / (1 + np.exp(-(z @ G + c + 2)))
    return g * z + (1 - g) * m, np.log(g).sum(axis=1)


def bend_gradient(dboth, z, M, G, a, c):
    """(9.22): M and G as full squares; their zeros are nobody's parameters."""
    dnext, dlogdet = dboth
    m, g = z @ M + a, 1 / (1 + np.exp(-(z @ G + c + 2)))
    dm = dnext * (1 - g)
    dv = (dnext * (z - m) * g + dlogdet[:, None]) * (1 - g)
    return dnext * g + dm @ M.T + dv @ G.T, z.T @ dm, z.T @ dv, dm, dv


B, Z = 4, 3
z, a, c = rng.normal(size=(3, B, Z))
M, G = np.triu(rng.normal(size=(2, Z, Z)), 1)
report = gradcheck(bend, bend_gradient, z, M, G, a, c, names=[*"zMGac"])
print(report)
assert report

after, stretch = bend(z, M, G, a, c)
J = bend(z[:1] + 1e-30j * np.eye(Z), M, G, a[:1], c[:1])[0].imag / 1e-30
assert not np.tril(J, -1).any()  # [i, j]: z_i moves no entry before it
assert np.isclose(np.linalg.slogdet(J)[1], stretch[0], rtol=1e-12)

theirs, logdet, m, g = iaf_forward(z, M, G, a, c)
assert np.allclose(theirs, after, rtol=1e-13)
assert np.allclose(logdet, stretch, rtol=1e-13)
dboth = rng.normal(size=(B, Z)), rng.normal(size=B)
mine = bend_gradient(dboth, z, M, G, a, c)
for x, y in zip(mine, iaf_backward(dboth, z, M, G, m, g), strict=True):
    assert np.allclose(x, y, rtol=1e-12, atol=1e-14)

# %% [markdown]
# What does it buy? Let the true posterior of an image be bent, $z_1 \sim
# \mathcal N(0, 1)$ and $z_2 \sim \mathcal N(\tfrac12 z_1^2, 0.4^2)$, and let
# three families come as near as they can: descend $\mathrm{KL} = \mathbb E [
# \log q(z) - \log p(z) ]$ by its samples, as a VAE does. No image, no decoder;
# the statistics are the parameters. This bend is the same to the left and to
# the right, so a Gaussian that leans is no nearer than one that does not.


# %%
def log_bent(z, variance=0.4**2):
    """log p(z) (B,), and its slope (B, 2)."""
    off = z[:, 1] - z[:, 0] ** 2 / 2
    log_p = -(z[:, 0] ** 2 + off**2 / variance + np.log(4 * np.pi**2 * variance)) / 2
    slope = np.stack([z[:, 0] * (off / variance - 1), -off / variance], axis=1)
    return log_p, slope


assert gradcheck(
    lambda z: log_bent(z)[0], lambda d, z: d[:, None] * log_bent(z)[1], z[:, :2]
)


def nearest(family, steps, batch=100):
    """A family's samples (N, 2) after descent, and log q - log p at each (N,)."""
    shapes = {"s": (1, family.statistics), **family.shapes()}
    params = Parameters.zeros(shapes, float)
    grads = params.unwritten()
    work = Workspace(params, grads, Fresh(), reference)
    adam, noise = Adam(params.flat, reference), np.random.default_rng(0)
    share = np.full(batch, 1 / batch)
    for t in range(steps):
        adam.lr = 0.05 * 0.01 ** (t / steps)
        eps = noise.normal(size=(batch, 2))
        code = family.forward(np.repeat(params["s"], batch, axis=0), eps, work)
        dz = -share[:, None] * log_bent(code.z)[1]
        grads["s"][...] = family.backward(dz, share, code, eps, work).sum(axis=0)
        adam.advance()
        adam.update(grads.flat[None])
    eps = noise.normal(size=(20_000, 2))
    code = family.forward(np.repeat(params["s"], len(eps), axis=0), eps, work)
    return code.z, family.log_prob(code, eps) - log_bent(code.z)[0]


steps = full_or_fast(3000, 1000)
families = {"diagonal": Diagonal(2), "full": Full(2), "flow": Flow(2)}
found, gaps = {}, {}
for name, family in families.items():
    found[name], terms = nearest(family, steps)
    gaps[name] = terms.mean()
    error = terms.std() / np.sqrt(len(terms))
    print(f"{name:9} KL to the bent one {gaps[name]:.3f} ± {error:.3f} nats")
assert abs(gaps["full"] - gaps["diagonal"]) < 0.02  # the bend is symmetric; 3 errors
assert 0 < gaps["flow"] < gaps["diagonal"] / 2

# %%
figure, panels = sheet(
    "A Gaussian covers a part of a bent posterior, a flow most of it",
    names=[f"{name}: {gaps[name]:.2f} nats away" for name in ("diagonal", "flow")],
    columns=2,
    height=2.6,
    labels=("first latent", "second latent"),
)
across, up = np.meshgrid(np.linspace(-3.2, 3.2, 120), np.linspace(-1.6, 5.2, 120))
places = np.stack([across.ravel(), up.ravel()], axis=1)
density = np.exp(log_bent(places)[0]).reshape(across.shape)
for axes, drawn in zip(panels, (found["diagonal"], found["flow"]), strict=True):
    axes.plot(*drawn[:600].T, ".", color=ESTIMATE, ms=2)
    levels = density.max() * np.exp([-4.5, -2, -0.5])  # at 3, 2 and 1 deviations
    axes.contour(across, up, density, levels, colors=EXACT, linewidths=1)
    axes.set(xlim=(-3.2, 3.2), ylim=(-1.6, 5.2), xticks=[-2, 0, 2], yticks=[0, 2, 4])
show(
    figure,
    "09_flow",
    "Two panels with the same bent contours of a density. The samples of the diagonal "
    "Gaussian fill an ellipse in the bend; those of the flow follow it up both arms.",
)

# %% [markdown]
# The package's posterior `flow` chains four such steps. On MNIST, with the
# network and the epochs of the default preset, it gains 1.4 nats of ELBO on the
# diagonal posterior. Here is the chain once more, step by step with `bend`:

# %%
flow = Flow(Z)
s, eps = rng.normal(size=(B, flow.statistics)), rng.normal(size=(B, Z))
params = Parameters.zeros(flow.shapes(), float)
params.flat[...] = rng.normal(size=params.flat.size)
work = Workspace(params, {}, Fresh(), reference)
mu, logvar, *contexts = np.split(s, 10, axis=1)
z = mu + np.exp(logvar / 2) * eps
log_q = -((eps**2).sum(axis=1) + Z * np.log(2 * np.pi) + logvar.sum(axis=1)) / 2
for k in range(4):
    M, G = np.zeros((2, Z, Z))
    for square, letter in ((M, "M"), (G, "G")):
        square[np.triu_indices(Z, 1)] = params[f"posterior.{k}.{letter}"]
    if k % 2:  # from the last latent to the first
        M, G = M.T, G.T
    z, stretch = bend(z, M, G, *contexts[2 * k : 2 * k + 2])
    log_q -= stretch  # Eq. 9.19
code = flow.forward(s, eps, work)
assert np.allclose(code.z, z, rtol=1e-12, atol=1e-13)
assert np.allclose(flow.log_prob(code, eps), log_q, rtol=1e-12)

# %% [markdown]
# One thing a flow can't say: its own mean. The package's `encode` asks it at
# $2Z$ *sigma points*, which have the mean and the covariance of $\varepsilon$:
#
# $$\varepsilon^{(\pm i)} = \pm \sqrt Z\, e_i, \qquad
#   \frac1{2Z} \sum \varepsilon = 0, \qquad
#   \frac1{2Z} \sum \varepsilon^\top \varepsilon
#   = \frac{2Z}{2Z}\, I = I. \tag{9.23}$$
#
# So of every map that is affine, $z = \mu + \varepsilon A$, their images have
# the exact mean and the exact variances. Of one that bends, they have not.

# %%
params.flat[...] = 0  # the flow is affine again, entry by entry
mean, deviation = flow.moments(s, work)
centre = flow.forward(s, np.zeros((B, Z)), work).z
aside = flow.forward(s, np.ones((B, Z)), work).z
assert np.allclose(mean, centre, rtol=1e-12, atol=1e-13)
assert np.allclose(deviation, abs(aside - centre), rtol=1e-11)

Z, A = 4, rng.normal(size=(4, 4))
points = np.sqrt(Z) * np.concatenate([np.eye(Z), -np.eye(Z)])
assert np.allclose(points.T @ points / len(points), np.eye(Z))
assert np.allclose((points @ A).mean(axis=0), 0, atol=1e-14)
assert np.allclose((points @ A).std(axis=0), np.sqrt((A**2).sum(axis=0)))

# %% [markdown]
# ## Exercise
#
# Not every posterior is Gaussian. If a distribution function $F$ can be
# inverted, $z = F^{-1}(u)$ with $u$ uniform on $(0, 1)$ is distributed by it.
# The Gumbel distribution, of the largest of many random numbers, has
# $F(z) = \exp(-\exp(-(z - \mu) / \beta))$. In
# `lessons/exercises/09_reparameterization.py` write its noise, its sample, its
# KL at one sample to the prior $\mathcal N(0, I)$, and the gradients. Then ask
#
# ```sh
# numpyvae check 9
# ```
