# %% [markdown]
# # 06 · Latent variable models
#
# *A model that invents a cause for every image must answer one question, how
# probable is this image, by asking every cause there is. Almost all of them
# have nothing to say.*
#
# **You will** write down the evidence $p(x)$ and see why it can't be computed;
# derive it, the posterior and the best parameters for the one model where it
# can (probabilistic PCA); watch plain Monte Carlo fail and importance sampling
# not fail, for reasons that are one line each; and climb the evidence with EM.
#
# **Reads with** note 000 and its slides 003 ("Probabilistic Model
# Perspective"), note 004 ("Latent variable model"), note 001 (latent variable
# models; its arrow "Expectation Maximization" is the last section here).
# **Takes** 13 seconds.

# %%
import numpy as np
from lesson import digits, full_or_fast
from style import (
    ELBO,
    ELBO_TRAIN,
    ESTIMATE,
    EXACT,
    FAINT,
    WRONG,
    digits_in_rows,
    sheet,
    show,
)

from numpyvae.analysis.pca import largest_angle, principal_axes
from numpyvae.checking.derivative import ridders
from numpyvae.pairs.objectives import iwae_forward

rng = np.random.default_rng(6)

# %% [markdown]
# ## A cause for every image
#
# A latent variable model tells how an image $x$ came about. First a code $z$
# was drawn from the prior $p(z)$; then, from that code, the image, from
# $p(x|z)$. We see $x$ and never $z$. How probable is $x$? It can have come from
# any code, so all of them are added up. And which code was it? Bayes' rule
# answers with a density over codes:
#
# $$\begin{aligned}
#   \text{evidence} \quad & p(x) = \int p(x|z)\, p(z)\, dz, \\
#   \text{posterior} \quad & p(z|x) = \frac{p(x|z)\, p(z)}{p(x)}.
#   \end{aligned} \tag{6.1}$$
#
# Both need the same integral. Notes 000 and 004 call it intractable. It is not
# always so: with *one* latent, a grid does it. Let a decoder bend the line of
# codes into a horseshoe in a plane of two "pixels", and let each pixel be noisy
# by 0.25.


# %%
def horseshoe(z):
    """The mean of p(x|z), two pixels: an arc whose ends meet at the top."""
    return np.stack([np.sin(1.4 * z), -np.cos(1.4 * z)], axis=-1)


def log_normal(x, mean, variance):
    """log N(x; mean, variance I) over the last axis."""
    squares = ((x - mean) ** 2).sum(axis=-1) / variance
    return -(squares + x.shape[-1] * np.log(2 * np.pi * variance)) / 2


codes = np.linspace(-6, 6, 601)
prior = np.exp(log_normal(codes[:, None], 0.0, 1.0))
side = np.linspace(-2.2, 2.2, 89)
plane = np.stack(np.meshgrid(side, side), axis=-1)  # (89, 89, 2): every x
likelihood = np.exp(log_normal(plane[:, :, None], horseshoe(codes), 0.25**2))
evidence = (likelihood * prior).sum(axis=2) * (codes[1] - codes[0])
total = evidence.sum() * (side[1] - side[0]) ** 2
print(f"p(x) adds up to {total:.6f} over the plane")
assert abs(total - 1) < 1e-4  # what lies outside of the square

# %% [markdown]
# It is a density over images, made of nothing but a bent line and some noise.
# And look at the posterior of the point with the cross: the left arm made it,
# or the right arm. No single code is the answer.

# %%
top = np.array([0.0, 1.0])
joint = np.exp(log_normal(top, horseshoe(codes), 0.25**2)) * prior
posterior_of_top = joint / (joint.sum() * (codes[1] - codes[0]))
figure, (left, right) = sheet(
    "Bend a line of codes: a density over images, and an image with two causes",
    names=("p(x)", "p(z | cross)"),
    columns=2,
)
left.imshow(evidence, extent=(-2.2, 2.2, -2.2, 2.2), origin="lower", cmap="Blues")
left.plot(*horseshoe(np.linspace(-2.1, 2.1, 200)).T, color=EXACT, lw=1)
left.plot(*top, "x", color=WRONG, ms=9, mew=2.5)
left.grid(False)
left.set_xticks([-2, 0, 2])
left.set_yticks([-2, 0, 2])
left.set_xlabel("pixel 1")
left.set_ylabel("pixel 2")
right.plot(codes, posterior_of_top, color=WRONG, lw=2)
right.plot(codes, prior, color=FAINT, lw=1.5)
right.text(0, 0.45, "prior", color=FAINT, size=11, ha="center")
right.set_xlim(-4, 4)
right.set_ylim(0)
right.set_xlabel("z")
right.set_ylabel("density")
show(
    figure,
    "06_horseshoe",
    "Left: a plane of two pixels, dark along a ring, most of all at the bottom; a "
    "cross at the top, where its ends meet. Right: the posterior of the cross over z "
    "has two equal peaks near plus and minus 2.1, where the prior is low, and nothing "
    "between them.",
)
mode = abs(codes[posterior_of_top.argmax()])
assert 2 < mode < 2.3 and posterior_of_top[300] < 1e-6  # two peaks, nothing between

