# %% [markdown]
# # 10 · The VAE assembled
#
# *Two communities, two derivations, one loss. Here they meet, and then the
# whole thing, forward and backward, fits on a page.*
#
# **You will** reach the loss of the VAE twice, as reconstruction plus
# regulariser and as a bound on $\log p(x)$, and show that the two are one;
# write every one of its gradients; hold them against the complex step and
# against the package; train what you wrote; and see what a mean in the wrong
# place does to it.
#
# **Reads with** notes 000 and 003 (Graham: both perspectives), 001 (Leuphana,
# "Usual choices for a VAE"), 002 (the last page), 004 (Louppe, "Variational
# auto-encoders"). **Takes** 14 seconds.

# %%
import inspect
import re

import numpy as np
from lesson import digits, full_or_fast
from style import EXACT, KL, RECON, sheet, show, strips

from numpyvae import VAE, train

rng = np.random.default_rng(10)
data = digits(full_or_fast(60_000, 1_000), full_or_fast(2_000, 200))

# %% [markdown]
# ## Who is who
#
# Two networks, two sets of weights, two Greek letters, and the notes do not
# agree which is whose. Read each formula with this table beside it:
#
# | note | encoder | decoder | beware |
# |---|---|---|---|
# | 000, 003 | $q_\theta(z \mid x)$ | $p_\phi(x \mid z)$ | the other way round |
# | 001, 002 | $q_\phi(z \mid x)$ | $p_\theta(x \mid z)$ | |
# | 004 | $q(z \mid x; \varphi)$ | $p(x \mid z; \theta)$ | $\phi$ is an output |
# | here | $q_\phi(z \mid x)$ | $p_\theta(x \mid z)$ | as in Kingma's paper |
#
# The encoder's weights $\phi$ are shared by all images; what differs from
# image to image is what it says, $\mu(x)$ and $\sigma(x)$. (Notes 000 and 003
# call that $\lambda$, note 004 $\nu$.)

# %% [markdown]
# > **Erratum E3** (note 001). Printed is $(\mu, \log \sigma) =
# > \mathrm{NeuralNet}_\phi(x)$ with $q = \mathcal N(z; \mu,
# > \operatorname{diag}(\sigma))$. What stands in the second place of $\mathcal
# > N$ is a covariance, so it must be $\operatorname{diag}(\sigma^2)$, here and
# > in $p_\theta(x|z)$ further on. The same note's $z = \epsilon \odot \sigma +
# > \mu$ and its KL, which has $\sigma^2$ and $2 \log \sigma$ in it, are right,
# > and agree only with $\operatorname{diag}(\sigma^2)$.
#
# This is no pedantry. Two well-known teaching libraries are wrong just here:
# one line takes the network's output for $\log \sigma$, another for $\log
# \sigma^2$. No gradient check can see it, for every line is differentiated
# correctly (lesson 17). We let the network say $\ell = \log \sigma^2$, once
# and for all.

# %%
sigma, draws = 0.5, 100_000
z = 1 + sigma * rng.normal(size=draws)  # the note's reparametrization
error = z.var() * np.sqrt(2 / draws)  # the standard error of a variance
print(f"variance of z {z.var():.4f} ± {error:.4f}; sigma² {sigma**2}, sigma {sigma}")
assert abs(z.var() - sigma**2) < 4 * error
assert abs(z.var() - sigma) > 20 * error

