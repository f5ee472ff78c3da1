"""A copied or unpickled model is the same model, and trains as it does."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data import tiny

from numpyvae import VAE, train
from numpyvae.model.params import Parameters
from numpyvae.training.fused.likelihood import fits

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda original: pickle.loads(pickle.dumps(original)),
}

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
    assert copied.code is model.code
    assert fits(copied) == fits(model)  # no slower
    binarize = "none" if model.likelihood.pixels == "grey" else "dynamic"
    for each in (copied, model):
        assert np.array_equal(each.params.flat, before)
        train(each, tiny(), epochs=1, progress=False, binarize=binarize)
    assert copied.params.flat.tobytes() == model.params.flat.tobytes()
    assert not np.array_equal(model.params.flat, before)


@pytest.mark.parametrize("again", COPIES.values(), ids=COPIES)
def test_named_views_are_of_the_copys_own_vector(again: Callable[[Any], Any]) -> None:
    params = Parameters({"W": (2, 3), "b": (3,)}, np.arange(9.0))
    copied = again(params)
    copied["b"][...] = 7
    assert copied.shapes == params.shapes
    assert copied.flat.tolist() == [0, 1, 2, 3, 4, 5, 7, 7, 7]
    assert params.flat.tolist() == [*range(9)]
