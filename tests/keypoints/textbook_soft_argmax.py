"""The soft-argmax as its formula stands (MINT, Eq. 9): what the fast ones are compared with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def textbook_soft_argmax(maps: Tensor, window: float | None) -> tuple[Tensor, Tensor]:
    """Softplus, window, softmax and expectation, one after the other."""
    height, width = maps.shape[-2:]
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    places = torch.stack([x, y], -1).view(-1, 2).to(maps.dtype)
    flat = functional.softplus(maps).flatten(2)
    peaks, highest = flat.max(2)
    if window is not None:
        flat = flat - ((places - places[highest][:, :, None]) ** 2).sum(-1) / window**2
    return torch.softmax(flat, 2) @ places, peaks
