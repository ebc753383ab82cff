"""The physics library of MAGICAL, pymunk 5.6, on Pythons that it was not written for."""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import importlib
import io
import sys
import threading
import types
import warnings
from collections.abc import Iterator

from mint_rl.errors import UserError

PYMUNK = "5.6.0"  # physics of another version moves differently

_lock = threading.Lock()


def load_pymunk(user: str, install: str) -> types.ModuleType:
    """pymunk, imported quietly: it prints where its library lies, and takes names that Python has lost.

    user: what needs it, to be read before "needs". install: the command that installs it.
    Raises `UserError` where it is missing, cannot be imported or has another version.
    """
    with (
        _lock,
        lost_names(),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            pymunk = importlib.import_module("pymunk")
        except ImportError as error:
            raise UserError(
                f"{user} needs pymunk {PYMUNK}, which cannot be imported ({error}): run {install}"
            ) from error
    if pymunk.version != PYMUNK:
        raise UserError(f"{user} needs pymunk {PYMUNK}, but {pymunk.version} is installed: run {install}")
    return pymunk


@contextlib.contextmanager
def lost_names() -> Iterator[None]:
    """Inside the block there are `collections.Sequence` (until Python 3.9) and `imp` (until 3.11).

    pymunk takes them while it is imported, and so do its modules that it does not import by itself.
    """
    lacks_sequence, lacks_imp = not hasattr(collections, "Sequence"), "imp" not in sys.modules
    if lacks_sequence:
        collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    if lacks_imp:
        sys.modules["imp"] = types.ModuleType("imp")
    try:
        yield
    finally:
        if lacks_sequence:
            del collections.Sequence  # type: ignore[attr-defined]
        if lacks_imp:
            del sys.modules["imp"]
