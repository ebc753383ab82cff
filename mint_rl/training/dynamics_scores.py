"""How well the next keypoints are predicted: shares of objects, beside baselines, on the same frames.

The paper's score ("Downstream task II", Table 2) is the share of an image's objects on which a predicted
keypoint lies that lay on the same object before. Here, h steps ahead of the last frame t that was seen:

objects    of the objects in sight at t + h, the share with a keypoint that lies on them at t and whose place
           predicted for t + h lies on them too
moving     the same of those objects alone whose mask has moved, its centre by more than 3 % of the image's
           side: where nothing moves, staying is the best prediction
keypoints  of the keypoints on an object at t, the share whose predicted place lies on the same one
error      distance from the predicted place to the encoder's own at t + h, in percent of the side: the median
           over keypoints that are active in both frames; it needs no masks

Who predicts: the network, from its own predictions; `stay`, which leaves every keypoint where it is;
`velocity`, which goes on as from the last frame but one to the last; and `seen`, the encoder's own keypoints
in frame t + h: no prediction, but what a perfect one of the encoder's keypoints would score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_rl.keypoints.metrics import keypoint_hits
from mint_rl.policies.dynamics import ACTIVE, KeypointDynamics
from mint_rl.training.dynamics_data import KeypointVideo
from mint_rl.training.statistics import Estimate

Places = NDArray[np.float32]  # (N, steps, K, 2): of N windows, x and y at each step ahead
VideoScores = dict[str, dict[str, dict[int, float]]]  # measure → predictor → steps ahead → number

NETWORK, STAY, VELOCITY, SEEN = "network", "stay", "velocity", "seen"
# Lines of the table: label, predictor, and whom it is compared with on the same videos.
ROWS: tuple[tuple[str, str, str | None], ...] = (
    *((name, name, None) for name in (NETWORK, STAY, VELOCITY, SEEN)),
    *((f"{NETWORK} minus {name}", NETWORK, name) for name in (STAY, VELOCITY)),
)
OBJECTS, MOVING, KEYPOINTS, ERROR = "objects", "moving", "keypoints", "error"
MEASURES = {
    OBJECTS: "objects: share of them with a keypoint that is predicted to stay on them",
    MOVING: "moving: the same, of objects that move by more than 3 % of the side",
    KEYPOINTS: "keypoints: share of those on an object that are predicted to be on the same",
    ERROR: "error: median distance to the encoder's own keypoint, % of the side",
}
MOVED = 0.03
_BATCH = 32  # windows predicted together
EVERYTHING = "mean"
LEGEND = f"""\
± is half the width of the 95 % bootstrap interval over videos. {STAY}: every keypoint stays where it is;
{VELOCITY}: it goes on as it did; {SEEN}: no prediction, but where the encoder finds it in that frame."""


def stay(history: NDArray[np.float32], steps: int) -> Places:
    """The last places (N, steps, K, 2) of histories (N, T, K, ≥3)."""
    return np.repeat(history[:, -1:, :, :2], steps, axis=1)


def constant_velocity(history: NDArray[np.float32], steps: int) -> Places:
    """On from the last place by the last difference, inside the image: (N, T, K, ≥3) → (N, steps, K, 2).

    A keypoint that was inactive in the frame before stays: its place there means nothing.
    """
    if history.shape[1] < 2:
        return stay(history, steps)
    both = np.all(history[:, -2:, :, 2] > ACTIVE, axis=1)
    velocity: NDArray[np.float32] = (history[:, -1, :, :2] - history[:, -2, :, :2]) * both[..., None]
    ahead = np.arange(1, steps + 1, dtype=np.float32)[:, None, None]
    return np.clip(history[:, -1:, :, :2] + ahead * velocity[:, None], 0.0, 1.0)


def predict_video(
    model: KeypointDynamics, video: KeypointVideo, steps: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """What the model predicts from every window of a video, told what was done if it is told anything.

    Returns the last frame of each window (N,), the windows (N, T, K, 3 + D) and the predictions
    (N, steps, K, 3). Beyond the end of the video the last action goes on.
    """
    ends = np.arange(model.frames - 1, len(video) - 1)
    history = video.keypoints[ends[:, None] + np.arange(1 - model.frames, 1)]
    actions = None
    if video.actions is not None and model.num_actions:
        actions = video.actions[np.minimum(ends[:, None] + np.arange(steps), len(video.actions) - 1)]
    found = [
        model.forecast(history[rows], steps, None if actions is None else actions[rows])
        for rows in np.array_split(np.arange(len(ends)), -(-len(ends) // _BATCH))
    ]
    return ends, history, np.concatenate(found)


def score_video(model: KeypointDynamics, video: KeypointVideo, horizons: Sequence[int]) -> VideoScores:
    """Every measure of every predictor at every horizon; NaN where there is nothing to count.

    All windows of the video count that lie before the frame in question.
    """
    steps = max(horizons)
    ends, history, predicted = predict_video(model, video, steps)
    places = {
        NETWORK: np.clip(predicted[..., :2], 0.0, 1.0),
        STAY: stay(history, steps),
        VELOCITY: constant_velocity(history, steps),
        SEEN: video.keypoints[np.minimum(ends[:, None] + np.arange(1, steps + 1), len(video) - 1), :, :2],
    }
    scores: VideoScores = {measure: {name: {} for name in places} for measure in MEASURES}
    centres = None if video.masks is None else _centres(video)
    for ahead in horizons:
        now = ends[ends + ahead < len(video)]
        for name, guess in places.items():
            found = _measures(video, centres, guess[: len(now), ahead - 1], now, ahead)
            for measure in MEASURES:
                scores[measure][name][ahead] = found.get(measure, math.nan)
    return scores


def _measures(
    video: KeypointVideo,
    centres: NDArray[np.float64] | None,
    predicted: NDArray[np.float32],
    now: NDArray[Any],
    ahead: int,
) -> dict[str, float]:
    """The measures of places (N, K, 2) predicted at frames `now` (N,) for `ahead` steps later."""
    later = now + ahead
    before, after = video.keypoints[now], video.keypoints[later]
    both = (before[..., 2] > ACTIVE) & (after[..., 2] > ACTIVE)
    distances = np.linalg.norm(predicted - after[..., :2], axis=-1)[both]
    measures = {ERROR: 100 * float(np.median(distances)) if len(distances) else math.nan}
    if video.masks is None or centres is None:
        return measures
    ids = np.array(video.objects)
    on = keypoint_hits(before, video.masks[now], video.objects)
    placed = np.concatenate([predicted, before[..., 2:3]], axis=-1)
    kept = (keypoint_hits(placed, video.masks[later], video.objects) == on) & (on > 0)
    found = (kept[:, None] & (on[:, None] == ids[:, None])).any(axis=-1)  # (N, O)
    visible = ~np.isnan(centres[later, :, 0])
    moving = visible & (np.linalg.norm(centres[later] - centres[now], axis=-1) > MOVED)
    measures |= {
        OBJECTS: _share(found, visible),
        MOVING: _share(found, moving),
        KEYPOINTS: float(kept[on > 0].mean()) if (on > 0).any() else math.nan,
    }
    return measures


def _share(counted: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """Mean over frames of the share counted among each frame's objects, as the paper averages it."""
    some = among.any(axis=1)
    if not some.any():
        return math.nan
    return float(((counted & among).sum(1)[some] / among.sum(1)[some]).mean())


