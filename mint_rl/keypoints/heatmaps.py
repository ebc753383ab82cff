"""Gaussians and heatmaps (MINT, appendix A.3): the part of the image that a keypoint stands for.

A heatmap is 1 near its keypoint, falls to 0 and is exactly 0 beyond `support_radius`. The losses therefore
look only into a square window around each keypoint; the functions here build those windows.

Pixels are those of the entropy image. A coordinate x in [0, 1] lies at column x·(W−1), so that 0 and 1 are
the centres of the first and the last column; rows likewise.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor


def to_pixels(coordinates: Tensor, height: int, width: int) -> Tensor:
    """Coordinates (…, 2) in [0, 1] as x, y → pixel units: column in [0, W−1], row in [0, H−1]."""
    return coordinates * coordinates.new_tensor([width - 1, height - 1])


def gaussian(squared_distance: Tensor, sigma: float) -> Tensor:
    """G = exp(−d²/σ²), with d² in square pixels. There is no factor 2: σ is not a standard deviation."""
    return torch.exp(squared_distance * (-1.0 / sigma**2))


def heatmap(gaussians: Tensor, tau: float, eta: float) -> Tensor:
    """h = clamp(η·max(G − τ, 0), 0, 1): 1 in a plateau around the keypoint, 0 beyond the support radius."""
    return (eta * torch.relu(gaussians - tau)).clamp(max=1.0)


def support_radius(sigma: float, tau: float) -> float:
    """Distance in pixels beyond which a heatmap is 0: σ·√ln(1/τ)."""
    return sigma * math.sqrt(math.log(1.0 / tau))


@functools.lru_cache(maxsize=64)
def heatmap_area(sigma: float, tau: float, eta: float) -> float:
    """A_h, the sum over all pixels of a heatmap centred on a pixel far from the border."""
    reach = math.ceil(support_radius(sigma, tau))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    squared = offsets[:, None] ** 2 + offsets[None, :] ** 2
    return float(heatmap(gaussian(squared, sigma), tau, eta).sum())


def window_reach(sigma: float, tau: float) -> int:
    """Pixels to each side that a window needs around a rounded keypoint so as to hold its whole heatmap."""
    return math.ceil(support_radius(sigma, tau) + 0.5)


def window_positions(pixels: Tensor, reach: int) -> Tensor:
    """The columns and rows of the window around each keypoint.

    pixels: (…, 2) column, row. Returns integers (…, 2, n), n = 2·reach + 1; some lie outside the image, by at
    most `reach`. The positions carry no gradient.
    """
    offsets = torch.arange(-reach, reach + 1, device=pixels.device)
    return pixels.detach().round().long()[..., None] + offsets


def windowed_gaussian(pixels: Tensor, positions: Tensor, sigma: float) -> Tensor:
    """Gaussians of keypoints (…, 2) on the windows `positions` (…, 2, n): (…, n, n), rows before columns.

    The windows may be those of other keypoints. An exponential per row and per column is enough, since
    exp(−(a+b)) = exp(−a)·exp(−b).
    """
    along = gaussian((positions - pixels[..., None]) ** 2, sigma)  # (…, 2, n)
    return along[..., 1, :, None] * along[..., 0, None, :]


def gaussian_sum(pixels: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """ΣG over the keypoints (…, K, 2) on the whole image: (…, H, W), as one product of rows and columns."""
    columns = torch.arange(width, device=pixels.device)
    rows = torch.arange(height, device=pixels.device)
    across = gaussian((columns - pixels[..., 0:1]) ** 2, sigma)  # (…, K, W)
    down = gaussian((rows - pixels[..., 1:2]) ** 2, sigma)  # (…, K, H)
    return down.transpose(-1, -2) @ across
