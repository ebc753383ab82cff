"""KeypointGAN (Jakab et al., "Self-supervised learning of interpretable keypoints from unlabelled videos").

An image becomes a skeleton picture y = Φ(x). A discriminator compares pictures with those that β draws of
poses from a prior, which belong to no image. A regressor η reads keypoints p = η(y) from the picture, β draws
them again, and the frame is reconstructed from β(p) and another frame of the video, x̂ = Ψ(β(p), x'). As β(p)
holds nothing but K points, appearance has to come from the other frame.

Where this differs from the source:
- A turned image must give the turned picture. Without this, all pictures had one and the same heading: a
  discriminator that sees one picture at a time cannot tell.
- Ink costs where the two frames do not differ, and at first Ψ is given the picture y itself, too: so Φ finds
  what moves at once. Else it may well draw a code of where the object is, somewhere else.
- The reconstruction is compared as pixels at three scales, not by the features of a network trained on
  ImageNet; relative to how much the two frames differ, so that 1 is what copying the other frame costs.
- Pictures and reconstructions have half the image's sides. Ψ predicts what is new and where (a mask), and can
  change the other frame only around the lines of either frame's skeleton.
- η learns from the prior alone, first and by itself, by cross-entropy of its maps and by distance, on
  pictures with noise; the other losses reach Φ through it.
- The discriminator judges shapes and the whole picture, and has a gradient penalty (R1, Mescheder et al.,
  2018).
- One Adam trains all; β₁ = 0.5 for whatever takes part in the game between Φ and the discriminator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.heatmaps import to_pixels
from mint_rl.keypoints.method import Clips, Method, MethodConfig, Needs
from mint_rl.keypoints.skeleton import PosePrior, draw_skeleton, quarter_turns, read_prior
from mint_rl.keypoints.skeleton_network import Discriminator, SkeletonNetwork, UNet, fixed
from mint_rl.keypoints.soft_argmax import soft_argmax
from mint_rl.options import option

MAGICAL = "magical"  # the prior that is made from the simulator
_PENALTY_EVERY = 4  # steps: as good as at every step (Karras et al., 2020), and it takes three passes
_DIFFERENT = 0.1  # two pixels, in shares of their range
_AROUND = 4  # pixels around one that differs
_ADVERSARIAL_BETAS = (0.5, 0.99)


@dataclass
class KeypointGANConfig(MethodConfig):
    """Weights and sizes of KeypointGAN. Raises `UserError` for values that cannot be."""

    prior: str = option(MAGICAL, "poses: a .npz file of points and edges, or magical: its robot's")
    turn_poses: bool = option(True, "turn the prior's poses by quarters, as turns=true does the frames")
    gap: int = option(30, "largest distance in time between the two frames, in frames")
    sigma: float = option(1.25, "width of a drawn line, pixels of the picture, of half the image's sides")
    lambda_gan: float = option(1.0, "weight of the adversarial loss")
    lambda_reconstruction: float = option(1.0, "weight of the reconstruction")
    lambda_cycle: float = option(0.3, "weight of ‖β(η(y)) − y‖²")
    lambda_turned: float = option(1.0, "weight of the turned image's picture being the turned picture")
    lambda_still: float = option(1.0, "weight of the ink where the two frames do not differ")
    penalty: float = option(0.3, "weight of the discriminator's gradient penalty")
    regressor_steps: int = option(400, "steps at the beginning that train the regressor alone")
    direct_steps: int = option(150, "steps after them over which the reconstruction from y itself fades out")

    def __post_init__(self) -> None:
        if self.gap < 1 or not self.sigma > 0:
            raise UserError(f"loss.gap is {self.gap}, loss.sigma {self.sigma}: at least 1, and above 0")
        for name in (
            "lambda_gan", "lambda_reconstruction", "lambda_cycle", "lambda_turned", "lambda_still",
            "penalty", "regressor_steps", "direct_steps",
        ):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise UserError(f"loss.{name} is {getattr(self, name)}; it must be at least 0")

    def needs(self) -> Needs:
        """Two frames of one video."""
        return Needs(frames=2, gap=self.gap)

    def encoder_settings(self) -> dict[str, Any]:
        """Φ and η as the network; all keypoints are active."""
        return {"network": "skeleton", "heatmap": "softmax", "status": "always"}

    def build(self, encoder: KeypointEncoder) -> KeypointGAN:
        """See `MethodConfig.build`; the encoder is given the prior's edges.

        Raises `UserError` for a prior that cannot be read, or one of other keypoints than the encoder's.
        """
        prior = read_prior(self.prior)
        if prior.num_keypoints != encoder.num_keypoints:
            raise UserError(
                f"the pose prior '{self.prior}' has {prior.num_keypoints} keypoints: set "
                f"num_keypoints={prior.num_keypoints}"
            )
        encoder.config = dataclasses.replace(encoder.config, edges=prior.edges)
        return KeypointGAN(encoder, self, prior)


class KeypointGAN(Method):
    """Φ and η of the encoder, the discriminator D, and Ψ."""

    training_steps: Tensor

    def __init__(self, encoder: KeypointEncoder, config: KeypointGANConfig, prior: PosePrior) -> None:
        super().__init__(encoder)
        self.config, self.prior = config, prior
        self.discriminator = Discriminator(*self.size)
        channels = encoder.config.in_channels
        self.painter = UNet(channels + 1, channels + 1)
        self.register_buffer("training_steps", torch.zeros((), dtype=torch.int64))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self.encoder.config.image_size
        return (height + 1) // 2, (width + 1) // 2

    @property
    def network(self) -> SkeletonNetwork:
        """Φ and η."""
        assert isinstance(self.encoder.network, SkeletonNetwork)
        return self.encoder.network

    def parameter_groups(self) -> list[dict[str, Any]]:
        """η with Adam's usual averages, all else with the shorter ones of adversarial training."""
        regressor = list(self.network.regressor.parameters())
        apart = {id(parameter) for parameter in regressor}
        others = [parameter for parameter in self.parameters() if id(parameter) not in apart]
        return [{"params": others, "betas": _ADVERSARIAL_BETAS}, {"params": regressor}]

    def extra(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """For B clips: 2B poses of the prior, noise and contrast of B for η to look through, B angles."""
        poses = self.prior.points[rng.integers(len(self.prior.points), size=2 * number)]
        if self.config.turn_poses:
            height, width = self.size
            poses = quarter_turns(poses, rng.integers(4, size=len(poses)) * (1 if height == width else 2))
        level, contrast = rng.uniform(0.0, 0.4, (number, 1, 1, 1)), rng.uniform(0.6, 1.4, (number, 1, 1, 1))
        noise = level * rng.standard_normal((number, 1, *self.size))
        angles = rng.uniform(0.0, 2 * np.pi, number)
        drawn: dict[str, NDArray[Any]] = {
            "poses": poses,
            "noise": noise,
            "contrast": contrast,
            "angles": angles,
        }
        return {name: torch.from_numpy(value.astype(np.float32)) for name, value in drawn.items()}

    def see(self, frames: Tensor) -> tuple[Keypoints, Mapping[str, Tensor]]:
        """Keypoints, and the "picture" (N, 1, h, w) that they were read from."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._regressor_alone):
            keypoints, stages = self.encoder.with_stages(frames)
        return keypoints, {"picture": stages[-2].float()}

    def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, Tensor]:
        """All losses; while evaluating, "total" is what has a lowest value: all but the adversarial ones."""
        config, extra = self.config, clips.extra
        real, learned = self.draw(extra["poses"]), extra["poses"][::2]
        seen = real[::2] * extra["contrast"] + extra["noise"]
        regression = regressor_loss(self.network.regressor(seen), learned)
        alone, done = self._regressor_alone, int(self.training_steps)
        if self.training:
            self.training_steps += 1
            if alone:
                return {"total": regression, "regression": regression}
        images, picture = self.encoder.normalise(clips.frames.flatten(0, 1)), extra["picture"]
        small = functional.interpolate(images, self.size, mode="area")
        drawn = self.draw(keypoints.coordinates.flatten(0, 1))
        ink = real.square().mean()
        terms = {
            "reconstruction": self.reconstruction(small, drawn),
            "cycle": (drawn - picture).square().mean() / ink,
            "turned": self.turned_loss(images[::2], picture[::2], extra["angles"]) / ink,
            "still": (picture.square() * still(small)).mean() / ink,
            "regression": regression,
            "generator": generator_loss(fixed(self.discriminator, picture)),
        }
        total = config.lambda_reconstruction * terms["reconstruction"] + config.lambda_cycle * terms["cycle"]
        total = total + config.lambda_turned * terms["turned"] + config.lambda_still * terms["still"]
        if not self.training:
            return {"total": total, **terms}
        done -= config.regressor_steps
        if done < config.direct_steps:
            terms["direct"] = self.reconstruction(small, picture)
            weight = config.lambda_reconstruction * (1 - done / config.direct_steps)
            total = total + weight * terms["direct"]
        else:
            terms["unexplained"] = terms["reconstruction"].detach()  # see training/failure_signs.py
        terms["discriminator"] = discriminator_loss(
            self.discriminator(real), self.discriminator(picture.detach())
        )
        total = total + config.lambda_gan * terms["generator"] + regression + terms["discriminator"]
        if done % _PENALTY_EVERY == 0:
            pictures = torch.cat([real, picture.detach()])
            # So that the mean of what is logged is the penalty.
            terms["penalty"] = _PENALTY_EVERY * gradient_penalty(self.discriminator, pictures)
            total = total + config.penalty / 2 * terms["penalty"]
        return {"total": total, **terms}

    @property
    def _regressor_alone(self) -> bool:
        return self.training and int(self.training_steps) < self.config.regressor_steps

    def draw(self, points: Tensor) -> Tensor:
        """β(p): (N, K, 2) → (N, 1, h, w)."""
        return draw_skeleton(points, self.prior.edges, *self.size, self.config.sigma)

    def reconstruction(self, images: Tensor, drawn: Tensor) -> Tensor:
        """How badly first frames are made of their skeletons and the other frames; 1 is what copying costs.

        images, drawn: (2B, C, h, w) and (2B, 1, h, w), the two frames of a clip behind each other.
        """
        wanted, others = images[::2], images[1::2]
        painted = self.painter(torch.cat([others, drawn[::2]], 1))
        mask = torch.sigmoid(painted[:, -1:]) * near(torch.maximum(drawn[::2], drawn[1::2]))
        return relative_error(others + mask * (painted[:, :-1] - others), wanted, others)

    def turned_loss(self, images: Tensor, pictures: Tensor, angles: Tensor) -> Tensor:
        """Mean of (Φ(Tx) − TΦ(x))² within the circle that stays in sight when T turns by an angle (N,)."""
        seen = self.network.picture(turn(images, angles, "border")).float()
        return ((seen - turn(pictures, angles, "zeros")).square() * _disc(seen)).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """E (D(Φ(x)) − 1)², of least squares (Mao et al., 2017)."""
    return (fake - 1.0).square().mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """½·E (D(β(p̄)) − 1)² + ½·E D(Φ(x))², of least squares (Mao et al., 2017)."""
    return 0.5 * (real - 1.0).square().mean() + 0.5 * fake.square().mean()


def gradient_penalty(discriminator: nn.Module, pictures: Tensor) -> Tensor:
    """E ‖∇D(y)‖² (R1 of Mescheder et al., 2018, on pictures of both kinds)."""
    pictures = pictures.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(pictures).sum(), pictures, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def regressor_loss(maps: Tensor, poses: Tensor) -> Tensor:
    """How far η's maps (N, K, h, w) are from the poses (N, K, 2) whose pictures it saw.

    0.2 times the cross-entropy of the maps' softmax with the four cells around the keypoint, each as near as
    it is, and 10 times the mean squared error of the soft-argmax (the source has the latter alone).
    """
    height, width = maps.shape[-2:]
    places = to_pixels(poses, height, width)
    corner = places.detach().floor().long()
    corner = torch.minimum(corner, corner.new_tensor([width - 2, height - 2]))
    part = places - corner
    logarithms = maps.flatten(2).log_softmax(-1)
    entropy = maps.new_zeros(())
    for dx in (0, 1):
        for dy in (0, 1):
            near = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            index = (corner[..., 1] + dy) * width + corner[..., 0] + dx
            entropy = entropy - (near * logarithms.gather(2, index[..., None])[..., 0]).mean()
    points, _ = soft_argmax(maps, heatmap="softmax")
    return 0.2 * entropy + 10.0 * (points - poses).square().mean()


def relative_error(made: Tensor, wanted: Tensor, copied: Tensor) -> Tensor:
    """Squared error of images (N, C, H, W), at three resolutions, as a share of that of `copied`: 0 up."""
    return _distance(made, wanted) / _distance(copied, wanted).clamp(min=1e-6)


def near(pictures: Tensor) -> Tensor:
    """How far Ψ may change each place: 7 times the mean of the 7×7 pixels around it, at most 1.

    pictures: (N, 1, h, w) in [0, 1]. A line across the window is enough for 1. As ink is worth something only
    where the frames differ, Φ is told from the first step on where to draw, and to draw bright on dark.
    """
    return (7.0 * functional.avg_pool2d(pictures, 7, 1, 3)).clamp(max=1.0)


def still(images: Tensor) -> Tensor:
    """(2B, 1, h, w): 1 where the two frames of a clip do not differ within 4 pixels, else 0.

    images: (2B, C, h, w), the frames of a clip behind each other. All 0 for frames that differ nowhere, of
    which nobody knows what might move.
    """
    differs = ((images[::2] - images[1::2]).abs().amax(1, keepdim=True) > _DIFFERENT).to(images.dtype)
    around = functional.max_pool2d(differs, 2 * _AROUND + 1, 1, _AROUND)
    return ((1 - around) * differs.amax((2, 3), keepdim=True)).repeat_interleave(2, 0)


def turn(pictures: Tensor, angles: Tensor, beyond: str) -> Tensor:
    """Pictures (N, C, H, W) turned about their middle by angles (N,), radians clockwise, bilinearly.

    beyond: what is seen where the picture ends, "border" (its nearest pixel) or "zeros".
    """
    height, width = pictures.shape[-2:]
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # From places in the turned picture to those in the picture, both in halves of their own side.
    across, down = (
        torch.stack([cos, sin * (height / width), none], 1),
        torch.stack([-sin * (width / height), cos, none], 1),
    )
    grid = functional.affine_grid(torch.stack([across, down], 1), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode=beyond, align_corners=False)


def _disc(pictures: Tensor) -> Tensor:
    """(H, W): 1 within the largest circle around the middle, 0 outside, for pictures (N, C, H, W)."""
    height, width = pictures.shape[-2:]
    rows = torch.arange(height, device=pictures.device) - (height - 1) / 2
    columns = torch.arange(width, device=pictures.device) - (width - 1) / 2
    return (rows[:, None] ** 2 + columns**2 <= (0.46 * min(height, width)) ** 2).to(pictures.dtype)


def _distance(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared differences at full, half and a quarter of the resolution, summed."""
    scales = [functional.avg_pool2d(made - wanted, scale).square().mean() for scale in (1, 2, 4)]
    return torch.stack(scales).sum()
