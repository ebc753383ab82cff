"""What every way of training a keypoint encoder has in common, so that one loop trains them all.

A method is a dataclass of settings and a module around the encoder that turns frames and their keypoints into
a loss. What comes out of training is the encoder alone: what a method adds to it, such as a decoder, is
trained, kept in snapshots and resumed with it, and then left behind. The methods are in `methods/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn

from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class Needs(NamedTuple):
    """What a method wants to see of the videos."""

    frames: int = 2  # T, frames of a clip
    gap: int = 1  # largest distance in time between neighbours in a clip; every clip draws its own
    entropy: bool = False  # entropy images of the frames
    apart: bool = False  # whether the frames of a clip may be turned and moved each on its own


class Clips(NamedTuple):
    """B clips of T frames each, as the encoder is to see them."""

    frames: Tensor  # (B, T, H, W, C) uint8, placed at random
    entropy: Tensor | None  # (B, T, H, W) in nats, as in the video; None where no method asked for it
    back: Tensor  # (B, T, 2, 3): [x, y, 1] of a placed frame, x and y in [0, 1], → x, y in the video
    extra: Mapping[str, Tensor] = _NOTHING  # what `Method.extra` drew and `Method.see` found

    def in_video(self, coordinates: Tensor) -> Tensor:
        """Keypoints (B, T, K, 2) of the placed frames in the coordinates of the video, cut at its border."""
        back = self.back.to(coordinates.device)
        turned = coordinates @ back[..., :2].mT + back[..., None, :, 2]
        return turned.clamp(0.0, 1.0)


@dataclass
class MethodConfig:
    """The settings of a method: `loss.<name>` of a pretraining run."""

    def needs(self) -> Needs:
        """What the method wants to see of the videos."""
        return Needs()

    def encoder_settings(self) -> dict[str, Any]:
        """How the encoder reads keypoints from its feature maps: settings of `EncoderConfig`."""
        return {}

    def build(self, encoder: KeypointEncoder) -> Method:
        """The module that trains `encoder`. The run's seed has been set: PyTorch's generator may be used."""
        raise NotImplementedError


class Method(nn.Module):
    """A way of training an encoder. One optimiser trains all of its parameters, the encoder's among them.

    Attributes:
        encoder: What is trained, and all that is kept in the end.
        advice: What to do about a sign of failure, by its kind (see `training/failure_signs.py`).
    """

    advice: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, encoder: KeypointEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def see(self, frames: Tensor) -> tuple[Keypoints, Mapping[str, Tensor]]:
        """Keypoints of frames (N, H, W, C), and what else of the encoder's work goes to `clips.extra`."""
        return self.encoder(frames), _NOTHING

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What Adam is given: all parameters, perhaps with settings other than the learning rate."""
        return [{"params": list(self.parameters())}]

    def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, Tensor]:
        """The loss of some clips: scalars by name, of which "total" is minimised and all are logged.

        keypoints: of every frame, (B, T, K, …), in the coordinates of the frames as they are placed. Nothing
        in here may be random: a resumed run must repeat it.
        """
        raise NotImplementedError

    def extra(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """What a step of `number` clips needs besides them, drawn from `rng` alone, in the background."""
        return {}
