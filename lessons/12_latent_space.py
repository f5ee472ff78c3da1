# %% [markdown]
# # 12 · What the latent space looks like
#
# *Two numbers for an image can be drawn on paper. Look at them, walk among
# them, and then ask what they are good for.*
#
# **You will** lay the codes of an auto-encoder and of a VAE side by side under
# the contours of the prior, print the map of a whole latent plane, take three
# kinds of walks through a larger space, show a model images from abroad, and
# write a classifier by hand to find out what the codes are worth with 100
# labels.
#
# **Reads with** note 001 (Leuphana, "Inspecting 2 latent dimensions"), note 003
# (Graham, the latent space of MNIST, applications), note 004 (Louppe, random
# walks, impersonation). **Takes** 31 seconds.

# %%
from statistics import NormalDist

import numpy as np
from lesson import digits, full_or_fast
from matplotlib.patches import Circle
from style import EXACT, cloud, sheet, show, strips

from numpyvae import VAE, Dataset, gradcheck, load_strokes, train
from numpyvae.analysis import classify
from numpyvae.cli.commands.plot import FRAMES, HARMONICS, smooth_loop
from numpyvae.pairs.dense import dense_backward_weights, dense_forward
from numpyvae.training.workers import Workers

rng = np.random.default_rng(12)
data = digits(full_or_fast(20_000, 1_500), full_or_fast(2_000, 500))


def greys(images):
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def fit(data, posterior, hidden, latent, epochs, batch):
    model = VAE(784, hidden, latent, posterior=posterior, seed=12)
    train(
        model, data, epochs=epochs, batch_size=batch,
        lr=full_or_fast(2, 4) / 1000, lr_end=5e-4, progress=False,
    )  # fmt: skip
    return model


# %% [markdown]
# ## Two latents
#
# The plane of note 001, and the circles that its $\mathcal N(0, 1)$ stands for.
# How much of $\mathcal N(0, I)$ lies in a circle of radius $r$? In polar
# coordinates the area element is $\rho\, d\rho\, d\varphi$; the angle gives $2
# \pi$, which cancels, and $\rho \exp(-\rho^2/2)$ is the derivative of
# $-\exp(-\rho^2/2)$:
#
# $$P(|z| < r) = \int_0^{2\pi} \!\! \int_0^r \frac{1}{2\pi} \exp(-\rho^2/2)\,
#   \rho\, d\rho\, d\varphi = 1 - \exp(-r^2/2): \tag{12.1}$$
#
# 39 % within one sigma, 86 % within two. (On a line it would be 68 and 95: a
# plane has more room outside.)

# %%
draws = full_or_fast(100_000, 20_000)
radii = np.linalg.norm(rng.standard_normal((draws, 2)), axis=1)
for r in (1, 2):
    share, exact = (radii < r).mean(), 1 - np.exp(-(r**2) / 2)
    assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / draws)
    print(f"within {r} sigma: {share:.3f} of the draws, (12.1) says {exact:.3f}")

# %%
x_train, x_test = greys(data.train_images), greys(data.test_images)
deep = full_or_fast(256, 64), full_or_fast(128, 32)
two = {
    name: fit(data, posterior, deep, 2, full_or_fast(12, 6), full_or_fast(64, 20))
    for name, posterior in (("AE", "point"), ("VAE", "diagonal"))
}
shown = slice(5000)
figure, panels = sheet(
    "Nobody told the auto-encoder where to put its codes; the VAE's fill the prior",
    names=("Auto-encoder; circles: 1, 2, 3 sigma of N(0, I)", "VAE"),
    height=2.9,
    labels=("z1", "z2"),
)
spread, inside, medians = {}, {}, {}
for (name, model), panel in zip(two.items(), panels, strict=True):
    mu, sigma = model.encode(x_train)
    z = mu + sigma * rng.standard_normal(mu.shape, np.float32)  # sigma is 0 for an AE
    spread[name] = np.linalg.eigvalsh(np.cov(z.T))
    inside[name] = (np.linalg.norm(z, axis=1) < 2).mean()
    variances = " and ".join(f"{v:.1f}" for v in spread[name])
    print(f"{name:4}{inside[name]:4.0%} within 2 sigma; variances {variances}")
    classes = (mu[data.train_labels == c] for c in range(10))
    medians[name] = np.array([np.median(each, axis=0) for each in classes])
    centre = np.median(mu, axis=0)
    reach = 1.7 * np.quantile(np.abs(mu - centre), 0.99)
    cloud(panel, mu[shown], data.train_labels[shown], reach, centre)
    for r in (1, 2, 3):
        panel.add_patch(Circle((0, 0), r, fill=False, ec=EXACT, lw=1.2, zorder=2))
