"""A frame of reference: keypoints as the robot sees them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mint_rl.policies.base import mlp

_HIDDEN = 128
_SEEN = 5  # features of a keypoint as seen from the frame
_NEAREST = 0.02  # added to the distance that directions are divided by, where the picture is 2 wide
# What a robot acts upon is a fifth of the picture away: three times that is a number to learn from. It moves
# by a twentieth of the picture in a step.
_OFFSET_WEIGHT, _MOTION_WEIGHT = 3.0, 6.0


class ReferenceFrame(nn.Module):
    """An origin and a direction read from all keypoints, and where each keypoint lies from there.

    What a robot does next depends on where things lie in front of it: places on the picture multiplied by the
    sine and cosine of its heading. A network of a few layers learns such products badly from few
    demonstrations. So a small network reads all keypoints and gives weights, whose mean place is the origin,
    and a direction; from there each keypoint is to the side, ahead, and at a distance. What origin and
    direction are to be is learned from the robot's pose where demonstrations hold it
    (`cloning_losses.pose_loss`), and through the actions anyway; when the policy acts, pixels are enough.

    Args:
        keypoints: K.
        features: F, of the node features that are read.
        frames: T, of the history.

    Attributes:
        features: Of a node as seen from the frame, the frame's own motion included: 5 + 2·(T − 1).
    """

    def __init__(self, keypoints: int, features: int, frames: int) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.features = _SEEN + 2 * (frames - 1)
        self.choose = mlp(keypoints * features, _HIDDEN, keypoints + 2)

    def forward(self, nodes: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (B, K, features) as seen from the frame, and its pose (B, 4).

        nodes: (B, K, F). places: (B, T, K, 2), x and y in [−1, 1]. The pose is the present origin and the
        direction as it was read, not yet of length 1.
        """
        chosen = self.choose(nodes.flatten(1))
        weights, towards = chosen[:, : self.keypoints].softmax(dim=1), chosen[:, self.keypoints :]
        # The same weights in all frames of the history: the origin moves as what it lies on.
        origins = (weights[:, None, :, None] * places).sum(dim=2)
        direction = nn.functional.normalize(towards, dim=1, eps=1e-3)
        here = origins[:, -1:]
        offsets = _turned(places[:, -1] - here, direction)
        distances = offsets.norm(dim=-1, keepdim=True)
        moved = _turned(origins[:, :-1] - here, direction).flatten(1)
        seen = [
            _OFFSET_WEIGHT * offsets,
            _OFFSET_WEIGHT * distances,
            offsets / (distances + _NEAREST),
            _MOTION_WEIGHT * moved[:, None].expand(-1, self.keypoints, -1),
        ]
        return torch.cat(seen, dim=-1), torch.cat([origins[:, -1], towards], dim=1)


def _turned(offsets: Tensor, direction: Tensor) -> Tensor:
    """Offsets (B, N, 2) on the picture as (to the side, ahead) of a direction (B, 2) of length 1."""
    x, y = direction[:, None].unbind(-1)
    side = offsets[..., 0] * y - offsets[..., 1] * x
    ahead = offsets[..., 0] * x + offsets[..., 1] * y
    return torch.stack([side, ahead], dim=-1)
