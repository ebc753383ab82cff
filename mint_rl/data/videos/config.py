"""Which videos are read, and how: the settings that every verb which reads videos shares."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mint_rl.errors import UserError, unknown_name
from mint_rl.options import option

FORMATS = ("auto", "files", "clevrer", "mime", "simitate", "lerobot", "demonstrations")
BROKEN = ("skip", "fail")
SMALLEST_SIDE = 12  # of a frame: what an encoder's convolutions need


@dataclass
class VideoConfig:
    """Everything that decides which frames are read. Raises `UserError` for values that cannot be."""

    data: list[str] = option([], "videos, folders of videos or images, lists of paths, data sets, bouncing")
    format: str = option("auto", f"how the data is laid out: {', '.join(FORMATS)}")
    camera: str | None = option(None, "camera of a LeRobot data set; none: its first")
    size: str | None = option(
        None, "height x width of the frames, say 96x96; none: as the first video, but small"
    )
    fps: float | None = option(None, "bring videos to so many frames a second; none: as recorded")
    stride: int = option(1, "then take every so-manieth frame")
    max_frames: int | None = option(None, "and at most so many of a video; none: all")
    max_videos: int | None = option(None, "take so many videos, evenly over those there are; none: all")
    broken: str = option("skip", "videos that cannot be read: skip, or fail")
    cache: str | None = option(None, "folder that keeps decoded frames; none: one in the user's cache")

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise unknown_name("format", self.format, FORMATS)
        if self.broken not in BROKEN:
            raise unknown_name("answer to broken videos", self.broken, BROKEN)
        for name, lowest in (("stride", 1), ("max_frames", 2), ("max_videos", 1)):
            value = getattr(self, name)
            if value is not None and not value >= lowest:
                raise UserError(f"the option '{name}' must be at least {lowest}, got {value}")
        if self.fps is not None and not (self.fps > 0 and math.isfinite(self.fps)):
            raise UserError(f"the option 'fps' must be above 0, got {self.fps}")
        _ = self.frame_size

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width that `size` asks for, if it does."""
        return None if self.size is None else parse_size(self.size)


def parse_size(size: str) -> tuple[int, int]:
    """Height and width in a word such as "96x96" or "96"; `UserError` for one that is no size."""
    found = re.fullmatch(r"\s*(\d{1,5})\s*(?:[xX×,]\s*(\d{1,5})\s*)?", str(size))
    if found is None:
        raise UserError(f"the option 'size' is height x width in pixels, say 96x96, got '{size}'")
    height, width = int(found[1]), int(found[2] or found[1])
    if min(height, width) < SMALLEST_SIDE:
        raise UserError(f"the option 'size' must be at least {SMALLEST_SIDE} each way, got '{size}'")
    return height, width
