# %% [markdown]
# # 07 · Variational inference
#
# *The integral can't be done, so we turn it into a hill and climb. The height
# of the hill is a lower bound on what we wanted, and the summit is the
# posterior.*
#
# **You will** derive the evidence lower bound (ELBO) twice, as an inequality
# and as an identity; see $\log p(x) = \mathrm{ELBO} + \mathrm{KL}$ hold to
# rounding at every step of a climb; learn what is lost when $q$ is simpler than
# the posterior, to the nat; and meet the two directions of the KL.
#
# **Reads with** note 000 and its slides 003 ("Variational inference to the
# rescue"), note 004 ("Variational inference"), note 001 (the derivation of the
# ELBO), note 002 (the handwritten objective). **Takes** 3 seconds.

# %%
import numpy as np
from lesson import digits, full_or_fast
from style import ELBO, EXACT, KL, RECON_TRAIN, sheet, show

from numpyvae import gradcheck
from numpyvae.checking.derivative import complex_step
from numpyvae.pairs.kl import full_kl_forward
from numpyvae.pairs.likelihoods import gaussian_forward

rng = np.random.default_rng(7)

# %% [markdown]
# ## The bound, as an inequality
#
# Lesson 06 estimated $p(x)$ by the mean of weights $p(x, z) / q(z)$, with $z$
# drawn from a density $q$ of our choice; write $\mathbb E_q$ for that mean. Now
# take the logarithm first and the mean afterwards. With $u$ a weight and
# $c = \mathbb E\, u$ its mean, the tangent $\log u \le \log c + (u - c) / c$
# has the mean $\mathbb E \log u \le \log c$. It is Jensen's inequality again:
#
# $$\log p(x) = \log \mathbb E_q \frac{p(x, z)}{q(z)} \;\ge\;
#   \mathbb E_q \log \frac{p(x, z)}{q(z)} =: \mathrm{ELBO}. \tag{7.1}$$
#
# The right side needs no integral that we can't do: draw $z$ from $q$, and
# evaluate three densities that we wrote down ourselves, $p(x|z)$, $p(z)$ and
# $q$. It is true for *every* $q$, and $q$ may depend on $x$: write $q(z|x)$.
#
# ## The bound, as an identity
#
# Jensen tells that something is missing, not what. $\log p(x)$ doesn't depend
# on $z$, so it is its own mean under $q$. Write Bayes' rule as
# $p(x) = p(x, z) / p(z|x)$, multiply and divide by $q$, and split the
# logarithm:
#
# $$\begin{aligned}
#   \log p(x) &= \mathbb E_q \log p(x)
#     = \mathbb E_q \log \frac{p(x, z)}{p(z|x)}
#     = \mathbb E_q \log \frac{p(x, z)\; q(z|x)}{q(z|x)\; p(z|x)} \\
#   &= \underbrace{\mathbb E_q \log \frac{p(x, z)}{q(z|x)}}_{\mathrm{ELBO}}
#     + \underbrace{\mathbb E_q \log
#     \frac{q(z|x)}{p(z|x)}}_{\mathrm{KL}(q \| p(z|x))}.
#   \end{aligned} \tag{7.2}$$
#
# What is missing is exactly the KL (Kullback-Leibler divergence) from $q$ to
# the posterior; it is 0 when they are equal. The left side doesn't know $q$. So
# to raise the ELBO *is* to lower this KL, a divergence from a density that we
# can't even evaluate. That is the whole trick.
#
# With $p(x, z) = p(x|z)\, p(z)$, or with $p(x, z)$ left whole, the ELBO has two
# faces:
#
# $$\mathrm{ELBO} = \mathbb E_q \log p(x|z) - \mathrm{KL}(q(z|x) \| p(z))
#   = \mathbb E_q \log p(x, z) - \mathbb E_q \log q(z|x). \tag{7.3}$$
#
# The first is the one that VAEs are trained with: explain the image, and don't
# stray from the prior. Mind that there are two KLs in this lesson, to the prior
# in (7.3) and to the posterior in (7.2). Only the second wants to be 0.
#
# ## Three numbers, each on its own
#
# In probabilistic PCA, $x = zW + b + s\,n$, lesson 06 found $\log p(x)$ (6.3)
# and the posterior $\mathcal N(m, P^{-1})$ (6.4). Take any Gaussian
# $q = \mathcal N(\mu, \Sigma)$. One rule gives all the means. Put in
# $z = \mu + (z - \mu)$; the cross terms have mean 0. A number is its own trace,
# and in a trace the first factor may go last:
#
# $$\mathbb E_q\, z A z^\top = \mu A \mu^\top + \mathbb E_q \operatorname{tr}
#   A\, (z - \mu)^\top (z - \mu) = \mu A \mu^\top + \operatorname{tr} A \Sigma.
#   \tag{7.4}$$
#
# With $c = x - b$, the square $\| c - zW \|^2$ is $\| c - \mu W \|^2$ at the
# mean, and adds $\operatorname{tr} A \Sigma$ with $A = W W^\top$. For the prior
# $A = I$. For the posterior, shift by $m$: $A = P$. For $q$ itself, shift by
# $\mu$: $A = \Sigma^{-1}$, so
# $-\mathbb E_q \log q = \frac12 \log |2\pi\Sigma| + \frac12 Z$, where
# $|\cdot|$ is the determinant. The two terms of (7.3), and the KL of (7.2), are
#
# $$\begin{aligned}
#   \mathbb E_q \log p(x|z) &= -\tfrac12 \left[ D \log 2\pi s^2
#     + \tfrac1{s^2} \left( \| c - \mu W \|^2
#     + \operatorname{tr} W W^\top \Sigma \right) \right], \\
#   \mathrm{KL}(q \| p(z)) &= \tfrac12 \left[ \mu \mu^\top
#     + \operatorname{tr} \Sigma - Z - \log |\Sigma| \right], \\
#   \mathrm{KL}(q \| p(z|x)) &= \tfrac12 \left[ (\mu - m) P (\mu - m)^\top
#     + \operatorname{tr} P \Sigma - Z - \log |P \Sigma| \right].
#   \end{aligned} \tag{7.5}$$


