"""Faults of the reference: a backward that is not the slope of its forward."""

from .fault import Fault

DENSE = (
    Fault(
        "tanh slope without the square",
        "pairs/activations.py",
        {"dy * (1 - y * y)": "dy * (1 - y)"},
        "1 - tanh(a)^2 copied without its exponent",
    ),
    Fault(
        "tanh slope from the input",
        "pairs/activations.py",
        {"dy * (1 - y * y)": "dy * (1 - np.tanh(y) ** 2)"},
        "the formula in a applied to y, which is tanh(a) already",
    ),
    Fault(
        "sigmoid slope from the input",
        "pairs/activations.py",
        {
            "return dy * (y * (1 - y))": (
                "y = sigmoid_forward(y)\n    return dy * (y * (1 - y))"
            )
        },
        "a helper sigmoid_prime(a) called with the output",
    ),
    Fault(
        "sigmoid slope, sign",
        "pairs/activations.py",
        {"dy * (y * (1 - y))": "dy * (y * (1 + y))"},
        "a sign slipped in the textbook's s(1 - s)",
    ),
    Fault(
        "relu slope at the wrong side",
        "pairs/activations.py",
        {"dy * (y.real > 0)": "dy * (y.real <= 0)"},
        "a mask of what was cut, used as a mask of what was kept",
    ),
    Fault(
        "relu slope 1 at 0",
        "pairs/activations.py",
        {"dy * (y.real > 0)": "dy * (y.real >= 0)"},
        "read off the output, >= lets every dead unit through",
    ),
    Fault(
        "leaky relu forward only",
        "pairs/activations.py",
        {"np.where(a.real <= 0, 0, a)": "np.where(a.real <= 0, 0.01 * a, a)"},
        "an activation exchanged, its derivative not",
    ),
    Fault(
        "softplus slope mirrored",
        "pairs/activations.py",
        {"dy * -np.expm1(-y)": "dy * np.exp(-y)"},
        "sigmoid(-a) for sigmoid(a)",
    ),
    Fault(
        "bias not added",
        "pairs/dense.py",
        {"return x @ W + b": "return x @ W"},
        "lost in a refactoring; db is still computed",
    ),
    Fault(
        "db a mean over the batch",
        "pairs/dense.py",
        {"db = da.sum(axis=0)": "db = da.mean(axis=0)"},
        "the 1/B of the loss taken a second time, for b alone",
    ),
    Fault(
        "db over the wrong axis",
        "pairs/dense.py",
        {"db = da.sum(axis=0)": "db = da.sum(axis=1)"},
        "column vectors in the book, rows in the code; B = M hides it",
    ),
    Fault(
        "dW transposed",
        "pairs/dense.py",
        {"dW = x.T @ da": "dW = da.T @ x"},
        "the book's W is (M, N); square layers hide it",
    ),
    Fault(
        "dW a mean over the batch",
        "pairs/dense.py",
        {"dW = x.T @ da": "dW = x.T @ da / len(x)"},
        "divided by B where the loss has divided already",
    ),
    Fault(
        "dx without the transpose",
        "pairs/dense.py",
        {"dx = da @ W.T": "dx = da @ W"},
        "square layers hide it",
    ),
    Fault(
        "dx past the activation",
        "model/layers.py",
        {
            ("out=(dx, dW, db))\n        return dx\n\n\nclass Conv("): (
                "out=(dx, dW, db))\n        return dy @ W.T\n\n\nclass Conv("
            )
        },
        "dW and db are right, so a check of the parameters alone passes (mlpack #1923)",
        seen="input",
        tests="test_layers.py",
    ),
    Fault(
        "dx halved",
        "pairs/dense.py",
        {"dx = da @ W.T": "dx = da @ W.T / 2"},
        "one layer alone, its parameters checked: nothing to see",
        seen="input",
    ),
    Fault(
        "slope applied twice",
        "model/layers.py",
        {
            (
                "        if not wants_dx:\n            work.code.dense_backward_weights"
            ): (
                "            da = work.code.activation_backward(self.f, "
                "da, a, y)\n"
                "        if not wants_dx:\n"
                "            work.code.dense_backward_weights"
            )
        },
        "once in the loss layer, once in the dense layer",
        tests="test_layers.py",
    ),
    Fault(
        "first layer's slope forgotten",
        "model/layers.py",
        {"dense_backward_weights(da, x, out": "dense_backward_weights(dy, x, out"},
        "dy and da mixed up in the special case for data",
        tests="test_networks.py",
    ),
)