# %% [markdown]
# ## The deep-learning road
#
# Begin with an auto-encoder for binary images, trained as in note 002 by the
# cross-entropy between the image and its reconstruction $\hat x =
# \mathrm{decode}(\mathrm{encode}(x))$ (with the sign of erratum E5 put right):
#
# $$-\sum_{j=1}^D \left[ x_j \log \hat x_j
#   + (1 - x_j) \log (1 - \hat x_j) \right].$$
#
# It may put the codes of two similar images anywhere, far apart, with nothing
# in between: it can memorise (note 000), and lesson 05 saw what that does to
# samples. Two changes mend it. The code becomes noisy, $z \sim q_\phi(z|x)$,
# so that codes must leave room for each other; and a *regulariser* keeps the
# clouds near the one place from which we shall later draw:
#
# $$\begin{aligned}
#   \text{loss}(x) &= \underbrace{\mathbb E_{z \sim q_\phi(z|x)} \Big(
#     -\sum_{j=1}^D \left[ x_j \log \hat x_j(z)
#     + (1 - x_j) \log (1 - \hat x_j(z)) \right]
#     \Big)}_{\text{reconstruction error}} \\
#   &\quad + \underbrace{\mathrm{KL}(q_\phi(z|x)
#     \,\|\, p(z))}_{\text{regulariser}}.
#   \end{aligned}$$
#
# Seen from this road the KL is a choice. One could take another penalty, or
# weigh this one by a $\beta$, and nobody could say that it was wrong.
#
# ## The probabilistic road
#
# Begin with a model instead: $z \sim \mathcal N(0, I)$, and then $x$ from
# $p_\theta(x|z)$. Its fit to an image is $\log p_\theta(x)$, an integral over
# all $z$ that nobody can do (lesson 06). For any density $q$, since $\log
# p(x)$ does not depend on $z$ and $p(x) = p(x, z) / p(z|x)$,
#
# $$\begin{aligned}
#   \log p_\theta(x) &= \mathbb E_q \log p_\theta(x)
#     = \mathbb E_q \log \frac{p_\theta(x, z)}{p_\theta(z|x)} \\
#   &= \mathbb E_q \log \left[ \frac{p_\theta(x, z)}{q_\phi(z|x)}
#     \cdot \frac{q_\phi(z|x)}{p_\theta(z|x)} \right] \\
#   &= \underbrace{\mathbb E_q \left[ \log p_\theta(x, z)
#     - \log q_\phi(z|x) \right]}_{\text{ELBO}}
#     + \underbrace{\mathrm{KL}(q_\phi(z|x)
#       \,\|\, p_\theta(z|x))}_{\ge 0}.
#   \end{aligned}$$
#
# We cannot compute the left side, nor the last term, but we can raise the
# ELBO: it is a lower bound, and the encoder has appeared by itself, as
# whatever makes the bound tight. Now split the joint density, $p(x, z) =
# p(x|z)\, p(z)$:
#
# $$\begin{aligned}
#   \text{ELBO}(x) &= \mathbb E_q \left[ \log p_\theta(x|z)
#     + \log p(z) - \log q_\phi(z|x) \right] \\
#   &= \mathbb E_q \log p_\theta(x|z)
#     - \mathbb E_q \left[ \log q_\phi(z|x) - \log p(z) \right] \\
#   &= \mathbb E_q \log p_\theta(x|z) - \mathrm{KL}(q_\phi(z|x) \,\|\, p(z)).
#   \end{aligned}$$
#
# Seen from this road nothing is a choice: it is this KL, and its weight is
# one. With a weight above one the bound is looser than it need be; with one
# below it is no bound.
#
# ## They are one road
#
# Compare the last line with the loss above. The second terms are the same but
# for the sign. So are the first: with independent binary pixels, pixel $j$
# being 1 with probability $\hat x_j(z)$, $\log p_\theta(x|z) = \sum_j \log
# \hat x_j$ over the pixels that are 1, plus $\sum_j \log (1 - \hat x_j)$ over
# those that are 0, and $x_j$ and $1 - x_j$ are the switches that write both as
# one sum. Hence, image by image,
#
# $$\text{loss}(x) = -\,\text{ELBO}(x).$$
#
# Minimising the one maximises the other. Term by term:
#
# | deep learning says | probability says |
# |---|---|
# | decoder output $\hat x$ | mean of $p_\theta(x \mid z)$ |
# | reconstruction error | $-\mathbb E_q \log p_\theta(x \mid z)$ |
# | noise in the code | a sample of $q_\phi(z \mid x)$ |
# | regulariser | $\mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p(z))$ |
# | loss | minus a bound on $\log p_\theta(x)$ |
#
# Now on numbers. With two latents the means over $q$ need no luck:
# Gauss-Hermite quadrature turns $\mathbb E\, f(\varepsilon)$ into a weighted
# sum over a few fixed $\varepsilon$, exact for polynomials of a degree below
# twice the number of nodes. $\log q - \log p$ is a polynomial of degree two in
# $\varepsilon$.

# %%
B, Z, D, H = 4, 2, data.pixels, 30
x = (data.train_images[:B].reshape(B, D) > 127).astype(float)
mu, logvar = rng.normal(size=(B, Z)), rng.normal(size=(B, Z)) - 1
A, C = rng.normal(size=(Z, H)), rng.normal(size=(H, D)) / np.sqrt(H)


def decode(z):
    """Probabilities of a random decoder; z (..., 2) -> (..., D)."""
    return 1 / (1 + np.exp(-np.tanh(z @ A) @ C))


def log_normal(z, mu, logvar):
    """log N(z; mu, diag(exp(logvar))), summed over latents."""
    terms = np.log(2 * np.pi) + logvar + (z - mu) ** 2 / np.exp(logvar)
    return -terms.sum(axis=-1) / 2


nodes, weights = np.polynomial.hermite_e.hermegauss(24)
eps = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 1, Z)
weights = np.outer(weights, weights).reshape(-1, 1) / (2 * np.pi)  # they add up to 1
z = mu + np.exp(logvar / 2) * eps  # (24 * 24, B, Z)
p = decode(z)