# %%
def log_evidence(x, W, b, s2):
    """log p(x) of each row (6.3)."""
    C, off = W.T @ W + s2 * np.eye(len(b)), x - b
    squares = (off * np.linalg.solve(C, off.T).T).sum(axis=1)
    return -(squares + np.linalg.slogdet(2 * np.pi * C)[1]) / 2


def posterior(x, W, b, s2):
    """The mean of each row and the precision of all (6.4)."""
    precision = np.eye(len(W)) + W @ W.T / s2
    return np.linalg.solve(precision, W @ (x - b).T / s2).T, precision


def elbo(x, mu, Sigma, W, b, s2):
    """The ELBO of each row (7.3), (7.5): q = N(mu, Sigma); mu (B, Z), Sigma (Z, Z)."""
    squares = ((x - b - mu @ W) ** 2).sum(axis=1) + np.trace(W @ W.T @ Sigma)
    recon = -(squares / s2 + len(b) * np.log(2 * np.pi * s2)) / 2
    kl = (mu**2).sum(axis=1) + np.trace(Sigma) - len(W) - np.linalg.slogdet(Sigma)[1]
    return recon - kl / 2


def kl_to_posterior(mu, Sigma, m, precision):
    """KL(q || p(z|x)) of each row (7.5)."""
    off, PS = mu - m, precision @ Sigma
    squares = (off @ precision * off).sum(axis=1)
    return (squares + np.trace(PS) - len(PS) - np.linalg.slogdet(PS)[1]) / 2


Z, D = 3, 7
W, b, s2 = rng.normal(size=(Z, D)), rng.normal(size=D), 0.4
x = 2 * rng.normal(size=(1000, D))
mu, L = 3 * rng.normal(size=(1000, Z)), np.tril(rng.normal(size=(Z, Z)))
L *= np.sign(np.diag(L))  # its diagonal positive; a column's sign is lost in L L'
truth = log_evidence(x, W, b, s2)
bound = elbo(x, mu, L @ L.T, W, b, s2)
gap = kl_to_posterior(mu, L @ L.T, *posterior(x, W, b, s2))
print("        ELBO  +  KL(q||p(z|x))  =       sum     log p(x)   nats")
for i in range(3):
    print(f"{bound[i]:12.4f} {gap[i]:14.4f} {bound[i] + gap[i]:15.9f} {truth[i]:14.9f}")
worst = np.abs((bound + gap - truth) / bound).max()
print(f"worst of 1,000 images: {worst:.0e} of the ELBO")
assert worst < 1e-13  # sums of a few dozen terms, rounded
assert (bound < truth).all()

