"""Mutants that change nothing a test could see, each with the reason."""

AT_ZERO = "At 0 both branches are 0."
E_IS_1 = "At 0 both branches are 1, since exp(-0) is."
LONGER = "A work array one entry longer; what is used of it is a slice."
ANY_NEGATIVE = "NumPy takes any negative size for the one that is to be found."
SERIES_END = "Below t = 1/4 it changes a mean by less than 5e-16: rounding."
BOTH_GOOD = "Between the two bounds series and quotients agree to rounding."
NOT_USED = "What is put there is computed with, and the result not taken."
SPEED = "How many images are taken at a time changes nothing but the time."
LONGER_VIEW = "A view longer than what is written of it."
SMALLEST = (
    "It is about the smallest normal number alone, which no weight can tell from 0."
)
NEVER_0 = "It is never 0 there."
SYMMETRIC = "A normal number is as often above 0 as below."
LAST_AXIS = "The last of three axes is the third."
TAIL = "Eight rows more go through the tail, one at a time: the same sum."

# (file, the line before the change, the change): the reason
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, a, np.expm1(np.where(a.real > 0, 0, a)))",
        "> -> >=, column 27",
    ): AT_ZERO,
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, a, np.expm1(np.where(a.real > 0, 0, a)))",
        "> -> >=, column 60",
    ): AT_ZERO,
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, a, np.expm1(np.where(a.real > 0, 0, a)))",
        "0 -> 1, column 62",
    ): NOT_USED,
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, a, np.expm1(np.where(a.real > 0, 0, a)))",
        "0 -> 1, column 65",
    ): NOT_USED,
    (
        "pairs/activations.py",
        "return dy * np.where(y.real > 0, 1, y + 1)",
        "> -> >=, column 32",
    ): "At 0 both branches are 1.",
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, a, LEAK * a)",
        "> -> >=, column 27",
    ): AT_ZERO,
    (
        "pairs/activations.py",
        "return np.where(y.real > 0, dy, LEAK * dy)",
        "> -> >=, column 27",
    ): "At the kink either side's slope will do.",
    (
        "pairs/likelihoods.py",
        "near, far = np.where(small, t, 0), np.where(small, 1, logits)",
        "1 -> 2, column 55",
    ): NOT_USED,
    (
        "pairs/likelihoods.py",
        "direct = np.where(far.real > 0, 1, -e) / (1 - e) - 1 / far",
        "> -> >=, column 31",
    ): NEVER_0,
    (
        "pairs/posteriors.py",
        "return s[:, : self.latent], np.sqrt((L * L).sum(axis=2))",
        "=2 -> =-1, column 60",
    ): LAST_AXIS,
    ("pairs/posteriors.py", "@dataclass(frozen=True)", "True -> False, column 18"): (
        "Nobody writes to a row of the table."
    ),
    (
        "pairs/deep.py",
        "return mean + np.exp(logvar / 2) * rng.standard_normal((count, self.latent))",
        "+ -> -, column 20",
    ): SYMMETRIC,
    (
        "pairs/reference.py",
        "for array, part in zip(outs, parts, strict=True):",
        "True -> False, column 47",
    ): "There are as many of each.",
    ("pairs/mixture.py", "COMPONENTS = 50  # K", "50 -> 51, column 13"): (
        "Any number of components makes a mixture."
    ),
    (
        "pairs/mixture.py",
        "squares = (off * off * np.exp(-logvar)).sum(axis=2)",
        "=2 -> =-1, column 52",
    ): LAST_AXIS,
    (
        "pairs/mixture.py",
        "return self.mu[k] + sigma * rng.standard_normal(sigma.shape)",
        "+ -> -, column 26",
    ): SYMMETRIC,
    (
        "pairs/mixture.py",
        "for name, grad in zip(self.shapes(), grads, strict=True):",
        "True -> False, column 59",
    ): "There are three of each.",
    (
        "pairs/activations.py",
        "return np.where(a.real <= 0, 0, a)",
        "<= -> <, column 27",
    ): AT_ZERO,
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, 1, e) / (1 + e)",
        "> -> >=, column 27",
    ): E_IS_1,
    (
        "pairs/activations.py",
        "return np.where(a.real > 0, a, 0) + np.log1p(exp_minus_abs(a))",
        "> -> >=, column 27",
    ): AT_ZERO,
    (
        "pairs/activations.py",
        "return np.exp(np.where(a.real > 0, -a, a))",
        "> -> >=, column 34",
    ): AT_ZERO,
    (
        "pairs/conv.py",
        "W[i, j] = x[met].reshape(-1, C).T @ y.reshape(-1, M)",
        "1 -> 2, column 34",
    ): ANY_NEGATIVE,
    (
        "pairs/conv.py",
        "W[i, j] = x[met].reshape(-1, C).T @ y.reshape(-1, M)",
        "1 -> 2, column 55",
    ): ANY_NEGATIVE,
    ("pairs/posteriors.py", "Z = L.shape[1]", "1 -> 2, column 16"): "L is square.",
    (
        "kernels/dense.py",
        "m[i] = zero if abs(first) < faded else first  # a NaN stays a NaN",
        "< -> <=, column 34",
    ): SMALLEST,
    (
        "kernels/dense.py",
        "v[i] = zero if second < tiny else second",
        "< -> <=, column 30",
    ): SMALLEST,
    (
        "kernels/conv.py",
        "ENTRIES = 1 << 18  # of a part's windows: 1 MB, half an L2 cache",
        "1 -> 2, column 10",
    ): SPEED,
    (
        "kernels/conv.py",
        "ENTRIES = 1 << 18  # of a part's windows: 1 MB, half an L2 cache",
        "18 -> 19, column 15",
    ): SPEED,
    (
        "kernels/conv.py",
        "pixels = frame.reshape(frame.shape[0], frame.shape[1], -1)",
        "1 -> 2, column 60",
    ): ANY_NEGATIVE,
    (
        "kernels/conv.py",
        "row = windows[n, h, v, i * run : (i + 1) * run]",
        "1 -> 2, column 58",
    ): LONGER_VIEW,
    (
        "kernels/conv.py",
        "n = max(1, min(B, ENTRIES // (height * width * L)))",
        "1 -> 2, column 12",
    ): SPEED,
    (
        "kernels/conv.py",
        "return a.reshape(-1, a.shape[-1])",
        "1 -> 2, column 22",
    ): ANY_NEGATIVE,
    (
        "model/layers.py",
        "for n, m in zip(self.image[:2], self.maps[:2], strict=True)",
        "True -> False, column 66",
    ): "Both have two entries.",
    ("pairs/likelihoods.py", "2 / 93555,", "93555 -> 93556, column 8"): SERIES_END,
    (
        "pairs/likelihoods.py",
        "-1382 / 638512875,",
        "1382 -> 1383, column 5",
    ): SERIES_END,
    (
        "pairs/likelihoods.py",
        "-1382 / 638512875,",
        "638512875 -> 638512876, column 12",
    ): SERIES_END,
    ("pairs/likelihoods.py", "4 / 18243225,", "4 -> 5, column 4"): SERIES_END,
    (
        "pairs/likelihoods.py",
        "4 / 18243225,",
        "18243225 -> 18243226, column 8",
    ): SERIES_END,
    (
        "pairs/likelihoods.py",
        "direct = np.where(far.real > 0, far, 0) + np.log(-np.expm1(-size) / size)",
        "> -> >=, column 31",
    ): NEVER_0,
    (
        "pairs/likelihoods.py",
        "size = np.where(far.real > 0, far, -far)",
        "> -> >=, column 29",
    ): NEVER_0,
    (
        "pairs/likelihoods.py",
        "small = np.abs(t.real) < 1 / 4",
        "< -> <=, column 27",
    ): BOTH_GOOD,
    (
        "pairs/likelihoods.py",
        "small = np.abs(t.real) < 1 / 4",
        "4 -> 5, column 33",
    ): BOTH_GOOD,
    (
        "pairs/likelihoods.py",
        "near, far = np.where(small, t, 0), np.where(small, 1, logits)",
        "0 -> 1, column 35",
    ): NOT_USED,
    (
        "kernels/active_pixels.py",
        "columns = np.empty(bits.size + 1, np.int32)",
        "1 -> 2, column 35",
    ): LONGER,
    (
        "kernels/active_pixels.py",
        "for i in range(starts.shape[0] - 2, -1, -1):",
        "1 -> 2, column 41",
    ): "Image -1 would be from the last start to the first: no pixels.",
    ("kernels/active_pixels.py", "while a + 8 <= stop:", "<= -> <, column 20"): TAIL,
    ("kernels/active_pixels.py", "while a + 8 <= stop:", "8 -> 9, column 18"): TAIL,
    (
        "kernels/dense.py",
        "y[i, k] = zero if a[i, k] <= zero else a[i, k]  # a NaN stays a NaN",
        "<= -> <, column 38",
    ): AT_ZERO,
    (
        "kernels/dense.py",
        "image_starts = np.empty(x.width + 1, np.int32)",
        "1 -> 2, column 42",
    ): "A pixel more, which no image has.",
    (
        "kernels/bernoulli.py",
        "p[i, j] = (one if logit > zero else e) / (one + e)",
        "> -> >=, column 40",
    ): E_IS_1,
    (
        "kernels/dense.py",
        "buffer = np.empty(1024, params.dtype)",
        "1024 -> 1025, column 22",
    ): LONGER,
    (
        "model/vae.py",
        "K, Z = len(eps) // len(x) if len(x) else 1, self.latent",
        "1 -> 2, column 49",
    ): "Of no images every array is empty, whatever K.",
    (
        "model/vae.py",
        "loss, shares = objective.forward(recon.reshape(-1, K), kl.reshape(-1, K))",
        "1 -> 2, column 56",
    ): ANY_NEGATIVE,
    (
        "model/vae.py",
        "loss, shares = objective.forward(recon.reshape(-1, K), kl.reshape(-1, K))",
        "1 -> 2, column 75",
    ): ANY_NEGATIVE,
    (
        "model/vae.py",
        "drecon, dkl = drecon.reshape(-1), dkl.reshape(-1)",
        "1 -> 2, column 38",
    ): ANY_NEGATIVE,
    (
        "model/vae.py",
        "drecon, dkl = drecon.reshape(-1), dkl.reshape(-1)",
        "1 -> 2, column 55",
    ): ANY_NEGATIVE,
    (
        "model/vae.py",
        "dh = dh.reshape(B, -1, dh.shape[1]).sum(axis=1)",
        "1 -> 2, column 32",
    ): ANY_NEGATIVE,
}
