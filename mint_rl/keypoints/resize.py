"""Frames at the size that a network sees, by area averaging: each new pixel is the mean of what it covers."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def resize_frames(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames (N, H, W, C) at (height, width) by area averaging; untouched if they have that size."""
    height, width = size
    # OpenCV interpolates, and averages no areas, where one side grows: the side that shrinks goes first.
    shrunk = _resized(frames, min(height, frames.shape[1]), min(width, frames.shape[2]))
    return _resized(shrunk, height, width)


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


def _resized(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if frames.shape[1:3] == (height, width):
        return frames
    import cv2

    resized = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(resized).reshape(len(frames), height, width, frames.shape[-1])
