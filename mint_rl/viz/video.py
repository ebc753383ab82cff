"""Frames written as an H.264 video that browsers and slides can play."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.files import atomic_path


def can_write_video() -> bool:
    """Whether the ffmpeg wheel that `write_video` needs is installed."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float = 8) -> Path:
    """Write (H, W, 3) uint8 RGB frames of equal, even size to an .mp4 file; `fps` frames a second.

    MAGICAL's simulator runs at 8 frames a second, so the default plays at real speed.
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
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            # crf 18 looks lossless at this size; faststart lets a browser play before the end is loaded.
            output_params=["-crf", "18", "-movflags", "+faststart"],
            ffmpeg_log_level="error",
        )
        writer.send(None)
        writer.send(np.ascontiguousarray(first))
        for frame in iterator:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
    return path
