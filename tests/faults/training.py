"""Faults of training, data and evaluation: a right model, wrongly used."""

from .fault import Fault

TRAINING = (
    Fault(
        "odd batch loses an image",
        "training/trainer.py",
        {
            "slice(size * s // SHARDS, size * (s + 1) // SHARDS)": (
                "slice(s * (size // SHARDS), (s + 1) * (size // SHARDS))"
            )
        },
        "a batch cut into whole halves",
    ),
    Fault(
        "shards overlap by one",
        "training/trainer.py",
        {
            "slice(size * s // SHARDS, size * (s + 1) // SHARDS)": (
                "slice(s * size // SHARDS, (s + 1) * size // SHARDS + 1)"
            )
        },
        "an inclusive end",
    ),
    Fault(
        "last short batch dropped",
        "training/trainer.py",
        {"while self.start < n:": "while self.start <= n - size:"},
        "drop_last, and the mean is still over n",
    ),
    Fault(
        "never shuffled",
        "training/trainer.py",
        {"self.order_rng.permutation(n)": "np.arange(n)"},
        "shuffle=False is the default elsewhere",
    ),
    Fault(
        "the same order each epoch",
        "training/trainer.py",
        {
            "self.order_rng.permutation(n)": (
                "np.random.default_rng(self.settings.seed).permutation(n)"
            )
        },
        "seeded inside the loop",
    ),
    Fault(
        "batches shuffled, rows not",
        "training/trainer.py",
        {
            "self.order_rng.permutation(n)": (
                "np.concatenate([np.arange(n)[i : i + size] "
                "for i in size * self.order_rng.permutation(-(-n // size))])"
            )
        },
        "a well-known small library",
    ),
    Fault(
        "drawn with replacement",
        "training/trainer.py",
        {"self.order_rng.permutation(n)": "self.order_rng.integers(0, n, n)"},
        "a third of the images is not seen",
    ),
    Fault(
        "all streams of noise alike",
        "training/trainer.py",
        {
            "np.random.SeedSequence(settings.seed).spawn(2 + SHARDS)": (
                "[settings.seed] * (2 + SHARDS)"
            )
        },
        "one seed for every worker, as DataLoader workers had with NumPy",
    ),
    Fault(
        "one eps for a shard",
        "training/trainer.py",
        {
            ".astype(model.dtype, copy=False)\n": (
                ".astype(model.dtype, copy=False)\n            eps[1:] = eps[:1]\n"
            )
        },
        "noise that broadcasts",
    ),
    Fault(
        "uniform eps",
        "training/trainer.py",
        {"eps = rng.standard_normal(": "eps = rng.random("},
        "np.random.rand for randn",
    ),
    Fault(
        "work arrays shared by threads",
        "training/trainer.py",
        {
            (
                "            "
                "model.workspace(model.params.like(grad))._replace(arrays=R"
                "eused())\n"
                "            for grad in self.grads\n"
                "        ]\n"
            ): (
                "            "
                "model.workspace(model.params.like(grad))._replace(arrays=a"
                "rrays)\n"
                "            for arrays in [Reused()]\n"
                "            for grad in self.grads\n"
                "        ]\n"
            )
        },
        "list multiplication; right on one thread",
    ),
    Fault(
        "trainer forgets a shard",
        "training/trainer.py",
        {"self.optimizer.update(self.grads,": "self.optimizer.update(self.grads[:1],"},
        "one gradient of two is used",
    ),
    Fault(
        "one gradient vector for all shards",
        "training/trainer.py",
        {
            "model.workspace(model.params.like(grad))": (
                "model.workspace(model.params.like(self.grads[0]))"
            ),
            "np.empty((SHARDS, size)": "np.zeros((SHARDS, size)",
        },
        "the last shard overwrites the others",
    ),
    Fault(
        "beta not handed on",
        "training/settings.py",
        {"Elbo(self.beta * risen,": "Elbo(risen,"},
        "an option parsed, kept and never used",
    ),
    Fault(
        "trainer takes the shard's mean",
        "training/trainer.py",
        {"work, objective, n)": "work, objective, len(shard) or 1)"},
        "twice the gradient; Adam hides it almost",
    ),
    Fault(
        "a step counted for each shard",
        "training/trainer.py",
        {
            "        self.optimizer.advance()\n": "",
            "self.optimizer.update(": (
                "self.optimizer.advance()\n            self.optimizer.update("
            ),
        },
        "bias correction runs at twice the speed",
    ),
    Fault(
        "mean over whole batches",
        "training/trainer.py",
        {"self.recon / n,": "self.recon / self.start,"},
        "the short last batch counted as a full one",
    ),
    Fault(
        "one eps for all samples of an image",
        "training/trainer.py",
        {
            ".astype(model.dtype, copy=False)\n": (
                ".astype(model.dtype, copy=False)\n"
                "            each = eps[:: objective.samples]\n"
                "            eps = np.repeat(each, objective.samples, axis=0)\n"
            )
        },
        "K times the work for one sample",
        tests="test_settings.py",
    ),
    Fault(
        "warm-up by whole epochs",
        "training/trainer.py",
        {"settings.objective(self.epoch + share)": "settings.objective(self.epoch)"},
        "the first epoch without any KL",
        tests="test_settings.py",
    ),
    Fault(
        "warm-up counted in batches",
        "training/trainer.py",
        {"self.start / len(self.batches)": "self.start / settings.batch_size"},
        "a step taken for an epoch",
        tests="test_settings.py",
    ),
    Fault(
        "warm-up never ends",
        "training/settings.py",
        {"min(1.0, epochs / self.warmup)": "(epochs / self.warmup)"},
        "beta grows as long as one trains",
    ),
    Fault(
        "warm-up ends at 1",
        "training/settings.py",
        {"self.beta * risen": "min(self.beta, risen)"},
        "a schedule that knows of no other beta",
    ),
    Fault(
        "last learning rate ignored",
        "training/trainer.py",
        {
            (
                "        self.optimizer.lr = "
                "self.settings.learning_rate(self.epoch)\n"
                "        bar"
            ): ("        self.optimizer.lr = self.settings.lr\n        bar")
        },
        "an option parsed, kept and never used",
        tests="test_settings.py",
    ),
    Fault(
        "learning rate falls by steps alike",
        "training/settings.py",
        {
            "self.lr * (self.lr_end / self.lr) ** (epoch / (self.epochs - 1))": (
                "self.lr + (self.lr_end - self.lr) * epoch / (self.epochs - 1)"
            )
        },
        "linear where geometric was said",
    ),
    Fault(
        "last learning rate never reached",
        "training/settings.py",
        {"(epoch / (self.epochs - 1))": "(epoch / self.epochs)"},
        "a fence with as many posts as gaps",
    ),
    Fault(
        "IWAE with its default samples",
        "training/settings.py",
        {"Iwae(self.samples)": "Iwae()"},
        "an option parsed, kept and never used",
    ),
    Fault(
        "KL always closed",
        "training/settings.py",
        {'self.samples, self.kl or "closed")': "self.samples)"},
        "a positional argument forgotten",
    ),
    Fault(
        "iwae with a beta that does nothing",
        "training/settings.py",
        {"(self.beta != 1 or self.warmup)": "False"},
        "accepted, printed, and not used",
    ),
    Fault(
        "KL printed per pixel",
        "training/trainer.py",
        {
            "forward.kl.sum(dtype=np.float64)) / K": (
                "forward.kl.sum(dtype=np.float64)) / K / self.model.pixels"
            )
        },
        "KL divided by 784 in the log only",
        seen="mean",
    ),
)

