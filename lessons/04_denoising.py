# %% [markdown]
# # 04 · Deep and denoising auto-encoders
#
# *Ask a network for the one best answer, and where there are two it gives you
# the grey one in between. Here is why, and why no other network helps.*
#
# **You will** train a deep auto-encoder with two losses, walk from one digit to
# another through its codes, teach it to undo noise, and prove what it learns
# then: the conditional expectation $\mathbb E[x \,|\, \tilde x]$, which may be
# an image that never occurs.
#
# **Reads with** note 004 (Louppe, lecture 7, "Deep auto-encoders" to "Denoising
# auto-encoders"), note 002 (handwritten, "standard way to train"). **Takes** 23
# seconds.

# %%
import numpy as np
from lesson import digits, full_or_fast
from style import ESTIMATE, EXACT, FAINT, WRONG, sheet, show, strips

from numpyvae import VAE, gradcheck, train
from numpyvae.analysis.pca import principal_axes
from numpyvae.datasets.corrupt import Corruption
from numpyvae.pairs.activations import RELU, sigmoid_forward, softplus_forward
from numpyvae.pairs.dense import dense_backward, dense_backward_weights, dense_forward
from numpyvae.pairs.reference import reference
from numpyvae.training.optimizers import Adam
from numpyvae.training.workers import Workers

rng = np.random.default_rng(4)

# %% [markdown]
# ## Two losses
#
# An encoder $f_\phi$ makes a code $z = f_\phi(x)$ of $Z$ numbers from $D$
# pixels, a decoder $g_\theta$ makes $D$ pixels $\hat x = g_\theta(z)$ of it.
# Lesson 01 kept both linear. Now each has a hidden layer with an activation, so
# that what is kept of an image need no longer lie on a flat. Note 004 asks for
# little squared error; note 002 for little cross-entropy, where $\hat x_j =
# \sigma(l_j)$ is read as the probability of ink:
#
# $$S = \sum_{j=1}^D (x_j - \hat x_j)^2, \qquad
#   C = -\sum_{j=1}^D \big[ x_j \log \hat x_j
#     + (1 - x_j) \log (1 - \hat x_j) \big].
#   \tag{4.1}$$
#
# $C$ is a likelihood, as note 002 says. Of one binary pixel with probability
# $\hat x$ of ink, the probability to see $x$ is $\hat x$ for $x = 1$ and $1 -
# \hat x$ for $x = 0$, in one formula $\hat x^x (1 - \hat x)^{1-x}$. Pixels are
# independent given $z$, so the probabilities multiply, and minus the logarithm
# of the product is $C$.

# %%
x = np.array([0.0, 1.0, 1.0])
p = np.array([0.2, 0.9, 0.4])
C = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
assert np.isclose(np.exp(-C), 0.8 * 0.9 * 0.4, rtol=1e-15)

# %% [markdown]
# > **Erratum E5** (note 002). The page prints $-\sum x \log \hat x + (1 - x)
# > \log \hat 1$: the bracket of (4.1) is missing, and $\hat 1$ stands for $1 -
# > \hat x$. Read as printed, the minus covers the first term alone. That loss
# > has no minimum: its derivative in a logit is $-x (1 - \hat x) - (1 - x)\,
# > \hat x$, negative for every $x$ from 0 to 1. Each step of descent adds ink,
# > and a page full of ink is the "best" reconstruction of every image.

# %%
for x in (0.0, 0.3, 1.0):
    ink = np.array([0.5, 0.9, 0.999, 1 - 1e-9])
    printed = -x * np.log(ink) + (1 - x) * np.log(1 - ink)
    right = -x * np.log(ink) - (1 - x) * np.log(1 - ink)
    print(f"pixel {x}: as printed {np.round(printed, 2)}, right {np.round(right, 2)}")
    assert np.all(np.diff(printed) < 0)  # more ink is always better
    assert np.all(np.diff(right) > 0) or x == 1  # not so, unless it is ink

