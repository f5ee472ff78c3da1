"""A denoising auto-encoder restores; and where two images are possible, it blurs."""

import numpy as np
import pytest
from data import tiny

from numpyvae import VAE, Dataset, train
from numpyvae.datasets.corrupt import Corruption


def restorer(data: Dataset, how: str, level: float) -> VAE:
    """An auto-encoder with the squared error, trained to undo that corruption."""
    model = VAE(data.pixels, (64,), 8, "tanh", posterior="point", likelihood="gaussian")
    train(
        model, data, epochs=60, batch_size=30, lr=1e-2, lr_end=1e-4, binarize="none",
        corrupt=how, level=level, progress=False,
    )  # fmt: skip
    return model


@pytest.mark.parametrize(
    ("how", "level"), [("gaussian", 0.3), ("mask", 0.5), ("salt-and-pepper", 0.3)]
)
def test_it_restores_images_it_has_never_seen(how: str, level: float) -> None:
    """To a fifth of the error at most; what is left is how faint a shape was."""
    data = tiny()
    model = restorer(data, how, level)
    clean = data.test_images.reshape(len(data.test_images), -1).astype(np.float32) / 255
    seen = Corruption(how, level)(clean, np.random.default_rng(0))
    z = model.encoder.forward(seen, model.workspace())[-1].y
    before = ((seen - clean) ** 2).sum()
    assert ((model.decode(z) - clean) ** 2).sum() < before / 5


def test_it_blurs_where_the_image_could_be_one_of_two() -> None:
    """With the squared error the best answer is E[x | seen], here no image at all.

    A bar stands on the left or on the right, and all is masked: half of each is told.
    """
    images = np.zeros((400, 4, 6), np.uint8)
    left = np.arange(400) % 2 == 0
    images[left, :, 1] = images[~left, :, 4] = 255
    labels = left.astype(np.uint8)
    data = Dataset("bars", images, labels, images, labels)
    model = restorer(data, "mask", 1.0)
    answer = model.reconstruct(np.zeros((1, 24), np.float32)).reshape(4, 6)
    expected = np.zeros((4, 6))
    expected[:, [1, 4]] = 0.5
    np.testing.assert_allclose(answer, expected, atol=0.05)
    # From either truth 4 pixels x 2 bars x 1/4; a sharp guess is off by 0 or by 8.
    for truth in images[:2] / 255:
        assert ((answer - truth) ** 2).sum() == pytest.approx(2.0, abs=0.3)
