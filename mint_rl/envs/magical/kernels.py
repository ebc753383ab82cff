"""How the kernels of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(signature: Any) -> Callable[[Any], Any]:
    """Decorator: `numba.njit` for one signature, at once, and kept on disk where that is possible.

    Compiling takes seconds, when the module is imported for the first time. numba numbers the files of its
    cache in the order in which a function's signatures were compiled: with exactly one signature, processes
    that start at the same time write the same file. Where the cache cannot be written or read, the kernel is
    compiled in memory.
    """

    def compile_now(function: Any) -> Any:
        try:
            return njit(signature, cache=True, error_model="numpy")(function)
        except Exception:  # no writable folder, a full disk, a damaged file; a compiler error comes up again
            return njit(signature, error_model="numpy")(function)

    return compile_now