# %% [markdown]
# Their gradients where they enter the network. $S$ is a square; for $C$ go
# through $\hat x$ first, and meet the sigmoid's slope $\hat x (1 - \hat x)$:
#
# $$\frac{\partial C}{\partial \hat x_j}
#   = -\frac{x_j}{\hat x_j} + \frac{1 - x_j}{1 - \hat x_j}
#   = \frac{\hat x_j - x_j}{\hat x_j (1 - \hat x_j)}, \qquad
#   \frac{\partial \hat x_j}{\partial l_j} = \hat x_j (1 - \hat x_j). \tag{4.2}$$
#
# The fraction cancels. Both losses send the same thing back, what is there
# minus what should be there:
#
# $$\bar{\hat x}_j = 2\, \bar S\, (\hat x_j - x_j), \qquad
#   \bar l_j = \bar C\, (\hat x_j - x_j). \tag{4.3}$$
#
# (Take the *square* of a sigmoid and nothing cancels: a pixel that is wrong and
# sure of it, $\hat x (1 - \hat x) \approx 0$, then hardly learns.)
#
# ## Write it
#
# Four dense layers of lesson 02, one after the other and back. The first and the
# third have a tanh behind them, whose slope is $1 - h^2$ and $1 - g^2$ (2.7).


# %%
def outputs(x, V, a, U, c, A, b, G, d):
    """Encoder: tanh layer V, a, code U, c. Decoder: tanh layer A, b, pixels G, d."""
    h = np.tanh(dense_forward(x, V, a))
    z = dense_forward(h, U, c)
    g = np.tanh(dense_forward(z, A, b))
    return h, z, g, dense_forward(g, G, d)


def gradients(dout, x, V, a, U, c, A, b, G, d):
    """The same list from right to left."""
    h, z, g, _ = outputs(x, V, a, U, c, A, b, G, d)
    dg, dG, dd = dense_backward(dout, g, G)
    dz, dA, db = dense_backward(dg * (1 - g**2), z, A)
    dh, dU, dc = dense_backward(dz, h, U)
    dV, da = dense_backward_weights(dh * (1 - h**2), x)
    return None, dV, da, dU, dc, dA, db, dG, dd


def squared_error(x, *params):
    return ((x - outputs(x, *params)[-1]) ** 2).sum(axis=1)


def squared_error_gradient(dS, x, *params):
    return gradients(2 * dS[:, None] * (outputs(x, *params)[-1] - x), x, *params)


def cross_entropy(x, *params):
    l = outputs(x, *params)[-1]
    return (softplus_forward(l) - x * l).sum(axis=1)  # (2.6) keeps it finite


def cross_entropy_gradient(dC, x, *params):
    p = sigmoid_forward(outputs(x, *params)[-1])
    return gradients(dC[:, None] * (p - x), x, *params)


# %% [markdown]
# The last form of $C$: $\log \hat x = l - \log(1 + \exp l)$ and $\log(1 - \hat
# x) = -\log(1 + \exp l)$, so $C = \sum_j [\log(1 + \exp l_j) - x_j l_j]$.
#
# ## Check it, and meet the package
#
# In the package an auto-encoder is a VAE whose posterior is a point: no noise,
# no KL. Its Gaussian likelihood is half of $S$, and a constant (lesson 11 shows
# where from).

# %%
D, H, Z = 6, 5, 2  # all different: a transposed matrix has nowhere to hide
for name, loss, gradient, likelihood in (
    ("S", squared_error, squared_error_gradient, "gaussian"),
    ("C", cross_entropy, cross_entropy_gradient, "bernoulli"),
):
    model = VAE(
        D, (H,), Z, "tanh", posterior="point", likelihood=likelihood,
        dtype=np.float64, compiled=False, seed=4,
    )  # fmt: skip
    x, weights = rng.random((3, D)), list(model.params.values())
    report = gradcheck(loss, gradient, x, *weights)
    assert report, report

    half, constant = (2, D / 2 * np.log(2 * np.pi)) if name == "S" else (1, 0)
    theirs, their_gradient = model.loss_and_gradient(x, np.zeros((3, Z)))
    assert np.isclose(loss(x, *weights).mean() / half + constant, theirs, rtol=1e-14)
    ours = gradient(np.full(3, 1 / 3 / half), x, *weights)[1:]
    for mine, its in zip(ours, their_gradient.values(), strict=True):
        assert np.allclose(mine, its, rtol=1e-12, atol=1e-15)
    print(f"{name}: every gradient right, and equal to the package's")

# %% [markdown]
# ## On digits
#
# Sixteen numbers for 784 pixels, with either loss, beside the best linear
# choice of sixteen numbers: PCA.

