"""Policy checkpoints: folders with `config.json`, `model.safetensors` and, for keypoint policies, `encoder/`.

The folder stands on its own: it holds a copy of the encoder, so a policy is never run on keypoints that
another encoder found. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mint_rl.errors import UserError
from mint_rl.files import atomic_path, writable_folder, write_text
from mint_rl.hub import download, is_hub_id, push
from mint_rl.policies.base import ImitationPolicy, PolicyContext, config_from_dict
from mint_rl.policies.registry import policy_class
from mint_rl.policies.space_json import space_from_json, space_to_json

FORMAT = "mint-rl policy"
FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ENCODER_FOLDER = "encoder"
_FILES = (
    CONFIG_FILE, WEIGHTS_FILE, f"{ENCODER_FOLDER}/{CONFIG_FILE}", f"{ENCODER_FOLDER}/{WEIGHTS_FILE}"
)  # fmt: skip


def save_policy(policy: ImitationPolicy, folder: str | Path) -> None:
    """Write a policy with its spaces, its configuration and what it was trained for.

    Files of an earlier checkpoint in `folder` are replaced one by one, each atomically. Raises `UserError`
    if the folder cannot be written.
    """
    folder = writable_folder(folder)
    context = policy.context
    if context is not None and context.encoder is not None:
        context.encoder.save_pretrained(folder / ENCODER_FOLDER)
    weights = {name: value.detach().cpu().contiguous() for name, value in _weights(policy).items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(weights, temporary)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "policy": policy.name,
        "config": asdict(policy.config),
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "context": None if context is None else _context_to_json(context),
    }
    write_text(folder / CONFIG_FILE, json.dumps(description, indent=2) + "\n")


def push_policy(
    policy: ImitationPolicy, hub_id: str, private: bool = False, message: str = "Policy of mint-rl"
) -> str:
    """Upload what `save_policy` writes to the Hugging Face hub as "user/name"; return its address.

    Needs the extra "hub" and a login there (`hf auth login`). Raises `UserError` where it fails.
    """
    task = f" for {policy.context.env_id}" if policy.context is not None else ""
    code = f'from mint_rl import load_policy\n\npolicy = load_policy("{hub_id}")'
    return push(
        lambda folder: save_policy(policy, folder),
        hub_id,
        f"The policy '{policy.name}'{task}, cloned from demonstrations.",
        code,
        private,
        message,
    )


def load_policy(folder: str | Path) -> ImitationPolicy:
    """The policy of a folder that `save_policy` wrote, on the CPU and in evaluation mode.

    A run folder of `mint-rl bc` is accepted too, whose checkpoint is in `policy/`, and a hub id
    ("user/name"). Raises `UserError` for a folder that is missing, incomplete or not of this format.
    """
    folder = policy_folder(folder)
    path = folder / CONFIG_FILE
    description = _read_json(path)
    try:
        if description["format"] != FORMAT or description["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"'{path}' is of the format {description['format']!r}, version "
                f"{description['format_version']!r}, not {FORMAT!r}, version {FORMAT_VERSION}"
            )
        cls = policy_class(description["policy"])
        config = config_from_dict(cls.config_class, description["config"], f"'{path}'")
        observation_space = space_from_json(description["observation_space"])
        action_space = space_from_json(description["action_space"])
        context = description["context"]
    except (KeyError, TypeError) as error:
        raise UserError(f"'{path}' is not a policy's description: {_missing(error)}") from error
    policy = cls(observation_space, action_space, config=config)
    _load_weights(policy, folder / WEIGHTS_FILE)
    policy.context = None if context is None else _context_from_json(context, folder)
    policy.set_training_mode(False)
    return policy


def _weights(policy: ImitationPolicy) -> dict[str, torch.Tensor]:
    """The state without the aliases that Stable-Baselines3 keeps of the shared network."""
    aliases = ("pi_features_extractor.", "vf_features_extractor.") if policy.share_features_extractor else ()
    return {name: value for name, value in policy.state_dict().items() if not name.startswith(aliases)}


def _load_weights(policy: ImitationPolicy, path: Path) -> None:
    try:
        weights = load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"the policy's weights '{path}' are missing") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"'{path}' is not a readable safetensors file: {error}") from error
    wanted = _weights(policy)
    for name, value in wanted.items():
        if name not in weights:
            raise UserError(f"'{path}' has no weights '{name}': it belongs to another policy")
        if weights[name].shape != value.shape:
            raise UserError(
                f"the weights '{name}' in '{path}' have shape {tuple(weights[name].shape)}, but "
                f"{CONFIG_FILE} beside it describes {tuple(value.shape)}"
            )
    unknown = sorted(set(weights) - set(wanted))
    if unknown:
        raise UserError(
            f"'{path}' holds weights '{unknown[0]}' that the policy '{policy.name}' does not have"
        )
    policy.load_state_dict(weights, strict=False)  # the aliases are filled with what they alias


def policy_folder(source: str | Path) -> Path:
    """Where a policy's checkpoint is: in the folder, in `policy/` of a run folder, or on the hub."""
    folder = Path(source)
    if is_hub_id(source) and not folder.exists():
        try:
            folder = download(str(source), _FILES)
        except UserError as error:
            raise UserError(f"there is no policy folder '{source}', and {error}") from error
    for candidate in (folder, folder / "policy"):
        if (candidate / CONFIG_FILE).is_file() and (candidate / WEIGHTS_FILE).is_file():
            return candidate
    if not folder.is_dir():
        raise UserError(f"there is no policy folder '{folder}'; 'mint-rl bc' writes one")
    raise UserError(f"'{folder}' holds no policy: {CONFIG_FILE} and {WEIGHTS_FILE} are expected in it")


def holds_policy(source: str | Path) -> bool:
    """Whether a folder, or what a hub id names, is a policy's checkpoint; an encoder's is none."""
    try:
        return _read_json(policy_folder(source) / CONFIG_FILE).get("format") == FORMAT
    except UserError:
        return False


def _read_json(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(description, dict):
        raise UserError(f"'{path}' is not a policy's description: it holds no JSON object")
    return description


def _context_to_json(context: PolicyContext) -> dict[str, Any]:
    return {
        "env_id": context.env_id,
        "env_kwargs": context.env_kwargs,
        "encoder": None
        if context.encoder is None
        else {"folder": ENCODER_FOLDER, "name": context.encoder_name},
        "temperature": context.temperature,
        "chunk": context.chunk,
    }


def _context_from_json(context: dict[str, Any], folder: Path) -> PolicyContext:
    from mint_rl.keypoints.pretrained import load_encoder

    try:
        env_id, env_kwargs, encoder = context["env_id"], context["env_kwargs"], context["encoder"]
        # Always the copy inside the checkpoint: a path from the file is not followed.
        loaded = None if encoder is None else load_encoder(folder / ENCODER_FOLDER)
        return PolicyContext(
            env_id,
            env_kwargs,
            loaded,
            "" if encoder is None else encoder["name"],
            float(context.get("temperature", 0.5)),
            int(context.get("chunk", 1)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"'{folder / CONFIG_FILE}' is not a policy's description: {_missing(error)}"
        ) from error


def _missing(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
