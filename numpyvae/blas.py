"""NumPy's own matrix product, for compiled code to call without Python in between.

NumPy's wheels bring OpenBLAS along; where another BLAS is used there is none to be had
this way, and the compiled step of fused.py stays unused.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from threadpoolctl import ThreadpoolController

from .jit import jit

ROWS, PLAIN, TRANSPOSED = 101, 111, 112  # CblasRowMajor, CblasNoTrans, CblasTrans


@cache
def find_gemm() -> int | None:
    """The address of NumPy's cblas_sgemm, if it is the one of OpenBLAS's wheels.

    That is the single precision product, with sizes of 64 bits.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return None
    for library in ThreadpoolController().lib_controllers:
        if library.internal_api == "openblas" and "numpy" in library.filepath:
            for name in ("scipy_cblas_sgemm64_", "cblas_sgemm64_"):
                if function := getattr(library.dynlib, name, None):
                    return ctypes.cast(function, ctypes.c_void_p).value
    return None


@intrinsic
def _call(
    context: Any, address: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any,
    a: Any, lda: Any, b: Any, ldb: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """C (m, n) = A B: cblas_sgemm at an address known only when the code runs."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at, ta, tb, m, n, k, a, lda, b, ldb, c, ldc = args
        flag, size, place, real = ta.type, m.type, a.type, ir.FloatType()
        kinds = [flag] * 3 + [size] * 3 + [real, place, size, place, size, real]
        kind = ir.FunctionType(ir.VoidType(), [*kinds, place, size])
        function = builder.inttoptr(at, kind.as_pointer())
        order, one, zero = flag(ROWS), real(1.0), real(0.0)
        builder.call(
            function, [order, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, ldc]
        )
        return cgutils.get_null_value(context.get_value_type(signature.return_type))

    matrix = (types.uintp, types.int64)  # where it begins, and the length of a row
    sizes = (types.int32,) * 2 + (types.int64,) * 3
    return types.void(types.int64, *sizes, *matrix, *matrix, *matrix), generate


@jit
def product(gemm, a, b, c):
    """c = a b; shapes (m, k), (k, n), (m, n), all contiguous."""
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    _call(gemm, PLAIN, PLAIN, m, n, k,
          a.ctypes.data, k, b.ctypes.data, n, c.ctypes.data, n)  # fmt: skip


@jit
def product_of_transposed(gemm, a, b, c):
    """c = a^T b; shapes (k, m), (k, n), (m, n)."""
    m, k, n = a.shape[1], a.shape[0], b.shape[1]
    _call(gemm, TRANSPOSED, PLAIN, m, n, k,
          a.ctypes.data, m, b.ctypes.data, n, c.ctypes.data, n)  # fmt: skip


@jit
def product_with_transposed(gemm, a, b, c):
    """c = a b^T; shapes (m, k), (n, k), (m, n)."""
    m, k, n = a.shape[0], a.shape[1], b.shape[0]
    _call(gemm, PLAIN, TRANSPOSED, m, n, k,
          a.ctypes.data, k, b.ctypes.data, k, c.ctypes.data, n)  # fmt: skip