# %% [markdown]
# The sum fits to the last digit. The package's $-\log p(x|z)$ and KL must give
# the same ELBO. By (7.4) the mean of a quadratic asks only for the mean and
# covariance of $z$. So take $z = \mu + L \varepsilon$ not at random, but at the
# $2Z$ points $\varepsilon = (0, \dots, \pm \sqrt Z, \dots, 0)$: their mean is 0
# and their covariance $I$. No sampling error to excuse us.

# %%
points = np.sqrt(Z) * np.vstack([np.eye(Z), -np.eye(Z)])
recon = [
    gaussian_forward((mu + e @ L.T) @ W + b, np.full_like(x, np.log(s2)), x)
    for e in points
]
kl_prior = full_kl_forward(mu, np.broadcast_to(L, (1000, Z, Z)))
assert np.allclose(-np.mean(recon, axis=0) - kl_prior, bound, rtol=1e-13)

# %% [markdown]
# > **Erratum E4** (note 002). The handwritten objective reads $\max\ \mathbb
# > E_q[\log \operatorname{Bern}(x|z)] - \mathbb E_q\left[\log
# > \frac{p(z)}{q(z|x)}\right]$, with "= KL(q | p)" under the second mean. But
# > $\mathbb E_q \log \frac pq$ is *minus* the KL. So it must be
# > $+\,\mathbb E_q \log \frac pq$ (or $-\,\mathbb E_q \log \frac qp$), as the
# > last line of the same page, reconstruction error plus KL, has it. Whoever
# > maximizes what is printed is paid for straying from the prior, without end:
# > each thousandth of $\sigma$ earns $Z \log 1000 = 20.7$ nats in the end.

# %%
one = x[:1]
at, _ = posterior(one, W, b, s2)  # the best mu there is
printed = []
for sigma in (1.0, 1e-3, 1e-6, 1e-9):
    right = elbo(one, at, sigma**2 * np.eye(Z), W, b, s2)[0]
    kl_prior = full_kl_forward(at, sigma * np.eye(Z)[None])[0]
    printed.append(right + 2 * kl_prior)  # reconstruction *plus* KL
    print(f"sigma {sigma:5.0e}: ELBO {right:9.1f}, as printed {printed[-1]:9.1f} nats")
    assert right < truth[0]
print(f"             log p(x) {truth[0]:5.1f}")
assert printed[-1] > truth[0] + 20  # no bound at all
assert np.isclose(printed[-1] - printed[-2], Z * np.log(1000), rtol=1e-9)
z = at + rng.normal(size=(100_000, Z))  # at sigma = 1: what is E_q log p/q ?
log_ratio = ((z - at) ** 2 - z**2).sum(axis=1) / 2  # log p(z) - log q(z)
kl_prior = full_kl_forward(at, np.eye(Z)[None])[0]
error = log_ratio.std() / np.sqrt(len(log_ratio))
assert abs(log_ratio.mean() + kl_prior) < 4 * error  # it is -KL
assert abs(log_ratio.mean() - kl_prior) > 20 * error

# %% [markdown]
# ## Climb it
#
# Write $\Sigma = L L^\top$ with $L$ lower triangular and its diagonal positive,
# and differentiate (7.5). For $\mu$: the square gives
# $(c - \mu W) W^\top / s^2$, the prior $-\mu$. For $L$: $d \operatorname{tr} A
# L L^\top = 2 \operatorname{tr} L^\top A\, dL$ for symmetric $A$, and
# $\log |\Sigma| = 2 \sum_i \log L_{ii}$. With $\frac{1}{s^2} W W^\top + I = P$
# and $\frac{1}{s^2} c W^\top = m P$ from (6.4),
#
# $$\frac{\partial\, \mathrm{ELBO}}{\partial \mu} = (m - \mu)\, P, \qquad
#   \frac{\partial\, \mathrm{ELBO}}{\partial L_{ij}} = -(P L)_{ij}
#   + \frac{[\,i = j\,]}{L_{ii}} \quad (i \ge j), \tag{7.6}$$
#
# where $[\,i = j\,]$ is 1 if so, else 0. Both vanish at the posterior:
# $\mu = m$, and $L L^\top = P^{-1}$ makes $P L = L^{-\top}$, which is upper
# triangular with $1 / L_{ii}$ on its diagonal. And there is no second summit:
# $-\operatorname{tr} L^\top P L$ and $\log L_{ii}$ are concave, and so is the
# ELBO in $(\mu, L)$.


