"""The pictures that a run of `mint-rl dynamics` leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.policies.dynamics import KeypointDynamics
from mint_rl.training.dynamics import DynamicsResult
from mint_rl.training.dynamics_data import KeypointVideo
from mint_rl.training.dynamics_loop import followed
from mint_rl.training.dynamics_scores import predict_video
from mint_rl.viz.overlay import Frame, contact_sheet, write_png
from mint_rl.viz.plots import plot_curves
from mint_rl.viz.predictions import draw_prediction
from mint_rl.viz.video import can_write_video, write_video

CURVES, PICTURE, VIDEO = "curves.png", "predictions.png", "predictions.mp4"
Item = TypeVar("Item")

_PICTURES = 8
_VIDEOS = 3  # in the film, each up to so many frames:
_FRAMES = 120


def dynamics_report(result: DynamicsResult, steps: int = 10, say: Callable[[str], None] = print) -> None:
    """Write the pictures of a run into its folder.

    `curves.png`: the losses. `predictions.png`: what came and what was predicted for the next `steps` frames,
    in several test videos where most moves. `predictions.mp4`: the same over whole test videos, where ffmpeg
    is at hand.
    """
    folder = result.folder
    written = [plot_curves(folder / "log.jsonl", folder / CURVES, f"{folder.name}: dynamics")]
    if not result.interrupted:
        size = result.test[0].frames.shape[1:]
        alike = [video for video in result.test if video.frames.shape[1:] == size]
        shown = [Trails.of(result.model, video, steps) for video in _spread(alike, _PICTURES)]
        pictures = [trails.picture(trails.liveliest(), shadow=True) for trails in shown]
        written.append(write_png(folder / PICTURE, contact_sheet(pictures)))
        if can_write_video():
            written.append(write_video(folder / VIDEO, _film(_spread(shown, _VIDEOS))))
    say(f"pictures: {', '.join(map(str, written))}")


@dataclass(frozen=True, eq=False)
class Trails:
    """A video with what the model predicts from each of its windows."""

    video: KeypointVideo
    frames: int  # of a window
    ends: NDArray[np.int64]  # (N,) the last frame of each window
    predicted: NDArray[np.float32]  # (N, S, K, 3)
    followed: NDArray[np.bool_]  # (N, S, K) whether what came is still the same keypoint, and before the end

    @classmethod
    def of(cls, model: KeypointDynamics, video: KeypointVideo, steps: int) -> Trails:
        ends, _, predicted = predict_video(model, video, steps)
        after = ends[:, None] + np.arange(1, steps + 1)
        came = torch.from_numpy(video.keypoints[np.minimum(after, len(video) - 1)][..., :3])
        same = followed(torch.from_numpy(video.keypoints[ends]), came).numpy()
        return cls(video, model.frames, ends, predicted, same & (after < len(video))[..., None])

    def came(self, window: int) -> NDArray[np.float32]:
        """The keypoints (S, K, 3) after a window; beyond the end of the video the last ones."""
        after = self.ends[window] + 1 + np.arange(self.predicted.shape[1])
        found: NDArray[np.float32] = self.video.keypoints[np.minimum(after, len(self.video) - 1), :, :3]
        return found

    def liveliest(self) -> int:
        """The window after which keypoints move farthest, as far as they are followed."""
        travelled = np.zeros(len(self.ends))
        for window, end in enumerate(self.ends):
            distances = np.linalg.norm(self.came(window)[-1] - self.video.keypoints[end, :, :3], axis=-1)
            travelled[window] = (distances * self.followed[window, -1]).sum()
        return int(travelled.argmax())

    def picture(self, window: int, shadow: bool = False) -> Frame:
        """The trails after a window; with the frame that they lead to shining through, if asked for."""
        end = int(self.ends[window])
        past = self.video.keypoints[end + 1 - self.frames : end + 1]
        last = min(end + self.predicted.shape[1], len(self.video) - 1)
        return draw_prediction(
            np.asarray(self.video.frames[end]),
            past,
            self.came(window),
            self.predicted[window],
            self.followed[window],
            np.asarray(self.video.frames[last]) if shadow else None,
        )


def _film(shown: Sequence[Trails]) -> Iterator[Frame]:
    """The pictures of several videos, one after another."""
    for trails in shown:
        for window in range(min(len(trails.ends), _FRAMES)):
            yield trails.picture(window)


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    """So many of them at most, evenly."""
    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[index] for index in chosen]
