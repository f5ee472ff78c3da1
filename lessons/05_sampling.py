# %% [markdown]
# # 05 · Sampling an auto-encoder, and why it disappoints
#
# *A decoder turns any 32 numbers into an image. So draw 32 numbers: what could
# go wrong?*
#
# **You will** fit Gaussians to the codes of an auto-encoder by maximum
# likelihood, draw from them, decode, and measure how far the images are from
# digits, with a distance that you derive first. Then you will see why it had to
# go wrong, and what a VAE does about it.
#
# **Reads with** note 004 (Louppe, lecture 7, "Sampling from an AE's latent
# space"), note 001 (Leuphana, the samples with $d = 32$). **Takes** 24 seconds.

# %%
import numpy as np
from lesson import digits, full_or_fast
from matplotlib.patches import Ellipse
from style import EXACT, FAINT, WRONG, cloud, sheet, show, strips, thumbnail

from numpyvae import VAE, train
from numpyvae.analysis.frechet import AXES, Moments, Ruler
from numpyvae.analysis.frechet import frechet as their_frechet
from numpyvae.cli.commands.pictures import Spread

rng = np.random.default_rng(5)

# %% [markdown]
# An auto-encoder and, for later, a VAE of the same size: the same layers, the
# same images, as many epochs.

# %%
data = digits(full_or_fast(20_000, 2_000), full_or_fast(2_000, 1_000))
x_train, x_test = (
    images.reshape(-1, 784).astype(np.float32) / np.float32(255)
    for images in (data.train_images, data.test_images)
)


def fit(posterior, hidden, latent, epochs):
    model = VAE(784, hidden, latent, posterior=posterior, seed=5)
    train(
        model, data, epochs=epochs, batch_size=full_or_fast(128, 20),
        lr=full_or_fast(2, 3) / 1000, lr_end=5e-4, binarize="none", progress=False,
    )  # fmt: skip
    return model


wide, Z = (full_or_fast(256, 100),), 32
ae = fit("point", wide, Z, full_or_fast(15, 10))
vae = fit("diagonal", wide, Z, full_or_fast(15, 10))
codes, _ = ae.encode(x_train)
codes_test, _ = ae.encode(x_test)

# %% [markdown]
# ## Fit a Gaussian to the codes
#
# The codes $z_1, \dots, z_N$ of the training images are a cloud of points in
# $Z$ dimensions. Take a Gaussian with mean $m$ and covariance $\Sigma$,
#
# $$\log \mathcal N(z; m, \Sigma)
#   = -\tfrac12 \left[ Z \log 2\pi + \log \det \Sigma
#   + (z - m)^\top \Sigma^{-1} (z - m) \right], \tag{5.1}$$
#
# and look for the $m$ and $\Sigma$ under which the codes are most probable. Let
# $\hat z$ be their mean and $S = \frac1N \sum_i (z_i - \hat z)(z_i - \hat
# z)^\top$. Write $z_i - m = (z_i - \hat z) + (\hat z - m)$. The cross terms add
# up to zero, because the $z_i - \hat z$ do; and $a^\top B a = \operatorname{tr}
# B a a^\top$. So the mean log-likelihood is
#
# $$\mathcal L = -\tfrac12 \left[ Z \log 2\pi + \log \det \Sigma
#   + \operatorname{tr} \Sigma^{-1} S
#   + (\hat z - m)^\top \Sigma^{-1} (\hat z - m) \right]. \tag{5.2}$$
#
# The last term is at least 0, and 0 at $m = \hat z$: **the mean is the mean**.
# What remains is a function of $\Sigma$, and for that one inequality is enough:
#
# $$\lambda - \log \lambda \ge 1, \qquad \text{with equality at } \lambda = 1
#   \text{ only}, \tag{5.3}$$
#
# since its derivative $1 - 1/\lambda$ is negative before 1 and positive after.
#
# *A factored Gaussian*, $\Sigma = \operatorname{diag}(v)$, as note 004 has it.
# With $\lambda_j = S_{jj} / v_j$,
#
# $$\log \det \Sigma + \operatorname{tr} \Sigma^{-1} S
#   = \sum_j \Big[ \log v_j + \frac{S_{jj}}{v_j} \Big]
#   = \sum_j \big[ \log S_{jj} + \lambda_j - \log \lambda_j \big], \tag{5.4}$$
#
# least where every $\lambda_j$ is 1: $v_j = S_{jj}$, the variance of each code.
#
# *A full covariance.* Let $\lambda_j$ be the eigenvalues of $\Sigma^{-1/2} S\,
# \Sigma^{-1/2}$. Their sum is $\operatorname{tr} \Sigma^{-1} S$, their product
# $\det S / \det \Sigma$. So
#
# $$\log \det \Sigma + \operatorname{tr} \Sigma^{-1} S
#   = \log \det S + \sum_j \big[ \lambda_j - \log \lambda_j \big], \tag{5.5}$$
#
# least where every $\lambda_j$ is 1, which says $\Sigma = S$.


