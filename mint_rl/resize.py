"""Frames at another size by area averaging: each new pixel is the mean of what it covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resize_frames(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames (N, H, W, C) at (height, width) by area averaging; untouched if they have that size."""
    height, width = size
    # OpenCV interpolates, and averages no areas, where one side grows: the side that shrinks goes first.
    shrunk = _resized(frames, min(height, frames.shape[1]), min(width, frames.shape[2]))
    return _resized(shrunk, height, width)


def _resized(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if frames.shape[1:3] == (height, width):
        return frames
    import cv2

    resized = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(resized).reshape(len(frames), height, width, frames.shape[-1])