# %%
def elbo_of(mu, L, x, W, b, s2):
    """`elbo` of one image, of mu and L; no slogdet, whose abs stops complex steps."""
    squares = ((x - b - mu @ W) ** 2).sum() + ((W.T @ L) ** 2).sum()
    recon = -(squares / s2 + len(b) * np.log(2 * np.pi * s2)) / 2
    kl = (mu**2).sum() + (L**2).sum() - len(L) - 2 * np.log(np.diag(L)).sum()
    return recon - kl / 2


def elbo_gradient(d, mu, L, x, W, b, s2):
    """dmu, dL of (7.6), from the upstream gradient d of that one number."""
    dmu = (x - b - mu @ W) @ W.T / s2 - mu
    dL = -(W @ (W.T @ L) / s2 + L) + np.diag(1 / np.diag(L))  # P L = W W' L / s2 + L
    return d * dmu, d * dL


L = np.tril(rng.normal(size=(Z, Z)), -1) + np.diag(np.exp(rng.normal(size=Z)))
assert np.isclose(elbo_of(at, L, one, W, b, s2), elbo(one, at, L @ L.T, W, b, s2)[0])
report = gradcheck(
    elbo_of, elbo_gradient, at, L, one, W, b, s2, names=["mu", "L", "x", "W", "b", "s2"]
)
print(report)
assert report

# %% [markdown]
# Two latents and three pixels now, so that we can look. The two rows of $W$ are
# much alike: either latent can brighten the same pixels. If the first did it,
# the second need not have. So given the image they are *anti*correlated, though
# the prior made them independent. It is called explaining away.

# %%
W, b, s2 = np.array([[1.5, 1.0, 0.1], [1.2, 1.1, 0.5]]), np.zeros(3), 0.5
x = np.array([[1.8, 1.4, 0.5]])
m, precision = posterior(x, W, b, s2)
covariance = np.linalg.inv(precision)
rho = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
truth = log_evidence(x, W, b, s2)[0]


def climb(start, diagonal, steps):
    """Gradient ascent from q = N(start, I); mu, L, and ELBO and KL on the way."""
    mu, L, path = start.copy(), np.eye(2), []
    rate = 0.1 / np.linalg.eigvalsh(precision).max()
    for _ in range(steps):
        gap = kl_to_posterior(mu, L @ L.T, m, precision)[0]
        path.append((elbo(x, mu, L @ L.T, W, b, s2)[0], gap))
        dmu, dL = elbo_gradient(1.0, mu, L, x, W, b, s2)
        dL = dL * np.eye(2) if diagonal else np.tril(dL)  # what may move
        mu, L = mu + rate * dmu, L + rate * dL
    return mu, L, np.array(path)


mu, L, path = climb(np.array([[-1.0, 1.0]]), diagonal=False, steps=3000)
for step in (0, 10, 100, 1000):
    bound, gap = path[step]
    print(f"step {step:4}: ELBO {bound:13.9f} + KL {gap:12.9f} = {bound + gap:.9f}")
print(f"log p(x) {truth:.9f} nats; posterior correlation {rho:.2f}")
assert np.abs(path.sum(axis=1) - truth).max() < 1e-12  # the identity, all the way
assert np.diff(path[:, 0]).min() > -1e-12  # never down
assert np.allclose(mu, m, atol=1e-9) and np.allclose(L @ L.T, covariance, atol=1e-9)
assert abs(path[-1, 0] - truth) < 1e-12  # the bound has become the evidence

# %%
figure, (axes,) = sheet(
    "What the bound gains, the KL loses: their sum does not move",
    labels=("step of gradient ascent", "nats"),
    height=2.8,
)
shown = 120
axes.plot(path[:shown, 0], color=ELBO, lw=2)
axes.fill_between(range(shown), path[:shown, 0], truth, color=KL, alpha=0.15, lw=0)
axes.axhline(truth, color=EXACT, lw=1.5)
axes.text(shown, truth + 0.15, "log p(x)", color=EXACT, size=11, ha="right")
axes.text(42, path[42, 0] - 0.2, "ELBO", color=ELBO, size=11, va="top")
axes.text(2, truth - 0.3, "KL(q || posterior)", color=KL, size=11, va="center")
axes.set_ylim(truth - 5, truth + 0.8)
show(
    figure,
    "07_climb",
    "The ELBO over 120 steps of gradient ascent rises to the level line of log p(x); "
    "the shaded distance between them is the KL from q to the posterior.",
)