def _centres(video: KeypointVideo) -> NDArray[np.float64]:
    """(T, O, 2) centre of each object's mask in shares of the image's sides; NaN where it is out of sight."""
    assert video.masks is not None
    height, width = video.masks.shape[1:]
    x, y = np.arange(width) / (width - 1), np.arange(height) / (height - 1)
    centres = np.full((len(video), len(video.objects), 2), np.nan)
    for number, identity in enumerate(video.objects):
        mask = video.masks == identity
        pixels = mask.sum((1, 2)).astype(np.float64)
        pixels[pixels == 0] = np.nan
        centres[:, number, 0] = mask.sum(1) @ x / pixels
        centres[:, number, 1] = mask.sum(2) @ y / pixels
    return centres


@dataclass
class DynamicsScores:
    """The scores of every test video, by environment or data set."""

    horizons: Sequence[int]
    videos: dict[str, list[VideoScores]] = field(default_factory=dict)

    def add(self, name: str, scores: VideoScores) -> None:
        """Take in what `score_video` found in one video of the environment or data set `name`."""
        self.videos.setdefault(name, []).append(scores)

    def measures(self) -> list[str]:
        """The measures that there are numbers for: without masks that is the error alone."""
        every = [scores for group in self.videos.values() for scores in group]
        return [
            measure
            for measure in MEASURES
            if any(not math.isnan(value) for scores in every for value in scores[measure][STAY].values())
        ]

    def estimate(
        self, measure: str, predictor: str, ahead: int, minus: str | None = None, name: str | None = None
    ) -> Estimate:
        """The mean over environments of the means over their videos, with its interval.

        minus: of the difference to that predictor on the same videos. name: of one environment alone.
        """
        groups = self.videos.values() if name is None else [self.videos[name]]

        def value(scores: VideoScores) -> float:
            other = 0.0 if minus is None else scores[measure][minus][ahead]
            return scores[measure][predictor][ahead] - other

        return Estimate.of([[value(scores) for scores in group] for group in groups])

    def to_json(self) -> dict[str, Any]:
        """Every estimate as plain values: by environment, or all; measure; predictor; steps ahead."""
        names: list[str | None] = [None, *self.videos] if len(self.videos) > 1 else [None]
        return {
            name or EVERYTHING: {
                measure: {
                    label: {
                        str(ahead): self.estimate(measure, predictor, ahead, minus, name).to_json()
                        for ahead in self.horizons
                    }
                    for label, predictor, minus in ROWS
                }
                for measure in self.measures()
            }
            for name in names
        }


def table(scores: DynamicsScores) -> str:
    """A block a measure, a line a predictor, a column a horizon, each with half the width of its interval."""
    lines = [_line("steps ahead", [str(ahead) for ahead in scores.horizons])]
    for measure in scores.measures():
        decimals = 2 if measure == ERROR else 3
        lines += ["", MEASURES[measure]]
        for label, predictor, minus in ROWS:
            found = [scores.estimate(measure, predictor, ahead, minus) for ahead in scores.horizons]
            lines.append(_line(f"  {label}", [estimate.text(decimals) for estimate in found]))
    return "\n".join(lines)


def _line(label: str, cells: Sequence[str]) -> str:
    return f"{label:<26}" + "".join(f"{cell:>14}" for cell in cells)
