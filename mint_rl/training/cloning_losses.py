"""What behaviour cloning minimises: the error of the action and of the predicted next keypoints."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from mint_rl.policies.base import ImitationPolicy
from mint_rl.policies.cnn import CNNConfig, random_shift
from mint_rl.training.cloning_data import Batch


def augment(batch: Batch, policy: ImitationPolicy, noise: float, generator: torch.Generator) -> Batch:
    """Shift the pixels of a batch, or move its keypoints by normal noise (a share of the image's side)."""
    if isinstance(policy.config, CNNConfig):
        shifted = random_shift(batch.observations, policy.config.shift, generator)
        return replace(batch, observations=shifted)
    size, _, keypoints, _ = batch.observations.shape
    # One offset a keypoint for all its frames, the next included: its place gets uncertain, not its motion.
    offset = noise * torch.randn(size, keypoints, 2, generator=generator)
    observations = batch.observations.clone()
    observations[..., :2] += offset[:, None]
    assert batch.following is not None
    following = batch.following.clone()
    following[..., :2] += offset
    return replace(batch, observations=observations, following=following)


def cloning_losses(policy: ImitationPolicy, batch: Batch, dynamics_weight: float) -> dict[str, Tensor]:
    """Cross-entropy of the action, error of the next keypoints, their weighted sum `loss`; the accuracy."""
    logits, predicted = policy.imitate(batch.observations)
    action_loss = functional.cross_entropy(logits, batch.actions)
    losses = {"loss": action_loss, "action_loss": action_loss}
    if predicted is not None and batch.following is not None and dynamics_weight > 0:
        losses["dynamics_loss"] = dynamics_loss(predicted, batch.following, batch.known)
        losses["loss"] = action_loss + dynamics_weight * losses["dynamics_loss"]
    losses["accuracy"] = (logits.argmax(dim=1) == batch.actions).float().mean()
    return losses


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
