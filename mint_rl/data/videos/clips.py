"""A video before it is decoded: a file of frames, a folder of images, or a part of either.

Frames come one at a time, as RGB, and only those that are wanted are converted. Whatever is wrong with a
video is a `BrokenVideo`, so that whoever reads many can skip it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".wmv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_SLACK = 1e-6  # seconds: times are sums of rounded fractions


class BrokenVideo(Exception):
    """A video that cannot be used. The message says what is wrong, to be read after "it"."""


class Frame(NamedTuple):
    """A frame whose pixels are not there yet."""

    time: float | None  # seconds; None in a sequence of images without times
    load: Callable[[], NDArray[np.uint8]]  # (H, W, 3) RGB; raises `BrokenVideo`


@dataclass(frozen=True, eq=False)
class Clip:
    """A video as it lies on disk."""

    name: str  # for people
    files: tuple[Path, ...]  # what its frames depend on
    read: Callable[[], Iterator[Frame]]  # its frames in order; raises `BrokenVideo`
    part: str = ""  # which part of the files it is
    images: NDArray[np.uint8] | None = None  # the frames (T, H, W, 3), where they are in memory already


def video_file(path: Path) -> Clip:
    """A whole video file."""
    return Clip(str(path), (path,), partial(read_video, path))


def image_sequence(folder: Path, images: Sequence[Path], times: Sequence[float] | None = None) -> Clip:
    """The images of a folder, in this order; times in seconds, where they are known."""
    return Clip(str(folder), tuple(images), partial(read_images, tuple(images), times))


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts frame2 before frame10, and numbers before letters."""
    words = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(False, int(word), word) if word.isdecimal() else (True, 0, word) for word in words]


def sampled(frames: Iterator[Frame], fps: float | None, stride: int, most: int | None) -> Iterator[Frame]:
    """Bring frames to a rate, take every `stride`-th of those, and at most so many."""
    if fps is not None:
        frames = at_rate(frames, fps)
    return islice(frames, 0, None if most is None else (most - 1) * stride + 1, stride)


def at_rate(frames: Iterator[Frame], fps: float) -> Iterator[Frame]:
    """At each time k/fps the last frame until then; frames without times stay as they are."""
    shown: Frame | None = None
    start = 0.0
    count = 0
    for frame in frames:
        if frame.time is None:
            yield frame
            continue
        if shown is None:
            start = frame.time
        while shown is not None and start + count / fps < frame.time - _SLACK:
            yield shown
            count += 1
        shown = frame
    if shown is not None and shown.time is not None and start + count / fps <= shown.time + _SLACK:
        yield shown


def read_video(path: Path, start: float | None = None, stop: float | None = None) -> Iterator[Frame]:
    """The frames of a video file, or those with start ≤ time < stop, in seconds."""
    av = _pyav()
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = _picture_stream(container)
            if start is not None and start > 0:
                container.seek(max(0, int(start / stream.time_base) - 1), stream=stream)
            end = 0.0
            for number, frame in enumerate(container.decode(stream)):
                if frame.is_corrupt:
                    raise BrokenVideo(f"is damaged in frame {number}")
                time = _time(frame, number, stream)
                if stop is not None and time >= stop - _SLACK:
                    return
                end = time + (float(frame.duration * frame.time_base) if frame.duration else 0.0)
                if start is None or time >= start - _SLACK:
                    yield Frame(time, partial(_rgb, frame))
            if stop is None:
                _require_whole(container, stream, end)
    except av.FFmpegError as error:
        raise BrokenVideo(_reason(error)) from error


def read_images(paths: Sequence[Path], times: Sequence[float] | None = None) -> Iterator[Frame]:
    """Images as frames."""
    for number, path in enumerate(paths):
        yield Frame(None if times is None else times[number], partial(load_image, path))


def load_image(source: Any, name: str | None = None) -> NDArray[np.uint8]:
    """An image file, or a stream of one, as (H, W, 3) RGB: grey, palette, alpha and 16 bits are converted."""
    from PIL import Image, ImageOps

    name = name or Path(source).name
    try:
        with Image.open(source) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
                levels = np.asarray(upright).astype(np.int64)
                grey = (levels >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise BrokenVideo(f"lacks the image '{name}'") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BrokenVideo(f"holds the image '{name}', which is damaged or no image") from error


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError("reading videos takes PyAV; install it with: pip install 'mint-rl[video]'") from error
    return av


def _picture_stream(container: Any) -> Any:
    """The first stream that moves: not the picture on a cover."""
    for stream in container.streams.video:
        if "attached_pic" not in str(getattr(stream, "disposition", "")):
            # Threads over frames would hide damage: errors do not come out of them.
            stream.thread_type = "SLICE"
            return stream
    raise BrokenVideo("holds no video")


def _time(frame: Any, number: int, stream: Any) -> float:
    if frame.time is not None:
        return float(frame.time)
    return number / float(stream.average_rate or stream.guessed_rate or 25)


def _rgb(frame: Any) -> NDArray[np.uint8]:
    """The picture as it is meant to be seen: phones store it lying down, with the turn beside it."""
    try:
        pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    except (OSError, ValueError) as error:  # PyAV's own errors are of these kinds
        raise BrokenVideo(f"holds {frame.format.name} pictures, which cannot be converted") from error
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _require_whole(container: Any, stream: Any, end: float) -> None:
    """`BrokenVideo` where the frames end long before the file says: it was cut short."""
    if stream.duration is not None:
        declared = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        declared = container.duration / 1e6
    else:
        return
    if declared - end > max(1.0, 0.1 * declared):
        raise BrokenVideo(f"is cut short: it ends after {end:.1f} of {declared:.1f} seconds")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    if "Invalid data" in text:
        return "is damaged, cut short or no video"
    return f"cannot be read: {text[0].lower()}{text[1:]}"
