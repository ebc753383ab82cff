"""Lets `gym.make("magical/…")` work after installation, with no import of mint-rl.

gymnasium 0.29 was the last to load plugins by the entry point `gymnasium.envs`; since 1.0 an environment
exists only after somebody has imported what registers it. The wheel therefore brings `mint_rl.pth`, which
imports this module when Python starts: it waits for gymnasium to be imported, registers the ids, and steps
aside. Until then it imports neither gymnasium nor numpy; without gymnasium it does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _AfterGymnasium:
    """Finds nothing itself: it lets the others find gymnasium and adds a step to its loading."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            # Importing the package registers. If it is what imports gymnasium, it goes on to do so by itself.
            import mint_rl.envs.magical  # noqa: F401

        loader: Any = spec.loader
        loader.exec_module = load_and_register
        return spec


def install() -> None:
    """Register now if gymnasium has been imported, else when it is."""
    if "gymnasium" in sys.modules:
        import mint_rl.envs.magical  # noqa: F401
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())


install()
