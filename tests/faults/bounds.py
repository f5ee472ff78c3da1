"""Faults of posteriors, likelihoods and bounds: samples, weights, labels, constants."""

from .fault import Fault

ORACLE = "test_combinations.py::test_the_loss_is_what_the_densities_say"
SLOPE = "test_combinations.py::test_the_reference_gradient_is_the_slope"
MEANS = "test_combinations.py::test_decode_gives_the_pixel_means"
MOMENTS = "test_combinations.py::test_encode_gives_the_posteriors_mean_and_deviations"
LABELS = "test_active_pixels.py::test_labels_come_behind_the_pixels"
CLOSED = 'if objective.kl == "closed":\n            '
CB = "nll = (positive + np.log(share) - x * logits).sum(axis=1)"

SAMPLES = (
    Fault(
        "1/K not differentiated",
        "pairs/objectives.py",
        {"dloss[:, None] / samples": "dloss[:, None]"},
        "a mean over samples printed, their sum differentiated",
        seen="mean",
        tests=SLOPE,
    ),
    Fault(
        "ELBO a sum over samples",
        "pairs/objectives.py",
        {
            "(recon + beta * kl).sum(axis=1) / recon.shape[1]": (
                "(recon + beta * kl).sum(axis=1)"
            ),
            "dloss[:, None] / samples": "dloss[:, None]",
        },
        "K times the loss, K times the gradient: Adam hides it",
        seen="mean",
        tests=ORACLE,
    ),
    Fault(
        "IWAE weighs all samples alike",
        "pairs/objectives.py",
        {
            "drecon = dloss[:, None] * shares": (
                "drecon = dloss[:, None] / shares.shape[1] + 0 * shares"
            )
        },
        "the ELBO's gradient below the tighter bound",
        tests=SLOPE,
    ),
    Fault(
        "shares not normalised",
        "pairs/objectives.py",
        {"weights / total[:, None]": "weights"},
        "exp without its sum: the softmax left unfinished",
        tests=SLOPE,
    ),
    Fault(
        "log K missing from the bound",
        "pairs/objectives.py",
        {"log(recon.shape[1])": "log(1)"},
        "a constant without a gradient",
        tests=ORACLE,
    ),
    Fault(
        "IWAE a mean of logs",
        "pairs/objectives.py",
        {
            " - np.log(total) - peak[:, 0]": " * 0 - logs.mean(axis=1)",
            "weights / total[:, None]": "0 * weights + 1 / weights.shape[1]",
        },
        "the ELBO once more, under another name",
        tests=ORACLE,
    ),
    Fault(
        "importance weights underflow",
        "pairs/objectives.py",
        {"peak = logs.real.max(axis=1)[:, None]": "peak = np.zeros((len(logs), 1))"},
        "exp(-100) is 0 in float32, and its log no number",
        tests="test_combinations.py::test_an_unlikely_image_has_a_finite_bound",
    ),
    Fault(
        "codes sample by sample",
        "model/vae.py",
        {"np.repeat(hs[-1].y, K, axis=0)": "np.tile(hs[-1].y, (K, 1))"},
        "K copies of the batch, where eps and images go image by image",
        tests=ORACLE,
    ),
    Fault(
        "dh gathered sample by sample",
        "model/vae.py",
        {
            "dh.reshape(B, -1, dh.shape[1]).sum(axis=1)": (
                "dh.reshape(-1, B, dh.shape[1]).sum(axis=0)"
            ),
        },
        "the right shape, from samples of many images",
        tests=SLOPE,
    ),
    Fault(
        "dh of the first sample",
        "model/vae.py",
        {"dh.shape[1]).sum(axis=1)": "dh.shape[1])[:, 0]"},
        "K = 1 hides it",
        tests=SLOPE,
    ),
    Fault(
        "dh a mean over samples",
        "model/vae.py",
        {"dh.shape[1]).sum(axis=1)": "dh.shape[1]).mean(axis=1)"},
        "1/K taken twice for the encoder",
        tests=SLOPE,
    ),
    Fault(
        "closed KL where the sampled one is asked for",
        "model/vae.py",
        {
            "self.rates[objective.kl].forward": 'self.rates["closed"].forward',
            "self.rates[objective.kl].backward": 'self.rates["closed"].backward',
        },
        "the same in expectation; an importance weight it is not",
        tests=ORACLE,
    ),
    Fault(
        "sampled KL never reaches z",
        "model/vae.py",
        {"backward(dz + rate.dz, rate": "backward(dz, rate"},
        "log p(z) taken for a constant",
        tests=SLOPE,
    ),
    Fault(
        "sampled KL never reaches the spread",
        "model/vae.py",
        {"rate.dz, rate.dlog, code": "rate.dz, None, code"},
        "nothing keeps sigma from 0",
        tests=SLOPE,
    ),
    Fault(
        "printed sums count every sample",
        "training/trainer.py",
        {
            'forward.terms["recon"].sum(dtype=np.float64)) / K': (
                'forward.terms["recon"].sum(dtype=np.float64))'
            ),
        },
        "K times the nats in the log only",
        seen="mean",
        tests="test_settings.py",
    ),
    Fault(
        "repeated lists sample by sample",
        "kernels/active_pixels.py",
        {"np.repeat(x.starts[:-1], count)": "np.tile(x.starts[:-1], count)"},
        "the order of np.tile, with the sizes of np.repeat",
    ),
    Fault(
        "a list's rows begin where the batch's do",
        "kernels/active_pixels.py",
        {"starts - starts[0], x.width": "starts, x.width"},
        "right for the first image",
    ),
)

