"""Mutants that change nothing a test could see, each with the reason."""

AT_ZERO = "At 0 both branches are 0."
E_IS_1 = "At 0 both branches are 1, since exp(-0) is."
LONGER = "A work array one entry longer; what is used of it is a slice."
TAIL = "Eight rows more go through the tail, one at a time: the same sum."

# (file, the line before the change, the change): the reason
EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("ops.py", "return np.where(a.real <= 0, 0, a)", "<= -> <, column 35"): AT_ZERO,
    (
        "ops.py",
        "return np.where(a.real > 0, 1, e) / (1 + e)",
        "> -> >=, column 35",
    ): E_IS_1,
    (
        "ops.py",
        "return np.where(a.real > 0, a, 0) + np.log1p(exp_minus_abs(a))",
        "> -> >=, column 35",
    ): AT_ZERO,
    (
        "ops.py",
        "return np.exp(np.where(a.real > 0, -a, a))",
        "> -> >=, column 34",
    ): AT_ZERO,
    (
        "pixels.py",
        "columns = np.empty(bits.size + 1, np.int32)",
        "1 -> 2, column 35",
    ): LONGER,
    ("kernels.py", "while a + 8 <= stop:", "<= -> <, column 20"): TAIL,
    ("kernels.py", "while a + 8 <= stop:", "8 -> 9, column 18"): TAIL,
    (
        "kernels.py",
        "y[i, k] = zero if a <= zero else a  # a NaN stays a NaN",
        "<= -> <, column 32",
    ): AT_ZERO,
    (
        "kernels.py",
        "image_starts = np.empty(x.width + 1, np.int32)",
        "1 -> 2, column 42",
    ): "A pixel more, which no image has.",
    (
        "kernels.py",
        "p[i, j] = (one if logit > zero else e) / (one + e)",
        "> -> >=, column 40",
    ): E_IS_1,
    (
        "kernels.py",
        "buffer = np.empty(1024, params.dtype)",
        "1024 -> 1025, column 22",
    ): LONGER,
}
