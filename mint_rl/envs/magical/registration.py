"""Registers the environments. `mint_rl/autoload.py` calls this when gymnasium is imported."""

from __future__ import annotations

import gymnasium

from mint_rl.envs.magical.names import VARIANTS, env_id


def register() -> None:
    """Register every task and variant of MAGICAL. Quick: imports neither MAGICAL nor numba.

    There is no TimeLimit wrapper: the environments end their episodes themselves, unwrapped too.
    """
    for task, variants in VARIANTS.items():
        for variant in variants:
            name = env_id(task, variant)
            if name not in gymnasium.registry:
                gymnasium.register(
                    id=name,
                    entry_point="mint_rl.envs.magical.env:MagicalEnv",
                    kwargs={"task": task, "variant": variant},
                )
