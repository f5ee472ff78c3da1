"""Faults of model, networks and parameters: right pairs, wrongly put together."""

from .fault import Fault

SHARDED = "test_vae.py::test_gradients_of_shards_add_up"
SLOPE = "test_vae.py::test_gradient_is_the_slope_of_the_loss"
NETWORK = "test_networks.py::test_backward_is_the_slope"
SPACE = "test_vae.py::test_a_workspace_gives_the_bits_of_fresh_arrays"
LAYER = "f.dense_backward(dy, x, y, W, self.activation, out=(dx, dW, db))"
FIRST = "f.dense_backward_weights(dy, x, y, self.activation, out=(dW, db))"
ADDED = "dmu, dspread = dmu + dmu_kl, dspread + dspread_kl"

MODEL = (
    Fault(
        "layer gets a stale delta",
        "model/networks.py",
        {
            (
                "            dx = self.layers[i].backward(dx, traces[i], "
                "work, wants_dx)\n"
            ): (
                "            new = self.layers[i].backward(dx, traces[i], "
                "work, wants_dx)\n"
                "            dx = new if new is None or new.shape != "
                "dx.shape else dx\n"
            )
        },
        "a delta not handed on; only equal widths let it run",
        seen="stale",
    ),
    Fault(
        "hidden layers share a buffer",
        "model/layers.py",
        {
            "work.arrays[self.name, (len(x), self.outputs)": (
                "work.arrays[str(self.outputs), (len(x), self.outputs)"
            )
        },
        "buffers by width: the decoder overwrites what the encoder's backward needs",
        seen="stale",
        tests=SPACE,
    ),
    Fault(
        "a layer steps before its delta is taken",
        "model/layers.py",
        {
            ("work.code.dense_backward(da, x, W, out=(dx, dW, db))"): (
                "work.code.dense_backward_weights(da, x, out=(dW, db))\n"
                "        W -= 0.01 * dW\n"
                "        work.code.dense_backward(da, x, W, out=(dx, dW, db))"
            )
        },
        "the update inside backward: dx sees the new W",
        seen="early",
        tests="test_networks.py",
    ),
    Fault(
        "activations off by one",
        "model/networks.py",
        {"[f] * (len(widths) - 2) + [last]": "[last] + [f] * (len(widths) - 2)"},
        "the list built from the wrong end; a single layer hides it",
    ),
    Fault(
        "first layer never trained",
        "model/layers.py",
        {
            (
                "work.code.dense_backward_weights(da, x, out=(dW, db))"
            ): "dW[...], db[...] = 0, 0"
        },
        "the loop ends at layer 1",
        tests="test_networks.py",
    ),
    Fault(
        "reconstruction never reaches logvar",
        "model/vae.py",
        {"ds = ds + rate.ds  # mu": "ds[:, Z:] = 0\n        ds = ds + rate.ds  # mu"},
        "sampling taken for the end of the graph",
        seen="logvar",
    ),
    Fault(
        "reconstruction never reaches mu",
        "model/vae.py",
        {"ds = ds + rate.ds  # mu": "ds[:, :Z] = 0\n        ds = ds + rate.ds  # mu"},
        "= written where += was meant",
    ),
    Fault(
        "KL never reaches mu",
        "model/vae.py",
        {
            "ds = ds + rate.ds  # mu": (
                "if np.ndim(rate.ds):\n"
                "            rate.ds[:, :Z] = 0\n"
                "        ds = ds + rate.ds  # mu"
            )
        },
        "the second gradient overwrites the first",
    ),
    Fault(
        "KL never reaches logvar",
        "model/vae.py",
        {
            "ds = ds + rate.ds  # mu": (
                "if np.ndim(rate.ds):\n"
                "            rate.ds[:, Z:] = 0\n"
                "        ds = ds + rate.ds  # mu"
            )
        },
        "the second gradient overwrites the first",
    ),
    Fault(
        "gradients of mu and logvar swapped",
        "pairs/posteriors.py",
        {
            "ds[:, : self.latent], dsigma = reparameterize": (
                "ds[:, self.latent :], dsigma = reparameterize"
            ),
            "ds[:, self.latent :] = sigma_backward": (
                "ds[:, : self.latent] = sigma_backward"
            ),
        },
        "two halves of one array",
        tests=SLOPE,
    ),
    Fault(
        "beta printed, not differentiated",
        "pairs/objectives.py",
        {"return drecon, beta * drecon": "return drecon, drecon"},
        "annealing that anneals the log file",
        tests=SLOPE,
    ),
    Fault(
        "a mean printed, a sum differentiated",
        "model/vae.py",
        {"1 / (batch or B)": "1.0"},
        "the learning rate depends on the batch: 6 repositories",
        seen="mean",
    ),
    Fault(
        "a sum printed, a mean differentiated",
        "model/vae.py",
        {"forward.loss.mean()": "forward.loss.sum()"},
        "the same the other way round",
        seen="mean",
    ),
    Fault(
        "shard's mean for the batch's",
        "model/vae.py",
        {"1 / (batch or B)": "1 / max(B, 1)"},
        "right for one shard; two add up to twice the gradient",
        tests=SHARDED,
    ),
    Fault(
        "gradients accumulated",
        "pairs/reference.py",
        {"array[...] = part\n": "array[...] += part\n"},
        "the habit of zero_grad, without it",
        tests="test_networks.py",
    ),
    Fault(
        "greys divided by 256",
        "model/vae.py",
        {"x / x.dtype.type(255)": "x / x.dtype.type(256)"},
        "white is 0.996",
    ),
    Fault(
        "views copied",
        "model/params.py",
        {".reshape(shape)\n": ".reshape(shape).copy()\n"},
        "the optimizer trains a vector that no layer sees",
    ),
    Fault(
        "blocks overlap",
        "model/params.py",
        {"            start = stop\n": "            start = stop - 1\n"},
        "a bias is also the last weight",
    ),
    Fault(
        "fan-out for fan-in",
        "model/networks.py",
        {"layer.fan_in()": 'layer.shapes()[f"{layer.name}.W"][-1]'},
        "W.shape[1], when the book's W is transposed",
    ),
    Fault(
        "initial values all positive",
        "model/networks.py",
        {"rng.uniform(-bound, bound,": "rng.uniform(0, bound,"},
        "rand for 2 rand - 1",
    ),
    Fault(
        "all units start alike",
        "model/networks.py",
        {"rng.uniform(-bound, bound, shape)": "rng.uniform(-bound, bound)"},
        "one number broadcast: the units never part",
    ),
    Fault(
        "work arrays shared by size",
        "model/workspace.py",
        {
            "self._whole.get((name, dtype))": "self._whole.get((size, dtype))",
            "self._whole[name, dtype] =": "self._whole[size, dtype] =",
        },
        "a pool of buffers that hands one out twice",
    ),
)
