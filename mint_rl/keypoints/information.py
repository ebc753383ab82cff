"""What the MINT losses see in a pair of frames, as images: the paper's Figures 1, 2 and 3."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.gate import entropy_image
from mint_rl.keypoints.heatmaps import to_pixels
from mint_rl.keypoints.mint import MintLossConfig, aggregated_mask, conditional_entropy, transport_excess
from mint_rl.keypoints.resize import resize_frames

Image = NDArray[np.float32]


class InformationImages(NamedTuple):
    """Images (H, W) of a pair of frames; entropies in nats, masks and heatmaps in [0, 1]."""

    frames: NDArray[np.uint8]  # (2, H, W, 3)
    keypoints: NDArray[np.float32]  # (2, K, 3)
    previous: Image  # E(I_{t−1})
    current: Image  # E(I_t)
    conditional: Image  # E(I_t | I_{t−1})
    mask: Image  # M_t, what the active keypoints of the current frame cover
    keypoint: int  # the one that the images below are about; −1 where none is active in both frames
    heat_previous: Image  # its heatmap in either frame
    heat_current: Image
    explained: (
        Image  # I(I_t, R): what transporting this keypoint's surroundings explains of the current frame
    )

    @property
    def covered(self) -> float:
        """1 − ME: the share of the entropy that the mask covers."""
        return _share(self.current * self.mask, self.current)

    @property
    def change_covered(self) -> float:
        """1 − MCE: the share of the conditional entropy that the mask covers."""
        return _share(self.conditional * self.mask, self.conditional)

    @property
    def share_explained(self) -> float:
        """The share of the current frame's entropy that transporting the one keypoint explains."""
        return _share(self.explained, self.current)


@torch.no_grad()
def information_images(
    encoder: KeypointEncoder, frames: NDArray[np.uint8], config: MintLossConfig | None = None
) -> InformationImages:
    """What the losses see in two frames (2, H, W, 3) uint8, by the encoder's keypoints at inference.

    The transport is shown of the active keypoint that moves farthest. config: the losses' σ, τ, η and κ.
    """
    if len(frames) != 2:
        raise UserError(f"a pair of frames is needed, not {len(frames)}")
    config = config or MintLossConfig()
    frames = resize_frames(frames, encoder.config.image_size)
    keypoints = encoder.encode(frames)
    entropy = entropy_image(torch.from_numpy(frames), encoder.config.preprocessing, encoder.config.region)
    previous, current = entropy
    height, width = entropy.shape[1:]
    found = torch.from_numpy(keypoints)
    pixels, status = to_pixels(found[..., :2], height, width), found[..., 2]
    mask = aggregated_mask(pixels[1], status[1], height, width, config)

    moved = (pixels[1] - pixels[0]).square().sum(-1)
    in_both = (status > 0.5).all(0)
    chosen = int(moved.masked_fill(~in_both, -1.0).argmax()) if in_both.any() else -1
    heat = torch.zeros_like(entropy)
    if chosen >= 0:
        # The mask of one keypoint is its heatmap.
        heat = aggregated_mask(pixels[:, chosen : chosen + 1], torch.ones(2, 1), height, width, config)
    explained = current - transport_excess(previous, current, heat[0], heat[1], config.kappa)
    return InformationImages(
        frames,
        keypoints,
        previous=previous.numpy(),
        current=current.numpy(),
        conditional=conditional_entropy(previous, current).numpy(),
        mask=mask.numpy(),
        keypoint=chosen,
        heat_previous=heat[0].numpy(),
        heat_current=heat[1].numpy(),
        explained=explained.numpy(),
    )


def most_changing_pair(encoder: KeypointEncoder, video: NDArray[np.uint8]) -> int:
    """The t of a video (T, H, W, 3), T ≥ 2, at which E(I_t | I_{t−1}) is the greatest; from 1 to T − 1."""
    if len(video) < 2:
        raise UserError(f"the video has {len(video)} frame(s); a pair needs 2")
    frames = torch.from_numpy(resize_frames(video, encoder.config.image_size))
    entropy = torch.cat(
        [
            entropy_image(part, encoder.config.preprocessing, encoder.config.region)
            for part in torch.split(frames, 256)
        ]
    )
    return 1 + int(conditional_entropy(entropy[:-1], entropy[1:]).sum((1, 2)).argmax())


def _share(part: Image, whole: Image) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else float("nan")
