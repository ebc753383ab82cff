"""What the entropy functions accept; a refusal is one sentence: the argument, its value, what is allowed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mint_rl.errors import UserError, unknown_name

REGIONS = (3, 5, 7, 9, 11)
BINS = ("hard", "soft")
PADDINGS = ("replicate", "reflect", "valid")
# Resizing and colour conversion leave values a rounding error outside [0, 1]; the end bins are open to them.
TOLERANCE = 1e-5


def check_images(images: Tensor) -> None:
    """Type and shape of `images`; `UserError` unless a (N, C, H, W) tensor of uint8 or of a float type."""
    if not isinstance(images, Tensor):
        raise UserError(f"images is {type(images).__name__}; it must be a torch.Tensor of shape (N, C, H, W)")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise UserError(
            f"images has dtype {images.dtype}; it must be torch.uint8 or a float type with values in [0, 1]"
        )
    if images.ndim != 4:
        raise UserError(
            f"images has shape {tuple(images.shape)}; it must have four dimensions, (N, C, H, W): "
            "add the batch or channel dimension with unsqueeze"
        )
    if images.shape[1] < 1:
        raise UserError(f"images has shape {tuple(images.shape)}; it must have at least one channel")


def check_settings(images: Tensor, region: int, bins: str, bandwidth: float, padding: str) -> None:
    """The other arguments of `local_entropy`, alone and against the size of `images`."""
    if isinstance(region, bool) or region not in REGIONS:
        raise UserError(f"region is {region!r}; it must be an odd number from 3 to 11")
    if bins not in BINS:
        raise unknown_name("bins", str(bins), BINS)
    if padding not in PADDINGS:
        raise unknown_name("padding", str(padding), PADDINGS)
    if isinstance(bandwidth, bool) or not isinstance(bandwidth, int | float) or not 0 < bandwidth < math.inf:
        raise UserError(
            f"bandwidth is {bandwidth!r}; it must be a finite number above 0, in units of the grey scale"
        )
    height, width = images.shape[2:]
    if padding == "valid" and min(height, width) < region:
        raise UserError(
            f"images of {height}×{width} hold no region of {region}×{region}; "
            "use a smaller region or padding='replicate'"
        )
    if padding == "reflect" and 0 < min(height, width) <= region // 2:
        raise UserError(
            f"images of {height}×{width} are too small to reflect {region // 2} pixels at their border; "
            "use padding='replicate'"
        )


def check_values(images: Tensor) -> None:
    """`UserError` if a floating `images` holds a NaN, an infinity or a value outside [0, 1]."""
    if images.dtype == torch.uint8 or images.numel() == 0:
        return
    low, high = (float(value) for value in torch.aminmax(images))
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError("images holds NaN or infinite values; all values must lie in [0, 1]")
    hint = "divide by 255" if low >= 0 and high <= 255 else "rescale it"
    raise UserError(
        f"images holds values from {low:g} to {high:g}; all must lie in [0, 1]: {hint}, or pass uint8"
    )
