"""Decoded frames on disk: read once, resized, and from then on mapped into memory.

A video has two files in the cache folder, the frames as `<key>.npy` and, written last, what they are as
`<key>.json`; whatever else is computed from the frames may stand beside them as `<key>-….npy`. The key holds
digests of the files that the frames come from, of the settings that they were read with, and of the files'
sizes and times. So frames of other settings lie beside these, and those of a file that has changed are
replaced. Files appear whole, so processes that read the same videos at the same time do no harm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.videos.clips import BrokenVideo, Clip, Frame, sampled
from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.stored_array import CACHE_OPTION, StoredArray, store_array, writing_to
from mint_rl.errors import UserError
from mint_rl.files import atomic_path
from mint_rl.resize import resize_frames

# To be counted up when the frames that come out of the same file and settings change.
FRAMES_VERSION = 1
_FRAMES_AT_ONCE = 16


@dataclass
class About:
    """What is known of a video besides its frames."""

    original_size: tuple[int, int]  # height, width before resizing
    fps: float | None  # frames a second in the file; None where it has no times
    sha256: str  # of the frames' bytes


def cached_frames(
    clip: Clip, size: tuple[int, int], config: VideoConfig, folder: Path
) -> tuple[StoredArray, About]:
    """The frames (T, *size, 3) of a clip, from the cache or decoded into it.

    Raises `BrokenVideo`, or `UserError` where the cache cannot be written.
    """
    key = _key(clip, size, config)
    frames_path, about_path = folder / f"{key}.npy", folder / f"{key}.json"
    try:
        # What cannot be read or does not fit is made anew, whatever the reason.
        about = _about(json.loads(about_path.read_text(encoding="utf-8")))
        frames = StoredArray(frames_path)
        if frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[1:] == (*size, 3):
            return frames, about
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _forget(folder, key)
    reading = Reading(clip, size, config)
    digest = store_array(frames_path, reading)
    about = About(reading.original_size, reading.fps, digest)
    try:
        with writing_to(folder), atomic_path(about_path, CACHE_OPTION) as temporary:
            temporary.write_text(json.dumps({"video": clip.name, "size": size, **asdict(about)}, indent=2))
    except UserError:
        frames_path.unlink(missing_ok=True)  # without its description it would never be read
        raise
    return StoredArray(frames_path), about


class Reading:
    """The frames of a clip, resized, a few at a time; what was seen on the way is known afterwards.

    Iterating raises `BrokenVideo`, also for a video of one frame.
    """

    def __init__(self, clip: Clip, size: tuple[int, int], config: VideoConfig) -> None:
        self.clip, self.size, self.config = clip, size, config
        self.original_size = (0, 0)
        self.fps: float | None = None

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        config, count = self.config, 0
        part: list[NDArray[np.uint8]] = []
        for frame in sampled(self._timed(), config.fps, config.stride, config.max_frames):
            pixels = frame.load()
            if count == 0:
                self.original_size = (pixels.shape[0], pixels.shape[1])
            count += 1
            part.append(resize_frames(pixels[None], self.size)[0])
            if len(part) == _FRAMES_AT_ONCE:
                yield np.stack(part)
                part = []
        if count < 2:
            left = "" if (config.stride, config.fps, config.max_frames) == (1, None, None) else " left"
            raise BrokenVideo(f"has {('no frame', 'one frame')[count]}{left}; a pair needs 2")
        if part:
            yield np.stack(part)

    def _timed(self) -> Iterator[Frame]:
        """The frames as they are, from which the rate is learned."""
        first: float | None = None
        for number, frame in enumerate(self.clip.read()):
            if frame.time is not None:
                first = frame.time if first is None else first
                if frame.time > first:
                    self.fps = number / (frame.time - first)
            yield frame


def _key(clip: Clip, size: tuple[int, int], config: VideoConfig) -> str:
    paths = [str(path.absolute()) for path in clip.files]
    states = []
    for path in clip.files:
        try:
            state = path.stat()
            states.append((state.st_size, state.st_mtime_ns))
        except OSError:
            states.append((0, 0))  # reading it will say what is wrong
    settings = (FRAMES_VERSION, size, config.fps, config.stride, config.max_frames)
    return f"{_digest(paths, clip.part)}-{_digest(settings)}-{_digest(states)}"


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _about(values: dict[str, Any]) -> About:
    height, width = values["original_size"]
    fps = values["fps"]
    return About((int(height), int(width)), None if fps is None else float(fps), str(values["sha256"]))


def _forget(folder: Path, key: str) -> None:
    """Remove what was made of the same video with the same settings before its files changed."""
    for path in folder.glob(f"{key.rpartition('-')[0]}-*"):
        if not path.name.startswith(key):  # which another process may just have finished
            path.unlink(missing_ok=True)
