"""Faults of model, networks and parameters: right pairs, wrongly put together."""

from .fault import Fault

SHARDED = "test_models.py::test_gradients_of_shards_add_up"
SLOPE = "test_models.py::test_gradient_is_the_slope_of_the_loss"
NETWORK = "test_networks.py::test_backward_is_the_slope"
SPACE = "test_models.py::test_a_workspace_gives_the_bits_of_fresh_arrays"
LAYER = "f.dense_backward(dy, x, y, W, self.activation, out=(dx, dW, db))"
FIRST = "f.dense_backward_weights(dy, x, y, self.activation, out=(dW, db))"
ADDED = "dmu, dspread = dmu + dmu_kl, dspread + dspread_kl"

MODEL = (
    Fault(
        "layer gets a stale delta",
        "networks.py",
        {
            "            dy = self.layers[i].backward(": (
                "            dx = self.layers[i].backward("
            ),
            "array, wants_dx\n            )\n": (
                "array, wants_dx\n            )\n"
                "            dy = dx if dx is None or dx.shape != dy.shape else dy\n"
            ),
        },
        "a delta not handed on; only equal widths let it run",
        seen="stale",
    ),
    Fault(
        "hidden layers share a buffer",
        "layers.py",
        {"array(self.name, (len(x), len(b))": "array(str(len(b)), (len(x), len(b))"},
        "buffers by width: the decoder overwrites what the encoder's backward needs",
        seen="stale",
        tests=SPACE,
    ),
    Fault(
        "a layer steps before its delta is taken",
        "layers.py",
        {LAYER: f"{FIRST}\n        W -= 0.01 * dW\n        {LAYER}"},
        "the update inside backward: dx sees the new W",
        seen="early",
        tests="test_networks.py",
    ),
    Fault(
        "activations off by one",
        "networks.py",
        {
            "[activation] * (len(widths) - 2) + [last]": (
                "[last] + [activation] * (len(widths) - 2)"
            )
        },
        "the list built from the wrong end; a single layer hides it",
    ),
    Fault(
        "first layer never trained",
        "layers.py",
        {FIRST: "dW[...], db[...] = 0, 0"},
        "the loop ends at layer 1",
        tests="test_networks.py",
    ),
    Fault(
        "reconstruction never reaches logvar",
        "models.py",
        {ADDED: "dmu, dspread = dmu + dmu_kl, dspread_kl"},
        "sampling taken for the end of the graph",
        seen="logvar",
    ),
    Fault(
        "reconstruction never reaches mu",
        "models.py",
        {ADDED: "dmu, dspread = dmu_kl, dspread + dspread_kl"},
        "= written where += was meant",
    ),
    Fault(
        "KL never reaches mu",
        "models.py",
        {ADDED: "dmu, dspread = dmu, dspread + dspread_kl"},
        "the second gradient overwrites the first",
    ),
    Fault(
        "KL never reaches logvar",
        "models.py",
        {ADDED: "dmu, dspread = dmu + dmu_kl, dspread"},
        "the second gradient overwrites the first",
    ),
    Fault(
        "gradients of mu and logvar swapped",
        "posteriors.py",
        {
            "out[:, : self.latent] = dmu": "out[:, self.latent :] = dmu",
            "out[:, self.latent :] = dspread": "out[:, : self.latent] = dspread",
        },
        "two halves of one array",
        tests=SLOPE,
    ),
    Fault(
        "beta printed, not differentiated",
        "objectives.py",
        {"return drecon, beta * drecon": "return drecon, drecon"},
        "annealing that anneals the log file",
        tests=SLOPE,
    ),
    Fault(
        "a mean printed, a sum differentiated",
        "models.py",
        {"1 / (batch or len(loss))": "1.0"},
        "the learning rate depends on the batch: 6 repositories",
        seen="mean",
    ),
    Fault(
        "a sum printed, a mean differentiated",
        "models.py",
        {"forward.loss.mean()": "forward.loss.sum()"},
        "the same the other way round",
        seen="mean",
    ),
    Fault(
        "shard's mean for the batch's",
        "models.py",
        {"1 / (batch or len(loss))": "1 / max(len(loss), 1)"},
        "right for one shard; two add up to twice the gradient",
        tests=SHARDED,
    ),
    Fault(
        "gradients accumulated",
        "backends.py",
        {"array[...] = result\n": "array[...] += result\n"},
        "the habit of zero_grad, without it",
        tests="test_networks.py",
    ),
    Fault(
        "greys divided by 256",
        "models.py",
        {"x / 255": "x / 256"},
        "white is 0.996",
    ),
    Fault(
        "views copied",
        "params.py",
        {".reshape(shape)\n": ".reshape(shape).copy()\n"},
        "the optimizer trains a vector that no layer sees",
    ),
    Fault(
        "blocks overlap",
        "params.py",
        {"            start = stop\n": "            start = stop - 1\n"},
        "a bias is also the last weight",
    ),
    Fault(
        "fan-out for fan-in",
        "networks.py",
        {"layer.fan_in()": 'layer.shapes()[f"{layer.name}.W"][-1]'},
        "W.shape[1], when the book's W is transposed",
    ),
    Fault(
        "initial values all positive",
        "networks.py",
        {"rng.uniform(-bound, bound,": "rng.uniform(0, bound,"},
        "rand for 2 rand - 1",
    ),
    Fault(
        "all units start alike",
        "networks.py",
        {"rng.uniform(-bound, bound, shape)": "rng.uniform(-bound, bound)"},
        "one number broadcast: the units never part",
    ),
    Fault(
        "work arrays shared by size",
        "workspace.py",
        {
            "self._arrays.get(name)": "self._arrays.get(size)",
            "self._arrays[name] =": "self._arrays[size] =",
        },
        "a pool of buffers that hands one out twice",
    ),
)