show(
    figure,
    "12_planes",
    "Codes of training images coloured by digit, under circles at 1, 2 and 3 sigma of "
    "the prior. The auto-encoder's spread in rays far outside the circles; the VAE's "
    "fill them, each digit in a region of its own.",
)
off = {name: abs(share - (1 - np.exp(-2))) for name, share in inside.items()}
assert off["VAE"] < 2 / 3 * off["AE"]
assert np.abs(spread["VAE"] - 1).max() < np.abs(spread["AE"] - 1).max() / 3

# %% [markdown]
# Note the neighbours, too. Nobody told the model which digit is which, and yet
# a 4 lies beside a 9: what is drawn alike is decoded alike.

# %%
between = np.linalg.norm(medians["VAE"][:, None] - medians["VAE"], axis=2)
average = between.sum() / 90  # of ten times nine
print(f"from the 4s to the 9s {between[4, 9]:.2f}, between digits {average:.2f}")
assert between[4, 9] < average

# %% [markdown]
# ## The map
#
# Where every place of the plane stands for an image, decode a grid of places.
# But which grid? Even steps in $z$ would spend most of the page on corners that
# the prior never visits. Take even steps in *probability*: with $\Phi$ the
# distribution function of $\mathcal N(0, 1)$ and $u$ uniform between 0 and 1,
#
# $$P\big( \Phi^{-1}(u) \le t \big) = P\big( u \le \Phi(t) \big) = \Phi(t),
#   \tag{12.2}$$
#
# so $\Phi^{-1}(u)$ is a draw from $\mathcal N(0, 1)$, and $n$ even steps of $u$
# cut the line into $n$ pieces that a draw hits equally often. At the middle of
# each, $z = \Phi^{-1}((i + \frac12) / n)$.

# %%
n = 14
normal = NormalDist()
middles = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)], np.float32)
edges = [normal.inv_cdf(i / n) for i in range(1, n)]
hits = np.bincount(np.digitize(rng.standard_normal(draws), edges), minlength=n)
surprise = ((hits - draws / n) ** 2 / (draws / n)).sum()  # chi-squared, n - 1 degrees
assert surprise < n - 1 + 4 * np.sqrt(2 * (n - 1))

z = np.stack(np.meshgrid(middles, middles[::-1]), axis=-1).reshape(-1, 2)
images = two["VAE"].decode(z)
figure = strips(
    "The whole plane: a draw from the prior hits each cell equally often",
    [("", images[i : i + n]) for i in range(0, n * n, n)],
    names=0,
)
show(
    figure,
    "12_map",
    "Fourteen by fourteen decoded images, which melt into each other from cell to "
    "cell: ones in one corner, zeros and sixes in another, the rest between.",
)

# %% [markdown]
# ## Three walks
#
# Now 32 latents, where there is no map, only paths.
#
# **From here to there.** Lesson 04 went in a straight line between two codes.
# In a space of many dimensions that has a catch. Let $z$ and $z'$ be
# independent draws from the prior, $\mathbb E |z|^2 = Z$. On the line, the cross
# term has mean zero, and
#
# $$\mathbb E\, \big| (1 - t)\, z + t\, z' \big|^2
#   = \big[ (1 - t)^2 + t^2 \big]\, Z, \tag{12.3}$$
#
# one half of $Z$ in the middle. But $|z|^2$ of a draw, a sum of $Z$ squares, each
# of variance 2, stays within a few $\sqrt{2Z}$ of $Z$: the prior is a shell, and
# a straight line cuts through its nearly empty inside. Weights whose *squares*
# add up to one keep to the shell:
#
# $$z_t = z \cos \tfrac{\pi t}{2} + z' \sin \tfrac{\pi t}{2}, \qquad
#   \mathbb E |z_t|^2 = \big[ \cos^2 + \sin^2 \big]\, Z = Z, \tag{12.4}$$
#
# and $z_t$, a sum of two independent Gaussians, is itself a draw from the prior.

