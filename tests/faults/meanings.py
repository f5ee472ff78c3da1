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
        "pairs/gaussian.py",
        {
            "np.exp(logvar / 2)": "np.exp(logvar)",
            "return dsigma * sigma / 2": "return dsigma * sigma",
        },
        "the variance taken for the deviation: two teaching libraries, a Keras example",
        seen="sigma",
    ),
    Fault(
        "one eps for the whole batch",
        "pairs/gaussian.py",
        {
            "return mu + sigma * eps": "return mu + sigma * eps[:1]",
            "dz, dz * eps": "dz, dz * eps[:1]",
        },
        "noise of shape (1, Z) that broadcasts",
    ),
    Fault(
        "KL twice too large",
        "pairs/gaussian.py",
        {
            KL: KL.removesuffix(" / 2"),
            DKL: "return 2 * dkl[:, None] * mu, dkl[:, None] * np.expm1(logvar)",
        },
        "the 1/2 lost before differentiating",
    ),
    Fault(
        "KL with the opposite sign",
        "pairs/gaussian.py",
        {
            KL: KL.replace("return ", "return -"),
            DKL: "return -dkl[:, None] * mu, -dkl[:, None] * np.expm1(logvar) / 2",
        },
        "as printed in a lecture (erratum E1), and differentiated faithfully",
        seen="kl sign",
    ),
    Fault(
        "KL divided by Z",
        "pairs/gaussian.py",
        {
            KL: KL.replace("sum", "mean"),
            DKL: "dkl = dkl / mu.shape[1]\n    " + DKL,
        },
        "np.mean for np.sum over latents",
        seen="mean",
    ),
    Fault(
        "KL reads logvar as log sigma",
        "pairs/gaussian.py",
        {
            KL: "return (mu * mu + np.expm1(2 * logvar) - 2 * logvar).sum(axis=1) / 2",
            DKL: "return dkl[:, None] * mu, dkl[:, None] * np.expm1(2 * logvar)",
        },
        "sigma or logvar? Asked again and again",
        seen="sigma",
    ),
    Fault(
        "KL of the prior is Z/2",
        "pairs/gaussian.py",
        {KL: KL.replace("expm1", "exp")},
        "the -1 dropped, since it has no gradient",
    ),
    Fault(
        "Bernoulli a mean over pixels",
        "pairs/likelihoods.py",
        {NLL: NLL.replace("sum", "mean"), DLOGITS: DLOGITS + " / x.shape[1]"},
        "KL then weighs 784 times too much: many issue threads",
        seen="mean",
    ),
    Fault(
        "half the cross-entropy",
        "pairs/likelihoods.py",
        {
            NLL: '(x * (activate(logits, "softplus") - logits)).sum(axis=1)',
            DLOGITS: "return dnll[:, None] * (x * (p - 1))",
        },
        "-sum x log p alone, as for classes (erratum E5)",
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
        "model/vae.py",
        {"code.mu, self.posterior.deviations(code)": "code.mu, code.spread"},
        "sigma or logvar? Swapped for the user only",
    ),
    Fault(
        "samples of a uniform z",
        "model/vae.py",
        {"rng.standard_normal((count": "rng.random((count"},
        "np.random.rand for randn",
    ),
    Fault(
        "decode returns logits",
        "pairs/likelihoods.py",
        {'return activate(out, "sigmoid")': "return out"},
        "the sigmoid left to the loss, forgotten by whoever draws",
        tests="test_vae.py",
    ),
)

NUMBERS = (
    Fault(
        "p clipped to [1e-15, 0.999]",
        "pairs/likelihoods.py",
        from_p("np.clip(p, 1e-15, 0.999)", "1 - np.clip(p, 1e-15, 0.999)"),
        "a teaching library, to keep the log finite",
        seen="clip",
    ),
    Fault(
        "log(p + 1e-8)",
        "pairs/likelihoods.py",
        from_p("p + 1e-8", "1 - p + 1e-8"),
        "the usual patch against NaN",
    ),
    Fault(
        "Bernoulli from probabilities",
        "pairs/likelihoods.py",
        from_p("p", "1 - p"),
        "log 0 as soon as the decoder is sure",
    ),
    Fault(
        "sigmoid clipped",
        "pairs/dense.py",
        {
            "return np.where(a.real > 0, 1, e) / (1 + e)": (
                "return np.clip(np.where(a.real > 0, 1, e) / (1 + e), 1e-7, 1 - 1e-7)"
            )
        },
        "a backend's epsilon inside the activation",
    ),
    Fault(
        "sigmoid overflows",
        "pairs/dense.py",
        {
            "np.where(a.real > 0, 1, e) / (1 + e)": "1 / (1 + np.exp(-a))",
        },
        "the textbook's formula, warning at a = -800",
    ),
    Fault(
        "softplus overflows",
        "pairs/dense.py",
        {
            "return np.where(a.real > 0, a, 0) + np.log1p(exp_minus_abs(a))": (
                "return np.log1p(np.exp(a))"
            )
        },
        "inf from a = 710, from 89 in float32",
    ),
    Fault(
        "log(1 + e) for log1p",
        "pairs/dense.py",
        {"np.log1p(exp_minus_abs(a))": "np.log(1 + exp_minus_abs(a))"},
        "0 where 4e-18 was meant",
    ),
    Fault(
        "1 - exp for expm1 in softplus",
        "pairs/dense.py",
        {"return -np.expm1(-y)": "return 1 - np.exp(-y)"},
        "a slope of 0 where 4e-18 was meant",
    ),
    Fault(
        "exp - 1 for expm1 in the KL",
        "pairs/gaussian.py",
        {KL: KL.replace("np.expm1(logvar)", "np.exp(logvar) - 1")},
        "no digits left near the prior",
    ),
    Fault(
        "relu swallows NaN",
        "pairs/dense.py",
        {"np.where(a.real <= 0, 0, a)": "np.where(a.real > 0, a, 0)"},
        "a diverged run goes on as if nothing were",
    ),
    Fault(
        "relu slope in float64",
        "pairs/dense.py",
        {"(y.real > 0).astype(y.dtype)": "(y.real > 0).astype(float)"},
        "a mask cast with the default dtype doubles the work behind it",
    ),
    Fault(
        "KL times a float64 scalar",
        "pairs/gaussian.py",
        {KL: KL.replace("/ 2", "* np.float64(0.5)")},
        "NumPy 2: a float64 scalar upcasts a float32 array",
    ),
    Fault(
        "sum of recon in float32",
        "model/vae.py",
        {"self.recon.sum(dtype=np.float64)": "self.recon.sum()"},
        "a test set's mean with 7 digits at most",
    ),
    Fault(
        "work array of another dtype",
        "model/workspace.py",
        {" or array.dtype != dtype": ""},
        "a buffer looked up by name and size alone",
    ),
    Fault(
        "divergence test misses NaN",
        "training/trainer.py",
        {
            f"if not math.isfinite(recon + kl):{RAISE}": (
                f"if abs(recon + kl) == math.inf:{RAISE}"
            )
        },
        "NaN is not infinite",
    ),
    Fault(
        "divergence told after the update",
        "training/trainer.py",
        {
            f"{GUARD}\n{UPDATE}": f"{UPDATE}\n{GUARD}",
        },
        "the parameters are NaN by the time anyone looks",
    ),
)
