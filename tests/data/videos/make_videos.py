"""Tiny videos in the exact formats, made by the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODECS = {
    ".mp4": ("libx264", "yuv444p"), ".mov": ("libx264", "yuv444p"), ".mkv": ("ffv1", "bgra"),
    ".avi": ("rawvideo", "bgr24"), ".webm": ("libvpx-vp9", "yuv444p"), ".gif": ("gif", "rgb8"),
}  # fmt: skip


def counting_frames(length: int, size: tuple[int, int] = (24, 32), start: int = 0) -> NDArray[np.uint8]:
    """Frames whose left half is red and brightens by 8 a frame, on blue: `number_of` reads the count back."""
    frames = np.zeros((length, *size, 3), np.uint8)
    frames[..., 2] = 200
    frames[:, :, : size[1] // 2, 2] = 0
    frames[:, :, : size[1] // 2, 0] = (40 + 8 * (start + np.arange(length)))[:, None, None]
    return frames


def number_of(frames: NDArray[np.uint8]) -> list[int]:
    """The counts of frames that `counting_frames` drew, after any coding."""
    reds = frames[:, :, : frames.shape[2] // 3, 0].mean((1, 2))
    return [round((red - 40) / 8) for red in reds]


def write_clip(
    path: Path,
    frames: NDArray[np.uint8],
    fps: int = 10,
    codec: str | None = None,
    pixels: str | None = None,
    **options: str,
) -> Path:
    """Write frames (T, H, W, 3) to a video file of the format that its suffix names."""
    import av

    known = CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec or known[0], rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels or known[1]
        if stream.codec.name == "libx264":
            options = {"qp": "0", "preset": "ultrafast", "g": "4", **options}
        stream.options = options
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_image(path: Path, image: NDArray[np.generic], **options: Any) -> Path:
    """Write an array to an image file."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