# %% [markdown]
# So where is the difficulty? In the number of latents. A grid of 20 points a
# side has $20^Z$ points, and each of them is one pass through the decoder:

# %%
for Z in (1, 5, 10, 20):
    seconds = 20.0**Z / 1e6
    years = seconds / (365.25 * 24 * 3600)
    time = f"{seconds:.0e} seconds" if years < 0.01 else f"{years:.1g} years"
    print(f"{Z:2} latents: {20.0**Z:.0e} passes, at a million a second {time}")
assert years > 1e12  # for one image; the universe has had 1.4e10 years

# %% [markdown]
# ## Where it can be done: probabilistic PCA
#
# Let the decoder be linear and the noise Gaussian, of one variance $s^2$ in all
# pixels. With $x$ and $z$ as rows, as everywhere in this project,
#
# $$z \sim \mathcal N(0, I), \qquad x = zW + b + s\,n, \quad
#   n \sim \mathcal N(0, I_D), \tag{6.2}$$
#
# so $p(x|z) = \mathcal N(zW + b,\ s^2 I)$. This is probabilistic PCA, the
# smallest VAE there is, and the only one whose every secret is known. The
# lessons to come, and the tests of the package, hold their estimates against
# it.
#
# **The evidence.** $x$ is a linear function of the Gaussian vector $(z, n)$,
# and such a thing is Gaussian itself. Its mean is $b$. Its covariance is
# $\mathbb E\,(zW + sn)^\top (zW + sn) = W^\top (\mathbb E\, z^\top z)\, W +
# s^2\, \mathbb E\, n^\top n$, since $z$ and $n$ are independent:
#
# $$C = W^\top W + s^2 I, \qquad \log p(x) = -\tfrac12 \left[ D \log 2\pi
#   + \log |C| + (x - b)\, C^{-1} (x - b)^\top \right]. \tag{6.3}$$
#
# **The posterior.** Take $\log p(x|z) + \log p(z)$ and look only at how it
# depends on $z$. What is left is quadratic, so the posterior is Gaussian, and
# completing the square names it:
#
# $$\begin{aligned}
#   -2 \log p(x, z) &= \tfrac{1}{s^2}\, \| x - b - zW \|^2 + z z^\top + \dots \\
#   &= z \left( I + \tfrac{1}{s^2} W W^\top \right) z^\top
#     - 2\, \tfrac{1}{s^2} (x - b)\, W^\top z^\top + \dots \\
#   &= (z - m)\, P\, (z - m)^\top + \dots,
#   \end{aligned}$$
#
# where the dots are free of $z$. Comparing the quadratic and the linear terms,
#
# $$p(z|x) = \mathcal N(m, P^{-1}), \qquad
#   P = I + \tfrac{1}{s^2} W W^\top, \qquad
#   m = \tfrac{1}{s^2} (x - b)\, W^\top P^{-1}. \tag{6.4}$$
#
# $P$ is the precision. It adds up what is known: the $I$ is the prior's, the
# rest is what the pixels tell. It doesn't depend on $x$.


# %%
def log_gaussian(x, mean, covariance):
    """log N(x; mean, covariance) of each row."""
    off = x - mean
    squares = (off * np.linalg.solve(covariance, off.T).T).sum(axis=1)
    logdet = np.linalg.slogdet(covariance)[1]
    return -(squares + logdet + len(covariance) * np.log(2 * np.pi)) / 2


def log_evidence(x, W, b, s2):
    """log p(x) of each row (6.3)."""
    return log_gaussian(x, b, W.T @ W + s2 * np.eye(len(b)))


def posterior(x, W, b, s2):
    """The means m of each row and the covariance of all (6.4)."""
    covariance = np.linalg.inv(np.eye(len(W)) + W @ W.T / s2)
    return (x - b) @ W.T @ covariance / s2, covariance


# %% [markdown]
# **Check it.** Two results at one stroke. Bayes' rule, turned around (note 001
# prints it so), says
#
# $$\log p(x) = \log p(x|z) + \log p(z) - \log p(z|x)
#   \qquad \text{for every } z. \tag{6.5}$$
#
# The left side knows nothing of $z$. So the three terms on the right, each of
# which changes wildly with $z$, must cancel to the same number wherever we
# look, even far from where $x$ came from. And with two latents a grid can still
# do the integral, with no formula at all.

# %%
D, Z = 5, 2
W, b, s2 = rng.normal(size=(Z, D)), rng.normal(size=D), 0.3
x = rng.normal(size=(1, D))


def log_joint(x, z, W, b, s2):
    """log p(x|z) + log p(z) of each row."""
    return log_normal(x, z @ W + b, s2) + log_normal(z, 0.0, 1.0)


truth = log_evidence(x, W, b, s2)[0]
m, covariance = posterior(x, W, b, s2)
anywhere = 3 * rng.normal(size=(6, Z))
three_terms = log_joint(x, anywhere, W, b, s2) - log_gaussian(anywhere, m, covariance)
for z, value in zip(anywhere[:3], three_terms[:3], strict=True):
    print(f"at z = ({z[0]:5.2f}, {z[1]:5.2f}): (6.5) gives {value:.13f}")
