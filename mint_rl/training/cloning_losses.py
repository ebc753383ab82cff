"""What behaviour cloning minimises: errors of the action, of the next keypoints, and of the robot's pose."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from mint_rl.envs.magical.names import IDLE
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.policies.base import ImitationPolicy
from mint_rl.training.cloning_data import Batch
from mint_rl.training.image_augmentation import random_colours, random_rotation, random_shift

_PLACE_WEIGHT = 10.0  # of a pose's place beside its heading, where the picture is 2 wide


def change_images(
    batch: Batch, generator: torch.Generator, shift: int = 0, rotation: float = 0.0, colour: float = 0.0
) -> Batch:
    """Move, turn and recolour the frames of each step, the next one with them (see `image_augmentation`).

    Where the robot was is then not known any more.
    """
    batch = replace(batch, poses=None)
    frames = batch.observations
    if batch.following is not None:
        frames = torch.cat([frames, batch.following[:, None]], dim=1)
    frames = random_shift(frames, shift, generator)
    frames = random_rotation(frames, rotation, generator)
    frames = random_colours(frames, colour, generator)
    if batch.following is None:
        return replace(batch, observations=frames)
    return replace(batch, observations=frames[:, :-1], following=frames[:, -1])


def perceive(batch: Batch, encoder: KeypointEncoder, descriptors: bool) -> Batch:
    """A batch of frames as keypoints, with the gradient to the encoder's weights.

    Of the next frame, which is a target, the keypoints are found without one: otherwise the encoder could
    make them easy to predict.
    """
    seen = encoder(batch.observations.flatten(0, 1), descriptors).to_tensor()
    following = batch.following
    if following is not None:
        with torch.no_grad():
            following = encoder(following).to_tensor()
    return replace(batch, observations=seen.unflatten(0, batch.observations.shape[:2]), following=following)


def jitter(batch: Batch, noise: float, generator: torch.Generator) -> Batch:
    """Move the keypoints of a batch by normal noise (a share of the image's side)."""
    size, _, keypoints, _ = batch.observations.shape
    # One offset a keypoint for all its frames, the next included: its place gets uncertain, not its motion.
    offset = (noise * torch.randn(size, keypoints, 2, generator=generator)).to(batch.observations.device)
    observations = batch.observations.clone()
    observations[..., :2] += offset[:, None]
    if batch.following is None:
        return replace(batch, observations=observations)
    following = batch.following.clone()
    following[..., :2] += offset
    return replace(batch, observations=observations, following=following)


def cloning_losses(
    policy: ImitationPolicy,
    batch: Batch,
    dynamics_weight: float,
    pose_weight: float = 0.0,
    idle_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Cross-entropy of the actions, errors of next keypoints and of the pose, their weighted sum `loss`.

    And the accuracy, which is that of the present action. A weight of 0 leaves a head out altogether.
    `idle_weight` is that of doing nothing among the actions: to stop too early is the one mistake that a
    policy never mends, since nothing changes any more, and demonstrations are full of it once all is done.
    """
    plan, predicted, pose = policy.plan(batch.observations)
    actions, acted = batch.actions.flatten(), batch.acted.flatten()
    weights = torch.where(actions == IDLE, idle_weight, 1.0) * acted
    errors = functional.cross_entropy(plan.float().flatten(0, 1), actions, reduction="none")
    action_loss = (weights * errors).sum() / weights.sum().clamp(min=1e-6)
    losses = {"loss": action_loss, "action_loss": action_loss}
    if predicted is not None and batch.following is not None and dynamics_weight > 0:
        losses["dynamics_loss"] = dynamics_loss(predicted.float(), batch.following[..., :3], batch.known)
        losses["loss"] = action_loss + dynamics_weight * losses["dynamics_loss"]
    if pose is not None and batch.poses is not None and pose_weight > 0:
        losses["pose_loss"] = pose_loss(pose.float(), batch.poses)
        losses["loss"] = losses["loss"] + pose_weight * losses["pose_loss"]
    losses["accuracy"] = (plan[:, 0].argmax(dim=1) == batch.actions[:, 0]).float().mean()
    return losses


def pose_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Squared error of poses (B, 4), x and y on the picture and heading; what is not known is NaN."""
    known = true.isfinite().all(dim=1)
    error = (predicted - true.nan_to_num()).square() * known[:, None]
    return (_PLACE_WEIGHT * error[:, :2].sum() + error[:, 2:].sum()) / known.sum().clamp(min=1)


def dynamics_loss(predicted: Tensor, target: Tensor, known: Tensor, delta: float = 0.05) -> Tensor:
    """Huber error of the next keypoints, in units of `delta`: linear beyond it, so that jumps weigh little.

    Args:
        predicted, target: x, y, status (B, K, 3). Where a keypoint is inactive in the target, its place means
            nothing and is left out.
        known: (B,) bool; steps where it is false count nothing.
        delta: Where the error turns linear, as a share of the image's side.
    """
    error = functional.huber_loss(predicted, target, reduction="none", delta=delta) / delta
    active = target[..., 2:]
    weight = torch.cat([active, active, torch.ones_like(active)], dim=-1) * known[:, None, None]
    return (error * weight).sum() / weight.sum().clamp(min=1.0)
