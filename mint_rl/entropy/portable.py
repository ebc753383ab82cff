"""Hard local entropy in operations that every graph format has, for encoders that leave this package.

An exported encoder cannot hold the operator `mint_rl::local_entropy`, whose kernels are ours.
`decompositions` says what PyTorch puts in its place: the same numbers from comparisons, sums and logarithms,
without one bin after the other. With n_i the number of values in the region that equal its i-th value,

    Σ_b n_b ln n_b = Σ_i ln n_i,  so  E = ln M − (1/M) Σ_i ln n_i  over the M values of the region.

Binarised images need one sum alone: n values are white and M − n black.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import mint_rl.entropy.operator  # noqa: F401  # defines mint_rl::local_entropy
from mint_rl.entropy.reference import BINS


def decompositions(binarised: bool) -> dict[Any, Callable[..., Tensor]]:
    """For `ExportedProgram.run_decompositions`, if all images of the program are black and white, or not."""
    return {
        torch.ops.mint_rl.local_entropy.default: functools.partial(
            _decompose, binarised_entropy if binarised else hard_entropy
        )
    }


def binarised_entropy(images: Tensor, region: int) -> Tensor:
    """As `hard_entropy`, for images whose values are 0 or 255 (uint8), or 0 or 1 (floating)."""
    per_region = images.shape[1] * region**2
    # A convolution with ones counts exactly: all partial sums are whole numbers.
    white = functional.conv2d((images > 0).float(), torch.ones(1, images.shape[1], region, region))[:, 0]
    counts = torch.stack([white, per_region - white])
    return math.log(per_region) - torch.xlogy(counts, counts).sum(0) / per_region


def hard_entropy(images: Tensor, region: int) -> Tensor:
    """Entropy of the plain histogram of 256 levels, in nats.

    images: (N, C, H, W), uint8 or floating in [0, 1]. Returns float32 (N, H − region + 1, W − region + 1).
    """
    if images.is_floating_point():
        images = (images * (BINS - 1)).round().clamp(0, BINS - 1)
    height, width = (side - region + 1 for side in images.shape[-2:])
    values = torch.cat(
        [
            images[..., row : row + height, column : column + width]
            for row in range(region)
            for column in range(region)
        ],
        dim=1,
    )
    per_region = images.shape[1] * region**2
    total = torch.zeros_like(values[:, 0], dtype=torch.float32)
    for i in range(per_region):
        total = total + (values == values[:, i : i + 1]).float().sum(1).log()
    return math.log(per_region) - total / per_region


def _decompose(
    entropy: Callable[[Tensor, int], Tensor], images: Tensor, region: int, bandwidth: float
) -> Tensor:
    if bandwidth != 0:
        raise NotImplementedError("soft bins are for training; no encoder has them at inference")
    return entropy(images, region)
