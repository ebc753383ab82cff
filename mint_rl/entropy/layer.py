"""The local-entropy layer: one function and the module around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mint_rl.entropy.checks import check_images, check_settings
from mint_rl.entropy.operator import entropy_op
from mint_rl.entropy.preprocess import pad_border


def local_entropy(
    images: Tensor, region: int = 3, bins: str = "hard", bandwidth: float = 1e-3, padding: str = "replicate"
) -> Tensor:
    """Entropy of the grey levels around every pixel, over all channels together.

    images: (N, C, H, W), uint8 or floating in [0, 1]; any number of channels from 1, on any device.
    region: side of the square around the pixel, odd, 3 to 11.
    bins: "hard" counts the values rounded to 256 levels; its gradient is zero everywhere, by definition.
        "soft" spreads each value over the bins with a logistic kernel and has a gradient.
    bandwidth: B of the kernel, in units of the grey scale [0, 1]; only for soft bins. At the paper's 1e-3 a
        flat region has 0.757 nats, not 0.
    padding: "replicate" or "reflect" the border; "valid" keeps only the regions inside the image.

    Returns (N, H, W), with padding "valid" (N, H − region + 1, W − region + 1): nats, from 0 to
    ln(min(256, C·region²)) for hard bins, ln 256 for soft ones; float32, or float64 for float64 images (meant
    for checks: they take the slow PyTorch version).
    Raises `UserError`, a ValueError, for another type, shape or setting, and for NaN, infinite or other
    values outside [0, 1]. On a GPU, where looking at the values would make the caller wait, the regions that
    hold such a value have entropy NaN, and the error comes from a later call or its backward, as CUDA's own
    errors do (from the call itself with CUDA_LAUNCH_BLOCKING=1 in the environment).
    Source: the MINT paper, section 2.1 and appendix B.
    """
    check_images(images)
    check_settings(images, region, bins, bandwidth, padding)
    if images.dtype not in (torch.uint8, torch.float32, torch.float64):
        images = images.float()
    if images.shape[2] == 0 or images.shape[3] == 0:
        return (
            images.sum(1) if images.is_floating_point() else images.float().sum(1)
        )  # empty, with a gradient
    if padding != "valid":
        images = pad_border(images, region // 2, padding)
    # Beyond these limits the bins are steps, or all alike, to the last digit; nothing may overflow.
    bandwidth = 0.0 if bins == "hard" else min(max(float(bandwidth), 1e-12), 1e12)
    entropy: Tensor = entropy_op(images, region, bandwidth)
    return entropy


class LocalEntropy(nn.Module):
    """`local_entropy` as a layer without parameters.

    Shapes: (N, C, H, W) uint8 or floating in [0, 1] → (N, H, W) nats. See `local_entropy` for the arguments.
    """

    def __init__(
        self, region: int = 3, bins: str = "hard", bandwidth: float = 1e-3, padding: str = "replicate"
    ) -> None:
        super().__init__()
        check_settings(
            torch.empty(0, 1, region if isinstance(region, int) else 0, 99), region, bins, bandwidth, padding
        )
        self.region, self.bins, self.bandwidth, self.padding = region, bins, bandwidth, padding

    def forward(self, images: Tensor) -> Tensor:
        return local_entropy(images, self.region, self.bins, self.bandwidth, self.padding)

    def extra_repr(self) -> str:
        soft = f", bandwidth={self.bandwidth:g}" if self.bins == "soft" else ""
        return f"region={self.region}, bins={self.bins!r}{soft}, padding={self.padding!r}"