# %% [markdown]
# ## What a simpler q costs
#
# A VAE's encoder usually gives a *diagonal* covariance (mean field). It can't
# lean. What does it do with a posterior that leans? In the last line of (7.5),
# with $\Sigma = \operatorname{diag}(\sigma^2)$, the trace is
# $\sum_j P_{jj} \sigma_j^2$ and $\log |\Sigma| = \sum_j \log \sigma_j^2$. Each
# latent on its own minimizes $P_{jj} \sigma_j^2 - \log \sigma_j^2$, whose
# derivative in $\sigma_j^2$ is $P_{jj} - 1 / \sigma_j^2$. The mean is free to
# be right:
#
# $$\mu = m, \qquad \sigma_j^2 = \frac{1}{P_{jj}}. \tag{7.7}$$
#
# It is the diagonal of the *precision* $P$ that counts, not of the covariance
# $V = P^{-1}$. At this $q$ the trace is $Z$, and of the KL there remains
#
# $$\text{gap} = \log p(x) - \mathrm{ELBO}
#   = \tfrac12 \Big( \sum_j \log P_{jj} - \log |P| \Big) \ge 0.
#   \tag{7.8}$$
#
# Two latents with correlation $\rho$ have $|V| = V_{11} V_{22} (1 - \rho^2)$,
# and the inverse of a 2 × 2 matrix is $P_{11} = V_{22} / |V|$. So
#
# $$\sigma_j = \sqrt{1 - \rho^2}\ \sqrt{V_{jj}}, \qquad
#   \text{gap} = \tfrac12 \log P_{11} P_{22} |V|
#   = -\tfrac12 \log (1 - \rho^2). \tag{7.9}$$
#
# Hold all latents but $z_j$ fixed: the posterior's exponent has
# $-\frac12 P_{jj} z_j^2$, so $1 / P_{jj}$ is the variance left when the others
# are *known*. $q$ is too sure of itself: as wide as the posterior's waist.

# %%
mu, L, path = climb(np.array([[-1.0, 1.0]]), diagonal=True, steps=3000)
gap = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
print(f"climbed to sigma {L[0, 0]:.6f}, {L[1, 1]:.6f}", end="; ")
print("true deviations {:.3f}, {:.3f}".format(*np.sqrt(np.diag(covariance))))
print(f"gap {truth - path[-1, 0]:.9f} nats; (7.8) {gap:.9f}")
assert np.allclose(mu, m, atol=1e-9)
assert np.allclose(np.diag(L) ** -2, np.diag(precision), rtol=1e-9)
assert abs(truth - path[-1, 0] - gap) < 1e-12
assert np.isclose(gap, -np.log(1 - rho**2) / 2, rtol=1e-12)
assert np.allclose(np.diag(L) ** 2, np.diag(covariance) * (1 - rho**2), rtol=1e-9)

# %% [markdown]
# ## The two directions of the KL
#
# Why does $q$ shrink rather than swell? Write $p$ for the posterior. (7.2)
# contains $\mathrm{KL}(q \| p)$, called *reverse*, a mean over $q$: wherever
# $q$ puts mass and $p$ has little, $\log \frac qp$ is large. Where $q$ puts
# none, nothing is asked. It *seeks modes*. The *forward* $\mathrm{KL}(p \| q)$
# is a mean over $p$ and fines $q$ for leaving out any of it. It *covers mass*.
# Its best Gaussian can be found by hand. In $\mathbb E_p [\log p - \log q]$
# only the second term depends on $q$; for one latent
#
# $$-\mathbb E_p \log q = \tfrac12 \log 2\pi\sigma^2
#   + \frac{\mathbb E_p (z - \mu)^2}{2 \sigma^2}
#   \quad\Longrightarrow\quad
#   \mu = \mathbb E_p z, \quad \sigma^2 = \mathbb E_p (z - \mu)^2. \tag{7.10}$$
#
# (The mean of a square is least about the mean, and
# $\log \gamma + \lambda / \gamma$ is least at $\gamma = \lambda$, as in lesson
# 06.) The forward KL *matches moments*. For a diagonal Gaussian $\log q$ is a
# sum over latents, so it takes over each variance, $\sigma_j^2 = V_{jj}$. It
# fills corners where the pair above never is. But it needs means under the
# posterior, and those are what we don't have.

