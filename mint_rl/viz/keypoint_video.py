"""`mint-rl keypoints video`: an encoder's keypoints on any video, with trails and identities."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.envs.magical.masked_videos import BEHAVIOURS
from mint_rl.errors import UserError, unknown_name
from mint_rl.files import writable_folder
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.keypoints.resize import resize_frames
from mint_rl.options import option
from mint_rl.training.threads import cpu_threads
from mint_rl.viz.footage import Footage, open_footage
from mint_rl.viz.overlay import draw_trails, write_png
from mint_rl.viz.video import write_video

_BATCH = 8  # frames encoded together


@dataclass
class KeypointVideoConfig:
    """Which keypoints to look at, on what, and how they are drawn."""

    encoder: str = option("", "shipped name, run folder or the authors' .pt file")
    source: str = option(
        "", "video, folder, demonstrations (.hdf5), bouncing, or environment such as MakeLine-TestAll"
    )
    out: str | None = option(None, "the video to write, *.mp4; none: runs/keypoints-<source>.mp4")
    size: int = option(384, "longer side of the video in pixels")
    videos: int = option(1, "how many videos of a folder, or episodes of an environment, one after another")
    frames: int | None = option(None, "at most so many frames of each; none: all")
    fps: float | None = option(None, "frames a second; none: as the source has them")
    trail: int = option(8, "length of the trails in frames; 0: none")
    labels: bool = option(True, "write the keypoints' numbers beside them")
    inactive: bool = option(False, "show inactive keypoints as circles")
    seed: int = option(0, "of the first episode of an environment, or number of the test video of bouncing")
    behaviour: str = option("auto", "in MAGICAL: expert, explorer, or auto: the expert where there is one")

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 4096 or self.size % 2:
            raise UserError(f"the option 'size' must be an even number from 32 to 4096, got {self.size}")
        for name, lowest in (("videos", 1), ("frames", 1), ("trail", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise UserError(f"the option '{name}' must be at least {lowest}, got {value}")
        if self.fps is not None and not 0 < self.fps <= 240:
            raise UserError(f"the option 'fps' must be above 0 and at most 240, got {self.fps}")
        if self.behaviour not in BEHAVIOURS:
            raise unknown_name("behaviour", self.behaviour, BEHAVIOURS)


def keypoint_video(config: KeypointVideoConfig, say: Callable[[str], None] = print) -> Path:
    """Write a video of keypoints and a picture of its first frame beside it; return the video's path.

    Videos of another shape than the first are resized to its. Raises `UserError` for an encoder or a source
    that cannot be read, or a file that cannot be written.
    """
    from tqdm import tqdm

    if not config.encoder or not config.source:
        raise UserError("which encoder, on what? for instance: mint-rl keypoints video magical MakeLine")
    target = Path(config.out or f"runs/keypoints-{_file_name(config.source)}.mp4")
    if target.suffix.lower() != ".mp4":
        raise UserError(f"videos are written as .mp4, not as '{target.name}'")
    encoder = load_with_settings(config.encoder)
    size = encoder.config.image_size
    footage = open_footage(config.source, config.videos, config.seed, config.behaviour, size)
    first = next(footage)
    writable_folder(target.parent)
    active: list[int] = []
    with cpu_threads(1):
        drawn = _pictures(encoder, chain([first], footage), config, active)
        pictures = iter(tqdm(drawn, desc="drawing", unit="frame", delay=0.5))
        still = next(pictures, None)
        if still is None:
            raise UserError(f"'{first.name}' has no frames")
        write_video(target, chain([still], pictures), config.fps or first.fps)
    write_png(target.with_suffix(".png"), still)
    share = f"{np.mean(active):.1f} of {encoder.num_video_keypoints} keypoints active"
    say(f"{first.name}: {len(active)} frames, {share}")
    say(f"video: {target}, its first frame: {target.with_suffix('.png')}")
    return target


def encoded(
    encoder: KeypointEncoder, frames: Iterator[NDArray[np.uint8]]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Each frame of a video with its keypoints (K, 3), a few frames ahead."""
    tracker = encoder.tracker()
    while batch := list(islice(frames, _BATCH)):
        yield from zip(batch, encoder.read_video(np.stack(batch), tracker=tracker), strict=True)


def _pictures(
    encoder: KeypointEncoder, footage: Iterable[Footage], config: KeypointVideoConfig, active: list[int]
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of all videos in the size of the first; notes in `active` how many keypoints are."""
    side: tuple[int, int] | None = None
    for video in footage:
        recent: deque[NDArray[np.float32]] = deque(maxlen=config.trail + 1)
        for frame, keypoints in encoded(encoder, islice(video.frames, config.frames)):
            recent.append(keypoints)
            active.append(int((keypoints[:, 2] > 0.5).sum()))
            picture = draw_trails(
                frame,
                list(recent),
                config.size,
                length=config.trail,
                labels=config.labels,
                inactive=config.inactive,
                edges=encoder.config.edges,
            )
            side = side or (picture.shape[0], picture.shape[1])
            yield resize_frames(picture[None], side)[0]


def _file_name(source: str) -> str:
    """A source as a part of a file name: no folders, suffix or odd characters."""
    name = source.removeprefix("magical/").removesuffix("-v0")
    return re.sub(r"[^\w.-]+", "-", Path(name).stem) or "video"
