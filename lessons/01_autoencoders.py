# %% [markdown]
# # 01 · Auto-encoders and PCA
#
# *Squeeze a digit through six numbers and ask for it back. If both halves are
# linear, the best that can happen has been known since 1901, and gradient
# descent finds it without being told.*
#
# **You will** write an encoder, a decoder and their loss; prove what the best
# linear pair is, and how much of it nobody can know; and watch gradient descent
# on digits arrive there, to a hundredth of a degree.
#
# **Reads with** note 004 (Louppe, lecture 7, "Auto-encoders" up to "In this
# case, an optimal solution is given by PCA"), note 003 (Graham,
# "Introduction"). **Takes** 8 seconds.

# %%
import numpy as np
from lesson import digits, full_or_fast
from style import AE, ESTIMATE, sheet, show, strips

from numpyvae import VAE, gradcheck
from numpyvae.analysis.pca import largest_angle, principal_axes
from numpyvae.pairs.objectives import ELBO

rng = np.random.default_rng(1)

# %% [markdown]
# ## Two functions and a loss
#
# An **encoder** takes an image $x$ of $D$ pixels to a code $z$ of $Z$ numbers,
# the latents. A **decoder** takes the code back to an image $\hat x$. With $Z$
# far below $D$ the pair can't copy. What passes through the code must be what
# the images have in common. The notes call the two $f$ and $g$; their
# parameters are here $\phi$ and $\theta$, in all lessons. The loss asks for the
# image back:
#
# $$L = \mathbb E_{x} \left[ \lVert x - \hat x \rVert^2 \right] \approx
#   \frac1N \sum_{i=1}^N \sum_{d=1}^D \left( x_{id} - \hat x_{id} \right)^2,
#   \qquad \hat x = \mathrm{decoder}_\theta(\mathrm{encoder}_\phi(x)).
#   \tag{1.1}$$
#
# A sum over pixels, a mean over images: this rule holds in the whole project.
# An image is a *row*, so a data set is a matrix $X$ of shape $(N, D)$.

# %%
N, Z = full_or_fast(10_000, 2_000), 6
data = digits(N, 1000)
images = data.train_images.reshape(N, -1) / 255.0
D = images.shape[1]


def loss(x, reconstruction):
    """The mean over images of the squared error summed over pixels (Eq. 1.1)."""
    return ((x - reconstruction) ** 2).sum(axis=1).mean()


mean = images.mean(axis=0)
print(f"answer every image with black: {loss(images, 0):6.2f}")
print(f"answer it with the mean image: {loss(images, mean):6.2f}")

# %% [markdown]
# ## The linear pair
#
# Take both functions linear, each with a bias:
#
# $$z = x\, W_\phi + b_\phi, \qquad \hat x = z\, W_\theta + b_\theta,
#   \tag{1.2}$$
#
# $W_\phi$ of shape $(D, Z)$, $W_\theta$ of shape $(Z, D)$. (The notes write
# images as columns, and tie the two: $W_\phi = U$, $W_\theta = U^\top$, no
# biases. We come back to both.) Put one into the other:
#
# $$\hat x = x P + c, \qquad P = W_\phi W_\theta, \quad
#   c = b_\phi W_\theta + b_\theta. \tag{1.3}$$
#
# All that the two biases do is $c$, and $b_\theta$ alone can make it anything.
# So minimise over $c$ first, at whatever $P$:
#
# $$\frac{\partial L}{\partial c} = -\frac2N \sum_i \left( x_i - x_i P
#   - c \right) = 0 \quad\Longrightarrow\quad c = m - m P, \qquad
#   m = \frac1N \sum_i x_i. \tag{1.4}$$
#
# Insert it: $x - \hat x = (x - m) - (x - m) P$. **The best bias centres the
# data**, whatever the weights are. From here on $x$ and $X$ are centred, with
# $m$ taken away, and the biases are gone:
#
# $$L(P) = \frac1N \sum_i \lVert x_i - x_i P \rVert^2
#   = \frac1N \lVert X (I - P) \rVert_F^2
#   = \operatorname{tr}\!\left[ (I - P)^\top S\, (I - P) \right], \qquad
#   S = \frac1N X^\top X. \tag{1.5}$$
#
# ($\lVert M \rVert_F^2$ is the sum of the squares of $M$'s entries, which is
# $\operatorname{tr} M^\top M$.) $S$ is the covariance matrix of the pixels.
# Through it alone the loss sees the data: ten thousand images have become one
# matrix of $784 \times 784$.