print(f"log p(x) by (6.3):            {truth:.13f} nats")
assert np.allclose(three_terms, truth, rtol=0, atol=1e-11)  # sums of hundreds cancel

side = np.linspace(-8, 8, 401)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, Z)
by_grid = np.log(np.exp(log_joint(x, grid, W, b, s2)).sum() * (16 / 400) ** 2)
assert abs(by_grid - truth) < 1e-11

# %% [markdown]
# ## The best parameters, in closed form
#
# Which $W$, $b$, $s^2$ make the data most probable? Average (6.3) over the
# data. Let $S$ be their covariance about their mean $\bar x$. The square splits
# into $\operatorname{tr} C^{-1} S + (\bar x - b)\, C^{-1} (\bar x - b)^\top$,
# because the deviations from $\bar x$ have mean zero. The second term is never
# negative and only it knows $b$, so $b = \bar x$, and what remains to be made
# large is
#
# $$\overline{\log p} = -\tfrac12 \left[ D \log 2\pi + \log |C|
#   + \operatorname{tr} C^{-1} S \right]. \tag{6.6}$$
#
# $W^\top W$ has rank $Z$ at most and no negative eigenvalue. So $C$ has $Z$
# orthonormal axes $u_i$ with variances
# $\gamma_1 \ge \dots \ge \gamma_Z \ge s^2$, and $s^2$ in all other directions;
# and every such choice is some $W$:
#
# $$C = s^2 I + \sum_{i \le Z} (\gamma_i - s^2)\, u_i^\top u_i, \qquad
#   C^{-1} = \tfrac{1}{s^2} I - \sum_{i \le Z} g_i\, u_i^\top u_i, \quad
#   g_i = \tfrac{1}{s^2} - \tfrac{1}{\gamma_i} \ge 0. \tag{6.7}$$
#
# (Multiply the two: along $u_i$ it is $\gamma_i \cdot 1/\gamma_i$, elsewhere
# $s^2 \cdot 1/s^2$.)
#
# **The axes.** They matter only in $\operatorname{tr} C^{-1} S =
# \operatorname{tr} S / s^2 - \sum_i g_i q_i$, where $q_i = u_i S u_i^\top$ is
# the data's variance along $u_i$. We want $\sum g_i q_i$ large. The $g_i$ fall
# with $i$; with $g_{Z+1} = 0$, sum by parts:
#
# $$\sum_{i \le Z} g_i q_i = \sum_{k \le Z} (g_k - g_{k+1})
#   \left( q_1 + \dots + q_k \right). \tag{6.8}$$
#
# All weights are at least 0, so each bracket should be as large as it can be.
# Let $v_j$ be the principal axes of the data,
# $S v_j^\top = \lambda_j v_j^\top$, $\lambda_1 \ge \lambda_2 \ge \dots$ Then
# $q_1 + \dots + q_k = \sum_j w_j \lambda_j$, where
# $w_j = \sum_{i \le k} (u_i v_j^\top)^2$ is the squared length of what the
# directions $u_1, \dots, u_k$ see of $v_j$. That lies between 0 and 1, and all
# $w_j$ add up to $k$. The most is had by spending the $k$ units on the $k$
# largest $\lambda$: the bracket is at most $\lambda_1 + \dots + \lambda_k$, and
# $u_i = v_i$ reaches this for all $k$ at once.
#
# **The variances.** With these axes, (6.6) falls apart into
#
# $$-2\, \overline{\log p} = D \log 2\pi + \sum_{i \le Z} \left[ \log \gamma_i
#   + \frac{\lambda_i}{\gamma_i} \right] + (D - Z) \log s^2
#   + \frac{1}{s^2} \sum_{i > Z} \lambda_i. \tag{6.9}$$
#
# The derivative of $\log \gamma + \lambda / \gamma$ is
# $(\gamma - \lambda) / \gamma^2$: down before $\gamma = \lambda$, up after it.
# So $\gamma_i = \lambda_i$, and by the same derivative $s^2$ is the mean of
# what was left out. It is no larger than any $\lambda_i$ kept, as (6.7)
# demands. Since $\gamma_i - s^2$ is what $W^\top W$ has along $v_i$,
#
# $$\boxed{\ b = \bar x, \qquad s^2 = \frac{1}{D - Z} \sum_{i > Z} \lambda_i,
#   \qquad W = R \begin{pmatrix} \sqrt{\lambda_1 - s^2}\ v_1 \\ \vdots \\
#   \sqrt{\lambda_Z - s^2}\ v_Z \end{pmatrix}\ } \tag{6.10}$$
#
# with any rotation $R$, as $W^\top W$ doesn't feel it. Here is PCA again, now
# as the solution of a problem about probability. What lesson 01 threw away has
# become the noise.


# %%
def maximum_likelihood(x, Z):
    """W (Z, D), b, s2 of (6.10) with R = I, and all variances, largest first."""
    b = x.mean(axis=0)
    variances, axes = np.linalg.eigh((x - b).T @ (x - b) / len(x))
    variances, axes = variances[::-1], axes.T[::-1]
    s2 = variances[Z:].mean()
    return np.sqrt(variances[:Z, None] - s2) * axes[:Z], b, s2, variances


