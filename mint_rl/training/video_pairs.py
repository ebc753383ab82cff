"""Pairs of neighbouring frames, or longer clips, with their entropy images, drawn and augmented by step.

The encoder sees a frame turned, mirrored and shifted at random. Its keypoints are then taken back into the
video's own coordinates, so that entropy images stay as they are, and for MINT the two frames of a pair may
even be placed differently: a keypoint has to follow its object through that as well.

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
from mint_rl.keypoints.method import Clips, Needs
from mint_rl.training.entropy_images import entropy_images

PAIRS = Needs(entropy=True, apart=True)  # what MINT asks for


class VideoPairs:
    """All frames (t, t+1) of some videos, or longer clips, with their entropy images computed once.

    videos: each (T, H, W, C) uint8 of one size, T ≥ the frames of a clip, or 2. needs: how many frames a clip
    has, how far apart in time, and whether entropy images are wanted. Raises `UserError` for other videos.
    """

    def __init__(
        self, videos: Sequence[Video], preprocessing: str, region: int, needs: Needs = PAIRS
    ) -> None:
        if not videos:
            raise UserError("there is no video to train on")
        for number, video in enumerate(videos):
            if video.dtype != np.uint8 or video.ndim != 4 or video.shape[1:] != videos[0].shape[1:]:
                raise UserError(
                    f"video {number} is {video.dtype} of shape {video.shape}; all must be uint8 of shape "
                    f"(frames, {', '.join(map(str, videos[0].shape[1:]))})"
                )
            if len(video) < needs.frames:
                what = "pair" if needs.frames == 2 else "clip"
                raise UserError(f"video {number} has {len(video)} frame(s); a {what} needs {needs.frames}")
        self.videos, self.needs = list(videos), needs
        self.entropy = entropy_images(self.videos, preprocessing, region) if needs.entropy else None
        self._ends = np.cumsum([len(video) for video in videos])  # frames are counted across videos
        last = np.concatenate([self._ends - later for later in range(1, needs.frames)])
        self.starts = np.setdiff1d(np.arange(self._ends[-1]), last)  # frames with successors enough

    def __len__(self) -> int:
        """The number of pairs, or of clips of consecutive frames."""
        return len(self.starts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width, _ = self.videos[0].shape
        return int(height), int(width)

    def draw(
        self, number: int, rng: np.random.Generator, turns: bool = True, shift: int = 0, apart: float = 0.0
    ) -> Clips:
        """`number` random pairs or clips.

        turns: turn and mirror each pair by chance. shift: move it by up to so many pixels. apart: the share
        of pairs whose frames are placed each on its own; of the others, all frames are placed alike.
        """
        first, length = rng.choice(self.starts, number), self.needs.frames
        placed = placements(rng, length * number, self.size, turns, shift)
        # The frames of a pair take the placement of its first, except in the pairs that come first.
        chosen = np.arange(length * number)
        alike = chosen >= length * round(apart * number)
        chosen[alike] -= chosen[alike] % length
        gaps = rng.integers(1, self.needs.gap + 1, number) if self.needs.gap > 1 else np.ones(number, int)
        return self._read(first, gaps, placed.take(chosen))

    def spread(self, number: int, batch: int = 16) -> Iterator[Clips]:
        """`number` pairs, or all if there are fewer, evenly over the videos and as they are, in batches.

        They have all the distances in time that the method asks for, in turn.
        """
        chosen = self.starts[np.unique(np.linspace(0, len(self.starts) - 1, number).astype(int))]
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            still = placements(np.random.default_rng(0), self.needs.frames * len(part), self.size, False, 0)
            gaps = 1 + np.arange(start, start + len(part)) % self.needs.gap
            yield self._read(part, gaps, still)

    def entropy_sample(self, number: int = 256) -> Tensor:
        """Entropy images (N, H, W) evenly over the videos: `number`, or up to twice as many."""
        assert self.entropy is not None
        every = max(1, int(self._ends[-1]) // number)
        places = [self._place(frame) for frame in range(0, int(self._ends[-1]), every)]
        return torch.from_numpy(np.stack([self.entropy[video][time] for video, time in places]))

    def _place(self, frame: int) -> tuple[int, int]:
        """The video that a frame belongs to, and its time there."""
        video = int(np.searchsorted(self._ends, frame, side="right"))
        return video, int(frame - self._ends[video] + len(self.videos[video]))

    def _read(self, first: NDArray[np.int64], gaps: NDArray[np.int64], placed: Placements) -> Clips:
        number, (height, width), channels = len(first), self.size, self.videos[0].shape[3]
        length = self.needs.frames
        frames = np.empty((number, length, height, width, channels), np.uint8)
        entropy = np.empty((number, length, height, width), np.float32) if self.needs.entropy else None
        for index, frame in enumerate(first):
            video, time = self._place(frame)
            # Near the end of a video, frames are closer together than was drawn.
            gap = int(min(gaps[index], (len(self.videos[video]) - 1 - time) // (length - 1)))
            times = slice(time, time + (length - 1) * gap + 1)
            for place, image in enumerate(self.videos[video][times][::gap]):
                placed.move(length * index + place, image, frames[index, place])
            if entropy is not None and self.entropy is not None:
                entropy[index] = self.entropy[video][times][::gap]
        back = torch.from_numpy(placed.back()).view(number, length, 2, 3)
        images = None if entropy is None else torch.from_numpy(entropy)
        return Clips(torch.from_numpy(frames), images, back)


class Placements(NamedTuple):
    """Turns, mirrorings and shifts of N images of one size: where each row and column comes from."""

    transpose: NDArray[np.bool_]  # (N,) swap rows and columns first
    rows: NDArray[np.int64]  # (N, H) source of each row; beyond the border the nearest inside
    columns: NDArray[np.int64]  # (N, W)
    scale: NDArray[np.float32]  # (N, 2) x and y of the source are scale · (x, y) + offset, in image sides
    offset: NDArray[np.float32]  # (N, 2)

    def move(self, index: int, image: NDArray[np.generic], result: NDArray[np.generic]) -> None:
        """Place an image (H, W, …) as the entry `index` says, into `result` of the same shape."""
        if self.transpose[index]:
            image = image.swapaxes(0, 1)
        np.take(image.take(self.rows[index], 0), self.columns[index], 1, out=result, mode="clip")

    def take(self, chosen: NDArray[np.int64]) -> Placements:
        """The chosen entries."""
        return Placements(
            self.transpose[chosen], self.rows[chosen], self.columns[chosen], self.scale[chosen],
            self.offset[chosen],
        )  # fmt: skip

    def back(self) -> NDArray[np.float32]:
        """The map from [x, y, 1] of a placed image to x, y of the original: (N, 2, 3)."""
        matrix = np.zeros((len(self.transpose), 2, 3), np.float32)
        matrix[:, (0, 1), (0, 1)] = self.scale
        matrix[:, :, 2] = self.offset
        return np.where(self.transpose[:, None, None], matrix[:, ::-1], matrix)


def placements(
    rng: np.random.Generator, number: int, size: tuple[int, int], turns: bool, shift: int
) -> Placements:
    """Random turns, mirrorings and shifts for `number` images of `size`; not square, by half-turns only."""
    height, width = size
    dx, dy = rng.integers(-shift, shift + 1, (2, number, 1))
    rows, columns = (np.arange(height) - dy).clip(0, height - 1), (np.arange(width) - dx).clip(0, width - 1)
    scale, offset = np.ones((number, 2)), -np.hstack([dx / (width - 1), dy / (height - 1)])
    transpose = np.zeros(number, bool)
    if turns:
        mirror_rows, mirror_columns, swap = rng.integers(0, 2, (3, number, 1)).astype(bool)
        rows = np.where(mirror_rows, height - 1 - rows, rows)
        columns = np.where(mirror_columns, width - 1 - columns, columns)
        mirrored = np.hstack([mirror_columns, mirror_rows])
        scale, offset = np.where(mirrored, -scale, scale), np.where(mirrored, 1 - offset, offset)
        if height == width:
            transpose = swap[:, 0]
    return Placements(transpose, rows, columns, scale.astype(np.float32), offset.astype(np.float32))