GAUSSIAN = (
    Fault(
        "sigma = exp(logvar), forward only",
        "pairs/posteriors.py",
        {"np.exp(logvar / 2)": "np.exp(logvar)"},
        "the fault of the wild, half mended",
        tests="test_gaussian.py",
    ),
    Fault(
        "dlogvar's 1/2 lost",
        "pairs/posteriors.py",
        {"return dsigma * sigma / 2": "return dsigma * sigma"},
        "the chain rule through logvar / 2 forgotten",
        tests="test_gaussian.py",
    ),
    Fault(
        "dlogvar without sigma",
        "pairs/posteriors.py",
        {"return dsigma * sigma / 2": "return dsigma / 2"},
        "exp differentiated to 1",
        tests="test_gaussian.py",
    ),
    Fault(
        "fresh eps in backward",
        "pairs/posteriors.py",
        {
            "return dz, dz * eps": (
                "return dz, dz * np.random.standard_normal(eps.shape)"
            )
        },
        "backward samples for itself instead of keeping eps",
        seen="eps",
        tests="test_gaussian.py",
    ),
    Fault(
        "dsigma without eps",
        "pairs/posteriors.py",
        {"return dz, dz * eps": "return dz, dz + 0 * eps"},
        "z = mu + sigma eps differentiated as if eps were 1",
        tests="test_gaussian.py",
    ),
    Fault(
        "z = mu - sigma eps",
        "pairs/posteriors.py",
        {"return mu + sigma * eps": "return mu - sigma * eps"},
        "the same in law, so that only the gradient's sign tells",
        tests="test_gaussian.py",
    ),
    Fault(
        "dKL/dmu = -mu",
        "pairs/kl.py",
        {
            "return dkl[:, None] * mu, dkl[:, None] * np": (
                "return -dkl[:, None] * mu, dkl[:, None] * np"
            ),
        },
        "the gradient of the ELBO's -KL added to that of a loss",
        seen="kl sign",
    ),
    Fault(
        "dKL/dlogvar's 1/2 lost",
        "pairs/kl.py",
        {"np.expm1(logvar) / 2": "np.expm1(logvar)"},
        "the 1/2 in front of the sum read as belonging to mu^2",
    ),
    Fault(
        "dKL/dlogvar without its -1",
        "pairs/kl.py",
        {"dkl[:, None] * np.expm1(logvar) / 2": "dkl[:, None] * np.exp(logvar) / 2"},
        "the gradient of -logvar forgotten",
    ),
    Fault(
        "dKL ignores its upstream",
        "pairs/kl.py",
        {
            (
                "return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2"
            ): "return mu, np.expm1(logvar) / 2"
        },
        "checked with an upstream of ones, which hides it",
    ),
    Fault(
        "KL with + logvar",
        "pairs/kl.py",
        {"np.expm1(logvar) - logvar)": "np.expm1(logvar) + logvar)"},
        "a sign lost while pulling the -1/2 in",
    ),
    Fault(
        "KL summed over the batch",
        "pairs/kl.py",
        {"- logvar).sum(axis=1) / 2": "- logvar).sum(axis=0) / 2"},
        "the wrong axis; B = Z hides it",
    ),
    Fault(
        "KL printed as a mean over latents",
        "pairs/kl.py",
        {"- logvar).sum(axis=1) / 2": "- logvar).mean(axis=1) / 2"},
        "np.mean forward, the sum's gradient backward: 6 repositories",
        seen="mean",
    ),
)

LIKELIHOODS = (
    Fault(
        "Bernoulli with + x l",
        "pairs/bernoulli.py",
        {
            "softplus_forward(logits) - x * logits": (
                "softplus_forward(logits) + x * logits"
            ),
        },
        "softplus(l) - x l misremembered",
        tests="test_likelihoods.py",
    ),
    Fault(
        "Bernoulli printed as a mean over pixels",
        "pairs/bernoulli.py",
        {
            ("nll = (softplus_forward(logits) - x * logits).sum(axis=1)"): (
                "nll = (softplus_forward(logits) - x * logits).mean(axis=1)"
            )
        },
        "a framework's default reduction forward, sums backward",
        seen="mean",
        tests="test_likelihoods.py",
    ),
    Fault(
        "dlogits = x - p",
        "pairs/bernoulli.py",
        {"return dnll[:, None] * (p - x)": "return dnll[:, None] * (x - p)"},
        "the gradient of log p(x|z), added to that of a loss",
        tests="test_likelihoods.py",
    ),
    Fault(
        "dlogits with the sigmoid's slope again",
        "pairs/bernoulli.py",
        {
            "return dnll[:, None] * (p - x)": (
                "return dnll[:, None] * (p - x) * p * (1 - p)"
            ),
        },
        "squared error's backward behind a cross-entropy",
        tests="test_likelihoods.py",
    ),
    Fault(
        "dlogits ignores its upstream",
        "pairs/bernoulli.py",
        {"return dnll[:, None] * (p - x)": "return p - x"},
        "the last layer starts the backward pass itself: 1/B is lost",
        tests="test_likelihoods.py",
    ),
    Fault(
        "Gaussian without logvar",
        "pairs/likelihoods.py",
        {"+ logvar + LOG_2PI": "+ LOG_2PI"},
        "squared error forward, a learned sigma backward",
    ),
    Fault(
        "dmean's sign",
        "pairs/likelihoods.py",
        {"dmean = -dnll[:, None] * residual": "dmean = dnll[:, None] * residual"},
        "residual = x - mean differentiated in x",
    ),
    Fault(
        "Gaussian's dlogvar, 1/2 lost",
        "pairs/likelihoods.py",
        {
            "(1 - residual * residual * precision) / 2": (
                "(1 - residual * residual * precision)"
            )
        },
        "the 1/2 kept for dmean only, where it cancels",
    ),
)

FAULTS = DENSE + GAUSSIAN + LIKELIHOODS