# %%
best = np.diag(covariance)
tries = [np.diag(1 / (c * best)) for c in (0.99, 1, 1.01)]  # precisions of three q
forward = [kl_to_posterior(m, covariance, m, Q) for Q in tries]  # KL(p || q)
assert np.argmin(forward) == 1  # least at the variances themselves
angle = np.linspace(0, 2 * np.pi, 200)
circle = np.stack([np.cos(angle), np.sin(angle)])
figure, (axes,) = sheet(
    "A diagonal q can't lean: one KL takes the waist, the other the full width",
    labels=("z1 (curves at two standard deviations)", "z2"),
    height=3.4,
)
leaning = m.T + 2 * np.linalg.cholesky(covariance) @ circle
waist = m.T + 2 * L @ circle
cover = m.T + 2 * np.sqrt(best)[:, None] * circle
axes.fill(*leaning, color=EXACT, alpha=0.1, lw=0)
axes.plot(*leaning, color=EXACT, lw=2)
axes.plot(*waist, color=ELBO, lw=2)
axes.plot(*cover, color=RECON_TRAIN, lw=2)
axes.set_aspect("equal", adjustable="datalim")
x0, y0 = m[0]
axes.text(x0 - 1.32, y0 + 1.1, "posterior", color=EXACT, size=11, ha="right")
axes.text(x0, y0, "min KL(q || p)", color=ELBO, size=11, ha="center", va="center")
axes.text(x0 + 0.82, y0 + 1.17, "min KL(p || q)", color=RECON_TRAIN, size=11)
show(
    figure,
    "07_mean_field",
    "Contours at two standard deviations. The posterior is a narrow ellipse leaning to "
    "the left. The q of the reverse KL is a small circle, as wide as the ellipse where "
    "the axes cut it; that of the forward KL a circle as wide as all of it.",
)

# %% [markdown]
# With two modes the difference is drastic. Fit one Gaussian to a mixture, by
# descent on $\mathrm{KL}(q \| p)$ from two starts, and by (7.10). If the modes
# are far apart and $q$ sits on one, which holds the share $w$ of the mass, then
# wherever $q$ is, $p$ is about $w$ times the density of that mode alone, and
#
# $$\mathrm{KL}(q \| p) \approx \mathrm{KL}(q \| \text{mode}) - \log w
#   \ \ge\ -\log w. \tag{7.11}$$
#
# A Gaussian mode can be matched, so $-\log w$ is reached. For half of the mass
# that is $\log 2$, one bit. A cheap price for ignoring the rest.

# %%
z = np.linspace(-14, 14, 2801)
dz = z[1] - z[0]
weights, centres, widths = (0.65, 0.35), (-2.5, 2.5), (0.6, 0.8)


def log_normal(z, mu, logvar):
    return -(np.log(2 * np.pi) + logvar + (z - mu) ** 2 / np.exp(logvar)) / 2


log_p = np.log(
    sum(
        w * np.exp(log_normal(z, c, 2 * np.log(s)))
        for w, c, s in zip(weights, centres, widths, strict=True)
    )
)
p = np.exp(log_p)


def reverse_kl(q):
    """KL(q || p) of q = (mu, logvar), by quadrature; no abs, so complex steps pass."""
    log_q = log_normal(z, q[0], q[1])
    return (np.exp(log_q) * (log_q - log_p)).sum() * dz


def forward_kl(q):
    """KL(p || q)."""
    return (p * (log_p - log_normal(z, q[0], q[1]))).sum() * dz


fits = {}
for name, start in (("left", -1.0), ("right", 1.0)):
    q = np.array([start, 0.0])
    for _ in range(300):
        q = q - 0.2 * np.array([complex_step(reverse_kl, q, e) for e in np.eye(2)])
    fits[name] = q
mean = (p * z).sum() * dz
fits["cover"] = np.array([mean, np.log((p * (z - mean) ** 2).sum() * dz)])
print("fit       mu  sigma   KL(q||p)  KL(p||q)   nats")
for name, q in fits.items():
    print(f"{name:5} {q[0]:6.2f} {np.exp(q[1] / 2):6.2f}", end="")
    print(f" {reverse_kl(q):10.3f} {forward_kl(q):9.3f}")
for name, w in (("left", 0.65), ("right", 0.35)):
    assert abs(reverse_kl(fits[name]) + np.log(w)) < 0.01  # (7.11)
