"""Predicted trails: each in its colour, where it belongs; and the pictures of a whole run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.dynamics import KeypointDynamics
from mint_rl.training.dynamics import DynamicsResult
from mint_rl.training.dynamics_data import KeypointVideo
from mint_rl.training.run_log import RunLog
from mint_rl.viz.dynamics_report import Trails, dynamics_report
from mint_rl.viz.predictions import CAME, PAST, PREDICTED, draw_prediction
from mint_rl.viz.video import can_write_video

SIZE = 401


def row(*points: tuple[float, float]) -> np.ndarray:
    """Active keypoints of one frame, (K, 3)."""
    return np.array([(*point, 1.0) for point in points], np.float32)


def has(picture: np.ndarray, x: float, y: float, colour: tuple[int, int, int]) -> bool:
    """Whether a picture has exactly this colour within two pixels of a place."""
    column, line = round(x * (SIZE - 1)), round(y * (SIZE - 1))
    near = picture[line - 2 : line + 3, column - 2 : column + 3]
    return bool((near == colour).all(axis=-1).any())


def drawn(followed: bool = True, active: bool = True) -> np.ndarray:
    past = np.stack([row((0.2, 0.5)), row((0.5, 0.5))])
    past[..., 2] = active
    came, predicted = row((0.5, 0.8))[None], row((0.8, 0.5))[None]
    frame = np.full((50, 50, 3), 200, np.uint8)
    return draw_prediction(frame, past, came, predicted, np.array([[followed]]), size=SIZE)


def test_every_trail_has_its_colour() -> None:
    picture = drawn()
    assert picture.shape == (SIZE, SIZE, 3)
    assert has(picture, 0.35, 0.5, PAST)
    assert has(picture, 0.5, 0.65, CAME)
    assert has(picture, 0.65, 0.5, PREDICTED)
    assert picture[300, 100].tolist() == [200, 200, 200]


def test_what_came_ends_where_the_keypoint_is_lost_and_inactive_ones_have_no_trail() -> None:
    lost = drawn(followed=False)
    assert not has(lost, 0.5, 0.65, CAME)
    assert has(lost, 0.65, 0.5, PREDICTED)
    absent = drawn(active=False)
    assert (absent[30:] == 200).all()


def test_the_later_frame_shines_through() -> None:
    frame, later = np.full((50, 50, 3), 200, np.uint8), np.zeros((50, 50, 3), np.uint8)
    nothing = np.zeros((1, 1, 3), np.float32)
    picture = draw_prediction(frame, nothing, nothing, nothing, np.zeros((1, 1), bool), later, SIZE)
    assert picture[300, 300].tolist() == [130, 130, 130]
    assert (frame == 200).all()


def wandering(frames: int = 12) -> KeypointVideo:
    """A keypoint that runs to the right in the later half, and one that rests."""
    keypoints = np.ones((frames, 2, 3), np.float32) * np.array([0.3, 0.3, 1.0], np.float32)
    run = np.maximum(np.arange(frames) - frames // 2, 0)
    keypoints[:, 0, 0] += 0.05 * run
    return KeypointVideo("made up", np.full((frames, 24, 36, 3), 150, np.uint8), keypoints)


def test_the_liveliest_moment_is_where_most_moves() -> None:
    trails = Trails.of(KeypointDynamics(2), wandering(), 3)
    assert trails.ends.tolist() == list(range(3, 11))
    assert trails.ends[trails.liveliest()] in (6, 7, 8)
    np.testing.assert_allclose(trails.came(3)[:, 0, 0], [0.35, 0.4, 0.45], atol=1e-6)
    assert trails.followed[-1, :, 0].tolist() == [True, False, False]  # beyond the end nothing is followed
    assert trails.picture(0).shape == (256, 384, 3)


@pytest.mark.parametrize("interrupted", [False, True])
def test_pictures_of_a_run(tmp_path: Path, interrupted: bool) -> None:
    with RunLog(tmp_path) as log:
        log.record(1, loss=1.0, valid_loss=2.0)
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=2))
    videos = [wandering(), wandering(8)]
    result = DynamicsResult(tmp_path, KeypointDynamics(2), encoder, 1, interrupted, None, videos, {})
    said: list[str] = []
    dynamics_report(result, 3, said.append)
    wanted = {"curves.png"} if interrupted else {"curves.png", "predictions.png"}
    if can_write_video() and not interrupted:
        wanted.add("predictions.mp4")
    assert {path.name for path in tmp_path.iterdir() if path.suffix in (".png", ".mp4")} == wanted
    assert all(name in said[0] for name in wanted)
