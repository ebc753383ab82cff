"""Keypoints with a memory: tracks that follow what the feature maps find from frame to frame.

Frame by frame, a map's keypoint leaves its object wherever another one answers better, and several maps crowd
on one object while a neighbour has none. A track is not bound to a map. It stands for the maps around it,
moves as they move, and outlives each of them: k-means over what is found in a frame, begun in every frame
from where its centres were carried. Its one length is `reach`, by default 1/12 of the image's side: 8 pixels
at 96×96, the σ of MINT's losses.

What is found are the keypoints of all maps and their second peaks (`second_peaks`), where these are active.
In each frame, one after another:

- Tracks move with the mean motion of the maps within reach, of those that moved by less than that.
- What is found belongs to the nearest track within reach. A track goes half the way to the mean of its own.
  One that has fewer than four goes a fifth of the way to the mean of all within reach, whosever they are: so
  tracks at the rim of an object are not left behind where it turns.
- A track without any of its own for more than three frames ends.
- Where something is found out of reach of every track, a track begins, most companions first: a keypoint
  needs one more within half the reach, a second peak two.

A new track takes the lowest number that no track has or just had. So numbers mean something within a video,
and nothing across videos: for policies that learn what each keypoint is, keypoints without memory are better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder

REACH = 1 / 12  # in image sides
APART = 1.5  # reaches between a map's two peaks, at least
_RATE, _SLOW_RATE = 0.5, 0.2  # of the way to the mean of one's own, or of all within reach
_FEW = 4  # with fewer of its own, a track keeps to the crowd
_LOST = 3  # frames that a track outlives what it stands for
_COMPANIONS = (1, 2)  # that a keypoint, and a second peak, need within half the reach to begin a track


class Tracker:
    """The tracks of one video.

    tracks: how many there can be at once. reach: in image sides, above 0.
    """

    def __init__(self, tracks: int, reach: float = REACH) -> None:
        self.reach = reach
        self.places = np.full((tracks, 2), 0.5, np.float32)
        self.alive = np.zeros(tracks, bool)
        self._lost = np.zeros(tracks, int)  # frames since something was found
        self._before: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    def step(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the next frame leaves: x, y in [0, 1] and status, 1 or 0, of every track (tracks, 3).

        found: (2K, 3) x, y and status of the keypoints of K maps and then of their second peaks.
        """
        maps = len(found) // 2
        active = found[:, 2] > 0.5
        points, first = found[active, :2], np.flatnonzero(active) < maps
        taken = self.alive.copy()
        if self.alive.any():
            self._move(found[:maps, :2], active[:maps])
            self._settle(points)
        # A number is free again in the next frame, so that one track is never taken for the other.
        self._begin(points, first, ~taken & ~self.alive)
        self._before = found[:maps, :2].copy(), active[:maps].copy()
        return np.column_stack([self.places, self.alive.astype(np.float32)])

    def _move(self, keypoints: NDArray[np.float32], active: NDArray[np.bool_]) -> None:
        """Carry the tracks along with the maps around them."""
        assert self._before is not None
        before, was_active = self._before
        motion = keypoints - before
        steady = active & was_active & ((motion**2).sum(1) < self.reach**2)
        near = self._near(self.places[self.alive], before[steady])
        moved = self.places[self.alive] + _mean(near, motion[steady])
        self.places[self.alive] = moved.clip(0.0, 1.0)

    def _settle(self, points: NDArray[np.float32]) -> None:
        """Let the tracks take what was found, and end those that have had nothing for too long."""
        tracks = np.flatnonzero(self.alive)
        places = self.places[tracks]
        own_number = np.zeros(len(tracks), int)
        if len(points):
            distances = _squared(places, points)
            near = distances < self.reach**2
            own = near & (distances.argmin(0) == np.arange(len(tracks))[:, None])
            own_number = own.sum(1)
            away = points - places[:, None]  # (tracks, points, 2)
            few = (own_number < _FEW)[:, None]
            step = np.where(few, _SLOW_RATE * _mean(near, away), _RATE * _mean(own, away))
            self.places[tracks] = places + step
        self._lost[tracks] = np.where(own_number > 0, 0, self._lost[tracks] + 1)
        self.alive[tracks] = self._lost[tracks] <= _LOST

    def _begin(self, points: NDArray[np.float32], first: NDArray[np.bool_], free: NDArray[np.bool_]) -> None:
        """Begin tracks, under numbers that are free, where something was found that no track reaches."""
        if not len(points):
            return
        together = _squared(points, points) < (self.reach / 2) ** 2  # each is its own companion too
        open_ = together.sum(1) > np.where(first, *_COMPANIONS)
        if self.alive.any():
            open_ &= ~self._near(self.places[self.alive], points).any(0)
        for track in np.flatnonzero(free).tolist():
            if not open_.any():
                break
            best = int(np.where(open_, together @ open_.astype(int), 0).argmax())
            self.places[track], self.alive[track], self._lost[track] = points[best], True, 0
            open_ &= ~self._near(points[best][None], points)[0]

    def _near(self, places: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.bool_]:
        return _squared(places, points) < self.reach**2


@torch.no_grad()
def follow(
    encoder: KeypointEncoder,
    frames: NDArray[np.uint8] | torch.Tensor,
    trackers: Sequence[Tracker],
    descriptors: bool = False,
    batch_size: int = 8,
) -> NDArray[np.float32]:
    """The tracks in each frame: (N, tracks, 3), or with descriptors at them (N, tracks, 3 + D).

    frames: uint8 (N, H, W, C) of any size. trackers: for each frame that of its video, which goes on from
    where it is; the frames of one video stand in their order. Raises `UserError` for other arrays.
    """
    width = 3 + (encoder.descriptor_dim if descriptors else 0)
    parts = [np.empty((0, encoder.num_video_keypoints, width), np.float32)]
    with encoder.evaluating():
        for start, part in encoder.batches(frames, batch_size):
            found, stages = encoder.candidates(part)
            chosen = zip(trackers[start : start + len(part)], found.cpu().numpy(), strict=True)
            tracks = np.array([tracker.step(one) for tracker, one in chosen], np.float32)
            tracks = tracks.reshape(-1, encoder.num_video_keypoints, 3)  # also where there are no frames
            if descriptors:
                places = torch.from_numpy(tracks[..., :2].copy()).to(encoder.device)
                tracks = np.concatenate([tracks, encoder.describe(part, places, stages).cpu().numpy()], 2)
            parts.append(tracks)
    return np.concatenate(parts)


def _squared(these: NDArray[np.float32], those: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances (A, B) of places (A, 2) and (B, 2)."""
    across, down = (these[:, None, axis] - those[None, :, axis] for axis in (0, 1))
    result: NDArray[np.float32] = across * across + down * down
    return result


def _mean(chosen: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the chosen values for each row of (A, B), 0 where none is; values (B, 2) or (A, B, 2)."""
    weights = chosen.astype(np.float32)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1.0)
    if values.ndim == 2:
        result: NDArray[np.float32] = weights @ values
        return result
    result = np.einsum("ab,abc->ac", weights, values)
    return result