slopes = [complex_step(forward_kl, fits["cover"], e) for e in np.eye(2)]
assert np.abs(slopes).max() < 1e-12  # moments matched: (7.10) is stationary
assert forward_kl(fits["cover"]) == min(map(forward_kl, fits.values()))
assert reverse_kl(fits["left"]) < reverse_kl(fits["cover"])

# %%
figure, (axes,) = sheet(
    "One Gaussian for two modes: it picks one, or covers the valley between them",
    labels=("z", "density"),
    height=2.8,
)
axes.fill_between(z, p, color=EXACT, alpha=0.1, lw=0)
axes.plot(z, p, color=EXACT, lw=1.5)
for name, colour in (("left", ELBO), ("right", ELBO), ("cover", RECON_TRAIN)):
    axes.plot(z, np.exp(log_normal(z, *fits[name])), color=colour, lw=2)
axes.text(-1.7, 0.55, "min KL(q || p), from the left", color=ELBO, size=11)
axes.text(3.35, 0.36, "from the right", color=ELBO, size=11)
axes.text(-5.6, 0.12, "min KL(p || q)", color=RECON_TRAIN, size=11, ha="center")
axes.text(-2.5, 0.08, "p", color=EXACT, size=12, ha="center")
axes.set_xlim(-7.5, 7.5)
axes.set_ylim(0)
show(
    figure,
    "07_two_modes",
    "A density with a high mode at -2.5 and a lower one at 2.5. Two narrow Gaussians "
    "sit on one mode each; a third, flat and wide, peaks in the valley between them.",
)

# %% [markdown]
# > **Erratum E9** (notes 000 and 003). Both say that $\mathrm{KL}(q \| p)$
# > "measures information lost when using $q$ to represent $p$" (for the
# > posterior: "to approximate"). It is the other way round. Let samples come
# > from $p$, and write them down in a code made for $q$, which spends
# > $-\log q(z)$ nats where $-\log p(z)$ would do. The loss is $\mathbb
# > E_p [\log p - \log q] = \mathrm{KL}(p \| q)$. What we minimize is the loss
# > of using $p$ to represent $q$. It is no quibble: the left fit has a
# > $\mathrm{KL}(q \| p)$ of less than half a nat, and represents $p$ miserably.

# %%
count = 100_000
mode = (rng.random(count) < weights[1]).astype(int)
drawn = np.array(centres)[mode] + np.array(widths)[mode] * rng.normal(size=count)
densities = [
    w * np.exp(log_normal(drawn, c, 2 * np.log(s)))
    for w, c, s in zip(weights, centres, widths, strict=True)
]
lost = np.log(sum(densities)) - log_normal(drawn, *fits["left"])
error = lost.std() / np.sqrt(count)
print(f"nats lost by using the left fit for p: {lost.mean():.3f} ± {error:.3f}")
print(
    f"KL(p||q) {forward_kl(fits['left']):.3f}, KL(q||p) {reverse_kl(fits['left']):.3f}"
)
assert abs(lost.mean() - forward_kl(fits["left"])) < 4 * error
assert abs(lost.mean() - reverse_kl(fits["left"])) > 20 * error

# %% [markdown]
# Why then does everybody minimize $\mathrm{KL}(q \| p)$? Because it can be
# done: its mean is over $q$, which we can sample, and the unknown $p(x)$ drops
# out as a constant. The price is a $q$ that is too narrow and may forget a
# mode.
#
# ## One climb for all images: amortization
#
# So far each image had its own $\mu$ and $\Sigma$, and its own climb. For
# 60,000 images, and again for each new one, that is hopeless. An *encoder*
# learns the map from image to $q$ instead: $\mu = \mu_\phi(x)$,
# $\sigma = \sigma_\phi(x)$, with one $\phi$ for all, found by climbing the mean
# over the data,
#
# $$\max_\phi\ \frac1N \sum_{i=1}^N \mathrm{ELBO}\big(x_i;\ \mu_\phi(x_i),
#   \sigma_\phi(x_i)\big). \tag{7.12}$$
#
# The cost of inference is paid once, in training (it is *amortized*); then a
# code is one pass through a network. What can be lost: $\mu_\phi$ may not be
# able to bend as the posterior's mean does. In pPCA nothing is lost: by (6.4)
# the mean is *linear* in $x$ (plus a constant) and $P$ the same for all. A
# linear encoder $\mu = xU + a$ will do, with one $\sigma$. Its gradient is
# (7.6) for $\mu$, carried to $U$ and $a$ by (2.3) and (2.4), averaged.