# %%
Z = 32
here, there = rng.standard_normal((2, draws, Z), np.float32)
squares = {
    "draws": (here**2).sum(axis=1),
    "mid-line": ((here / 2 + there / 2) ** 2).sum(axis=1),
    "mid-arc": ((here + there) ** 2).sum(axis=1) / 2,  # cos² = sin² = 1/2
}
for (name, each), exact in zip(squares.items(), (Z, Z / 2, Z), strict=True):
    error = each.std() / np.sqrt(draws)
    print(
        f"{name:9}|z|² = {each.mean():.2f}, {(each < Z / 2).mean():4.0%} below {Z / 2}"
    )
    assert abs(each.mean() - exact) < 4 * error

# %% [markdown]
# **Nowhere in particular.** A random walk that adds noise, $z + \delta
# \varepsilon$, gains the variance $\delta^2$ at each step and leaves the prior
# for good. Shrink first:
#
# $$z' = \rho z + \sqrt{1 - \rho^2}\, \varepsilon, \qquad
#   \operatorname{Var} z' = \rho^2 \cdot 1 + (1 - \rho^2) = 1. \tag{12.5}$$
#
# If $z$ is a draw from the prior, so is $z'$, and so is every step after it.
# Such a walk is rough. The package's `smooth_loop`, which makes its moving
# pictures, adds waves instead, of $1$ to $K$ periods in $T$ frames, with
# $a_k, b_k \sim \mathcal N(0, 1)$,
#
# $$z_t = \frac{1}{\sqrt K} \sum_{k=1}^K \Big( a_k \cos \frac{2 \pi k t}{T}
#   + b_k \sin \frac{2 \pi k t}{T} \Big), \qquad
#   \mathbb E\, z_t z_s = \frac1K \sum_{k=1}^K \cos \frac{2 \pi k (t - s)}{T},
#   \tag{12.6}$$
#
# because $\mathbb E a_k^2 = \mathbb E b_k^2 = 1$, all other products have mean
# 0, and $\cos \alpha \cos \beta + \sin \alpha \sin \beta = \cos(\alpha -
# \beta)$. At $t = s$ it is 1: each frame is a draw from the prior. It depends
# on $t - s$ alone, and the last frame leads back to the first.

# %%
rho, walkers = 0.9, full_or_fast(20_000, 5_000)
z = start = rng.standard_normal(walkers)
for _ in range(10):
    z = rho * z + np.sqrt(1 - rho**2) * rng.standard_normal(walkers)
error = np.sqrt(2 / walkers)
print(f"after 10 steps: variance {z.var():.3f} ± {error:.3f}, ", end="")
print(f"correlation with the start {np.mean(z * start):.3f}, rho^10 {rho**10:.3f}")
assert abs(z.var() - 1) < 4 * error and abs(np.mean(z * start) - rho**10) < 4 * error

T, K = FRAMES, HARMONICS
loop = smooth_loop(rng, T, (walkers,))
products = loop @ loop.T / walkers
apart = np.arange(T)[:, None] - np.arange(T)
expected = np.mean([np.cos(2 * np.pi * k * apart / T) for k in range(1, K + 1)], axis=0)
assert np.abs(products - expected).max() < 5 * error  # the worst of 6,400 products

# %% [markdown]
# **One step aside.** A traversal moves one latent and keeps the others. Which?
# By the law of total variance, over all images,
#
# $$\operatorname{Var} z_j
#   = \underbrace{\mathbb E\, \sigma_j^2(x)}_{\text{noise}}
#   + \underbrace{\operatorname{Var} \mu_j(x)}_{\text{what the image says}}.
#   \tag{12.7}$$
#
# The KL wants the sum to be near 1. A latent that carries an image has most of
# it in the second term. One that was given up has $\mu = 0$ and $\sigma = 1$
# for every image, costs nothing, says nothing, and moves nothing.

# %%
wide = (full_or_fast(256, 64),)
epochs_and_batch = full_or_fast(10, 6), full_or_fast(128, 20)
home = fit(data, "diagonal", wide, Z, *epochs_and_batch)
mu, sigma = home.encode(x_train)
said, noise = mu.var(axis=0), (sigma**2).mean(axis=0)
drawn = (mu + sigma * rng.standard_normal(mu.shape, np.float32)).var(axis=0)
assert np.allclose(drawn, said + noise, atol=6 * drawn.max() * np.sqrt(2 / len(mu)))

order = np.argsort(-said)
reach = np.linspace(-3, 3, 9, dtype=np.float32)
start = mu[data.train_labels == 3][:1]
traversed = {}
for j in (order[0], order[1], order[-1]):
    z = np.repeat(start, len(reach), axis=0)
    z[:, j] = reach
    traversed[j] = home.decode(z)