N, D, Z = 300, 6, 2
data = rng.normal(size=(N, Z)) @ rng.normal(size=(Z, D)) + 0.5 * rng.normal(size=(N, D))
W, b, s2, variances = maximum_likelihood(data, Z)
best = log_evidence(data, W, b, s2).mean()
logs = np.log(variances[:Z]).sum() + (D - Z) * np.log(s2)
assert np.isclose(best, -(D * np.log(2 * np.pi) + logs + D) / 2, rtol=1e-13)  # (6.9)


def mean_log_p(flat):
    """The same as a function of all parameters in one row."""
    return log_evidence(
        data, flat[: Z * D].reshape(Z, D), flat[Z * D : -1], np.exp(flat[-1])
    ).mean()


optimum = np.concatenate([W.ravel(), b, [np.log(s2)]])
slopes = [ridders(mean_log_p, optimum, rng.normal(size=optimum.size)) for _ in range(5)]
nearby = [mean_log_p(optimum + 0.1 * rng.normal(size=optimum.size)) for _ in range(200)]
print(
    f"mean log p: {best:.4f} at (6.10), {max(nearby):.4f} at the best of 200 beside it"
)
assert np.abs(slopes).max() < 1e-9 and max(nearby) < best

R = np.linalg.qr(rng.normal(size=(Z, Z)))[0]
assert np.isclose(log_evidence(data, R @ W, b, s2).mean(), best, rtol=1e-13)

mean, axes, falling = principal_axes(data, Z)  # the package's PCA
assert np.allclose(mean, b) and np.allclose(falling, variances)
assert largest_angle(W, axes) < 1e-6  # degrees

# %% [markdown]
# ## The same with digits
#
# Nothing keeps us from fitting it to images, pixel values from 0 to 1 taken as
# real numbers. It takes one eigenvalue problem, and the optimum is *global*:
# few models can say so. What comes out when we draw codes from the prior?

# %%
images = digits(full_or_fast(20_000, 2_000), 500)
pixels = images.train_images.reshape(-1, 784) / 255
held_out = images.test_images.reshape(-1, 784) / 255
Z = 20
W20, b20, s2_20, _ = maximum_likelihood(pixels, Z)
invented = rng.normal(size=(20, Z)) @ W20 + b20
shade = np.clip(invented, 0, 1)  # for the eye alone
figure, (left, right) = sheet(
    "A linear decoder dreams of fog, and the fog has the shape of digits",
    names=("held-out digits", "from codes of the prior"),
    columns=2,
    height=1.5,
)
digits_in_rows(left, held_out[:20], 5)
digits_in_rows(right, shade, 5)
show(
    figure,
    "06_fog",
    "Left: twenty digits. Right: twenty images decoded by probabilistic PCA from codes "
    "of the prior, without noise: blurred grey strokes, few of them a digit.",
)

# %% [markdown]
# The pictures are poor. Yet the likelihood knows what a digit is: held-out
# digits are far more probable under it than the same digits upside down. (These
# are densities of 784 grey values, so their logarithm may well be positive.
# Never compare them with the nats of black and white images.)

# %%
upright = log_evidence(held_out, W20, b20, s2_20)
flipped = log_evidence(held_out[:, ::-1], W20, b20, s2_20)
difference = upright - flipped
print(
    f"mean log p(x): {upright.mean():.0f} nats upright, {flipped.mean():.0f} turned; "
    f"upright wins in {np.mean(difference > 0):.0%}"
)
assert difference.mean() / (difference.std() / np.sqrt(len(difference))) > 5

# %% [markdown]
# ## Plain Monte Carlo: ask the prior
#
# For any other decoder (6.1) has no closed form. But it is a mean, and means
# can be estimated by samples. Draw codes from the prior and ask each how well
# it explains $x$:
#
# $$\hat p = \frac1K \sum_{k=1}^K p(x|z_k), \quad z_k \sim p(z), \qquad
#   \mathbb E\, \hat p = \int p(x|z)\, p(z)\, dz = p(x). \tag{6.11}$$
#
# Right on average, for every $K$. How far off is a single one? The terms are
# independent, so the variance is one term's over $K$. Relative to $p(x)$, and
# with Bayes in the form $p(x|z) / p(x) = p(z|x) / p(z)$:
#
# $$\operatorname{Var} \frac{\hat p}{p(x)} = \frac{\chi^2}{K}, \qquad
#   \chi^2 = \mathbb E_{p(z)} \left( \frac{p(z|x)}{p(z)} \right)^2 - 1.
#   \tag{6.12}$$
#
# This $\chi^2$ (the chi-square divergence) tells how unlike the prior the
# posterior is. It is also the number of samples that make the relative error
# one. How large is it? Take one latent with posterior $\mathcal N(m, v)$ and
# prior $\mathcal N(0, 1)$. The exponent of $p(z|x)^2 / p(z)$ is
#
# $$-\frac{(z - m)^2}{v} + \frac{z^2}{2} = -\frac{2 - v}{2v}
#   \left( z - \frac{2m}{2 - v} \right)^2 + \frac{m^2}{2 - v},$$
#
# a Gaussian of variance $v / (2 - v)$, whose integral is
# $\sqrt{2\pi v / (2 - v)}$. In front stands $\sqrt{2\pi} / 2\pi v$. Together,
#
# $$1 + \chi^2 = \frac{1}{\sqrt{v\,(2 - v)}}\, \exp \frac{m^2}{2 - v}
#   \quad \text{for one latent}, \tag{6.13}$$
#
# and for independent latents the expectations *multiply*. There is the
# catastrophe, in one word.


