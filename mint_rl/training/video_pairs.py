"""Pairs of neighbouring frames for MINT, with their entropy images, drawn and augmented by step.

Videos stay where they are: in memory, or on disk, where their entropy is then kept as well, so that a set may
be larger than memory. A step's pairs depend on the seed and the number of the step alone, so that a resumed
run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.data.videos.video_set import Video
from mint_rl.errors import UserError
from mint_rl.training.entropy_images import entropy_images


class VideoPairs:
    """All frames (t, t+1) of some videos, with their entropy images computed once.

    videos: each (T, H, W, C) uint8 of one size, T ≥ 2. Raises `UserError` where one differs or none is left.
    """

    def __init__(self, videos: Sequence[Video], preprocessing: str, region: int) -> None:
        if not videos:
            raise UserError("there is no video to train on")
        for number, video in enumerate(videos):
            if video.dtype != np.uint8 or video.ndim != 4 or video.shape[1:] != videos[0].shape[1:]:
                raise UserError(
                    f"video {number} is {video.dtype} of shape {video.shape}; all must be uint8 of shape "
                    f"(frames, {', '.join(map(str, videos[0].shape[1:]))})"
                )
            if len(video) < 2:
                raise UserError(f"video {number} has {len(video)} frame(s); a pair needs 2")
        self.videos = list(videos)
        self.entropy = entropy_images(self.videos, preprocessing, region)
        self._ends = np.cumsum([len(video) for video in videos])  # frames are counted across videos
        self.starts = np.setdiff1d(np.arange(self._ends[-1]), self._ends - 1)  # frames with a successor

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.starts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width, _ = self.videos[0].shape
        return int(height), int(width)

    def draw(
        self, number: int, rng: np.random.Generator, turns: bool = True, shift: int = 0
    ) -> tuple[Tensor, Tensor]:
        """`number` random pairs: frames (number, 2, H, W, C) uint8 and their entropy (number, 2, H, W).

        turns: turn and mirror each pair by chance. shift: move it by up to so many pixels. Both frames of a
        pair and their entropy move together.
        """
        first = rng.choice(self.starts, number)
        return self._read(first, placements(rng, number, self.size, turns, shift))

    def spread(self, number: int, batch: int = 16) -> Iterator[tuple[Tensor, Tensor]]:
        """`number` pairs, or all if there are fewer, evenly over the videos and as they are, in batches."""
        chosen = self.starts[np.unique(np.linspace(0, len(self.starts) - 1, number).astype(int))]
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            still = placements(np.random.default_rng(0), len(part), self.size, False, 0)
            yield self._read(part, still)

    def entropy_sample(self, number: int = 256) -> Tensor:
        """Entropy images (N, H, W) evenly over the videos: `number`, or up to twice as many."""
        every = max(1, int(self._ends[-1]) // number)
        places = [self._place(frame) for frame in range(0, int(self._ends[-1]), every)]
        return torch.from_numpy(np.stack([self.entropy[video][time] for video, time in places]))

    def _place(self, frame: int) -> tuple[int, int]:
        """The video that a frame belongs to, and its time there."""
        video = int(np.searchsorted(self._ends, frame, side="right"))
        return video, int(frame - self._ends[video] + len(self.videos[video]))

    def _read(self, first: NDArray[np.int64], placed: Placements) -> tuple[Tensor, Tensor]:
        number, (height, width), channels = len(first), self.size, self.videos[0].shape[3]
        frames = np.empty((number, 2, height, width, channels), np.uint8)
        entropy = np.empty((number, 2, height, width), np.float32)
        for index, frame in enumerate(first):
            video, time = self._place(frame)
            placed.move(index, self.videos[video][time : time + 2], frames[index])
            placed.move(index, self.entropy[video][time : time + 2], entropy[index])
            # Beyond the border frames continue with their last pixel; that holds no information.
            entropy[index][:, placed.outside_rows[index]] = 0.0
            entropy[index][:, :, placed.outside_columns[index]] = 0.0
        return torch.from_numpy(frames), torch.from_numpy(entropy)


class Placements(NamedTuple):
    """Turns, mirrorings and shifts of N images of one size: where each row and column comes from."""

    transpose: NDArray[np.bool_]  # (N,) swap rows and columns first
    rows: NDArray[np.int64]  # (N, H) source of each row; beyond the border the nearest inside
    columns: NDArray[np.int64]  # (N, W)
    outside_rows: NDArray[np.bool_]  # (N, H) where the source lies beyond the border
    outside_columns: NDArray[np.bool_]  # (N, W)

    def move(self, index: int, images: NDArray[np.generic], result: NDArray[np.generic]) -> None:
        """Place `images` (T, H, W, …) as the image `index` says, into `result` of the same shape."""
        if self.transpose[index]:
            images = images.swapaxes(1, 2)
        np.take(images.take(self.rows[index], 1), self.columns[index], 2, out=result, mode="clip")


def placements(
    rng: np.random.Generator, number: int, size: tuple[int, int], turns: bool, shift: int
) -> Placements:
    """Random turns, mirrorings and shifts for `number` images of `size`; not square, by half-turns only."""
    height, width = size
    dx, dy = rng.integers(-shift, shift + 1, (2, number, 1))
    rows, columns = np.arange(height) - dy, np.arange(width) - dx
    outside_rows, outside_columns = (rows < 0) | (rows >= height), (columns < 0) | (columns >= width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    transpose = np.zeros(number, bool)
    if turns:
        mirror_rows, mirror_columns, swap = rng.integers(0, 2, (3, number, 1)).astype(bool)
        rows = np.where(mirror_rows, height - 1 - rows, rows)
        columns = np.where(mirror_columns, width - 1 - columns, columns)
        if height == width:
            transpose = swap[:, 0]
    return Placements(transpose, rows, columns, outside_rows, outside_columns)
