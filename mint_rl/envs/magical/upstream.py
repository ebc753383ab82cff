"""Imports MAGICAL's own physics, tasks and scores as they were published, with nothing that they no longer need.

MAGICAL was written for gym 0.17, pyglet and OpenGL, pymunk 5.6 for Pythons before 3.10. While its modules are
being imported, stand-ins answer for the few names that they take from there; afterwards `sys.modules` is as it
was before, so nobody else in the process can find a `gym` that is none. Of MAGICAL only the modules that hold
tasks are run: its package files would ask for OpenCV and requests.
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

_lock = threading.Lock()
_loaded: dict[str, types.ModuleType] = {}


def load() -> types.SimpleNamespace:
    """MAGICAL's modules: `entities` and, by the names of `names.TABLE`, those that hold the tasks.

    Raises `UserError` with the installing command if MAGICAL or a library that it needs is missing.
    """
    with _lock:
        if not _loaded:
            _loaded.update(_import_privately())
    return types.SimpleNamespace(**_loaded)


def _import_privately() -> dict[str, types.ModuleType]:
    root = _package_folder()
    modules = ["entities", "style", *sorted({task.module for task in TABLE.values()})]
    with _stand_ins(root):
        _import_pymunk()
        full = {
            m: f"magical.{m}" if m in ("entities", "style") else f"magical.benchmarks.{m}" for m in modules
        }
        return {name: importlib.import_module(path) for name, path in full.items()}


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
    """Import pymunk quietly (it prints where its library lies) and see that it is the version MAGICAL can use."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pymunk = importlib.import_module("pymunk")
            importlib.import_module("pymunk.autogeometry")
    except ImportError as error:
        raise UserError(f"MAGICAL's physics library cannot be imported ({error}): run {INSTALL}") from error
    if not pymunk.version.startswith("5.6"):
        raise UserError(f"MAGICAL needs pymunk 5.6.0 but {pymunk.version} is installed: run {INSTALL}")


@contextlib.contextmanager
def _stand_ins(root: str) -> Iterator[None]:
    """Let `import gym`, `import imp` and `collections.Sequence` work inside the block, and hide a MAGICAL that
    somebody has imported with the real gym."""
    hidden = {name: module for name, module in sys.modules.items() if _is_private(name)}
    for name in hidden:
        del sys.modules[name]
    sys.modules.update(_stand_in_modules(root))
    had_sequence = hasattr(collections, "Sequence")
    if not had_sequence:
        collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if not had_sequence:
            del collections.Sequence  # type: ignore[attr-defined]
        for name in [name for name in sys.modules if _is_private(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_private(name: str) -> bool:
    return name.split(".")[0] in ("gym", "imp", "magical")


def _stand_in_modules(root: str) -> dict[str, types.ModuleType]:
    """Modules for what MAGICAL's tasks import, by name."""

    class EzPickle:
        """Remembers nothing: an environment of ours is copied by replaying it."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

    return {
        "gym": _module("gym", Env=gymnasium.Env, spaces=gymnasium.spaces),
        "gym.utils": _module("gym.utils", EzPickle=EzPickle),
        "imp": _module("imp"),
        # Packages with a folder, but without what stands in their __init__.py.
        "magical": _module("magical", __path__=[root]),
        "magical.benchmarks": _module("magical.benchmarks", __path__=[f"{root}/benchmarks"]),
        "magical.gym_render": drawing,
    }


def _module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package="__path__" in contents)
    vars(module).update(contents)
    return module