# %%
data = digits(full_or_fast(20_000, 1_000), full_or_fast(2_000, 400))
x_train, x_test = (
    images.reshape(-1, 784).astype(np.float32) / np.float32(255)
    for images in (data.train_images, data.test_images)
)
Z, batch = full_or_fast(16, 8), full_or_fast(128, 20)
rate = full_or_fast(2, 4) / 1000


def fit(likelihood, latent, epochs, **how):
    model = VAE(
        784, (full_or_fast(256, 128),), latent,
        posterior="point", likelihood=likelihood, seed=4,
    )  # fmt: skip
    train(
        model, data, epochs=epochs, batch_size=batch, lr=rate, lr_end=5e-4,
        binarize="none", progress=False, **how,
    )  # fmt: skip
    return model


epochs = full_or_fast(8, 10)
squared, crossed = fit("gaussian", Z, epochs), fit("bernoulli", Z, epochs)

# %%
mean, axes, _ = principal_axes(x_train, Z)
linear = mean + (x_test - mean) @ axes.T @ axes


def errors(reconstructed):
    """S of each test image: squared greys, 1 is ink."""
    return ((x_test - reconstructed) ** 2).sum(axis=1)


by_pca, by_squared = errors(linear), errors(squared.reconstruct(x_test))
by_crossed = errors(crossed.reconstruct(x_test))
print(f"squared error of a test image, {Z} numbers kept of it")
print(f"  the mean image for all          {errors(mean).mean():5.1f}")
print(f"  PCA                             {by_pca.mean():5.1f}")
print(f"  deep, trained for S             {by_squared.mean():5.1f}")
print(f"  deep, trained for C             {by_crossed.mean():5.1f}")
for deep in (by_squared, by_crossed):
    gain = by_pca - deep
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
assert by_crossed.mean() < 1.15 * by_squared.mean()

# %% [markdown]
# Bending pays. And look at the last line: the network that was never asked for
# a small squared error is as good at it, in the full run even better. Its
# sigmoid knows that ink lies between 0 and 1; the other network must learn that
# for every blank corner.
#
# ## Halfway between two digits
#
# Take two images $x$ and $x'$. On the straight line between the *pixels*,
# $(1-t)\, x + t\, x'$, each stroke that only one of them has is grey. On the
# straight line between the *codes*,
#
# $$\hat x_t = g_\theta\big( (1 - t)\, f_\phi(x) + t\, f_\phi(x') \big),
#   \tag{4.4}$$
#
# the decoder bends the line back onto images it knows. A linear decoder can't:
# $g(z) = m + U z$ gives $(1-t)\, g(z) + t\, g(z')$, the cross-fade again. So this
# is something that only depth buys.

# %%
pairs = 1000
first, last = rng.integers(0, len(x_test), (2, pairs))
z = (x_test - mean) @ axes.T
halfway = mean + (z[first] + z[last]) / 2 @ axes  # PCA's (4.4)
faded = (linear[first] + linear[last]) / 2
assert np.allclose(halfway, faded, atol=1e-5)  # float32's rounding: one and the same

codes, _ = crossed.encode(x_test)
in_codes = crossed.decode((codes[first] + codes[last]) / 2)
in_pixels = (x_test[first] + x_test[last]) / 2

# %% [markdown]
# Is what lies halfway a digit? Ask how far the nearest training image is.


# %%
def to_nearest(images):
    """Squared distance of each to its nearest training image."""
    products = images @ x_train.T
    squares = (images**2).sum(axis=1)[:, None] + (x_train**2).sum(axis=1)
    return (squares - 2 * products).min(axis=1)


real, pixels, coded = map(to_nearest, (x_test, in_pixels, in_codes))
print("squared distance to the nearest training image")
print(f"  test images             {real.mean():5.1f}")
print(f"  halfway between pixels  {pixels.mean():5.1f}")
print(f"  halfway between codes   {coded.mean():5.1f}")
gain = pixels - coded
assert gain.mean() > 4 * gain.std() / np.sqrt(pairs)


# %%
def best_kept(label):
    """The test image of a class that its code keeps best."""
    return np.where(data.test_labels == label, by_crossed, np.inf).argmin()


rows = []
t = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
for i, j in ((best_kept(a), best_kept(b)) for a, b in ((3, 8), (1, 7), (4, 9))):
    rows.append(("pixels", (1 - t) * x_test[i] + t * x_test[j]))
    path = crossed.decode((1 - t) * codes[i] + t * codes[j])
    rows.append(("codes", path))
