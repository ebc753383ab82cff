"""From words on the command line to a validated dataclass: Hydra's composition, with errors in sentences.

The dataclasses are the one source of names, types, defaults and help; they stand beside the code that uses
them. The YAML files in `mint_rl/configs/` only choose among them.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.resources
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mint_rl.errors import UserError, unknown_name
from mint_rl.keypoints.methods import METHODS

CONFIGS = "mint_rl.configs"  # the package of the YAML files
# Verb → dataclass, and policy → dataclass, by module so that nothing is imported before it is needed.
# Methods of pretraining have theirs in `METHODS`.
_SCHEMAS = {
    "pretrain": "mint_rl.training.pretrain_config:PretrainConfig",
    "bc": "mint_rl.training.bc_config:BCConfig",
    "evaluate": "mint_rl.training.evaluate:EvaluateConfig",
    "benchmark": "mint_rl.training.benchmark_config:BenchmarkConfig",
    "record": "mint_rl.training.record:RecordConfig",
    "export": "mint_rl.training.export:ExportConfig",
    "dynamics": "mint_rl.training.dynamics_config:DynamicsConfig",
    "keypoint_benchmark": "mint_rl.training.keypoint_benchmark_config:KeypointBenchmarkConfig",
    "keypoint_evaluation": "mint_rl.training.keypoint_evaluation:KeypointEvaluationConfig",
    "keypoint_merge": "mint_rl.training.merge:MergeConfig",
    "keypoint_probe": "mint_rl.training.probe:ProbeConfig",
    "keypoint_video": "mint_rl.viz.keypoint_video:KeypointVideoConfig",
    "keypoint_plot": "mint_rl.viz.keypoint_report:KeypointPlotConfig",
}
_POLICIES = {
    "interaction": "mint_rl.policies.interaction:InteractionConfig",
    "set-transformer": "mint_rl.policies.set_transformer:SetTransformerConfig",
    "mlp": "mint_rl.policies.mlp:MLPConfig",
    "cnn": "mint_rl.policies.cnn:CNNConfig",
}
POLICIES = tuple(_POLICIES)
# Configuration → the setting whose value is the name of a file of other defaults, and the folder of these
# files in configs/.
_GROUPS = {
    "benchmark": ("preset", "preset"),
    "keypoint_benchmark": ("preset", "keypoint_preset"),
    "pretrain": ("method", "method"),
}
# Configuration → the setting that decides which nested settings there are.
_CHOSEN_BY = {"bc": "policy", "pretrain": "method"}


@dataclass(frozen=True)
class Setting:
    """One key of a configuration, as help and flags need it."""

    key: str  # such as "steps" or "loss.sigma"
    kind: Any  # its type: int, float, str, bool or list
    default: Any
    meaning: str
    optional: bool = False  # whether it may be None


def load_config(name: str, overrides: Sequence[str] = ()) -> Any:
    """The configuration `name` ("pretrain", "bc", …) with Hydra overrides such as `steps=500` applied.

    Returns an instance of its dataclass. Raises `UserError` for an unknown key, a value of the wrong type,
    a value out of range, or text that is not an override.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for override in overrides:
        if "=" not in override:
            raise UserError(f"'{override}' is not a setting: write it as key=value, for instance seed=1")
        key, value = override.split("=", 1)
        if key == "policy" and name == "bc" and value not in _POLICIES:
            raise unknown_name("policy", value, _POLICIES)
        group, files = _GROUPS.get(name, ("", ""))
        if key == group and value.strip("'") not in group_choices(files):
            raise unknown_name(key, value.strip("'"), group_choices(files))
    overrides = _as_hydra_reads(name, overrides)
    try:
        return OmegaConf.to_object(_compose(name, overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(name, overrides, error) from error


def _as_hydra_reads(name: str, overrides: Sequence[str]) -> list[str]:
    """One value for a list, as in data=bouncing, stands for the list of that value, and none for nothing.

    "none" is what help calls the value of a setting that is not given; where a setting may not be None, it is
    a word like any other, as in preprocessing=none.
    """
    known = {setting.key: setting for setting in _settings(*_schema(name, _choice(_chosen(name, overrides))))}
    result = []
    for override in overrides:
        key, value = override.split("=", 1)
        setting = known.get(key)
        nothing = value.strip("'[]") == "none"
        if setting is not None and nothing and (setting.optional or setting.default == []):
            override = f"{key}={'null' if setting.optional else '[]'}"
        elif setting is not None and setting.kind is list and not re.match(r"\s*(\[|\$|null$|$)", value):
            quoted = value if value.strip()[0] in "\"'" else "'" + value.replace("'", "\\'") + "'"
            override = f"{key}=[{quoted}]"
        result.append(override)
    return result


def _chosen(name: str, overrides: Sequence[str]) -> list[str]:
    """The overrides that decide which nested settings there are."""
    return [override for override in overrides if override.split("=", 1)[0] == _CHOSEN_BY.get(name)]


def _choice(chosen: Sequence[str]) -> str | None:
    return chosen[0].split("=", 1)[1].strip("'") if chosen else None


def group_choices(group: str) -> list[str]:
    """The names by which a group of settings, such as "method", is chosen: the files of configs/<group>/."""
    folder = importlib.resources.files(CONFIGS) / group
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir())


def choice_of_settings(name: str) -> tuple[str, list[str]]:
    """The setting of a configuration that decides which nested settings there are, and what it may be.

    ("", []) where there is no such choice.
    """
    group = _CHOSEN_BY.get(name, "")
    known = {"": [], "policy": list(_POLICIES), "method": group_choices("method")}
    return group, known[group]


def settings(name: str, chosen: str | None = None) -> list[Setting]:
    """Every key of the configuration `name`, nested ones as a.b, in the order of the dataclass.

    chosen: the policy of "bc" or the method of "pretrain" whose settings are among them.
    """
    # A method's file has other defaults than the dataclass.
    defaults = load_config(name, [f"method={chosen}"]) if name == "pretrain" and chosen is not None else None
    return list(_settings(*_schema(name, chosen), defaults=defaults))


def _schema(name: str, chosen: str | None) -> tuple[type, dict[str, type]]:
    """The dataclass of a configuration, and those of its nested settings that a choice decides."""
    nested = {}
    if name == "bc":
        nested = {"policy": _load(_POLICIES[chosen or "interaction"])}
    elif name == "pretrain":
        nested = {"loss": _load(METHODS[_loss_of(chosen or "mint")])}
    return _load(_SCHEMAS[name]), nested


def _loss_of(method: str) -> str:
    """Whose loss a method has: the choice of "/loss" in its file, or in that of the method it is made of."""
    from omegaconf import OmegaConf

    file = importlib.resources.files(CONFIGS) / "method" / f"{method}.yaml"
    defaults = OmegaConf.create(file.read_text(encoding="utf-8")).defaults
    own = next((entry["/loss"] for entry in defaults if "/loss" in entry), None)
    return str(own) if own else _loss_of(next(entry for entry in defaults if entry != "_self_"))


def _settings(
    schema: type, nested: dict[str, type], prefix: str = "", defaults: Any = None
) -> Iterator[Setting]:
    kinds = typing.get_type_hints(schema)
    blank = schema() if type(defaults) is not schema else defaults
    for field in dataclasses.fields(schema):
        key, kind = f"{prefix}{field.name}", nested.get(field.name, kinds[field.name])
        if key == "policy.name":  # chosen by --policy, never by itself
            continue
        if dataclasses.is_dataclass(kind):
            yield from _settings(typing.cast(type, kind), {}, f"{key}.", getattr(blank, field.name))
        else:
            optional = type(None) in typing.get_args(kind)
            meaning = field.metadata.get("help", "")
            yield Setting(key, _plain(kind), getattr(blank, field.name), meaning, optional)


def _plain(kind: Any) -> Any:
    """`int | None` → int; `list[str]` → list."""
    options = [k for k in typing.get_args(kind) if k is not type(None)]
    if typing.get_origin(kind) is list:
        return list
    return options[0] if options else kind


def _load(path: str) -> type:
    module, name = path.split(":")
    loaded: type = getattr(importlib.import_module(module), name)
    return loaded


def _compose(name: str, overrides: Sequence[str]) -> Any:
    from hydra import compose, initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import MISSING, OmegaConf

    store = ConfigStore.instance()
    schema = OmegaConf.structured(_load(_SCHEMAS[name]))
    if name == "bc":
        # Left open, so that the chosen policy is not merged into the default one.
        schema.policy = MISSING
        for policy, path in _POLICIES.items():
            store.store(group="policy", name=policy, node=_load(path))
    if name == "pretrain":
        schema.loss = MISSING
        for method, path in METHODS.items():
            store.store(group="loss", name=method, node=_load(path))
    store.store(name=f"{name}_schema", node=schema)
    group, files = _GROUPS.get(name, ("", ""))
    overrides = [re.sub(f"^{group}=", f"{files}=", one) if group else one for one in overrides]
    # A program that already uses Hydra keeps its own state.
    previous = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(CONFIGS, version_base="1.3"):
            return compose(config_name=name, overrides=overrides)
    finally:
        GlobalHydra.instance().clear()
        if previous is not None:
            GlobalHydra.instance().initialize(previous)


def _explain(name: str, overrides: Sequence[str], error: Exception) -> UserError:
    """Hydra's and OmegaConf's messages run over several lines and speak of structs: one sentence."""
    from_validation = next((e for e in _chain(error) if isinstance(e, UserError)), None)
    if from_validation is not None:
        return from_validation
    chosen = _chosen(name, overrides)
    known = [setting.key for setting in settings(name, _choice(chosen))]
    known += ["policy"] if name == "bc" else []
    for override in overrides:
        key, value = override.split("=", 1)
        if key not in known:
            return unknown_name("setting", key, known)
        try:
            _compose(name, [*chosen, override])
        except Exception as reason:
            text = " ".join(" ".join(str(e) for e in _chain(reason)).split())
            wanted = re.search(r"(?:could not be converted to|is not a valid) (\w+)", text)
            what = f"it must be of type {wanted.group(1).lower()}" if wanted else text.split(".")[0]
            return UserError(f"cannot set {key} to {value}: {what}")
    return UserError("cannot read the settings: " + " ".join(str(error).split()))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
