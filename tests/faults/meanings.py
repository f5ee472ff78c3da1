"""Faults of meaning: backward is the slope of forward, and both say the wrong thing.

And faults of number: right on paper, wrong in floating point.
"""

from .fault import Fault

KL = "return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"
DKL = "return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2"
NLL = '(activate(logits, "softplus") - x * logits).sum(axis=1)'
DLOGITS = "return dnll[:, None] * (p - x)"
RAISE = "\n            raise DivergedError("
GUARD = "        self._expect_finite(recon / len(rows), kl / len(rows), where)"
UPDATE = "        self.optimizer.advance()\n        self.workers.map(update, SHARDS)"


def from_p(p: str, q: str) -> dict[str, str]:
    """The Bernoulli nll taken from probabilities."""
    return {
        f"nll = {NLL}": 'p = activate(logits, "sigmoid")\n'
        f"    nll = -(x * np.log({p}) + (1 - x) * np.log({q})).sum(axis=1)"
    }


MEANING = (
    Fault(
        "sigma = exp(logvar)",
        "pairs/posteriors.py",
        {
            "np.exp(logvar / 2)": "np.exp(logvar)",
            "return dsigma * sigma / 2": "return dsigma * sigma",
        },
        "the variance taken for the deviation: two teaching libraries, a Keras example",
        seen="sigma",
        tests="test_gaussian.py",
    ),
    Fault(
        "one eps for the whole batch",
        "pairs/posteriors.py",
        {
            "return mu + sigma * eps": "return mu + sigma * eps[:1]",
            "dz, dz * eps": "dz, dz * eps[:1]",
        },
        "noise of shape (1, Z) that broadcasts",
        tests="test_gaussian.py",
    ),
    Fault(
        "KL twice too large",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1)"
            ),
            ("return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2"): (
                "return 2 * dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar)"
            ),
        },
        "the 1/2 lost before differentiating",
    ),
    Fault(
        "KL with the opposite sign",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return -(mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"
            ),
            ("return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2"): (
                "return -dkl[:, None] * mu, -dkl[:, None] * np.expm1(logvar) / 2"
            ),
        },
        "as printed in a lecture (erratum E1), and differentiated faithfully",
        seen="kl sign",
    ),
    Fault(
        "KL divided by Z",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return (mu * mu + np.expm1(logvar) - logvar).mean(axis=1) / 2"
            ),
            ("return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2"): (
                "dkl = dkl / mu.shape[1]\n"
                "    return dkl[:, None] * mu, dkl[:, None] * "
                "np.expm1(logvar) / 2"
            ),
        },
        "np.mean for np.sum over latents",
        seen="mean",
    ),
    Fault(
        "KL reads logvar as log sigma",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return (mu * mu + np.expm1(2 * logvar) - 2 * logvar).sum(axis=1) / 2"
            ),
            ("return dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar) / 2"): (
                "return dkl[:, None] * mu, dkl[:, None] * np.expm1(2 * logvar)"
            ),
        },
        "sigma or logvar? Asked again and again",
        seen="sigma",
    ),
    Fault(
        "KL of the prior is Z/2",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return (mu * mu + np.exp(logvar) - logvar).sum(axis=1) / 2"
            )
        },
        "the -1 dropped, since it has no gradient",
    ),
    Fault(
        "Bernoulli a mean over pixels",
        "pairs/bernoulli.py",
        {
            ("nll = (softplus_forward(logits) - x * logits).sum(axis=1)"): (
                "nll = (softplus_forward(logits) - x * logits).mean(axis=1)"
            ),
            "return dnll[:, None] * (p - x)": (
                "return dnll[:, None] * (p - x) / x.shape[1]"
            ),
        },
        "KL then weighs 784 times too much: many issue threads",
        seen="mean",
        tests="test_likelihoods.py",
    ),
    Fault(
        "half the cross-entropy",
        "pairs/bernoulli.py",
        {
            ("nll = (softplus_forward(logits) - x * logits).sum(axis=1)"): (
                "nll = (x * (softplus_forward(logits) - logits)).sum(axis=1)"
            ),
            "return dnll[:, None] * (p - x)": "return dnll[:, None] * (x * (p - 1))",
        },
        "-sum x log p alone, as for classes (erratum E5)",
        tests="test_likelihoods.py",
    ),
    Fault(
        "Gaussian without log 2 pi",
        "pairs/likelihoods.py",
        {"+ logvar + LOG_2PI": "+ logvar"},
        "a constant 'that has no gradient', in a number that is printed",
    ),
    Fault(
        "Gaussian reads logvar as log sigma",
        "pairs/likelihoods.py",
        {
            "np.exp(-logvar) + logvar +": "np.exp(-2 * logvar) + 2 * logvar +",
            "dmean = -dnll[:, None] * residual": (
                "precision = precision * np.exp(-logvar)\n"
                "    dmean = -dnll[:, None] * residual"
            ),
            "(1 - residual * residual * precision) / 2": (
                "(1 - residual * residual * precision)"
            ),
        },
        "N(mu, diag(sigma)) for diag(sigma^2), as in the notes (erratum E3)",
    ),
    Fault(
        "last layer through the activation",
        "model/networks.py",
        {"(len(widths) - 2) + [last]": "(len(widths) - 2) + [activation]"},
        "every layer alike: mu and logits can't be negative",
    ),
    Fault(
        "beta on the reconstruction as well",
        "pairs/objectives.py",
        {
            "(recon + beta * kl).sum": "(beta * (recon + kl)).sum",
            "np.repeat(dloss[:, None]": "np.repeat(beta * dloss[:, None]",
            "return drecon, beta * drecon": "return drecon, drecon",
        },
        "a weight applied to the total",
        tests="test_combinations.py",
    ),
    Fault(
        "encode returns logvar",
        "pairs/posteriors.py",
        {
            (
                "return s[:, : self.latent], sigma_forward(s[:, self.latent :])"
            ): "return s[:, : self.latent], s[:, self.latent :]"
        },
        "sigma or logvar? Swapped for the user only",
    ),
    Fault(
        "samples of a uniform z",
        "pairs/priors.py",
        {
            "rng.standard_normal((count, self.latent))": (
                "rng.random((count, self.latent))"
            ),
        },
        "np.random.rand for randn",
    ),
    Fault(
        "decode returns logits",
        "pairs/likelihoods.py",
        {"return sigmoid_forward(out)": "return out"},
        "the sigmoid left to the loss, forgotten by whoever draws",
        tests="test_vae.py",
    ),
)

