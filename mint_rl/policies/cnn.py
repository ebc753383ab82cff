"""The CNN agent of the paper (appendix E.5): four stacked frames of pixels, trained from scratch.

Five blocks of convolution, ReLU and batch normalisation, flattened into a linear layer; then an MLP of widths
128, 64, 32, 32. The paper leaves open the padding and the size of the linear layer: here k // 2, so that
96 × 96 halves to 6 × 6, and 256.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.options import option
from mint_rl.policies.base import (
    ImitationNetwork,
    ImitationPolicy,
    PolicyConfig,
    Reading,
    mlp,
    require_positive,
)

_FILTERS = (64, 128, 128, 128, 128)
_FEATURES = 256
_HEAD = (128, 64, 32, 32)


@dataclass
class CNNConfig(PolicyConfig):
    """The options of the CNN agent."""

    name: str = "cnn"
    width: float = option(1.0, "factor on the number of filters; 0.25 trains about ten times faster")
    shift: int = option(
        4, "random shift of the training images by up to this many pixels; 0: none, as in the paper"
    )
    colour: float = option(0.0, "random change of their colours, from 0, none, to 1, any")
    rotation: float = option(0.0, "random turn of them by up to this many degrees")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "width")
        for name, highest in (("shift", math.inf), ("colour", 1.0), ("rotation", 180.0)):
            value = getattr(self, name)
            if not 0 <= value <= highest:
                upto = f" and at most {highest:g}" if math.isfinite(highest) else ""
                raise UserError(f"the policy option '{name}' must be at least 0{upto}, got {value}")


class CNNNetwork(ImitationNetwork):
    """Stacked frames (B, T, H, W, C) uint8 → features (B, 32). There is no dynamics head."""

    def __init__(self, observation_space: spaces.Space[Any], config: CNNConfig) -> None:
        frames, height, width, channels = _image_layout(observation_space)
        super().__init__(observation_space, features_dim=_HEAD[-1])
        blocks: list[nn.Module] = []
        before = frames * channels
        for index, filters in enumerate(_FILTERS):
            after = max(1, round(filters * config.width))
            kernel, stride = (5, 1) if index == 0 else (3, 2)
            blocks += [
                nn.Conv2d(before, after, kernel, stride, kernel // 2),
                nn.ReLU(),
                nn.BatchNorm2d(after),
            ]
            if stride == 2:
                height, width = (height + 1) // 2, (width + 1) // 2
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Linear(before * height * width, _FEATURES), nn.ReLU(), mlp(_FEATURES, *_HEAD), nn.ReLU()
        )

    def read(self, observations: Tensor) -> Reading:
        images = observations.permute(0, 1, 4, 2, 3).flatten(1, 2)
        # Pixels in [−1, 1]; channels last is the faster layout for convolutions on a CPU.
        images = images.to(torch.float32).contiguous(memory_format=torch.channels_last) / 127.5 - 1
        return Reading(self.head(self.blocks(images).flatten(1)))


class CNNPolicy(ImitationPolicy):
    """Convolutional network over pixels: `FrameStackObservation(env, 4)`."""

    name = "cnn"
    config_class = CNNConfig
    network_class = CNNNetwork


def _image_layout(space: spaces.Space[Any]) -> tuple[int, int, int, int]:
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 4:
        raise UserError(
            "the CNN agent reads uint8 observations of shape (frames, height, width, channels), but the "
            f"environment gives {space}: wrap it as FrameStackObservation(env, 4)"
        )
    frames, height, width, channels = space.shape
    return frames, height, width, channels
