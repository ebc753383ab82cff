"""Frames written as a video that browsers and slides can play."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.files import atomic_path

# faststart lets a browser play before the end is loaded
_H264 = "libx264", ["-crf", "18", "-movflags", "+faststart"]
_VP9 = "libvpx-vp9", ["-crf", "40", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "6"]


def can_write_video() -> bool:
    """Whether the ffmpeg wheel that `write_video` needs is installed."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float = 8) -> Path:
    """Write (H, W, 3) uint8 RGB frames of equal, even size to an .mp4 or .webm file; `fps` frames a second.

    MAGICAL's simulator runs at 8 frames a second, so the default plays at real speed. An .mp4 is H.264 that
    looks lossless at this size, for players and slides; a .webm is VP9 of a quarter of that, for pages that
    hold many, which browsers without licensed codecs show too.
    Raises `UserError` where the ffmpeg wheel is missing or there are no frames.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            f"cannot write the video '{path}': imageio-ffmpeg is missing; "
            "install it with: pip install 'mint-rl[video]'"
        ) from error
    path = Path(path)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise UserError(f"cannot write the video '{path}': there are no frames")
    height, width = first.shape[:2]
    codec, parameters = _VP9 if path.suffix == ".webm" else _H264
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=fps,
            codec=codec,
            quality=None,
            macro_block_size=2,
            output_params=parameters,
            ffmpeg_log_level="error",
        )
        writer.send(None)
        writer.send(np.ascontiguousarray(first))
        for frame in iterator:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
    return path