figure = strips(
    "Between pixels one digit fades into another; between codes it bends into it",
    rows,
    names=0.7,
)
show(
    figure,
    "04_interpolation",
    "Three pairs of rows, from 3 to 8, 1 to 7 and 4 to 9. On the pixels' line both "
    "digits lie over each other in grey; on the codes' line single strokes move.",
)

# %% [markdown]
# ## Noise, and what it costs
#
# A denoising auto-encoder sees a corrupted image $\tilde x$ and is to return
# the clean $x$. Three ways to spoil an image:


# %%
def corrupt(x, how, level, rng):
    if how == "gaussian":
        return x + np.float32(level) * rng.standard_normal(x.shape, np.float32)
    chosen = rng.random(x.shape, np.float32) < level
    if how == "mask":
        return np.where(chosen, 0, x)
    return np.where(chosen, rng.integers(0, 2, x.shape, np.uint8), x)  # salt, pepper


# %% [markdown]
# Gaussian noise adds the variance $s^2$ to each of $D$ pixels. A mask takes a
# pixel's ink away with probability $s$, an error of $x_j^2$. Salt and pepper
# replaces it with probability $s$, by 0 or by 1. So the error $\mathbb E \|
# \tilde x - x \|^2$ of doing nothing about it is
#
# $$D s^2, \qquad s \sum_j x_j^2, \qquad
#   \frac s2 \sum_j \big( x_j^2 + (1 - x_j)^2 \big). \tag{4.5}$$

# %%
LEVELS = {"gaussian": 0.5, "mask": 0.5, "salt-and-pepper": 0.3}
squares, opposite = (x_test**2).sum(axis=1), ((1 - x_test) ** 2).sum(axis=1)
expected = {
    "gaussian": 784 * 0.25 + 0 * squares,
    "mask": 0.5 * squares,
    "salt-and-pepper": 0.15 * (squares + opposite),
}
spoilt = {}
for how, level in LEVELS.items():
    spoilt[how] = corrupt(x_test, how, level, np.random.default_rng(0))
    theirs = Corruption(how, level)(x_test, np.random.default_rng(0))
    assert np.array_equal(spoilt[how], theirs)  # the package's, to the bit
    surprise = errors(spoilt[how]) - expected[how]
    score = surprise.mean() / (surprise.std() / np.sqrt(len(x_test)))
    assert abs(score) < 4

# %% [markdown]
# One network for each. The encoder looks at `seen`; the loss compares with the
# clean image.

# %%
restored = {}
for how, level in LEVELS.items():
    model = fit("gaussian", 2 * Z, full_or_fast(5, 2), corrupt=how, level=level)
    eps = np.zeros((len(x_test), 2 * Z), np.float32)  # a point has no noise
    forward = model.forward(x_test, eps, seen=spoilt[how])
    restored[how] = model.likelihood.mean(forward.gs[-1].y)
    before, after = errors(spoilt[how]), errors(restored[how])
    print(f"{how:16} {before.mean():6.1f} -> {after.mean():5.1f} squared greys")
    gain = before - after
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))

# %%
rows = []
for how in LEVELS:
    rows += [(how, spoilt[how][:9].clip(0, 1)), ("restored", restored[how][:9])]
rows = [(name, images.clip(0, 1)) for name, images in rows]
figure = strips(
    "Three kinds of noise, undone by networks that have never seen these digits",
    [*rows, ("truth", x_test[:9])],
)
show(
    figure,
    "04_noise",
    "Test digits under Gaussian noise, with half of their pixels masked, and under "
    "salt and pepper; below each row the network's restoration, legible but soft.",
)