# %%
X = images - mean
S = X.T @ X / N
W_phi, W_theta = rng.normal(size=(D, Z)) / 100, rng.normal(size=(Z, D)) / 100
rest = np.eye(D) - W_phi @ W_theta
by_images, by_covariance = loss(X, X @ W_phi @ W_theta), np.trace(rest.T @ S @ rest)
print(f"by images {by_images:.10f}\nby S      {by_covariance:.10f}")
assert np.isclose(by_images, by_covariance, rtol=1e-11)  # sums of millions of terms

bias = mean - mean @ W_phi @ W_theta  # Eq. 1.4, on images that aren't centred
assert np.isclose(loss(images, images @ W_phi @ W_theta + bias), by_images, rtol=1e-11)
for _ in range(3):
    other = bias + 0.1 * rng.normal(size=D)
    assert loss(images, images @ W_phi @ W_theta + other) > by_images

# %% [markdown]
# ## What is the best P? First, the shadow
#
# Whatever the encoder says, $\hat x = z W_\theta$ is a combination of the $Z$
# rows of $W_\theta$. It lies in their span, a subspace of $r \le Z$ dimensions.
# Let $Q$ be the orthogonal projector onto that span: $Q = Q^\top = Q^2$, and
# $\hat x Q = \hat x$. Split the error in two:
#
# $$x - \hat x = \underbrace{x (I - Q)}_{\text{outside the span}}
#   + \underbrace{(x Q - \hat x)}_{\text{inside it}}.$$
#
# The two parts are orthogonal, since the second is $(xQ - \hat x) Q$ and
# $(I - Q) Q^\top = Q - Q^2 = 0$. So, by Pythagoras,
#
# $$\lVert x - \hat x \rVert^2 = \lVert x - x Q \rVert^2
#   + \lVert x Q - \hat x \rVert^2 \;\ge\; \lVert x - x Q \rVert^2, \tag{1.6}$$
#
# with equality only for $\hat x = xQ$. The best answer is the shadow that $x$
# throws on the span.
#
# Look at what was *not* used: that the encoder is linear. Under a linear
# decoder a deep encoder gains nothing, because the best code is linear in $x$
# anyway. To beat what comes now, the *decoder* must bend.

# %%
basis = np.linalg.qr(W_theta.T)[0]  # orthonormal columns, the span of W_theta's rows
Q = basis @ basis.T
answer = np.tanh(X[:500] @ W_phi * 30) @ W_theta  # any encoder: this one is not linear
outside = ((X[:500] - X[:500] @ Q) ** 2).sum(axis=1)
inside = ((X[:500] @ Q - answer) ** 2).sum(axis=1)
both = ((X[:500] - answer) ** 2).sum(axis=1)
print(f"outside {outside.mean():.4f} + inside {inside.mean():.4f} = {both.mean():.4f}")
assert np.allclose(outside + inside, both, rtol=1e-12)

