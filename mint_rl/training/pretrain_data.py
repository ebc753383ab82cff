"""The videos of a pretraining run: read or recorded, then divided into those to train on and those held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from mint_rl.data.videos import VideoSet, open_videos
from mint_rl.training.pretrain_config import PretrainConfig

Video = TypeVar("Video")


def load_videos(config: PretrainConfig, say: Callable[[str], None]) -> VideoSet:
    """The videos that `config.data` names, or rollouts of MAGICAL made for the purpose.

    Raises `UserError` for videos that cannot be used.
    """
    if config.data:
        return open_videos(config, say)
    from mint_rl.envs.magical.recording import collect_frames

    say("recording rollouts of the eight MAGICAL tasks")
    recorded = VideoSet()
    for number, video in enumerate(collect_frames(seed=config.seed)):
        recorded.add(f"rollout {number}", video)
    return recorded


def split_videos(videos: Sequence[Video], share: float, seed: int) -> tuple[list[Video], list[Video]]:
    """Videos for training and validation: a share of them, drawn by the seed, and never the last one left."""
    held_out = min(math.ceil(share * len(videos)), len(videos) - 1)
    order = np.random.default_rng(seed).permutation(len(videos))
    chosen = set(order[:held_out].tolist()) if held_out > 0 else set()
    training = [video for number, video in enumerate(videos) if number not in chosen]
    return training, [videos[number] for number in sorted(chosen)]
