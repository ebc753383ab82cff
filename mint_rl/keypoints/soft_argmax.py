"""The spatial soft-argmax: where a feature map is high (MINT, Eq. 9), and how high."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mint_rl.compiled import kernels_of

_KERNELS = "mint_rl.keypoints.soft_argmax_kernels"
HEATMAPS = ("softplus-softmax", "softmax", "softplus")


def soft_argmax(
    maps: Tensor, window: float | None = None, heatmap: str = "softplus-softmax"
) -> tuple[Tensor, Tensor]:
    """Expected place under each feature map made a distribution, and the map's maximum.

    maps: (N, K, h, w) as the last layer gives them, before the softplus.
    window: weigh places by exp(−d²/window²) of their distance d to the maximum, in image sides.
    heatmap: how a map m becomes a distribution over places: "softplus-softmax", the softmax of ln(1 + eᵐ)
        (MINT); "softmax", eᵐ/Σeᵐ (Transporter); "softplus", ln(1 + eᵐ) over its sum (Video Structure).
    Returns coordinates (N, K, 2), x and y in [0, 1], and peaks (N, K), softplus included.

    In the first, neither softplus nor softmax is computed over the map: exp(softplus(m)) = 1 + exp(m), so the
    weights are exp(m − c) + exp(−c) for any c, here the maximum or 0; and the window is a product of rows and
    columns. That takes half the time, and sums of 64 numbers round less than sums of 4,096. On the CPU, where
    no gradient is wanted, a kernel does the same in a quarter of that.
    """
    kernels = kernels_of(_KERNELS) if heatmap == "softplus-softmax" and _for_a_kernel(maps) else None
    if kernels is not None:
        places, heights = maps.new_empty(*maps.shape[:2], 2), maps.new_empty(maps.shape[:2])
        # Channels last is how the convolutions leave a batch: then this copies nothing.
        lines = maps.detach().permute(0, 2, 3, 1).contiguous().numpy()
        kernels.expected_places(lines, np.float32(window or math.inf), places.numpy(), heights.numpy())
        return places.clamp_(0.0, 1.0), _softplus(heights)
    return portable_soft_argmax(maps, window, heatmap)


def portable_soft_argmax(
    maps: Tensor, window: float | None = None, heatmap: str = "softplus-softmax"
) -> tuple[Tensor, Tensor]:
    """`soft_argmax` in PyTorch's own operations, for every device, with a gradient."""
    height, width = maps.shape[-2:]
    maps = maps.contiguous()
    columns = torch.linspace(0, 1, width, device=maps.device, dtype=maps.dtype)
    rows = torch.linspace(0, 1, height, device=maps.device, dtype=maps.dtype)
    with torch.no_grad():
        row = maps.amax(3).argmax(2, keepdim=True)
        line = maps.gather(2, row[..., None].expand(-1, -1, -1, width))[:, :, 0]
        column = line.argmax(2, keepdim=True)
    peaks = maps.flatten(2).gather(2, row * width + column)
    level = peaks.detach().clamp(min=0)
    if heatmap == "softplus-softmax":
        weights = torch.exp(maps - level[..., None]) + torch.exp(-level)[..., None]
    elif heatmap == "softmax":
        weights = torch.exp(maps - peaks.detach()[..., None])
    else:
        # Where the whole map is far below 0 its softplus is 0: the same place as in an even map.
        weights = functional.softplus(maps) + 1e-6
    if window is not None:
        weights = weights * torch.exp(-(((columns - columns[column]) / window) ** 2))[:, :, None]
        weights = weights * torch.exp(-(((rows - rows[row]) / window) ** 2))[..., None]
    across, down = weights.sum(2), weights.sum(3)
    moments = torch.stack([(across * columns).sum(2), (down * rows).sum(2)], 2)
    coordinates = moments / across.sum(2)[..., None]
    # A map that peaks on the border can land beyond it by a rounding error.
    return coordinates.clamp(0.0, 1.0), _softplus(peaks[..., 0])


def _softplus(values: Tensor) -> Tensor:
    """ln(1 + eˣ), written so that a rounding error of exp, which depends on the batch, is lost in the sum."""
    return values.clamp(min=0) + torch.log1p(torch.exp(-values.abs()))


def _for_a_kernel(maps: Tensor) -> bool:
    wanted = torch.is_grad_enabled() and maps.requires_grad
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return maps.device.type == "cpu" and maps.dtype == torch.float32 and not wanted and not recorded
