"""Frames at the size that a network sees, as arrays and as tensors on any device."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from mint_rl.resize import resize_frames

__all__ = ["area_weights", "resize_frames", "resize_tensor"]


def resize_tensor(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """As `resize_frames` for uint8 tensors (N, H, W, C), on their device.

    The two agree but for rounding, to one level where a side grows or shrinks, to two where one does each.
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