# The deep-learning road: cross-entropy plus the formula of lesson 08.
cross_entropy = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)
error_term = (weights * cross_entropy).sum(axis=0)
regulariser = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
loss = error_term + regulariser

# The probabilistic road: log-densities of what was drawn, and nothing else.
log_joint = np.log(np.where(x == 1, p, 1 - p)).sum(axis=-1) + log_normal(z, 0, 0 * mu)
log_q = log_normal(z, mu, logvar)
elbo = (weights * (log_joint - log_q)).sum(axis=0)

print("image  reconstruction   + KL     = loss      -ELBO   (nats)")
for i in range(B):
    print(
        f"{i:5}{error_term[i]:14.4f}{regulariser[i]:10.4f}"
        f"{loss[i]:11.4f}{-elbo[i]:11.4f}"
    )
prior = log_normal(z, 0, 0 * mu)
assert np.allclose((weights * (log_joint - prior)).sum(axis=0), -error_term, rtol=1e-12)
assert np.allclose((weights * (log_q - prior)).sum(axis=0), regulariser, rtol=1e-11)
assert np.allclose(loss, -elbo, rtol=1e-12)

# %% [markdown]
# Equal to rounding, each term by itself. And a bound: with two latents $p(x) =
# \int p(x|z)\, p(z)\, dz$ can still be summed over a grid.

# %%
axis, step = np.linspace(-6, 6, full_or_fast(81, 41), retstep=True)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, Z)
p = decode(grid)
log_joint = np.log(p) @ x.T + np.log1p(-p) @ (1 - x).T
log_joint += log_normal(grid, 0, 0 * grid)[:, None]  # (nodes, B)
peak = log_joint.max(axis=0)
log_p = peak + np.log(np.exp(log_joint - peak).sum(axis=0) * step**2)
gaps = log_p - elbo
print("log p(x) - ELBO:", " ".join(f"{gap:.1f}" for gap in gaps), "nats")
assert (gaps > 0).all()  # this encoder was drawn at random: far from tight