# %%
Z, D, N = 2, 6, 200
W, b, s2 = rng.normal(size=(Z, D)), rng.normal(size=D), 0.5
data = rng.normal(size=(N, Z)) @ W + b + np.sqrt(s2) * rng.normal(size=(N, D))
_, precision = posterior(data, W, b, s2)
U, a, sigma = np.zeros((D, Z)), np.zeros(Z), np.ones(Z)
with_one = np.hstack([data, np.ones((N, 1))])
largest = np.linalg.eigvalsh(with_one.T @ with_one / N).max()
rate = 1 / (largest * np.linalg.eigvalsh(precision).max())
for _ in range(12_000):
    mu = data @ U + a
    dmu = (data - b - mu @ W) @ W.T / s2 - mu
    dsigma = -np.diag(precision) * sigma + 1 / sigma  # the diagonal of (7.6)
    U, a = U + rate * data.T @ dmu / N, a + rate * dmu.mean(axis=0)
    sigma = sigma + rate * dsigma

new = rng.normal(size=(1000, Z)) @ W + b + np.sqrt(s2) * rng.normal(size=(1000, D))
gaps = log_evidence(new, W, b, s2) - elbo(new, new @ U + a, np.diag(sigma**2), W, b, s2)
least = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
print(f"1,000 images never seen: gap {gaps.mean():.9f} nats, worst {gaps.max():.9f}")
print(f"the best diagonal q of each, by (7.8):  {least:.9f}")
assert np.abs(gaps - least).max() < 1e-6  # the climb's remainder; amortizing costs 0

# %% [markdown]
# ## The gap chooses the axes
#
# One more use, on digits. By (6.10) the best $W$ of pPCA is known only up to a
# rotation $R$ of the latents: the evidence can't tell $W$ from $RW$. The ELBO
# of a diagonal $q$ can. With $R = I$ the rows of $W$ are orthogonal, $P$ is
# diagonal and the gap (7.8) zero. With an $R$ that mixes the latents it isn't:

# %%
images = digits(full_or_fast(20_000, 2_000), 100)
pixels = images.train_images.reshape(-1, 784) / 255
b, Z = pixels.mean(axis=0), 20
variances, axes = np.linalg.eigh((pixels - b).T @ (pixels - b) / len(pixels))
s2 = variances[:-Z].mean()
W = np.sqrt(variances[-Z:, None] - s2) * axes[:, -Z:].T  # (6.10), R = I
held_out = images.test_images.reshape(-1, 784) / 255


def gap_of(W):
    """log p(x) - ELBO at the best diagonal q (7.7), of held-out digits."""
    m, precision = posterior(held_out, W, b, s2)
    best = np.diag(1 / np.diag(precision))
    return log_evidence(held_out, W, b, s2) - elbo(held_out, m, best, W, b, s2)


rotated = [np.linalg.qr(rng.normal(size=(Z, Z)))[0] @ W for _ in range(5)]
evidence = log_evidence(held_out, W, b, s2)
print(f"rows of W orthogonal: gap {abs(gap_of(W)).max():.0e} nats")
for turned in rotated:
    off = np.abs(log_evidence(held_out, turned, b, s2) / evidence - 1).max()
    print(
        f"rotated: log p(x) the same to {off:.0e}, gap {gap_of(turned).mean():.2f} nats"
    )
    assert off < 1e-9 and np.ptp(gap_of(turned)) < 1e-8  # the same gap for each digit
    assert gap_of(turned).mean() > 1
assert np.abs(gap_of(W)).max() < 1e-8

# %% [markdown]
# Two models of the data that no image can tell apart, and nats of ELBO between
# them. So a VAE with a diagonal $q$ prefers decoders whose latents don't
# interact. It is a reason, seldom told, why its latents tend to line up with
# the directions in which the data vary.
#
# ## Exercise
#
# The lightest latent there is: a coin, $z \in \{0, 1\}$, with
# $q(z = 1|x) = \sigma(a)$, one logit $a$ for each image (lesson 02's sigmoid).
# In `lessons/exercises/07_variational_inference.py` write the ELBO from $a$ and
# the two numbers $\log p(x, z = 0)$, $\log p(x, z = 1)$, and its gradient. Then
# ask
#
# ```sh
# numpyvae check 7
# ```
