"""NumPy's random generators, for compiled code to draw from.

The streams are those of the generator's own methods: the same C functions draw, called
at their addresses. The generator must live as long as these are used.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import jit

POINTER = ir.IntType(8).as_pointer()


def addresses(rng: np.random.Generator) -> tuple[int, int, int]:
    """Of the rng's state, of its function for 32 bits, and of its `bitgen_t`."""
    interface = rng.bit_generator.ctypes
    function = ctypes.cast(interface.next_uint32, ctypes.c_void_p).value
    bitgen = interface.bit_generator.value
    assert function is not None and bitgen is not None
    return interface.state_address, function, bitgen


@cache
def find_normals() -> int:
    """The address of what fills an array in `Generator.standard_normal`, or 0.

    It is one of NumPy's documented functions for C; on Windows it is not exported.
    """
    library: Any = np.random._generator
    try:
        function = ctypes.CDLL(library.__file__).random_standard_normal_fill_f
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@jit
def next_bits(generator):
    """The next 32 bits of the generator with these addresses."""
    return _next(generator[1], generator[0])


@jit
def draw_normals(function, generator, out):
    """N(0, I) in single precision; `function` is what `find_normals` found."""
    _fill(function, generator[2], out.size, out.ctypes.data)


@intrinsic
def _next(context: Any, function: Any, state: Any) -> Any:
    """uint32_t function(void *state)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [POINTER])
        function = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(function, [builder.inttoptr(args[1], POINTER)])

    return types.uint32(types.uintp, types.uintp), generate


@intrinsic
def _fill(context: Any, function: Any, bitgen: Any, count: Any, out: Any) -> Any:
    """void function(bitgen_t *bitgen, npy_intp count, float *out)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [POINTER, args[2].type, POINTER])
        function = builder.inttoptr(args[0], kind.as_pointer())
        bitgen, out = (builder.inttoptr(args[k], POINTER) for k in (1, 3))
        builder.call(function, [bitgen, args[2], out])
        return context.get_dummy_value()

    return types.void(types.int64, types.uintp, types.intp, types.uintp), generate
