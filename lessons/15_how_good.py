# %% [markdown]
# # 15 · How good is it?
#
# *The ELBO is a bound, and a bound can be low because the model is bad or
# because the bound is. A few thousand guesses tell the two apart.*
#
# **You will** turn guesses of $z$ into an estimate of $\log p(x)$; prove that
# it is too low on average, by how much, and that more guesses only help; learn
# when its error bars lie; train on it, and see why that can starve the encoder;
# take the gap of a trained model apart, image by image; and give the codes a
# second layer.
#
# **Reads with** note 003 (Graham) on the ELBO, note 002 on the choice of $q$
# ("simple to flexible, has tradeoffs"), and Burda, Grosse and Salakhutdinov,
# *Importance Weighted Autoencoders* (2015). **Takes** 6 seconds.

# %%
from itertools import combinations

import numpy as np
from lesson import digits, full_or_fast
from style import ELBO, EXACT, FAINT, KL, RECON, sheet, show

from numpyvae import VAE, gradcheck, train
from numpyvae.pairs.objectives import Elbo, iwae_backward, iwae_forward
from numpyvae.training.evaluate import evaluate, likelihood
from numpyvae.training.optimizers import Adam
from numpyvae.training.workers import Workers

rng = np.random.default_rng(15)

# %% [markdown]
# ## A weight for every guess
#
# We want $p(x) = \int p(x|z)\, p(z)\, dz$. Draw $z$ from any density $q$ that
# is positive where $p(x, z)$ is, and put right by a weight what was drawn too
# often or too rarely:
#
# $$w = \frac{p(x|z)\, p(z)}{q(z|x)}, \qquad
#   \mathbb E_q\, w = \int q(z|x)\, \frac{p(x, z)}{q(z|x)}\, dz
#   = \int p(x, z)\, dz = p(x). \tag{15.1}$$
#
# Unbiased, whatever $q$; a good $q$ only makes $w$ vary less. Were $q$ the
# posterior, $w = p(x, z) / p(z|x) = p(x)$ for every $z$: one guess would do.
#
# Of $K$ guesses take the mean weight. Its expectation is $p(x)$ still. But
# people report logarithms, and the logarithm of a mean is not the mean of the
# logarithms: it is concave, and Jensen's inequality says
#
# $$L_K = \mathbb E \log \frac1K \sum_{k=1}^K w_k \;\le\;
#   \log \mathbb E\, \frac1K \sum_{k=1}^K w_k = \log p(x). \tag{15.2}$$
#
# $L_1$ is the ELBO. A computer can't form $w$ itself: $\exp(-100)$ underflows
# in float32. It keeps $\log w_k$ and takes the largest out of the sum:
#
# $$-\log \hat p(x) = -m - \log \frac1K \sum_{k=1}^K \exp(\log w_k - m), \qquad
#   m = \max_k \log w_k. \tag{15.3}$$


# %%
def log_mean_exp(logs):
    """Over the last axis."""
    peak = logs.max(axis=-1, keepdims=True)
    return peak[..., 0] + np.log(np.exp(logs - peak).mean(axis=-1))


logs = rng.normal(size=(3, 5)) - 1000
loss, shares = iwae_forward(-logs, np.zeros_like(logs))
assert np.allclose(-loss, log_mean_exp(logs), rtol=1e-14)
with np.errstate(divide="ignore"):
    assert np.isinf(np.log(np.exp(logs).mean(axis=1))).all()  # the naive way

# %% [markdown]
# ## As a loss
#
# $-\log \hat p$ can be trained on, the encoder included. Let $R_k = -\log
# p(x|z_k)$ and $k_k = \log q(z_k|x) - \log p(z_k)$, which is (9.10), so that
# $\log w_k = -(R_k + k_k)$. The derivative of a logarithm, and $dw_k = w_k\,
# d\log w_k$:
#
# $$d \left( -\log \tfrac1K \sum_k w_k \right)
#   = -\frac{\sum_k w_k\, d \log w_k}{\sum_k w_k}
#   \quad\Longrightarrow\quad
#   \bar R_k = \bar k_k = \bar L_i\, \frac{w_k}{\sum_m w_m}. \tag{15.4}$$
#
# A guess counts by its share of the weights. In the ELBO (10.3) each counts
# $1/K$; here the best guess leads, and the others are hardly heard. This is the
# *importance-weighted auto-encoder*, and all of the rest of backward stays.

# %%
report = gradcheck(
    lambda recon, kl: iwae_forward(recon, kl)[0],
    lambda dloss, recon, kl: iwae_backward(dloss, iwae_forward(recon, kl)[1]),
    rng.normal(size=(3, 5)),
    rng.normal(size=(3, 5)),
    names=["recon", "kl"],
)
print(report)
assert report
assert np.allclose(shares, np.exp(logs + loss[:, None]) / 5)
assert np.allclose(shares.sum(axis=1), 1)

