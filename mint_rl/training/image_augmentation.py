"""Random changes to stacked frames that leave the right action as it is: moved, turned, in other colours."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def random_shift(images: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Shift each sample (B, T, H, W, C) by up to `limit` pixels both ways, its T frames together.

    The border is repeated outwards. Random shifts are what makes cloning from pixels work with few
    demonstrations.
    """
    batch, _, height, width, _ = images.shape
    if limit == 0:
        return images
    offsets = torch.randint(-limit, limit + 1, (2, batch, 1), generator=generator).to(images.device)
    down, right = offsets
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    sample = torch.arange(batch, device=images.device)[:, None, None]
    # Pixels first, so that what is gathered for a place is all of its frames and colours at once.
    by_place = images.permute(0, 2, 3, 1, 4)
    return by_place[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2, 4)


def random_rotation(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn each sample (B, T, H, W, C) uint8 about its middle by up to `degrees` both ways, bilinearly."""
    if degrees == 0:
        return images
    batch, frames, height, width, channels = images.shape
    angles = (torch.rand(batch, generator=generator) * 2 - 1) * math.radians(degrees)
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros(batch)
    turns = torch.stack([torch.stack([cos, -sin, none], 1), torch.stack([sin, cos, none], 1)], 1)
    planes = images.permute(0, 1, 4, 2, 3).flatten(1, 2).to(torch.float32)
    grid = functional.affine_grid(turns.to(images.device), list(planes.shape), align_corners=False)
    turned = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    turned = turned.round_().clamp_(0, 255).to(torch.uint8)
    return turned.view(batch, frames, channels, height, width).permute(0, 1, 3, 4, 2)


def random_colours(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change the colours of each sample (B, T, H, W, 3) uint8 by one random linear map, its frames alike.

    Colours c in [−½, ½]³ become (I + s·M) c + s·b/2 with entries of M and b uniform in [−1, 1]: brightness,
    contrast, saturation and hue at once. s, the strength, is from 0 to 1.
    """
    if strength == 0:
        return images
    batch, *_, channels = images.shape
    mixing = torch.rand(batch, channels, channels + 1, generator=generator) * 2 - 1
    mixing = (strength * mixing).to(images.device)
    matrix = torch.eye(channels, device=images.device) + mixing[..., :channels]
    offset = 0.5 * mixing[..., channels]
    colours = images.flatten(1, 3).to(torch.float32) / 255 - 0.5
    changed = torch.baddbmm(offset[:, None], colours, matrix.transpose(1, 2)) + 0.5
    return (255 * changed).round_().clamp_(0, 255).to(torch.uint8).view_as(images)
