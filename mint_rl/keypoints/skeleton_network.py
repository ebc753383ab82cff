"""The networks of KeypointGAN: an image becomes a skeleton picture, the picture K feature maps.

Φ, an image-to-image network, sees the image alone; the regressor η sees the picture alone, so that keypoints
know no more than what the picture shows (Jakab et al., 2020, section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

WIDTHS = (16, 32, 64, 32, 16, 1)  # channels of Φ's stages, the last of which is the picture
_REGRESSOR_WIDTH = 32
_EMPTY = -3.5  # where Φ begins, before its sigmoid: with a picture that is nearly empty


class SkeletonNetwork(nn.Sequential):
    """Φ and η. The picture has half the image's sides, from 0 where it is empty to 1 on a line.

    η learns from drawn pictures alone: while training, gradients of keypoints pass through it to Φ without
    reaching its weights, or the two would agree on a code of their own.

    Shapes:
        stages: (N, C, H, W) → Φ's six feature maps, of which the last is the picture (N, 1, H/2, W/2), and
            the K maps of η, (N, K, H/2, W/2).
    """

    def __init__(self, channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.translator = UNet(channels, 1, first_stride=2)  # Φ, before its sigmoid
        self.regressor = Regressor(num_keypoints)  # η, which follows
        assert self.translator.last.bias is not None
        nn.init.constant_(self.translator.last.bias, _EMPTY)

    def stages(self, images: Tensor) -> list[Tensor]:
        """All feature maps, as described."""
        found = self.translator.stages(images)
        picture = found[-1].sigmoid()
        maps = fixed(self.regressor, picture) if self.training else self.regressor(picture)
        return [*found[:-1], picture, maps]

    def picture(self, images: Tensor) -> Tensor:
        """y = Φ(x): (N, C, H, W) → (N, 1, H/2, W/2)."""
        return self.translator.stages(images)[-1].sigmoid()


class UNet(nn.Module):
    """Three stages down, two up with skip connections, a last convolution: (N, I, H, W) → (N, O, h, w)."""

    def __init__(self, inputs: int, outputs: int, first_stride: int = 1) -> None:
        super().__init__()
        a, b, c, d, e, _ = WIDTHS
        self.down = nn.ModuleList(
            [
                _block(inputs, a, 5, first_stride),
                _block(a, b, 3, 2),
                nn.Sequential(_block(b, c, 3, 2), _block(c, c, 3, 1)),
            ]
        )
        self.up = nn.ModuleList([_block(c + b, d, 3, 1), _block(d + a, e, 3, 1)])
        self.last = nn.Conv2d(e, outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images)[-1]

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps after each of the six stages."""
        found, maps = [], images
        for layer in self.down:
            maps = layer(maps)
            found.append(maps)
        for layer, skipped in zip(self.up, (found[1], found[0]), strict=True):
            maps = layer(_joined(maps, skipped))
            found.append(maps)
        return [*found, self.last(maps)]


class Regressor(nn.Module):
    """η: pictures (N, 1, h, w) → K feature maps of the same size, each highest at its keypoint."""

    def __init__(self, num_keypoints: int) -> None:
        super().__init__()
        width = _REGRESSOR_WIDTH
        self.first = nn.Sequential(nn.Conv2d(1, width, 5, 2, 2), nn.LeakyReLU(0.1))
        self.second = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.LeakyReLU(0.1),
        )
        self.third = nn.Sequential(nn.Conv2d(3 * width, width, 3, 1, 1), nn.LeakyReLU(0.1))
        self.last = nn.Conv2d(width, num_keypoints, 3, 1, 1)
        initialise(self)
        nn.init.normal_(self.last.weight, 0.0, 0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        near = self.first(pictures)
        maps = self.last(self.third(_joined(self.second(near), near)))
        return functional.interpolate(maps, pictures.shape[-2:], mode="bilinear", align_corners=False)


class Discriminator(nn.Module):
    """D: pictures (N, 1, h, w) → two judgements each, (N, 2).

    The first is of shapes wherever they are: features of 17×17 pixels, averaged over the picture and their
    largest. The second is of the picture as a whole, of where and how many there are.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_leaky(1, 32, 5, 2), *_leaky(32, 64, 3, 2), *_leaky(64, 64, 3, 1))
        self.shapes = nn.Sequential(nn.Linear(128, 64), nn.LeakyReLU(0.1), nn.Linear(64, 1))
        places = -(-height // 8) * -(-width // 8)
        self.whole = nn.Sequential(*_leaky(64, 64, 3, 2), nn.Flatten(), nn.Linear(64 * places, 1))
        initialise(self)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.features(pictures)
        flat = maps.flatten(2)
        # Lines cover little of a picture: without the factor the mean would hardly be seen.
        found = torch.cat([16.0 * flat.mean(2), flat.amax(2)], 1)
        return torch.cat([self.shapes(found), self.whole(maps)], 1)


def _leaky(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.LeakyReLU(0.1)]


def initialise(network: nn.Module) -> None:
    """Kaiming-normal convolutions: PyTorch's own let a thin line's signal fade within three layers."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, 0.1)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def fixed(module: nn.Module, inputs: Tensor) -> Tensor:
    """module(inputs), whose gradient reaches the inputs but not the module."""
    output: Tensor = functional_call(module, {n: p.detach() for n, p in module.named_parameters()}, (inputs,))
    return output


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    # Not BatchNorm: an adversary's batches of real and drawn pictures have different statistics.
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    return nn.Sequential(convolution, nn.GroupNorm(4, outputs), nn.LeakyReLU(0.1))


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(coarse, fine.shape[-2:], mode="nearest"), fine], 1)
