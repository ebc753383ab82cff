"""Plots of what an encoder does on a video: active keypoints over time, and what the losses see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mint_rl.files import atomic_path
from mint_rl.keypoints.information import InformationImages
from mint_rl.viz.overlay import Frame, draw_keypoints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_active(
    target: str | Path,
    keypoints: NDArray[np.float32],
    visible: NDArray[np.int64] | None = None,
    title: str = "",
) -> Path:
    """Active keypoints over time, and which ones they are (the paper's Figure 5), as a PNG file.

    keypoints: (T, K, ≥3) with status. visible: (T,) objects in sight, where that is known.
    """
    from matplotlib.figure import Figure

    active = keypoints[..., 2] > 0.5
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    counts, which = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    counts.step(range(len(active)), active.sum(1), where="mid", linewidth=1.3, label="active keypoints")
    if visible is not None:
        counts.step(range(len(visible)), visible, "--", where="mid", linewidth=1.3, label="objects in sight")
    most = max(int(active.sum(1).max()), 0 if visible is None else int(visible.max()), 1)
    counts.set_ylim(0, 1.3 * most)  # room for the legend
    counts.legend(fontsize=8, frameon=False, ncols=2)
    counts.set_ylabel("number", fontsize=8)
    which.imshow(active.T, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1.4)
    which.set_ylabel("keypoint", fontsize=8)
    which.set_xlabel("frame", fontsize=8)
    for axis in (counts, which):
        axis.tick_params(labelsize=7)
    counts.set_title(title, fontsize=9)
    return _save(figure, target)


def plot_information(target: str | Path, images: InformationImages, title: str = "") -> Path:
    """What the losses see in a pair of frames, a row each for Figures 1, 2 and 3, as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 8.6), layout="constrained")
    axes = figure.subplots(3, 4)
    before, now = (
        draw_keypoints(frame, points, labels=True)
        for frame, points in zip(images.frames, images.keypoints, strict=True)
    )
    nats = float(max(images.previous.max(), images.current.max(), 1e-6))
    transported = f"keypoint {images.keypoint}" if images.keypoint >= 0 else "no keypoint"

    _picture(axes[0, 0], now, "frame $I_t$")
    _image(axes[0, 1], images.current, "entropy $E(I_t)$", nats)
    _image(axes[0, 2], images.mask, "covered by active keypoints, $M_t$", 1.0, "gray")
    _image(axes[0, 3], images.current * images.mask, f"covered entropy: {images.covered:.0%}", nats)

    _picture(axes[1, 0], before, "frame $I_{t-1}$")
    _image(axes[1, 1], images.previous, "entropy $E(I_{t-1})$", nats)
    _image(axes[1, 2], images.conditional, "what is new, $E(I_t|I_{t-1})$", nats)
    share = f"covered: {images.change_covered:.0%}"
    _image(axes[1, 3], images.conditional * images.mask, share, nats)

    _image(axes[2, 0], images.heat_previous, f"where {transported} was, $h_{{t-1}}$", 1.0, "gray")
    _image(axes[2, 1], images.heat_current, f"where {transported} is, $h_t$", 1.0, "gray")
    share = f"explained by moving it: {images.share_explained:.0%}"
    _image(axes[2, 2], images.explained, share, nats)
    _image(axes[2, 3], images.current - images.explained, "left unexplained", nats)
    figure.suptitle(title, fontsize=10)
    return _save(figure, target)


def _picture(axis: Axes, picture: Frame, title: str) -> None:
    axis.imshow(picture)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()


def _image(axis: Axes, image: NDArray[np.float32], title: str, most: float, colours: str = "magma") -> None:
    shown = axis.imshow(image, vmin=0.0, vmax=most, cmap=colours, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
    assert axis.figure is not None
    bar = axis.figure.colorbar(shown, ax=axis, shrink=0.7)
    bar.ax.tick_params(labelsize=7)


def _save(figure: Figure, target: str | Path) -> Path:
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    return Path(target)