# %% [markdown]
# ## A model whose truth is known
#
# In the linear-Gaussian model, $p(x|z) = \mathcal N(zW, s^2 I)$, $x$ is
# Gaussian with the covariance $W^\top W + s^2 I$, and the posterior has the
# precision $P = I + W W^\top / s^2$ and the mean $x\, W^\top P^{-1} / s^2$
# (lesson 06 derives them). Here is one, a point $x$, and a $q$ that is good but
# not perfect: a diagonal covariance, a bit too wide, a bit beside.

# %%
Z, D, s = 2, 3, 0.7
W = np.array([[1.0, 0.4, -0.3], [-0.2, 0.3, 1.1]])
P = np.eye(Z) + W @ W.T / s**2
x = np.array([1.5, -0.4, 2.0])
at = x @ W.T @ np.linalg.inv(P) / s**2

C = W.T @ W + s**2 * np.eye(D)
log_det = np.linalg.slogdet(C)[1]
truth = -(x @ np.linalg.solve(C, x) + log_det + D * np.log(2 * np.pi)) / 2

mu, sigma = at + np.array([0.2, -0.25]), 1.4 / np.sqrt(np.diag(P))


def log_weights(eps):
    """log p(x, z) - log q(z|x) at z = mu + sigma eps; (..., Z) -> (...)."""
    z = mu + sigma * eps
    recon = ((x - z @ W) ** 2).sum(axis=-1) / s**2 + D * np.log(2 * np.pi * s**2)
    kl = (z**2 - eps**2).sum(axis=-1) - 2 * np.log(sigma).sum()
    return -(recon + kl) / 2


repeats, K_MAX = full_or_fast(4000, 400), 256
logs = log_weights(rng.normal(size=(repeats, K_MAX, Z)))
weights = np.exp(logs - truth).ravel()
error = weights.std() / np.sqrt(weights.size)
print(f"mean weight / p(x): {weights.mean():.5f} ± {error:.5f}")
assert abs(weights.mean() - 1) < 4 * error
wrong = np.exp(logs.ravel() - truth + np.log(sigma).sum())  # sigma forgotten in q
assert abs(wrong.mean() - 1) > 20 * wrong.std() / np.sqrt(wrong.size)

# %% [markdown]
# ## Why it can only rise
#
# Fix the $K$ weights, and let $\mathcal S$ be $m$ of their indices, every set
# of $m$ being as likely as any other. Each index is in $\mathcal S$ with
# probability $m/K$, so the mean over the sets of $\frac1m \sum_{k \in \mathcal
# S} w_k$ is the mean of all. Jensen again, over the sets:
#
# $$\log \frac1K \sum_{k=1}^K w_k
#   = \log \mathbb E_{\mathcal S} \Big[
#   \frac1m \sum_{k \in \mathcal S} w_k \Big]
#   \;\ge\; \mathbb E_{\mathcal S} \log \frac1m \sum_{k \in \mathcal S} w_k.
#   \tag{15.5}$$
#
# This holds for any positive numbers whatsoever. Now let the weights be random
# again: any $m$ of them are as good as any other $m$, so the right side has the
# mean $L_m$, and
#
# $$L_1 \le L_2 \le \dots \le L_K \le \dots \le \log p(x). \tag{15.6}$$

# %%
w = rng.exponential(size=7)
by_size = [np.mean([np.log(w[list(c)].mean()) for c in combinations(range(7), m)])
           for m in range(1, 8)]  # fmt: skip
print("any 7 numbers, mean over sets of m:", *(f"{value:.3f}" for value in by_size))
assert (np.diff(by_size) > 0).all()

# %% [markdown]
# ## How fast it rises
#
# Let $\hat p = \frac1K \sum w_k = p(x)\,(1 + \delta)$. Then $\mathbb E \delta =
# 0$, and $\mathbb E \delta^2 = \chi^2 / K$, where $\chi^2$ is the variance of
# $w / p(x)$. With $\log(1 + \delta) = \delta - \delta^2/2 + \dots$,
#
# $$\log p(x) - L_K \approx \frac{\chi^2}{2K}, \qquad
#   \operatorname{sd}(\log \hat p) \approx \sqrt{\frac{\chi^2}{K}}. \tag{15.7}$$
#
# The gap falls like $1/K$, the noise only like $1/\sqrt K$. Since $w / p(x) =
# p(z|x) / q(z|x)$, it is $\chi^2 = \int p(z|x)^2 / q(z|x)\, dz - 1$. For
# Gaussians of precisions $P$ and $Q$, whose means are $u$ apart, the exponent
# of $p^2/q$, with $p$'s mean as the origin and $A = 2P - Q$, is
# $-\tfrac12 \left[ z^\top A z + 2 z^\top Q u - u^\top Q u \right]$; complete
# the square, and
#
# $$1 + \chi^2 = \frac{\det P}{\sqrt{\det Q\, \det A}}\,
#   \exp \tfrac12 \left( u^\top Q A^{-1} Q\, u + u^\top Q\, u \right),
#   \qquad A = 2P - Q. \tag{15.8}$$


