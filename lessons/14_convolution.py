# %% [markdown]
# # 14 · Convolution and its transpose
#
# *Two layers that everybody looks up, every time: one sum holds them both, with
# all their gradients, and you can write it down on a napkin.*
#
# **You will** derive the convolution, the transposed convolution and every
# gradient of either from one sum of products; count sizes, overlaps and
# parameters; see both layers as matrices; find out where chessboards in
# generated images come from; and train a VAE made of them.
#
# **Reads with** note 004 (Louppe, lecture 7, "Deep auto-encoders": an encoder
# of convolutions, a decoder "of the reciprocal transposed convolutional
# layers"). **Takes** 11 seconds.

# %%
import numpy as np
from lesson import digits, full_or_fast
from matplotlib.colors import LinearSegmentedColormap
from style import ESTIMATE, FAINT, sheet, show, strips

from numpyvae import VAE, gradcheck, train
from numpyvae.pairs import conv
from numpyvae.pairs.activations import TANH

rng = np.random.default_rng(14)

# %% [markdown]
# ## A window that steps over an image
#
# A *kernel* of $K \times K$ pixels is laid on an image of height $H$ and width
# $V$ and moved by $s$ pixels at a time, the *stride*. Before, the image may get
# a frame of $p$ zeros on each side, the *padding*. How often does it fit?
#
# With its frame the image is $H + 2p$ pixels high. The windows begin at $0, s,
# 2s, \dots$, and the last of $H'$ begins at $(H' - 1)\, s$ and must end within
# the frame: $(H' - 1)\, s + K \le H + 2p$. So $H' - 1$ is the largest whole
# number that is at most $(H + 2p - K) / s$:
#
# $$H' = \left\lfloor \frac{H + 2p - K}{s} \right\rfloor + 1, \qquad
#   V' = \left\lfloor \frac{V + 2p - K}{s} \right\rfloor + 1. \tag{14.1}$$

# %%
fits = 0
for H, K, s, p in np.ndindex(30, 6, 4, 4):
    H, K, s = H + 1, K + 1, s + 1
    if H + 2 * p >= K:
        windows = range(0, H + 2 * p - K + 1, s)  # every place where one can begin
        assert len(windows) == (H + 2 * p - K) // s + 1 == conv.conv_size(H, K, s, p)
        fits += 1
print(f"(14.1) counted one by one in {fits} cases")
print(f"28 pixels, kernel 4, stride 2, padding 1: {conv.conv_size(28, 4, 2, 1)}")

# %% [markdown]
# Where it stands, the window is a dense layer of the $K K C$ numbers under it,
# and it is the *same* dense layer everywhere. The image has $C$ channels, the
# map that it makes has $M$; $n$ counts images, $(k, l)$ places of the window,
# $(i, j)$ entries of the kernel:
#
# $$y = f(a), \qquad a_{nklm} = b_m + \sum_{ijc}
#   x_{n,\ sk + i - p,\ sl + j - p,\ c}\ W_{ijcm}, \tag{14.2}$$
#
# with $x = 0$ in the frame. (A mathematician would mirror the kernel and call
# this one cross-correlation. The field says convolution. The kernel is learned,
# so its mirror image would have been learned just as well.)
#
# ## One sum holds everything
#
# Leave $b$ and $f$ aside. What remains is a list of meetings: at each place
# $(k, l)$, the kernel's entry $(i, j)$ meets one pixel of the image and pays
# into one pixel of the map. Multiply the three numbers that meet, an image's, a
# kernel's and a map's, and add up all the meetings:
#
# $$T(x, W, y) = \sum_{nkl} \sum_{ijcm}
#   x_{n,\ sk + i - p,\ sl + j - p,\ c}\ W_{ijcm}\ y_{nklm}. \tag{14.3}$$
#
# Here is that list, and the sum over it. It is slow, and you can believe it.


# %%
def meetings(x_shape, W_shape, y_shape, s, p):
    """Every triple of indices, into x, W and y, that meet in one product."""
    H, V = x_shape[1:3]
    for n, k, l, m in np.ndindex(*y_shape):
        for i, j, c in np.ndindex(*W_shape[:3]):
            h, v = s * k + i - p, s * l + j - p
            if 0 <= h < H and 0 <= v < V:  # the frame is zero and pays nothing
                yield (n, h, v, c), (i, j, c, m), (n, k, l, m)


