"""The state of an unfinished training run, in two files without pickle, from which it can go on.

`state.safetensors` holds the tensors of model and optimiser, `state.json` the plain numbers. The JSON is
written last and names the tensors' digest, so that a crash between the two is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.files import atomic_path, write_text

STATE_FILE = "state.json"
TENSORS_FILE = "state.safetensors"


def save_snapshot(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    values: dict[str, Any],
    tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write model, optimiser, JSON-able `values` and further `tensors`, replacing an earlier snapshot."""
    from safetensors.torch import save

    written = {f"model.{name}": tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    for number, entry in optimiser.state_dict()["state"].items():
        for name, value in entry.items():
            written[f"optimiser.{number}.{name}"] = torch.as_tensor(value).cpu()
    written |= {f"more.{name}": tensor for name, tensor in (tensors or {}).items()}
    data = save({name: tensor.contiguous() for name, tensor in written.items()})
    with atomic_path(folder / TENSORS_FILE) as temporary:
        temporary.write_bytes(data)
    write_text(folder / STATE_FILE, json.dumps({"digest": _digest(data), **values}, indent=2) + "\n")


def snapshot_values(folder: Path) -> dict[str, Any]:
    """The JSON-able values of a snapshot; `UserError` if there is none to use."""
    return _read(folder)[0]


def load_snapshot(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put a snapshot into model and optimiser; returns its values and further tensors.

    Raises `UserError` if there is none to use.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    values, data = _read(folder)
    try:
        tensors = load(data)
        model.load_state_dict(_under(tensors, "model."))
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in _under(tensors, "optimiser.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the unfinished run in '{folder}' does not fit this configuration: {reason}"
        ) from error
    return values, _under(tensors, "more.")


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    try:
        values: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        data = (folder / TENSORS_FILE).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no unfinished run in '{folder.parent}' to go on with") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"the unfinished run in '{folder.parent}' cannot be read: {error}") from error
    if not isinstance(values, dict) or values.pop("digest", None) != _digest(data):
        raise UserError(
            f"the two files of the unfinished run in '{folder}' do not belong together; start anew"
        )
    return values, data


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
