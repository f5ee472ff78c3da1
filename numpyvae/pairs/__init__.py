"""The mathematics: every forward pass is followed at once by its backward pass.

Nothing but NumPy is imported here. A pair keeps the dtype it is given: float32,
float64, and complex128 for the complex step. What a model is made of (activation,
posterior, prior, likelihood) registers itself beside its pair; whoever lists them finds
it there, as every file of this folder is imported.
"""

from importlib import import_module
from pkgutil import iter_modules

for file in iter_modules(__path__):
    import_module(f"{__name__}.{file.name}")