# %%
def chi_square(P, Q, u):
    A = 2 * P - Q
    if np.linalg.eigvalsh(A).min() <= 0:
        return np.inf
    dets = np.linalg.det(P) / np.sqrt(np.linalg.det(Q) * np.linalg.det(A))
    return dets * np.exp((u @ Q @ np.linalg.solve(A, Q @ u) + u @ Q @ u) / 2) - 1


chi2 = chi_square(P, np.diag(sigma**-2), mu - at)
print(f"chi² {chi2:.4f} by (15.8), {weights.var():.4f} by samples")
assert abs(weights.var() - chi2) < 5 * ((weights - 1) ** 2).std() / np.sqrt(
    weights.size
)

Ks = 2 ** np.arange(9)
bounds, deviations = [], []
print("    K    log p - L_K    chi²/2K")
for K in Ks:
    estimates = log_mean_exp(logs.reshape(-1, K))  # nested: always the same guesses
    bounds.append(estimates.mean())
    deviations.append(estimates.std())
    error = estimates.std() / np.sqrt(estimates.size)
    print(f"{K:5d}   {truth - bounds[-1]:.4f} ± {error:.4f}  {chi2 / (2 * K):.4f}")
    if K >= 8:
        assert (
            abs(truth - bounds[-1] - chi2 / (2 * K)) < 4 * error + 3 * (chi2 / K) ** 2
        )
assert (np.diff(bounds) > 0).all()  # exactly, by (15.5)

# %% [markdown]
# The picture to remember: each single estimate jumps about; it is their mean
# that is too low. And here is a trap. $\chi^2$ is finite only if $2P - Q$ is
# positive definite, that is, if $q$ is nowhere much narrower than the
# posterior. Take $Q = \operatorname{diag} P$, which is the *best* diagonal $q$
# by the ELBO, as we'll see. In two dimensions $\det A = P_{11} P_{22} (1 - 4
# \rho^2)$: as soon as the posterior's correlation exceeds $\tfrac12$, the
# weights of that best $q$ have an infinite variance, and no error bar drawn
# from samples means anything.

# %%
for rho in (0.4, 0.6):
    correlated = np.array([[1, rho], [rho, 1]])
    print(f"correlation {rho}: chi² of the best diagonal q =",
          f"{chi_square(correlated, np.eye(2), np.zeros(2)):.3f}")  # fmt: skip
assert np.isinf(chi_square(correlated, np.eye(2), np.zeros(2)))
# finite again with a q that is 1.5 times wider, though its ELBO is worse:
assert chi_square(correlated, np.eye(2) / 1.5**2, np.zeros(2)) < 1

# %%
figure, (panel,) = sheet(
    "More guesses lift the bound to log p(x), and never lower it",
    labels=("K, guesses per estimate", "nats"),
    height=2.7,
)
bounds, deviations = np.array(bounds), np.array(deviations)
panel.fill_between(Ks, bounds - deviations, bounds + deviations, color=ELBO, alpha=0.15)
panel.plot(Ks, bounds, "o-", color=ELBO, lw=2, ms=4)
panel.axhline(truth, color=EXACT, lw=1)
panel.plot(Ks, truth - chi2 / (2 * Ks), color=EXACT, lw=1, ls=":")
panel.set(xscale="log", xlim=(0.9, 300), ylim=(truth - 1.3, truth + 0.55))
panel.set_xscale("log", base=2)
panel.text(1, truth + 0.05, "log p(x)", color=EXACT, size=11)
panel.text(1.08, bounds[0] - 0.12, "ELBO", color=ELBO, size=11)
panel.text(5.5, truth - 0.75, "band: one standard deviation\nof a single estimate",
           color=ELBO, size=10)  # fmt: skip
panel.text(4.4, truth - 0.33, "dotted: log p(x) - chi²/2K", color=EXACT, size=10)
show(
    figure,
    "15_bound",
    "The bound over K on a log scale rises from the ELBO to the horizontal line of "
    "log p(x); a dotted curve of chi squared over 2K meets it from K = 4 on; a band of "
    "single estimates narrows around it.",
)

# %% [markdown]
# ## How many guesses were heard?
#
# If all weights were equal, $K$ guesses would count as $K$; if one has all the
# weight, as 1. In between, the *effective sample size*
#
# $$\mathrm{ESS} = \frac{\left( \sum_k w_k \right)^2}{\sum_k w_k^2}
#   \;\longrightarrow\; \frac{K\, (\mathbb E w)^2}{\mathbb E w^2}
#   = \frac{K}{1 + \chi^2}. \tag{15.9}$$
#
# A mean over images then has two errors: that of each estimate (15.7), and the
# spread of the images themselves, which is by far the larger one. Print the
# second; look at the ESS for the first.

