"""The pictures that a run leaves behind: curves, a video of a rollout with its keypoints, overlays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.mint import MintLossConfig
from mint_rl.policies.base import ImitationPolicy
from mint_rl.training.evaluate import example_rollout
from mint_rl.training.merge import MergeResult
from mint_rl.training.pretrain import PretrainResult
from mint_rl.training.rollout import Rollout
from mint_rl.viz.keypoint_report import video_plots
from mint_rl.viz.overlay import contact_sheet, draw_keypoints, draw_trails, write_png
from mint_rl.viz.plots import plot_curves
from mint_rl.viz.video import can_write_video, write_video

CURVES, OVERLAY = "curves.png", "overlay.png"
VIDEO, KEYPOINT_VIDEO = "rollout.mp4", "keypoints.mp4"


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
    """Write the pictures of a pretraining run into its folder, of held-out videos if there are any.

    `curves.png`: the losses. `overlay.png`: keypoints on some frames. `active.png` and `information.png`: see
    `video_plots`. `keypoints.mp4`: keypoints on a whole video, where ffmpeg is at hand.
    """
    folder, encoder, video = result.folder, result.encoder, result.example_video
    written = [plot_curves(folder / "log.jsonl", folder / CURVES, f"{folder.name}: {result.config.method}")]
    written.append(_overlay(folder, encoder, result.examples))
    loss = result.config.loss if isinstance(result.config.loss, MintLossConfig) else None
    which = "a held-out video" if result.metrics["validation"] else "a training video"
    written += video_plots(folder, encoder, video, loss=loss, title=f"{folder.name}: {which}")
    if can_write_video():
        history, edges = list(encoder.read_video(video)), encoder.config.edges
        pictures = (
            draw_trails(frame, history[: t + 1], labels=True, edges=edges) for t, frame in enumerate(video)
        )
        written.append(write_video(folder / KEYPOINT_VIDEO, pictures))
    say(f"pictures: {', '.join(map(str, written))}")


def merge_report(result: MergeResult, say: Callable[[str], None] = print) -> None:
    """Write `overlay.png`, the merged encoder's keypoints on some frames, into its folder."""
    say(f"picture: {_overlay(result.folder, result.encoder, result.examples)}")


def _overlay(folder: Path, encoder: KeypointEncoder, frames: NDArray[np.uint8]) -> Path:
    edges = encoder.config.edges
    found = zip(frames, encoder.encode(frames), strict=True)
    drawn = [draw_keypoints(frame, points, labels=True, edges=edges) for frame, points in found]
    return write_png(folder / OVERLAY, contact_sheet(drawn))
