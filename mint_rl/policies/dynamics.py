"""Learned dynamics of keypoints: the interaction network as a model of what moves next.

MINT, "Downstream task II: learning dynamics" and appendix E.4: keypoints of a window of four frames are the
nodes of a fully connected graph, one interaction step lets them act on each other, a decoder reads where each
will be. What differs from the paper:

- The decoder predicts movement, in units of the training set's typical one, to be added to the last place: a
  network that knows nothing predicts that all stays where it is.
- It predicts the status too, so that its own predictions can be fed back for more than one step.
- Where an earlier frame did not see a keypoint, its place there means nothing: the last place stands in.
- It can be told the action, of which all else is a consequence where a robot acts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.files import atomic_path, write_text
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.options import option
from mint_rl.policies.base import mlp
from mint_rl.policies.graph import fully_connected
from mint_rl.policies.node_features import POSE, NodeFeatures

FORMAT = "mint-rl dynamics"
FORMAT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
MODEL_FOLDER = "model"  # of a run folder

ACTIVE = 0.5
JUMP = 0.1  # of the image's side: a keypoint that is so far off one frame later has not moved but been lost
_STATUS_GAIN = 4.0  # before training, what is active stays active with 98 %


@dataclass
class DynamicsNetworkConfig:
    """The options of the network."""

    hidden: int = option(32, "features of a node")
    rounds: int = option(1, "interaction steps; 0: every keypoint on its own, the control without a graph")

    def __post_init__(self) -> None:
        for name, lowest in (("hidden", 1), ("rounds", 0)):
            if getattr(self, name) < lowest:
                raise UserError(f"the network's option '{name}' must be at least {lowest}")


class KeypointDynamics(nn.Module):
    """Keypoints of T frames (B, T, K, 3 + D) → those of the next (B, K, 3): x, y and status.

    x and y are shares of the image's sides, as an encoder gives them; the status is the probability of being
    active. Descriptors, where there are any, stay those of the last frame that was seen: what is predicted
    has none of its own.

        model = load_dynamics("runs/dynamics")
        following = model.predict(encoder.read_video(frames, descriptors=True)[-4:])  # (K, 3)

    Args:
        num_keypoints: K.
        descriptor_dim: D.
        frames: T, the length of the window.
        num_actions: How many discrete actions it can be told; 0: it is told none.
        config: The network's options.
    """

    edge_index: Tensor
    scale: Tensor

    def __init__(
        self,
        num_keypoints: int,
        descriptor_dim: int = 0,
        frames: int = 4,
        num_actions: int = 0,
        config: DynamicsNetworkConfig | None = None,
    ) -> None:
        super().__init__()
        from mint_rl.policies.interaction_layer import InteractionLayer  # torch-geometric: two seconds

        self.num_keypoints, self.descriptor_dim = num_keypoints, descriptor_dim
        self.frames, self.num_actions = frames, num_actions
        self.config = config = config or DynamicsNetworkConfig()
        self.inputs = NodeFeatures(frames, descriptor_dim, differences=True)
        self.embed = nn.Linear(self.inputs.features, config.hidden)
        self.identity = nn.Parameter(0.3 * torch.randn(num_keypoints, config.hidden))
        self.action = nn.Embedding(num_actions, config.hidden) if num_actions else None
        self.norm = nn.LayerNorm(config.hidden)
        self.layers = nn.ModuleList(
            InteractionLayer(num_keypoints, config.hidden, grouped=True) for _ in range(config.rounds)
        )
        self.decoder = mlp(config.hidden, config.hidden, POSE)
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.register_buffer("edge_index", fully_connected(num_keypoints), persistent=False)
        self.register_buffer("scale", torch.full((2,), 0.01))

    def fit(self, keypoints: Tensor, movements: Tensor) -> None:
        """Take the units of inputs and outputs from the training set.

        keypoints (N, K, 3 + D): by them descriptors are standardised. movements (M, 2): from frame to frame,
        of keypoints that were active in both; their deviation is the unit of what is predicted, jumps left
        out.
        """
        self.inputs.fit(keypoints)
        small = movements[movements.norm(dim=-1) < JUMP]
        if len(small) > 1:
            self.scale.copy_(small.std(dim=0) + 1e-4)

    def forward(self, history: Tensor, actions: Tensor | None = None) -> Tensor:
        """The next keypoints (B, K, 3), given what is done (B,) int64 after the window's last frame."""
        last = history[:, -1]
        active = history[..., 2:POSE] > ACTIVE
        seen = active & active[:, -1:]
        places = torch.where(seen, history[..., :2], last[:, None, :, :2])
        nodes = self.embed(self.inputs(torch.cat([places, history[..., 2:]], dim=-1))) + self.identity
        if self.action is not None:
            assert actions is not None
            nodes = nodes + self.action(actions)[:, None]
        nodes = self.norm(torch.relu(nodes))
        # As in the interaction network: offsets in the units of [−1, 1] that the nodes are in.
        poses = last[..., :POSE] * last.new_tensor([2.0, 2.0, 1.0])
        for layer in self.layers:
            nodes = layer(nodes, poses, self.edge_index)
        decoded = self.decoder(nodes)
        moved = last[..., :2] + self.scale * decoded[..., :2]
        status = torch.sigmoid(_STATUS_GAIN * (2 * last[..., 2:POSE] - 1) + decoded[..., 2:])
        return torch.cat([moved, status], dim=-1)

    def roll_out(self, history: Tensor, steps: int, actions: Tensor | None = None) -> Tensor:
        """The next `steps` keypoints (B, steps, K, 3), each predicted from the predictions before it.

        actions: (B, steps) int64, where the model is told what is done.
        """
        predicted = []
        for step in range(steps):
            following = self(history, None if actions is None else actions[:, step])
            predicted.append(following)
            places = following[..., :2].clamp(0, 1)
            seen = torch.cat([places, following[..., 2:], history[:, -1, :, POSE:]], dim=-1)
            history = torch.cat([history[:, 1:], seen[:, None]], dim=1)
        return torch.stack(predicted, dim=1)

    def predict(self, history: NDArray[np.float32], action: Any = None) -> NDArray[np.float32]:
        """The next keypoints (K, 3) of one history (T, K, 3 + D), or (N, K, 3) of several (N, T, K, 3 + D).

        Of a longer history the last frames count; of a shorter one the first is repeated, as
        `FrameStackObservation` does. action: what is done next, a number or (N,), where the model is told.
        Raises `UserError` for other shapes, or an action that is missing, unknown or not asked for.
        """
        actions = None if action is None else np.asarray(action)[..., None]
        return self.forecast(history, 1, actions)[..., 0, :, :]

    @torch.no_grad()
    def forecast(self, history: NDArray[np.float32], steps: int, actions: Any = None) -> NDArray[np.float32]:
        """Like `predict`, several steps ahead: (steps, K, 3) or (N, steps, K, 3).

        actions: (steps,) or (N, steps), where the model is told what is done.
        """
        window = np.asarray(history, dtype=np.float32)
        wanted = (self.num_keypoints, POSE + self.descriptor_dim)
        if window.ndim not in (3, 4) or window.shape[-2:] != wanted or 0 in window.shape or steps < 1:
            raise UserError(
                f"this dynamics model reads histories of shape (frames, {wanted[0]}, {wanted[1]}), alone or "
                f"several, and predicts 1 step or more, not {window.shape} and {steps} steps"
            )
        alone = window.ndim == 3
        batch = torch.from_numpy(window[None] if alone else window)[:, -self.frames :]
        missing = self.frames - batch.shape[1]
        batch = torch.cat([batch[:, :1].expand(-1, missing, -1, -1), batch], dim=1)
        told = self._told(actions, len(batch), steps)
        device = self.scale.device
        found = self.roll_out(batch.to(device), steps, None if told is None else told.to(device))
        result: NDArray[np.float32] = found.cpu().numpy()
        return result[0] if alone else result

    def _told(self, actions: Any, histories: int, steps: int) -> Tensor | None:
        """Actions as (N, steps) int64; `UserError` where they are not as the model needs them."""
        if actions is None and not self.num_actions:
            return None
        if actions is None or not self.num_actions:
            raise UserError(
                f"this dynamics model is told which of {self.num_actions} actions is done: give it too"
                if self.num_actions
                else "this dynamics model was trained without actions: give none"
            )
        given = np.asarray(actions)
        given = given.reshape(1, -1) if given.ndim < 2 else given
        if given.shape != (histories, steps) or given.dtype.kind not in "iu":
            raise UserError(
                f"{histories} histories and {steps} steps need whole numbers of shape "
                f"({histories}, {steps}) as actions, not {given.dtype} of shape {given.shape}"
            )
        if given.min() < 0 or given.max() >= self.num_actions:
            raise UserError(
                f"actions are from 0 to {self.num_actions - 1}, but {given.min()} to {given.max()} are given"
            )
        return torch.from_numpy(given.astype(np.int64))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write `config.json` and `model.safetensors` into `folder`, each atomically; return the folder."""
        from safetensors.torch import save

        folder = Path(folder)
        data = save({name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()})
        with atomic_path(folder / WEIGHTS_FILE) as temporary:
            temporary.write_bytes(data)
        about = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **{name: getattr(self, name) for name in _SIZES},
            "network": asdict(self.config),
        }
        write_text(folder / CONFIG_FILE, json.dumps(about, indent=2) + "\n")
        return folder


_SIZES = ("num_keypoints", "descriptor_dim", "frames", "num_actions")


def load_dynamics(folder: str | Path) -> KeypointDynamics:
    """The model of a folder that `save_pretrained` wrote, frozen, or that of a run of `mint-rl dynamics`.

    The encoder whose keypoints it was trained on lies beside it, in `encoder/` of the same folder, for
    `load_encoder`. Raises `UserError` for a folder that is missing, incomplete or not of this format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = model_folder(folder)
    where = folder / CONFIG_FILE
    values = read_json_object(where, f"the folder '{folder}'")
    if values.get("format") != FORMAT or values.get("format_version") != FORMAT_VERSION:
        raise UserError(f"'{where}' does not describe a dynamics model of this version of mint-rl")
    try:
        config = DynamicsNetworkConfig(**values["network"])
        model = KeypointDynamics(**{name: int(values[name]) for name in _SIZES}, config=config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"'{where}' does not describe a dynamics model: {what}") from error
    path = folder / WEIGHTS_FILE
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"'{path}' is damaged or not a safetensors file: {error}") from error
    except RuntimeError as error:
        raise UserError(f"the weights in '{path}' are not those of the model in '{where}'") from error
    return model.eval().requires_grad_(False)


def model_folder(source: str | Path) -> Path:
    """Where a dynamics model is: in the folder, or in `model/` of a run folder."""
    folder = Path(source)
    for candidate in (folder / MODEL_FOLDER, folder):
        if (candidate / WEIGHTS_FILE).is_file() and (candidate / CONFIG_FILE).is_file():
            return candidate
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}'; 'mint-rl dynamics' writes one")
    raise UserError(
        f"'{folder}' holds no dynamics model: {CONFIG_FILE} and {WEIGHTS_FILE} are expected in it"
    )
