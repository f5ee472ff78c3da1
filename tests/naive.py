"""The oracle: every formula once more, in loops over plain numbers.

Slow, and meant to be believed at a glance. Imports nothing of the package it judges.

Shapes: B batch, N inputs, M outputs, D pixels, Z latents, K samples, P parameters.
"""

import math

import numpy as np


def activate(a, activation):
    if activation == "identity":
        return a
    if activation == "relu":
        return a if a > 0 else 0.0
    if activation == "tanh":
        return math.tanh(a)
    if activation == "sigmoid":
        return 1 / (1 + math.exp(-a)) if a > 0 else math.exp(a) / (1 + math.exp(a))
    if activation == "softplus":
        return max(a, 0.0) + math.log1p(math.exp(-abs(a)))
    if activation == "gelu":
        u = math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)
        return a / 2 * (1 + math.tanh(u))
    if activation == "elu":
        return a if a > 0 else math.exp(a) - 1
    if activation == "leaky-relu":
        return max(a, 0.01 * a)
    raise ValueError(activation)


def dense(x, W, b, activation):
    """x (B, N), W (N, M), b (M,) -> (B, M)."""
    y = np.zeros((x.shape[0], W.shape[1]))
    for i in range(x.shape[0]):
        for k in range(W.shape[1]):
            a = float(b[k])
            for j in range(x.shape[1]):
                a += float(x[i, j]) * float(W[j, k])
            y[i, k] = activate(a, activation)
    return y


def mlp(x, layers, activation):
    """`layers` is a list of (W, b); the last one has no activation."""
    for W, b in layers[:-1]:
        x = dense(x, W, b, activation)
    return dense(x, *layers[-1], "identity")


def sigma(logvar):
    """logvar (B, Z) -> (B, Z)."""
    result = np.zeros(logvar.shape)
    for i in range(logvar.shape[0]):
        for j in range(logvar.shape[1]):
            result[i, j] = math.sqrt(math.exp(logvar[i, j]))
    return result


def reparameterize(mu, sigma, eps):
    """mu, sigma, eps (B, Z) -> (B, Z)."""
    z = np.zeros(mu.shape)
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            z[i, j] = float(mu[i, j]) + float(sigma[i, j]) * float(eps[i, j])
    return z


def kl(mu, logvar):
    """KL(N(mu, var) || N(0, 1)), summed over latents: mu, logvar (B, Z) -> (B,)."""
    result = np.zeros(mu.shape[0])
    for i in range(mu.shape[0]):
        for m, lv in zip(mu[i].tolist(), logvar[i].tolist(), strict=True):
            result[i] -= (1 + lv - m**2 - math.exp(lv)) / 2
    return result


def cholesky(entries):
    """Logarithms of the diagonal, then the rows below it: (B, T) -> (B, Z, Z)."""
    Z = 1
    while entries.shape[1] > Z * (Z + 1) // 2:
        Z += 1
    L = np.zeros((entries.shape[0], Z, Z))
    for i in range(entries.shape[0]):
        rest = entries[i].tolist()
        for j in range(Z):
            L[i, j, j] = math.exp(rest.pop(0))
        for j in range(Z):
            for k in range(j):
                L[i, j, k] = rest.pop(0)
    return L


def correlate(mu, L, eps):
    """mu, eps (B, Z), L (B, Z, Z) -> (B, Z)."""
    z = np.zeros(mu.shape)
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            z[i, j] = float(mu[i, j])
            for k in range(mu.shape[1]):
                z[i, j] += float(L[i, j, k]) * float(eps[i, k])
    return z


def full_kl(mu, L):
    """KL(N(mu, C) || N(0, I)), C = L L^T: trace C + mu^2 - Z - log det C, halved."""
    result = np.zeros(mu.shape[0])
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            variance = sum(float(entry) ** 2 for entry in L[i, j])
            logdet = 2 * math.log(L[i, j, j])
            result[i] += (variance + float(mu[i, j]) ** 2 - 1 - logdet) / 2
    return result


def log_normal(x, mean, variance):
    """log N(x; mean, variance) of one number."""
    return -((x - mean) ** 2 / variance + math.log(2 * math.pi * variance)) / 2


def iaf(z, M, G, a, c):
    """A step g z + (1 - g) m: z, a, c (B, Z), M, G (Z, Z) -> z' (B, Z), log|det| (B,).

    m and the gate g, which is sigmoid(2) at 0, come from z by M and G.
    """
    after, logdet = np.zeros(z.shape), np.zeros(z.shape[0])
    for b in range(z.shape[0]):
        for j in range(z.shape[1]):
            m, gate = float(a[b, j]), float(c[b, j]) + 2
            for i in range(z.shape[1]):
                m += float(z[b, i]) * float(M[i, j])
                gate += float(z[b, i]) * float(G[i, j])
            g = 1 / (1 + math.exp(-gate))
            after[b, j] = g * float(z[b, j]) + (1 - g) * m
            logdet[b] += math.log(g)
    return after, logdet


def mixture(z, mu, logvar, logits):
    """-log p(z), z (B, Z), and each component's share of p(z): (B,), (B, K).

    mu, logvar (K, Z); a component weighs exp(logit) over the sum of them all.
    """
    B, K = z.shape[0], mu.shape[0]
    nll, shares = np.zeros(B), np.zeros((B, K))
    total = sum(math.exp(logit) for logit in logits.tolist())
    for b in range(B):
        for k in range(K):
            log_p = math.log(math.exp(logits[k]) / total)
            for j in range(z.shape[1]):
                variance = math.exp(logvar[k, j])
                log_p += log_normal(float(z[b, j]), float(mu[k, j]), variance)
            shares[b, k] = math.exp(log_p)
        nll[b] = -math.log(sum(shares[b]))
        shares[b] /= sum(shares[b])
    return nll, shares


