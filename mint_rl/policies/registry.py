"""Policies by name, each imported when it is asked for."""

from __future__ import annotations

import importlib

from mint_rl.errors import unknown_name
from mint_rl.policies.base import ImitationPolicy

_POLICIES = {
    "interaction": ("mint_rl.policies.interaction", "KeypointPolicy"),
    "set-transformer": ("mint_rl.policies.set_transformer", "SetTransformerPolicy"),
    "mlp": ("mint_rl.policies.mlp", "MLPKeypointPolicy"),
    "cnn": ("mint_rl.policies.cnn", "CNNPolicy"),
}
POLICY_NAMES = tuple(_POLICIES)


def policy_class(name: str) -> type[ImitationPolicy]:
    """The policy class of a name; its `config_class` holds the options. `UserError` lists the known names."""
    if name not in _POLICIES:
        raise unknown_name("policy", name, POLICY_NAMES)
    module, attribute = _POLICIES[name]
    found: type[ImitationPolicy] = getattr(importlib.import_module(module), attribute)
    return found
