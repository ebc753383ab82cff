"""Encoding frames that are PyTorch tensors already: they are resized and encoded where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder


@torch.no_grad()
def encode_tensor(
    encoder: KeypointEncoder, frames: Tensor, descriptors: bool = False, batch_size: int = 8
) -> Tensor:
    """As `KeypointEncoder.encode` for uint8 frames (N, H, W, C) of any size: float32 (N, K, 3[+D]).

    The result lies where the encoder is; nothing passes through the CPU on the way.
    """
    with encoder.evaluating():
        found = [encoder(part, descriptors).to_tensor() for _, part in encoder.batches(frames, batch_size)]
    return torch.cat(found)