DATA = (
    Fault(
        "test ELBO at z = mu",
        "training/evaluate.py",
        {"rng.standard_normal((len(x)": "0 * rng.standard_normal((len(x)"},
        "'no noise at test time', as with dropout: 2 repositories",
        seen="at mu",
    ),
    Fault(
        "test ELBO adds the KL",
        "training/evaluate.py",
        {"return -(self.recon + self.kl)": "return -(self.recon - self.kl)"},
        "-recon + KL, a bound on nothing (erratum E4)",
    ),
    Fault(
        "an image in two blocks",
        "training/evaluate.py",
        {"(i + 1) * BLOCK)": "(i + 1) * BLOCK + 1)"},
        "an inclusive end",
    ),
    Fault(
        "last short block dropped",
        "training/evaluate.py",
        {"-(-len(images) // BLOCK)": "max(1, len(images) // BLOCK)"},
        "10,000 is a multiple of 500, so MNIST hides it",
    ),
    Fault(
        "mean over whole blocks",
        "training/evaluate.py",
        {"n = len(images)\n": "n = count * BLOCK\n"},
        "the short last block counted as a full one",
    ),
    Fault(
        "the same noise in every block",
        "training/evaluate.py",
        {"block_seeds[i]": "block_seeds[0]"},
        "seeded inside the loop",
    ),
    Fault(
        "log p(x) a mean of logs",
        "training/evaluate.py",
        {"np.log(np.exp(logs - peak).mean())": "(logs - peak).mean()"},
        "the ELBO once more, printed as the likelihood",
    ),
    Fault(
        "log K forgotten",
        "training/evaluate.py",
        {"np.exp(logs - peak).mean()": "np.exp(logs - peak).sum()"},
        "logsumexp without its - log K: 8.5 nats better at K = 5,000",
    ),
    Fault(
        "weights without the posterior",
        "training/evaluate.py",
        {"-(forward.recon + forward.kl)": "-forward.recon"},
        "z drawn from q and weighed as if from p(z)",
    ),
    Fault(
        "weights without the prior",
        "training/evaluate.py",
        {
            "-(forward.recon + forward.kl)": (
                "-(forward.recon + forward.kl - (forward.code.z**2).sum(axis=1) / 2)"
            )
        },
        "log p(x|z) taken for log p(x, z)",
    ),
    Fault(
        "weights underflow",
        "training/evaluate.py",
        {"peak = logs.max()": "peak = 0.0"},
        "exp(log p) is 0 below -745 nats",
    ),
    Fault(
        "labels in the order of the file",
        "training/trainer.py",
        {"self.data.train_labels[shard]": "self.data.train_labels[: len(shard)]"},
        "images shuffled, labels not",
        tests="test_settings.py",
    ),
    Fault(
        "test labels of the first block",
        "training/evaluate.py",
        {"given = labels[rows] if": "given = labels[: len(x)] if"},
        "one block of 500 hides it",
        tests="test_settings.py::test_every_block_of_test_images_has_its_labels",
    ),
    Fault(
        "the noise is the target",
        "training/batches.py",
        {
            (
                "        return x, corruption(as_floats(images, "
                "self.binary, model.dtype), rng)"
            ): (
                "        seen = corruption(as_floats(images, self.binary, "
                "model.dtype), rng)\n"
                "        return seen, seen"
            )
        },
        "a denoiser that learns to keep the noise",
        tests="test_settings.py",
    ),
    Fault(
        "corrupted greys up to 255",
        "training/batches.py",
        {
            "as_floats(images, self.binary, model.dtype)": (
                "as_floats(images, True, model.dtype)"
            ),
        },
        "the encoder sees other units than it is tested with",
        tests="test_settings.py",
    ),
    Fault(
        "test images not corrupted",
        "training/trainer.py",
        {"data.test_labels, self.corruption,": "data.test_labels,"},
        "another task is tested than was learned",
        tests="test_settings.py",
    ),
    Fault(
        "mask keeps its share",
        "datasets/corrupt.py",
        {"np.float32) < self.level": "np.float32) >= self.level"},
        "the probability to keep, as in some dropout",
    ),
    Fault(
        "whole images masked",
        "datasets/corrupt.py",
        {"rng.random(x.shape, np.float32)": "rng.random((len(x), 1), np.float32)"},
        "noise of shape (B, 1) that broadcasts",
    ),
    Fault(
        "pepper without salt",
        "datasets/corrupt.py",
        {"rng.integers(0, 2, x.shape": "rng.integers(0, 1, x.shape"},
        "the end of a range that is left out",
    ),
    Fault(
        "level is the variance",
        "datasets/corrupt.py",
        {"self.level * noise": "self.level**0.5 * noise"},
        "sigma or sigma squared?",
        seen="sigma",
    ),
    Fault(
        "threshold from 129 on",
        "datasets/binarize.py",
        {"images > 127": "images > 128"},
        "> for >=",
    ),
    Fault(
        "pixel probability p / 256",
        "datasets/binarize.py",
        {"np.uint16(257)": "np.uint16(256)"},
        "256 levels, so divide by 256",
    ),
    Fault(
        "ink on white paper",
        "datasets/binarize.py",
        {"noise < images": "noise <= images"},
        "one grey level in 65,536 too much",
    ),
    Fault(
        "static drawn anew",
        "training/batches.py",
        {
            'self.drawn_anew = how == "dynamic"': (
                'self.drawn_anew = how in ("dynamic", "static")'
            ),
            'if how in ("static", "threshold"):': 'if how == "threshold":',
        },
        "one code path for both, and numbers that compare with nobody's",
        tests="test_binarize.py",
    ),
    Fault(
        "dynamic drawn once",
        "training/batches.py",
        {
            'self.drawn_anew = how == "dynamic"': "self.drawn_anew = False",
            'if how in ("static", "threshold"):': "if self.binary:",
        },
        "binarized when loaded; it overfits and nobody knows why",
        tests="test_binarize.py",
    ),
    Fault(
        "reshaped across images",
        "training/batches.py",
        {"images.reshape(len(images), -1)": "images.reshape(-1, len(images)).T"},
        "the right shape, from pixels of many images",
        tests="test_binarize.py",
    ),
)
