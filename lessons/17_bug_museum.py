# %% [markdown]
# # 17 · The bug museum
#
# *Of fourteen VAEs with hand-written gradients that we read, seven were wrong
# and none had been checked. Most of the sick ones trained. Here they are, with
# their curves, their pictures, and the checks that would have told.*
#
# **You will** meet fourteen bugs, each as one sick line in a healthy VAE of
# forty; guess, before you read on, what you would have *seen*; and watch eleven
# checks being run on all of them. No check catches every bug, and the one that
# everybody uses, "the loss goes down", catches almost none.
#
# **Reads with** lesson 03 (what a gradient check can't see) and lesson 10 (the
# VAE assembled); the slips E1 of note 004 and E5 of note 002 hang here too.
# **Takes** 11 seconds.

# %%
import inspect
from types import SimpleNamespace

import numpy as np
from lesson import digits, full_or_fast
from style import EXACT, FAINT, KL, RECON, digits_in_rows, sheet, show
from threadpoolctl import threadpool_limits

from numpyvae import VAE
from numpyvae.pairs.activations import sigmoid_forward

rng = np.random.default_rng(17)
threadpool_limits(1, "blas")  # such small products are slower on two threads

# %% [markdown]
# ## The patient, healthy
#
# A VAE with one hidden layer on either side, as lesson 10 wrote it: Bernoulli
# pixels from logits, a diagonal posterior, sums over pixels and latents, means
# over the batch. Seven short functions; every bug below is an edit of a line of
# these.


# %%
def sigmoid(l):
    return sigmoid_forward(l)


def forward(p, x, eps):
    h = np.tanh(x @ p["W1"] + p["b1"])
    mu, logvar = h @ p["W2"] + p["b2"], h @ p["W3"] + p["b3"]
    sigma = np.exp(logvar / 2)
    z = mu + sigma * eps
    g = np.tanh(z @ p["W4"] + p["b4"])
    l = g @ p["W5"] + p["b5"]
    recon = (np.logaddexp(0, l) - x * l).sum(axis=1)
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
    return h, mu, logvar, sigma, z, g, l, recon, kl


def backward(p, x, eps, forward):
    h, mu, logvar, sigma, z, g, l, _, _ = forward
    B, d = len(x), {}
    dl = (sigmoid(l) - x) / B
    d["W5"], d["b5"] = g.T @ dl, dl.sum(axis=0)
    dg = (dl @ p["W5"].T) * (1 - g**2)
    d["W4"], d["b4"] = z.T @ dg, dg.sum(axis=0)
    dz = dg @ p["W4"].T
    dmu = dz + mu / B
    dlogvar = dz * eps * sigma / 2 + (np.exp(logvar) - 1) / (2 * B)
    d["W2"], d["b2"] = h.T @ dmu, dmu.sum(axis=0)
    d["W3"], d["b3"] = h.T @ dlogvar, dlogvar.sum(axis=0)
    dh = (dmu @ p["W2"].T + dlogvar @ p["W3"].T) * (1 - h**2)
    d["W1"], d["b1"] = x.T @ dh, dh.sum(axis=0)
    return d


def adam(p, d, moments, t, lr):
    for name, (m, v) in moments.items():
        m[...] = 0.9 * m + 0.1 * d[name]
        v[...] = 0.999 * v + 0.001 * d[name] ** 2
        m_hat = m / (1 - 0.9**t)
        v_hat = v / (1 - 0.999**t)
        p[name] -= lr * m_hat / (np.sqrt(v_hat) + 1e-8)


def printed_loss(p, x, rng):
    eps = rng.normal(size=(len(x), len(p["b2"])))
    *_, recon, kl = forward(p, x, eps)
    return recon.mean() + kl.mean()


def pictures(p, z):
    g = np.tanh(z @ p["W4"] + p["b4"])
    return sigmoid(g @ p["W5"] + p["b5"])


def draw(D, H, Z, G, rng):
    """Parameters of an encoder D-H-(Z, Z) and a decoder Z-G-D."""
    p, widths = {}, ((D, H), (H, Z), (H, Z), (Z, G), (G, D))
    for i, (n, m) in enumerate(widths, 1):
        p[f"W{i}"] = rng.uniform(-1, 1, (n, m)) / np.sqrt(n)
        p[f"b{i}"] = rng.uniform(-1, 1, m) / np.sqrt(n)
    return p