POSTERIORS = (
    Fault(
        "log det with the wrong sign",
        "pairs/posteriors.py",
        {
            ("normal_log_prob(eps) - code.s[:, self.latent :].sum(axis=1) / 2"): (
                "normal_log_prob(eps) + code.s[:, self.latent :].sum(axis=1) / 2"
            ),
            "-= dlog[:, None] / 2": "+= dlog[:, None] / 2",
        },
        "dz/deps or deps/dz? The gradients agree",
        tests=ORACLE,
    ),
    Fault(
        "log q without its square",
        "pairs/posteriors.py",
        {
            ("return -((eps * eps).sum(axis=1) + eps.shape[1] * LOG_2PI) / 2"): (
                "return np.full_like(eps, -eps.shape[1] * LOG_2PI / 2, shape=len(eps))"
            )
        },
        "eps has no gradient; Z/2 nats too much",
        tests=ORACLE,
    ),
    Fault(
        "log det of sigma squared",
        "pairs/posteriors.py",
        {
            "code.s[:, self.latent :].sum(axis=1) / 2": (
                "code.s[:, self.latent :].sum(axis=1)"
            ),
            "-= dlog[:, None] / 2": "-= dlog[:, None]",
        },
        "the covariance's determinant for its root's",
        tests=ORACLE,
    ),
    Fault(
        "log det of all entries",
        "pairs/posteriors.py",
        {
            "code.s[:, self.latent : 2 * self.latent].sum(1)": (
                "code.s[:, self.latent :].sum(1)"
            ),
        },
        "what lies below the diagonal has no part in it",
        tests=ORACLE,
    ),
    Fault(
        "Cholesky diagonal without exp",
        "pairs/posteriors.py",
        {
            "np.exp(entries[:, :Z])": "entries[:, :Z]",
            "dL[:, i, i] * L[:, i, i]": "dL[:, i, i]",
        },
        "a negative scale, and the log of it",
        tests=ORACLE,
    ),
    Fault(
        "Cholesky diagonal differentiated to 1",
        "pairs/posteriors.py",
        {"dL[:, i, i] * L[:, i, i]": "dL[:, i, i]"},
        "exp's own derivative forgotten",
        tests=SLOPE,
    ),
    Fault(
        "covariance L^T L",
        "pairs/posteriors.py",
        {
            "(L @ eps[:, :, None])[:, :, 0]": "(eps[:, None, :] @ L)[:, 0]",
            "dz[:, :, None] * eps[:, None, :]": "eps[:, :, None] * dz[:, None, :]",
        },
        "as good a covariance, with the same KL: but not the one that is told",
        tests=ORACLE,
    ),
    Fault(
        "L transposed backward",
        "pairs/posteriors.py",
        {"dz[:, :, None] * eps[:, None, :]": "eps[:, :, None] * dz[:, None, :]"},
        "an outer product the wrong way round",
        tests=SLOPE,
    ),
    Fault(
        "full KL with log det of the covariance",
        "pairs/kl.py",
        {"squares / 2 - np.log(": "squares / 2 - 2 * np.log("},
        "the half lost on one term",
        tests=SLOPE,
    ),
    Fault(
        "full KL of the prior is Z/2",
        "pairs/kl.py",
        {"(L * L).sum(axis=(1, 2)) - mu.shape[1]": "(L * L).sum(axis=(1, 2))"},
        "the -Z dropped, since it has no gradient",
        tests=ORACLE,
    ),
    Fault(
        "deviations are the diagonal of L",
        "pairs/posteriors.py",
        {"np.sqrt((L * L).sum(axis=2))": "np.diagonal(L, axis1=1, axis2=2)"},
        "right for the first latent",
        tests=MOMENTS,
    ),
    Fault(
        "deviations of columns",
        "pairs/posteriors.py",
        {"np.sqrt((L * L).sum(axis=2))": "np.sqrt((L * L).sum(axis=1))"},
        "L^T L once more",
        tests=MOMENTS,
    ),
    Fault(
        "shared variance's gradient a mean",
        "pairs/posteriors.py",
        {"ds[:, self.latent :].sum(axis=0)": "ds[:, self.latent :].mean(axis=0)"},
        "1/B taken a second time, for what all images share",
        tests=SLOPE,
    ),
    Fault(
        "fixed variance 1/2",
        "pairs/posteriors.py",
        {"math.log(0.25)": "math.log(0.5)"},
        "sigma or sigma squared? The gradients agree",
        seen="sigma",
        tests=ORACLE,
    ),
)