NUMBERS = (
    Fault(
        "p clipped to [1e-15, 0.999]",
        "pairs/bernoulli.py",
        {
            ("nll = (softplus_forward(logits) - x * logits).sum(axis=1)"): (
                "p = sigmoid_forward(logits)\n"
                "    nll = -(x * np.log(np.clip(p, 1e-15, 0.999)) + (1 - "
                "x) * np.log(1 - np.clip(p, 1e-15, 0.999))).sum(axis=1)"
            )
        },
        "a teaching library, to keep the log finite",
        seen="clip",
        tests="test_likelihoods.py",
    ),
    Fault(
        "log(p + 1e-8)",
        "pairs/bernoulli.py",
        {
            ("nll = (softplus_forward(logits) - x * logits).sum(axis=1)"): (
                "p = sigmoid_forward(logits)\n"
                "    nll = -(x * np.log(p + 1e-8) + (1 - x) * np.log(1 - p "
                "+ 1e-8)).sum(axis=1)"
            )
        },
        "the usual patch against NaN",
        tests="test_likelihoods.py",
    ),
    Fault(
        "Bernoulli from probabilities",
        "pairs/bernoulli.py",
        {
            ("nll = (softplus_forward(logits) - x * logits).sum(axis=1)"): (
                "p = sigmoid_forward(logits)\n"
                "    nll = -(x * np.log(p) + (1 - x) * np.log(1 - "
                "p)).sum(axis=1)"
            )
        },
        "log 0 as soon as the decoder is sure",
        tests="test_likelihoods.py",
    ),
    Fault(
        "sigmoid clipped",
        "pairs/activations.py",
        {
            "return np.where(a.real > 0, 1, e) / (1 + e)": (
                "return np.clip(np.where(a.real > 0, 1, e) / (1 + e), 1e-7, 1 - 1e-7)"
            )
        },
        "a backend's epsilon inside the activation",
    ),
    Fault(
        "sigmoid overflows",
        "pairs/activations.py",
        {"np.where(a.real > 0, 1, e) / (1 + e)": "1 / (1 + np.exp(-a))"},
        "the textbook's formula, warning at a = -800",
    ),
    Fault(
        "softplus overflows",
        "pairs/activations.py",
        {
            (
                "return np.where(a.real > 0, a, 0) + np.log1p(exp_minus_abs(a))"
            ): "return np.log1p(np.exp(a))"
        },
        "inf from a = 710, from 89 in float32",
    ),
    Fault(
        "log(1 + e) for log1p",
        "pairs/activations.py",
        {"np.log1p(exp_minus_abs(a))": "np.log(1 + exp_minus_abs(a))"},
        "0 where 4e-18 was meant",
    ),
    Fault(
        "1 - exp for expm1 in softplus",
        "pairs/activations.py",
        {"dy * -np.expm1(-y)": "dy * (1 - np.exp(-y))"},
        "a slope of 0 where 4e-18 was meant",
    ),
    Fault(
        "exp - 1 for expm1 in the KL",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return (mu * mu + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2"
            )
        },
        "no digits left near the prior",
    ),
    Fault(
        "relu swallows NaN",
        "pairs/activations.py",
        {"np.where(a.real <= 0, 0, a)": "np.where(a.real > 0, a, 0)"},
        "a diverged run goes on as if nothing were",
    ),
    Fault(
        "relu slope in float64",
        "pairs/activations.py",
        {"dy * (y.real > 0)": "dy * (y.real > 0).astype(float)"},
        "a mask cast with the default dtype doubles the work behind it",
    ),
    Fault(
        "KL times a float64 scalar",
        "pairs/kl.py",
        {
            ("return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) / 2"): (
                "return (mu * mu + np.expm1(logvar) - logvar).sum(axis=1) "
                "* np.float64(0.5)"
            )
        },
        "NumPy 2: a float64 scalar upcasts a float32 array",
    ),
    Fault(
        "sum of recon in float32",
        "training/evaluate.py",
        {"t.sum(dtype=np.float64)": "t.sum()"},
        "a test set's mean with 7 digits at most",
    ),
    Fault(
        "work array of another dtype",
        "model/workspace.py",
        {
            "self._whole.get((name, dtype))": "self._whole.get(name)",
            "self._whole[name, dtype] =": "self._whole[name] =",
        },
        "a buffer looked up by name and size alone",
    ),
    Fault(
        "divergence test misses NaN",
        "training/trainer.py",
        {
            (
                "        if not math.isfinite(recon + kl):\n"
                '            where = next(filter(None, places), "")'
            ): (
                "        if abs(recon + kl) == math.inf:\n"
                '            where = next(filter(None, places), "")'
            )
        },
        "NaN is not infinite",
    ),
    Fault(
        "divergence told after the update",
        "training/trainer.py",
        {
            "        recon, kl = sum(recons), sum(kls)\n": (
                "        recon, kl = sum(recons), sum(kls)\n"
                "        self.optimizer.advance()\n"
                "        self.workers.map(update, SHARDS)\n"
            ),
            (
                "            raise self._diverged(recon / n, kl / n, where)\n"
                "        self.optimizer.advance()\n"
                "        self.workers.map(update, SHARDS)\n"
            ): ("            raise self._diverged(recon / n, kl / n, where)\n"),
        },
        "the parameters are NaN by the time anyone looks",
    ),
)
