"""The videos of the set, one for every seed: what is drawn on the table, moved and painted.

A set in a word: `bouncing`, or with settings `bouncing:frames=256,objects=8,shadows=false`. Videos to train
on have the seeds from 0 on, videos to test on those from `TEST_SEED` on, so no video is in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.bouncing.motion import RATE, Motion, simulate
from mint_rl.data.bouncing.picture import Painter
from mint_rl.data.bouncing.scene import MEAN_AREA, Thing, draw_scene
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.errors import UserError, unknown_name

NAME = "bouncing"
VERSION = 1  # to be counted up when the video of a seed changes
SIZE = (96, 96)
TRAINING_VIDEOS = 20  # as many as the paper took of CLEVRER
TEST_VIDEOS = 25
TEST_SEED = 500_000

_SETTINGS = ("frames", "objects", "shadows")
_MOST_OBJECTS = 12
_ATTEMPTS = 10


@dataclass(frozen=True)
class BouncingConfig:
    """What a set's videos have in common. Raises `UserError` for values that cannot be."""

    frames: int = 128  # of each video, at 25 a second: as long as CLEVRER's
    objects: int = 7  # at most so many in a video, and 5 or more where there may be
    shadows: bool = True

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise UserError(f"videos of {NAME} need at least 2 frames, got frames={self.frames}")
        if not 2 <= self.objects <= _MOST_OBJECTS:
            raise UserError(
                f"videos of {NAME} have room for 2 to {_MOST_OBJECTS} objects, got objects={self.objects}"
            )


def is_bouncing(word: str) -> bool:
    """Whether a source of videos is this set, perhaps with settings; a folder of that name is ./bouncing."""
    return word == NAME or word.startswith(f"{NAME}:")


def parse_bouncing(word: str) -> BouncingConfig:
    """The settings in a word such as "bouncing:frames=256".

    Raises `UserError` for a setting that there is not, or a value that it cannot have.
    """
    changes: dict[str, int] = {}
    shadows = True
    for part in filter(None, word.removeprefix(NAME).removeprefix(":").split(",")):
        key, _, value = part.partition("=")
        if key not in _SETTINGS:
            raise unknown_name(f"setting of {NAME}", key, _SETTINGS)
        if key == "shadows":
            if value not in ("true", "false"):
                raise UserError(f"'{word}' sets shadows to '{value}': write true or false")
            shadows = value == "true"
        elif value.isdecimal():
            changes[key] = int(value)
        else:
            raise UserError(f"'{word}' sets {key} to '{value}', which is no whole number")
    return BouncingConfig(**changes, shadows=shadows)


class BouncingVideo:
    """One video before it is painted: its objects, how they move, and its frames on request."""

    def __init__(self, seed: int, size: tuple[int, int] = SIZE, config: BouncingConfig | None = None) -> None:
        """seed: 0 or more. size: height and width in pixels; pictures of the same shape show the same scene.

        Raises `UserError` where pymunk is missing.
        """
        config = config or BouncingConfig()
        self.table = (size[1] / min(size), size[0] / min(size))
        self.things, self.motion = _lively_scene(seed, self.table, config)
        self._painter = Painter(self.things, size, np.random.default_rng((2, seed)), config.shadows)

    def __len__(self) -> int:
        return len(self.motion.poses)

    def draw(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Frame (H, W, 3) RGB, and mask (H, W): 0 is the table, 1 + n the object `things[n]`."""
        return self._painter.draw(self.motion.poses[frame])


def bouncing_video(
    seed: int, size: tuple[int, int] = SIZE, config: BouncingConfig | None = None
) -> MaskedVideo:
    """The video of a seed with its masks: see `BouncingVideo`."""
    video = BouncingVideo(seed, size, config)
    drawn = [video.draw(frame) for frame in range(len(video))]
    return MaskedVideo(
        NAME,
        np.stack([frame for frame, _ in drawn]),
        np.stack([mask for _, mask in drawn]),
        tuple(range(1, 1 + len(video.things))),
        keypoint_area(*size),
    )


def masked_bouncing(
    number: int = TEST_VIDEOS,
    seed: int = TEST_SEED,
    size: tuple[int, int] = SIZE,
    config: BouncingConfig | None = None,
) -> Iterator[MaskedVideo]:
    """So many videos to test on, one at a time; the first has `seed` and the next ones count up.

    Raises `UserError` for a seed that belongs to the videos to train on, or where pymunk is missing.
    """
    if seed < TEST_SEED:
        raise UserError(
            f"the videos of {NAME} with seeds below {TEST_SEED} are those to train on: test on seeds from "
            f"there on, got {seed}"
        )
    yield from map(partial(bouncing_video, size=size, config=config), range(seed, seed + number))


def keypoint_area(height: int, width: int) -> float:
    """A_k in pixels: the mean area of an object."""
    return MEAN_AREA * min(height, width) ** 2


def chosen_frames(frames: int, fps: float | None, stride: int, most: int | None) -> NDArray[np.int64]:
    """Which of `frames` frames are left at another rate, with every `stride`-th taken and at most so many.

    At each time k/fps it is the last frame until then, as where video files are read.
    """
    times = np.arange(0, frames - 1 + 1e-6, RATE / fps) if fps else np.arange(frames)
    return np.floor(times + 1e-6).astype(np.int64)[::stride][:most]


def _lively_scene(
    seed: int, table: tuple[float, float], config: BouncingConfig
) -> tuple[tuple[Thing, ...], Motion]:
    """The first scene drawn from a seed in which objects enter, leave and collide, and one is always there.

    Short videos may have no time for it: then it is the scene in which most of the four is so.
    """
    best: tuple[int, tuple[Thing, ...], Motion] | None = None
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng((1, seed, attempt))
        things = draw_scene(rng, table, config.frames, config.objects)
        motion = simulate(things, table, config.frames)
        lively = sum(_happenings(things, motion, table))
        if best is None or lively > best[0]:
            best = lively, things, motion
        if lively == 4:
            break
    assert best is not None
    return best[1:]


def _happenings(things: tuple[Thing, ...], motion: Motion, table: tuple[float, float]) -> list[bool]:
    """Whether an object enters, and one leaves; two collide in sight; at least one is in sight all the time.

    What enters or leaves has been inside as a whole, and is in sight where its middle is.
    """
    there = motion.present
    places = np.where(there[..., None], motion.poses[..., :2], -1.0)
    reach = np.array([thing.reach for thing in things])[:, None]
    inside = ((places > reach) & (places < np.array(table) - reach)).all(-1).any(0)
    seen = np.all((places > 0) & (places < np.array(table)), axis=-1)
    return [
        bool(np.any(inside & ~there[0])),
        bool(np.any(inside & ~there[-1])),
        any(seen[frame, first] and seen[frame, second] for frame, first, second in motion.hits),
        bool(np.all(np.any(seen, axis=1))),
    ]