# %%
def fit_gaussian(z, full):
    """The mean (Z,) and covariance (Z, Z) of maximum likelihood."""
    mean = z.mean(axis=0)
    S = (z - mean).T @ (z - mean) / len(z)
    return mean, S if full else np.diag(np.diag(S))


def log_likelihood(z, mean, covariance):
    """(5.1) of each code."""
    away = z - mean
    squares = (away * np.linalg.solve(covariance, away.T).T).sum(axis=1)
    _, logdet = np.linalg.slogdet(covariance)
    return -(z.shape[1] * np.log(2 * np.pi) + logdet + squares) / 2


z = codes.astype(np.float64)
factored, full = fit_gaussian(z, full=False), fit_gaussian(z, full=True)
assert np.allclose(full[1], np.cov(z.T, bias=True), rtol=1e-10)
theirs = Spread(z.mean(axis=0), z.std(axis=0))  # as `numpyvae sample` fits it
assert np.allclose(theirs.deviation**2, np.diag(factored[1]), rtol=1e-10)

# %% [markdown]
# Is it the maximum? Go a step in any direction, and the likelihood falls, by
# the square of the step: half the step, a quarter of the fall.

# %%
best = log_likelihood(z, *full).mean()
for _ in range(5):
    move, turn = rng.normal(size=Z), rng.normal(size=(Z, Z)) / 10
    falls = []
    for step in (0.02, 0.01):
        A = np.eye(Z) + step * (turn + turn.T)
        moved = full[0] + step * move, A @ full[1] @ A
        falls.append(best - log_likelihood(z, *moved).mean())
    assert falls[0] > falls[1] > 0 and 3.5 < falls[0] / falls[1] < 4.5

# %% [markdown]
# Put the solutions back: both times $\operatorname{tr} \Sigma^{-1} S = Z$. So
# the two fits differ only in $\log \det$, and the full one gains, with $R$ the
# matrix of correlations $R_{ij} = S_{ij} / \sqrt{S_{ii} S_{jj}}$,
#
# $$\mathcal L_{\text{full}} - \mathcal L_{\text{factored}}
#   = \tfrac12 \Big[ \sum_j \log S_{jj} - \log \det S \Big]
#   = -\tfrac12 \log \det R \ \text{ nats per code}. \tag{5.6}$$
#
# It is what the factored Gaussian does not know.

# %%
R = np.corrcoef(z.T)
gained = best - log_likelihood(z, *factored).mean()
assert np.isclose(gained, -np.linalg.slogdet(R)[1] / 2, rtol=1e-9)
held_out = log_likelihood(codes_test, *full) - log_likelihood(codes_test, *factored)
error = held_out.std() / np.sqrt(len(held_out))
print(f"a full covariance gains {gained:.2f} nats on the codes it was fitted to,")
print(f"and {held_out.mean():.2f} ± {error:.2f} nats on codes of test images")
assert held_out.mean() > 4 * error

# %% [markdown]
# ## Draw, decode, look
#
# Each of them gets the same noise. The VAE needs no fit: its codes are drawn
# from $\mathcal N(0, I)$.

# %%
count = len(x_test)
eps = rng.standard_normal((count, Z)).astype(np.float32)


def draw(mean, covariance):
    """Codes of the Gaussian, made of eps."""
    return (mean + eps @ np.linalg.cholesky(covariance).T).astype(np.float32)