# %%
total = weights.size
ess = weights.sum() ** 2 / (weights**2).sum()
print(
    f"ESS {ess:,.0f} of {total:,}: {ess / total:.4f}; 1/(1+chi²) {1 / (1 + chi2):.4f}"
)
assert np.isclose(ess / total, 1 / (1 + chi2), rtol=0.02)
share = np.exp(logs - logs.max(axis=1, keepdims=True))
share /= share.sum(axis=1, keepdims=True)
assert ((1 / (share**2).sum(axis=1)) <= K_MAX).all()

# %% [markdown]
# ## A tighter bound starves the encoder
#
# Is a larger $K$ always better to train on? Look at one step's gradient as a
# signal, its mean, under noise, its standard deviation (Rainforth et al. 2018,
# "Tighter variational bounds are not necessarily better"). The noise of
# $\nabla \log \hat p = \nabla \hat p / \hat p$ is that of a mean of $K$ terms,
# of order $1/\sqrt K$, for every parameter. The signal is not alike. By (15.7)
#
# $$\nabla_\theta L_K \to \nabla_\theta \log p_\theta(x), \qquad
#   \nabla_\phi L_K \approx \nabla_\phi \Big[ \log p_\theta(x)
#   - \frac{\chi^2}{2K} \Big] = -\frac{1}{2K} \nabla_\phi\, \chi^2,
#   \tag{15.10}$$
#
# for $\log p(x)$ knows no encoder: with infinitely many guesses, any $q$ would
# do, and nobody tells $q$ to be good. Signal over noise:
#
# $$\mathrm{SNR}_\theta \propto \frac{1}{1/\sqrt K} = \sqrt K, \qquad
#   \mathrm{SNR}_\phi \propto \frac{1/K}{1/\sqrt K} = \frac{1}{\sqrt K}.
#   \tag{15.11}$$
#
# By (15.4) both gradients are sums over guesses, weighted by shares. On our
# model, $\partial \log w / \partial \mu = (x - zW)\, W^\top / s^2 - z$ for the
# encoder, and for a bias $b$ of the decoder $(x - zW) / s^2$:

# %%
repeats = full_or_fast(40_000, 6_000)
mu = at + np.array([0.3, -0.35])  # a q that has something to learn
Ks = np.array([1, 4, 16, 64])
snr = {"encoder": [], "decoder": []}
for K in Ks:
    eps = rng.normal(size=(repeats, K, Z))
    z = mu + sigma * eps
    residual = (x - z @ W) / s**2
    logs = log_weights(eps)
    shares = np.exp(logs - log_mean_exp(logs)[:, None]) / K
    for name, gradient in (("encoder", residual @ W.T - z), ("decoder", residual)):
        each = (shares[:, :, None] * gradient).sum(axis=1)[:, 0]
        snr[name].append(abs(each.mean()) / each.std())
noise = 1 / np.sqrt(repeats)  # the standard error of a mean of size 0
print(f"    K   encoder   decoder    each ± {noise:.3f} or more")
for row in zip(Ks, snr["encoder"], snr["decoder"], strict=True):
    print("{:5d}   {:7.3f}   {:7.3f}".format(*row))
assert (np.diff(snr["decoder"]) > 0).all()
assert (np.diff(snr["encoder"]) < 0).all()
assert snr["encoder"][0] - snr["encoder"][3] > 20 * noise

# %% [markdown]
# From $K = 4$ to 64, (15.11) says a quarter and four times, once $K$ is large
# enough for (15.7). A sharper test is the signal itself: $-\frac{1}{2K}$ times
# the slope of (15.8).

# %%
step = np.array([1e-5, 0])
slope = np.subtract(
    *(chi_square(P, np.diag(sigma**-2), mu - at + d) for d in (step, -step))
) / (2e-5)
each = (shares[:, :, None] * (residual @ W.T - z)).sum(axis=1)[:, 0]  # K = 64
error = each.std() / np.sqrt(repeats)
print(f"signal at K = 64: {each.mean():.5f} ± {error:.5f}, (15.10) {-slope / 128:.5f}")
assert abs(each.mean() + slope / 128) < 4 * error + 0.1 * abs(slope) / 128

# %%
figure, (panel,) = sheet(
    "With more guesses the decoder hears better, the encoder worse",
    labels=("K, guesses per step", "signal / noise"),
)
for name, power, colour in (("encoder", -0.5, KL), ("decoder", 0.5, RECON)):
    panel.plot(Ks, snr[name], "o-", color=colour, lw=2, ms=5)
    panel.plot(Ks, snr[name][1] * (Ks / 4) ** power, color=FAINT, lw=1, ls=":")
    panel.text(18, snr[name][2] * (1.35 if power < 0 else 0.55), name, color=colour,
               size=11)  # fmt: skip
panel.text(5, 0.55, "dotted: slopes ½ and -½", color=FAINT, size=10)
panel.set_yscale("log")
panel.set_xscale("log", base=2)
panel.set_xticks(Ks, [str(K) for K in Ks])
panel.minorticks_off()
show(
    figure,
    "15_snr",
    "Signal over noise of the gradient against K, both axes logarithmic: the decoder's "
    "rises along a slope of one half, the encoder's falls along minus one half.",
)