# %% [markdown]
# Legible, but soft: it draws every stroke a little wide and grey. Not for lack
# of training.
#
# ## What the best denoiser is
#
# Let $h$ be any function of $\tilde x$ at all, and $m(\tilde x) = \mathbb
# E[x \,|\, \tilde x]$. Put $m$ between $x$ and $h$ and multiply out:
#
# $$\begin{aligned}
#   \mathbb E \| x - h(\tilde x) \|^2
#   &= \mathbb E \| (x - m) + (m - h) \|^2 \\
#   &= \mathbb E \| x - m \|^2 + 2\, \mathbb E\, (x - m)^\top (m - h)
#    + \mathbb E \| m - h \|^2 .
#   \end{aligned} \tag{4.6}$$
#
# The cross term vanishes. Average in two steps, first over $x$ at a fixed
# $\tilde x$, then over $\tilde x$. In the first step $m - h$ is a constant, and
# the mean of $x - m$ is $m - m = 0$ by the definition of $m$:
#
# $$\mathbb E\, (x - m)^\top (m - h)
#   = \mathbb E_{\tilde x} \Big[
#     \underbrace{\mathbb E [\, x - m(\tilde x) \,|\, \tilde x \,]}_{0} {}^\top
#     \big( m(\tilde x) - h(\tilde x) \big) \Big] = 0. \tag{4.7}$$
#
# So the error is a sum of two, and only the second depends on $h$:
#
# $$\boxed{\ \mathbb E \| x - h(\tilde x) \|^2
#   = \underbrace{\mathbb E \| x - m(\tilde x) \|^2}_{\text{the floor: noise}}
#   + \underbrace{\mathbb E \| m(\tilde x) - h(\tilde x) \|^2}_{
#     \text{zero for } h = m} \ } \tag{4.8}$$
#
# The best denoiser is $m$, whatever the network. Would the cross-entropy do
# something else? Its mean at a fixed $\tilde x$ is $-m \log h - (1 - m) \log(1 -
# h)$ for each pixel, with the derivative
#
# $$\frac{d}{dh} = \frac{h - m}{h\, (1 - h)}, \tag{4.9}$$
#
# below zero for $h < m$, above zero for $h > m$. The minimum is $h = m$ again.
#
# ## Where everything is known
#
# Let $x$ be $+1$ or $-1$, as likely, and $\tilde x = x + s \varepsilon$. By
# Bayes' rule, with equal priors,
#
# $$\frac{p(x = 1 \,|\, \tilde x)}{p(x = -1 \,|\, \tilde x)}
#   = \frac{\exp(-(\tilde x - 1)^2 / 2 s^2)}{\exp(-(\tilde x + 1)^2 / 2 s^2)}
#   = \exp \frac{2 \tilde x}{s^2}, \tag{4.10}$$
#
# since $(\tilde x + 1)^2 - (\tilde x - 1)^2 = 4 \tilde x$. Write $a = \tilde x
# / s^2$. The two probabilities are $\exp(\pm a) / (\exp a + \exp(-a))$, and
#
# $$m(\tilde x) = \frac{\exp a - \exp(-a)}{\exp a + \exp(-a)}
#   = \tanh \frac{\tilde x}{s^2}. \tag{4.11}$$
#
# Three denoisers: $m$ itself; the more probable of the two, $\operatorname{sign}
# \tilde x$; the best straight line, $\tilde x / (1 + s^2)$ (its slope is
# $\mathbb E\, x \tilde x \,/\, \mathbb E\, \tilde x^2$). Their errors, by
# quadrature:

# %%
s = 0.7
grid = np.linspace(-8, 8, 16_001)
joint = np.exp(-((grid - np.array([[1], [-1]])) ** 2) / 2 / s**2)
joint /= 2 * s * np.sqrt(2 * np.pi)  # p(x, x~) for x = +1 and x = -1
density, step = joint.sum(axis=0), grid[1] - grid[0]
posterior = joint / density
assert np.isclose(density.sum() * step, 1, atol=1e-14)
m = posterior[0] - posterior[1]
assert np.allclose(m, np.tanh(grid / s**2), atol=1e-13)


def error_of(h):
    """E (x - h)² of a rule on the grid."""
    return (joint[0] * (1 - h) ** 2 + joint[1] * (-1 - h) ** 2).sum() * step


floor = error_of(m)
rules = {
    "tanh(x~/s²)": m,
    "sign(x~)": np.sign(grid),
    "x~/(1 + s²)": grid / (1 + s**2),
}
for name, h in rules.items():
    beyond = (density * (m - h) ** 2).sum() * step
    print(f"{name:12} error {error_of(h):.4f} = floor {floor:.4f} + {beyond:.4f}")
    assert np.isclose(error_of(h), floor + beyond, rtol=1e-12)  # (4.8)

# %% [markdown]
# Now a network that has never heard of tanh: 16 relu units, trained on pairs
# $(\tilde x, x)$. It has 49 parameters; fitted to $N$ pairs they follow the
# noise a little, which costs a share of about $49/N$ of the floor.