# %% [markdown]
# ## Second, where to put the span
#
# Now only $Q$ is left to choose. $(I - Q)(I - Q)^\top = I - Q$, and so by (1.5)
#
# $$L \ge \operatorname{tr}\!\left[ (I - Q)^\top S\, (I - Q) \right]
#   = \operatorname{tr}\!\left[ S\, (I - Q) \right]
#   = \operatorname{tr} S - \operatorname{tr} S Q. \tag{1.7}$$
#
# $S$ is symmetric and has an orthonormal basis of eigenvectors $v_1, \dots,
# v_D$ with eigenvalues $\lambda_1 \ge \dots \ge \lambda_D \ge 0$: the
# **principal components**, and the variance of the data along each. Write
# $S = \sum_i \lambda_i v_i v_i^\top$. Then
#
# $$\operatorname{tr} S Q = \sum_{i=1}^D \lambda_i q_i, \qquad
#   q_i = v_i^\top Q\, v_i = \lVert Q v_i \rVert^2, \quad 0 \le q_i \le 1, \quad
#   \sum_{i=1}^D q_i = \operatorname{tr} Q = r \le Z. \tag{1.8}$$
#
# (A projection never makes a vector longer, so $q_i \le 1$. The trace of a
# projector counts the dimensions it keeps.) Think of a budget. There are $Z$
# units of $q$ to spend, at most one on each component, and a unit on component
# $i$ earns $\lambda_i$. Spend them on the $Z$ dearest! In symbols, with
# $s = \sum_{i > Z} q_i$ for what is spent elsewhere,
#
# $$\begin{aligned}
#   \sum_{i \le Z} \lambda_i - \sum_{i=1}^D \lambda_i q_i
#   &= \sum_{i \le Z} \lambda_i (1 - q_i) - \sum_{i > Z} \lambda_i q_i \\
#   &\ge \lambda_Z \sum_{i \le Z} (1 - q_i) - \lambda_{Z+1} \sum_{i > Z} q_i \\
#   &= \lambda_Z \left( Z - r + s \right) - \lambda_{Z+1}\, s
#   \;\ge\; (\lambda_Z - \lambda_{Z+1})\, s \;\ge\; 0.
#   \end{aligned} \tag{1.9}$$
#
# So $\operatorname{tr} SQ \le \lambda_1 + \dots + \lambda_Z$, and with
# $\operatorname{tr} S = \sum_i \lambda_i$ nothing can have a loss below
#
# $$\boxed{\ \min L = \sum_{i > Z} \lambda_i\ } \tag{1.10}$$
#
# the variance that is left over. It is reached by $Q = V V^\top$, where $V$ of
# shape $(D, Z)$ holds $v_1, \dots, v_Z$ as columns. And only by it, if
# $\lambda_Z > \lambda_{Z+1}$: equality in (1.9) then needs $s = 0$, hence $Q
# v_i = 0$ for all $i > Z$, and $r = Z$. All that was used of the answers is
# that they lie in $Z$ dimensions. So no matrix of rank $Z$ is nearer to $X$
# than $X V V^\top$: the theorem of Eckart and Young (1936).

# %%
variances, axes = np.linalg.eigh(S)  # rising
variances, axes = variances[::-1].clip(0), axes[:, ::-1]
V, left = axes[:, :Z], variances[Z:].sum()
print("variances", " ".join(f"{v:.2f}" for v in variances[:8]), "...")
print(f"PCA's loss {loss(X, X @ V @ V.T):.6f}, the rest's variance {left:.6f}")
assert np.isclose(loss(X, X @ V @ V.T), left, rtol=1e-11)

for _ in range(5):  # other subspaces: PCA's, turned a little
    basis = np.linalg.qr(V + 0.01 * rng.normal(size=(D, Z)))[0]
    q = ((axes.T @ basis) ** 2).sum(axis=1)  # Eq. 1.8
    assert np.isclose(q.sum(), Z, rtol=1e-12) and q.max() < 1 + 1e-12
    assert np.isclose(variances @ q, np.trace(basis.T @ S @ basis), rtol=1e-11)
    assert variances @ q < variances[:Z].sum()  # Eq. 1.9

package_mean, package_axes, package_variances = principal_axes(images, Z)
assert np.allclose(package_mean, mean, rtol=1e-12)
assert np.allclose(package_variances, variances, atol=1e-12)
assert np.allclose(np.abs(np.diag(package_axes @ V)), 1, rtol=1e-9)  # up to signs