# %% [markdown]
# ## Two reasons for a gap
#
# By lesson 07 the ELBO is below $\log p(x)$ by $\mathrm{KL}(q(z|x) \,\|\,
# p(z|x))$. Let $q^*$ be the best member of the family for this one $x$. Then
#
# $$\log p(x) - \mathrm{ELBO}(q) =
#   \underbrace{\log p(x) - \mathrm{ELBO}(q^*)}_{\text{approximation gap}}
#   + \underbrace{\mathrm{ELBO}(q^*) - \mathrm{ELBO}(q)}_{
#   \text{amortization gap}}.
#   \tag{15.12}$$
#
# The first is the family's fault: no Gaussian with a diagonal covariance fits
# better. The second is the encoder's: it has one set of weights for all images,
# and must guess at once what an optimizer would have found for each.
#
# ### The family's share, exactly
#
# Let the posterior be $\mathcal N(m, P^{-1})$ and the family diagonal, with
# variances $d_j$. Between two Gaussians, the KL has the trace, the
# determinants, and the means' distance:
#
# $$\mathrm{KL} = \tfrac12 \Big[ \sum_j \left( P_{jj}\, d_j - \log d_j \right)
#   - Z - \log\det P + (\mu - m)^\top P\, (\mu - m) \Big]. \tag{15.13}$$
#
# The last term wants $\mu = m$. The derivative in $d_j$ is $P_{jj} - 1/d_j$,
# so $d_j = 1 / P_{jj}$, the sum over $P_{jj} d_j$ is $Z$, and what is left is
#
# $$\text{gap} = \tfrac12 \Big( \sum_j \log P_{jj} - \log\det P \Big) \ge 0.
#   \tag{15.14}$$
#
# A $q$ with $\sigma = \tfrac12$ for every latent and image can't even do that:
# put $d_j = \tfrac14$ into (15.13). A full covariance can do all. Now train
# each family, the decoder held fast. The encoder is linear and so is the
# posterior's mean, so there is no amortization gap to confuse the matter.

# %%
W = np.array([[2.5, 1.2, -0.9, 0.5], [0.9, 0.8, 0.2, -0.6]])  # and s = 1
Z, D = W.shape
P = np.eye(Z) + W @ W.T
C = W.T @ W + np.eye(D)
half = np.sqrt(D) * np.linalg.cholesky(C).T
images = np.concatenate([half, -half])  # of covariance C
squares = (images * np.linalg.solve(C, images.T).T).sum(axis=1)
truths = -(squares + np.linalg.slogdet(C)[1] + D * np.log(2 * np.pi)) / 2

log_det = np.linalg.slogdet(P)[1]
diagonal_gap = (np.log(np.diag(P)).sum() - log_det) / 2
fixed_gap = (np.trace(P) / 4 + Z * np.log(4) - Z - log_det) / 2
exact = {
    "full": 0.0,
    "diagonal": diagonal_gap,
    "shared": diagonal_gap,
    "fixed": fixed_gap,
}

points = np.sqrt(Z) * np.concatenate([np.eye(Z), -np.eye(Z)])  # lesson 13: exact means
eps, objective = np.tile(points, (len(images), 1)), Elbo(samples=len(points))


def fit(posterior, steps=700):
    """The package's VAE with this decoder: its ELBO on each image, after training."""
    model = VAE(
        D, (), Z, "identity", posterior=posterior, likelihood="gaussian",
        seed=3, dtype=float, compiled=False,
    )  # fmt: skip
    model.params["decoder.0.W"][...], model.params["decoder.0.b"][...] = W, 0
    grads = model.params.unwritten()
    work = model.workspace(grads)
    adam = Adam(model.params.flat, model.code)
    for t in range(steps):
        adam.lr = 0.2 * 0.01 ** (t / steps)
        forward = model.forward(images, eps, objective, work)
        model.backward(eps, forward, work, objective)
        grads["decoder.0.W"][...], grads["decoder.0.b"][...] = 0, 0
        adam.advance()
        adam.update(grads.flat[None])  # Adam leaves alone what has no gradient
    return -model.forward(images, eps, objective=objective).loss


print("posterior   gap in nats: trained   exact")
for posterior, gap in exact.items():
    trained = (truths - fit(posterior)).mean()
    print(f"{posterior:10}  {trained:20.6f}  {gap:.6f}")
    assert abs(trained - gap) < 1e-6

# %% [markdown]
# *Shared* costs nothing over *diagonal* here, because a linear-Gaussian
# posterior has the same covariance for every $x$; a decoder with a bend in it
# would change that. And note in which direction the diagonal fails: $1 /
# P_{jj}$ is the variance of $z_j$ when the other latents are *known*, never
# more than its variance when they are not. The best diagonal $q$ is too sure.

# %%
print("variances of the posterior ", np.diag(np.linalg.inv(P)).round(3))
print("of the best diagonal q     ", (1 / np.diag(P)).round(3))
assert (1 / np.diag(P) < np.diag(np.linalg.inv(P))).all()