# %%
def log_one_plus_chi_square(m, v):
    """log(1 + chi²) of each latent (6.13)."""
    return m**2 / (2 - v) - np.log(v * (2 - v)) / 2


v = 0.1  # each latent's sigma is a third of what the prior allows
m = np.sqrt(1 - v)  # and its mean as far out as it usually is
fine = np.linspace(-12, 12, 40_001)
ratio = log_normal(fine[:, None], m, v) - log_normal(fine[:, None], 0.0, 1.0) / 2
by_quadrature = np.exp(2 * ratio).sum() * (fine[1] - fine[0])
rate = log_one_plus_chi_square(m, v)
assert np.isclose(np.log(by_quadrature), rate, rtol=1e-12)
for Z in (1, 5, 10, 20, 50):
    print(
        f"{Z:2} latents: chi² = {np.expm1(Z * rate):.1e} samples for an error of 100 %"
    )
assert np.expm1(20 * rate) > 1e11

# %% [markdown]
# **Low for the logarithm.** What we want in the end is $\log p(x)$, and the
# logarithm of an unbiased estimate is not unbiased. The logarithm lies below
# its tangents, $\log u \le \log c + (u - c) / c$; with $u = \hat p$, $c = p(x)$
# and the mean taken, the fraction vanishes. This is Jensen's inequality:
#
# $$\mathbb E \log \hat p \;\le\; \log p(x). \tag{6.14}$$
#
# How much lower? Put $\hat p = p(x) (1 + \delta)$ into $\log (1 + \delta) =
# \delta - \delta^2 / 2 + \dots$; the mean of $\delta$ is 0, that of $\delta^2$
# is (6.12). While $K$ is much larger than $\chi^2$,
#
# $$\log p(x) - \mathbb E \log \hat p \approx \frac{\chi^2}{2K}. \tag{6.15}$$
#
# Check all three on a pPCA of the simplest kind: $W = 3I$, $s = 1$, as many
# pixels as latents. Each posterior variance is $1 / (1 + 9) = 0.1$, and at
# $x = \sqrt{10}$ each mean is $m$ of above.

# %%
x1 = np.sqrt(10.0)
assert np.isclose(posterior(np.array([[x1]]), 3 * np.eye(1), 0.0, 1.0)[0], m)
K, repeats = 100, full_or_fast(100_000, 20_000)
log_p1 = log_evidence(np.array([[x1]]), 3 * np.eye(1), np.zeros(1), 1.0)[0]
z = rng.normal(size=(repeats, K))
estimates = np.exp(log_normal(x1 - 3 * z[..., None], 0.0, 1.0) - log_p1).mean(axis=1)
error = estimates.std() / np.sqrt(repeats)
short = -np.log(estimates)
short_error = short.std() / np.sqrt(repeats)
predicted = np.expm1(rate) / (2 * K)
print(f"mean of p̂ / p(x)           {estimates.mean():.4f} ± {error:.4f}")
print(
    f"its variance times K         {K * estimates.var():.2f}, chi² {np.expm1(rate):.2f}"
)
print(f"mean of log p(x) - log p̂   {short.mean():.4f} ± {short_error:.4f}", end="")
print(f", (6.15) says {predicted:.4f} nats")
assert abs(estimates.mean() - 1) < 4 * error
assert abs(K * estimates.var() / np.expm1(rate) - 1) < 0.15
assert abs(short.mean() - predicted) < 4 * short_error + predicted / 20  # next order
assert short.mean() > 4 * short_error  # low, and not by chance

# %% [markdown]
# ## Importance sampling: ask those who know
#
# Nothing obliges us to ask the prior. Draw from any density $q(z)$ that is
# positive where $p(x, z)$ is, and weigh each answer by how much more often the
# prior would have asked:
#
# $$w = \frac{p(x|z)\, p(z)}{q(z)}, \qquad
#   \mathbb E_q\, w = \int q(z)\, \frac{p(x, z)}{q(z)}\, dz = p(x). \tag{6.16}$$
#
# Unbiased again, for every $q$; they differ in variance alone. Which is best?
# By Bayes $p(x, z) = p(x)\, p(z|x)$, so
#
# $$w = p(x)\, \frac{p(z|x)}{q(z)}, \qquad
#   \operatorname{Var} \frac{w}{p(x)}
#   = \mathbb E_q \left( \frac{p(z|x)}{q(z)} \right)^2 - 1. \tag{6.17}$$
#
# A mean of squares minus the square of the mean, which is 1. It is zero if and
# only if the ratio is constant: $q(z) = p(z|x)$. Then *every* weight is $p(x)$,
# and a single sample is enough. That is (6.5) again. It is also a joke at our
# cost, for to write down the posterior we need $p(x)$. But it says where to
# look: **a good $q$ is one that resembles the posterior.** The encoder of a VAE
# is nothing else.

