"""The pictures that a run leaves behind: curves, a video of a rollout with its keypoints, overlays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.policies.base import ImitationPolicy
from mint_rl.training.evaluate import example_rollout
from mint_rl.training.pretrain import PretrainResult
from mint_rl.training.rollout import Rollout
from mint_rl.viz.overlay import contact_sheet, draw_keypoints, draw_trails, write_png
from mint_rl.viz.plots import plot_curves
from mint_rl.viz.video import write_video

CURVES, VIDEO, OVERLAY = "curves.png", "rollout.mp4", "overlay.png"


def bc_report(
    folder: Path, policy: ImitationPolicy, variant: str = "Demo", say: Callable[[str], None] = print
) -> None:
    """Write `curves.png`, `rollout.mp4` and `overlay.png` of a behaviour-cloning run into its folder."""
    plot_curves(folder / "log.jsonl", folder / CURVES, f"{folder.name}: behaviour cloning")
    rollout = example_rollout(policy, variant)
    pictures = rollout_pictures(rollout)
    write_png(folder / OVERLAY, contact_sheet(pictures[:: max(1, (len(pictures) - 1) // 7)][:8]))
    write_video(folder / VIDEO, pictures)
    say(f"video of a rollout (score {rollout.score:.2f}): {folder / VIDEO}")
    say(f"pictures: {folder / OVERLAY}, {folder / CURVES}")


def rollout_pictures(rollout: Rollout) -> list[NDArray[np.uint8]]:
    """The pictures of an episode, with keypoints and their trails where the policy reads keypoints."""
    if rollout.keypoints is None:
        return list(rollout.frames)
    history = list(rollout.keypoints)
    return [
        draw_trails(frame, history[: step + 1], size=frame.shape[0])
        for step, frame in enumerate(rollout.frames)
    ]


def pretrain_report(result: PretrainResult, say: Callable[[str], None] = print) -> None:
    """Write `curves.png` and `overlay.png`, keypoints on frames of held-out videos, of a pretraining run."""
    folder = result.folder
    plot_curves(folder / "log.jsonl", folder / CURVES, f"{folder.name}: MINT")
    keypoints = result.encoder.encode(result.examples)
    pairs = zip(result.examples, keypoints, strict=True)
    write_png(
        folder / OVERLAY,
        contact_sheet([draw_keypoints(frame, points, labels=True) for frame, points in pairs]),
    )
    say(f"pictures: {folder / OVERLAY}, {folder / CURVES}")