# %% [markdown]
# ## The loss of a batch
#
# One reduction rule, said once: **sum** over pixels and over latents, because
# the log of a product is a sum; **mean** over the batch, so that a step does
# not depend on how many images it looked at. With $R = -\log p_\theta(x|z)$ at
# a sampled $z$ and $k$ for the KL,
#
# $$\begin{aligned}
#   L &= \frac1B \sum_{i=1}^B \frac1K \sum_{k=1}^K
#     \left( R_{ik} + \beta\, k_{ik} \right), \\
#   R_{ik} &= -\log p_\theta(x_i | z_{ik}), \qquad
#   k_{ik} = \mathrm{KL}\!\left(q_\phi(z|x_i) \,\|\, p(z)\right).
#   \end{aligned} \tag{10.1}$$
#
# $\beta$ is 1; other values are the subject of lesson 13. $K$ is the number of
# samples drawn for each image, and one is enough: the mean over a batch
# already averages over 128 draws of $\varepsilon$. From here on $K = 1$.
#
# ## The whole VAE, on a page
#
# One hidden layer on each side, its negative values set to zero (relu), no
# tricks. Eight arrays of parameters: $W_1, b_1, W_2, b_2$ are $\phi$, the
# other four are $\theta$. Forward, from left to right:
#
# $$\begin{aligned}
#   h &= \operatorname{relu}(x W_1 + b_1), & (\mu, \ell) &= h W_2 + b_2, \\
#   \sigma &= \exp(\ell/2), & z &= \mu + \sigma \odot \varepsilon, \\
#   g &= \operatorname{relu}(z W_3 + b_3), & l &= g W_4 + b_4, \\
#   R &= \sum_j \left[ \log(1 + \exp l_j) - x_j l_j \right], &
#   k &= \tfrac12 \sum_j \left( \mu_j^2 + \exp \ell_j - 1 - \ell_j \right).
#   \end{aligned} \tag{10.2}$$
#
# ($R$ is the cross-entropy above, with $\hat x = 1 / (1 + \exp(-l))$ put in:
# lesson 11 does that algebra. The package allows any stack of layers for the
# two networks; nothing else changes.)
#
# Backward begins with what each term weighs in the mean. In general, an
# image's own loss $L_i$ has $\bar L_i = 1/B$, and its $K$ samples share it:
#
# $$\bar R_{ik} = \frac{\bar L_i}{K} = \frac{1}{BK}, \qquad
#   \bar k_{ik} = \beta\, \frac{\bar L_i}{K} = \frac{\beta}{BK}.
#   \tag{10.3}$$
#
# Then the list (10.2), last line first. Nothing here is new. Each line is a
# pair that an earlier lesson derived:
#
# $$\begin{aligned}
#   \bar l &= \bar R\, (\hat x - x)
#     && \text{Bernoulli (11.3)} \\
#   \bar W_4 &= g^\top \bar l, \quad \bar b_4 = \textstyle\sum_i \bar l_i,
#     \quad \bar g = \bar l\, W_4^\top
#     && \text{dense (2.3 to 2.5)} \\
#   \bar a_g &= \bar g \odot [\,g > 0\,]
#     && \text{relu (2.2, 2.7)} \\
#   \bar W_3 &= z^\top \bar a_g, \quad
#     \bar b_3 = \textstyle\sum_i \bar a_{g,i}, \quad
#     \bar z = \bar a_g\, W_3^\top
#     && \text{dense} \\
#   \bar\mu &\leftarrow \bar z, \quad \bar\sigma = \bar z \odot \varepsilon,
#     \quad \bar\ell \leftarrow \tfrac12\, \bar\sigma \odot \sigma
#     && \text{sample (9.4, 9.2)} \\
#   \bar\mu &\leftarrow \bar k\, \mu, \quad
#     \bar\ell \leftarrow \tfrac12\, \bar k \left(\exp \ell - 1\right)
#     && \text{KL (8.5)}
#   \end{aligned}$$
#
# Here is the one place where the list is not a chain. $\mu$ and $\ell$ each go
# two ways, into the sample and into the KL. Where one variable feeds two
# terms, $dL$ has two terms in its differential, so the two gradients add:
#
# $$\begin{aligned}
#   \bar\mu &= \underbrace{\bar z}_{\text{through } z}
#     + \underbrace{\tfrac{\beta}{B}\,\mu}_{\text{through the KL}}, \\
#   \bar\ell &= \underbrace{\tfrac12\, \bar z \odot \varepsilon
#       \odot \sigma}_{\text{through } z}
#     + \underbrace{\tfrac{\beta}{2B}
#       \left(\exp \ell - 1\right)}_{\text{through the KL}}.
#   \end{aligned} \tag{10.4}$$
#
# Read (10.4) as a negotiation. The decoder, through $\bar z$, pulls each code
# to where it could draw the image better, and finds noise a nuisance; the KL
# pulls it back to the prior. Training ends where, on average, they balance.
#
# After that the encoder is two dense layers more: $\bar h_{\text{out}} =
# (\bar\mu, \bar\ell)$ side by side goes through $W_2$, relu, $W_1$. There it
# stops. Nobody asks for the gradient of an image.


# %%
def relu(a):
    """max(a, 0); with `where` and `.real` the complex step gets through."""
    return np.where(a.real > 0, a, 0)


def softplus(a):
    """log(1 + exp a), without overflow."""
    return np.where(a.real > 0, a, 0) + np.log1p(np.exp(np.where(a.real > 0, -a, a)))


def sigmoid(a):
    e = np.exp(np.where(a.real > 0, -a, a))
    return np.where(a.real > 0, 1, e) / (1 + e)


def initialise(D, H, Z, rng, dtype=np.float64):
    """W1, b1, ..., W4, b4: uniform within 1 / sqrt(inputs) (Eq. 2.12)."""
    params = []
    for N, M in ((D, H), (H, 2 * Z), (Z, H), (H, D)):
        bound = 1 / np.sqrt(N)
        params.append(rng.uniform(-bound, bound, (N, M)).astype(dtype))
        params.append(rng.uniform(-bound, bound, M).astype(dtype))
    return params


