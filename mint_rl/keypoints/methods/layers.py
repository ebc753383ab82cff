"""The parts that detectors trained by reconstruction share: features of images, Gaussian maps, a decoder."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mint_rl.keypoints.heatmaps import gaussian, to_pixels


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padded: bool = True) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU: (N, inputs, H, W) → (N, outputs, ⌈H/stride⌉, ⌈W/stride⌉) where padded."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if padded else 0, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class ImageFeatures(nn.Module):
    """Features Φ(x) of images at a quarter of their resolution.

    Shapes:
        forward: (N, C, H, W) → (N, 4·width, ⌈H/4⌉, ⌈W/4⌉). Cell (i, j) is centred on pixel (4i, 4j).
    """

    stride, offset = 4, 0  # where the cells are: at pixel offset + stride·i

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.out_channels = 4 * width
        self.network = nn.Sequential(
            block(channels, width, 7),
            block(width, width),
            block(width, 2 * width, stride=2),
            block(2 * width, 2 * width),
            block(2 * width, 4 * width, stride=2),
            block(4 * width, 4 * width),
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images)
        return features


class LocalFeatures(nn.Module):
    """Features of receptive field 7, one a pixel: three 3×3 convolutions without padding.

    Shapes:
        forward: (N, C, H, W) → (N, width, H−6, W−6), 122×122 of 128×128. Cell (i, j) is centred on pixel
        (i+3, j+3).
    """

    stride, offset = 1, 3

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.out_channels = width
        self.network = nn.Sequential(
            block(channels, width, padded=False),
            block(width, width, padded=False),
            block(width, width, padded=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images)
        return features


class Decoder(nn.Module):
    """Images from feature maps: convolutions, between them bilinear upsampling to the image's size.

    doublings: how often the resolution doubles, and the channels halve, on the way.

    Shapes:
        forward: (N, inputs, h, w) → (N, C, H, W) for the given size (H, W); maps whose resolution is the
        image's but for a border are first filled up with zeros there.
    """

    def __init__(self, inputs: int, width: int, doublings: int, channels: int) -> None:
        super().__init__()
        widths = [width * 2**left for left in range(doublings, -1, -1)]
        self.first = block(inputs, widths[0])
        self.growing = nn.ModuleList(block(a, b) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # begin with an even image, or with none to add
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        if not self.growing:
            missing = (size[1] - features.shape[3], size[0] - features.shape[2])
            left, top = missing[0] // 2, missing[1] // 2
            features = functional.pad(features, (left, missing[0] - left, top, missing[1] - top))
        maps = self.first(features)
        for index, layer in enumerate(self.growing):
            left_over = 2 ** (len(self.growing) - 1 - index)
            target = [math.ceil(side / left_over) for side in size]
            maps = layer(functional.interpolate(maps, target, mode="bilinear", align_corners=False))
        images: Tensor = self.last(maps)
        return images


def gaussian_maps(
    coordinates: Tensor, size: tuple[int, int], stride: int, offset: int, sigma: float
) -> Tensor:
    """exp(−d²/(2σ²)) around keypoints, at the cells of a feature map: 1 at a keypoint, in (0, 1].

    coordinates: (…, K, 2) x, y in [0, 1] of an image of `size` (H, W). stride, offset: cell i of the map is
    centred on pixel offset + stride·i, and the map ends offset pixels before the image. sigma: standard
    deviation in image widths; d in the same units. Returns (…, K, h, w).
    """
    height, width = size
    pixels = to_pixels(coordinates, height, width)
    scale = math.sqrt(2) * sigma * width  # `gaussian` has no factor 2
    rows = torch.arange(offset, height - offset, stride, device=coordinates.device)
    columns = torch.arange(offset, width - offset, stride, device=coordinates.device)
    down = gaussian((rows - pixels[..., 1:2]) ** 2, scale)  # (…, K, h)
    across = gaussian((columns - pixels[..., 0:1]) ** 2, scale)  # (…, K, w)
    return down[..., :, None] * across[..., None, :]
