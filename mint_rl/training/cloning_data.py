"""Demonstrations as training data: what the policy sees at each step, what was done, what came next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mint_rl.data.demonstrations import Demonstration
from mint_rl.envs.magical.state import picture_pose
from mint_rl.errors import UserError
from mint_rl.training.encoding import Change, Encoding


@dataclass
class Batch:
    """B steps to learn from."""

    observations: Tensor  # (B, T, …) as the policy sees them
    actions: Tensor  # (B, C) int64: the present action and those that follow it
    acted: Tensor  # (B, C) bool: false for actions after the end of the episode
    following: Tensor | None  # (B, …) the next frame; None where nobody asks for it
    known: Tensor  # (B,) bool: false after the last frame of an episode, which nothing follows
    poses: Tensor | None = None  # (B, 4), see `CloningData`


@dataclass
class CloningData:
    """All steps of all demonstrations, one after another; N steps, of which some are for validation."""

    frames: Tensor  # (N, K, 3 + D) float32 keypoints, or (N, H, W, C) uint8 pixels
    actions: Tensor  # (N,) int64, the labels
    history: Tensor  # (N, T) int64: the last T frames of the episode, the first one repeated at its start
    later: Tensor  # (N, C) int64: this step and the next C − 1 of the same episode, −1 after the last
    following: Tensor  # (N,) int64: the next frame of the same episode, −1 after the last
    training: Tensor  # (M,) int64: the steps to train on
    validation: Tensor  # (N − M,) int64: the steps of held-out demonstrations
    poses: Tensor  # (N, 4) the robot's place and heading, see `picture_pose`; NaN where nobody knows

    def batch(self, steps: Tensor, next_frames: bool = True) -> Batch:
        """The given steps (B,), their frames stacked as `FrameStackObservation` stacks them."""
        following, later = self.following[steps], self.later[steps]
        return Batch(
            observations=self.frames[self.history[steps]],
            actions=self.actions[later.clamp(min=0)],
            acted=later >= 0,
            following=self.frames[following.clamp(min=0)] if next_frames else None,
            known=following >= 0,
            poses=self.poses[steps],
        )

    def to(self, device: str) -> CloningData:
        """All of it on a device, where it stays: no step of training moves more than indices there."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def cloning_data(
    demonstrations: Sequence[Demonstration],
    encoding: Encoding | None,
    history: int = 4,
    validation_share: float = 0.1,
    seed: int = 0,
    shifted_copies: int = 0,
    shift: int = 4,
    colour: float = 0.0,
    chunk: int = 1,
    rollouts: Sequence[Demonstration] = (),
) -> CloningData:
    """Encode every frame once, and hold out whole demonstrations for validation, drawn by `seed`.

    Without an encoding the frames stay pixels. With one, each training demonstration is also encoded
    `shifted_copies` times from frames moved by up to `shift` pixels each way, one offset an episode: what a
    network with strides reports of a scene depends on where the scene lies on its grid, and a policy must not
    learn that by heart. `colour`, from 0 to 1, is how much the colours of these copies are changed, so that
    it does not learn those by heart either. `rollouts` are further episodes to train on, of which none is
    held out. Raises `UserError` for fewer than two demonstrations.
    """
    count = len(demonstrations)
    require_enough(count)
    held_out = np.zeros(count + len(rollouts), dtype=bool)
    drawn = np.random.default_rng(seed).permutation(count)
    held_out[drawn[: min(count - 1, max(1, round(validation_share * count)))]] = True
    originals = [*demonstrations, *rollouts]
    episodes: list[Demonstration] = []
    parts: list[NDArray[Any]] = []
    poses: list[NDArray[np.float32]] = []
    validating: list[bool] = []
    with tqdm(originals, desc="encoding", unit="episode", delay=1.0, disable=encoding is None) as progress:
        for number, episode in enumerate(progress):
            copies = 0 if encoding is None or held_out[number] else shifted_copies
            episodes += [episode] * (1 + copies)
            validating += [bool(held_out[number])] * (1 + copies)
            pose = picture_pose(episode.states, len(episode))
            poses.append(pose)
            if encoding is None:
                parts.append(episode.images)
                continue
            rng = np.random.default_rng([seed, 2, number])
            offsets = rng.integers(-shift, shift + 1, (copies, 2)).tolist()
            colours = rng.integers(2**31, size=copies).tolist()
            moves = zip(offsets, colours, strict=True)
            changes = [Change(right, down, colour, drawn) for (right, down), drawn in moves]
            parts.append(encoding.of(episode.images, [Change(), *changes]))
            height, width = episode.images.shape[1:3]
            for right, down in offsets:
                moved = np.array([2 * right / width, 2 * down / height, 0, 0], dtype=np.float32)
                poses.append(pose + moved)
    lengths = [len(episode) for episode in episodes]
    in_validation = torch.from_numpy(np.repeat(validating, lengths))
    return CloningData(
        frames=torch.from_numpy(np.concatenate(parts)),
        actions=torch.from_numpy(np.concatenate([episode.actions for episode in episodes])),
        history=history_indices(lengths, history),
        later=later_indices(lengths, chunk),
        following=following_indices(lengths),
        training=torch.nonzero(~in_validation).flatten(),
        validation=torch.nonzero(in_validation).flatten(),
        poses=torch.from_numpy(np.concatenate(poses)),
    )


def require_enough(demonstrations: int) -> None:
    """`UserError` for so few demonstrations that none is left to train on or to hold out."""
    if demonstrations < 2:
        raise UserError(
            "behaviour cloning needs at least 2 demonstrations, one of them for validation, but there is "
            f"{demonstrations}: record or give more"
        )


def history_indices(lengths: Sequence[int], frames: int) -> Tensor:
    """(N, T) positions of the last T frames at every step of episodes laid end to end, oldest first.

    At the start of an episode its first frame is repeated.
    """
    starts = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    steps = np.arange(sum(lengths))
    back = np.arange(frames - 1, -1, -1)
    return torch.from_numpy(np.maximum(steps[:, None] - back, starts[:, None]))


def later_indices(lengths: Sequence[int], steps: int) -> Tensor:
    """(N, C) positions of every step and the C − 1 steps after it, −1 beyond the end of its episode."""
    ends = np.repeat(np.cumsum(lengths), lengths)
    later = np.arange(sum(lengths))[:, None] + np.arange(steps)
    return torch.from_numpy(np.where(later < ends[:, None], later, -1))


def following_indices(lengths: Sequence[int]) -> Tensor:
    """(N,) position of the next frame at every step, −1 at the last of each episode."""
    return later_indices(lengths, 2)[:, 1]