# %% [markdown]
# ## What is not determined
#
# At the optimum (1.6) is an equality for every image, so $XP = XQ = X V
# V^\top$. Its rows lie in the span of $W_\theta$'s rows, for $XP = X W_\phi
# W_\theta$; and they span all of $v_1, \dots, v_Z$, for $XV$ has the variances
# $\lambda_1, \dots, \lambda_Z > 0$ and so the rank $Z$. Hence the $Z$ rows of
# $W_\theta$ are *some* basis of that subspace: $W_\theta = A V^\top$ with an
# invertible $A$ of shape $(Z, Z)$. Then $X W_\phi A V^\top = X V V^\top$.
# Multiply by $V$ from the right, where $V^\top V = I$, and by $A^{-1}$:
#
# $$W_\theta = A\, V^\top, \qquad X W_\phi = X V A^{-1},
#   \qquad A \text{ any invertible matrix.} \tag{1.11}$$
#
# The code is PCA's code, times any invertible matrix. Decoder and encoder agree
# on the coordinates among themselves; the loss never sees them. Its latents
# can be correlated, in any order, of any size. What is determined is the
# *subspace*, and it is what must be compared. (The equation says $X W_\phi$,
# not $W_\phi$: for a pixel that is black in every image the encoder's weights
# don't matter.)
#
# With the notes' tied weights, $W_\theta^\top = W_\phi = U$, (1.11) says $U = V
# A^\top$ and $X V A^\top = X V A^{-1}$. From the left by $V^\top X^\top / N$,
# with $V^\top S V = \operatorname{diag}(\lambda_1, \dots, \lambda_Z)$, which is
# invertible:
#
# $$A^\top = A^{-1}, \qquad U = V R \quad \text{with } R = A^\top
#   \text{ orthogonal.} \tag{1.12}$$
#
# Tying leaves a rotation (and reflections), still not the axes.

# %%
A = rng.normal(size=(Z, Z))
codes, mixed = X @ V, X @ V @ np.linalg.inv(A)
assert np.isclose(loss(X, mixed @ A @ V.T), left, rtol=1e-9)
for name, z in (("PCA's codes", codes), ("as good ones", mixed)):
    correlation = np.corrcoef(z.T) - np.eye(Z)
    print(f"{name:13} largest correlation of two latents {abs(correlation).max():.1e}")
assert abs(np.corrcoef(codes.T) - np.eye(Z)).max() < 1e-10

# %% [markdown]
# ## The angle between two subspaces
#
# Let $a$ and $b$, both $(D, Z)$, have orthonormal columns that span the two.
# A unit vector of the second is $u = b\,t$ with $|t| = 1$. The nearest point
# of the first is its shadow $a a^\top u$, and the distance to it is the sine of
# the angle between. The largest over all $t$ is a largest singular value:
#
# $$\sin \alpha = \max_{|t| = 1} \left| (I - a a^\top)\, b\, t \right|
#   = \sigma_{\max}\!\left( b - a a^\top b \right). \tag{1.13}$$
#
# This is the **largest principal angle**. It is 0 only for equal subspaces, and
# no basis enters. (From the cosine, $\sigma_{\min}(a^\top b)$, angles below
# $10^{-8}$ would be lost: $\cos \alpha \approx 1 - \alpha^2 / 2$ rounds to 1.)


# %%
def angle(rows, others):
    """The largest principal angle between the spans of the rows, in degrees."""
    a, b = np.linalg.qr(rows.T)[0], np.linalg.qr(others.T)[0]
    sine = np.linalg.svd(b - a @ (a.T @ b), compute_uv=False)[0]
    return np.degrees(np.arcsin(min(1.0, sine)))


print(f"V^T and A V^T          {angle(V.T, A @ V.T):9.1e} degrees")
print(f"V^T and a random start {angle(V.T, W_theta):9.1f} degrees")
assert angle(V.T, A @ V.T) < 1e-10
assert np.isclose(angle(V.T, W_theta), largest_angle(V.T, W_theta), rtol=1e-12)