LIKELIHOODS = (
    Fault(
        "one pixel's log sigma",
        "pairs/likelihoods.py",
        {
            "+ x.shape[1] * (logvar + LOG_2PI)": "+ (logvar + LOG_2PI)",
            "dnll * (x.shape[1] - squares": "dnll * (1 - squares",
        },
        "D forgotten: sigma shrinks, and the loss knows no bound",
        tests=ORACLE,
    ),
    Fault(
        "squared error without log 2 pi",
        "pairs/likelihoods.py",
        {"x.shape[1] * (logvar + LOG_2PI)": "x.shape[1] * logvar"},
        "784 times 0.92 nats: no number of ours would compare with anyone's",
        tests=ORACLE,
    ),
    Fault(
        "D forgotten in dlogvar",
        "pairs/likelihoods.py",
        {"dnll * (x.shape[1] - squares": "dnll * (1 - squares"},
        "one pixel's derivative for the image's",
        tests=SLOPE,
    ),
    Fault(
        "learned sigma accumulated",
        "pairs/likelihoods.py",
        {
            (
                '        dmean, work.grads["likelihood.logvar"][...] = '
                "isotropic_backward(\n"
                "            dnll, out, logvar, x\n"
                "        )\n"
            ): (
                "        dmean, dlogvar = isotropic_backward(dnll, out, "
                "logvar, x)\n"
                '        work.grads["likelihood.logvar"][...] += dlogvar\n'
            )
        },
        "an autograd's habit, and nobody calls zero_grad",
        tests="test_combinations.py::test_gradients_of_shards_add_up",
    ),
    Fault(
        "learned sigma never trained",
        "pairs/likelihoods.py",
        {
            (
                '        dmean, work.grads["likelihood.logvar"][...] = '
                "isotropic_backward(\n"
                "            dnll, out, logvar, x\n"
                "        )\n"
            ): (
                "        dmean, _ = isotropic_backward(dnll, out, logvar, x)\n"
                '        work.grads["likelihood.logvar"][...] = 0\n'
            )
        },
        "a parameter nobody registered",
        tests=SLOPE,
    ),
    Fault(
        "Bernoulli for the continuous one",
        "pairs/likelihoods.py",
        {
            "nll = (log_integral - x * logits).sum(axis=1)": (
                "nll = (softplus_forward(logits) - x * logits).sum(axis=1)"
            ),
            "return nll, continuous_bernoulli_mean(logits)": (
                "return nll, sigmoid_forward(logits)"
            ),
            ("from .activations import exp_minus_abs, sigmoid_forward"): (
                "from .activations import exp_minus_abs, sigmoid_forward, "
                "softplus_forward"
            ),
        },
        "its constant left out, as in most VAE code for grey images",
        tests=ORACLE,
    ),
    Fault(
        "sigmoid for the continuous mean",
        "pairs/likelihoods.py",
        {"return continuous_bernoulli_mean(out)": 'return activate(out, "sigmoid")'},
        "what is drawn is darker and brighter than what was learned",
        tests=MEANS,
    ),
    Fault(
        "continuous mean without its series",
        "pairs/likelihoods.py",
        {
            (
                '"""The mean 1 / (1 - exp(-l)) - 1 / l, by its series near '
                '0 (Eq. 11.11)."""\n'
                "    t = logits / 2\n"
                "    small = np.abs(t.real) < 1 / 4"
            ): "t = logits / 2\n    small = np.abs(t.real) < 1e-15"
        },
        "1/l minus 1/l: no digits left at grey",
        tests="test_combinations.py::test_a_faint_logit_keeps_its_digits",
    ),
    Fault(
        "log sigma drawn for the mean",
        "pairs/likelihoods.py",
        {"return out[:, ::2]": "return out[:, 1::2]"},
        "two interleaved columns, for the user only",
        tests=MEANS,
    ),
)