moved = {j: images.var(axis=0).sum() for j, images in traversed.items()}
print("latent   Var mu   E sigma²   pixels moved, squared greys")
for j in moved:
    print(f"z{j + 1:<6} {said[j]:7.3f} {noise[j]:9.3f} {moved[j]:12.3f}")
assert moved[order[-1]] < moved[order[0]] / 5

# %%
codes, _ = home.encode(x_test)
first, last = (np.flatnonzero(data.test_labels == c)[0] for c in (2, 5))
t = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
line = (1 - t) * codes[first] + t * codes[last]
arc = np.cos(np.pi * t / 2) * codes[first] + np.sin(np.pi * t / 2) * codes[last]
walk = rng.standard_normal((1, Z), np.float32)
for _ in range(8):
    step = rng.standard_normal(Z, np.float32)
    walk = np.vstack([walk, 0.9 * walk[-1:] + np.sqrt(0.19, dtype=np.float32) * step])
names = [f"z{j + 1}: Var mu\n{said[j]:.2f}" for j in traversed]
figure = strips(
    "A path between codes, a walk in the prior, and one latent at a time",
    [
        ("Two ways from a 2 to a 5", []),
        ("line", home.decode(line)),
        ("arc", home.decode(arc)),
        ("Nine steps of a random walk, rho = 0.9", []),
        ("walk", home.decode(walk)),
        ("One latent from -3 to 3, in a code of a 3", []),
        *zip(names, traversed.values(), strict=True),
    ],
    names=1.1,
)
show(
    figure,
    "12_walks",
    "Decoded images along paths: from a 2 to a 5 on a line and on an arc; a random "
    "walk on which one digit becomes another; a 3 whose slant and width change with "
    "two latents, and do not change at all with a third.",
)

# %% [markdown]
# ## Images from abroad
#
# Note 004 sends an unknown face through a model of faces and gets a face it
# knows. Here: a model of one hand, and the digits of another. Both models, both
# kinds of images, and the price $-\mathrm{ELBO}$ of each (of binary pixels).

# %%
if data.name == "mnist":
    abroad = load_strokes(len(data.train_images), len(data.test_images))
else:  # then the strokes in a mirror must do
    flipped = (data.train_images[:, :, ::-1], data.test_images[:, :, ::-1])
    abroad = Dataset(
        "mirrored", flipped[0], data.train_labels, flipped[1], data.test_labels
    )
models = {
    data.name: home,
    abroad.name: fit(abroad, "diagonal", wide, Z, *epochs_and_batch),
}
tests = {d.name: greys(d.test_images) for d in (data, abroad)}


def price(model, x):
    """-ELBO of each image in nats, its pixels binarized at random, one z for each."""
    noise = np.random.default_rng(0)
    x = (noise.random(x.shape, np.float32) < x).astype(np.float32)
    return model.forward(x, noise.standard_normal((len(x), Z), np.float32)).loss


print(f"{'-ELBO, nats':18}" + "".join(f"{'of ' + name:>14}" for name in tests))
prices = {}
for at, model in models.items():
    prices[at] = {of: price(model, x) for of, x in tests.items()}
    row = "".join(f"{p.mean():14.1f}" for p in prices[at].values())
    print(f"model of {at:9}{row}")
gains = [prices[abroad.name][of] - prices[data.name][of] for of in tests]
dearer = gains[0].mean() - gains[1].mean()
error = np.sqrt(sum(g.var() / len(g) for g in gains))
print(f"off the diagonal: {dearer:.1f} ± {error:.1f} nats dearer than on it, together")
assert dearer > 4 * error

# %% [markdown]
# Off the diagonal an image costs more: a model knows its own. How much more
# says how foreign: MNIST and the pen strokes are a few nats apart, digits in a
# mirror more than forty. And what does a model see abroad?

# %%
other = abroad.name
some = [np.flatnonzero(abroad.test_labels == c)[0] for c in range(10)]
turned = np.rot90(data.test_images[:10], axes=(1, 2)).reshape(10, 784)
turned = turned.astype(np.float32) / np.float32(255)
noise = (rng.random((10, 784)) < 0.13).astype(np.float32)
seen = {f"{other}": tests[other][some], "turned": turned, "noise": noise}
rows = []
for name, x in seen.items():
    rows += [(name, x), ("as it is\nunderstood", home.reconstruct(x))]