# %%
N = full_or_fast(10_000, 2_000)
clean = rng.choice([-1.0, 1.0], (N, 1))
noisy = clean + s * rng.normal(size=(N, 1))
shapes = [(1, 16), (16,), (16, 1), (1,)]
flat = rng.normal(size=sum(map(np.prod, shapes))) / 2
cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]


def views(flat):
    return [p.reshape(k) for p, k in zip(np.split(flat, cuts), shapes, strict=True)]


W, b, V, c = views(flat)
optimizer = Adam(flat, reference, 0.02)
for _ in range(full_or_fast(1500, 600)):
    a = dense_forward(noisy, W, b)
    g = RELU.forward(a)
    h = dense_forward(g, V, c)
    dg, dV, dc = dense_backward(2 * (h - clean) / N, g, V)
    dW, db = dense_backward_weights(RELU.backward(dg, a, g), noisy)
    optimizer.advance()
    optimizer.update(np.concatenate([d.ravel() for d in (dW, db, dV, dc)])[None])

# %%
g = RELU.forward(dense_forward(grid[:, None], W, b))
net = dense_forward(g, V, c)[:, 0]
beyond = (density * (net - m) ** 2).sum() * step
print(f"the network: {beyond / floor:.1%} above the floor; 49/N is {49 / N:.1%}")
assert beyond < 3 * 49 / N * floor
assert min(error_of(h) - floor for h in list(rules.values())[1:]) > 5 * beyond

figure, (axes,) = sheet(
    "Nobody told the network about tanh: it is what the squared error asks for",
    height=2.8,
    labels=(r"what was seen, $\tilde x$", "what is answered"),
)
axes.plot(grid, rules["x~/(1 + s²)"], color=FAINT, lw=1, ls=":")
axes.plot(grid, rules["sign(x~)"], color=WRONG, lw=1.2, ls="--")
axes.plot(grid, m, color=EXACT, lw=3, alpha=0.35)
axes.plot(grid, net, color=ESTIMATE, lw=1.5)
axes.set(xlim=(-2.5, 2.5), ylim=(-1.7, 1.7))
name = "the trained network,\non top of " + r"$\tanh(\tilde x / s^2)$"
axes.text(0.8, 0.3, name, color=ESTIMATE, va="top")
axes.text(-0.05, 1.03, "the likelier one", color=WRONG, ha="right", va="bottom")
axes.text(-1.45, -1.2, "best line", color=FAINT, va="top")
show(
    figure,
    "04_tanh",
    "Answers over what was seen, from -2.5 to 2.5. The trained network lies on the "
    "S-shaped tanh; a dashed step jumps from -1 to 1 at zero; a straight line crosses.",
)

# %% [markdown]
# At $\tilde x = 0$ the best answer is 0, a value that $x$ never has. That is
# what note 004 means by "very unlikely under $p(x | \tilde x)$": the mean of two
# modes lies in the valley between them.
#
# ## The price of being sharp
#
# Why not draw an answer $x'$ from $p(x \,|\, \tilde x)$? It would always be one
# of the two, and honest about how likely each is. Given $\tilde x$, truth and
# draw are independent with the same mean $m$, so the cross term vanishes as in
# (4.7), and
#
# $$\mathbb E \| x - x' \|^2 = \mathbb E \| x - m \|^2 + \mathbb E \| m - x' \|^2
#   = 2\, \mathbb E \| x - m \|^2. \tag{4.12}$$
#
# Exactly twice the floor. The squared error punishes a believable answer for
# every detail that it happens to guess otherwise.

# %%
draws = full_or_fast(200_000, 20_000)
clean = rng.choice([-1.0, 1.0], draws)
noisy = clean + s * rng.normal(size=draws)
drawn = np.where(rng.random(draws) < 1 / (1 + np.exp(-2 * noisy / s**2)), 1, -1)
for name, answer, exact in (
    ("mean", np.tanh(noisy / s**2), floor),
    ("draw", drawn, 2 * floor),
):
    squares = (clean - answer) ** 2
    error = squares.std() / np.sqrt(draws)
    print(f"{name} {squares.mean():.4f} ± {error:.4f}, exact {exact:.4f}")
    assert abs(squares.mean() - exact) < 4 * error
assert squares.mean() - floor > 20 * error

