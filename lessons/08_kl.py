# %% [markdown]
# # 08 · The KL between Gaussians
#
# *Half of the VAE's loss is an integral that nobody has to compute. Here it is
# done once, by hand, and then never again.*
#
# **You will** derive the closed form of $\mathrm{KL}(q \,\|\, p)$ for a
# Gaussian $q$ and the prior $p = \mathcal N(0, I)$, with its gradients; check
# it against quadrature, against Monte Carlo and against the complex step; and
# see what a latent pays for each nat.
#
# **Reads with** note 004 (Louppe, lecture 7, the "Example" of a VAE), note 001
# (Leuphana, "KL term of the ELBO"). **Takes** 1 second.

# %%
import numpy as np
from lesson import full_or_fast
from style import ESTIMATE, EXACT, KL, WRONG, sheet, show

from numpyvae import gradcheck
from numpyvae.pairs.kl import (
    CLOSED,
    full_kl_backward,
    full_kl_forward,
    kl_backward,
    kl_forward,
)
from numpyvae.pairs.posteriors import POSTERIORS
from numpyvae.pairs.priors import StandardNormal

rng = np.random.default_rng(8)

# %% [markdown]
# ## Derive it
#
# The encoder says $q(z|x) = \mathcal N(\mu, \operatorname{diag}(\sigma^2))$,
# the prior is $p(z) = \mathcal N(0, I)$. The KL from one to the other is the
# mean, over $z$ drawn from $q$, of how much more likely $q$ calls that $z$
# than $p$ does, on a log scale: $\mathbb E_q [\log q(z) - \log p(z)]$. Both
# densities are products over the latents, so both logarithms are sums, and so
# is the KL. Take one latent:
#
# $$\begin{aligned}
#   \log q(z) &= -\tfrac12 \log 2\pi - \log \sigma
#     - \frac{(z - \mu)^2}{2 \sigma^2}, \\
#   \log p(z) &= -\tfrac12 \log 2\pi - \frac{z^2}{2}.
#   \end{aligned} \tag{8.1}$$
#
# Two means are all we need: $\mathbb E_q (z - \mu)^2 = \sigma^2$ by the
# definition of a variance, and $\mathbb E_q z^2 = \mu^2 + \sigma^2$, since
# $z = \mu + (z - \mu)$ and the cross term $2 \mu (z - \mu)$ has mean zero. So
#
# $$\begin{aligned}
#   \mathbb E_q \log q &= -\tfrac12 \log 2\pi - \log\sigma - \tfrac12, \\
#   \mathbb E_q \log p &= -\tfrac12 \log 2\pi - \tfrac12 (\mu^2 + \sigma^2).
#   \end{aligned} \tag{8.2}$$
#
# Subtract. The $2\pi$ cancel. With $\ell = \log \sigma^2 = 2 \log \sigma$,
# which the code calls `logvar`, the two halves come together:
#
# $$\mathrm{KL} = \mathbb E_q [\log q - \log p]
#   = \tfrac12 \left( \mu^2 + \sigma^2 - 1 - \log \sigma^2 \right). \tag{8.3}$$
#
# Sum over the $Z$ latents:
#
# $$\boxed{\ \mathrm{KL}(q \,\|\, p) = \tfrac12 \sum_{j=1}^{Z}
#   \left( \mu_j^2 + \exp \ell_j - 1 - \ell_j \right)\ } \tag{8.4}$$
#
# ## Write it


