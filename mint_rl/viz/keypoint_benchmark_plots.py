"""The pictures of a benchmark of keypoints: all methods on the same frames, and come and go over time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_rl.files import atomic_path
from mint_rl.training.keypoint_evaluation import (
    Detector,
    KeypointEvaluationConfig,
    evaluation_videos,
    read_video,
)
from mint_rl.viz.benchmark_plots import COLOURS, legend_columns
from mint_rl.viz.overlay import draw_keypoints

_COLUMNS = 6
_DASHES = ("-", "-.", ":")


class Examples(NamedTuple):
    """What of the test videos is looked at."""

    frames: list[NDArray[np.uint8]]  # up to six, each (H, W, 3)
    video: NDArray[np.uint8]  # (T, H, W, 3) the first test video
    visible: NDArray[np.int64]  # (T,) objects in sight


def examples(tests: Mapping[str, Mapping[str, Any]]) -> Examples:
    """Frames of the first videos of a benchmark's tests, spread over these, and the very first video."""
    names = list(tests)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(len(names), _COLUMNS)).round().astype(int)]
    each = _COLUMNS // len(chosen)
    frames: list[NDArray[np.uint8]] = []
    first = None
    for name in chosen:
        config = KeypointEvaluationConfig(**tests[name])
        for video in islice(evaluation_videos(config, progress=False), min(each, 3)):
            first = first or video
            shares = np.arange(1, 1 + max(1, each // 3)) / (1 + max(1, each // 3))
            frames += [video.frames[int(share * (len(video) - 1))] for share in shares]
    assert first is not None
    visible = [int(np.isin(first.objects, mask).sum()) for mask in first.masks]
    return Examples(frames[:_COLUMNS], first.frames, np.array(visible))


def plot_overlays(
    target: Path, frames: Sequence[NDArray[np.uint8]], detectors: Mapping[str, Detector], title: str
) -> Path:
    """A row a method, a column a frame, with the active keypoints of each, as a PNG file."""
    from matplotlib.figure import Figure

    height, width = frames[0].shape[:2]
    side = 1.5
    figure = Figure(
        figsize=(side * len(frames), side * height / width * len(detectors) + 0.3), layout="constrained"
    )
    grid = figure.subplots(len(detectors), len(frames), squeeze=False)
    for axes, (label, detector) in zip(grid, detectors.items(), strict=True):
        for axis, frame in zip(axes, frames, strict=True):
            # One frame at a time: those of several tests may differ in size.
            axis.imshow(draw_keypoints(frame, detector.encode(frame[None])[0], size=240))
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0].set_ylabel(textwrap.fill(label, 22), fontsize=7)  # a row is no longer than that
    figure.suptitle(title, fontsize=9)
    return _save(figure, target)


def plot_come_and_go(
    target: Path,
    video: NDArray[np.uint8],
    visible: NDArray[np.int64],
    detectors: Mapping[str, Detector],
    title: str,
) -> Path:
    """Active keypoints over time, a line a method, beside the objects in sight (the paper's Figure 5)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axis = figure.subplots()
    steps = range(len(video))
    axis.step(steps, visible, "--", where="mid", color="black", linewidth=1.8, label="objects in sight")
    for number, (label, detector) in enumerate(detectors.items()):
        active = (read_video(detector, video)[..., 2] > 0.5).sum(1)
        style = _DASHES[number // len(COLOURS) % len(_DASHES)]
        colour = COLOURS[number % len(COLOURS)]
        axis.step(steps, active, style, where="mid", linewidth=1.1, label=label, color=colour)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("frame", fontsize=8)
    axis.set_ylabel("active keypoints", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    axis.set_title(title, fontsize=9)
    figure.legend(loc="outside lower center", ncols=legend_columns(detectors), fontsize=7, frameon=False)
    return _save(figure, target)


def _save(figure: Any, target: Path) -> Path:
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    return target
