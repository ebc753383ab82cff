"""Something to look at: frames of a video file, a folder, recorded demonstrations or an environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.bouncing.motion import RATE
from mint_rl.data.bouncing.videos import TEST_SEED, is_bouncing, masked_bouncing, parse_bouncing
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.data.videos.clevrer import is_proposal, masked_clevrer
from mint_rl.data.videos.clips import VIDEO_SUFFIXES, BrokenVideo, Clip
from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.search import DEMONSTRATION_SUFFIXES, LIST_SUFFIXES, find_clips
from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.envs.magical.simulator import FRAMES_PER_SECOND
from mint_rl.errors import UserError

_MAGICAL_SIDE = 384  # as it is drawn; encoders average it to their own size
_MADE_SIDE = 384  # at most, of the longer side, unless the encoder's images are larger
_SUFFIXES = (*VIDEO_SUFFIXES, *DEMONSTRATION_SUFFIXES, *LIST_SUFFIXES)
_CLEVRER_RATE = 25.0
_IMAGES_PER_SECOND = 10.0  # of images in a folder, which do not say


@dataclass(frozen=True, eq=False)
class Footage:
    """One video to look at."""

    name: str
    frames: Iterator[NDArray[np.uint8]]  # each (H, W, 3) RGB; read as they are asked for
    fps: float
    visible: NDArray[np.int64] | None = None  # (T,) objects in sight, where that is known


def open_footage(
    source: str,
    videos: int = 1,
    seed: int = 0,
    behaviour: str = "auto",
    image_size: tuple[int, int] = (96, 96),
) -> Iterator[Footage]:
    """The first `videos` videos of a source, one at a time.

    source: what `mint-rl pretrain --data` takes (a video file, a folder, a file of demonstrations), or an
        environment: a MAGICAL task with or without variant, or the id of any gymnasium environment that draws
        itself, where actions are random. Of bouncing it is videos to test on.
    seed: of the first episode of an environment, or counted from the first of bouncing's videos to test on;
        the next ones count up.
    behaviour: in MAGICAL, see `masked_episodes`.
    image_size: of the encoder's images, height and width: bouncing's videos are made in their shape.

    Raises `UserError` for a source that is none of these or cannot be read.
    """
    if is_bouncing(source):
        larger = max(1, _MADE_SIDE // max(image_size))
        size = larger * image_size[0], larger * image_size[1]
        made = masked_bouncing(videos, TEST_SEED + seed, size, parse_bouncing(source))
        for number, video in enumerate(made, start=seed):
            yield _masked(video, f"{source}, test video {number}", RATE)
    elif Path(source).is_dir() and any(is_proposal(path) for path in Path(source).rglob("*.json")):
        for video in masked_clevrer(source, videos):
            yield _masked(video, f"{video.name} in {source}", _CLEVRER_RATE)
    elif Path(source).exists() or Path(source).suffix.lower() in _SUFFIXES:
        for clip in find_clips(VideoConfig(data=[source]))[:videos]:
            yield _clip(clip)
    elif _is_gymnasium_id(source):
        for number in range(videos):
            yield _episode(source, seed + number)
    else:
        try:
            environment = env_id(*parse_env_id(source))
        except UserError as error:
            raise UserError(f"'{source}' is no file, no folder and no known environment: {error}") from error
        episodes = masked_episodes(environment, videos, seed, behaviour, noise=0.0, resolution=_MAGICAL_SIDE)
        for number, video in enumerate(episodes, start=seed):
            yield _masked(video, f"{environment}, seed {number}", FRAMES_PER_SECOND)


def _masked(video: MaskedVideo, name: str, fps: float) -> Footage:
    """A video whose masks tell how many objects are in sight."""
    visible = [int(np.isin(video.objects, mask).sum()) for mask in video.masks]
    return Footage(name, iter(video.frames), fps, np.array(visible))


def _clip(clip: Clip) -> Footage:
    """A video file, an image sequence or a demonstration."""
    if clip.images is not None:
        return Footage(clip.name, iter(clip.images), FRAMES_PER_SECOND)
    try:
        frames = clip.read()
        first = list(islice(frames, 2))  # two times give the rate
    except BrokenVideo as error:
        raise UserError(f"'{clip.name}' {error}") from error
    times = [frame.time for frame in first]
    fps = _IMAGES_PER_SECOND
    if len(times) == 2 and times[0] is not None and times[1] is not None and times[1] > times[0]:
        fps = 1 / (times[1] - times[0])

    def load() -> Iterator[NDArray[np.uint8]]:
        try:
            for frame in chain(first, frames):
                yield frame.load()
        except BrokenVideo as error:
            raise UserError(f"'{clip.name}' {error}") from error

    return Footage(clip.name, load(), fps)


def _is_gymnasium_id(name: str) -> bool:
    """Whether gymnasium knows an environment of this name that is not one of MAGICAL's."""
    import gymnasium

    return name in gymnasium.registry and not name.startswith("magical/")


def _episode(name: str, seed: int) -> Footage:
    """One episode of random actions."""
    import gymnasium

    try:
        env = gymnasium.make(name, render_mode="rgb_array")
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise UserError(f"cannot make the environment '{name}': {str(error).splitlines()[0]}") from error
    rate = float(env.metadata.get("render_fps") or _IMAGES_PER_SECOND)

    def play() -> Iterator[NDArray[np.uint8]]:
        env.reset(seed=seed)
        env.action_space.seed(seed)
        yield np.asarray(env.render())
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            yield np.asarray(env.render())
            ended = terminated or truncated
        env.close()

    return Footage(f"{name}, seed {seed}", play(), rate)
