"""The one place where the reference or the compiled code is chosen.

Both are objects with the same methods, of pairs/reference.py: its own are the NumPy
text, these the compiled twins.
"""

from ..pairs.reference import Reference, reference
from . import bernoulli, conv, dense

__all__ = ["Compiled", "Reference", "code_of", "compiled", "reference"]


class Compiled(Reference):
    """The compiled twins."""

    name = "compiled"
    dense_forward = staticmethod(dense.dense_forward)
    dense_backward = staticmethod(dense.dense_backward)
    dense_backward_weights = staticmethod(dense.dense_backward_weights)
    activated_forward = staticmethod(dense.activated_forward)
    activation_forward = staticmethod(dense.activation_forward)
    activation_backward = staticmethod(dense.activation_backward)
    conv_forward = staticmethod(conv.conv_forward)
    conv_backward = staticmethod(conv.conv_backward)
    conv_backward_weights = staticmethod(conv.conv_backward_weights)
    conv_transpose_forward = staticmethod(conv.conv_transpose_forward)
    conv_transpose_backward = staticmethod(conv.conv_transpose_backward)
    bernoulli_forward = staticmethod(bernoulli.bernoulli_forward)
    bernoulli_backward = staticmethod(bernoulli.bernoulli_backward)
    sgd_update = staticmethod(dense.sgd_update)
    adam_update = staticmethod(dense.adam_update)


compiled = Compiled()


def code_of(is_compiled: bool) -> Reference:
    """The compiled code, or the reference."""
    return compiled if is_compiled else reference
