"""Encoding frames that are PyTorch tensors already: they are resized and encoded where they are."""

from __future__ import annotations

import functools
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
    training = encoder.training
    if training:
        encoder.eval()
    try:
        found = [
            encoder(resize_tensor(part, encoder.config.image_size), descriptors).to_tensor()
            for part in torch.split(frames.to(encoder.device), batch_size)
        ]
    finally:
        if training:
            encoder.train()
    return torch.cat(found)


def resize_tensor(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """As `resize_frames`: uint8 (N, H, W, C) at (height, width) by area averaging, on the frames' device.

    The two agree to one level: they round the same averages, which are summed in another order.
    """
    height, width = frames.shape[1:3]
    if (height, width) == size:
        return frames
    rows = area_weights(height, size[0]).to(frames.device)
    columns = area_weights(width, size[1]).to(frames.device)
    averages = torch.einsum("yh,nhwc,xw->nyxc", rows, frames.float(), columns)
    return averages.round().clamp(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=32)
def area_weights(length: int, target: int) -> Tensor:
    """The share of each of `length` pixels in each of `target` pixels over the same line: (target, length).

    A row sums to 1. It is the overlap of the new pixel with the old ones, over the new pixel's width.
    """
    edges = torch.arange(target + 1, dtype=torch.float64) * (length / target)
    pixel = torch.arange(length, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return (overlap.clamp(min=0) * (target / length)).float()
