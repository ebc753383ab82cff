"""Imports MAGICAL's own physics, tasks and scores as they were published.

They were written for gym 0.17, pyglet, OpenGL and pymunk 5.6 on Pythons before 3.10. While they are imported,
stand-ins answer for the few names that they take from there; afterwards `sys.modules` is as it was before, so
nobody else in the process finds a `gym` that is none. Of MAGICAL only the modules with the tasks are run: its
package files would ask for OpenCV, requests and more.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import importlib
import importlib.machinery
import importlib.util
import io
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium

from mint_rl.envs.magical import drawing
from mint_rl.envs.magical.names import TABLE
from mint_rl.errors import UserError

INSTALL = "pip install --no-deps magical-il==0.0.1a4 && pip install 'mint-rl[magical]'"
PYMUNK = "5.6.0"

_lock = threading.Lock()
_loaded: dict[str, types.ModuleType] = {}


def load() -> dict[str, types.ModuleType]:
    """MAGICAL's modules by name: `entities`, `style`, and those that hold the tasks (`names.TABLE`).

    Raises `UserError` with the installing command if MAGICAL or a library that it needs is missing.
    """
    with _lock:
        if not _loaded:
            _loaded.update(_import_privately(_package_folder()))
    return _loaded


def _import_privately(folder: str) -> dict[str, types.ModuleType]:
    paths = {"entities": "magical.entities", "style": "magical.style"}
    paths |= {task.module: f"magical.benchmarks.{task.module}" for task in TABLE.values()}
    with _stand_ins(folder):
        try:
            _import_pymunk()
            return {name: importlib.import_module(path) for name, path in paths.items()}
        except ImportError as error:
            raise UserError(
                f"MAGICAL is installed but cannot be imported ({error}): run {INSTALL}"
            ) from error


def _package_folder() -> str:
    """Where MAGICAL is installed, found without running it."""
    already = sys.modules.get("magical")
    spec = already.__spec__ if already is not None else importlib.util.find_spec("magical")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"the MAGICAL environments need MAGICAL itself, which is not installed: run {INSTALL}"
        )
    return next(iter(spec.submodule_search_locations))


def _import_pymunk() -> None:
    """Import pymunk quietly (it prints where its library lies) and check that it is the version needed."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pymunk = importlib.import_module("pymunk")
    if pymunk.version != PYMUNK:
        raise UserError(f"MAGICAL needs pymunk {PYMUNK}, but {pymunk.version} is installed: run {INSTALL}")


@contextlib.contextmanager
def _stand_ins(folder: str) -> Iterator[None]:
    """Inside the block MAGICAL finds `gym`, `imp`, `collections.Sequence` and a `magical.gym_render`.

    A real gym, and a MAGICAL that somebody imported with it, are put back afterwards.
    """
    hidden = {name: module for name, module in sys.modules.items() if _is_private(name)}
    for name in hidden:
        del sys.modules[name]
    sys.modules.update(_stand_in_modules(folder))
    lacks_sequence = not hasattr(collections, "Sequence")
    if lacks_sequence:
        collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if lacks_sequence:
            del collections.Sequence  # type: ignore[attr-defined]
        for name in [name for name in sys.modules if _is_private(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_private(name: str) -> bool:
    return name.split(".")[0] in ("gym", "imp", "magical")


def _stand_in_modules(folder: str) -> dict[str, types.ModuleType]:
    """Modules, by name, with what MAGICAL and pymunk take from them."""

    class EzPickle:
        """Remembers nothing: our environments are copied by replaying them."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

    return {
        "gym": _module("gym", Env=gymnasium.Env, spaces=gymnasium.spaces),
        "gym.utils": _module("gym.utils", EzPickle=EzPickle),
        "imp": _module("imp"),
        # The packages' folders, without what stands in their __init__.py.
        "magical": _module("magical", __path__=[folder]),
        "magical.benchmarks": _module("magical.benchmarks", __path__=[f"{folder}/benchmarks"]),
        "magical.gym_render": drawing,
    }


def _module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package="__path__" in contents)
    vars(module).update(contents)
    return module
