"""Pairs of neighbouring frames for MINT: frames and entropy images in memory, drawn and augmented by step.

A step's pairs depend on the seed and the number of the step alone, so that a resumed run draws what the
uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.keypoints.gate import entropy_image


class VideoPairs:
    """All frames (t, t+1) of some videos, with their entropy images computed once.

    videos: each (T, H, W, C) uint8 of one size, T ≥ 2. Raises `UserError` where one differs or none is left.
    """

    def __init__(self, videos: Sequence[NDArray[np.uint8]], preprocessing: str, region: int) -> None:
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
        self.frames = torch.from_numpy(np.concatenate(list(videos)))
        parts = torch.split(self.frames, 256)
        self.entropy = torch.cat([entropy_image(part, preprocessing, region) for part in parts])
        lengths = np.array([len(video) for video in videos])
        last = np.cumsum(lengths) - 1
        self.starts = np.setdiff1d(np.arange(len(self.frames)), last)  # every frame that has a successor

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.starts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.frames.shape[1]), int(self.frames.shape[2])

    def draw(
        self, number: int, rng: np.random.Generator, turns: bool = True, shift: int = 0
    ) -> tuple[Tensor, Tensor]:
        """`number` random pairs: frames (number, 2, H, W, C) uint8 and their entropy (number, 2, H, W).

        turns: turn and mirror each pair by chance. shift: move it by up to so many pixels. Both frames of a
        pair and their entropy move together.
        """
        first = torch.from_numpy(rng.choice(self.starts, number))
        return self._read(first, *placements(rng, number, self.size, turns, shift))

    def spread(self, number: int) -> tuple[Tensor, Tensor]:
        """`number` pairs, or all if there are fewer, evenly over the videos and as they are."""
        chosen = np.unique(np.linspace(0, len(self.starts) - 1, number).astype(int))
        still = np.random.default_rng(0)
        return self._read(
            torch.from_numpy(self.starts[chosen]), *placements(still, len(chosen), self.size, False, 0)
        )

    def _read(self, first: Tensor, source: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
        pairs = torch.stack([first, first + 1], 1)
        height, width = self.size
        frames, entropy = self.frames[pairs].flatten(2, 3), self.entropy[pairs].flatten(2)
        number, _, _, channels = frames.shape
        index = source.flatten(1)[:, None].expand(-1, 2, -1)
        frames = frames.gather(2, index[..., None].expand(-1, -1, -1, channels))
        # Beyond the border frames continue with their last pixel; that holds no information.
        entropy = entropy.gather(2, index).masked_fill(outside.flatten(1)[:, None], 0.0)
        return frames.view(number, 2, height, width, channels), entropy.view(number, 2, height, width)


def placements(
    rng: np.random.Generator, number: int, size: tuple[int, int], turns: bool, shift: int
) -> tuple[Tensor, Tensor]:
    """Random turns, mirrorings and shifts of images, as where each pixel comes from.

    Returns the flat index of the source of each pixel, (number, H, W) int64, and whether that source lies
    outside the image, (number, H, W) bool; outside, the index is of the nearest pixel inside. Images that are
    not square turn by half-turns only.
    """
    height, width = size
    dx, dy = rng.integers(-shift, shift + 1, (2, number, 1, 1))
    rows, columns = np.arange(height)[None, :, None] - dy, np.arange(width)[None, None, :] - dx
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    if turns:
        mirror_rows, mirror_columns, transpose = rng.integers(0, 2, (3, number, 1, 1)).astype(bool)
        rows = np.where(mirror_rows, height - 1 - rows, rows)
        columns = np.where(mirror_columns, width - 1 - columns, columns)
        if height == width:
            rows, columns = np.where(transpose, columns, rows), np.where(transpose, rows, columns)
    source = rows * width + columns
    return torch.from_numpy(source), torch.from_numpy(outside)
