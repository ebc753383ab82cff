"""The folder of an encoder: `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mint_rl.errors import UserError, unknown_name
from mint_rl.files import atomic_path, write_text
from mint_rl.hub import download, is_hub_id
from mint_rl.keypoints.encoder_config import EncoderConfig

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
SHIPPED = Path(__file__).parent.parent / "weights"


def shipped_encoders() -> list[str]:
    """The names of the encoders that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG_FILE}"))


def encoder_folder(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a shipped name, the folder itself, or that of a hub id (at a revision), fetched.

    A folder comes before a hub id of the same name. Raises `UserError` if there is none of them.
    """
    if str(source) in shipped_encoders():
        return SHIPPED / str(source)
    if Path(source).is_dir():
        return Path(source)
    if Path(source).exists():
        raise UserError(f"'{source}' is a file; an encoder is a folder of {CONFIG_FILE} and {WEIGHTS_FILE}")
    if is_hub_id(source):
        try:
            return download(str(source), (CONFIG_FILE, WEIGHTS_FILE), revision)
        except UserError as error:
            raise UserError(f"there is no encoder folder '{source}', and {error}") from error
    if len(Path(source).parts) > 1 or str(source).startswith((".", "~")):
        raise UserError(
            f"there is no encoder folder '{source}'; give one that 'mint-rl pretrain' wrote or one of the "
            f"shipped names: {', '.join(shipped_encoders())}"
        )
    raise unknown_name("encoder", str(source), [*shipped_encoders(), "or a folder"])


def write_encoder(folder: str | Path, config: EncoderConfig, state: Mapping[str, Tensor]) -> Path:
    """Write an encoder's configuration and weights, each file atomically; returns the folder."""
    from safetensors.torch import save

    folder = Path(folder)
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(data)
    write_text(folder / CONFIG_FILE, json.dumps(config.to_dict(), indent=2) + "\n")
    return folder


def read_config(folder: Path) -> EncoderConfig:
    """The configuration in an encoder's folder; `UserError` says what is wrong with it."""
    where = folder / CONFIG_FILE
    values = read_json_object(where, f"the encoder folder '{folder}'")
    try:
        return EncoderConfig.from_dict(values)
    except UserError as error:
        raise UserError(f"'{where}' does not describe an encoder: {error}") from error


def read_weights(encoder: nn.Module, folder: Path) -> None:
    """Load the weights in a folder into an encoder of the same shape; `UserError` for what does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS_FILE
    try:
        state = load_file(path)
    except FileNotFoundError as error:
        raise UserError(
            f"the encoder folder '{folder}' has no {path.name}; was it written by save_pretrained?"
        ) from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"'{path}' is damaged or not a safetensors file: {error}") from error
    fit_state(encoder, state, str(path))


def read_json_object(path: Path, owner: str) -> dict[str, Any]:
    """A JSON object from a file that `owner` should hold; `UserError` says what is wrong with it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{owner} has no {path.name}; was it written by save_pretrained?") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"'{path}' cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"'{path}' must hold a JSON object, not a {type(values).__name__}")
    return values


def fit_state(encoder: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Put `state` into the encoder; `UserError` names the first missing, foreign or misshapen tensor."""
    wanted = encoder.state_dict()
    missing = [name for name in wanted if name not in state]
    foreign = [name for name in state if name not in wanted]
    if missing or foreign:
        what = f"lacks the tensor '{missing[0]}'" if missing else f"holds a foreign tensor '{foreign[0]}'"
        raise UserError(f"'{where}' {what}; it was not written for this kind of encoder")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise UserError(
                f"'{where}': the tensor '{name}' is {tuple(state[name].shape)} but the configuration "
                f"beside it wants {tuple(tensor.shape)}"
            )
        if not bool(state[name].isfinite().all()):
            raise UserError(f"'{where}': the tensor '{name}' holds numbers that are not finite")
    encoder.load_state_dict(state)
