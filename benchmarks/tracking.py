"""What each part of the tracks does, beside tracking by detection.

    python benchmarks/tracking.py
    python benchmarks/tracking.py runs/merged --variant TestAll --episodes 5 --tracks 32

Plays episodes of all of MAGICAL's tasks that have the variant, finds the candidates once, and prints the
metrics of `mint-rl keypoints evaluate` (means over tasks) and the time of the tracker alone, for

    frame by frame       the keypoints of the maps, as `encode` gives them
    detections, matched  what a user would do: thin out what each frame shows to places a reach apart, match
                         them with the tracks of the frame before (Hungarian method, within a reach), and drop
                         those that had no match for more than three frames
    tracks               `Tracker`; then without one part each: second peaks, the motion of the maps, the rule
                         that tracks with few maps keep to the crowd, the three frames of patience
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.envs.magical.names import TASKS, VARIANTS
from mint_rl.keypoints import tracking
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.keypoints.metrics import VideoMetrics, mean_metrics, video_metrics
from mint_rl.keypoints.tracking import Tracker

SEED = 900_000  # not those of `mint-rl keypoints evaluate`: the constants of the tracker were chosen on these
HEADINGS = ("DOP", "TOP", "UAK", "RAK", "same+1", "same+5", "same+20", "active")


class Matched(Tracker):
    """Tracking by detection."""

    def step(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        alone = Tracker(len(self.alive), self.reach)
        detections = alone.step(found)
        detections = detections[detections[:, 2] > 0.5, :2]
        tracks = np.flatnonzero(self.alive)
        costs = np.linalg.norm(self.places[tracks, None] - detections[None], axis=2)
        rows, columns = linear_sum_assignment(np.minimum(costs, self.reach))
        good = costs[rows, columns] < self.reach
        rows, columns = rows[good], columns[good]
        self.places[tracks[rows]] = detections[columns]
        self._lost[tracks] += 1
        self._lost[tracks[rows]] = 0
        self.alive[tracks] = self._lost[tracks] <= 3
        for place in np.delete(detections, columns, 0):
            if not self.alive.all():
                track = int(self.alive.argmin())
                self.places[track], self.alive[track], self._lost[track] = place, True, 0
        return np.column_stack([self.places, self.alive.astype(np.float32)])


class Still(Tracker):
    """Tracks that the maps do not carry along."""

    def _move(self, keypoints: NDArray[np.float32], active: NDArray[np.bool_]) -> None:
        pass


class FirstPeaks(Tracker):
    """Tracks of the maps' keypoints alone."""

    def step(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        first = found.copy()
        first[len(found) // 2 :, 2] = 0.0
        return super().step(first)


def with_constant(name: str, value: int) -> Callable[[int, float], Tracker]:
    """Makes trackers while a constant of theirs is another; `main` sets it back."""

    def make(tracks: int, reach: float) -> Tracker:
        setattr(tracking, name, value)
        return Tracker(tracks, reach)

    return make


VARIATIONS: dict[str, Callable[[int, float], Tracker]] = {
    "detections, matched": Matched,
    "tracks": Tracker,
    "  without second peaks": FirstPeaks,
    "  without motion": Still,
    "  without the crowd rule": with_constant("_FEW", 0),
    "  without patience": with_constant("_LOST", 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder", nargs="?", default="magical-tracking")
    parser.add_argument("--variant", default="TestJitter")
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--tracks", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_with_settings(options.encoder)
    scores: dict[str, list[VideoMetrics]] = {}
    seconds = dict.fromkeys(VARIATIONS, 0.0)
    frames = 0
    kept = {name: getattr(tracking, name) for name in ("_FEW", "_LOST")}
    for task in (task for task in TASKS if options.variant in VARIANTS[task]):
        rows: dict[str, list[VideoMetrics]] = {}
        for video in masked_episodes(f"{task}-{options.variant}", options.episodes, SEED):
            parts = [encoder.candidates(part)[0] for _, part in encoder.batches(video.frames, 8)]
            found = torch.cat(parts).numpy()
            read = {"frame by frame": found[:, : found.shape[1] // 2]}
            for name, make in VARIATIONS.items():
                start = time.process_time()
                tracker = make(options.tracks, encoder.config.reach)
                read[name] = np.stack([tracker.step(one) for one in found])
                seconds[name] += time.process_time() - start
                for constant, value in kept.items():
                    setattr(tracking, constant, value)
            frames += len(video)
            for name, keypoints in read.items():
                metrics = video_metrics(keypoints, video.masks, video.objects, video.keypoint_area)
                rows.setdefault(name, []).append(metrics)
        for name, metrics_of in rows.items():
            scores.setdefault(name, []).append(mean_metrics(metrics_of))
    print(
        f"{options.encoder}, {options.variant}, {options.episodes} episode(s) of each task, {frames} frames"
    )
    print(f"{'':26}" + "".join(f"{heading:>9}" for heading in HEADINGS) + "   ms a frame")
    for name, of_tasks in scores.items():
        cells = [f"{value:9.3f}" for value in astuple(mean_metrics(of_tasks))]
        cost = f"{1e3 * seconds[name] / frames:13.3f}" if name in seconds else ""
        print(f"{name:26}" + "".join(cells) + cost)


if __name__ == "__main__":
    main()