figure = strips(f"What a model of {data.name} makes of what it has never seen", rows)
show(
    figure,
    "12_abroad",
    "Pairs of rows. Digits of another hand come back as digits of the model's own; "
    "digits on their side come back bent towards upright ones; noise as grey clouds.",
)

# %% [markdown]
# ## What are codes good for?
#
# Sort digits with 100 labels, ten of each class. The classifier is the smallest
# there is: one dense layer from features to $C$ logits $l_c$, and the
# probability of each class
#
# $$p_c = \frac{\exp l_c}{\sum_k \exp l_k}, \qquad R = -\log p_y, \tag{12.8}$$
#
# where $y$ is the label. A constant added to all logits multiplies numerator
# and denominator by the same factor. Take the largest logit away, and no
# exponential overflows, and no probability is rounded to 0 before its logarithm
# is taken:
#
# $$R = \log \sum_{c=1}^C \exp(l_c - m) - (l_y - m),
#   \qquad m = \max_c l_c. \tag{12.9}$$
#
# The gradient: $\partial \log \sum_k \exp l_k / \partial l_c = \exp l_c / \sum_k
# \exp l_k = p_c$, and $\partial l_y / \partial l_c$ is 1 for $c = y$ and else 0:
#
# $$\bar l_c = \bar R \left( p_c - [\,c = y\,] \right). \tag{12.10}$$
#
# What is there minus what should be there, once more: (4.3), and (11.3).


# %%
def softmax(logits, labels):
    """-log p of each label (B,), and p (B, C)."""
    l = logits - logits[np.arange(len(logits)), logits.real.argmax(axis=1)][:, None]
    p = np.exp(l) / np.exp(l).sum(axis=1, keepdims=True)
    return np.log(np.exp(l).sum(axis=1)) - l[np.arange(len(l)), labels], p


def softmax_gradient(dR, logits, labels):
    _, p = softmax(logits, labels)
    return dR[:, None] * (p - (labels[:, None] == np.arange(p.shape[1])))


labels = np.array([2, 0, 3, 3, 1])
logits = rng.normal(size=(5, 4))
report = gradcheck(
    lambda l: softmax(l, labels)[0],
    lambda dR, l: softmax_gradient(dR, l, labels),
    logits,
)
assert report, report
for mine, theirs in zip(
    softmax(logits, labels), classify.softmax_forward(logits, labels), strict=True
):
    assert np.allclose(mine, theirs, rtol=1e-14)
R, p = softmax(np.array([[1000.0, 0.0]]), np.array([1]))
assert R[0] == 1000.0  # exp(1000) overflows; (12.9) doesn't ask for it

# %% [markdown]
# With a weight decay $\lambda$, which 100 labels need, the loss and its gradient
# are
#
# $$L = \frac1B \sum_{i=1}^B R_i + \frac\lambda2 \sum_{nc} W_{nc}^2, \qquad
#   \bar W = x^\top \bar l + \lambda W, \qquad \bar b = \sum_i \bar l_i.
#   \tag{12.11}$$
#
# It has one minimum and no other valley. Along any line in $(W, b)$ the logits
# of an image move along a line too, $l + t v$. The first derivative of $R$ in
# $t$ is $\sum_c p_c v_c - v_y$; and since $dp_c/dt = p_c\, (v_c - \sum_k p_k
# v_k)$, the second is $\sum_c p_c v_c^2 - (\sum_c p_c v_c)^2$: the variance of
# $v_c$ when $c$ is drawn from $p$. A variance is at least 0, so $L$ is convex.
# And it is at most $(\max v - \min v)^2 / 4 \le |v|^2 / 2$: the first because
# no distribution on an interval varies more than half at each end, the second
# because $(a - b)^2 \le 2 (a^2 + b^2)$. For a step of length 1 in $(W, b)$, the
# $|v_i|^2$ of all images add up to at most $s^2$, $s$ being the largest
# singular value of $x$ beside a column of ones. Together,
#
# $$0 \le \frac{d^2 L}{dt^2} \le \frac{s^2}{2B} + \lambda. \tag{12.12}$$
#
# One over this bound is a step of gradient descent that can't overshoot.


