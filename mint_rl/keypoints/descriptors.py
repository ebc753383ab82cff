"""Descriptors: what the surroundings of a keypoint look like, as features of the encoder's own network.

A keypoint's coordinates do not tell how the object under it is turned; features of the image around it do.
They can be read in two ways:

maps   bilinear samples of the feature maps that the network has made of the whole image. They cost nothing,
       but the network strides over the image: what it reports of a scene depends on where the scene lies on
       its grid of 6 pixels.
crops  the first convolutions run once more, on a crop of the image with the keypoint at its very centre. The
       grid moves with the keypoint, so a scene that moves keeps its descriptors.

docs/descriptors.md compares them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mint_rl.keypoints.heatmaps import to_pixels


def sample_at(maps: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear samples of maps (N, D, h, w) at coordinates (N, P, 2) in [0, 1]: (N, P, D)."""
    grid = coordinates[:, :, None] * 2.0 - 1.0
    sampled = functional.grid_sample(maps, grid, mode="bilinear", align_corners=True)
    return sampled[..., 0].transpose(1, 2)


def crops_at(images: Tensor, coordinates: Tensor, side: int) -> Tensor:
    """Square crops centred on places between pixels, interpolated bilinearly.

    images: (N, C, H, W); coordinates: (N, P, 2) x, y in [0, 1]; side: pixels, odd. The border's pixels are
    repeated beyond it. Returns (N·P, C, side, side), the crops of an image one after another.
    """
    number, channels, height, width = images.shape
    pixels = to_pixels(coordinates, height, width)
    corner = pixels.floor()
    share = (pixels - corner).flatten(0, 1)[..., None, None]  # (N·P, 2, 1, 1)
    reach = torch.arange(-(side // 2), side // 2 + 2, device=images.device)
    columns = (corner[..., 0:1].long() + reach).clamp(0, width - 1)  # (N, P, side + 1)
    rows = (corner[..., 1:2].long() + reach).clamp(0, height - 1)
    first = torch.arange(number, device=images.device)[:, None, None, None] * (height * width)
    index = first + rows[..., :, None] * width + columns[..., None, :]
    # Channels last: one read of the image's memory a pixel. grid_sample takes four times as long.
    flat = images.permute(0, 2, 3, 1).reshape(-1, channels)
    whole = flat.index_select(0, index.flatten()).view(-1, side + 1, side + 1, channels)
    down = torch.lerp(whole[:, :-1], whole[:, 1:], share[:, 1:2])
    return torch.lerp(down[:, :, :-1], down[:, :, 1:], share[:, 0:1]).permute(0, 3, 1, 2)


def receptive_side(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """The side of the square of pixels that one output of some convolutions in a row depends on."""
    side, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        side += (kernel - 1) * step
        step *= stride
    return side


def centre_features(layers: Sequence[nn.Module], crops: Tensor) -> list[Tensor]:
    """Features at the centre of crops (M, C, side, side) after each stage: a list of (M, D).

    layers: convolution, activation and BatchNorm of the stages, one after another. `side` is the receptive
    side of all stages together, for they are applied without padding; BatchNorm uses its running statistics.
    """
    found = []
    for convolution, activation, norm in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        weights = convolution.weight, convolution.bias
        crops = functional.conv2d(crops, *weights, convolution.stride, groups=convolution.groups)
        crops = functional.batch_norm(
            activation(crops), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
        middle = crops.shape[-1] // 2
        found.append(crops[..., middle, middle])
    return found
