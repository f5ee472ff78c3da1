"""The one place where the reference or the compiled code is chosen.

Both are namespaces of the same functions: the pairs of pairs/dense.py, pairs/conv.py,
pairs/gaussian.py and pairs/likelihoods.py and the updates of pairs/optimizers.py. Each
takes its arguments in the same order and an optional `out`, which receives the results.
"""

from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

from ..pairs import conv, gaussian, likelihoods
from ..pairs import dense as ops
from ..pairs import optimizers as optim
from . import conv as conv_kernels
from . import dense as kernels

FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        ops.dense_forward,
        ops.dense_backward,
        ops.dense_backward_weights,
        conv.conv_forward,
        conv.conv_backward,
        conv.conv_backward_weights,
        conv.conv_transpose_forward,
        conv.conv_transpose_backward,
        gaussian.sigma_forward,
        gaussian.sigma_backward,
        gaussian.reparameterize_forward,
        gaussian.reparameterize_backward,
        gaussian.kl_forward,
        gaussian.kl_backward,
        gaussian.cholesky_forward,
        gaussian.cholesky_backward,
        gaussian.correlate_forward,
        gaussian.correlate_backward,
        gaussian.full_kl_forward,
        gaussian.full_kl_backward,
        gaussian.sampled_kl_forward,
        gaussian.sampled_kl_backward,
        likelihoods.bernoulli_forward,
        likelihoods.bernoulli_backward,
        likelihoods.continuous_bernoulli_forward,
        likelihoods.continuous_bernoulli_backward,
        likelihoods.isotropic_forward,
        likelihoods.isotropic_backward,
        likelihoods.gaussian_forward,
        likelihoods.gaussian_backward,
    )
}
UPDATES = {f.__name__: f for f in (optim.sgd_update, optim.adam_update)}


def _with_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """The pure function, able to leave its results in arrays of the caller's."""

    @wraps(function)
    def call(*args: Any, out: Any = None) -> Any:
        results = function(*args)
        if out is None:
            return results
        if isinstance(out, tuple):
            for array, result in zip(out, results, strict=True):
                array[...] = result
        else:
            out[...] = results
        return out

    return call


class Backend(SimpleNamespace):
    """The functions of one kind; a copy of it is it, and a pickle holds its name."""

    def __reduce__(self) -> str:
        """The global that it is."""
        return "reference" if self is reference else "compiled"


reference = Backend(
    **{name: _with_out(function) for name, function in FUNCTIONS.items()}, **UPDATES
)

compiled = Backend(
    **{
        name: getattr(kernels, name, getattr(conv_kernels, name, function))
        for name, function in vars(reference).items()
    }
)