def forward(params, x, eps, beta=1.0):
    """The loss in nats, and all that backward needs; x (B, D), eps (B, Z)."""
    W1, b1, W2, b2, W3, b3, W4, b4 = params
    h = relu(x @ W1 + b1)
    mu, logvar = np.split(h @ W2 + b2, 2, axis=1)
    sigma = np.exp(logvar / 2)
    z = mu + sigma * eps
    g = relu(z @ W3 + b3)
    logits = g @ W4 + b4
    recon = (softplus(logits) - x * logits).sum(axis=1)
    kl = (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2
    loss = (recon + beta * kl).sum() / len(x)
    return loss, (h, mu, logvar, sigma, z, g, logits, recon, kl)


def backward(params, x, eps, kept, beta=1.0):
    """The gradients of the loss, in the order of params: forward's list, mirrored."""
    W2, W3, W4 = params[2::2]
    h, mu, logvar, sigma, z, g, logits, *_ = kept
    drecon, dkl = 1 / len(x), beta / len(x)  # (10.3)

    dlogits = drecon * (sigmoid(logits) - x)
    dW4, db4, dg = g.T @ dlogits, dlogits.sum(axis=0), dlogits @ W4.T
    da = dg * (g > 0)
    dW3, db3, dz = z.T @ da, da.sum(axis=0), da @ W3.T

    dmu = dz + dkl * mu  # (10.4)
    dlogvar = dz * eps * sigma / 2 + dkl * np.expm1(logvar) / 2

    dout = np.hstack([dmu, dlogvar])
    dW2, db2, dh = h.T @ dout, dout.sum(axis=0), dout @ W2.T
    da = dh * (h > 0)
    dW1, db1 = x.T @ da, da.sum(axis=0)
    return [dW1, db1, dW2, db2, dW3, db3, dW4, db4]


# %% [markdown]
# That is all. The two halves have the same lines in opposite order, and every
# array that backward reads was computed, under the same name, by forward.
#
# ## Is it right?
#
# The complex step asks each single parameter (lesson 03): add $i h$ to it,
# with $h = 10^{-30}$, and the imaginary part of the loss is $h$ times the
# derivative, exact to rounding. The shapes are small and all different, so
# that nothing fits by accident.

# %%
B, D, H, Z = 3, 11, 5, 2
params = initialise(D, H, Z, rng)
x = rng.integers(0, 2, (B, D)).astype(float)
eps = rng.normal(size=(B, Z))


def derivative(params, block, place, h=1e-30):
    """d loss / d params[block][place] by the complex step."""
    shifted = [p.astype(complex) for p in params]
    shifted[block][place] += 1j * h
    return forward(shifted, x, eps)[0].imag / h


def worst(grads):
    """The largest error of a gradient, as a share of its largest entry."""
    error = [
        abs(derivative(params, block, place) - grad[place])
        for block, grad in enumerate(grads)
        for place in np.ndindex(grad.shape)
    ]
    return max(error) / max(abs(grad).max() for grad in grads)


kept = forward(params, x, eps)[1]
grads = backward(params, x, eps, kept)
count = sum(grad.size for grad in grads)
print(f"{count} gradients, the largest error {worst(grads):.0e} of the largest")
assert worst(grads) < 1e-13  # a few hundred roundings of 1e-16

fresh = backward(params, x, rng.normal(size=(B, Z)), kept)
closed = backward(params, x, eps, kept, beta=0)
print(f"with a fresh eps in backward  {worst(fresh):.0e}")
print(f"without the KL's road         {worst(closed):.0e}")
assert worst(fresh) > 1e-3 and worst(closed) > 1e-3

# %% [markdown]
# ## The same as the package's
#
# The package keeps all parameters in one flat vector, and lays them out in the
# order in which we did. So a model of the package can be made from our arrays,
# and asked for its loss and its gradient at the same $\varepsilon$: once by
# its NumPy reference, once by its compiled kernels.

# %%
D, H, Z, B = data.pixels, 40, 7, 16
params = initialise(D, H, Z, rng)
x = (data.train_images[:B].reshape(B, D) > 127).astype(float)
eps = rng.normal(size=(B, Z))
loss, kept = forward(params, x, eps)
ours = np.concatenate([g.ravel() for g in backward(params, x, eps, kept)])
flat = np.concatenate([p.ravel() for p in params])

for compiled in (False, True):
    model = VAE(
        D, (H,), Z, "relu", dtype=np.float64, compiled=compiled, params=flat.copy()
    )
    theirs_loss, theirs = model.loss_and_gradient(x, eps)
    error = abs(theirs.flat - ours).max() / abs(ours).max()
    print(f"compiled {compiled!s:5}  loss {theirs_loss:.12f}, gradient {error:.0e} off")
    assert abs(theirs_loss / loss - 1) < 1e-12 and error < 1e-12
print(f"here            loss {loss:.12f} nats, {flat.size} parameters")

# %% [markdown]
# The package's two lists are `VAE.forward` and `VAE.backward`, in
# `numpyvae/model/vae.py`. What was a line of (10.2) is a part there, with a
# forward and a backward of its own: a *head* gives the numbers $s$ that the
# posterior is made of, here $(\mu, \ell)$; its *family* makes $z$ of them; a
# *rate* is the KL from that family to the *prior*, a part like the others. Here
# are their calls. Left out are names ($h$ is `hs[-1].y`, $z$ is `code.z`, `kl`
# the sum of the rate's terms, `target` is $x$, `dloss` is $1/B$ for each image)
# and what only other models need: $K$ samples, labels, a prior that asks the
# encoder.

# %%
there = """
    hs = self.encoder.forward(seen, work)
    s = self.head.forward(h, work.params)
    code = self.family.forward(s, eps[:, :Z], work)
    rate, kept_kl = self.rates[objective.kl].forward(code, eps, work)
    gs = self.decoder.forward(z, work)
    recon, kept_x = self.likelihood.forward(gs[-1].y, target, work)
    loss, shares = objective.forward(recon.reshape(-1, K), kl.reshape(-1, K))
"""
back = """
    drecon, dkl = objective.backward(dloss, shares)
    dout = self.likelihood.backward(drecon, gs[-1].y, kept_x, target, work)
    dz = self.decoder.backward(dout, gs, work)[:, :Z]
    rate = self.rates[objective.kl].backward(dkl, code, kept_kl, eps, work)
    ds = self.family.backward(dz + rate.dz, rate.dlog, code, eps[:, :Z], work)
    ds = ds + rate.ds  # mu and logvar: through z, and through the KL
    dh = self.head.backward(ds, work.grads)
    self.encoder.backward(dh, hs, work)
"""

called = {}
for name, quotation in (("forward", there), ("backward", back)):
    source = inspect.getsource(getattr(VAE, name))
    places = [source.index(line) for line in quotation.split("\n") if line]
    assert places == sorted(places)  # it is quoted rightly, and in order
    called[name] = re.findall(rf"(\w+)(?:\[.*\])?\.{name}\(", source)
print(" → ".join(called["forward"]))
assert called["forward"] == called["backward"][::-1]

# %% [markdown]
# The two gradients of (10.4) meet in `ds = ds + rate.ds`: what has come through
# $z$, and what comes through the KL. That is so where the KL has a formula.
# Where it is taken at the sample (lesson 09), there are two other ways: through
# $z$, so that `rate.dz` meets the decoder's $\bar z$ one line earlier, and
# through $\log q(z|x)$, whose bar is `rate.dlog`. Then `rate.ds` is zero.
#
# `forward` returns all of it, and `work` says what to compute with: parameters,
# gradients, arrays, and reference or compiled code. A network leaves a *trace*
# of each layer, its $x$, $a$ and $y$ (2.1). So `hs[-1].y` is $(\mu, \ell)$,
# `gs[-1].y` the logits.

# %%
work = model.workspace()
seen = model.forward(x, eps, work=work)
mu, logvar, z, logits = kept[1], kept[2], kept[4], kept[6]
assert np.allclose(seen.hs[-1].y, np.hstack([mu, logvar]), rtol=1e-12, atol=1e-14)
assert np.allclose(seen.gs[-1].y, logits, rtol=1e-12, atol=1e-13)

dkl = np.full(B, 1 / B)
rate = model.rates["closed"].backward(dkl, seen.code, seen.kept_kl, eps, work)
of_kl = np.hstack([mu, np.expm1(logvar) / 2]) / B  # of (10.4), the KL's
assert np.allclose(rate.ds, of_kl, rtol=1e-12, atol=1e-14) and rate.dz == 0
_, kept_kl = model.rates["sampled"].forward(seen.code, eps, work)
rate = model.rates["sampled"].backward(dkl, seen.code, kept_kl, eps, work)
assert np.allclose(rate.dz, z / B, rtol=1e-12, atol=1e-14) and rate.ds == 0
assert np.array_equal(rate.dlog, dkl)

# %% [markdown]
# ## Train it
#
# Adam (2.9 to 2.11) is four lines. An image of grey pixels becomes one of
# zeros and ones each time it is seen, pixel by pixel with the probability of
# its grey (*dynamic* binarization): a Bernoulli likelihood speaks of zeros and
# ones, and of nothing between (lesson 11).


# %%
def binary(images):
    """Grey images (B, 28, 28) as rows of zeros and ones, drawn anew."""
    grey = images.reshape(len(images), -1) / np.float32(255)
    return (rng.random(grey.shape, np.float32) < grey).astype(np.float32)


H, Z, B, steps = full_or_fast(200, 64), 20, 128, full_or_fast(400, 70)
params = initialise(D, H, Z, rng, np.float32)
ms, vs = ([np.zeros_like(p) for p in params] for _ in range(2))
history = []
for step in range(1, steps + 1):
    x = binary(data.train_images[rng.integers(0, len(data.train_images), B)])
    eps = rng.standard_normal((B, Z), np.float32)
    loss, kept = forward(params, x, eps)
    grads = backward(params, x, eps, kept)
    for p, g, m, v in zip(params, grads, ms, vs, strict=True):
        m += 0.1 * (g - m)
        v += 0.001 * (g * g - v)
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        p -= 0.001 * m_hat / (np.sqrt(v_hat) + 1e-8)
    *_, recon, kl = kept
    history.append((recon.mean(), kl.mean()))
recons, kls = np.array(history).T

mean_image = data.train_images.reshape(-1, D).mean(axis=0) / 255
p = np.clip(mean_image, 1e-6, 1 - 1e-6)  # a pixel that is never inked costs nothing
no_code = -(mean_image * np.log(p) + (1 - mean_image) * np.log1p(-p)).sum()
for step in (1, 10, steps // 4, steps):
    R, k = recons[step - 1], kls[step - 1]
    print(f"step {step:3}  reconstruction {R:6.1f} + KL {k:5.1f} = {R + k:6.1f} nats")
print(f"without any code, at best      {no_code:6.1f}")

assert recons[-20:].mean() + kls[-20:].mean() < 0.5 * (recons[0] + kls[0])

# %% [markdown]
# The dotted line is what the reconstruction can come to without a code. A
# decoder that sees nothing can do no better than to give each pixel its own
# mean, and pays the entropy of each. To go below it, information about *this*
# image must pass through $z$, and the KL is what the passage costs.
#
# Look at the first steps. The encoder begins by shouting: it moves its means
# far out before the decoder can read them, and pays for nats that buy nothing.
# The KL silences it within some fifty steps. Then the code comes back, slowly,
# where it saves more than it costs.

# %%
figure, (top, bottom) = sheet(
    "Nats of code that buy nothing are given back; those that buy ink stay",
    names=("Reconstruction", "KL"),
    height=1.5,
    labels=("step", "nats"),
)
number = np.arange(1, steps + 1)
top.plot(number, recons, color=RECON, lw=1.5)
top.axhline(no_code, color=EXACT, lw=1, ls=":")
top.text(1, no_code - 12, "the best without a code", color=EXACT, size=10, va="top")
bottom.plot(number, kls, color=KL, lw=1.5)
for axes in (top, bottom):
    axes.set_xscale("log")
    axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    axes.tick_params(which="minor", length=0)
    axes.set_ylim(0)
top.set_xlabel("")
show(
    figure,
    "10_curves",
    "Reconstruction and KL over the steps of training, on a log scale. The "
    "reconstruction falls from 550 nats, past a dotted line near 210, to about 120. "
    "The KL peaks at about step 15, sinks, and rises again to about 20.",
)
assert kls.argmax() < 60 and kls.max() > 1.5 * kls[-20:].mean()

# %% [markdown]
# ## Hand it over
#
# What we trained in plain NumPy, the package can go on with: the same
# parameters, its compiled kernels, two threads. Then look.

# %%
test = binary(data.test_images)
eps = rng.standard_normal((len(test), Z), np.float32)
before = forward(params, test, eps)[0]
print(f"by hand   test loss {before:6.1f} nats")

flat = np.concatenate([p.ravel() for p in params])
model = VAE(D, (H,), Z, "relu", params=flat)
for r in train(
    model,
    data,
    epochs=full_or_fast(4, 5),
    batch_size=full_or_fast(128, 32),
    seed=10,
    progress=False,
):
    print(
        f"epoch {r.epoch}   test loss {-r.test_elbo:6.1f} "
        f"= {r.test_recon:5.1f} + {r.test_kl:4.1f} nats"
    )
saved = (no_code - r.test_recon) / r.test_kl
print(f"a nat of code saves {saved:.1f} nats of reconstruction")
assert -r.test_elbo < before and saved > 1

# %%
shown = test[: 8 * (len(test) // 8) : len(test) // 8]
figure = strips(
    "Twenty numbers redraw a digit; twenty random ones often draw a new one",
    [
        ("images", shown),
        ("their means\nunder p(x|z)", model.reconstruct(shown)),
        ("z drawn from\nthe prior", model.sample(8, np.random.default_rng(1))),
        ("", model.sample(8, np.random.default_rng(2))),
    ],
)
show(
    figure,
    "10_digits",
    "Eight binary test digits; below them their reconstructions, smooth and easily "
    "recognised; below these sixteen samples from the prior, most of them digits.",
)
params = list(model.params.values())
own = forward(params, test, eps)[1][-2].mean()
z = forward(params, np.roll(test, 1, axis=0), eps)[1][4]  # codes of other images
logits = relu(z @ params[4] + params[5]) @ params[6] + params[7]
others = (softplus(logits) - test * logits).sum(axis=1).mean()
print(f"-log p(x|z) from an image's own code {own:.0f}, another's {others:.0f} nats")
assert own < others

# %% [markdown]
# ## A mean in the wrong place
#
# Frameworks offer a loss averaged over everything, and it is one keyword away.
# Suppose the reconstruction comes out as $aR$ and the KL as $b\,k$, with $a$
# and $b$ whatever the averaging has divided by. Then
#
# $$a R + b\, k = a \left( R + \tfrac ba\, k \right), \qquad
#   \beta_{\text{effective}} = \frac ba. \tag{10.5}$$
#
# The factor $a$ in front is only a learning rate, and Adam, which divides by
# the size of the gradient, does not even notice it. The ratio makes another
# model:
#
# | reconstruction | KL | $\beta_{\text{effective}}$ |
# |---|---|---|
# | sum over pixels | sum over latents | $1$ |
# | mean over pixels | sum over latents | $D = 784$ |
# | mean over pixels | mean over latents | $D / Z \approx 39$ |
# | sum over pixels | mean over latents | $1 / Z$ |
# | sum over pixels | sum, "divided by the pixels to balance it" | $1 / D$ |
#
# A KL divided by the number of pixels, or of latents, stands in much public
# code. Each of the five can be differentiated without a mistake; only the
# first is minus the ELBO.

# %%
x = binary(data.train_images[:8]).astype(float)
params = initialise(D, 9, 5, rng)
eps = rng.normal(size=(8, 5))
direction = [rng.normal(size=p.shape) for p in params]
moved = [p + 1e-30j * v for p, v in zip(params, direction, strict=True)]
*_, recon, kl = forward(moved, x, eps)[1]  # each the sum over pixels, or latents
kept = forward(params, x, eps)[1]
for a, b in ((1, 1), (1 / D, 1), (1 / D, 1 / 5), (1, 1 / 5), (1, 1 / D)):
    slope = (a * recon + b * kl).mean().imag / 1e-30
    grads = backward(params, x, eps, kept, beta=b / a)
    ours = a * sum((g * v).sum() for g, v in zip(grads, direction, strict=True))
    print(f"beta {b / a:8.4f}   slope {slope:+.12e}   by (10.5) {ours:+.12e}")
    assert abs(ours / slope - 1) < 1e-10

big = np.concatenate([g.ravel() for g in grads])
big = big[abs(big) > 0.01 * abs(big).max()]  # beside them, Adam's 1e-8 is nothing
first_step = [g / (np.sqrt(g * g) + 1e-8) for g in (big, big / D)]
assert np.allclose(*first_step, atol=1e-2)  # the whole loss divided: no difference

# %% [markdown]
# What the three extremes learn from the same images in the same number of
# steps:

# %%
betas = {"beta = 784": float(D), "beta = 1": 1.0, "beta = 1/784": 1 / D}
models, ends = {}, {}
for name, beta in betas.items():
    models[name] = VAE(D, (H,), Z, "relu", seed=10)
    records = train(
        models[name],
        data,
        beta=beta,
        epochs=full_or_fast(2, 10),
        batch_size=full_or_fast(128, 32),
        progress=False,
    )
    r = ends[name] = records[-1]
    print(
        f"{name:13} reconstruction {r.test_recon:6.1f}, KL {r.test_kl:6.1f}, "
        f"ELBO {r.test_elbo:7.1f} nats"
    )
silent, right, loud = ends.values()
assert silent.test_kl < 0.1 < 5 < right.test_kl < loud.test_kl
assert right.test_elbo > max(silent.test_elbo, loud.test_elbo)

# %% [markdown]
# At $\beta = 784$ a nat of code has to save 784 nats of reconstruction. None
# can, the code falls silent, and every image is redrawn as the mean of all.
# If *all your reconstructions look the same*, look here first. At $\beta =
# 1/784$ code is all but free. The reconstructions are a little sharper, and
# the prior is forgotten: a sample from it lands where no image ever was.

# %%
rows = [("images", shown)]
for name, m in models.items():
    rows += [(name, shown[:0])]
    rows += [("reconstructed", m.reconstruct(shown))]
    rows += [("sampled", m.sample(8, np.random.default_rng(1)))]
figure = strips(
    "Divide one term by 784, and the code falls silent or the samples fall apart", rows
)
show(
    figure,
    "10_means",
    "Reconstructions and prior samples of three models. With beta 784 all of them are "
    "the same grey blur; with beta 1 both are digits; with beta 1/784 the "
    "reconstructions are digits, and the samples are a jumble of strokes.",
)
spread = {name: m.reconstruct(shown).std(axis=0).max() for name, m in models.items()}
assert spread["beta = 784"] < 0.1 < spread["beta = 1"]

# %% [markdown]
# ## Exercise
#
# In `lessons/exercises/10_vae.py` write the middle of the VAE anew, from
# $(\mu, s)$ to $z$ and the KL, with two changes and their gradients: $\sigma =
# \log(1 + \exp s)$ in place of $\exp(\ell / 2)$, and $K$ samples for each
# image, whose gradients all come home to one $\mu$ and one $s$. Then ask
#
# ```sh
# numpyvae check 10
# ```
