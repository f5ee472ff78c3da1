"""The oracle: every formula once more, in loops over plain numbers.

Slow, and meant to be believed at a glance. Imports nothing of the package it judges.

Shapes: B batch, N inputs, M outputs, D pixels, Z latents, P parameters.
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
