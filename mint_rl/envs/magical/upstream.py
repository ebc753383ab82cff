"""Imports MAGICAL's own physics, tasks and scores as they were published.

They were written for gym 0.17, pyglet, OpenGL and pymunk 5.6 (see `old_pymunk`). While they are imported,
stand-ins answer for the few names that they take from there; afterwards `sys.modules` is as it was before, so
nobody else in the process finds a `gym` that is none. Of MAGICAL only the modules with the tasks are run: its
package files would ask for OpenCV, requests and more.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import gymnasium

from mint_rl.envs.magical import drawing
from mint_rl.envs.magical.names import TABLE
from mint_rl.errors import UserError
from mint_rl.old_pymunk import load_pymunk, lost_names

INSTALL = "pip install --no-deps magical-il==0.0.1a4 && pip install 'mint-rl[magical]'"

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
    with _stand_ins(folder), lost_names():
        try:
            load_pymunk("MAGICAL", INSTALL)
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


@contextlib.contextmanager
def _stand_ins(folder: str) -> Iterator[None]:
    """Inside the block MAGICAL finds a `gym` and a `magical.gym_render`.

    A real gym, and a MAGICAL that somebody imported with it, are put back afterwards.
    """
    hidden = {name: module for name, module in sys.modules.items() if _is_private(name)}
    for name in hidden:
        del sys.modules[name]
    sys.modules.update(_stand_in_modules(folder))
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _is_private(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_private(name: str) -> bool:
    return name.split(".")[0] in ("gym", "magical")


def _stand_in_modules(folder: str) -> dict[str, types.ModuleType]:
    """Modules, by name, with what MAGICAL takes from them."""

    class EzPickle:
        """Remembers nothing: our environments are copied by replaying them."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

    return {
        "gym": _module("gym", Env=gymnasium.Env, spaces=gymnasium.spaces),
        "gym.utils": _module("gym.utils", EzPickle=EzPickle),
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
