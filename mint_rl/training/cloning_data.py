"""Demonstrations as training data: what the policy sees at each step, what was done, what came next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mint_rl.data.demonstrations import DemonstrationSet
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder


@dataclass
class Batch:
    """B steps to learn from."""

    observations: Tensor  # (B, T, …) as the policy sees them
    actions: Tensor  # (B,) int64
    following: Tensor | None  # (B, K, 3) the next keypoints; None for pixels
    known: Tensor  # (B,) bool: false after the last frame of an episode, which nothing follows


@dataclass
class CloningData:
    """All steps of all demonstrations, one after another; N steps, of which some are for validation."""

    frames: Tensor  # (N, K, 3 + D) float32 keypoints, or (N, H, W, C) uint8 pixels
    actions: Tensor  # (N,) int64, the labels
    history: Tensor  # (N, T) int64: the last T frames of the episode, the first one repeated at its start
    following: Tensor  # (N,) int64: the next frame of the same episode, −1 after the last
    training: Tensor  # (M,) int64: the steps to train on
    validation: Tensor  # (N − M,) int64: the steps of held-out demonstrations

    def batch(self, steps: Tensor) -> Batch:
        """The given steps (B,), their frames stacked as `FrameStackObservation` stacks them."""
        following = self.following[steps]
        keypoints = self.frames.ndim == 3
        return Batch(
            observations=self.frames[self.history[steps]],
            actions=self.actions[steps],
            following=self.frames[following.clamp(min=0)][..., :3] if keypoints else None,
            known=following >= 0,
        )


def cloning_data(
    demonstrations: DemonstrationSet,
    encoder: KeypointEncoder | None,
    history: int = 4,
    descriptors: bool = True,
    validation_share: float = 0.1,
    seed: int = 0,
    shifted_copies: int = 0,
    shift: int = 4,
) -> CloningData:
    """Encode every frame once, and hold out whole demonstrations for validation, drawn by `seed`.

    Without an encoder the frames stay pixels. With one, each training demonstration is also encoded
    `shifted_copies` times from frames moved by up to `shift` pixels each way, one offset an episode: what a
    network with strides reports of a scene depends on where the scene lies on its grid, and a policy must not
    learn that by heart. Raises `UserError` for fewer than two demonstrations.
    """
    count = len(demonstrations)
    if count < 2:
        raise UserError(
            f"behaviour cloning needs at least 2 demonstrations, one of them for validation, but "
            f"'{demonstrations.env_id}' has {count}"
        )
    episodes = list(demonstrations)
    held_out = np.zeros(count, dtype=bool)
    drawn = np.random.default_rng(seed).permutation(count)
    held_out[drawn[: min(count - 1, max(1, round(validation_share * count)))]] = True
    images = [episode.images for episode in episodes]
    if encoder is None:
        frames = torch.from_numpy(np.concatenate(images))
    else:
        copied = [index for _ in range(shifted_copies) for index in np.flatnonzero(~held_out)]
        offsets = np.random.default_rng([seed, 2]).integers(-shift, shift + 1, (len(copied), 2))
        images += [shifted(images[i], *offset) for i, offset in zip(copied, offsets, strict=True)]
        episodes += [episodes[i] for i in copied]
        held_out = np.concatenate([held_out, np.zeros(len(copied), dtype=bool)])
        encoded = [
            encoder.encode(frames, descriptors=descriptors)
            for frames in tqdm(images, desc="encoding", unit="episode", delay=1.0)
        ]
        frames = torch.from_numpy(np.concatenate(encoded))
    lengths = [len(episode) for episode in episodes]
    in_validation = torch.from_numpy(np.repeat(held_out, lengths))
    return CloningData(
        frames=frames,
        actions=torch.from_numpy(np.concatenate([episode.actions for episode in episodes])),
        history=history_indices(lengths, history),
        following=following_indices(lengths),
        training=torch.nonzero(~in_validation).flatten(),
        validation=torch.nonzero(in_validation).flatten(),
    )


def shifted(images: NDArray[np.uint8], right: int, down: int) -> NDArray[np.uint8]:
    """Images (T, H, W, C) moved by whole pixels; the border's pixels are repeated where nothing is left."""
    height, width = images.shape[1:3]
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    return images[:, rows[:, None], columns]


def history_indices(lengths: Sequence[int], frames: int) -> Tensor:
    """(N, T) positions of the last T frames at every step of episodes laid end to end, oldest first.

    At the start of an episode its first frame is repeated.
    """
    starts = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    steps = np.arange(sum(lengths))
    back = np.arange(frames - 1, -1, -1)
    return torch.from_numpy(np.maximum(steps[:, None] - back, starts[:, None]))


def following_indices(lengths: Sequence[int]) -> Tensor:
    """(N,) position of the next frame at every step, −1 at the last of each episode."""
    following = np.arange(1, sum(lengths) + 1)
    following[np.cumsum(lengths) - 1] = -1
    return torch.from_numpy(following)