# %% [markdown]
# ## The gradients
#
# Now forget the theorem, and let a machine search. The gradient of one number
# is written with a bar, and lesson 02 makes a method of it; two rows of the
# chain rule are enough here. In (1.1), $\hat x_{id} = \sum_j z_{ij} W_{\theta,
# jd}$ and $z_{ij} = \sum_c x_{ic} W_{\phi, cj}$, so
#
# $$\begin{aligned}
#   \bar W_{\theta, jd} &= \frac2N \sum_i
#     z_{ij} \left( \hat x_{id} - x_{id} \right)
#   &&\Longleftrightarrow& \bar W_\theta &= \tfrac2N\, z^\top (\hat x - x), \\
#   \bar W_{\phi, cj} &= \frac2N \sum_i x_{ic}
#     \sum_d \left( \hat x_{id} - x_{id} \right) W_{\theta, jd}
#   &&\Longleftrightarrow& \bar W_\phi &= \tfrac2N\, x^\top (\hat x - x)\,
#   W_\theta^\top.
#   \end{aligned} \tag{1.14}$$


# %%
def squared_error(W_phi, W_theta, x):
    return loss(x, x @ W_phi @ W_theta)


def gradients(dloss, W_phi, W_theta, x):
    z = x @ W_phi
    dreconstruction = dloss * 2 / len(x) * (z @ W_theta - x)  # Eq. 1.14
    return x.T @ (dreconstruction @ W_theta.T), z.T @ dreconstruction


small = rng.normal(size=(7, 3)), rng.normal(size=(3, 7)), rng.normal(size=(5, 7))
report = gradcheck(squared_error, gradients, *small, names=["W_phi", "W_theta", "x"])
print(report)
assert report

# %% [markdown]
# `gradcheck` is the subject of lesson 03. The package's auto-encoder is a `VAE`
# whose posterior is a point; without hidden layers it is (1.2). Its loss is the
# Gaussian one of lesson 11: half the squared error, and the constant
# $\tfrac D2 \log 2\pi$. At weights of our choice it must find our gradients,
# times a half.

# %%
model = VAE(
    D, (), Z, posterior="point", likelihood="gaussian", dtype=np.float64, compiled=False
)
batch, no_noise = images[:200], np.zeros((200, Z))
model.params.flat[:] = 0
model.params["encoder.0.W"][...] = W_phi
model.params["decoder.0.W"][...] = W_theta
package_loss, package = model.loss_and_gradient(batch, no_noise, ELBO)
ours = squared_error(W_phi, W_theta, batch)
assert np.isclose(package_loss, ours / 2 + D / 2 * np.log(2 * np.pi), rtol=1e-12)
dW_phi, dW_theta = gradients(1.0, W_phi, W_theta, batch)
assert np.allclose(package["encoder.0.W"], dW_phi / 2, atol=1e-12)
assert np.allclose(package["decoder.0.W"], dW_theta / 2, atol=1e-12)

# %% [markdown]
# And at PCA, with the biases of (1.4) and any $A$, its gradient must vanish on
# images that nobody has centred:

# %%
model.params["encoder.0.W"][...] = V @ np.linalg.inv(A)
model.params["decoder.0.W"][...] = A @ V.T
model.params["decoder.0.b"][...] = mean - mean @ V @ V.T  # Eq. 1.4
package_loss, package = model.loss_and_gradient(images, np.zeros((N, Z)), ELBO)
print(f"largest |gradient| of {package.flat.size} is {abs(package.flat).max():.1e}")
assert abs(package.flat).max() < 1e-10
assert np.isclose(package_loss, left / 2 + D / 2 * np.log(2 * np.pi), rtol=1e-12)

# %% [markdown]
# ## Gradient descent finds it
#
# On the whole training set, (1.14) needs the images only through $S$, as the
# loss did: $\tfrac1N x^\top (\hat x - x) = S W_\phi W_\theta - S$. So a step
# takes about a millisecond, and can be taken thousands of times. No momentum,
# no Adam, a fixed step, and a start that knows nothing.


# %%
def excess(W_phi, W_theta):
    """How far the loss is above PCA's (Eq. 1.5 less 1.10)."""
    SW = S @ W_phi
    quadratic = np.sum((W_phi.T @ SW) * (W_theta @ W_theta.T))
    return np.trace(S) - 2 * np.sum(SW * W_theta.T) + quadratic - left


