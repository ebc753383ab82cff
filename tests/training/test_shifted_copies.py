"""Demonstrations encoded again from moved frames: where they go, and what stays untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mint_rl.data.demonstrations import Demonstration
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.training.cloning_data import cloning_data
from mint_rl.training.encoding import Encoding, shifted


def _demonstrations(count: int = 4, steps: int = 3) -> list[Demonstration]:
    rng = np.random.default_rng(0)
    return [
        Demonstration(
            images=rng.integers(0, 256, (steps, 96, 96, 3), dtype=np.uint8),
            actions=np.full(steps, number),
            executed=np.full(steps, number),
            score=1.0,
        )
        for number in range(count)
    ]


def test_images_move_right_and_down_and_repeat_their_border() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    moved = shifted(images, right=1, down=-1)
    np.testing.assert_array_equal(moved[0, :, :, 0], [[4, 4, 5, 6], [8, 8, 9, 10], [8, 8, 9, 10]])
    np.testing.assert_array_equal(shifted(images, 0, 0), images)


def test_copies_are_for_training_only_and_keep_their_actions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder().eval()
    encoding = Encoding(encoder, cache=tmp_path)
    plain = cloning_data(_demonstrations(), encoding, validation_share=0.25)
    copied = cloning_data(_demonstrations(), encoding, validation_share=0.25, shifted_copies=2, shift=4)
    torch.testing.assert_close(copied.frames[copied.validation], plain.frames[plain.validation])
    # The original comes first, its copies right after it.
    torch.testing.assert_close(copied.frames[copied.training][:3], plain.frames[plain.training][:3])
    assert len(copied.training) == 3 * len(plain.training)
    held_out = set(plain.actions[plain.validation].tolist())
    assert held_out.isdisjoint(copied.actions[copied.training].tolist())
    # Each copy is an episode of its own: its history and what follows stay inside it.
    assert (copied.following == -1).sum() == 4 + 2 * 3
    starts = torch.arange(0, len(copied.actions), 3)
    assert (copied.history[starts] == starts[:, None]).all()


def test_the_seed_decides_the_offsets(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder().eval()

    encoding = Encoding(encoder, cache=tmp_path)

    def frames(seed: int) -> torch.Tensor:
        return cloning_data(_demonstrations(), encoding, seed=seed, shifted_copies=1).frames

    torch.testing.assert_close(frames(3), frames(3))
    assert not torch.equal(frames(3), frames(4))
