"""Faults of the optimizers, reference and compiled: no gradient check looks at them."""

from .fault import Fault

STEPS = "test_optimizers.py::test_several_steps_are_the_oracle"
HAND = "test_optimizers.py::test_two_steps_by_hand"
V = "v[...] = beta2 * v + (1 - beta2) * grad * grad"
SCALES = "lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)"

REFERENCE = (
    Fault(
        "no bias correction of m",
        "pairs/optimizers.py",
        {"m_hat = m / (1 - beta1**step)": "m_hat = m"},
        "the two hats left out",
    ),
    Fault(
        "no bias correction of v",
        "pairs/optimizers.py",
        {"v_hat = v / (1 - beta2**step)": "v_hat = v"},
        "the first steps are 30 times too long",
    ),
    Fault(
        "v corrected with beta1",
        "pairs/optimizers.py",
        {"(1 - beta2**step)": "(1 - beta1**step)"},
        "a line copied, one name not changed",
    ),
    Fault(
        "betas swapped",
        "training/optimizers.py",
        {
            ("self.lr, self.beta1, self.beta2, self.eps = lr, beta1,"): (
                "self.lr, self.beta2, self.beta1, self.eps = lr, beta1,"
            )
        },
        "positional arguments",
        tests="test_optimizers.py",
    ),
    Fault(
        "step never counted",
        "training/optimizers.py",
        {"self.step += 1": "self.step = 1"},
        "t passed as 1 at every step",
        tests="test_optimizers.py",
    ),
    Fault(
        "step counted from 0",
        "training/optimizers.py",
        {"self.step = 0": "self.step = -1"},
        "range(steps) as t: 0/0 in the first step",
        tests="test_optimizers.py",
    ),
    Fault(
        "step counted from 2",
        "training/optimizers.py",
        {"self.step = 0": "self.step = 1"},
        "advanced once before the loop",
        tests="test_optimizers.py",
    ),
    Fault(
        "eps inside the root",
        "pairs/optimizers.py",
        {"(np.sqrt(v_hat) + eps)": "np.sqrt(v_hat + eps)"},
        "as in some implementations of RMSProp",
    ),
    Fault(
        "v made from m",
        "pairs/optimizers.py",
        {V: V.replace("beta2 * v", "beta2 * m")},
        "a line copied from the one above",
    ),
    Fault(
        "gradient not squared",
        "pairs/optimizers.py",
        {V: "v[...] = beta2 * v + (1 - beta2) * abs(grad)"},
        "v is a first moment, too",
    ),
    Fault(
        "m for v",
        "training/optimizers.py",
        {"self.m[part], self.v[part]": "self.m[part], self.m[part]"},
        "the same array handed over twice",
        tests="test_optimizers.py",
    ),
    Fault(
        "momentum forgotten",
        "pairs/optimizers.py",
        {"m[...] = beta1": "m = beta1"},
        "a name rebound instead of an array filled",
    ),
    Fault(
        "update lost",
        "pairs/optimizers.py",
        {
            "params -= lr * m_hat / (np.sqrt(v_hat) + eps)": (
                "params = params - lr * m_hat / (np.sqrt(v_hat) + eps)"
            )
        },
        "a new array that nobody keeps",
    ),
    Fault(
        "ascent",
        "pairs/optimizers.py",
        {"params -= lr * m_hat": "params += lr * m_hat"},
        "the ELBO's gradient or the loss's?",
    ),
    Fault(
        "first shard only",
        "pairs/optimizers.py",
        {"grad = grads.sum(axis=0)": "grad = grads[0]"},
        "half of the batch is computed for nothing",
    ),
    Fault(
        "mean over shards",
        "pairs/optimizers.py",
        {"grad = grads.sum(axis=0)": "grad = grads.mean(axis=0)"},
        "data-parallel habits; Adam hides it almost",
    ),
    Fault(
        "SGD takes the mean over shards",
        "pairs/optimizers.py",
        {"params -= lr * grads.sum(axis=0)": "params -= lr * grads.mean(axis=0)"},
        "half the learning rate",
    ),
    Fault(
        "beta2 0.99",
        "training/optimizers.py",
        {"beta2: float = 0.999,": "beta2: float = 0.99,"},
        "a default mistyped",
        tests="test_trainer.py",
    ),
)

COMPILED = (
    Fault(
        "compiled Adam forgets the last shard",
        "kernels/dense.py",
        {"range(1, grads.shape[0])": "range(1, grads.shape[0] - 1)"},
        "off by one; a single shard hides it",
        tests=STEPS,
    ),
    Fault(
        "one parameter in 1024 stays",
        "kernels/dense.py",
        {"min(start + 1024, size)": "min(start + 1023, size)"},
        "a block's last element; small models hide it",
        tests=STEPS,
    ),
    Fault(
        "last short block stays",
        "kernels/dense.py",
        {"range(0, size, 1024)": "range(0, size - 1023, 1024)"},
        "whole blocks only",
        tests=STEPS,
    ),
    Fault(
        "v's correction without its root",
        "kernels/dense.py",
        {SCALES: SCALES.replace("math.sqrt(1 - beta2**step)", "(1 - beta2**step)")},
        "the correction moved behind the square root, but not through it",
        tests=HAND,
    ),
    Fault(
        "no bias correction, compiled",
        "kernels/dense.py",
        {SCALES: "lr, 1.0"},
        "'it only matters in the first steps'",
        tests=HAND,
    ),
    Fault(
        "compiled eps inside the root",
        "kernels/dense.py",
        {
            "(math.sqrt(v[i]) * scale2 + eps)": (
                "math.sqrt(v[i] * scale2 * scale2 + eps)"
            )
        },
        "one root saved",
        tests=STEPS,
    ),
    Fault(
        "compiled v made from m",
        "kernels/dense.py",
        {"second = beta2 * v[i]": "second = beta2 * m[i] * m[i]"},
        "a line copied from the one above",
        tests=STEPS,
    ),
    Fault(
        "eps scaled with v",
        "kernels/dense.py",
        {
            "(math.sqrt(v[i]) * scale2 + eps)": "((math.sqrt(v[i]) + eps) * scale2)",
        },
        "the form of Kingma & Ba's last paragraph, with the eps of the first",
        tests=STEPS,
    ),
    Fault(
        "compiled SGD forgets a shard",
        "kernels/dense.py",
        {"for grad in grads:": "for grad in grads[:1]:"},
        "a single shard hides it",
        tests=STEPS,
    ),
)

FAULTS = REFERENCE + COMPILED
