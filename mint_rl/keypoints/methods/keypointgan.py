"""KeypointGAN (Jakab et al., "Self-supervised learning of interpretable keypoints from unlabelled videos").

An image becomes a skeleton picture y = Φ(x). A discriminator compares pictures with those that β draws of
poses from a prior, which belong to no image. A regressor η reads keypoints p = η(y) from the picture, β draws
them again, and the frame is reconstructed from β(p) and another frame of the video, x̂ = Ψ(β(p), x'). As β(p)
holds nothing but K points, appearance has to come from the other frame.

Where this differs from the source:
- The reconstruction is compared as pixels at three scales, not by the features of a network trained on
  ImageNet; relative to how much the two frames differ, so that 1 is what copying the other frame costs.
- Pictures and reconstructions have half the image's sides. Ψ predicts what is new and where (a mask).
- η learns from the prior alone, by cross-entropy of its maps and by distance, on pictures with noise; the
  other losses reach Φ through it.
- The discriminator has a gradient penalty (R1, Mescheder et al., 2018). Training comes in stages: first η,
  then Φ against the discriminator, and only then reconstruction; all at once, Φ drew nothing at all.
- One Adam trains all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.heatmaps import to_pixels
from mint_rl.keypoints.method import Clips, Method, MethodConfig, Needs
from mint_rl.keypoints.skeleton import PosePrior, draw_skeleton, read_prior
from mint_rl.keypoints.skeleton_network import SkeletonNetwork, UNet
from mint_rl.keypoints.soft_argmax import soft_argmax
from mint_rl.options import option

MAGICAL = "magical"  # the prior that is made from the simulator


@dataclass
class KeypointGANConfig(MethodConfig):
    """Weights and sizes of KeypointGAN. Raises `UserError` for values that cannot be."""

    prior: str = option(MAGICAL, "poses: a .npz file of points and edges, or magical: its robot's")
    gap: int = option(30, "largest distance in time between the two frames, in frames")
    sigma: float = option(1.0, "width of a drawn line, pixels of the picture, of half the image's sides")
    lambda_gan: float = option(1.0, "weight of the adversarial loss")
    lambda_reconstruction: float = option(1.0, "weight of the reconstruction")
    lambda_cycle: float = option(0.3, "weight of ‖β(η(y)) − y‖²")
    penalty: float = option(5.0, "weight of the discriminator's gradient penalty")
    regressor_steps: int = option(400, "steps at the beginning that train the regressor alone")
    adversarial_steps: int = option(150, "steps after them without reconstruction, which then fades in")

    def __post_init__(self) -> None:
        if self.gap < 1 or not self.sigma > 0:
            raise UserError(f"loss.gap is {self.gap}, loss.sigma {self.sigma}: at least 1, and above 0")
        for name in (
            "lambda_gan", "lambda_reconstruction", "lambda_cycle", "penalty", "regressor_steps",
            "adversarial_steps",
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
        """See `MethodConfig.build`. Raises `UserError` for a prior of other keypoints than the encoder's."""
        prior = read_prior(self.prior)
        if prior.num_keypoints != encoder.num_keypoints:
            raise UserError(
                f"the pose prior '{self.prior}' has {prior.num_keypoints} keypoints: set "
                f"num_keypoints={prior.num_keypoints}"
            )
        return KeypointGAN(encoder, self, prior)


class KeypointGAN(Method):
    """Φ and η of the encoder, the discriminator D, and Ψ."""

    training_steps: Tensor

    def __init__(self, encoder: KeypointEncoder, config: KeypointGANConfig, prior: PosePrior) -> None:
        super().__init__(encoder)
        self.config, self.prior = config, prior
        height, width = self.size
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, 32, 5, 2, 2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(64, 64, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(64 * -(-height // 8) * -(-width // 8), 1),
        )
        channels = encoder.config.in_channels
        self.painter = UNet(channels + 1, channels + 1)
        self.register_buffer("training_steps", torch.zeros((), dtype=torch.int64))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self.encoder.config.image_size
        return (height + 1) // 2, (width + 1) // 2

    def extra(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Poses of the prior for both frames of each clip, and the noise that η learns to look through."""
        poses = self.prior.points[rng.integers(len(self.prior.points), size=2 * number)]
        level = rng.uniform(0.0, 0.4, (2 * number, 1, 1, 1))
        noise = level * rng.standard_normal((2 * number, 1, *self.size))
        contrast = rng.uniform(0.6, 1.4, (2 * number, 1, 1, 1))
        drawn = {"poses": poses, "noise": noise.astype(np.float32), "contrast": contrast.astype(np.float32)}
        return {name: torch.from_numpy(value) for name, value in drawn.items()}

    def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, Tensor]:
        """All losses; while evaluating, "total" is reconstruction and cycle, which have a lowest value."""
        config, network, poses = self.config, self.encoder.network, clips.extra["poses"]
        assert isinstance(network, SkeletonNetwork)
        real = self.draw(poses)
        regression = regressor_loss(
            network.regressor(real * clips.extra["contrast"] + clips.extra["noise"]), poses
        )
        done = int(self.training_steps)
        if self.training:
            self.training_steps += 1
            if done < config.regressor_steps:
                return {"total": regression, "regression": regression}
        images = self.encoder.normalise(clips.frames.flatten(0, 1))
        picture = network.translator(images)
        points, _ = soft_argmax(_fixed(network.regressor, picture), heatmap="softmax")
        drawn = self.draw(points)
        reconstruction = self.reconstruction(functional.interpolate(images, self.size, mode="area"), drawn)
        cycle = (drawn - picture).square().mean() / real.square().mean()
        judged_fixed = _fixed(self.discriminator, picture)
        rest = config.lambda_reconstruction * reconstruction + config.lambda_cycle * cycle
        terms = {"reconstruction": reconstruction, "cycle": cycle, "regression": regression}
        terms["generator"] = generator_loss(judged_fixed)
        if not self.training:
            return {"total": rest, **terms}
        adversary = discriminator_loss(self.discriminator(real), self.discriminator(picture.detach()))
        penalty = gradient_penalty(self.discriminator, torch.cat([real, picture.detach()]))
        since = done - config.regressor_steps - config.adversarial_steps
        faded = min(1.0, max(0.0, since / max(1, config.adversarial_steps)))
        total = faded * rest + config.lambda_gan * terms["generator"] + regression
        total = total + adversary + config.penalty / 2 * penalty
        return {"total": total, **terms, "discriminator": adversary, "penalty": penalty}

    def draw(self, points: Tensor) -> Tensor:
        """β(p): (N, K, 2) → (N, 1, h, w)."""
        return draw_skeleton(points, self.prior.edges, *self.size, self.config.sigma)

    def reconstruction(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Of images (2B, C, h, w), two of a clip behind each other, each from the other and its skeleton."""
        others = images.view(-1, 2, *images.shape[1:]).flip(1).flatten(0, 1)
        painted = self.painter(torch.cat([others, drawn], 1))
        mask = torch.sigmoid(painted[:, -1:])
        made = others + mask * (painted[:, :-1] - others)
        return _distance(made, images) / _distance(others, images).clamp(min=1e-6)


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


def _distance(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared differences at full, half and a quarter of the resolution, summed."""
    scales = [functional.avg_pool2d(made - wanted, scale).square().mean() for scale in (1, 2, 4)]
    return torch.stack(scales).sum()


def _fixed(module: nn.Module, inputs: Tensor) -> Tensor:
    """module(inputs), whose gradient reaches the inputs but not the module."""
    output: Tensor = functional_call(module, {n: p.detach() for n, p in module.named_parameters()}, (inputs,))
    return output
