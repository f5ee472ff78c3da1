"""Faults of the posterior "flow" and of the priors "mixture", "vamp" and "deep"."""

from .fault import Fault

FLOW = (
    Fault(
        "a step's log|det| with the wrong sign",
        "pairs/flow.py",
        {"log_q = log_q - step.logdet": "log_q = log_q + step.logdet"},
        "the inverse's determinant taken for the step's own",
    ),
    Fault(
        "an entry of a step sees itself",
        "pairs/flow.py",
        {
            "M = np.zeros_like(entries, shape=(latent, latent))": "M = np.eye(latent, "
            "dtype=entries.dtype)"
        },
        "a mask with its diagonal: the slopes fit, g is the Jacobian's no more",
    ),
    Fault(
        "the gate's two halves exchanged",
        "pairs/flow.py",
        {"return m + g * (z - m)": "return z + g * (m - z)"},
        "1 - g before z, in one of two places",
    ),
    Fault(
        "dlog|det| past the gate's slope",
        "pairs/flow.py",
        {
            "(dnext * (z - m) * g + dlogdet[:, None]) * (1 - g)": "dnext * (z - m) * g "
            "* (1 - g) + dlogdet[:, None]"
        },
        "d log g / dv is 1 - g, not 1",
    ),
    Fault(
        "dz without the gate's way",
        "pairs/flow.py",
        {" + dgate @ G.T": ""},
        "of three ways from z to z' the longest is forgotten",
    ),
    Fault(
        "dM of a reversed step not turned back",
        "pairs/flow.py",
        {
            "triangle_backward(dsquare.T if k % 2 else dsquare)": "triangle_backward("
            "dsquare)"
        },
        "the order is reversed in forward and forgotten in backward",
        tests="test_posteriors.py",
    ),
    Fault(
        "a step's contexts exchanged in backward",
        "pairs/flow.py",
        {"dcontexts[2 * k + 1][...] = da, dc": "dcontexts[2 * k + 1][...] = dc, da"},
        "two arrays of one shape",
        tests="test_posteriors.py",
    ),
    Fault(
        "sigma points at one deviation",
        "pairs/flow.py",
        {"np.sqrt(self.latent) * np.eye(self.latent)": "np.eye(self.latent)"},
        "2 Z points, but Z axes: each is looked at by two of them",
    ),
)

MIXTURE = (
    Fault(
        "dlogits without the softmax's share",
        "pairs/mixture.py",
        {"np.exp(log_softmax(logits)) * dnll.sum() - w.sum(axis=0)": "-w.sum(axis=0)"},
        "the responsibilities alone: the weights need not add up to one",
    ),
    Fault(
        "responsibilities that don't add up to one",
        "pairs/mixture.py",
        {"shares / total[:, None]": "shares"},
        "shares of the largest, not of the sum",
    ),
    Fault(
        "moments without the spread of the means",
        "pairs/mixture.py",
        {"np.exp(self.logvar) + off * off": "np.exp(self.logvar)"},
        "the mean of the variances taken for the variance",
    ),
    Fault(
        "1/K missing in vamp",
        "pairs/mixture.py",
        {"return nll, (u, hs": "return nll - np.log(COMPONENTS), (u, hs"},
        "a sum over pseudo-images in place of their mean: no slope shows it",
    ),
    Fault(
        "the encoder's second gradient dropped",
        "pairs/mixture.py",
        {"return dz, apart.grads": "return dz, NONE"},
        "used twice, trained by one of the two",
    ),
    Fault(
        "the encoder's second gradient in place of the first",
        "model/vae.py",
        {"work.grads[name][...] += grad": "work.grads[name][...] = grad"},
        "backward overwrites everywhere else",
        tests="test_mixture.py",
    ),
    Fault(
        "both of the encoder's passes in the same arrays",
        "pairs/mixture.py",
        {'self.arrays[f"apart: {name}", shape': "self.arrays[name, shape"},
        "the pseudo-images' hidden units stand where the images' were",
    ),
    Fault(
        "pseudo-images without the sigmoid's slope",
        "pairs/mixture.py",
        {"da[...] = sigmoid_backward(du, a, u)": "da[...] = du"},
        "what the encoder gives is the gradient of u, what is learned is a",
    ),
)

FILE = "pairs/deep.py"
DEEP = (
    Fault(
        "a code's way into its own mean lost",
        FILE,
        {"return dz - dmean, NONE": "return dz, NONE"},
        "z meets m in one more place than the encoder",
    ),
    Fault(
        "a code pulled away from its mean",
        FILE,
        {"return dz - dmean, NONE": "return dz + dmean, NONE"},
        "the sign of z - m",
    ),
    Fault(
        "log q(u|z) with the wrong sign",
        FILE,
        {
            "nll + self.family.log_prob(code, eps)": (
                "nll - self.family.log_prob(code, eps)"
            ),
            "self.family.backward(du, dnll,": "self.family.backward(du, -dnll,",
        },
        "the slopes fit; it is no bound on -log p(z) any more",
    ),
    Fault(
        "p(u) forgotten",
        FILE,
        {
            " + standard_normal_forward(code.z)": "",
            "du = du + standard_normal_backward(dnll, code.z)": "du = du + 0",
        },
        "a second layer that may lie anywhere",
    ),
    Fault(
        "codes drawn without their noise",
        FILE,
        {
            "mean + np.exp(logvar / 2) * rng.standard_normal((count, self.latent))": (
                "mean"
            )
        },
        "the mean of p(z|u) in place of a draw",
    ),
    Fault(
        "variance of the means forgotten",
        FILE,
        {"mean.var(axis=0) + np.exp(logvar)": "np.exp(logvar)"},
        "one half of the law of total variance",
    ),
    Fault(
        "mean and log variance exchanged",
        FILE,
        {"np.hstack([dmean, dlogvar])": "np.hstack([dlogvar, dmean])"},
        "two halves of one output",
    ),
)

FAULTS = (*FLOW, *MIXTURE, *DEEP)
