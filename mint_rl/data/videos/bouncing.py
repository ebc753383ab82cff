"""The made set of bouncing objects as clips: what `bouncing` stands for among files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.bouncing.motion import RATE
from mint_rl.data.bouncing.videos import (
    SIZE,
    TEST_SEED,
    TRAINING_VIDEOS,
    VERSION,
    BouncingConfig,
    BouncingVideo,
    parse_bouncing,
)
from mint_rl.data.videos.clips import Clip, Frame
from mint_rl.data.videos.config import VideoConfig
from mint_rl.errors import UserError


def bouncing_clips(word: str, config: VideoConfig) -> list[Clip]:
    """The videos to train on, as many as `config.max_videos` says, drawn in `config.size`.

    They are made as they are read. Raises `UserError` for settings in the word that cannot be.
    """
    settings = parse_bouncing(word)
    number = config.max_videos or TRAINING_VIDEOS
    if number > TEST_SEED:
        raise UserError(f"there are {TEST_SEED} videos of bouncing to train on, but {number} are asked for")
    return [_clip(seed, config.frame_size or SIZE, settings) for seed in range(number)]


def _clip(seed: int, size: tuple[int, int], settings: BouncingConfig) -> Clip:
    part = f"bouncing {VERSION} {seed} {size} {astuple(settings)}"
    return Clip(f"bouncing, seed {seed}", (), partial(_frames, seed, size, settings), part)


def _frames(seed: int, size: tuple[int, int], settings: BouncingConfig) -> Iterator[Frame]:
    video = BouncingVideo(seed, size, settings)

    def load(number: int) -> NDArray[np.uint8]:
        return video.draw(number)[0]

    for number in range(len(video)):
        yield Frame(number / RATE, partial(load, number))
