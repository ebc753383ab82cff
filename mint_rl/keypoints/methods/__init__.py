"""The ways of training a keypoint encoder, a file each, by name."""

from __future__ import annotations

# Method → the dataclass of its settings, by module so that nothing is imported before it is needed.
METHODS = {
    "mint": "mint_rl.keypoints.mint:MintLossConfig",
    "keypointgan": "mint_rl.keypoints.methods.keypointgan:KeypointGANConfig",
    "transporter": "mint_rl.keypoints.methods.transporter:TransporterConfig",
    "video-structure": "mint_rl.keypoints.methods.video_structure:VideoStructureConfig",
}
