"""The entropy gate: a keypoint in an empty place is not active, whatever its feature map says.

MINT's status is a threshold on the feature map alone, so some keypoints stay active over blank ground. There
the entropy image that trained the encoder is 0, and cheap to compute again: the gate asks for some of it.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mint_rl.entropy import local_entropy, preprocess


def entropy_image(frames: Tensor, preprocessing: str = "binarise", region: int = 3) -> Tensor:
    """MINT's entropy image of uint8 frames (N, H, W, C): (N, H, W) float32, in nats."""
    prepared = preprocess(frames.permute(0, 3, 1, 2), kind=preprocessing)
    return local_entropy(prepared, region=region, bins="hard")


def entropy_gate(frames: Tensor, pixels: Tensor, size: int) -> Tensor:
    """Mean entropy (nats) in the box of `size`×`size` pixels around each keypoint.

    frames: uint8 (N, H, W, C); pixels: (N, K, 2) column, row. Returns (N, K). The border cuts the box.
    """
    entropy = entropy_image(frames)
    mean = functional.avg_pool2d(entropy[:, None], size, 1, size // 2, count_include_pad=False)[:, 0]
    column, row = pixels.round().long().unbind(-1)
    width = entropy.shape[-1]
    return mean.flatten(1).gather(1, row * width + column)
