"""The local-entropy operator in plain PyTorch: the definition to compare with, and the fallback everywhere.

One bin at a time, so that memory stays at a few times the input whatever the number of bins. With bin centres
k/255, interior edges e_k = (k − ½)/255 and open ends, a value x falls into bin k with the weight
w_k(x) = σ((x − e_k)/B) − σ((x − e_{k+1})/B); the weights of any x sum to one. With p_k the mean weight over
the M = C·R² values of a region, the entropy is E = −Σ_k p_k ln p_k (the MINT paper, equations 13 to 16, with
the sign of 13 put right and the end bins open).
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 256


def soft_entropy(images: Tensor, region: int, bandwidth: float) -> Tensor:
    """Entropy with soft bins, in nats.

    images: (N, C, H, W), floating in [0, 1] or uint8; H and W at least `region`.
    Returns (N, H − region + 1, W − region + 1), one value for every region inside: float64 for float64,
    else float32.
    """
    if images.dtype == torch.uint8:
        images = images.float() / (BINS - 1)
    per_region = images.shape[1] * region**2
    below = torch.full_like(images[:, 0], images.shape[1])
    entropy = images.new_zeros(_output_shape(images, region))
    for k in range(BINS):
        above = _share_above(images, k, bandwidth).sum(1)
        p = box_sum(below - above, region).div_(per_region)
        entropy -= torch.xlogy(p, p)
        below = above
    return entropy


def soft_entropy_backward(images: Tensor, grad: Tensor, region: int, bandwidth: float) -> Tensor:
    """Gradient of `soft_entropy`: ∂L/∂x = −(1/M) Σ_k w'_k(x)·A_k.

    grad: (N, H − region + 1, W − region + 1). A_k sums g·ln p_k over the regions that hold the value, and
    w'_k = (σ_k(1 − σ_k) − σ_{k+1}(1 − σ_{k+1}))/B. Returns a tensor like `images`.
    """
    per_region = images.shape[1] * region**2
    smallest = torch.finfo(images.dtype).tiny
    below = torch.full_like(images[:, 0], images.shape[1])
    slope_below = torch.zeros_like(images)
    result = images.new_zeros(images.shape)
    for k in range(BINS):
        shares = _share_above(images, k, bandwidth)
        above = shares.sum(1)
        slope_above = shares.mul_(1 - shares)
        p = box_sum(below - above, region).div_(per_region)
        message = _spread(grad * p.clamp_min(smallest).log(), region)
        result -= (slope_below - slope_above) * message[:, None]
        below, slope_below = above, slope_above
    return result.div_(per_region * bandwidth)


def hard_entropy(images: Tensor, region: int) -> Tensor:
    """Entropy of the plain histogram of 256 levels, in nats; shapes and types as in `soft_entropy`."""
    per_region = images.shape[1] * region**2
    levels = to_levels(images)
    entropy = torch.zeros(_output_shape(images, region), dtype=torch.float64, device=images.device)
    for k in range(BINS):
        count = box_sum((levels == k).sum(1, dtype=torch.int32), region)
        p = count.double().div_(per_region)
        entropy -= torch.xlogy(p, p)
    return entropy.clamp_min_(0).to(torch.float64 if images.dtype == torch.float64 else torch.float32)


def to_levels(images: Tensor) -> Tensor:
    """Grey levels 0..255 of `images` in [0, 1], rounded to the nearest (ties to the even one), as uint8."""
    return images if images.dtype == torch.uint8 else (images * 255).round_().clamp_(0, 255).to(torch.uint8)


def box_sum(images: Tensor, region: int) -> Tensor:
    """Sums over every region×region window inside (..., H, W): rows first, then columns."""
    height, width = images.shape[-2] - region + 1, images.shape[-1] - region + 1
    rows = images.narrow(-2, 0, height).clone()
    for offset in range(1, region):
        rows += images.narrow(-2, offset, height)
    columns = rows.narrow(-1, 0, width).clone()
    for offset in range(1, region):
        columns += rows.narrow(-1, offset, width)
    return columns


def _spread(messages: Tensor, region: int) -> Tensor:
    """The transpose of `box_sum`: each pixel receives the sum of the messages of the windows that hold it."""
    border = region - 1
    return box_sum(torch.nn.functional.pad(messages, (border,) * 4), region)


def _share_above(images: Tensor, k: int, bandwidth: float) -> Tensor:
    """σ((x − e_{k+1})/B): the share of each value that lies above bin k; nothing lies above the last."""
    if k == BINS - 1:
        return torch.zeros_like(images)
    return torch.sigmoid((images - (k + 0.5) / (BINS - 1)) / bandwidth)


def _output_shape(images: Tensor, region: int) -> tuple[int, int, int]:
    return images.shape[0], images.shape[2] - region + 1, images.shape[3] - region + 1