W_phi, W_theta = rng.normal(size=(D, Z)) / 50, rng.normal(size=(Z, D)) / 50
start, history = W_phi.copy(), []
for step in range(full_or_fast(3_000, 400) + 1):
    if step % 10 == 0:
        history.append((step, angle(W_theta, V.T), excess(W_phi, W_theta)))
    SW = S @ W_phi
    dW_phi = 2 * (SW @ (W_theta @ W_theta.T) - S @ W_theta.T)  # Eq. 1.14
    dW_theta = 2 * ((W_phi.T @ SW) @ W_theta - SW.T)
    W_phi -= 0.05 * dW_phi
    W_theta -= 0.05 * dW_theta
for step, degrees, above in history[:: len(history) // 6]:
    print(f"step {step:5}: {degrees:8.4f} degrees, loss {above:9.5f} above PCA's")
assert history[0][1] > 80 and history[-1][1] < 0.1
assert 0 < history[-1][2] < 1e-4 * left

# %% [markdown]
# It arrives, and creeps at the end. Why? The gradient of the encoder is $2 S
# (W_\phi W_\theta - I) W_\theta^\top$: along a component $v_i$ it is
# $\lambda_i$ times something, and the last $\lambda_i$ are tiny. Pixels that
# are hardly ever inked hardly ever teach. Those that are never inked teach
# nothing at all: there the encoder still has the very bits it was born with.

# %%
never = np.diag(S) == 0
print(f"{never.sum()} pixels are never inked")
assert never.any() and np.array_equal(W_phi[never], start[never])

# %% [markdown]
# ## Faster: each half by turns
#
# With one half held, (1.14) is linear in the other, and a zero of the gradient
# can be solved for. $\bar W_\theta = 0$ gives the first line. $\bar W_\phi = 0$
# is $S (W_\phi W_\theta W_\theta^\top - W_\theta^\top) = 0$, which the second
# satisfies:
#
# $$W_\theta \leftarrow
#   \left( W_\phi^\top S\, W_\phi \right)^{-1} W_\phi^\top S,
#   \qquad
#   W_\phi \leftarrow W_\theta^\top \left( W_\theta W_\theta^\top \right)^{-1}.
#   \tag{1.15}$$
#
# Put the second into the first: the new $W_\theta$ is an invertible matrix
# times the old $W_\theta S$. So a round multiplies the span of the rows by $S$.
# Write the rows in the basis of eigenvectors and choose $A$ so that the first
# $Z$ columns become $I$. What stands beside it, $T$ of shape $(Z, D - Z)$, is
# the tilt of the span, all zeros at PCA's. Multiplied by $S$, $(I, T)$ becomes
# $(\Lambda, T \Lambda')$, with the same span as $(I, \Lambda^{-1} T \Lambda')$:
#
# $$T_{ij} \leftarrow T_{ij}\, \frac{\lambda_{Z+j}}{\lambda_i}. \tag{1.16}$$
#
# Every tilt shrinks by its own ratio, the most stubborn by
# $\lambda_{Z+1} / \lambda_Z$. This is the power method: an auto-encoder trained
# by turns *is* the oldest way to compute PCA.


# %%
def tilt(rows):
    coordinates = rows @ axes
    return np.linalg.solve(coordinates[:, :Z], coordinates[:, Z:])


power, rounds = rng.normal(size=(Z, D)), []
for _ in range(100):
    rounds.append(angle(power, V.T))
    before = tilt(power)
    inverse = power.T @ np.linalg.inv(power @ power.T)  # W_phi of Eq. 1.15
    SW = S @ inverse
    power = np.linalg.solve(inverse.T @ SW, SW.T)
    expected = before * variances[Z:] / variances[:Z, None]  # Eq. 1.16
    assert np.allclose(tilt(power), expected, rtol=1e-6, atol=1e-9)
print(f"slowest ratio {variances[Z] / variances[Z - 1]:.3f} a round")
print(f"after 100 rounds: {angle(power, V.T):.1e} degrees")
assert angle(power, V.T) < 1e-6

# %%
figure, (axes_,) = sheet(
    "Knowing nothing of PCA, gradient descent turns into its subspace",
    labels=("steps", "largest principal angle, degrees"),
    height=2.8,
)
steps, degrees, _ = np.array(history[1:]).T
axes_.plot(steps, degrees, color=AE, lw=2)
axes_.plot(np.arange(1, 100), rounds[1:], color=ESTIMATE, lw=2)
axes_.set(xscale="log", yscale="log", ylim=(1e-6, 150))
axes_.minorticks_off()
axes_.set_yticks([1e-6, 1e-4, 1e-2, 1, 90], ["1e-6", "1e-4", "0.01", "1", "90"])
axes_.text(
    steps[-1],
    degrees[-1] / 4,
    "gradient\ndescent",
    color=AE,
    size=11,
    ha="right",
    va="top",
)
axes_.text(23, 1e-4, "by turns (1.15)", color=ESTIMATE, size=11, ha="right")
show(
    figure,
    "01_angle",
    "The angle between decoder and PCA in degrees over steps, both on log scales. "
    "Gradient descent stays near 90, drops below a degree after a hundred steps and "
    "then falls in proportion to one over the steps; solving by turns reaches a "
    "millionth of a degree in 70 rounds.",
)

# %% [markdown]
# What has it found? Not the eigen-digits. Its rows look like nothing in
# particular, each a mixture. But $A = W_\theta V$, by (1.11), unmixes them.

# %%
A = W_theta @ V
unmixed = np.linalg.solve(A, W_theta)
print("A =", np.array2string(A, precision=2, prefix="A = "))
assert np.abs(unmixed - V.T).max() < 0.01
assert np.allclose(X @ W_phi @ A, codes, atol=0.1)  # the encoder, unmixed
mixing = np.abs(A / np.linalg.norm(A, axis=1, keepdims=True)).max(axis=1)
print("largest share of one axis in each row:", mixing.round(2))


def signed(rows):
    """Grey for 0, black for the largest, white for the most negative."""
    return 0.5 + 0.5 * rows / np.abs(rows).max(axis=1, keepdims=True)


figure = strips(
    "The decoder's rows are not the eigen-digits, but they span the same space",
    [
        ("PCA's axes", signed(V.T)),
        ("The decoder's\nrows", signed(W_theta)),
        ("The same,\nunmixed by A", signed(unmixed)),
    ],
)
show(
    figure,
    "01_axes",
    "Three rows of six grey patterns. The first row, PCA's axes, and the third, the "
    "decoder's rows times the inverse of A, are the same; the second, the decoder's "
    "rows as trained, are mixtures of them.",
)

# %% [markdown]
# The printed $A$ is nearly a rotation. Nobody asked for that! But (1.14) says,
# with $\tfrac1N x^\top (\hat x - x) = S (P - I)$,
#
# $$W_\phi^\top\, \bar W_\phi = 2\, W_\phi^\top S\, (P - I)\, W_\theta^\top
#   = \bar W_\theta\, W_\theta^\top. \tag{1.17}$$
#
# A small step of descent changes $W_\phi^\top W_\phi$ and $W_\theta
# W_\theta^\top$ by the same matrix, so their difference stays what it was:
# close to 0, if the start is small. Then $A A^\top \approx A^{-\top} A^{-1}$ by
# (1.11), which only $A A^\top \approx I$ solves. Descent from a small start
# finds a tied solution (1.12), though nothing ties it.

# %%
untied = W_phi.T @ W_phi - W_theta @ W_theta.T
turned = A @ A.T - np.eye(Z)
print(f"W_phi^T W_phi - W_theta W_theta^T: at most {abs(untied).max():.2f}")
print(f"A A^T - I:                         at most {abs(turned).max():.2f}")
assert abs(turned).max() < 0.25
dW_phi, dW_theta = gradients(1.0, *small)
assert np.allclose(small[0].T @ dW_phi, dW_theta @ small[1].T, atol=1e-13)  # Eq. 1.17

# %% [markdown]
# > **Erratum E8** (note 004). The slide says of the linear auto-encoder
# > $\hat x = U U^\top x$: "an optimal solution is given by PCA". Two conditions
# > are missing. The data must be **centred**, for there are no biases to do it;
# > and it is optimal **up to an invertible map of the code**, here a rotation
# > (1.12), so it is subspaces that must be compared. Without centring, $S$ in
# > (1.5) becomes the second moment
# >
# > $$M = \frac1N \sum_i x_i^\top x_i = S + m^\top m, \tag{1.18}$$
# >
# > and all that follows holds for the eigenvectors of $M$. They span another
# > subspace.

# %%
moment = images.T @ images / N
assert np.allclose(moment, S + np.outer(mean, mean), atol=1e-12)  # Eq. 1.18
moments, moment_axes = np.linalg.eigh(moment)
U = moment_axes[:, ::-1][:, :Z]  # the best U for the slide's formula as it stands
assert np.isclose(loss(images, images @ U @ U.T), moments[:-Z].sum(), rtol=1e-11)

print(f"angle to PCA's subspace  {angle(U.T, V.T):6.2f} degrees")
print(f"loss of the slide's best {loss(images, images @ U @ U.T):6.2f}")
print(f"loss of U = V, uncentred {loss(images, images @ V @ V.T):6.2f}")
print(f"loss of PCA, centred     {left:6.2f}")
assert angle(U.T, V.T) > 10
assert left < loss(images, images @ U @ U.T) < loss(images, images @ V @ V.T)

R = np.linalg.qr(rng.normal(size=(Z, Z)))[0]  # and any rotation is as good
assert np.isclose(loss(X, X @ (V @ R) @ (V @ R).T), left, rtol=1e-11)
assert not np.allclose(np.abs(V @ R), np.abs(V), atol=0.1)

# %% [markdown]
# Where has it gone? The mean is long: $|m|^2$ is three quarters of all the
# variance together. So the first latent is spent on saying "there is an image".

# %%
first = moment_axes[:, -1] * np.sign(moment_axes[:, -1] @ mean)
cosine = first @ mean / np.linalg.norm(mean)
assert cosine > 0.99
figure = strips(
    "Uncentred, the first axis is spent on the mean",
    [
        ("The mean", signed(mean[None])),
        ("Axes of M,\nuncentred", signed(np.vstack([first, U.T[1:]]))),
        ("Axes of S,\ncentred", signed(V.T)),
    ],
)
show(
    figure,
    "01_uncentred",
    "The mean digit, a blurred disc, stands above the six axes of the uncentred data, "
    "whose first looks just like it, and the six principal components, which do not.",
)

# %% [markdown]
# ## Use it: how many numbers is a digit?
#
# (1.10) prices every $Z$ in advance: the loss is what remains of the spectrum.
# Here on test images, which the axes have never seen.

# %%
test = data.test_images.reshape(len(data.test_images), -1) / 255.0
latents = (0, 2, 6, 20, 60, 200)
rows = [("The images", test[:10])]
print("latents   train    test   variance left")
for k in latents:
    W = axes[:, :k]
    restored = mean + (test - mean) @ W @ W.T
    train_loss, test_loss = variances[k:].sum(), loss(test, restored)
    share = train_loss / variances.sum()
    print(f"{k:7} {train_loss:7.2f} {test_loss:7.2f} {share:12.1%}")
    rows.append((f"{k} latents,\n{share:.0%} missing", restored[:10].clip(0, 1)))
    assert np.isclose(loss(X, X @ W @ W.T), train_loss, rtol=1e-9)  # Eq. 1.10
assert test_loss > train_loss  # 200 axes begin to fit the very images they saw
figure = strips("Two latents give a ghost, twenty a digit, two hundred its dirt", rows)
show(
    figure,
    "01_reconstructions",
    "Ten test digits and under them their reconstructions from 0, 2, 6, 20, 60 and "
    "200 latents: from the same grey mean for all to hardly distinguishable copies.",
)

# %% [markdown]
# A subspace is flat, and digits don't lie in a flat space: the mean of two
# digits is no digit, yet a flat space that holds both holds their mean. To do
# better with six numbers, the decoder must bend. That needs gradients through
# many layers, which is lesson 02; a way to know that they are right, lesson 03;
# and then, in lesson 04, the same six numbers do much better.
