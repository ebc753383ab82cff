"""Stacked keypoint observations as node features of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.options import option
from mint_rl.policies.base import PolicyConfig
from mint_rl.policies.reference_frame import ReferenceFrame

POSE = 3  # x, y, status
# Standardised descriptors are many beside few coordinates; halved, neither drowns the other at the start.
_DESCRIPTOR_WEIGHT = 0.5
# A step moves the robot by a twentieth of the picture: five times that is a number to learn from.
_MOTION_WEIGHT = 5.0


@dataclass
class KeypointPolicyConfig(PolicyConfig):
    """What the networks on keypoints have in common: how they take the history."""

    differences: bool = option(
        False, "earlier places as differences to the last frame's, times 5, instead of as they are"
    )
    frame: bool = option(
        False, "keypoints also as the robot sees them, from a pose that is learned (see --pose-weight)"
    )


def keypoint_layout(space: spaces.Space[Any]) -> tuple[int, int, int]:
    """Frames T, keypoints K and descriptor features D of an observation space (T, K, 3 + D).

    Raises `UserError` for a space that is not stacked keypoints.
    """
    if not isinstance(space, spaces.Box) or space.dtype != np.float32 or len(space.shape) != 3:
        raise UserError(
            "a keypoint policy reads float32 observations of shape (frames, keypoints, 3 + descriptors), but "
            f"the environment gives {space}: wrap it as FrameStackObservation(KeypointObs(env), 4)"
        )
    frames, keypoints, channels = space.shape
    if channels < POSE or keypoints < 2:
        raise UserError(
            "a keypoint policy reads at least 2 keypoints with x, y and status each, but the observations "
            f"have shape {space.shape} (frames, keypoints, features)"
        )
    return frames, keypoints, channels - POSE


class NodeFeatures(nn.Module):
    """(B, T, K, 3 + D) → (B, K, 3·T + D): x, y, status of all T frames and the descriptors of the last.

    Coordinates are mapped from [0, 1] to [−1, 1]. With `differences` those of the frames before the last are
    5·(p_t − p_T): the same knowledge, in numbers as large as the others. Descriptors are standardised with
    the mean and the standard deviation of each feature over the training set, which are saved with the
    weights (`fit`).

    With `framed`, the number of keypoints, every node also knows where it lies in a frame of reference that
    is learned (`ReferenceFrame`); at 0 there is none.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, frames: int, descriptor_dim: int, differences: bool = False, framed: int = 0) -> None:
        super().__init__()
        self.frames = frames
        self.descriptor_dim = descriptor_dim
        self.differences = differences
        self.features = POSE * frames + descriptor_dim
        self.register_buffer("mean", torch.zeros(descriptor_dim))
        self.register_buffer("deviation", torch.ones(descriptor_dim))
        self.frame: ReferenceFrame | None = None
        if framed:
            self.frame = ReferenceFrame(framed, self.features, frames)
            self.features += self.frame.features

    def fit(self, keypoints: Tensor) -> None:
        """Standardise by these keypoints (N, K, 3 + D) of the training set."""
        descriptors = keypoints[..., POSE:].flatten(0, -2)
        if self.descriptor_dim and len(descriptors) > 1:
            self.mean.copy_(descriptors.mean(dim=0))
            # A feature that never changes must not be blown up.
            self.deviation.copy_(descriptors.std(dim=0) + 1e-3)

    def forward(self, observations: Tensor) -> Tensor:
        return self.with_pose(observations)[0]

    def with_pose(self, observations: Tensor) -> tuple[Tensor, Tensor | None]:
        """The features, and origin and direction of the frame of reference, (B, 4), if there is one."""
        places = observations[..., :2] * 2 - 1
        nodes = self._nodes(observations, places)
        if self.frame is None:
            return nodes, None
        seen, pose = self.frame(nodes, places)
        return torch.cat([nodes, seen], dim=-1), pose

    def _nodes(self, observations: Tensor, places: Tensor) -> Tensor:
        if self.differences:
            motion = _MOTION_WEIGHT * (places[:, :-1] - places[:, -1:])
            places = torch.cat([motion, places[:, -1:]], dim=1)
        poses = torch.cat([places, observations[..., 2:POSE]], dim=-1)
        history = poses.transpose(1, 2).flatten(2)
        if not self.descriptor_dim:
            return history
        descriptors = (observations[:, -1, :, POSE:] - self.mean) / self.deviation
        return torch.cat([history, _DESCRIPTOR_WEIGHT * descriptors], dim=-1)
