"""MINT as a method: its loss needs nothing but keypoints and entropy images, so there is nothing to add."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.method import Clips, Method
from mint_rl.keypoints.mint import MintLossConfig, mint_loss


class Mint(Method):
    """Trains an encoder by `mint_loss`."""

    advice = MappingProxyType(
        {
            "still": "the frames of a pair may be equal, or loss.movement is too large",
            "heap": "raise loss.lambda_overlap or lower loss.beta",
        }
    )

    def __init__(self, encoder: KeypointEncoder, config: MintLossConfig) -> None:
        super().__init__(encoder)
        self.config = config

    def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, Tensor]:
        """The terms of `mint_loss`, of keypoints taken back into the video, where the entropy images are."""
        assert clips.entropy is not None
        coordinates = clips.in_video(keypoints.coordinates)
        return mint_loss(coordinates, keypoints.status, clips.entropy, self.config)._asdict()