# %% [markdown]
# ### The encoder's share, on digits
#
# A small VAE, trained for seconds on pixels cut at one half. Then, for some
# test images, forget the encoder: start from its $\mu$ and $\ell$, and let Adam
# improve these two for each image by itself. The gradient is (10.4) with the
# decoder written out.

# %%
data = digits(full_or_fast(10_000, 2_000), full_or_fast(1_000, 200))
Z, N = 10, full_or_fast(24, 12)
model = VAE(784, (full_or_fast(200, 64),), Z, seed=15)
train(model, data, epochs=full_or_fast(8, 4), lr=2e-3, seed=15, binarize="threshold",
      progress=False)  # fmt: skip
x = (data.test_images[:N].reshape(N, -1) > 127).astype(np.float32)
W1, b1, W2, b2 = (model.params[f"decoder.{i}"] for i in ("0.W", "0.b", "1.W", "1.b"))
mu, sigma = model.encode(x)
logvar = 2 * np.log(sigma)


def decode(z):
    """Hidden layer and logits of z (S, N, Z)."""
    g = np.maximum(z @ W1 + b1, 0)
    return g, g @ W2 + b2


def log_weights(mu, logvar, eps):
    z = mu + np.exp(logvar / 2) * eps
    _, l = decode(z)
    recon = (np.maximum(l, 0) + np.log1p(np.exp(-np.abs(l))) - x * l).sum(axis=2)
    return -recon - ((z**2 - eps**2 - logvar).sum(axis=2) / 2)


eps = rng.normal(size=(1, N, Z)).astype(np.float32)
forward = model.forward(x, eps[0], objective=Elbo(kl="sampled"))
assert np.allclose(
    log_weights(mu, logvar, eps)[0], -(forward.recon + forward.kl), rtol=1e-4
)

# %%
fitted = np.stack([mu, logvar])
m, v = np.zeros_like(fitted), np.zeros_like(fitted)
steps, S = full_or_fast(200, 100), 10
for step in range(1, steps + 1):
    eps = rng.normal(size=(S, N, Z)).astype(np.float32)
    scale = np.exp(fitted[1] / 2)
    g, l = decode(fitted[0] + scale * eps)
    dz = ((1 / (1 + np.exp(-l)) - x) @ W2.T * (g > 0)) @ W1.T
    dmu = dz.mean(axis=0) + fitted[0]
    dlogvar = (dz * eps).mean(axis=0) * scale / 2 + np.expm1(fitted[1]) / 2
    gradient = np.stack([dmu, dlogvar])
    m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
    lr = 0.05 * (1 - step / steps)
    fitted -= lr * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)

# %% [markdown]
# Both judged with the same noise, and $\log p(x)$ from the better proposal,
# which is the fitted one:

# %%
K = full_or_fast(1000, 300)