def T(x, W, y, s, p):
    return sum(
        x[a] * W[b] * y[c] for a, b, c in meetings(x.shape, W.shape, y.shape, s, p)
    )


B, H, V, C, M, K, s, p = 2, 6, 5, 2, 3, 3, 2, 1
x = rng.normal(size=(B, H, V, C))
W = rng.normal(size=(K, K, C, M))
y = rng.normal(size=(B, *(conv.conv_size(n, K, s, p) for n in (H, V)), M))
print(f"T = {T(x, W, y, s, p):.6f}, a sum of "
      f"{len(list(meetings(x.shape, W.shape, y.shape, s, p)))} products")  # fmt: skip

# %% [markdown]
# $T$ is linear in $x$ for fixed $W$ and $y$, linear in $W$, and linear in $y$.
# A linear function is known by its derivative: $T = \langle y,\ \partial T /
# \partial y \rangle$, and so with the other two. So take the three derivatives;
# each leaves out one factor of the product.
#
# **In $y$**, it is the convolution. Each pixel of the map *gathers* from a
# window:
#
# $$(x * W)_{nklm} = \frac{\partial T}{\partial y_{nklm}} = \sum_{ijc}
#   x_{n,\ sk + i - p,\ sl + j - p,\ c}\ W_{ijcm}. \tag{14.4}$$
#
# **In $x$**, it is the transposed convolution. Each pixel of the map *scatters*
# to the same window, so a pixel $(h, v)$ of the image receives from all that
# reach it:
#
# $$(W *^\top y)_{nhvc} = \frac{\partial T}{\partial x_{nhvc}} =
#   \sum_{\substack{i,\,k:\ sk + i - p = h \\ j,\,l:\ sl + j - p = v}}\ \sum_m
#   W_{ijcm}\ y_{nklm}. \tag{14.5}$$
#
# **In $W$**, it says how image and map go together at the offset $(i, j)$:
#
# $$(x \star y)_{ijcm} = \frac{\partial T}{\partial W_{ijcm}} = \sum_{nkl}
#   x_{n,\ sk + i - p,\ sl + j - p,\ c}\ y_{nklm}. \tag{14.6}$$
#
# In code: the same list of meetings, three times, and one line differs.


# %%
def gather(x, W, y_shape, s, p):
    y = np.zeros(y_shape)
    for a, b, c in meetings(x.shape, W.shape, y_shape, s, p):
        y[c] += x[a] * W[b]
    return y


def scatter(y, W, x_shape, s, p):
    x = np.zeros(x_shape)
    for a, b, c in meetings(x_shape, W.shape, y.shape, s, p):
        x[a] += W[b] * y[c]
    return x


def count(x, y, W_shape, s, p):
    W = np.zeros(W_shape)
    for a, b, c in meetings(x.shape, W_shape, y.shape, s, p):
        W[b] += x[a] * y[c]
    return W


by_loops = (
    gather(x, W, y.shape, s, p),
    scatter(y, W, x.shape, s, p),
    count(x, y, W.shape, s, p),
)

# %% [markdown]
# ## Check it
#
# Linearity makes two checks sharp. The first: all three inner products are the
# same number $T$. That of $y$ and that of $x$ together, $\langle x * W,\ y
# \rangle = \langle x,\ W *^\top y \rangle$, say that (14.4) and (14.5) are
# transposes of each other as matrices: hence the name.
#
# The second: along a straight line, a linear function has no curvature, so even
# a finite difference with a step of 1 makes no error but rounding.

# %%
total = T(x, W, y, s, p)
for derivative, partner in zip(by_loops, (y, x, W), strict=True):
    assert (
        abs((derivative * partner).sum() - total)
        < 1e-13 * abs(derivative * partner).sum()
    )

bump = np.zeros_like(x)
bump[1, 3, 2, 0] = 1
difference = T(x + bump, W, y, s, p) - T(x, W, y, s, p)
print(f"dT/dx by a step of 1: {difference:.12f}")
print(f"dT/dx by (14.5):      {by_loops[1][1, 3, 2, 0]:.12f}")
assert abs(difference - by_loops[1][1, 3, 2, 0]) < 1e-12

