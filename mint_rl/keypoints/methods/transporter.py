"""Transporter (Kulkarni et al., "Unsupervised learning of object keypoints for perception and control").

Features of a source frame are cut out around the keypoints of the source and of the target, and those of the
target are put in around the target's keypoints. A decoder has to make the target frame of that. It succeeds
if the keypoints are on whatever differs between the frames.

Transporter-modified is the MINT paper's variant (appendix E.3): features of receptive field 7 on a map of
nearly the image's resolution (`loss.local_features`).

Where this differs from the source:
- The detector is this project's encoder, so that methods are compared on one network. The source's has the
  layers of Φ and maps of a quarter of the image's side.
- Fewer channels (from 16 on, the source's from 32 on) and steps, so that it trains in minutes on one core.
- Keypoints are taken together as H = 1 − Π(1 − G). The source's program treats one keypoint after another:
  what that cuts out is the same, and so is what it puts in where no keypoint of the source is near.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.method import Clips, Method, MethodConfig, Needs
from mint_rl.keypoints.methods.layers import Decoder, ImageFeatures, LocalFeatures, gaussian_maps
from mint_rl.options import option


@dataclass
class TransporterConfig(MethodConfig):
    """Sizes of Transporter. Raises `UserError` for values that cannot be."""

    gap: int = option(10, "largest distance in time between source and target, in frames")
    sigma: float = option(0.05, "standard deviation of the Gaussians, in image widths")
    width: int = option(16, "channels at full resolution; at a quarter of it, four times that")
    local_features: bool = option(
        False, "features of receptive field 7 at full resolution, as in Transporter-modified"
    )

    def __post_init__(self) -> None:
        if self.gap < 1 or self.width < 1:
            raise UserError(f"loss.gap is {self.gap} and loss.width {self.width}; both must be at least 1")
        if not self.sigma > 0:
            raise UserError(f"loss.sigma is {self.sigma}; it must be above 0")

    def needs(self) -> Needs:
        """A source and a target frame of one video."""
        return Needs(frames=2, gap=self.gap)

    def encoder_settings(self) -> dict[str, Any]:
        """A softmax over the map; keypoints have no status, so all are active."""
        return {"heatmap": "softmax", "status": "always"}

    def build(self, encoder: KeypointEncoder) -> Transporter:
        """See `MethodConfig.build`."""
        return Transporter(encoder, self)


class Transporter(Method):
    """An encoder Ψ with image features Φ and a decoder."""

    advice = MappingProxyType(
        {
            "still": "the frames of a pair may be too alike, which a larger loss.gap mends",
            "heap": "little else may move, which a larger loss.gap or a smaller loss.sigma mends",
        }
    )

    def __init__(self, encoder: KeypointEncoder, config: TransporterConfig) -> None:
        super().__init__(encoder)
        self.config = config
        channels = encoder.config.in_channels
        kind = LocalFeatures if config.local_features else ImageFeatures
        self.features: LocalFeatures | ImageFeatures = kind(channels, config.width)
        self.decoder = Decoder(
            self.features.out_channels, config.width, 0 if config.local_features else 2, channels
        )

    def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, Tensor]:
        """The reconstruction of the second frame of each pair from the first."""
        number, size = len(clips.frames), self.encoder.config.image_size
        images = self.encoder.normalise(clips.frames.flatten(0, 1)).view(number, 2, -1, *size)
        maps = gaussian_maps(
            keypoints.coordinates, size, self.features.stride, self.features.offset, self.config.sigma
        )
        target = self.features(images[:, 1])
        with torch.no_grad():  # the source is given: what is learned is to find the target
            source, source_heat = self.features(images[:, 0]), union(maps[:, 0])
        transported = transport(source, target, source_heat, union(maps[:, 1]))
        error = reconstruction_loss(self.decoder(transported, size), images[:, 1])
        return {"total": error, "reconstruction": error}


def union(maps: Tensor) -> Tensor:
    """H = 1 − Π_k (1 − G_k), what belongs to any of the keypoints: (N, K, h, w) → (N, 1, h, w)."""
    return 1.0 - (1.0 - maps).prod(1, keepdim=True)


def transport(source: Tensor, target: Tensor, source_heat: Tensor, target_heat: Tensor) -> Tensor:
    """Φ̂(x_s, x_t) = (1 − H_Ψ(x_s))·(1 − H_Ψ(x_t))·Φ(x_s) + H_Ψ(x_t)·Φ(x_t), Eq. 1 of the source.

    Features (N, D, h, w) and heatmaps (N, 1, h, w) in [0, 1] of the source and the target frame. (The MINT
    paper prints the heatmap of the target twice.)
    """
    return (1.0 - source_heat) * (1.0 - target_heat) * source + target_heat * target


def reconstruction_loss(images: Tensor, wanted: Tensor) -> Tensor:
    """‖x_t − x̂_t‖², as its mean over pixels and channels: (N, C, H, W) twice → scalar."""
    return (images - wanted).square().mean()