# %% [markdown]
# A surgeon's tool: take the functions' source, replace a line, and run that
# instead. Each old text must be found exactly once.

# %%
HEALTHY = (forward, backward, adam, printed_loss, pictures)
SOURCE = "\n\n".join(inspect.getsource(function) for function in HEALTHY)


def plant(*edits):
    text = SOURCE
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    functions = {"np": np, "sigmoid": sigmoid, "rng": np.random.default_rng(99)}
    exec(text, functions)
    return SimpleNamespace(**functions)


# %% [markdown]
# Is the patient itself healthy? It must agree with the package, gradients and
# all; and it shall have equal hidden widths, as so many examples do.

# %%
healthy = plant()
D, H, Z = 196, 64, 8
p = draw(D, H, Z, H, rng)
x, eps = (rng.random((5, D)) < 0.3) * 1.0, rng.normal(size=(5, Z))
model = VAE(D, (H,), Z, "tanh", dtype=float, compiled=False)
model.params["encoder.0.W"][...], model.params["encoder.0.b"][...] = p["W1"], p["b1"]
model.params["encoder.1.W"][...] = np.hstack([p["W2"], p["W3"]])
model.params["encoder.1.b"][...] = np.hstack([p["b2"], p["b3"]])
model.params["decoder.0.W"][...], model.params["decoder.0.b"][...] = p["W4"], p["b4"]
model.params["decoder.1.W"][...], model.params["decoder.1.b"][...] = p["W5"], p["b5"]
loss, grads = model.loss_and_gradient(x, eps)
out = healthy.forward(p, x, eps)
d = healthy.backward(p, x, eps, out)
assert np.isclose(out[-2].mean() + out[-1].mean(), loss, rtol=1e-12)
assert np.allclose(np.hstack([d["W2"], d["W3"]]), grads["encoder.1.W"], atol=1e-12)
assert np.allclose(d["W1"], grads["encoder.0.W"], atol=1e-12)
assert np.allclose(d["W4"], grads["decoder.0.W"], atol=1e-12)

# %% [markdown]
# The data: digits at half their resolution, 14 × 14, pixels cut at one half.
# Each patient trains for some seconds, then is judged twice: by the number its
# own code prints, and by the healthy code on its parameters.

# %%
data = digits(full_or_fast(3000, 600), full_or_fast(500, 100))


def halve(images):
    small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return (small > 90).reshape(-1, D) * 1.0


train_x, test_x = halve(data.train_images), halve(data.test_images)
steps = full_or_fast(500, 50)


