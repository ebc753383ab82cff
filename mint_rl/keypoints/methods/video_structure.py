"""Video Structure (Minderer et al., "Unsupervised learning of object structure and dynamics from videos").

Each frame of a clip is reconstructed from its keypoints and from the first frame, its appearance and its
keypoints. A keypoint has a magnitude beside its place, the mean of its map; sparsity drives the magnitudes of
superfluous keypoints down, and keypoints that move alike are driven apart. This is the keypoint detector
alone, without the source's model of the dynamics, as in the MINT paper (appendix E.3).

Where this differs from the source:
- The detector is this project's encoder, so that methods are compared on one network, with maps of two thirds
  of the image's side; the source's are 16×16 of 64×64.
- Appearance features are at a quarter of the resolution and have fewer channels; there is BatchNorm.
- The image loss is scaled to an image of 64×64, for which the source's weights were chosen.
- The status is the magnitude relative to the largest of the frame; γ is the share from which on one is
  active. The MINT paper calls it th_μ, "to be tuned depending on the video".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.method import Clips, Method, MethodConfig, Needs
from mint_rl.keypoints.methods.layers import Decoder, ImageFeatures, gaussian_maps
from mint_rl.options import option


@dataclass
class VideoStructureConfig(MethodConfig):
    """Weights and sizes of Video Structure. Raises `UserError` for values that cannot be."""

    frames: int = option(8, "frames of a clip")
    gap: int = option(2, "largest distance in time between neighbours in a clip, in frames")
    lambda_separation: float = option(10.0, "weight of the temporal separation")
    lambda_sparsity: float = option(5.0, "weight of the sparsity of keypoints")
    sigma_separation: float = option(0.05, "σ_sep, difference between trajectories, in image sides")
    sigma: float = option(0.09, "standard deviation of the Gaussians, in image widths")
    width: int = option(8, "channels at full resolution; at a quarter of it, four times that")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, lowest = getattr(self, field.name), {"frames": 2, "gap": 1, "width": 1}.get(field.name, 0)
            if not lowest <= value < float("inf"):
                raise UserError(f"loss.{field.name} is {value!r}; it must be at least {lowest}")
        if not (self.sigma > 0 and self.sigma_separation > 0):
            raise UserError("loss.sigma and loss.sigma_separation must be above 0")

    def needs(self) -> Needs:
        """Clips of several frames."""
        return Needs(frames=self.frames, gap=self.gap)

    def encoder_settings(self) -> dict[str, Any]:
        """Maps of ln(1 + eᵐ), divided by their sum for the place; their mean is the magnitude."""
        return {"heatmap": "softplus", "status": "magnitude"}

    def build(self, encoder: KeypointEncoder) -> VideoStructure:
        """See `MethodConfig.build`."""
        return VideoStructure(encoder, self)


class VideoStructure(Method):
    """An encoder φ_det with features of the first frame and a decoder, together φ_rec."""

    advice = MappingProxyType(
        {
            "still": "the frames of a clip may be too alike, which a larger loss.gap mends",
            "heap": "little else may move within a clip: raise loss.gap or loss.lambda_separation",
        }
    )

    def __init__(self, encoder: KeypointEncoder, config: VideoStructureConfig) -> None:
        super().__init__(encoder)
        self.config = config
        channels = encoder.config.in_channels
        self.features = ImageFeatures(channels, config.width)
        inputs = self.features.out_channels + 2 * encoder.num_keypoints
        self.decoder = Decoder(inputs, config.width, 2, channels)
        # Maps begin nearly empty: softplus is 0.7 where a map is 0, and its mean place the image's centre.
        last = encoder.network[-1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.constant_(last.weight, 3.0)
        nn.init.constant_(last.bias, -5.0)

    def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, Tensor]:
        """L_image + λ_sep·L_sep + λ_sparse·L_sparse and the three terms by themselves."""
        number, length = clips.frames.shape[:2]
        size = self.encoder.config.image_size
        images = self.encoder.normalise(clips.frames.flatten(0, 1)).view(number, length, -1, *size)
        image = image_loss(self.reconstruct(images[:, 0], keypoints), images)
        separation = separation_loss(keypoints.coordinates, self.config.sigma_separation)
        sparsity = sparsity_loss(keypoints.peaks)
        total = image + self.config.lambda_separation * separation + self.config.lambda_sparsity * sparsity
        return {"total": total, "reconstruction": image, "separation": separation, "sparsity": sparsity}

    def reconstruct(self, first: Tensor, keypoints: Keypoints) -> Tensor:
        """v̂_t = v_1 + φ_rec(v_1, x_1, x_t): first frames (B, C, H, W) → (B, T, C, H, W)."""
        size, config = self.encoder.config.image_size, self.config
        maps = gaussian_maps(
            keypoints.coordinates, size, self.features.stride, self.features.offset, config.sigma
        )
        maps = maps * relative_magnitude(keypoints.peaks)[..., None, None]
        length = maps.shape[1]
        # What is known of the first frame, once for each frame of the clip.
        given = torch.cat([self.features(first), maps[:, 0]], 1)[:, None].expand(-1, length, -1, -1, -1)
        change: Tensor = self.decoder(torch.cat([given, maps], 2).flatten(0, 1), size)
        return first[:, None] + change.view(-1, length, *first.shape[1:])


def relative_magnitude(magnitudes: Tensor) -> Tensor:
    """μ_k / max_k μ_k, the brightness of keypoints' Gaussians: (…, K) → (…, K) in [0, 1]."""
    return magnitudes / (magnitudes.amax(-1, keepdim=True) + 1e-6)


def image_loss(images: Tensor, wanted: Tensor) -> Tensor:
    """L_image = ‖v − v̂‖²/2 summed over the pixels of a 64×64 image, mean of the frames.

    (…, C, H, W) twice → scalar. For other sizes, the mean over their pixels times 64².
    """
    return (images - wanted).square().sum(-3).mean() * (64 * 64 / 2)


def separation_loss(coordinates: Tensor, sigma: float) -> Tensor:
    """L_sep = Σ_{k≠k'} exp(−d_kk'/(2σ²)) / (K(K−1)), from 0 to 1 (all trajectories are alike).

    d_kk' = 1/T·Σ_t ‖(x_tk − x̄_k) − (x_tk' − x̄_k')‖², of trajectories without their mean place. (The MINT
    paper prints exp(−d/σ) and no division by the number of pairs; the source's program has these.)
    coordinates (B, T, K, 2) in [0, 1] → scalar, the mean of the clips; 0 for a single keypoint.
    """
    number = coordinates.shape[-2]
    if number == 1:
        return coordinates.new_zeros(())
    centred = coordinates - coordinates.mean(1, keepdim=True)
    distance = (centred[:, :, :, None] - centred[:, :, None]).square().sum(-1).mean(1)  # (B, K, K)
    alike = torch.exp(distance / (-2 * sigma**2))
    return (alike.sum((1, 2)) - number).mean() / (number * (number - 1))


def sparsity_loss(magnitudes: Tensor) -> Tensor:
    """L_sparse = Σ_k |μ_k| / K with μ_k the mean of a keypoint's map; (…, K) → scalar, mean of the frames."""
    return magnitudes.abs().mean()
