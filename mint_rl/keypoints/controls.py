"""Keypoints that know nothing of the image: what a detector's scores have to beat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class RandomKeypoints:
    """K active keypoints at places drawn anew, evenly over the image, in every frame that comes.

    Shapes:
        encode: frames (T, H, W, C) → (T, K, 3), x and y in [0, 1], status 1.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self._rng = np.random.default_rng((4, seed))

    def encode(self, frames: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Keypoints of the frames; the next call draws others."""
        places = self._rng.random((len(frames), self.count, 2))
        return np.concatenate([places, np.ones((*places.shape[:2], 1))], -1).astype(np.float32)


class GridKeypoints:
    """K active keypoints that stand still on a grid: ⌈√K⌉ columns, as many rows as it takes.

    Shapes:
        encode: frames (T, H, W, C) → (T, K, 3), x and y in [0, 1], status 1.
    """

    def __init__(self, count: int) -> None:
        columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
        row, column = np.divmod(np.arange(count), columns)
        places = [(column + 0.5) / columns, (row + 0.5) / rows, np.ones(count)]
        self._keypoints = np.stack(places, -1).astype(np.float32)

    def encode(self, frames: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """The same keypoints for every frame."""
        return np.repeat(self._keypoints[None], len(frames), 0)