# %%
def train_classifier(x, labels, decay, steps):
    """W (N, C) and b (C,) by gradient descent from zero."""
    W, b = np.zeros((x.shape[1], 10)), np.zeros(10)
    s = np.linalg.norm(np.hstack([x, np.ones((len(x), 1))]), 2)
    rate = 1 / (s**2 / (2 * len(x)) + decay)  # (12.12)
    losses = []
    for _ in range(steps):
        logits = dense_forward(x, W, b)
        R, _ = softmax(logits, labels)
        losses.append(R.mean() + decay / 2 * (W**2).sum())
        dlogits = softmax_gradient(np.full(len(x), 1 / len(x)), logits, labels)
        dW, db = dense_backward_weights(dlogits, x)
        W, b = W - rate * (dW + decay * W), b - rate * db
    return W, b, losses


scale = classify.Scale.of(mu.astype(np.float64))
rows = classify.draw_balanced(data.train_labels, 100, 10, rng)
x, y = scale(mu[rows]).astype(np.float64), data.train_labels[rows].astype(int)
W, b, losses = train_classifier(x, y, 0.1, full_or_fast(2000, 1000))
assert np.all(np.diff(losses) <= 1e-14)  # downhill at every step, to rounding
minimum = classify.fit(x, y, 10, 0.1)
there, _ = classify.loss_and_gradient(minimum, x, y, 0.1)
beyond = losses[-1] - there
print(
    f"gradient descent {losses[-1]:.6f} nats, {beyond:.1e} above the package's minimum"
)
assert abs(beyond) < 1e-4

# %% [markdown]
# Now the question. Features: the pixels themselves, the codes $\mu$ of the VAE,
# the codes of an auto-encoder, and as a control 32 random directions in the
# space of pixels. Several draws of the 100 labels, the same for all; the decay
# is chosen by cross-validation among those labels.

# %%
ae = fit(data, "point", wide, Z, *epochs_and_batch)
random = rng.standard_normal((784, Z), np.float32)
features = {
    "784 raw pixels": (x_train, x_test),
    "32 codes, VAE": (mu, home.encode(x_test)[0]),
    "32 codes, AE": (ae.encode(x_train)[0], ae.encode(x_test)[0]),
    "32 random directions": (x_train @ random, x_test @ random),
}
draws = full_or_fast(6, 3)
chosen = [classify.draw_balanced(data.train_labels, 100, 10, rng) for _ in range(draws)]
wrong = {}
with Workers(1):
    for name, (known, asked) in features.items():
        scale = classify.Scale.of(known)
        known, asked, wrong[name] = scale(known), scale(asked), []
        for rows in chosen:
            x, y = known[rows], data.train_labels[rows]
            if not wrong[name]:
                decay = classify.choose_decay(x, y, 10, (0.1, 1.0))
            errors = classify.fit(x, y, 10, decay).errors(asked, data.test_labels)
            wrong[name].append(100 * errors / len(asked))
wrong = {name: np.array(each) for name, each in wrong.items()}
print(f"errors on test images, %, mean and deviation of {draws} draws of 100 labels")
for name, each in wrong.items():
    print(f"  {name:21} {each.mean():5.1f} ± {each.std(ddof=1):.1f}")

# %% [markdown]
# An honest result: 32 numbers do the work of 784, and hardly more than that. In
# the full run the VAE's codes gain a point on MNIST's pixels and lose one on the
# strokes'; either is less than what another draw of the labels changes. (With
# all of MNIST and 20 latents they lost: 26.4 ± 1.1 % against 24.1 ± 1.4 %.) The
# codes are not empty: 32 random numbers of an image are far worse. But the VAE
# was asked for pixels, not for classes, and a linear classifier finds a 7 no
# easier among its codes than in the image.

# %%
pixels, vae, auto, control = wrong.values()
gain = pixels - vae  # of the same labels
error = gain.std(ddof=1) / np.sqrt(draws)
print(f"the VAE's codes gain {gain.mean():.1f} ± {error:.1f} points on the pixels")
assert gain.mean() < pixels.std(ddof=1)  # less than luck with the labels
assert max(vae.mean(), auto.mean()) < control.mean()
assert control.mean() < 90  # what guessing gets

# %% [markdown]
# With 100 labels Kingma et al. (2014) reached 11.82 % with a support vector
# machine on the codes of a larger VAE, which bends its borders; 11.97 % with a
# model that has the label inside; and 3.33 % with one on top of the other. What
# helped was to put the label into the *model*.
#
# ## Exercise
#
# All codes of a data set together have a mean and a covariance, and if they
# match the prior, these are 0 and $I$. In `lessons/exercises/12_latent_space.py`
# compute them from $\mu$ and $\ell$ of all images, without drawing a single $z$.
# Then ask
#
# ```sh
# numpyvae check 12
# ```