def sampled_kl(z, eps, logdet):
    """log q(z|x) - log p(z): z, eps (B, Z), logdet (B,) -> (B,)."""
    result = np.zeros(z.shape[0])
    for i in range(z.shape[0]):
        result[i] = -float(logdet[i])
        for a, e in zip(z[i].tolist(), eps[i].tolist(), strict=True):
            result[i] += log_normal(e, 0.0, 1.0) - log_normal(a, 0.0, 1.0)
    return result


def gaussian(mean, logvar, x):
    """-log N(x; mean, var), summed over pixels: (B, D), (B, D) or (1,) -> (B,)."""
    nll = np.zeros(x.shape[0])
    logvar = np.broadcast_to(logvar, x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            variance = math.exp(logvar[i, j])
            nll[i] -= log_normal(float(x[i, j]), float(mean[i, j]), variance)
    return nll


def continuous_bernoulli(logits, x):
    """-log of exp(l x) over its integral: logits, x (B, D) -> nll (B,), means (B, D).

    The integrals of exp(|l| t) and t exp(|l| t) over [0, 1] by the series of exp, all
    of whose terms are positive; for l < 0 everything is mirrored, x to 1 - x.
    """
    nll, means = np.zeros(x.shape[0]), np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            logit, pixel = float(logits[i, j]), float(x[i, j])
            size, pixel = abs(logit), pixel if logit > 0 else 1 - pixel
            term, mass, moment = 1.0, 0.0, 0.0
            for n in range(200):
                mass += term / (n + 1)
                moment += term / (n + 2)
                term *= size / (n + 1)
            nll[i] += math.log(mass) - size * pixel
            means[i, j] = moment / mass if logit > 0 else 1 - moment / mass
    return nll, means


def discretized_logistic(mean, log_scale, x):
    """-log of a level's share of a logistic: (B, D), x in {0, 1/255, ..., 1} -> (B,).

    From half a level below to half a level above; black and white have all beyond. What
    lies above the mean is mirrored: tails of small numbers keep their digits.
    """
    nll = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            level, centre = round(255 * float(x[i, j])), float(mean[i, j])
            if level > 255 * centre:
                level, centre = 255 - level, 1 - centre
            ends = [(level + side) / 255 - centre for side in (-0.5, 0.5)]
            scale = math.exp(log_scale[i, j])
            below, up_to = (activate(end / scale, "sigmoid") for end in ends)
            below = below if level > 0 else 0.0
            up_to = up_to if level < 255 else 1.0
            nll[i] -= math.log(up_to - below)
    return nll


def elbo(recon, kl, beta):
    """The mean over samples of recon + beta kl: (B, K), (B, K) -> (B,)."""
    loss = np.zeros(recon.shape[0])
    for i in range(recon.shape[0]):
        for r, k in zip(recon[i].tolist(), kl[i].tolist(), strict=True):
            loss[i] += (r + beta * k) / recon.shape[1]
    return loss


def iwae(recon, kl):
    """-log of the mean of exp(-recon - kl): (B, K), (B, K) -> (B,)."""
    loss = np.zeros(recon.shape[0])
    for i in range(recon.shape[0]):
        pairs = zip(recon[i].tolist(), kl[i].tolist(), strict=True)
        weights = [math.exp(-r - k) for r, k in pairs]
        loss[i] = -math.log(sum(weights) / len(weights))
    return loss


def bernoulli(logits, x):
    """-log Ber(x; sigmoid(logits)), summed over pixels: (B, D) -> (B,)."""
    nll = np.zeros(logits.shape[0])
    for i in range(logits.shape[0]):
        for logit, pixel in zip(logits[i].tolist(), x[i].tolist(), strict=True):
            p, q = activate(logit, "sigmoid"), activate(-logit, "sigmoid")
            nll[i] -= pixel * math.log(p) + (1 - pixel) * math.log(q)
    return nll


def vae_loss(x, eps, encoder, decoder, activation, beta):
    """The mean of recon + beta * kl; x (B, D), eps (B, Z)."""
    h = mlp(x, encoder, activation)
    mu, logvar = h[:, : eps.shape[1]], h[:, eps.shape[1] :]
    logits = mlp(reparameterize(mu, sigma(logvar), eps), decoder, activation)
    recon, kls = bernoulli(logits, x), kl(mu, logvar)
    return sum(recon[i] + beta * kls[i] for i in range(len(x))) / len(x)


def sgd(params, gradients, lr):
    """The parameters (P,) after one step for each of `gradients`, each (P,)."""
    params = params.tolist()
    for gradient in gradients:
        for i in range(len(params)):
            params[i] -= lr * float(gradient[i])
    return np.array(params)


def adam(params, gradients, lr, beta1, beta2, eps):
    """The same with Adam, as Kingma & Ba's Algorithm 1 has it."""
    params = params.tolist()
    m, v = [0.0] * len(params), [0.0] * len(params)
    for t, gradient in enumerate(gradients, start=1):
        for i in range(len(params)):
            g = float(gradient[i])
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            m_hat, v_hat = m[i] / (1 - beta1**t), v[i] / (1 - beta2**t)
            params[i] -= lr * m_hat / (math.sqrt(v_hat) + eps)
    return np.array(params)