# %%
def kl(mu, logvar):
    """KL(N(mu, diag(exp(logvar))) || N(0, I)) of each row, in nats; (B, Z) -> (B,)."""
    return (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2


# %% [markdown]
# ## Check it: by quadrature and by Monte Carlo
#
# A formula is a claim about an integral, and an integral over one latent can
# be done: add up $q (\log q - \log p)$ on a fine grid. For a smooth function
# that has died away at both ends, this sum is exact to rounding. Here the ends
# are 13 sigma away, where $q$ is below $10^{-37}$.


# %%
def log_normal(z, mu, logvar):
    return -(np.log(2 * np.pi) + logvar + (z - mu) ** 2 / np.exp(logvar)) / 2


mu, logvar = 1.5, -1.0
z, step = np.linspace(mu - 8, mu + 8, 4001, retstep=True)
log_q, log_p = log_normal(z, mu, logvar), log_normal(z, 0.0, 0.0)
by_quadrature = np.sum(np.exp(log_q) * (log_q - log_p)) * step
by_formula = kl(np.array([[mu]]), np.array([[logvar]]))[0]
print(f"quadrature {by_quadrature:.15f}\nformula    {by_formula:.15f}   nats")
assert abs(by_quadrature - by_formula) < 1e-14

# %% [markdown]
# In many dimensions there is no grid, but there are samples. Their mean must
# be within a few of its own standard errors of the formula. In 20 dimensions,
# that is a check of the sum over latents too.

# %%
B, Z, draws = 1, 20, full_or_fast(200_000, 20_000)
mus, logvars = rng.normal(size=(B, Z)), rng.normal(size=(B, Z))
z = mus + np.exp(logvars / 2) * rng.normal(size=(draws, Z))
terms = (log_normal(z, mus, logvars) - log_normal(z, 0.0, 0.0)).sum(axis=1)
error = terms.std() / np.sqrt(draws)
score = (terms.mean() - kl(mus, logvars)[0]) / error
print(f"Monte Carlo {terms.mean():.3f} ± {error:.3f} nats")
print(f"formula     {kl(mus, logvars)[0]:.3f}, {score:+.1f} standard errors away")
assert abs(score) < 4

# %% [markdown]
# > **Erratum E1** (note 004). The slide prints $\mathrm{KL} = +\tfrac12 \sum_j
# > (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)$. The sign in front is lost:
# > it must be $-\tfrac12$. One glance settles it. Since $\exp \ell \ge 1 +
# > \ell$ (the curve lies above its tangent at 0), every term of (8.4) is at
# > least 0, and what is printed is never positive. Whoever trains with it is
# > paid for leaving the prior.

# %%
printed = (1 + logvars - mus**2 - np.exp(logvars)).sum() / 2
print(f"as printed {printed:.3f} nats; a KL is never negative")
assert printed < 0 and np.isclose(-printed, kl(mus, logvars)[0], rtol=1e-13)
assert abs(terms.mean() - printed) / error > 20  # Monte Carlo knows

# %% [markdown]
# > **Erratum E6** (note 001). Three slips on the way to the loss. The KL is
# > called "strictly positive": it is non-negative, and zero in exactly one
# > place, $\mu = 0$ and $\sigma = 1$, the encoder that ignores its image
# > (lesson 13 meets latents that go there and stay). Its sum runs over $j$ and
# > has terms in $d$: one index, as in (8.4). And $\mathbb E_q \log p(x|z)$ is
# > called the reconstruction error. It is the error's *negative*: it rises as
# > the decoder improves.

# %%
assert kl(np.zeros((1, Z)), np.zeros((1, Z)))[0] == 0.0

d = Z - 1  # summed over j, with terms in one and the same d
mixed = -(1 + logvars[0] - mus[0, d] ** 2 - np.exp(logvars[0, d])).sum() / 2
assert abs(terms.mean() - mixed) / error > 20

poor, good = np.log(0.6), np.log(0.9)  # log p(x|z), where the decoder gave x 60, 90 %
assert poor < good < 0

# %% [markdown]
# ## The gradients
#
# Differentiate one term of (8.4): $\mu^2/2$ gives $\mu$, and $(\exp \ell -
# \ell)/2$ gives $(\exp \ell - 1)/2$. With $\overline{\mathrm{KL}}$ arriving
# from above (a bar is the gradient of the loss, lesson 02),
#
# $$\bar\mu_j = \overline{\mathrm{KL}}\ \mu_j, \qquad
#   \bar\ell_j = \overline{\mathrm{KL}}\
#     \tfrac12 \left( \exp \ell_j - 1 \right). \tag{8.5}$$
#
# Read it as forces. The first is a spring that pulls every mean to zero. The
# second pulls every variance to one: gently from below, never by more than a
# half, and from above as hard as it must.


# %%
def kl_gradient(dkl, mu, logvar):
    """dmu, dlogvar (B, Z) from dkl (B,)."""
    return dkl[:, None] * mu, dkl[:, None] * (np.exp(logvar) - 1) / 2


mus, logvars = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
report = gradcheck(kl, kl_gradient, mus, logvars, names=["mu", "logvar"])
print(report)
assert report

# %% [markdown]
# `gradcheck` takes the complex step (lesson 03) and asks rounding itself how
# far off it may be. Leave out the $\tfrac12$, and it names the mistake:


# %%
def kl_gradient_without_half(dkl, mu, logvar):
    return dkl[:, None] * mu, dkl[:, None] * (np.exp(logvar) - 1)


report = gradcheck(kl, kl_gradient_without_half, mus, logvars, names=["mu", "logvar"])
print(report)
assert not report

# %% [markdown]
# ## The same as the package's
#
# The package writes $\exp \ell - 1$ as `expm1(logvar)`. Near the prior, where
# $\ell$ is tiny, the difference of two numbers close to 1 loses its digits,
# and that is just where many latents of a trained VAE live.

# %%
assert np.allclose(kl(mus, logvars), kl_forward(mus, logvars), rtol=1e-14)
for ours, theirs in zip(
    kl_gradient(np.ones(3), mus, logvars),
    kl_backward(np.ones(3), mus, logvars),
    strict=True,
):
    assert np.allclose(ours, theirs, rtol=1e-14)

tiny = np.full((1, 1), 1e-7)
exact = 1e-14 / 4  # exp(l) - 1 - l is l²/2, up to a part in 10⁷
naive, careful = kl(0 * tiny, tiny)[0], kl_forward(0 * tiny, tiny)[0]
print(f"at logvar 1e-7: exact {exact:.3e}, naive {naive:.3e}, expm1 {careful:.3e}")
assert abs(careful / exact - 1) < 1e-7 and abs(naive / exact - 1) > 1e-3

# %% [markdown]
# ## A full covariance
#
# Nothing above needed the latents to be independent but the sum. Let $q =
# \mathcal N(\mu, L L^\top)$, $L$ lower triangular with a positive diagonal. A
# sample is $z = \mu + L \varepsilon$ with $\varepsilon \sim \mathcal N(0, I)$.
# The density of $q$ has two things in it. One is the determinant, and that of
# a triangle is the product of its diagonal: $\det(L L^\top) = \prod_i
# L_{ii}^2$. The other is $(z - \mu)^\top (L L^\top)^{-1} (z - \mu) =
# \varepsilon^\top \varepsilon$, whose mean is $Z$. So
#
# $$\begin{aligned}
#   \mathbb E_q \log q &= -\tfrac Z2 \log 2\pi - \sum_i \log L_{ii}
#     - \tfrac Z2, \\
#   \mathbb E_q \log p &= -\tfrac Z2 \log 2\pi
#     - \tfrac12 \Big( \sum_j \mu_j^2 + \sum_{ij} L_{ij}^2 \Big),
#   \end{aligned}$$
#
# since $z^\top z$ has the mean $\mu^\top \mu + \operatorname{tr} L L^\top =
# \sum_j \mu_j^2 + \sum_{ij} L_{ij}^2$. Subtract:
#
# $$\mathrm{KL}(q \,\|\, p) = \tfrac12 \Big( \sum_j \mu_j^2
#   + \sum_{ij} L_{ij}^2 - Z \Big) - \sum_i \log L_{ii}. \tag{8.6}$$
#
# For a diagonal $L$ with $L_{jj} = \exp(\ell_j / 2)$ it is (8.4) again. Its
# differential is $\sum_j \mu_j\, d\mu_j + \sum_{ij} L_{ij}\, dL_{ij} - \sum_i
# dL_{ii} / L_{ii}$, and what stands before each $d$ is the gradient ($[\,i =
# j\,]$ is 1 on the diagonal, else 0):
#
# $$\bar\mu_j = \overline{\mathrm{KL}}\ \mu_j, \qquad
#   \bar L_{ij} = \overline{\mathrm{KL}}
#     \left( L_{ij} - [\,i = j\,] / L_{ii} \right). \tag{8.7}$$

# %%
mu = rng.normal(size=(2, 4))
L = np.tril(rng.normal(size=(2, 4, 4)), -1) + np.eye(4) * np.exp(rng.normal(size=4))
by_matrices = [
    (m @ m + np.trace(l @ l.T) - 4 - np.linalg.slogdet(l @ l.T)[1]) / 2
    for m, l in zip(mu, L, strict=True)
]
assert np.allclose(full_kl_forward(mu, L), by_matrices, rtol=1e-13)

diagonal = np.exp(logvars / 2)[:, :, None] * np.eye(5)
assert np.allclose(full_kl_forward(mus, diagonal), kl(mus, logvars), rtol=1e-13)

assert gradcheck(full_kl_forward, full_kl_backward, mu, L)

# %% [markdown]
# That makes two formulas, and there can't be one for everything. The package
# keeps those it has in a table, `CLOSED` in `pairs/kl.py`, by the kind of
# posterior and the kind of prior. To $\mathcal N(0, I)$ there is one from every
# Gaussian posterior: from all that have a variance for each latent, wherever it
# comes from, it is (8.4), and from the full covariance (8.6). (From a point,
# the auto-encoder of lesson 04, the table has zero: it costs nothing.) For a
# pair that is not in the table the KL is estimated at the sample itself (lesson
# 09).

# %%
formulas = {
    name: type(CLOSED[posterior.family, StandardNormal]).__name__
    for name, posterior in POSTERIORS.items()
    if (posterior.family, StandardNormal) in CLOSED
}
print(formulas)
assert all(formulas[name] == "DiagonalKL" for name in ("diagonal", "shared", "fixed"))
assert formulas["full"] == "FullKL" and formulas["point"] == "NoKL"

# %% [markdown]
# ## Use it: what a nat buys
#
# Think of (8.4) as a price list. To say *where* it is, a latent moves its
# mean; to say it *precisely*, it shrinks its sigma. Left, a mean that is moved
# twice as far costs four times as much. Right, halving sigma costs about $\log
# 2 \approx 0.69$ nats, one bit, each further time, while a sigma above 1 buys
# nothing at all and is paid for just the same.

# %%
figure, (left, right) = sheet(
    "Moving the mean costs half its square; each halving of sigma costs one bit",
    names=("To say where", "To say precisely"),
    columns=2,
    labels=("", "nats"),
)
means = np.linspace(-3, 3, 121)
sigmas = 2.0 ** np.linspace(-6, 1.3, 121)
left.plot(means, kl(means[:, None], 0 * means[:, None]), color=KL, lw=2)
left.set_xlabel("mu, at sigma = 1")
right.plot(sigmas, kl(0 * sigmas[:, None], np.log(sigmas**2)[:, None]), color=KL, lw=2)
right.plot(sigmas, -np.log(sigmas) - 0.5, color=EXACT, lw=1, ls=":")
minus = "\N{MINUS SIGN}"
right.text(2**-4.6, 3.35, f"{minus}log sigma {minus} ½", color=EXACT, size=10)
right.set_xscale("log", base=2)
right.set_xticks([1 / 64, 1 / 16, 1 / 4, 1], ["1/64", "1/16", "1/4", "1"])
right.set_xlabel("sigma, at mu = 0")
right.set_ylim(0, 4.5)
left.set_ylim(0, 4.5)
show(
    figure,
    "08_price",
    "Two curves of the KL in nats. Left: a parabola over mu from -3 to 3, 4.5 nats at "
    "either end. Right: over sigma on a log scale, falling in a straight line to zero "
    "at sigma 1 and rising steeply above.",
)

bit = kl(np.zeros((2, 1)), np.log(np.array([[2.0**-6], [2.0**-7]]) ** 2))
assert np.isclose(bit[1] - bit[0], np.log(2), atol=1e-3)

# %% [markdown]
# And the trap: because the printed formula of E1 is the KL upside down,
# gradient *descent* on it climbs. One latent, started beside the prior, under
# both signs:

# %%
figure, (axes,) = sheet(
    "With the sign of E1, the latent is driven away from the prior",
    labels=("step of gradient descent", "mu"),
)
for sign, colour, label, y in (
    (+1, ESTIMATE, "with (8.4)", 0.2),
    (-1, WRONG, "as printed (E1)", 2.65),
):
    mu, path = np.array([[0.5]]), []
    for _ in range(40):
        path.append(mu[0, 0])
        dmu, _ = kl_gradient(np.ones(1), mu, np.zeros((1, 1)))
        mu = mu - 0.05 * sign * dmu
    axes.plot(path, color=colour, lw=2)
    axes.text(31, y, label, color=colour, ha="right", va="bottom", size=11)
    assert (abs(path[-1]) < 0.1) == (sign > 0)
show(
    figure,
    "08_sign",
    "Two paths of mu over 40 steps of gradient descent from 0.5. With the right sign "
    "it decays to zero; with the printed one it grows past 3.",
)

# %% [markdown]
# ## Exercise
#
# In `lessons/exercises/08_kl.py` write the KL of a posterior whose prior is
# not $\mathcal N(0, I)$ but $\mathcal N(m, \operatorname{diag}(s^2))$, and its
# gradients. Then ask
#
# ```sh
# numpyvae check 8
# ```