# %% [markdown]
# ## Write it so that it can be used
#
# Turn the loops inside out. Fix one entry $(i, j)$ of the kernel: the pixels
# that it meets, over all places $(k, l)$, are every $s$-th pixel from $(i, j)$
# on. That is a slice. What is left at each entry is a product of matrices, over
# $C$ in (14.4), over $M$ in (14.5), over images and places in (14.6). So there
# are $K^2$ products, and NumPy does the rest.


# %%
def slices(K, y_shape, s):
    for i, j in np.ndindex(K, K):
        rows = slice(i, i + s * y_shape[1], s)
        yield i, j, (slice(None), rows, slice(j, j + s * y_shape[2], s))


def framed(x, p):
    return np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))


def convolve(x, W, s, p):  # (14.4)
    size = [(n + 2 * p - len(W)) // s + 1 for n in x.shape[1:3]]
    y = np.zeros((len(x), *size, W.shape[3]), np.result_type(x, W))
    for i, j, met in slices(len(W), y.shape, s):
        y += framed(x, p)[met] @ W[i, j]
    return y


def convolve_transposed(y, W, size, s, p):  # (14.5)
    x = framed(np.zeros((len(y), *size, W.shape[2]), np.result_type(y, W)), p)
    for i, j, met in slices(len(W), y.shape, s):
        x[met] += y @ W[i, j].T
    return x[:, p : p + size[0], p : p + size[1]]


def convolve_weights(x, y, K, s, p):  # (14.6)
    W = np.zeros((K, K, x.shape[3], y.shape[3]), np.result_type(x, y))
    for i, j, met in slices(K, y.shape, s):
        W[i, j] = np.einsum("nklc,nklm->cm", framed(x, p)[met], y)
    return W


by_slices = (
    convolve(x, W, s, p),
    convolve_transposed(y, W, (H, V), s, p),
    convolve_weights(x, y, K, s, p),
)
by_package = (
    conv.convolve(x, W, s, p),
    conv.convolve_transposed(y, W, (H, V), s, p),
    conv.convolve_weights(x, y, K, s, p),
)
for ours, slow, theirs in zip(by_slices, by_loops, by_package, strict=True):
    assert np.allclose(ours, slow, rtol=1e-13, atol=1e-13)
    assert np.allclose(ours, theirs, rtol=1e-13, atol=1e-13)

# %% [markdown]
# ## Look at it: one matrix, and the same matrix on its side
#
# A convolution without bias is a linear map, so it is a matrix. To find its
# columns, convolve images with a single pixel. To find those of the transposed
# convolution, hand it maps with a single pixel. Six by six pixels, a kernel of
# three, stride 1, no frame: 36 numbers in, 16 out.

# %%
kernel = np.arange(1.0, 10).reshape(3, 3, 1, 1)
pixels, places = np.eye(36).reshape(36, 6, 6, 1), np.eye(16).reshape(16, 4, 4, 1)
A = convolve(pixels, kernel, 1, 0).reshape(36, 16).T
A_transposed = convolve_transposed(places, kernel, (6, 6), 1, 0).reshape(16, 36).T
assert A.shape == (16, 36) and np.array_equal(A_transposed, A.T)

image = rng.normal(size=(1, 6, 6, 1))
assert np.allclose(A @ image.ravel(), convolve(image, kernel, 1, 0).ravel(), atol=1e-12)
print(f"{A.size} entries, {np.count_nonzero(A)} not zero, {len(np.unique(A)) - 1} free")
assert np.count_nonzero(A) == 16 * 9 and len(np.unique(A)) == 1 + 9

# %% [markdown]
# A dense layer would have learned all 576. Here 432 are zero, since a window
# sees only its neighbourhood, and the other 144 are nine numbers, each used 16
# times, since every window is the same. That is a band, with gaps where a
# window's next row begins. Its transpose is the same band on its side: what a
# map pixel gathers from is what it scatters to.

# %%
SHADES = LinearSegmentedColormap.from_list("shades", ["white", "#bcd3de", ESTIMATE])
figure, (left, right) = sheet(
    "A convolution is a band of nine numbers; its transpose is that band on its side",
    names=("Convolution", "Transposed"),
    columns=2,
    height=2.5,
)
for axes, matrix, pixels in (
    (left, A, ("image", "map")),
    (right, A_transposed, ("map", "image")),
):
    rows, columns = matrix.shape
    axes.imshow(matrix, cmap=SHADES, vmin=0, vmax=9)
    axes.set_anchor("NW")
    axes.set_xticks([0, columns - 1], ["1", str(columns)])
    axes.set_yticks([0, rows - 1], ["1", str(rows)])
    axes.set_xlabel(f"pixel of the {pixels[0]}")
    axes.set_ylabel(f"pixel of the {pixels[1]}")
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(FAINT)
show(
    figure,
    "14_band",
    "Two matrices as pictures. Left 16 rows and 36 columns: a diagonal band of three "
    "strands of three shaded cells, white elsewhere. Right its mirror image, 36 rows "
    "and 16 columns.",
)

# %% [markdown]
# > **Transposed is not inverse.** The note calls the decoder's layers
# > "reciprocal". They go back to the image's *size*, not to the image: 16
# > numbers can't hold 36. People also say "deconvolution", which is the name of
# > the real inverse. Even where both matrices are square, $A^\top A$ is not the
# > identity.

# %%
there = convolve(image, kernel, 1, 0)
back = convolve_transposed(there, kernel, (6, 6), 1, 0)
best = np.vdot(back, image) / np.vdot(back, back)  # allow it any factor
missing = np.linalg.norm(best * back - image) / np.linalg.norm(image)
rank = np.linalg.matrix_rank(A.T @ A)
print(f"there and back: {missing:.0%} of the image missing, rank {rank} of 36")
assert back.shape == image.shape and missing > 0.1 and rank <= 16

# %% [markdown]
# ## The layer's gradients
#
# Put $b$ and $f$ back. For $y = f(a)$, $\bar a = \bar y \odot f'(a)$ as in
# (2.2). A change of $x$, $W$ or $b$ changes the loss by
#
# $$dL = \sum \bar a\, da = \sum_{nklm} \bar a_{nklm}\, db_m
#   + T(dx, W, \bar a) + T(x, dW, \bar a),$$
#
# because $a - b = x * W$, and $\langle \bar a,\ x * W \rangle = T(x, W, \bar
# a)$, which is linear in $x$ and in $W$. What stands before $dx$ and $dW$ is a
# derivative of $T$. Nothing is left to derive:
#
# $$\bar x = W *^\top \bar a, \qquad \bar W = x \star \bar a, \qquad
#   \bar b_m = \sum_{nkl} \bar a_{nklm}. \tag{14.7}$$


# %%
def layer(x, W, b, s, p):
    return np.tanh(convolve(x, W, s, p) + b)


def layer_backward(dy, x, W, b, s, p):
    da = dy * (1 - layer(x, W, b, s, p) ** 2)
    dx = convolve_transposed(da, W, x.shape[1:3], s, p)
    dW = convolve_weights(x, da, len(W), s, p)
    return dx, dW, da.sum(axis=(0, 1, 2))


b = rng.normal(size=M)
report = gradcheck(layer, layer_backward, x, W, b, s, p, names=[*"xWbsp"])
print(report)
assert report

window = conv.Window(stride=s, padding=p)
a = conv.conv_forward(x, W, b, window)  # the sums; the activation is a pair of its own
y = TANH.forward(a)
assert np.allclose(layer(x, W, b, s, p), y, rtol=1e-13, atol=1e-13)
dy = rng.normal(size=y.shape)
da = TANH.backward(dy, a, y)
for ours, theirs in zip(
    layer_backward(dy, x, W, b, s, p),
    conv.conv_backward(da, x, W, window),
    strict=True,
):
    assert np.allclose(ours, theirs, rtol=1e-13, atol=1e-13)

# %% [markdown]
# ## The transposed layer, and the size it can't know
#
# A decoder goes from a small map to a large image. How large? Read (14.1)
# backwards. $\lfloor q \rfloor = H' - 1$ means $H' - 1 \le q < H'$, so with
# $q = (H + 2p - K) / s$
#
# $$(H' - 1)\, s - 2p + K\ \le\ H\ <\ (H' - 1)\, s - 2p + K + s.$$
#
# There are $s$ heights with the same map. An *output padding* $o$ chooses:
#
# $$H = (H' - 1)\, s - 2p + K + o, \qquad 0 \le o < s. \tag{14.8}$$
#
# It pads nothing. It says which of the possible images is meant.

# %%
for H_image in range(1, 30):
    H_map = conv.conv_size(H_image, 4, 2, 1) if H_image >= 2 else 0
    if H_map:
        chosen = [
            o for o in (0, 1) if conv.transpose_size(H_map, 4, 2, 1, o) == H_image
        ]
        assert len(chosen) == 1 and chosen[0] == H_image % 2
print("28 -> 14 -> 7 -> 3, and back 3 -> 7 asks for an output padding of 1")
assert conv.transpose_size(3, 4, 2, 1, 0) == 6

# %% [markdown]
# The transposed layer takes the map as its input. So as not to run out of
# letters let $x$ now be the map and $y$ the image, with one $b_c$ for each
# channel:
#
# $$y = f(a), \qquad a_{nhvc} = b_c + (W *^\top x)_{nhvc}. \tag{14.9}$$
#
# Now $\langle \bar a,\ W *^\top x \rangle = T(\bar a, W, x)$: the image's place
# in $T$ is taken by $\bar a$, the map's by $x$. The same three derivatives,
# each in another's role:
#
# $$\bar x = \bar a * W, \qquad \bar W = \bar a \star x, \qquad
#   \bar b_c = \sum_{nhv} \bar a_{nhvc}. \tag{14.10}$$
#
# The backward of either layer *is* the forward of the other.


# %%
def up(x, W, b, s, p, o):
    size = [(n - 1) * s - 2 * p + len(W) + o for n in x.shape[1:3]]
    return np.tanh(convolve_transposed(x, W, size, s, p) + b)


def up_backward(dy, x, W, b, s, p, o):
    da = dy * (1 - up(x, W, b, s, p, o) ** 2)
    return (
        convolve(da, W, s, p),
        convolve_weights(da, x, len(W), s, p),
        da.sum(axis=(0, 1, 2)),
    )


small, b_up = rng.normal(size=(2, 3, 4, M)), rng.normal(size=C)
for o in (0, 1):
    report = gradcheck(up, up_backward, small, W, b_up, s, p, o, names=[*"xWbspo"])
    print(report)
    assert report
    a = conv.conv_transpose_forward(small, W, b_up, window, o)
    y = TANH.forward(a)
    assert np.allclose(up(small, W, b_up, s, p, o), y, rtol=1e-13, atol=1e-13)
    dy = rng.normal(size=y.shape)
    for ours, theirs in zip(
        up_backward(dy, small, W, b_up, s, p, o),
        conv.conv_transpose_backward(TANH.backward(dy, a, y), small, W, window),
        strict=True,
    ):
        assert np.allclose(ours, theirs, rtol=1e-13, atol=1e-13)

# %% [markdown]
# ## Windows as rows: one large product
#
# $K^2$ small products are many. Copy each window into a row of one matrix, and
# there is a single large one, which is what a processor likes best:
# $X_{(nkl),(ijc)} = x_{n,\ sk+i-p,\ sl+j-p,\ c}$. Let $W$ be the matrix
# $W_{(ijc),m}$ and $y$ the matrix $y_{(nkl),m}$. Then (14.3) reads
# $\sum y_{(nkl),m}\, X_{(nkl),(ijc)}\, W_{(ijc),m}$, which is
# $T = \operatorname{tr}(y^\top X W)$, and its three derivatives are
#
# $$x * W = X W, \qquad x \star y = X^\top y, \qquad
#   \bar X = y\, W^\top. \tag{14.11}$$
#
# The third is the derivative in the *rows*. Each entry of $X$ is a copy of a
# pixel, so (14.5) adds every entry of $\bar X$ back to the pixel that it was
# copied from. The field calls the copy `im2col`, image to columns, and the
# adding `col2im`.


# %%
def im2col(x, K, s, p):
    windows = np.lib.stride_tricks.sliding_window_view(framed(x, p), (K, K), (1, 2))
    windows = windows[:, ::s, ::s].transpose(0, 1, 2, 4, 5, 3)  # n k l i j c
    return windows.reshape(-1, K * K * x.shape[3])


def col2im(X, x_shape, K, s, p):
    n, H, V, C = x_shape
    size = [(m + 2 * p - K) // s + 1 for m in (H, V)]
    X, x = X.reshape(n, *size, K, K, C), framed(np.zeros(x_shape), p)
    for i, j, met in slices(K, (n, *size), s):
        x[met] += X[:, :, :, i, j]
    return x[:, p : p + H, p : p + V]


y = rng.normal(size=by_slices[0].shape)
X, W_rows, y_rows = im2col(x, K, s, p), W.reshape(-1, M), y.reshape(-1, M)
assert np.allclose(X @ W_rows, by_slices[0].reshape(-1, M), atol=1e-12)
assert np.isclose(np.trace(y_rows.T @ X @ W_rows), T(x, W, y, s, p), rtol=1e-12)
assert np.allclose(
    X.T @ y_rows, convolve_weights(x, y, K, s, p).reshape(-1, M), atol=1e-12
)
assert np.allclose(
    col2im(y_rows @ W_rows.T, x.shape, K, s, p),
    convolve_transposed(y, W, (H, V), s, p),
    atol=1e-12,
)

# %% [markdown]
# The price is memory: the rows hold each pixel as often as it lies in a window,
# about $(K / s)^2$ times. The compiled code pays it for a few images at a time,
# so that the copies stay in the processor's cache (`numpyvae/kernels/conv.py`).

# %%
for K_, s_, p_ in ((4, 2, 1), (3, 1, 1), (5, 1, 2)):
    copies = im2col(np.zeros((1, 28, 28, 1)), K_, s_, p_).size / 28**2
    print(f"kernel {K_}, stride {s_}: each pixel {copies:.1f} times")
    assert np.isclose(copies, (K_ / s_) ** 2)

# %% [markdown]
# ## Where chessboards come from
#
# How many map pixels reach one pixel of the image? In one dimension, (14.5)
# asks for the pairs $(i, k)$ with $sk + i = h + p$. Let $r$ be the remainder of
# $h + p$ divided by $s$. Then $i$ must be $r, r + s, r + 2s, \dots$ and below
# $K$; away from the edges each of these has its $k$. How many are there?
#
# $$n(h) = \left\lceil \frac{K - r}{s} \right\rceil, \qquad
#   r = (h + p) \bmod s. \tag{14.12}$$
#
# If $s$ divides $K$, it is $K / s$ for every $r$: all pixels are equal. If not,
# it is larger for $r < K \bmod s$ than for the others, and some pixels receive
# more terms than their neighbours. With $K = 3$, $s = 2$ it is 2, 1, 2, 1. In
# two dimensions the counts multiply to 4, 2 and 1: a chessboard.
#
# A decoder that has just been drawn at random shows it at once. The terms of
# one pixel's sum hold different weights, so they are independent; with mean
# zero and variances $\sigma_W^2$ and $\sigma_x^2$, the pixel's variance is
# $n(h)\, n(v)\, M\, \sigma_W^2\, \sigma_x^2$.

# %%
draws, maps = full_or_fast(4000, 800), 4
spread = {}
for K_ in (3, 4):
    images = np.empty((draws, 16, 16))
    for d in range(draws):
        W_ = rng.normal(size=(K_, K_, 1, maps)) / np.sqrt(maps)
        a = conv.convolve_transposed(
            rng.normal(size=(1, 8, 8, maps)), W_, (16, 16), 2, 1
        )
        images[d] = a[0, :, :, 0]
    spread[K_] = images.std(axis=0)
    n = np.ceil((K_ - (np.arange(16) + 1) % 2) / 2)
    inside, expected = slice(2, 14), np.outer(n, n)[2:14, 2:14]
    variance = (spread[K_] ** 2)[inside, inside]
    # The variance's own relative error, from the fourth moment of what was drawn.
    error = (images[:, inside, inside] ** 2).std(axis=0) / np.sqrt(draws)
    score = np.abs(variance - expected) / error
    print(f"kernel {K_}: terms {np.unique(expected)}, worst score {score.max():.1f}")
    assert score.max() < 5 and score.mean() < 1
    if K_ == 3:  # the power of the check: equal counts would be far off
        assert (np.abs(variance - expected.mean()) / error).max() > 20

# %% [markdown]
# A pixel of variance 4 beside one of variance 1: training can flatten that, but
# it must be learned, and whatever has not been learned shows through. Where the
# stride divides the kernel there is nothing to learn. That is why all of
# numpyvae's convolutions have a kernel of 4 and a stride of 2. (The dark rim of
# both pictures is (14.12)'s "away from the edges".)

# %%
figure, panels = sheet(
    "At stride 2 a kernel of 3 prints a chessboard; a kernel of 4 prints none",
    names=("Kernel 3, stride 2", "Kernel 4, stride 2"),
    columns=2,
    height=2.0,
)
for axes, K_ in zip(panels, (3, 4), strict=True):
    drawn = axes.imshow(spread[K_], cmap="bone", vmin=0.8, vmax=2.2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.set_xlabel(f"spread {spread[K_][2:14, 2:14].min():.1f} to "
                    f"{spread[K_][2:14, 2:14].max():.1f}")  # fmt: skip
show(
    figure,
    "14_chessboard",
    "The standard deviation of each pixel over many random decoders, as two grey "
    "pictures. Left, kernel 3: bright and dark pixels alternate like a chessboard. "
    "Right, kernel 4: an even grey, darker at the rim.",
)

# %% [markdown]
# ## What sharing buys
#
# Move the image by one stride and the map moves by one pixel, because every
# window has the same weights. From (14.4), with $x'_{h} = x_{h - s}$ (one
# dimension is enough),
#
# $$(x' * W)_{k} = \sum_i x_{sk + i - p - s}\, W_i
#   = \sum_i x_{s(k - 1) + i - p}\, W_i = (x * W)_{k - 1}. \tag{14.13}$$
#
# What is learned about a stroke at one place is known at all places. And it
# costs little: from $28 \times 28$ pixels to a $14 \times 14$ map of 8
# channels, a dense layer has $784 \cdot 1568$ weights, a convolution $4 \cdot 4
# \cdot 1 \cdot 8$.

# %%
blot = np.zeros((1, 28, 28, 1))
blot[0, 8:20, 8:20] = rng.normal(size=(12, 12, 1))
filters = rng.normal(size=(4, 4, 1, 8))
moved = convolve(np.roll(blot, 2, axis=1), filters, 2, 1)
assert np.allclose(moved, np.roll(convolve(blot, filters, 2, 1), 1, axis=1), atol=1e-13)

dense_weights, conv_weights = 784 * 14 * 14 * 8, filters.size
print(f"dense {dense_weights:,} weights, convolution {conv_weights}: "
      f"one for {dense_weights // conv_weights:,}")  # fmt: skip
assert dense_weights // conv_weights == 9604

# %% [markdown]
# ## Use it: a small convolutional VAE
#
# Two convolutions, to 8 and 16 maps, halve the image twice, $28 \to 14 \to 7$.
# A dense layer makes 128 numbers of what they saw and another one $\mu$ and
# $\ell$; the decoder mirrors it. Beside it the dense VAE with 400 hidden units,
# both with 10 latents, on the same images for the same number of steps.

# %%
data = digits(full_or_fast(6000, 1200), full_or_fast(1000, 200))
epochs = full_or_fast(12, 1)
models = {
    "convolutional": VAE(
        channels=(8, 16), hidden=(128,), latent=10, activation="tanh", seed=1
    ),
    "dense": VAE(hidden=(400,), latent=10, seed=1),
}
before = {}
records = {}
for name, model in models.items():
    x_test = model.as_input(data.test_images.reshape(-1, 784) // 128, binary=True)
    noise = np.random.default_rng(1).standard_normal((len(x_test), 10), np.float32)
    before[name] = -model.forward(x_test, noise).loss.mean()
    records[name] = train(
        model, data, epochs=epochs, batch_size=50, lr=2e-3, lr_end=1e-3, progress=False
    )
    last = records[name][-1]
    print(
        f"{name:13} {model.params.flat.size:7,} parameters, test ELBO "
        f"{last.test_elbo:6.1f} nats ({sum(r.seconds for r in records[name]):.0f} s)"
    )
    assert last.test_elbo > before[name] + 100  # untrained, a pixel costs log 2

sizes = {name: model.params.flat.size for name, model in models.items()}
assert sizes["dense"] > 3 * sizes["convolutional"]
lead = records["convolutional"][-1].test_elbo - records["dense"][-1].test_elbo
print(f"the convolutional one is {lead:+.1f} nats ahead")
assert lead > full_or_fast(0, -150)  # in fast mode it has only begun

# %% [markdown]
# Where are its parameters? Almost all of them in the two dense layers next to
# the $7 \times 7 \times 16$ map: the four convolutions together are a few
# thousand.

# %%
parts = {"convolutions": 0, "dense layers": 0}
for block in models["convolutional"].params.values():
    parts["convolutions" if block.ndim == 4 else "dense layers"] += block.size
print(", ".join(f"{name} {size:,}" for name, size in parts.items()))
assert 20 * parts["convolutions"] < parts["dense layers"]

# %%
share = sizes["convolutional"] / sizes["dense"]
finding = (
    f"With a third of the parameters the convolutional VAE is {lead:.1f} nats ahead"
    if lead > 0
    else "The convolutional VAE starts more slowly than the dense one"
)
assert 1 / 4 < share < 1 / 3
figure, (axes,) = sheet(finding, labels=("epoch", "test ELBO, nats"))
for name, colour in (("convolutional", ESTIMATE), ("dense", FAINT)):
    heights = [r.test_elbo for r in records[name]]
    steps = np.arange(1, epochs + 1)
    axes.plot(steps, heights, color=colour, lw=2, marker="o", ms=3)
    above = (heights[-1] == max(r[-1].test_elbo for r in records.values())) * 2 - 1
    axes.annotate(
        name, (epochs, heights[-1]), (0, 10 * above), textcoords="offset points",
        color=colour, size=11, ha="right", va="bottom" if above > 0 else "top",
    )  # fmt: skip
axes.set_xticks(np.unique(np.linspace(1, epochs, 4).astype(int)))
show(
    figure,
    "14_training",
    "Test ELBO over the epochs of a convolutional and a dense VAE. The dense one is "
    "ahead after the first epoch, the convolutional one at the end.",
)

# %% [markdown]
# The convolutional one starts behind: its signal has to pass more layers before
# any of them makes sense. (With ReLU and this learning rate it may not start at
# all; try it.) Then it overtakes. Nobody told the dense network that
# neighbouring pixels have anything to do with each other; it has to find out
# from data.
#
# ## Look inside: the first filters
#
# Eight kernels of $4 \times 4$ weights, and what each makes of one digit,
# beside what it makes of blank paper. Dark is more, light is less. A kernel
# whose weights all have one sign sees *ink*. One whose weights add up to zero
# is blind to a flat patch, black or white, and sees *edges*. Most are a bit of
# both: the share of a kernel's squared length that is flat, $(\sum_{ij}
# W_{ij})^2 / 16 \sum_{ij} W_{ij}^2$, would be $1/16$ on average for weights
# drawn at random.

# %%
model = models["convolutional"]
digit = model.as_input(data.test_images[:1].reshape(1, 784) // 128, binary=True)
seen = model.encoder.forward(digit, model.workspace())[0].y  # of the first layer
seen = seen.reshape(14, 14, 8).transpose(2, 0, 1)
W1, b1 = model.params["encoder.0.W"], model.params["encoder.0.b"]
by_hand = layer(digit.reshape(1, 28, 28, 1), W1, b1, 2, 1)[0].transpose(2, 0, 1)
assert np.allclose(by_hand, seen, atol=1e-5)  # float32

kernels = W1[:, :, 0].transpose(2, 0, 1)
flat = kernels.sum(axis=(1, 2)) ** 2 / 16 / (kernels**2).sum(axis=(1, 2))
print("flat share:", " ".join(f"{share:.2f}" for share in flat))
assert flat.min() < 1 / 16 < flat.max()

# %%
views = seen - np.tanh(b1)[:, None, None]  # blank paper gives tanh(b)
figure = strips(
    "Eight small kernels make eight views of one digit",
    [
        ("kernels,\n4 x 4 weights", (kernels / np.abs(kernels).max() + 1) / 2),
        ("what they see,\n14 x 14", (views / np.abs(views).max() + 1) / 2),
    ],
)
show(
    figure,
    "14_filters",
    "Eight small kernels in a row, with dark and light cells, and below them eight "
    "maps of one digit: some show its strokes, some only one side of them.",
)

# %% [markdown]
# ## Exercise
#
# In `lessons/exercises/14_convolution.py` write a *dilated* convolution: its
# kernel's entries meet pixels that lie $d$ apart, $x_{n,\ sk + di - p,\
# \dots}$, so that it sees further with no more weights. Find its size, its
# forward and all three gradients: write down its $T$ first. Then ask
#
# ```sh
# numpyvae check 14
# ```
