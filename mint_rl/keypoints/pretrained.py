"""Saving and loading encoders: a folder with `config.json` and `model.safetensors`, or a name that ships."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mint_rl.errors import UserError, unknown_name
from mint_rl.files import atomic_path, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from mint_rl.keypoints.encoder import KeypointEncoder

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
SHIPPED = Path(__file__).parent.parent / "weights"


def shipped_encoders() -> list[str]:
    """The names of the encoders that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG_FILE}"))


def load_encoder(source: str | Path | KeypointEncoder) -> KeypointEncoder:
    """A trained encoder, frozen and in evaluation mode.

    source: a shipped name, a folder written by `save_pretrained`, one of the authors' state dicts (`.pt`), or
    an encoder, which is frozen and returned. Raises `UserError`, in a sentence, for anything else.
    """
    from mint_rl.keypoints.encoder import KeypointEncoder

    if isinstance(source, KeypointEncoder):
        encoder = source
    elif str(source) in shipped_encoders():
        encoder = _read_folder(SHIPPED / str(source))
    elif Path(source).is_file() and Path(source).suffix in (".pt", ".pth"):
        from mint_rl.keypoints.published import load_published

        encoder = load_published(source)
    elif Path(source).is_dir():
        encoder = _read_folder(Path(source))
    elif Path(source).exists():
        raise UserError(f"'{source}' is a file; an encoder is a folder of {CONFIG_FILE} and {WEIGHTS_FILE}")
    elif len(Path(source).parts) > 1 or str(source).startswith((".", "~")):
        raise UserError(
            f"there is no encoder folder '{source}'; give one that 'mint-rl pretrain' wrote or one of the "
            f"shipped names: {', '.join(shipped_encoders())}"
        )
    else:
        raise unknown_name("encoder", str(source), [*shipped_encoders(), "or a folder"])
    return encoder.eval().requires_grad_(False)


def save_encoder(encoder: KeypointEncoder, folder: str | Path) -> Path:
    """Write an encoder's configuration and weights; see `KeypointEncoder.save_pretrained`."""
    from safetensors.torch import save

    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    data = save(state)
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(data)
    write_text(folder / CONFIG_FILE, json.dumps(dataclasses.asdict(encoder.config), indent=2) + "\n")
    return folder


def _read_folder(folder: Path) -> KeypointEncoder:
    from mint_rl.keypoints.encoder import EncoderConfig, KeypointEncoder

    where = folder / CONFIG_FILE
    values = read_json_object(where, f"the encoder folder '{folder}'")
    try:
        encoder = KeypointEncoder(EncoderConfig.from_dict(values))
    except UserError as error:
        raise UserError(f"'{where}' does not describe an encoder: {error}") from error
    read_weights(encoder, folder / WEIGHTS_FILE, f"the encoder folder '{folder}'")
    return encoder


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


def read_weights(encoder: KeypointEncoder, path: Path, owner: str) -> None:
    """Load a safetensors file into an encoder of the same shape; `UserError` for what does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{owner} has no {path.name}; was it written by save_pretrained?") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"'{path}' is damaged or not a safetensors file: {error}") from error
    fit_state(encoder, state, str(path))


def fit_state(encoder: KeypointEncoder, state: dict[str, Tensor], where: str) -> None:
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
