"""The state dicts that the authors of MINT published, read as encoders.

Their networks are unpadded (see `EncoderConfig.published`) and were trained on images normalised as
(pixel − 0.5)/0.5 with pixels in 0..255. Files are read with PyTorch's weights-only loader, which makes
tensors and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.encoder_files import fit_state

# Feature-map size (height, width), kept in the state dict's buffers → size of the images.
_IMAGE_SIZES = {(135, 135): (96, 96), (119, 171): (320, 480)}


def load_published(path: str | Path, gamma: float | None = None) -> KeypointEncoder:
    """An encoder from one of the authors' `.pt` files.

    gamma: the threshold at inference. By default 15 for the MAGICAL networks, as in the authors' behaviour
    cloning (they were trained at 10), and the 10 of training for others. Raises `UserError` for other files.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader's complaints about foreign files are of many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"'{path}' cannot be read as a PyTorch state dict: {reason}") from error
    size = _map_size(state)
    if size is None:
        raise UserError(f"'{path}' is not a state dict of the published MINT keypoint detector")
    weights = {
        "network" + name.removeprefix("model"): tensor
        for name, tensor in state.items()
        if name.startswith("model.")
    }
    if gamma is None:
        gamma = 15.0 if size == (135, 135) else 10.0
    keypoints, channels = state["model.0.weight"].shape[:2]
    config = EncoderConfig.published(
        *_IMAGE_SIZES[size], num_keypoints=int(keypoints), in_channels=int(channels), gamma=gamma
    )
    encoder = KeypointEncoder(config)
    fit_state(encoder, weights, str(path))
    return encoder


def _map_size(state: object) -> tuple[int, int] | None:
    if not isinstance(state, dict):
        return None
    needed = [state.get(name) for name in ("gaussians.y_vals", "gaussians.x_vals", "model.0.weight")]
    if not all(isinstance(tensor, Tensor) for tensor in needed):
        return None
    size = (needed[0].numel(), needed[1].numel())  # type: ignore[union-attr]
    return size if size in _IMAGE_SIZES and needed[2].ndim == 4 else None  # type: ignore[union-attr]
