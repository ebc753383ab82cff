"""From words on the command line to a validated dataclass: Hydra's composition, with errors in sentences.

The dataclasses are the one source of names, types and defaults; they stand beside the code that uses them.
The YAML files in `mint_rl/configs/` only choose among them and hold presets.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mint_rl.errors import UserError, unknown_name


@dataclass(frozen=True)
class _Schema:
    module: str
    name: str

    def load(self) -> type:
        loaded: type = getattr(importlib.import_module(self.module), self.name)
        return loaded


_VERBS = {
    "pretrain": _Schema("mint_rl.training.pretrain", "PretrainConfig"),
    "bc": _Schema("mint_rl.training.bc", "BCConfig"),
}
_POLICIES = {
    "interaction": _Schema("mint_rl.policies.interaction", "InteractionConfig"),
    "mlp": _Schema("mint_rl.policies.mlp", "MLPConfig"),
    "cnn": _Schema("mint_rl.policies.cnn", "CNNConfig"),
}
POLICIES = tuple(_POLICIES)


def load_config(verb: str, overrides: Sequence[str] = ()) -> Any:
    """The configuration of a verb ("pretrain" or "bc") with Hydra overrides such as `steps=500` applied.

    Returns an instance of that verb's dataclass. Raises `UserError` for an unknown key, a value of the wrong
    type, or text that is not an override.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for override in overrides:
        if "=" not in override:
            raise UserError(f"'{override}' is not a setting: write it as key=value, for instance steps=500")
        key, value = override.split("=", 1)
        if key == "policy" and value not in _POLICIES:
            raise unknown_name("policy", value, _POLICIES)
    try:
        return OmegaConf.to_object(_compose(verb, overrides))
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(verb, overrides, error) from error


def describe_config(verb: str) -> str:
    """Every key of a verb's configuration with its default, as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(_compose(verb, ()))


def _compose(verb: str, overrides: Sequence[str]) -> Any:
    from hydra import compose, initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    store = ConfigStore.instance()
    store.store(name=f"{verb}_schema", node=_VERBS[verb].load())
    if verb == "bc":
        for name, schema in _POLICIES.items():
            store.store(group="policy", name=name, node=schema.load())
    # A program that already uses Hydra keeps its own state.
    previous = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("mint_rl.configs", version_base="1.3"):
            return compose(config_name=verb, overrides=list(overrides))
    finally:
        GlobalHydra.instance().clear()
        if previous is not None:
            GlobalHydra.instance().initialize(previous)


def _explain(verb: str, overrides: Sequence[str], error: Exception) -> UserError:
    """Hydra's and OmegaConf's messages run over several lines and speak of structs; say it in one."""
    messages = [str(e) for e in _chain(error)]
    known = list(_keys(_compose(verb, ())))
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        if key not in known:
            return unknown_name("configuration key", key, known)
    for override in overrides:
        key, value = override.split("=", 1)
        try:
            _compose(verb, [override])
        except Exception as alone:
            detail = " ".join(str(alone).split("\n")[0].split())
            wanted = re.search(r"could not be converted to (\w+)", " ".join(str(e) for e in _chain(alone)))
            if wanted:
                detail = f"'{value}' is not of the type {wanted.group(1)}"
            return UserError(f"cannot set {key}={value}: {detail}")
    return UserError("cannot read the configuration: " + " ".join(messages[0].split()))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    from omegaconf import DictConfig

    for key in config:
        yield f"{prefix}{key}"
        value = config._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none():
            yield from _keys(value, f"{prefix}{key}.")
