"""NumPy's own matrix product, for compiled code to call without Python in between.

NumPy's wheels bring OpenBLAS along; where another BLAS is used there is none to be had
this way, and the compiled step of training/fused/step.py stays unused.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from threadpoolctl import ThreadpoolController

from .jit import jit

# CblasRowMajor, CblasNoTrans, CblasTrans. As Python's ints, each would be a type of its
# own to numba, and `_multiply` compiled for each pair.
ROWS, PLAIN, TRANSPOSED = map(np.int32, (101, 111, 112))
ONE = np.int64(1)


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
        order, one, zero = flag(int(ROWS)), real(1.0), real(0.0)
        builder.call(
            function, [order, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, ldc]
        )
        return cgutils.get_null_value(context.get_value_type(signature.return_type))

    matrix = (types.uintp, types.int64)  # where it begins, and the length of a row
    sizes = (types.int32,) * 2 + (types.int64,) * 3
    return types.void(types.int64, *sizes, *matrix, *matrix, *matrix), generate


# OpenBLAS has a quicker way for products of at most 10^6 multiplications, and, if b is
# transposed, of at most some hundred columns. What is little larger is done in parts.
LIMIT, COLUMNS, FEW, SOME = 1_000_000, 100, 16, 64


@jit
def _apart(a):
    """The numbers from one row of a to the next: BLAS's leading dimension.

    NumPy gives the stride of a single row no meaning, and BLAS wants a row's length.
    """
    return max(a.strides[0] // a.itemsize, a.shape[1])


@jit
def _multiply(gemm, flags, sizes, a, lda, b, ldb, step, width, c):
    """c = A B, `width` columns at a time.

    `step` is the distance of two columns of B in b.
    """
    ta, tb = flags
    m, n, k = sizes
    to, ldc = c.ctypes.data, _apart(c)
    for j in range(0, n, width):
        columns = min(width, n - j)
        _call(gemm, ta, tb, m, columns, k, a, lda, b + 4 * j * step, ldb,
              to + 4 * j, ldc)  # fmt: skip


@jit
def product(gemm, a, b, c):
    """c = a b; shapes (m, k), (k, n), (m, n), the numbers of a row side by side."""
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    width = (n + 1) // 2 if LIMIT < m * n * k <= 2 * LIMIT else n
    _multiply(gemm, (PLAIN, PLAIN), (m, n, k), a.ctypes.data, _apart(a),
              b.ctypes.data, _apart(b), ONE, width, c)  # fmt: skip


@jit
def product_of_transposed(gemm, a, b, c):
    """c = a^T b; shapes (k, m), (k, n), (m, n)."""
    m, k, n = a.shape[1], a.shape[0], b.shape[1]
    width = (n + 1) // 2 if LIMIT < m * n * k <= 2 * LIMIT else n
    _multiply(gemm, (TRANSPOSED, PLAIN), (m, n, k), a.ctypes.data, _apart(a),
              b.ctypes.data, _apart(b), ONE, width, c)  # fmt: skip


@jit
def product_with_transposed(gemm, a, b, c, scratch):
    """c = a b^T; shapes (m, k), (n, k), (m, n). `scratch` has room for n m numbers.

    Of a large product with at most SOME rows, OpenBLAS is quicker with b a^T, which is
    then transposed.
    """
    m, k, n = a.shape[0], a.shape[1], b.shape[0]
    lda, ldb = _apart(a), _apart(b)
    at_a, at_b, flags = a.ctypes.data, b.ctypes.data, (PLAIN, TRANSPOSED)
    if m > SOME or m * n * k <= 2 * LIMIT:
        width = COLUMNS if m <= FEW else n
        _multiply(gemm, flags, (m, n, k), at_a, lda, at_b, ldb, ldb, width, c)
        return
    turned = scratch[: n * m].reshape(n, m)
    _multiply(gemm, flags, (n, m, k), at_b, ldb, at_a, lda, lda, m, turned)
    for start in range(0, m, 8):  # as many as there are in a cache line, or half of it
        for j in range(n):
            for i in range(start, min(start + 8, m)):
                c[i, j] = turned[j, i]
