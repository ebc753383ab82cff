"""Numba kernels that compile at their first call and are kept on disk where that is possible."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: `numba.njit` with one fixed signature, compiled at the first call, cached on disk.

    signature: the kernel's one numba signature. Processes that start at the same time then write the same
    files; with several signatures numba's index of cached files can be left pointing at the wrong one.
    options: further options of `numba.njit`. The GIL is released while a kernel runs.

    Where nothing can be written (a read-only installation without a home folder, a full disk) or what is
    there cannot be read, the kernel is compiled for this process alone.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.cache
        def compiled() -> Callable[..., None]:
            from numba import njit

            settings = {"nogil": True, "error_model": "numpy"} | options
            try:
                result: Callable[..., None] = njit(signature, cache=True, **settings)(function)
            except Exception:  # whatever the cache raises; a mistake in the kernel is raised again below
                result = njit(signature, **settings)(function)
            return result

        @functools.wraps(function)
        def call(*arguments: Any) -> None:
            compiled()(*arguments)

        return call

    return decorate