def train(code, x=train_x, test=test_x, widths=(D, H, Z, H), steps=steps, lr=5e-3):
    rng = np.random.default_rng(1)
    p = draw(*widths, rng)
    moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in p.items()}
    curve = [code.printed_loss(p, test, np.random.default_rng(2))]
    for t in range(1, steps + 1):
        batch = x[rng.integers(len(x), size=100)]
        eps = rng.normal(size=(100, widths[2]))
        d = code.backward(p, batch, eps, code.forward(p, batch, eps))
        code.adam(p, d, moments, t, lr)
        if t % max(1, steps // 50) == 0:
            curve.append(code.printed_loss(p, test, np.random.default_rng(2)))
    return p, np.array(curve)


museum = {}


def admit(name, *edits):
    """Plant the bug, train, print what one sees; keep it for the checks."""
    code = plant(*edits)
    p, curve = train(code)
    honest = healthy.printed_loss(p, test_x, np.random.default_rng(2))
    museum[name] = SimpleNamespace(code=code, p=p, curve=curve, honest=honest)
    print(f"{name}: prints {curve[0]:.1f} at first, {curve[-1]:.1f} at last;",
          f"honest {honest:.1f} nats")  # fmt: skip
    return museum[name]


well = admit("healthy")
assert well.curve[-1] == well.honest < 0.8 * well.curve[0]

# %% [markdown]
# ## 1 · The variance taken for the deviation
#
# Two well-known teaching libraries, and an early example of a famous framework.
# `logvar` is $\log \sigma^2$ in the KL and $\log \sigma$ in the sample. The
# gradient is right for what is computed, so every gradient check passes.

# %%
sick = admit(
    "sigma = exp(logvar)",
    ("sigma = np.exp(logvar / 2)", "sigma = np.exp(logvar)"),
    ("dz * eps * sigma / 2", "dz * eps * sigma"),
)

# %% [markdown]
# What is won? A latent whose noise has the variance $e^{2\ell}$ pays as if it
# had $e^{\ell}$. By (8.3) it owes, and doesn't pay,
#
# $$\mathrm{KL}(2\ell) - \mathrm{KL}(\ell)
#   = \tfrac12 \left( e^{2\ell} - e^{\ell} - \ell \right) \tag{17.1}$$
#
# which is 0 at $\ell = 0$, positive elsewhere, and grows by almost half a nat
# for each unit of $-\ell$. Precision at half the price: the printed loss isn't
# a bound on anything.

# %%
_, mu, logvar, *_ = healthy.forward(sick.p, test_x, np.zeros((len(test_x), Z)))
unpaid = ((np.exp(2 * logvar) - np.exp(logvar) - logvar) / 2).sum(axis=1).mean()
true_kl = ((mu**2 + np.exp(2 * logvar) - 1 - 2 * logvar) / 2).sum(axis=1).mean()
eps = np.random.default_rng(2).normal(size=mu.shape)
assert np.isclose(true_kl - sick.code.forward(sick.p, test_x, eps)[-1].mean(), unpaid)
print(f"KL that is owed and not paid: {unpaid:.2f} nats per image")
assert unpaid > 0.2

# %% [markdown]
# ## 2 · Fresh noise in backward
#
# Two repositories. Backward draws its own $\varepsilon'$. Since it is
# independent of the $z$ that was decoded,
#
# $$\mathbb E \left[ \bar z(\varepsilon) \odot \varepsilon' \right]
#   = \mathbb E[\bar z] \odot \mathbb E[\varepsilon'] = 0: \tag{17.2}$$
#
# on average the reconstruction says nothing to $\ell$ any more, and only noise
# is added. The KL alone pulls $\sigma$ to 1 (8.5).

# %%
fresh = admit(
    "fresh eps in backward",
    ("dz * eps * sigma / 2", "dz * rng.normal(size=eps.shape) * sigma / 2"),
)

# %% [markdown]
# ## 3 · The reconstruction never reaches logvar
#
# One repository: "sampling is the end of the graph". It is exhibit 2 without
# the noise, and by (17.2) both have the same disease.

# %%
cut = admit(
    "recon never reaches logvar",
    ("dlogvar = dz * eps * sigma / 2 + (np", "dlogvar = (np"),
)
eps = np.zeros((len(test_x), Z))
for name in ("healthy", "fresh eps in backward", "recon never reaches logvar"):
    sigma = healthy.forward(museum[name].p, test_x, eps)[3]
    print(f"{name:27} median sigma {np.median(sigma):.2f}")
    assert name == "healthy" or abs(np.median(sigma) - 1) < 0.25
assert cut.honest > well.honest

# %% [markdown]
# ## 4 · The spring that pushes
#
# Two repositories add the gradient of $-\mathrm{KL}$ to that of a loss:
# $-\mu$ for $+\mu$. Nothing holds the means back.

# %%
pushed = admit("dKL/dmu = -mu", ("dmu = dz + mu / B", "dmu = dz - mu / B"))
assert pushed.honest > 1.2 * well.honest

# %% [markdown]
# ## 5 · The KL upside down
#
# Erratum E1, believed and differentiated faithfully. The loss *falls*, and
# falls, below zero, faster than any healthy one. No gradient check objects.

# %%
upside = admit(
    "KL upside down (E1)",
    ("mu**2 + np.exp(logvar) - 1 - logvar", "1 + logvar - mu**2 - np.exp(logvar)"),
    ("dmu = dz + mu / B", "dmu = dz - mu / B"),
    ("/ 2 + (np.exp(logvar) - 1)", "/ 2 - (np.exp(logvar) - 1)"),
)
assert upside.curve[-1] < 0 < well.honest < upside.honest

# %% [markdown]
# ## 6 · A mean is printed, a sum differentiated
#
# Six repositories, and the thread "why is my loss so small?" in every forum.
# Training is perfectly healthy: the parameters are the same to the last bit.
# Only the number is wrong, and numbers get compared. Its two parts have lost
# their proportion as well, a KL per latent beside a reconstruction per pixel,
# so that it may even *rise* while the model gets better and better.

# %%
means = admit(
    "prints means, descends sums",
    ("- x * l).sum(axis=1)", "- x * l).mean(axis=1)"),
    ("- logvar).sum(axis=1) / 2", "- logvar).mean(axis=1) / 2"),
)
assert means.honest == well.honest and means.curve[-1] < 0.05 * well.curve[-1]

# %% [markdown]
# ## 7 · The KL divided by the number of pixels
#
# The same idea, this time in both passes: "so that the two terms have the same
# scale". That is a $\beta$-VAE with $\beta = 1/D$ (13.1). In the linear model
# (13.9) every latent's rate would go up by $\tfrac12 \log D$, 2.6 nats at $D =
# 196$. The loss looks great, reconstructions too. Samples don't (see below).

# %%
divided = admit(
    "KL / D",
    ("- logvar).sum(axis=1) / 2", "- logvar).sum(axis=1) / 2 / x.shape[1]"),
    ("dmu = dz + mu / B", "dmu = dz + mu / B / x.shape[1]"),
    ("- 1) / (2 * B)", "- 1) / (2 * B) / x.shape[1]"),
)
assert divided.curve[-1] < well.curve[-1] < divided.honest

# %% [markdown]
# ## 8 · Probabilities clipped
#
# A teaching library: $p$ is clipped to $[10^{-15}, 0.999]$ "to keep the log
# finite". A pixel that is wrong with certainty then costs
#
# $$-\log(1 - 0.999) \approx 6.9 \text{ nats, however sure the decoder was,}
#   \tag{17.3}$$
#
# and backward, which still says $p - x$, descends a function that forward
# doesn't compute. On a curve there is nothing to be seen.

# %%
clipped = admit(
    "p clipped",
    (
        "recon = (np.logaddexp(0, l) - x * l).sum(axis=1)",
        "q = np.clip(sigmoid(l), 1e-15, 0.999)\n"
        "    recon = -(x * np.log(q) + (1 - x) * np.log(1 - q)).sum(axis=1)",
    ),
)
assert abs(clipped.curve[-1] - well.curve[-1]) < 0.01 * well.curve[-1]
zeros = {name: np.zeros_like(a) for name, a in clipped.p.items()}
zeros["b5"] += 50.0  # sure that all is ink
wrong_recon = clipped.code.forward(zeros, np.zeros((1, D)), np.zeros((1, Z)))[-2][0] / D
print(f"a sure mistake costs {wrong_recon:.2f} nats a pixel; it should cost 50")
assert np.isclose(wrong_recon, -np.log(0.001))

# %% [markdown]
# ## 9 · The ELBO at z = mu
#
# Two repositories switch the noise off "at test time, as with dropout". To
# second order
#
# $$\mathbb E\, R(\mu + \sigma \odot \varepsilon) \approx R(\mu)
#   + \tfrac12 \sum_j \sigma_j^2\, \frac{\partial^2 R}{\partial z_j^2},
#   \tag{17.4}$$
#
# and near a good code $R$ is a valley, its second derivatives positive. The
# noise that is left out was costing nats; the KL's payment for leaving it in
# is kept. So the number is too good, and no longer a bound.

# %%
at_mu = admit(
    "ELBO at z = mu",
    (
        'eps = rng.normal(size=(len(x), len(p["b2"])))',
        'eps = np.zeros((len(x), len(p["b2"])))',
    ),
)
print(f"better by {at_mu.honest - at_mu.curve[-1]:.1f} nats, with the same parameters")
assert at_mu.honest == well.honest > at_mu.curve[-1] + 0.2

# %% [markdown]
# ## 10 · Half the cross-entropy
#
# What note 002 prints, read as $-\sum x \log p$ alone (erratum E5), as for
# classes. Only ink is rewarded. So the decoder paints all black, and the loss
# reaches its minimum, 0. A perfect score.

# %%
half = admit(
    "half the cross-entropy (E5)",
    ("(np.logaddexp(0, l) - x * l)", "(x * np.logaddexp(0, -l))"),
    ("dl = (sigmoid(l) - x) / B", "dl = x * (sigmoid(l) - 1) / B"),
)
assert half.curve[-1] < 0.1 * well.curve[-1] and half.honest > 2 * well.honest

# %% [markdown]
# ## 11 · A stale delta
#
# One repository: the encoder's first layer is handed the decoder's `dg`, left
# over under a similar name. Both hidden layers have 64 units, so every shape
# fits. The first layer learns noise, and the rest learns to live with it.

# %%
stale = admit(
    "stale delta, equal widths",
    ('dh = (dmu @ p["W2"].T + dlogvar @ p["W3"].T) * (1 - h**2)',
     "dh = dg * (1 - h**2)"),
)  # fmt: skip
assert stale.curve[-1] < stale.curve[0]

# %% [markdown]
# ## 12 · Updated before backward is done
#
# One repository updates each layer as soon as its gradient is known. The layer
# below then receives
#
# $$\bar g = \bar l\, (W_5 - \eta\, \bar W_5)^\top
#   = \bar l\, W_5^\top - \eta\, \bar l\, \bar W_5^\top: \tag{17.5}$$
#
# wrong by a share of order $\eta$. A check with a tolerance of a per cent
# doesn't mind.

# %%
early = admit(
    "updated during backward",
    (
        'dg = (dl @ p["W5"].T)',
        'p["W5"] -= 1e-3 * d["W5"]\n    dg = (dl @ p["W5"].T)',
    ),
)
assert early.honest < 1.1 * well.honest

# %% [markdown]
# ## 13 · Adam without its correction
#
# The two lines of (2.10) left out. For a gradient that stays the same, a step
# is then longer than it should be by
#
# $$\frac{1 - \beta_1^t}{\sqrt{1 - \beta_2^t}}, \tag{17.6}$$
#
# which is 3.2 at the first step, rises, and needs thousands to come back to 1.
# A learning rate that worked for others explodes here, or, as below, nothing
# much happens.

# %%
t = np.arange(1, 5001)
excess = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
print(f"steps too long by {excess[0]:.2f} at t = 1, by {excess.max():.2f} at most",
      f"(t = {t[excess.argmax()]}), by {excess[999]:.2f} at t = 1000")  # fmt: skip
assert np.isclose(excess[0], 0.1 / np.sqrt(0.001)) and excess.max() > 6
raw = admit(
    "Adam without correction",
    ("m_hat = m / (1 - 0.9**t)", "m_hat = m"),
    ("v_hat = v / (1 - 0.999**t)", "v_hat = v"),
)
assert raw.curve[-1] < raw.curve[0]

# %% [markdown]
# ## 14 · The sigmoid left out
#
# The loss takes logits, as it should, and whoever draws forgets that they are
# logits. All numbers are right. Only the pictures look like linocuts.

# %%
linocut = admit(
    "pictures of logits",
    ('return sigmoid(g @ p["W5"] + p["b5"])', 'return g @ p["W5"] + p["b5"]'),
)
assert linocut.curve[-1] == well.curve[-1]

# %% [markdown]
# ## What you would have seen
#
# Whoever only watched the loss would have sent nearly all of them home.

# %%
names = list(museum)
falling = [museum[n].curve[-1] < museum[n].curve[0] for n in names[1:]]
print(f"{sum(falling)} of {len(falling)} bugs train: their loss falls")
assert sum(falling) >= 12

better = sum(museum[n].curve[-1] < museum[n].honest - 1 for n in names)
figure, (panel,) = sheet(
    f"{better} of {len(names) - 1} bugs print a better loss than is true",
    labels=("-ELBO on test images, nats", ""),
    height=4.3,
)
right_end = 2.6 * well.honest
for i, name in enumerate(names):
    claim, honest = museum[name].curve[-1], museum[name].honest
    ends = np.clip([claim, honest], -8, right_end)
    panel.plot(ends, [i, i], color=FAINT, lw=1)
    for value, end, colour in ((claim, ends[0], KL), (honest, ends[1], EXACT)):
        off = "<" if value < -8 else ">"
        panel.plot(end, i, "o" if value == end else off, color=colour, ms=6)
panel.axvline(well.honest, color=EXACT, lw=0.8, ls=":")
panel.set_yticks(range(len(names)), [f"{i or ''} {n}" for i, n in enumerate(names)])
panel.set(ylim=(len(names) - 0.4, -1.5), xlim=(-12, right_end + 4))
panel.grid(visible=False)
box = panel.get_position()
panel.set_position((0.44, box.y0, 0.53, box.height))
panel.text(0, -1, "printed", color=KL, size=10)
panel.text(well.honest + 3, -1, "honest", color=EXACT, size=10)
show(
    figure,
    "17_claims",
    "Fifteen rows, one for each patient, with a red dot for the loss that it prints "
    "and a black one for its honest loss. In most, the red dot is left of the black "
    "one or on it; with the KL upside down it is off the scale to the left.",
)

# %% [markdown]
# And their dreams: what the decoder makes of draws from the prior. Can you tell
# who is ill?

# %%
shown = ("healthy", "sigma = exp(logvar)", "recon never reaches logvar", "KL / D",
         "stale delta, equal widths", "half the cross-entropy (E5)",
         "pictures of logits")  # fmt: skip
z = np.random.default_rng(4).normal(size=(12, Z))
dreams = [museum[n].code.pictures(museum[n].p, z) for n in shown]
figure, (panel,) = sheet("Samples: some are ill and look it, some are ill and don't",
                         height=4.45)  # fmt: skip
box = panel.get_position()
panel.set_position((0.06, box.y0, 0.9, box.height))
canvas = np.zeros((2 * len(shown), 12, 14, 14))  # every other row for the names
canvas[1::2] = np.clip(dreams, 0, 1).reshape(len(shown), 12, 14, 14)
digits_in_rows(panel, canvas.reshape(-1, 14, 14), 12)
for i, name in enumerate(shown):
    panel.text(0, 32 * i + 13, name, color=EXACT, size=10, va="bottom")
show(
    figure,
    "17_dreams",
    "Seven rows of twelve small sampled digits. Healthy ones and those of exhibits "
    "1, 3 and 11 look like blurred digits; with the KL divided by D they are blots; "
    "with half the cross-entropy all black; pictures of logits are all contrast.",
)
inside = [((dream >= 0) & (dream <= 1)).all() for dream in dreams]
assert sum(inside) == len(shown) - 1

# %% [markdown]
# ## Eleven checks
#
# Each takes a patient's code and answers: is something wrong? They are all
# short. Most don't train; they put the code into a small world where the answer
# is known.


# %%
def small(widths=(5, 4, 3, 4), scale=1.0):
    rng = np.random.default_rng(6)
    p = draw(*widths, rng)
    p["W5"] *= scale
    x = (rng.random((3, widths[0])) < 0.5) * 1.0
    return p, x, rng.normal(size=(3, widths[2]))


def copy(p):
    return {name: a.copy() for name, a in p.items()}


def gradient_error(code, scale=1.0):
    """The worst relative error over blocks, by central differences, frozen eps."""
    p, x, eps = small(scale=scale)

    def loss(p):
        *_, recon, kl = code.forward(p, x, eps)
        return recon.mean() + kl.mean()

    d, worst, rng = code.backward(copy(p), x, eps, code.forward(p, x, eps)), 0.0, None
    rng = np.random.default_rng(7)
    for name in p:
        v = rng.normal(size=p[name].shape)
        ends = [loss(p | {name: p[name] + h * v}) for h in (1e-5, -1e-5)]
        numeric, ours = (ends[0] - ends[1]) / 2e-5, (d[name] * v).sum()
        worst = max(worst, abs(numeric - ours) / (abs(numeric) + abs(ours) + 1e-9))
    return worst


def loss_does_not_fall(code, patient):
    return not patient.curve[-1] < patient.curve[0]


def gradient_loose(code, patient):
    return gradient_error(code) > 1e-2


def gradient_strict(code, patient):
    return gradient_error(code) > 1e-6


def gradient_when_sure(code, patient):
    return gradient_error(code, scale=100.0) > 1e-6


def other_widths(code, patient):
    p, x, eps = small((5, 4, 3, 6))
    try:
        d = code.backward(p, x, eps, code.forward(p, x, eps))
        return any(d[name].shape != p[name].shape for name in p)
    except ValueError:
        return True


def backward_is_pure(code, patient):
    p, x, eps = small()
    before, out = copy(p), code.forward(p, x, eps)
    first, second = (code.backward(p, x, eps, out) for _ in range(2))
    same = all(np.array_equal(first[name], second[name]) for name in p)
    return not same or any((p[name] != before[name]).any() for name in p)


# %% [markdown]
# These ask whether backward is the slope of forward. The next ask what forward
# *means*, which no slope can tell: is $z$ spread as the KL believes? Do the
# probabilities of all images add up to 1? Is the bound a bound?


# %%
def kl_from_samples(code, patient):
    """The KL from nothing but draws of z: their mean square and their spread."""
    p, x, _ = small()
    N = 40_000
    p["W2"][...], p["W3"][...] = 0, 0
    p["b2"], p["b3"] = np.array([1.0, -0.5, 0.0]), np.array([-1.0, 0.5, -2.0])
    out = code.forward(p, np.repeat(x[:1], N, axis=0), rng.normal(size=(N, 3)))
    z, kl = out[4], out[-1][0]
    terms = (
        (z**2).mean(axis=0) - 1 - np.log(z.var(axis=0))
    )  # of a Gaussian, twice its KL
    error = np.sqrt(((z**2).var(axis=0) + 2).sum() / N) / 2
    return abs(terms.sum() / 2 - kl) > 5 * error


def images_add_up(code, patient):
    """The sum over all 2^5 images of p(x|z) is 1."""
    p, _, eps = small()
    every = (np.arange(32)[:, None] >> np.arange(5)) % 2 * 1.0
    p["W1"][...] = 0  # one z for all
    recon = code.forward(p, every, np.repeat(eps[:1], 32, axis=0))[-2]
    return abs(np.exp(-recon).sum() - 1) > 1e-9


def bound_is_a_bound(code, patient):
    """Train on six pixels and one latent; log p(x) is then a sum over a grid."""
    world = np.random.default_rng(8)
    place = world.normal(size=400)[:, None]
    x = (world.random((400, 6)) < sigmoid(4 * place + np.linspace(-4, 4, 6))) * 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        p, _ = train(code, x, x, (6, 4, 1, 4), steps=200, lr=2e-2)
        draws = [code.printed_loss(p, x, world) for _ in range(20)]
    grid = np.linspace(-8, 8, 801)[:, None]
    l = np.tanh(grid @ p["W4"] + p["b4"]) @ p["W5"] + p["b5"]
    log_joint = x @ l.T - np.logaddexp(0, l).sum(axis=1) - grid[:, 0] ** 2 / 2
    evidence = np.exp(log_joint).sum(axis=1) * 0.02 / np.sqrt(2 * np.pi)
    error = np.std(draws) / np.sqrt(20)
    return bool(-np.mean(draws) > np.log(evidence).mean() + 5 * error + 1e-9)


def first_step_of_adam(code, patient):
    p, d = {"w": np.zeros(3)}, {"w": np.array([1e-3, -2.0, 50.0])}
    code.adam(p, d, {"w": (np.zeros(3), np.zeros(3))}, 1, 0.1)
    return not np.allclose(np.abs(p["w"]), 0.1, rtol=1e-4)


def pictures_are_pixels(code, patient):
    seen = code.pictures(patient.p, np.random.default_rng(9).normal(size=(50, Z)))
    return bool(seen.min() < 0 or seen.max() > 1)


CHECKS = {
    "the loss falls": loss_does_not_fall,
    "gradient to 1e-2": gradient_loose,
    "gradient to 1e-6": gradient_strict,
    "… of a sure decoder": gradient_when_sure,
    "all widths different": other_widths,
    "backward changes nothing": backward_is_pure,
    "KL from samples of z": kl_from_samples,
    "p(x|z) adds up to 1": images_add_up,
    "ELBO below log p(x)": bound_is_a_bound,
    "Adam's first step is lr": first_step_of_adam,
    "pictures in [0, 1]": pictures_are_pixels,
}
caught = np.array(
    [[check(museum[n].code, museum[n]) for check in CHECKS.values()] for n in names]
)
for name, row in zip(names, caught, strict=True):
    print(f"{name:28}", "".join("#" if c else "." for c in row))
assert not caught[0].any()  # the healthy one passes all
assert caught[1:].any(axis=1).all()  # and every bug fails one
assert caught.sum(axis=0).max() < len(names) - 1  # but none sees them all

# %%
figure, (panel,) = sheet(
    "Which check catches which bug: no column is full, and the first is nearly empty",
    height=4.4,
)
rows, columns = caught[1:].shape
for (i, j), hit in np.ndenumerate(caught[1:]):
    panel.plot(j, i, "s", ms=10, color=RECON if hit else "#e4e5ea")
panel.set_yticks(range(rows), [f"{i} {n}" for i, n in enumerate(names[1:], 1)])
panel.set_xticks(range(columns), list(CHECKS), rotation=55, ha="left",
                 rotation_mode="anchor")  # fmt: skip
panel.xaxis.tick_top()
panel.grid(visible=False)
panel.set(ylim=(rows - 0.4, -0.6), xlim=(-0.6, columns - 0.4))
for j, count in enumerate(caught[1:].sum(axis=0)):
    panel.text(j, rows + 0.1, str(count), ha="center", va="top", size=10, color=RECON)
box = panel.get_position()
panel.set_position((0.44, 0.06, 0.42, 0.52))
show(
    figure,
    "17_matrix",
    "A grid of fourteen bugs by eleven checks, filled where a check catches a bug. The "
    "strict gradient check catches most of one kind, the checks of meaning those that "
    "it misses; the falling loss catches next to nothing.",
)

# %% [markdown]
# ## The moral
#
# Read the matrix by columns. *The loss falls* is the check that everybody has,
# and it is nearly blind: gradient descent finds a way down whatever it is told
# to descend. A gradient check to 1e-6 finds every backward that isn't the slope
# of its forward; at 1e-2 it lets exhibit 12 through, and run with small logits
# it never meets exhibit 8. What it can't find at all is a forward that *says*
# the wrong thing: exhibits 1, 5, 7, 9 and 10. For these, ask about meaning.
#
# Then read by rows. Nearly every bug is caught by a check of five lines. None
# needed a GPU, a data set, or a trained model. The package's own tests plant
# hundreds of such faults in its source (`python -m tests.faults`), and ask of
# each that some test turns red.

# %%
column = {name: caught[1:, j] for j, name in enumerate(CHECKS)}
by_number = lambda hits: [i for i, hit in enumerate(hits, 1) if hit]  # noqa: E731
slope = column["gradient to 1e-6"] | column["… of a sure decoder"]
meaning = caught[1:, 6:9].any(axis=1)
print("by slope only:  ", by_number(slope & ~meaning))
print("by meaning only:", by_number(meaning & ~slope))
print("by neither:     ", by_number(~slope & ~meaning))
assert {1, 5, 7, 9, 10} <= set(by_number(meaning & ~slope))
assert {2, 3, 4, 11, 12} <= set(by_number(slope & ~meaning))
assert column["the loss falls"].sum() <= 2
strict, sure = column["gradient to 1e-6"], column["… of a sure decoder"]
assert strict[11] and not column["gradient to 1e-2"][11]  # exhibit 12
assert sure[7] and not strict[7]  # exhibit 8

# %% [markdown]
# ## Exercise
#
# A patient for you. In `lessons/exercises/17_bug_museum.py` stands a sick
# backward pass of the posterior, sample and KL: three lines, four bugs. Its
# forward is right. Find them with any check you like, mend them, and ask
#
# ```sh
# numpyvae check 17
# ```