GIVEN = (
    Fault(
        "labels of samples tiled",
        "model/vae.py",
        {"one_hot(np.repeat(labels, K)": "one_hot(np.tile(labels, K)"},
        "K copies of the batch's labels, where codes go image by image",
        tests=ORACLE,
    ),
    Fault(
        "decoder never sees the label",
        "model/vae.py",
        {"K), self.classes, z.dtype)])": "K), self.classes, z.dtype) * 0])"},
        "a conditional encoder alone: samples ignore what is asked for",
        tests=ORACLE,
    ),
    Fault(
        "label before the code",
        "model/vae.py",
        {
            (
                "z = np.hstack([z, one_hot(np.repeat(labels, K), "
                "self.classes, z.dtype)])"
            ): (
                "z = np.hstack([one_hot(np.repeat(labels, K), "
                "self.classes, z.dtype), z])"
            )
        },
        "dz cut from the wrong end",
        tests=SLOPE,
    ),
    Fault(
        "label drawn before the code",
        "model/vae.py",
        {
            "np.hstack([z, one_hot(labels, self.classes, z.dtype)])": (
                "np.hstack([one_hot(labels, self.classes, z.dtype), z])"
            )
        },
        "trained one way, drawn another",
        tests="test_combinations.py::test_labels_decide_what_is_drawn",
    ),
    Fault(
        "labels as numbers",
        "kernels/active_pixels.py",
        {
            "np.eye(classes, dtype=dtype)[labels]": (
                "np.repeat(labels[:, None] / classes, classes, axis=1).astype(dtype)"
            )
        },
        "seven is not more than one",
        tests=LABELS,
    ),
    Fault(
        "a listed label is a pixel",
        "kernels/active_pixels.py",
        {"x.width + labels": "labels"},
        "the first ten pixels of MNIST are black, which hides it",
        tests=LABELS,
    ),
    Fault(
        "labels in the next image's list",
        "kernels/active_pixels.py",
        {
            "columns = np.insert(x.columns, ends,": (
                "columns = np.insert(x.columns, np.append(ends[1:], ends[-1:]),"
            )
        },
        "off by one in a list's ends",
        tests=LABELS,
    ),
    Fault(
        "encoder sees the clean image",
        "model/vae.py",
        {"seen = x if seen is None else seen": "seen = x"},
        "nothing to restore",
        tests="test_combinations.py::"
        "test_the_encoder_sees_the_corrupted_image_the_loss_the_clean_one",
    ),
)

FAULTS = SAMPLES + POSTERIORS + LIKELIHOODS + GIVEN
