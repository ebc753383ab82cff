"""A small video of one episode for each training run of a benchmark."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mint_rl.training.benchmark_cell import RUN_FOLDER
from mint_rl.training.benchmark_grid import Cell
from mint_rl.training.evaluate import example_rollout
from mint_rl.training.threads import cpu_threads
from mint_rl.viz.report import rollout_pictures
from mint_rl.viz.video import can_write_video, write_video

FILM_FILE = "episode.webm"
FILM_VARIANT = "TestJitter"
_SIDE = 192  # ten to twenty kilobytes an episode: a report may hold hundreds


def film(folder: Path) -> Path | None:
    """Film the first test episode of a cell: of TestJitter, or of the first variant it was played on.

    The policy acts as it did in the evaluation, so the episode has the score that it had there. None where
    ffmpeg is not at hand, or the film is there already.
    """
    target = folder / FILM_FILE
    if target.exists() or not can_write_video():
        return None
    from mint_rl.policies.checkpoint import load_policy

    cell = Cell.read(folder)
    policy = load_policy(folder / RUN_FOLDER)
    with cpu_threads(cell.threads):
        rollout = example_rollout(policy, film_variant(cell), cell.test_seed)
    pictures = (
        np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for picture in rollout_pictures(rollout)
    )
    return write_video(target, pictures)


def film_variant(cell: Cell) -> str:
    """The variant that a cell's film shows."""
    return FILM_VARIANT if FILM_VARIANT in cell.variants else cell.variants[0]