# %%
ours = np.array([[x1]])
z = m + np.sqrt(v) * rng.normal(size=(8, 1))
log_w = log_joint(ours, z, 3 * np.eye(1), 0.0, 1.0) - log_normal(z, m, v)
print(f"8 log weights from the posterior: {log_w.min():.14f} to {log_w.max():.14f}")
assert np.abs(log_w - log_p1).max() < 1e-13

# %% [markdown]
# Now let $q$ have the right mean, and $r$ times the posterior's variance. With
# $\tilde z = (z - m) / \sqrt v$ the expectation in (6.17) is $\int \mathcal
# N(\tilde z; 0, 1)^2 / \mathcal N(\tilde z; 0, r)\, d\tilde z$; its exponent is
# $-\tilde z^2 (2 - 1/r) / 2$, and in front stands $\sqrt{2\pi r} / 2\pi$:
#
# $$1 + \chi^2 = \frac{\sqrt r}{\sqrt{2 - 1/r}} = \frac{r}{\sqrt{2r - 1}}
#   \quad (r > \tfrac12), \qquad \chi^2 = \infty \quad (r \le \tfrac12).
#   \tag{6.18}$$
#
# A surprise: a proposal with half of the posterior's variance, or less, has
# *infinite* variance. Too wide is merely wasteful.

# %%
unit = np.linspace(-12, 12, 40_001)[:, None]
for r in (0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0):
    if r <= 0.5:
        print(f"variance x {r}: chi² with 20 latents infinite")
        continue
    one = r / np.sqrt(2 * r - 1)
    squares = 2 * log_normal(unit, 0.0, 1.0) - log_normal(unit, 0.0, r)
    assert np.isclose(np.exp(squares).sum() * 24 / 40_000, one, rtol=1e-9)
    print(f"variance x {r}: chi² with 20 latents {one**20 - 1:9.2f}")

# %% [markdown]
# And infinite variance doesn't announce itself. Twelve runs with a $q$ that is
# too narrow, each of 10,000 samples: most agree with each other, their own
# standard errors look harmless, and the answer is nats too low. What is missing
# are the rare enormous weights that nobody drew.

# %%
r, off, claimed = 0.4, [], []
for _ in range(12):
    z = np.sqrt(r) * rng.normal(size=(10_000, 50))  # (z - m) / sqrt(v), 50 latents
    w = np.exp(log_normal(z, 0.0, 1.0) - log_normal(z, 0.0, r))  # their mean is 1
    off.append(np.log(w.mean()))
    claimed.append(w.std() / w.mean() / np.sqrt(len(w)))
print(f"variance x {r}: the median run is off by {np.median(off):.1f} nats", end="")
print(f" and claims ± {np.median(claimed):.1f}")
assert np.median(off) < -1 and np.median(claimed) < 0.5

# %% [markdown]
# In numbers as small as $e^{-100}$ one averages logarithms of weights without
# leaving them: take the largest out first. It is what the package does.


# %%
def log_mean_exp(log_w, axis=0):
    """log of the mean of exp(log_w), whatever its size."""
    top = log_w.max(axis=axis, keepdims=True)
    return np.log(np.exp(log_w - top).mean(axis=axis)) + top.squeeze(axis)


some = rng.normal(size=(3, 50)) - 1000  # 3 images, 50 weights each
recon, kl = -some / 2, -some / 2
assert np.allclose(log_mean_exp(some, axis=1), -iwae_forward(recon, kl)[0], rtol=1e-14)

# %% [markdown]
# The two side by side, as the latents grow in number. All latents are alike, so
# one draw of 30 serves for 1, 2, … 30 of them. The prior's million samples are
# fine up to ten latents: there $\chi^2$ passes a million, just where (6.12)
# said. Beyond, each further latent asks for 3.7 times as many. A hundred
# samples from a $q$ half again too wide stay on the line.

# %%
LATENTS, repeats = 30, 10
sizes = [full_or_fast(n, m) for n, m in ((100, 10), (10_000, 100), (1_000_000, 1_000))]


def estimate_all(K, mean, variance):
    """log p̂ - log p(x) for 1, 2, ... 30 latents, of K samples of N(mean, variance)."""
    tops, sums = [], []
    for start in range(0, K, 50_000):
        shape = (min(50_000, K - start), LATENTS, 1)
        z = mean + np.sqrt(variance) * rng.normal(size=shape)
        log_w = log_normal(x1 - 3 * z, 0.0, 1.0) + log_normal(z, 0.0, 1.0)
        log_w = np.cumsum(log_w - log_normal(z, mean, variance) - log_p1, axis=1)
        tops.append(log_w.max(axis=0))
        sums.append(np.exp(log_w - tops[-1]).sum(axis=0))
    top = np.max(tops, axis=0)
    return np.log((np.exp(tops - top) * sums).sum(axis=0) / K) + top


