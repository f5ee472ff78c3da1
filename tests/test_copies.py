"""A copied or unpickled model is the same model, and trains as it does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data import tiny
from test_params import COPIES

from numpyvae import VAE, backends, train
from numpyvae.fused_likelihood import fits

MODELS: dict[str, dict[str, Any]] = {
    "usual": {},
    "reference": {"compiled": False},
    "convolutions": {"channels": [4], "image_shape": (8, 6)},
    "full": {"posterior": "full", "activation": "tanh"},
    "conditional": {"classes": 3, "decoder_hidden": [5]},
    "grey": {"likelihood": "gaussian-learned", "posterior": "shared"},
}


@pytest.mark.parametrize("again", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("arguments", MODELS.values(), ids=MODELS)
def test_it_trains_to_the_bits_of_the_original(
    arguments: dict[str, Any], again: Callable[[VAE], VAE]
) -> None:
    model = VAE(48, [16], 3, **arguments)
    copied, before = again(model), model.params.flat.copy()
    assert copied.arguments() == model.arguments()
    assert copied.pairs is getattr(
        backends, "compiled" if model.compiled else "reference"
    )
    assert fits(copied) == fits(model)  # no slower
    binarize = "none" if model.likelihood.pixels == "grey" else "dynamic"
    for each in (copied, model):
        assert np.array_equal(each.params.flat, before)
        train(each, tiny(), epochs=1, progress=False, binarize=binarize)
    assert copied.params.flat.tobytes() == model.params.flat.tobytes()
    assert not np.array_equal(model.params.flat, before)
