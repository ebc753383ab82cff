"""Numba kernels that are kept on disk where that is possible."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any


def kernel(signature: Any, lazy: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: `numba.njit` with one fixed signature, cached on disk.

    signature: the kernel's one numba signature. Processes that start at the same time then write the same
        files; with several signatures numba's index of cached files can be left pointing at the wrong one.
    lazy: compile, which takes seconds, at the first call and not at once. Other kernels cannot call it.
    options: further options of `numba.njit`.

    Where nothing can be written (a read-only installation without a home folder, a full disk) or what is
    there cannot be read, the kernel is compiled for this process alone.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.cache
        def compiled() -> Any:
            from numba import njit

            settings = {"error_model": "numpy"} | options
            try:
                return njit(signature, cache=True, **settings)(function)
            except Exception:  # whatever the cache raises; a mistake in the kernel is raised again here
                return njit(signature, **settings)(function)

        if not lazy:
            return compiled()

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return compiled()(*arguments)

        return call

    return decorate


@functools.cache
def kernels_of(module: str) -> Any:
    """A module of kernels, imported at the first call; None where numba cannot be imported.

    `mint_rl.entropy` says that in a warning, once.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
