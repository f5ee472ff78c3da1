"""What every test shares: the hypothesis profiles and a generator."""

import numpy as np
import pytest
from hypothesis import Phase, settings

# The same examples on every run and machine. They are small from the start, and to
# shrink them would make a wrong gradient take minutes to be told.
settings.register_profile(
    "exact",
    derandomize=True,
    deadline=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
)
# For the run without the JIT.
settings.register_profile("few", settings.get_profile("exact"), max_examples=5)
settings.load_profile("exact")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