drawn = {"factored": draw(*factored), "full": draw(*full)}
samples = {
    "AE, factored\nGaussian": ae.decode(drawn["factored"]),
    "AE, full\ncovariance": ae.decode(drawn["full"]),
    "VAE, N(0, I)": vae.decode(eps),
}
rows = [("test images", x_test[:20])]
rows += [(name, images[:20]) for name, images in samples.items()]
pages = [(name, images[i : i + 10]) for name, images in rows for i in (0, 10)]
figure = strips(
    "An auto-encoder's samples are broken strokes; the VAE's hang together",
    [(name if i % 2 == 0 else "", images) for i, (name, images) in enumerate(pages)],
)
show(
    figure,
    "05_samples",
    "Twenty test digits; below, twenty samples each of the auto-encoder with a "
    "factored Gaussian, mostly fragments, with a full covariance, a little better, and "
    "of the VAE, softer, where strokes hang together and more digits can be read.",
)

# %% [markdown]
# ## A number for it
#
# The eye is a good judge, but it can't be put in a table. A number that is
# widely used says how far two clouds of points are apart, each replaced by its
# Gaussian: move the mass of one onto the other with the least mean squared
# distance. Let $a$ have mean $m$ and covariance $S$, and $b$ have $n$ and $T$.
# A plan is a joint distribution, and all that counts of it is the covariance
# between the two, $C$:
#
# $$\mathbb E \|a - b\|^2
#   = \|m - n\|^2 + \operatorname{tr} S + \operatorname{tr} T
#   - 2 \operatorname{tr} C. \tag{5.7}$$
#
# How large can $\operatorname{tr} C$ be? The joint covariance must have no
# negative variance in any direction, and that says that $C = S^{1/2} K T^{1/2}$
# with a matrix $K$ that makes no vector longer, $\|K u\| \le \|u\|$: whiten $a$
# and $b$, then the correlation of $u^\top a$ and $w^\top b$ is $u^\top K w$, at
# most 1 for unit vectors $u$ and $w$. With the singular value decomposition
# $T^{1/2} S^{1/2} = U D V^\top$,
#
# $$\operatorname{tr} C = \operatorname{tr} K\, T^{1/2} S^{1/2}
#   = \operatorname{tr} K U D V^\top
#   = \sum_i d_i\, \big( V^\top K U \big)_{ii} \le \sum_i d_i, \tag{5.8}$$
#
# because each $(V^\top K U)_{ii}$ is such a correlation; and $K = V U^\top$
# makes all of them 1. The $d_i$ are the roots of the eigenvalues of $(T^{1/2}
# S^{1/2})^\top (T^{1/2} S^{1/2}) = S^{1/2} T S^{1/2}$, so their sum is the trace
# of its square root. This is the squared **Fréchet distance**:
#
# $$\boxed{\ d^2 = \|m - n\|^2 + \operatorname{tr} \Big[ S + T
#   - 2 \big( S^{1/2}\, T\, S^{1/2} \big)^{1/2} \Big]\ } \tag{5.9}$$


