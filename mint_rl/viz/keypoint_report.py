"""`mint-rl keypoints plot`, and the same plots for a pretraining run: what an encoder does on one video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mint_rl.envs.magical.masked_videos import BEHAVIOURS
from mint_rl.errors import UserError, unknown_name
from mint_rl.files import writable_folder
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.keypoints.information import information_images, most_changing_pair
from mint_rl.keypoints.mint import MintLossConfig
from mint_rl.keypoints.resize import resize_frames
from mint_rl.options import option
from mint_rl.training.threads import cpu_threads
from mint_rl.viz.footage import open_footage
from mint_rl.viz.keypoint_plots import plot_active, plot_information

ACTIVE, INFORMATION = "active.png", "information.png"


@dataclass
class KeypointPlotConfig:
    """Which encoder to look into, and on what."""

    encoder: str = option("", "shipped name, run folder or the authors' .pt file")
    source: str = option(
        "", "video, folder, demonstrations (.hdf5), bouncing, or environment such as MakeLine-TestAll"
    )
    out: str = option("runs/plots", "the folder for the plots")
    frames: int = option(400, "at most so many frames of the video")
    seed: int = option(0, "of the episode of an environment, or number of the test video of bouncing")
    behaviour: str = option("auto", "in MAGICAL: expert, explorer, or auto: the expert where there is one")

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise UserError(f"the option 'frames' must be at least 2, got {self.frames}")
        if self.seed < 0:
            raise UserError(f"the option 'seed' must be at least 0, got {self.seed}")
        if self.behaviour not in BEHAVIOURS:
            raise unknown_name("behaviour", self.behaviour, BEHAVIOURS)


def plot_keypoints(config: KeypointPlotConfig, say: Callable[[str], None] = print) -> list[Path]:
    """Write `active.png` and `information.png` of a video into a folder; return their paths.

    Raises `UserError` for an encoder or a source that cannot be read, a video of one frame, or a folder that
    cannot be written.
    """
    if not config.encoder or not config.source:
        raise UserError("which encoder, on what? for instance: mint-rl keypoints plot magical MakeLine")
    encoder = load_with_settings(config.encoder)
    footage = next(open_footage(config.source, 1, config.seed, config.behaviour, encoder.config.image_size))
    folder = writable_folder(config.out)
    frames = list(islice(footage.frames, config.frames))
    if len(frames) < 2:
        raise UserError(f"'{footage.name}' has {len(frames)} frame(s); plots over time need 2")
    visible = None if footage.visible is None else footage.visible[: len(frames)]
    with cpu_threads(1):
        written = video_plots(folder, encoder, frames, visible, title=footage.name)
    say(f"plots: {', '.join(map(str, written))}")
    return written


def video_plots(
    folder: Path,
    encoder: KeypointEncoder,
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    visible: NDArray[np.int64] | None = None,
    loss: MintLossConfig | None = None,
    title: str = "",
) -> list[Path]:
    """Active keypoints over a video of two frames or more, and what the losses see where it changes most.

    visible: (T,) objects in sight, where that is known. loss: σ, τ, η and κ of the coverage that is shown.
    """
    small = np.concatenate([resize_frames(frame[None], encoder.config.image_size) for frame in frames])
    later = most_changing_pair(encoder, small)
    images = information_images(encoder, small[later - 1 : later + 1], loss)
    named = f"{title}, frames {later - 1} and {later}" if title else f"frames {later - 1} and {later}"
    return [
        plot_active(folder / ACTIVE, encoder.read_video(small), visible, title),
        plot_information(folder / INFORMATION, images, named),
    ]