def many(q, K):
    chunks = [rng.normal(size=(50, N, Z)).astype(np.float32) for _ in range(K // 50)]
    return np.concatenate([log_weights(*q, eps) for eps in chunks]).T.astype(float)


rng = np.random.default_rng(1)
by_encoder = many((mu, logvar), K)
rng = np.random.default_rng(1)
by_fit = many(fitted, K)
amortization = (by_fit - by_encoder).mean(axis=1)
log_p = log_mean_exp(by_fit)
approximation = log_p - by_fit.mean(axis=1)
for name, logs in (("encoder", by_encoder), ("fitted", by_fit)):
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    ess = (shares.sum(axis=1) ** 2 / (shares**2).sum(axis=1)).mean()
    print(f"{name:8} ELBO {logs.mean():8.2f}, log p(x) at least "
          f"{log_mean_exp(logs).mean():8.2f}, ESS {ess:4.0f} of {K}")  # fmt: skip
for name, gaps in (("amortization", amortization), ("approximation", approximation)):
    error = gaps.std() / np.sqrt(N)
    print(f"{name:13} gap {gaps.mean():5.2f} ± {error:.2f} nats")
    assert gaps.mean() > 4 * error
assert amortization.mean() > 2 * approximation.mean()
assert log_mean_exp(by_fit).mean() > log_mean_exp(by_encoder).mean()

# %%
figure, (panel,) = sheet(
    "Most of the gap is the encoder's, and on some images very much of it",
    labels=("test image, by its gap", "log p(x) - ELBO, nats"),
)
order = np.argsort(amortization + approximation)
place = np.arange(N)
panel.bar(place, approximation[order], color=ELBO, width=0.75)
panel.bar(place, amortization[order], bottom=approximation[order], color=KL, width=0.75)
panel.set_xticks([])
panel.text(0, 0.62, "the encoder: amortization", color=KL, size=11,
           transform=panel.transAxes)  # fmt: skip
panel.text(0, 0.75, "the family: approximation", color=ELBO, size=11,
           transform=panel.transAxes)  # fmt: skip
show(
    figure,
    "15_gap",
    "Stacked bars, one for each test image, sorted. The family's part is about one nat "
    "in each; the encoder's part is several nats and grows beyond ten in the last.",
)

# %% [markdown]
# So a better $q$ is to be had without a richer family: a larger encoder, or a
# few steps of improvement for each image. But mind what improves. The model
# $p(x)$ is the same before and after; only the bound on it moved.
#
# The package does all this in one call (its proposal is the encoder's $q$):

# %%
with Workers(2) as workers:
    found = evaluate(model, data.test_images[:N], "threshold", 15, workers)
    nll = likelihood(model, data.test_images[:N], "threshold", 15, K, workers)
ours = -log_mean_exp(by_encoder).mean()
print(f"package: -ELBO {-found.elbo:.2f}, -log p(x) {nll.nll:.2f}")
print(f"ours:                   -log p(x) {ours:.2f} nats, other noise")
assert abs(nll.nll - ours) < 5 / np.sqrt(N * 5)  # by (15.7), with an ESS above 5
assert nll.nll < -found.elbo

# %% [markdown]
# ## A second layer
#
# One way to a better number may be a better prior. Let a code $z$ have a cause
# $u$ of its own: $u$ from $\mathcal N(0, I)$, then $z$ from a Gaussian whose
# mean and variances a network makes of $u$,
#
# $$p(z) = \int \mathcal N\big(z;\, m(u), \operatorname{diag} t(u)^2\big)\,
#   \mathcal N(u;\, 0, I)\, du. \tag{15.15}$$
#
# That is (15.1) with $z$ in the place of $x$, and as intractable. So take the
# same way out: an encoder $q(u|z)$, one guess $u = \mu(z) + \sigma(z)\,
# \varepsilon$, and Jensen's bound,
#
# $$-\log p(z) \le \mathbb E_{q(u|z)} \big[ -\log p(z|u) + \log q(u|z)
#   - \log p(u) \big]. \tag{15.16}$$
#
# Put it into the sampled KL (9.10): the two bounds add up to one on
# $-\log p(x)$, and with $K$ guesses of $(z, u)$ the importance weight of (15.1)
# is $p(x|z)\, p(z|u)\, p(u)$ over $q(z|x)\, q(u|z)$. To the rest of the model
# this small VAE (`pairs/deep.py`) is a prior like any other. Its backward is
# its forward mirrored. A code goes two ways, into $\mathcal N(z; m, t^2)$,
# where only $z - m$ counts, and into the encoder; with $\bar k$ the gradient of
# the bound,
#
# $$\bar z = -\bar m + \Big(\frac{\partial (\mu, \sigma)}{\partial z}
#   \Big)^{\!\top} (\bar\mu, \bar\sigma), \qquad
#   \bar u = \Big(\frac{\partial (m, t)}{\partial u}\Big)^{\!\top}
#   (\bar m, \bar t) + \bar k\, u. \tag{15.17}$$
#
# The bars in it are those of the Gaussian, (11.5) and (11.6), and, from $u =
# \mu + \sigma \odot \varepsilon$ and $\log q(u|z)$, those of (9.4) and (9.11):
#
# $$\bar m = -\bar k\, \frac{z - m}{t^2}, \quad
#   \bar t = \bar k \left[ \frac1t - \frac{(z - m)^2}{t^3} \right], \quad
#   \bar\mu = \bar u, \quad
#   \bar\sigma = \bar u \odot \varepsilon - \frac{\bar k}{\sigma}.$$
#
# To see whether it is right, make every map in it linear. Then $z$ is Gaussian,
# and $p(z)$ is known:

# %%
Z, U, t = 3, 2, 0.7
deep = VAE(4, (), Z, prior="deep", top=(U,), dtype=float, compiled=False)
blocks = {name: deep.params[name] for name in deep.prior.shapes()}
A, c = rng.normal(size=(U, Z)), rng.normal(size=Z)
blocks["prior.decoder.0.W"][...] = np.hstack([A, np.zeros((U, Z))])
blocks["prior.decoder.0.b"][...] = np.hstack([c, np.full(Z, 2 * np.log(t))])
P = np.eye(U) + A @ A.T / t**2  # the precision of u, given z
assert abs(P[0, 1]) < np.sqrt(P[0, 0] * P[1, 1]) / 2  # or the weights had no variance
blocks["prior.encoder.0.W"][:, :U] = A.T @ np.linalg.inv(P) / t**2
blocks["prior.encoder.0.b"][:U] = -c @ A.T @ np.linalg.inv(P) / t**2
blocks["prior.encoder.0.W"][:, U:] = 0
blocks["prior.encoder.0.b"][U:] = -np.log(np.diag(P))  # factored: not the posterior

z = deep.prior.sample(200, rng, deep.workspace())
Sigma = A.T @ A + t**2 * np.eye(Z)
squares = ((z - c) @ np.linalg.inv(Sigma) * (z - c)).sum(axis=1)
exact = (squares + np.linalg.slogdet(2 * np.pi * Sigma)[1]) / 2

K = full_or_fast(20_000, 4_000)
guesses = np.empty((K, len(z)))
for k in range(K):
    eps = rng.normal(size=(len(z), U))
    guesses[k], _ = deep.prior.forward(z, eps, deep.workspace())
bound, weighted = guesses.mean(axis=0), -log_mean_exp(-guesses.T)
print(f"-log p(z) {exact.mean():.4f} nats; by (15.16) {bound.mean():.4f}, "
      f"with {K:,} weighted guesses {weighted.mean():.4f}")  # fmt: skip
gap = (np.log(np.diag(P)).sum() - np.linalg.slogdet(P)[1]) / 2  # (15.13), mu = m
error = guesses.mean(axis=1).std() / np.sqrt(K)
assert abs((bound - exact).mean() - gap) < 5 * error
ess = K * np.exp(2 * log_mean_exp(-guesses.T) - log_mean_exp(-2 * guesses.T))
assert (abs(weighted - exact) < 5 / np.sqrt(ess)).all()  # by (15.7)

deep.params.flat[...] = rng.normal(0, 0.3, deep.params.flat.size)  # t, sigma vary too
work, eps = deep.workspace(deep.params.unwritten()), rng.normal(size=(5, U))


def bound_of(z):
    return deep.prior.forward(z, eps, deep.workspace())[0]


def bound_gradient(dk, z):
    _, kept = deep.prior.forward(z, eps, work)
    return deep.prior.backward(dk, z, kept, eps, work)[0]  # (15.17)


report = gradcheck(bound_of, bound_gradient, z[:5], names=["z"])
print(report)
assert report

# %% [markdown]
# The bound is off by the KL between $q(u|z)$, which is factored, and the
# posterior of $u$, whose precision is $P$: (15.13) once more. In a model all of
# these maps are learned together, and a better number is not promised. On
# MNIST, `numpyvae train --preset two-layer` has $-\log p(x) = 105.1 \pm 0.3$
# nats after 50 epochs; one layer of 50 latents, trained as long, has $95.6 \pm
# 0.3$.

# %% [markdown]
# ## What is a good number?
#
# Three questions before any comparison. *Which pixels?* The same model, the
# same images, three ways to make pixels of greys:

# %%
with Workers(2) as workers:
    for how in ("threshold", "dynamic", "none"):
        found = evaluate(model, data.test_images, how, 15, workers)
        print(f"{how:10} -ELBO {-found.elbo:7.2f} nats")
        if how == "threshold":
            trained_on = found.elbo
        assert found.elbo <= trained_on

# %% [markdown]
# No retraining, only other questions asked. So numbers of different
# binarizations never stand in one column. *Which number?* $-$ELBO or an
# estimate of $-\log p(x)$, and with how many guesses: by (15.6) whoever takes
# more looks better. *Which data?* Train or test, all 10,000 or the first
# hundred. With these in mind, what others published for MNIST's test set, in
# nats:
#
# **Pixels drawn anew, $P(1) = \text{grey}$ (dynamic).**
#
# | model | −ELBO | −log p(x) |
# |---|---|---|
# | Kingma & Welling replicated, 500 tanh, 50 epochs, Z = 2 | 146.3 | 142.9 |
# | … Z = 5 | 121.1 | 117.6 |
# | … Z = 10 | 106.5 | 102.6 |
# | … Z = 20, all test images, 5,000 guesses | 103.1 | 97.8 |
# | … Z = 200 | 105.6 | 99.4 |
# | a convolutional VAE, Z = 20, same author | 97.3 | 90.7 |
# | Burda et al. 2015, one stochastic layer, 3,280 epochs, VAE | | 86.76 |
# | … IWAE, 5 guesses | | 85.54 |
# | … IWAE, 50 guesses | | 84.78 |
#
# **Grey pixels as targets: a cross-entropy, no density, so no $p(x)$.**
#
# | model | loss |
# |---|---|
# | PyTorch's example VAE, 784-400-20, 5 epochs | 108.5 |
# | … 10 epochs, two published logs | 105.56, 105.59 |
#
# Read the first column downward: from $Z = 20$ to $200$ the ELBO gets *worse*.
# The first table's gaps between the columns are 3 to 7 nats, and you now know
# what they are made of.
#
# ## Exercise
#
# Between the ELBO and (15.3) lies a whole family of bounds (Li and Turner
# 2016, after Rényi). For $0 \le \alpha < 1$,
#
# $$L^{(\alpha)} = -\frac{1}{1 - \alpha} \log \frac1K \sum_{k=1}^K
#   w_k^{1 - \alpha}.$$
#
# It is the importance-weighted loss at $\alpha = 0$ and nears the ELBO's as
# $\alpha \to 1$. In `lessons/exercises/15_how_good.py` write it, finite for
# $\log w = -1000$, and its gradient for $\log w$. Then ask
#
# ```sh
# numpyvae check 15
# ```
