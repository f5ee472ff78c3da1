"""Faults of parts that came later: activations, the discretized logistic."""

from .fault import Fault

FAULTS = (
    Fault(
        "gelu slope from the output",
        "pairs/activations.py",
        {"    g = _gate(a)\n": "    g = _gate(y)\n"},
        "every other activation reads its slope off y; a layer that drops a saves room",
    ),
    Fault(
        "gelu in its quick form",
        "pairs/activations.py",
        {
            "return sigmoid_forward(2 * ROOT * (a + CUBIC * a * a * a))": "return "
            "sigmoid_forward(1.702 * a)",
            "(2 * ROOT) * (1 + 3 * CUBIC * a * a)": "1.702",
        },
        "Hendrycks and Gimpel's other form; it is off by forty times as much",
    ),
    Fault(
        "elu by exp",
        "pairs/activations.py",
        {
            "np.expm1(np.where(a.real > 0, 0, a))": "np.exp("
            "np.where(a.real > 0, 0, a)) - 1"
        },
        "as the paper writes it; the digits of a small a cancel",
    ),
    Fault(
        "leaky slope squared",
        "pairs/activations.py",
        {"np.where(y.real > 0, dy, LEAK * dy)": "dy * leaky_relu_forward(LEAK * y)"},
        "the function applied once more in place of its slope",
    ),
    Fault(
        "half a level lost",
        "pairs/discretized_logistic.py",
        {"(levels - 0.5) * width": "levels * width"},
        "the bin reaches from the level to half a level above it",
    ),
    Fault(
        "black and white no wider than the others",
        "pairs/discretized_logistic.py",
        {"np.where(x.real >= 1, below, np.where(x.real <= 0, above, inner))": "inner"},
        "what lies beyond them is nobody's, and the probabilities sum to less than 1",
    ),
    Fault(
        "256 steps between 256 levels",
        "pairs/discretized_logistic.py",
        {"WHITE = LEVELS - 1": "WHITE = LEVELS"},
        "a level k divided by the number of levels; white is then one too far",
    ),
    Fault(
        "log s without its share in the width",
        "pairs/discretized_logistic.py",
        {"(b * above - a * below + narrow)": "(b * above - a * below)"},
        "a and b differentiated, the width between them taken for a constant",
    ),
    Fault(
        "the mean of the levels taken for mu",
        "pairs/discretized_logistic.py",
        {
            "return discretized_logistic_mean(out[:, ::2], out[:, 1::2])": "return "
            "out[:, ::2]"
        },
        "as of a Gaussian; but mu may lie beyond black and white",
        tests="test_likelihoods.py",
    ),
    Fault(
        "a difference of two sigmoids",
        "pairs/discretized_logistic.py",
        {
            "inner = below + above - np.log(-np.expm1(-width))": "inner = "
            "-np.log(sigmoid_forward(b) - sigmoid_forward(a))"
        },
        "as it is defined; in a tail it is the logarithm of 0",
    ),
)