by_prior = [
    np.array([estimate_all(K, 0.0, 1.0) for _ in range(repeats)]) for K in sizes
]
by_q = np.array([estimate_all(100, m, 1.5 * v) for _ in range(repeats)])
number = np.arange(1, LATENTS + 1)
figure, (axes,) = sheet(
    "Samples from the prior miss the posterior; more of them hardly help",
    labels=("latents", "log p̂ - log p(x) (nats)"),
    height=3.2,
)
axes.axhline(0, color=EXACT, lw=1)
for K, runs in zip(sizes, by_prior, strict=True):
    mean = runs.mean(axis=0)
    axes.fill_between(
        number, runs.min(axis=0), runs.max(axis=0), color=WRONG, alpha=0.12
    )
    axes.plot(number, mean, color=WRONG, lw=2)
    last = np.flatnonzero(mean > -50)[-1]  # where the curve leaves the picture
    axes.text(
        number[last] + 0.6, mean[last], f"{K:,}", color=WRONG, va="center", size=11
    )
axes.plot(number, by_q.mean(axis=0), color=ESTIMATE, lw=2)
axes.text(30, 1.2, "100 from q", color=ESTIMATE, ha="right", size=11)
axes.text(2, -30, "from the prior", color=WRONG, size=11)
axes.set_xlim(1, 35.5)
axes.set_xticks([1, 5, 10, 15, 20, 25, 30])
axes.set_ylim(-55, 5)
show(
    figure,
    "06_prior_misses",
    "Error of the estimated log p(x) against the number of latents, 1 to 30. Three "
    "curves of growing numbers of prior samples leave zero at about 3, 7 and 10 "
    "latents and fall to tens of nats; 100 samples from q stay at zero.",
)
print(
    f"at 30 latents: {by_prior[-1][:, -1].mean():.1f} nats with {sizes[-1]:,} samples"
)
print(f"of the prior, {by_q[:, -1].mean():.2f} nats with 100 of q")
assert 3.6 < np.exp(rate) < 3.7
assert by_prior[-1][:, -1].max() < -8 and np.abs(by_q[:, -1]).max() < 2.5
assert np.abs(by_prior[-1][:, 0]).max() < 0.3  # with one latent, all is well

# %% [markdown]
# And a real digit, under the pPCA with 20 latents fitted above. Because $W$'s
# rows are orthogonal, its posterior is exactly diagonal, and (6.13) gives the
# number of samples that the prior would need.

# %%
x = held_out[:1]
truth = log_evidence(x, W20, b20, s2_20)[0]
m20, covariance = posterior(x, W20, b20, s2_20)
v20 = np.diag(covariance)
assert np.allclose(covariance, np.diag(v20), atol=1e-9)
K = full_or_fast(100_000, 10_000)
z = rng.normal(size=(K, 20))
tries = [log_normal(x, part @ W20 + b20, s2_20) for part in np.split(z, 20)]
from_prior = log_mean_exp(np.concatenate(tries))
z = m20 + np.sqrt(1.5 * v20) * rng.normal(size=(100, 20))
log_q = log_gaussian(z, m20, np.diag(1.5 * v20))
from_q = log_mean_exp(log_joint(x, z, W20, b20, s2_20) - log_q)
needed = log_one_plus_chi_square(m20[0], v20).sum() / np.log(10)
print(f"log p(x) of a digit             {truth:8.2f} nats")
print(f"by 100 samples from q           {from_q:8.2f}")
print(f"by {K:,} from the prior     {from_prior:8.2f}; 10^{needed:.0f} would do")
assert abs(from_q - truth) < 2.5 and from_prior < truth - 20 and needed > 10

# %% [markdown]
# ## EM in one page
#
# If the posterior is known but the best parameters $\theta$ are not, there is a
# classic. For every density $q$ and every $z$, (6.5) can be written $\log p(x)
# = \log \frac{p(x, z)}{q(z)} + \log \frac{q(z)}{p(z|x)}$. Take the mean over
# $q$:
#
# $$\log p_\theta(x) = \underbrace{\mathbb E_q \log
#   \frac{p_\theta(x, z)}{q(z)}}_{\mathcal L(q, \theta)}
#   + \underbrace{\mathbb E_q \log
#   \frac{q(z)}{p_\theta(z|x)}}_{\mathrm{KL} \,\ge\, 0}. \tag{6.19}$$
#
# (The KL is not negative because $\log u \le u - 1$ at $u = p(z|x) / q(z)$
# gives $-\mathrm{KL} \le \mathbb E_q (u - 1) = 0$.) So $\mathcal L$ is a lower
# bound of the evidence, and we can climb it by turns:
#
# $$\begin{aligned}
#   \text{E step:}\quad & q \leftarrow p_\theta(z|x)
#   && \text{the KL is 0 and the bound touches the evidence,} \\
#   \text{M step:}\quad & \theta \leftarrow
#     \operatorname{arg\,max}_\theta\, \mathcal L(q, \theta)
#   && \text{the bound rises, and the evidence stays above it.}
#   \end{aligned} \tag{6.20}$$
#
# The evidence can never fall: before the M step it equals the bound, after it
# it is at least the bound, which has not become less.
#
# For pPCA, the E step is (6.4) for each datum: means $m_i$ and one covariance
# $V = P^{-1}$. For the M step, write $c_i = x_i - \bar x$. What depends on $W$
# and $s^2$ in $\mathcal L$, summed over $N$ data, is
# $-\tfrac12 [ND \log s^2 + T / s^2]$ with
#
# $$T = \sum_i \mathbb E_q \| c_i - zW \|^2 = \sum_i \left( c_i c_i^\top
#   - 2\, m_i W c_i^\top \right) + \operatorname{tr} W^\top M W, \qquad
#   M = NV + \sum_i m_i^\top m_i, \tag{6.21}$$
#
# for $M$ is the sum of all $\mathbb E\, z^\top z$. Its differential is $dT = 2
# \operatorname{tr} dW^\top (MW - \sum_i m_i^\top c_i)$. It vanishes for every
# $dW$ at the first of these, and the second is the argument of (6.9) once more:
#
# $$W \leftarrow M^{-1} \sum_i m_i^\top c_i, \qquad s^2 \leftarrow \frac{T}{ND}.
#   \tag{6.22}$$
#
# It is a regression of the data on codes that are themselves uncertain.


