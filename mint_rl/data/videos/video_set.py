"""Videos of one size, wherever they came from: what an encoder is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.videos.cache import About, cached_frames
from mint_rl.data.videos.clips import BrokenVideo, Clip
from mint_rl.data.videos.config import SMALLEST_SIDE, VideoConfig
from mint_rl.data.videos.search import find_clips
from mint_rl.data.videos.stored_array import CACHE_OPTION, StoredArray
from mint_rl.errors import UserError
from mint_rl.files import cache_folder, writable_folder
from mint_rl.resize import resize_frames

Video = NDArray[np.uint8] | StoredArray  # (T, H, W, 3) RGB

# Sides of frames where nobody says how large they should be. The losses were tuned on feature maps of 64×64,
# which squares of 96 pixels give; other shapes get maps of about that area from 240 pixels.
LARGEST_SQUARE, LARGEST_SIDE = 96, 240
_NAMED = 10  # broken videos that are named one by one


@dataclass
class VideoSet:
    """Videos of T ≥ 2 frames, all of one size; those on disk are read only where they are indexed."""

    videos: list[Video] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)  # SHA-256 of each video's bytes
    broken: dict[str, str] = field(default_factory=dict)  # videos that were skipped, and why

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Video:
        return self.videos[index]

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width, _ = self.videos[0].shape
        return int(height), int(width)

    @property
    def num_frames(self) -> int:
        """Frames of all videos together."""
        return sum(len(video) for video in self.videos)

    def add(self, name: str, video: Video, digest: str | None = None) -> None:
        """Add a video; the digest is computed where it is not known."""
        self.videos.append(video)
        self.names.append(name)
        self.digests.append(digest or hashlib.sha256(np.ascontiguousarray(video).data).hexdigest())

    def fingerprint(self) -> str:
        """A digest of every frame: other videos have another."""
        shapes = [tuple(map(int, video.shape)) for video in self.videos]
        return hashlib.sha256(repr([shapes, self.digests]).encode()).hexdigest()


def open_videos(config: VideoConfig, say: Callable[[str], None] = print) -> VideoSet:
    """The videos that `config.data` stands for, decoded into the cache where they are not there yet.

    Demonstrations stay in memory. What a user should know is said in one line each: broken videos, shapes
    that are stretched, frame rates that differ.

    Raises `UserError` where there is no video to use, a broken one is not to be skipped, or the cache cannot
    be written.
    """
    from tqdm import tqdm

    clips = _spread(find_clips(config, say), config.max_videos)
    result = VideoSet()
    size = config.frame_size
    facts: dict[str, About] = {}
    folder: Path | None = None
    with tqdm(clips, desc="reading videos", unit="video", delay=0.5) as bar:
        for clip in bar:
            try:
                size = size or _default_size(clip, bar.write if say is print else say)
                if clip.images is not None:
                    result.add(clip.name, _in_memory(clip.images, size, config))
                    facts[clip.name] = About(_shape(clip.images), None, "")
                    continue
                folder = folder or writable_folder(
                    cache_folder("videos") if config.cache is None else config.cache, CACHE_OPTION
                )
                video, about = cached_frames(clip, size, config, folder)
                facts[clip.name] = about
                result.add(clip.name, video, about.sha256)
            except BrokenVideo as error:
                if config.broken == "fail":
                    raise UserError(
                        f"the video '{clip.name}' {error}; mend or remove it, or pass --broken skip"
                    ) from error
                result.broken[clip.name] = str(error)
    _say_broken(result, len(clips), say)
    if len(result):
        _say_shapes(facts, result.size, say)
        _say_rates(facts, config.fps, say)
    return result


def default_size(height: int, width: int) -> tuple[int, int]:
    """The size of frames for videos of this size where none is asked for: small enough for a laptop."""
    largest = LARGEST_SQUARE if height == width else LARGEST_SIDE
    scale = min(1.0, largest / max(height, width))
    return max(SMALLEST_SIDE, round(height * scale)), max(SMALLEST_SIDE, round(width * scale))


def _default_size(clip: Clip, say: Callable[[str], None]) -> tuple[int, int]:
    if clip.images is not None:
        return _shape(clip.images)
    first = next(iter(clip.read()), None)
    if first is None:
        raise BrokenVideo("has no frame; a pair needs 2")
    height, width = first.load().shape[:2]
    size = default_size(height, width)
    if size != (height, width):
        say(
            f"frames are made {size[0]}x{size[1]}, those of '{clip.name}' being {height}x{width}; "
            "--size chooses another"
        )
    return size


def _shape(images: NDArray[np.uint8]) -> tuple[int, int]:
    return int(images.shape[1]), int(images.shape[2])


def _in_memory(images: NDArray[np.uint8], size: tuple[int, int], config: VideoConfig) -> NDArray[np.uint8]:
    chosen = images[:: config.stride][: config.max_frames]
    if len(chosen) < 2:
        raise BrokenVideo(f"has {len(chosen)} frame(s); a pair needs 2")
    return resize_frames(chosen, size)


def _spread(clips: list[Clip], most: int | None) -> list[Clip]:
    """`most` of them, evenly: data sets are sorted by task."""
    if most is None or most >= len(clips):
        return clips
    return [clips[index] for index in np.linspace(0, len(clips) - 1, most).round().astype(int)]


def _say_broken(result: VideoSet, found: int, say: Callable[[str], None]) -> None:
    if not result.broken:
        return
    named = [f"'{name}' {why}" for name, why in list(result.broken.items())[:_NAMED]]
    more = len(result.broken) - len(named)
    reasons = "; ".join(named) + (f"; and {more} more" if more else "")
    if not len(result):
        raise UserError(f"none of {found} videos can be used: {reasons}")
    say(f"warning: {len(result.broken)} of {found} videos are skipped: {reasons}")


def _say_shapes(facts: dict[str, About], size: tuple[int, int], say: Callable[[str], None]) -> None:
    """Say where resizing stretches a picture: by more than 2 %, which rounding does not explain."""

    def stretch(about: About) -> float:
        height, width = about.original_size
        return (size[1] / size[0]) / (width / height)

    stretched = {name: about for name, about in facts.items() if abs(stretch(about) - 1) > 0.02}
    if stretched:
        name, about = next(iter(stretched.items()))
        say(
            f"warning: {len(stretched)} of {len(facts)} videos have another shape than {size[0]}x{size[1]} "
            f"and are stretched, for one '{name}' of {about.original_size[0]}x{about.original_size[1]}"
        )


def _say_rates(facts: dict[str, About], fps: float | None, say: Callable[[str], None]) -> None:
    """Say where frames are not equally far apart in time: movement means something else then."""
    rates = {name: about.fps for name, about in facts.items() if about.fps is not None}
    if not rates:
        if fps is not None:
            say("warning: these videos have no frame rate; --fps changes nothing")
        return
    slowest, fastest = min(rates.values()), max(rates.values())
    if fps is None and fastest > 1.05 * slowest:
        say(
            f"warning: the videos have from {slowest:.3g} to {fastest:.3g} frames a second; "
            f"--fps {slowest:.3g} would bring them to one rate"
        )
    slow = [name for name, rate in rates.items() if fps is not None and rate < 0.95 * fps]
    if slow:
        say(
            f"warning: {len(slow)} of {len(facts)} videos have fewer than {fps:g} frames a second, "
            f"for one '{slow[0]}': their frames are repeated; --fps {slowest:.3g} avoids it"
        )