# %% [markdown]
# ## 4 or 9?
#
# Cover the upper half of a 4 or a 9, and nobody can say which it was. An
# auto-encoder learns to restore it, here with the cross-entropy, which by (4.9)
# is no way out. `seen` goes to the encoder, the whole image to the loss:


# %%
def four_or_nine(x, labels):
    kept = np.isin(labels, (4, 9))
    return x[kept], labels[kept]


(x_train, y_train), (x_test, y_test) = (
    four_or_nine(x_train, data.train_labels),
    four_or_nine(x_test, data.test_labels),
)
upper = np.repeat(np.arange(28) < 14, 28)
half_train, half_test = (np.where(upper, np.float32(0), x) for x in (x_train, x_test))

model = VAE(784, (256,), 32, posterior="point", seed=4)
optimizer = Adam(model.params.flat, model.code, rate)
parts = len(x_train) // batch
with Workers(1):
    for _ in range(10):
        for rows in np.array_split(rng.permutation(len(x_train)), parts):
            eps = np.zeros((len(rows), 32), np.float32)
            _, gradient = model.loss_and_gradient(
                x_train[rows], eps, seen=half_train[rows]
            )
            optimizer.advance()
            optimizer.update(gradient.flat[None])
    restored = model.reconstruct(half_test)

# %% [markdown]
# To judge it, a denoiser without any training: find the training images whose
# lower halves are most like the one that is seen. The nearest one is a sharp
# guess, much like a draw; the mean of the nearest 20 is an estimate of
# $\mathbb E[x \,|\, \tilde x]$.

# %%
squares = (half_test**2).sum(axis=1)[:, None] + (half_train**2).sum(axis=1)
order = np.argsort(squares - 2 * half_test @ half_train.T, axis=1)
nearest, average = x_train[order[:, 0]], x_train[order[:, :20]].mean(axis=1)


def hidden_error(answer):
    """S over the hidden half of each test image."""
    return ((answer - x_test)[:, upper] ** 2).sum(axis=1)


print("squared error in the half that was hidden")
for name, answer in (
    ("the network", restored),
    ("mean of the nearest 20", average),
    ("the nearest, sharp", nearest),
):
    print(f"  {name:23} {hidden_error(answer).mean():5.1f}")
for grey in (restored, average):
    gain = hidden_error(nearest) - hidden_error(grey)
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
to_average = ((restored - average)[:, upper] ** 2).sum(axis=1)
print(f"  from the network to the mean of 20: {to_average.mean():.1f}")
assert to_average.mean() < hidden_error(restored).mean()

# %% [markdown]
# The sharp guess is the worst of the three, as (4.12) says, and the network's
# answer lies nearer to the average of 20 strangers than to the truth. Now
# look at the images on which those 20 are most divided:

# %%
nines = (y_train[order[:, :20]] == 9).mean(axis=1)
doubtful = np.argsort(np.abs(nines - 0.5), kind="stable")[:9]
figure = strips(
    "4 or 9? The best answer, by either loss, is both of them in grey",
    [
        ("seen", half_test[doubtful]),
        ("restored", restored[doubtful]),
        ("mean of the\nnearest 20", average[doubtful]),
        ("the nearest", nearest[doubtful]),
        ("truth", x_test[doubtful]),
    ],
)
show(
    figure,
    "04_four_or_nine",
    "Nine digits whose upper half is hidden. The network closes the loop of each half "
    "way, in grey; so does the mean of 20 similar images. The nearest image and the "
    "truth are sharp, and often disagree.",
)


def greyness(images):
    """The mean of 4 p (1 - p) where there is anything: 0 for black and white."""
    inked = images[:, upper]
    return (4 * inked * (1 - inked)).sum(axis=1) / inked.sum(axis=1)


more = greyness(restored) - greyness(x_test)
assert more.mean() > 20 * more.std() / np.sqrt(len(more))

# %% [markdown]
# To get *one* believable answer, a model must be asked for a draw and not for
# the best guess: it needs a random input. An auto-encoder has none. Lesson 05
# tries to give it one.
#
# ## Exercise
#
# (4.11) is the best denoiser of a world with two images. In
# `lessons/exercises/04_denoising.py` write the best denoiser of a world with
# $N$ images: $x$ is any of them with probability $\pi_i$, the noise is Gaussian.
# Then ask
#
# ```sh
# numpyvae check 4
# ```