# %%
def m_step(x, b, m, V):
    """W and s2 of (6.22) from the posterior's means (N, Z) and covariance."""
    c = x - b
    W = np.linalg.solve(len(x) * V + m.T @ m, m.T @ c)
    T = (c**2).sum() - (W * (m.T @ c)).sum()  # (6.21) with MW = sum of m'c
    return W, T / c.size


def bound(x, W, b, s2, m, V):
    """The mean of L(q, theta) over the data, q = N(m_i, V)."""
    squares = ((x - b - m @ W) ** 2).sum(axis=1) + np.trace(W.T @ V @ W)
    log_px = -(squares / s2 + x.shape[1] * np.log(2 * np.pi * s2)) / 2
    log_pz = -((m**2).sum(axis=1) + np.trace(V) + len(V) * np.log(2 * np.pi)) / 2
    entropy = (len(V) * np.log(2 * np.pi * np.e) + np.linalg.slogdet(V)[1]) / 2
    return (log_px + log_pz + entropy).mean()


Z, b = 2, data.mean(axis=0)
W, s2 = 0.1 * rng.normal(size=(Z, D)), 1.0
stairs, climb = [], []
for _ in range(200):
    climb.append(log_evidence(data, W, b, s2).mean())
    m, V = posterior(data, W, b, s2)
    touching = bound(data, W, b, s2, m, V)
    W, s2 = m_step(data, b, m, V)
    lifted, after = bound(data, W, b, s2, m, V), log_evidence(data, W, b, s2).mean()
    stairs.append((touching, lifted, after))
    assert np.isclose(touching, climb[-1], rtol=1e-12)  # E: the bound touches
    assert touching - 1e-12 < lifted <= after + 1e-12  # M: it rises; evidence above
print(f"EM: {climb[0]:.4f} → {climb[-1]:.10f}; closed form {best:.10f} nats")
assert np.diff(climb).min() > -1e-12  # the evidence never falls
assert abs(climb[-1] - best) < 1e-9
assert largest_angle(W, principal_axes(data, Z)[1]) < 0.01  # degrees

# %% [markdown]
# Lesson 07 keeps (6.19) and gives up the E step: where the posterior can't be
# written down, $q$ is looked for by climbing $\mathcal L$ in $q$ as well. Then
# let both climb at once, by gradients, with a network for $q$: that is a VAE.

# %%
figure, (axes,) = sheet(
    "E lifts the bound to the evidence, M lifts both: the evidence never falls",
    labels=("EM step", "mean over the data (nats)"),
    height=2.8,
)
shown = 9
for i, (touching, lifted, after) in enumerate(stairs[:shown]):
    axes.plot([i, i + 1], [touching, lifted], color=ELBO, lw=2)
    axes.plot([i + 1, i + 1], [lifted, after], color=ELBO_TRAIN, lw=2, ls=":")
axes.plot(range(shown + 1), climb[: shown + 1], "o-", color=EXACT, lw=1.5, ms=5)
axes.axhline(best, color=FAINT, lw=1, ls="--")
axes.text(0, best, "closed form (6.10)", color=FAINT, va="bottom", size=11)
axes.text(1.85, climb[2] + 0.05, "log p(x)", color=EXACT, ha="right", size=11)
axes.text(2.2, stairs[1][1], "bound", color=ELBO, va="center", size=11)
show(
    figure,
    "06_em",
    "Mean log p(x) over nine EM steps, rising to the closed-form optimum. In each step "
    "the bound starts at the evidence and rises less than the evidence does; a dotted "
    "line joins the two, and the next step starts from the upper one.",
)

# %% [markdown]
# ## Exercise
#
# EM was invented for mixtures. There the latent is a label,
# $z \in \{1, \dots, C\}$ with $p(z = c) = \pi_c$ and
# $p(x|z = c) = \mathcal N(\mu_c, \sigma_c^2)$, one pixel. In
# `lessons/exercises/06_latent_variables.py` write $\log p(x)$, the E step and
# the M step. Then ask
#
# ```sh
# numpyvae check 6
# ```