# %%
def root(matrix):
    """The symmetric square root of a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def frechet(m, S, n, T):
    half = root(S)
    shared = np.trace(root(half @ T @ half))
    return ((m - n) ** 2).sum() + np.trace(S) + np.trace(T) - 2 * shared


m, n = rng.normal(size=(2, 4))
A, B = rng.normal(size=(2, 4, 4))
S, T = A @ A.T, B @ B.T
theirs = their_frechet(Moments(m, S), Moments(n, T))
assert np.isclose(frechet(m, S, n, T), theirs, rtol=1e-12)
assert abs(frechet(m, S, m, S)) < 1e-6  # a root makes 1e-8 of rounding's 1e-16
line = frechet(np.array([1.0]), np.eye(1) * 4, np.array([3.0]), np.eye(1) * 9)
assert np.isclose(line, (1 - 3) ** 2 + (2 - 3) ** 2)  # in one dimension

# %% [markdown]
# Check (5.8) itself: the best plan is one, and no other plan beats it.

# %%
U, d, Vt = np.linalg.svd(root(T) @ root(S))


def cost_of(K):
    """The mean squared distance of the plan C = S^½ K T^½, after a look at it."""
    C = root(S) @ K @ root(T)
    joint = np.block([[S, C], [C.T, T]])
    assert np.linalg.eigvalsh(joint).min() > -1e-12 * np.trace(joint)  # a covariance
    return ((m - n) ** 2).sum() + np.trace(S + T - 2 * C)


assert np.isclose(cost_of(Vt.T @ U.T), frechet(m, S, n, T), rtol=1e-10)
rotations = (np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(1000))
others = [cost_of(Q) for Q in rotations]
print(
    f"best plan {frechet(m, S, n, T):.2f}, of 1,000 others the best {min(others):.2f}"
)
assert min(others) > frechet(m, S, n, T)

# %% [markdown]
# For images the clouds lie in the space of the first 50 principal components of
# the training images (lesson 01), and the unit is a squared grey. The package's
# `Ruler` does the same.


# %%
ruler = Ruler(x_train, x_test, np.random.default_rng(0))


def on_axes(images):
    points = (images - ruler.mean) @ ruler.axes.T
    return points.mean(axis=0), np.cov(points.T)


def distance(images):
    """The squared Fréchet distance of images from the test images."""
    return frechet(*on_axes(images), *on_axes(x_test))


def to_nearest(images):
    """The mean squared distance of images to their nearest training image."""
    squares = (images**2).sum(axis=1)[:, None] + (x_train**2).sum(axis=1)
    return (squares - 2 * images @ x_train.T).min(axis=1)


images = samples["VAE, N(0, I)"]
assert np.isclose(distance(images), ruler(images), rtol=1e-6)  # float32 images

# %% [markdown]
# Before you trust a number, ask what it can't see. The Fréchet distance sees
# means and covariances. So a Gaussian over *pixels*, fitted to the training
# images, must look perfect to it. The second column is another question: how
# far is the nearest training image?

# %%
axes = ruler.axes
grey_mean, grey_covariance = on_axes(x_train)
noise = rng.standard_normal((count, AXES))
points = grey_mean + noise @ np.linalg.cholesky(grey_covariance).T
fog = (ruler.mean + points @ axes).astype(np.float32)

table = {"training images": x_train[rng.permutation(len(x_train))[:count]]}
table |= {name.replace("\n", " "): images for name, images in samples.items()}
table["Gaussian over pixels"] = fog
found = {name: (distance(images), to_nearest(images)) for name, images in table.items()}
print(f"{'squared greys':23} Fréchet  to the nearest training image")
for name, (d, near) in found.items():
    print(f"{name:23} {d:7.2f}{near.mean():13.1f}")
print(f"{'test images':23}         {to_nearest(x_test).mean():12.1f}")

# %%
figure = strips(
    "Fog: the best Fréchet distance of all goes to these samples",
    [("Gaussian\nover pixels", fog[:10].clip(0, 1)), ("", fog[10:20].clip(0, 1))],
)
show(
    figure,
    "05_fog",
    "Twenty samples of a Gaussian over pixels: clouds of grey, no digit among them.",
)


def fewer(one, other):
    """Whether one mean is below the other by 4 standard errors."""
    error = np.sqrt((one.var() + other.var()) / count)
    return other.mean() - one.mean() > 4 * error


d_factored, d_full, d_vae, d_fog = (d for d, _ in list(found.values())[1:])
near_factored, near_full, near_vae, near_fog = (
    near for _, near in list(found.values())[1:]
)
assert d_fog < min(d_factored, d_full, d_vae)
assert d_full < d_factored and d_full < d_vae
assert fewer(near_vae, near_full) and fewer(near_vae, near_factored)
assert fewer(near_vae, near_fog)

# %% [markdown]
# Two findings, and they pull apart. The full covariance comes much closer than
# the factored Gaussian, and by the first number it even beats the VAE: a model
# that gets means and covariances right pleases a measure that sees nothing
# else. But its samples lie farther from every training image than the VAE's.
# Look at the pictures before you believe either column, for the second has its
# own blind spot: whoever copies the training images scores 0.
#
# ## Why it had to go wrong
#
# The codes were never asked to be Gaussian. Three questions tell how far they
# are from it. *Are they uncorrelated?* No: that was (5.6). *Are they Gaussian?*
# Take $r^2 = (z - \hat z)^\top S^{-1} (z - \hat z)$. Its mean over the codes is
# $\operatorname{tr} S^{-1} S = Z$ for every cloud of points. If the cloud were
# Gaussian, $r^2$ would be a sum of $Z$ squares of independent $\mathcal N(0, 1)$
# numbers, and since $\mathbb E \varepsilon^4 = 3$,
#
# $$\operatorname{Var} r^2 = Z\, \big( \mathbb E \varepsilon^4
#   - (\mathbb E \varepsilon^2)^2 \big) = 2 Z. \tag{5.10}$$


# %%
def radius(z, mean, covariance):
    away = z - mean
    return (away * np.linalg.solve(covariance, away.T).T).sum(axis=1)


r2 = radius(z, *full)
assert np.isclose(r2.mean(), Z, rtol=1e-9)
drawn_r2 = radius(rng.standard_normal((len(z), Z)), np.zeros(Z), np.eye(Z))
error = 2 * Z * np.sqrt((2 + 12 / Z) / len(z))  # of the variance of chi-squared
print(f"variance of r²: codes {r2.var():.0f}, Gaussian draws {drawn_r2.var():.0f}")
print(f"of 2Z = {2 * Z}; its standard error {error:.1f}")
assert abs(drawn_r2.var() - 2 * Z) < 4 * error
assert r2.var() - 2 * Z > 20 * error

# %% [markdown]
# *Does a draw land where codes are?* Measure from each code of a test image to
# the nearest training code, and take the distance that 99 % of them stay
# below. Beyond it the decoder has hardly been trained. How many draws land
# there?


# %%
def gap(z, codes):
    """The squared distance of each z to the nearest of the codes."""
    squares = (z**2).sum(axis=1)[:, None] + (codes**2).sum(axis=1)
    return (squares - 2 * z @ codes.T).min(axis=1)


far = np.quantile(gap(codes_test, codes), 0.99)
for name, z_drawn in drawn.items():
    share = (gap(z_drawn, codes) > far).mean()
    print(f"{name:9} {share:.0%} of the draws land where 1 % of the test codes do")
    assert share - 0.01 > 20 * np.sqrt(0.01 / count)

# %% [markdown]
# In two dimensions the holes can be seen. An auto-encoder with two latents, the
# codes of its training images, and the two Gaussians at 1 and 2 standard
# deviations:

# %%
deep = full_or_fast(256, 64), full_or_fast(128, 32)
plane = fit("point", deep, 2, full_or_fast(12, 4))
flat, _ = plane.encode(x_train)
flat_factored, flat_full = (fit_gaussian(flat, full) for full in (False, True))
draws = rng.standard_normal((2000, 2)) @ np.linalg.cholesky(flat_full[1]).T
draws = (flat_full[0] + draws).astype(np.float32)
draws = draws[radius(draws, *flat_full) < 4]  # 2 standard deviations
holes = []  # the farthest from all codes, and apart from each other
for i in np.argsort(-gap(draws, flat)):
    if all(((draws[i] - h) ** 2).sum() > np.trace(flat_full[1]) / 8 for h in holes):
        holes.append(draws[i])
holes = np.array(holes[:6])

# %%
figure, (panel,) = sheet(
    "The fitted Gaussian covers places where no code lies",
    names=("1 and 2 sigma, dashed: factored, solid: full",),
    height=4.3,
    labels=("z1", "z2"),
)
shown = slice(5000)
reach = 3.8 * np.sqrt(flat_full[1].max())
cloud(panel, flat[shown], data.train_labels[shown], reach, flat_full[0])
for (mean, covariance), name in ((flat_factored, "factored"), (flat_full, "full")):
    variances, turned = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(turned[1, 1], turned[0, 1]))
    for sigmas in (1, 2):
        width, height = 2 * sigmas * np.sqrt(variances[::-1])
        style = {"ls": "--", "ec": FAINT} if name == "factored" else {"ec": EXACT}
        panel.add_patch(
            Ellipse(mean, width, height, angle=angle, fill=False, lw=1.3, **style)
        )
sides = np.argsort(holes[:, 0])
for side, x in ((sides[:3], 0.06), (sides[3:], 0.94)):
    for hole, y in zip(side[np.argsort(holes[side, 1])], (0.2, 0.5, 0.8), strict=True):
        thumbnail(panel, plane.decode(holes[[hole]]), holes[hole], WRONG, (x, y))
show(
    figure,
    "05_holes",
    "The codes of training images in a plane, coloured by digit: rays and islands with "
    "gaps between. The ellipses of both Gaussians cover gaps, and miss codes. Six "
    "framed images show what is decoded at draws that fell into gaps.",
)

# %% [markdown]
# "Building a good model in latent space amounts to our original problem", says
# note 004. A richer density for the codes would have to find every island and
# every gap by itself.
#
# ## The other way round
#
# Instead of fitting a density to the codes, fit the codes to a density. Fix the
# prior $p(z) = \mathcal N(0, I)$ beforehand, let the encoder give a whole
# distribution $q(z|x)$ for each image, and make it pay $\mathrm{KL}(q(z|x) \,\|\,
# p(z))$ for being different. (Lesson 07 shows that this is no trick but a bound
# on the likelihood.) What does the payment do? All codes together, of an image
# drawn at random, have the density
#
# $$q(z) = \frac1N \sum_{i=1}^N q(z|x_i). \tag{5.11}$$
#
# Add and subtract $\log q(z)$ in the KL, and take the mean over the images. In
# the second term $\log [q(z) / p(z)]$ no longer depends on $i$, so the mean over
# images makes $q(z|x_i)$ into $q(z)$:
#
# $$\begin{aligned}
#   \frac1N \sum_i \mathrm{KL}\big( q(z|x_i) \,\|\, p(z) \big)
#   &= \frac1N \sum_i \int q(z|x_i) \Big[ \log \frac{q(z|x_i)}{q(z)}
#      + \log \frac{q(z)}{p(z)} \Big]\, dz \\
#   &= \underbrace{\frac1N \sum_i \mathrm{KL}\big( q(z|x_i) \,\|\, q(z) \big)}_{
#      \text{what a code says about its image}}
#    + \underbrace{\mathrm{KL}\big( q(z) \,\|\, p(z) \big)}_{
#      \text{how far the codes are from the prior}}.
#   \end{aligned} \tag{5.12}$$
#
# Both are at least 0. The first pays for information; the second pays for
# exactly what went wrong above. Three images with one latent, on a grid:

# %%
grid = np.linspace(-12, 12, 4001)
step = grid[1] - grid[0]


def normal(mu, sigma):
    return np.exp(-(((grid - mu) / sigma) ** 2) / 2) / sigma / np.sqrt(2 * np.pi)


def kl(q, p):
    return (q * np.log(q / p)).sum() * step


each = [normal(mu, sigma) for mu, sigma in ((-1, 0.6), (0.3, 1.1), (2, 0.8))]
together, prior = sum(each) / 3, normal(0, 1)
paid = np.mean([kl(q, prior) for q in each])
information = np.mean([kl(q, together) for q in each])
mismatch = kl(together, prior)
print(f"paid {paid:.3f} = information {information:.3f} + mismatch {mismatch:.3f} nats")
assert np.isclose(paid, information + mismatch, rtol=1e-12)
assert information > 0 and mismatch > 0

# %% [markdown]
# And on digits: the covariance of the codes, a code of the VAE being one draw
# from $q(z|x)$. If the codes match the prior, it is the identity.

# %%
mu, sigma = vae.encode(x_train)
noisy = mu + sigma * rng.standard_normal(mu.shape, np.float32)
away = {
    "AE": np.abs(np.linalg.eigvalsh(full[1]) - 1).max(),
    "VAE": np.abs(np.linalg.eigvalsh(np.cov(noisy.T)) - 1).max(),
}
for name, most in away.items():
    print(f"{name:4} in one direction the variance of the codes is off by {most:.2f}")
assert 10 * away["VAE"] < away["AE"]

# %% [markdown]
# So whoever draws from $\mathcal N(0, I)$ draws where the decoder was trained.
# Not perfectly, as the samples above show: $q(z)$ has the right mean and
# variance now, but it is no Gaussian yet, and a decoder that was trained on
# noisy codes answers with means, which are soft (lesson 04). What was gained is
# a principle. Why this loss, where its gradients come from, and that nothing in
# it is arbitrary: lessons 06 to 10.
#
# ## Exercise
#
# In `lessons/exercises/05_sampling.py` fit a Gaussian to codes that do not count
# equally, each with a weight. Then ask
#
# ```sh
# numpyvae check 5
# ```
