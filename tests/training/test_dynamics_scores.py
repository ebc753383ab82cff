"""Scores of predicted keypoints: numbers by hand, on squares that move as they are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.policies.dynamics import KeypointDynamics
from mint_rl.training.dynamics_data import KeypointVideo
from mint_rl.training.dynamics_scores import (
    LEGEND,
    DynamicsScores,
    constant_velocity,
    predict_video,
    score_video,
    stay,
    table,
)

SIDE = 101  # so that a pixel is a hundredth of the side


class Clairvoyant(KeypointDynamics):
    """Moves every keypoint to the right by two pixels; that is all there is to know."""

    def forward(self, history: Tensor, actions: Tensor | None = None) -> Tensor:
        return history[:, -1, :, :3] + torch.tensor([0.02, 0.0, 0.0])


def squares(frames: int = 12, masks: bool = True) -> KeypointVideo:
    """Object 1, of 5×5 pixels, moves right by 2 pixels a frame; object 2, as large, stands still.

    Keypoint 0 lies in the middle of the one, 1 in that of the other, 2 on nothing, 3 is inactive.
    """
    painted = np.zeros((frames, SIDE, SIDE), np.uint8)
    keypoints = np.zeros((frames, 4, 3), np.float32)
    for t in range(frames):
        painted[t, 20:25, 20 + 2 * t : 25 + 2 * t] = 1
        painted[t, 70:75, 70:75] = 2
        places = [[22 + 2 * t, 22], [72, 72], [5, 90], [72, 72]]
        keypoints[t, :, :2] = np.array(places) / 100
    keypoints[:, :3, 2] = 1.0
    images = np.zeros((frames, SIDE, SIDE, 3), np.uint8)
    if not masks:
        return KeypointVideo("squares", images, keypoints)
    return KeypointVideo("squares", images, keypoints, None, painted, (1, 2))


def test_baselines() -> None:
    history = np.zeros((1, 3, 2, 3), np.float32)
    history[0, :, 0] = [[0.1, 0.5, 1], [0.4, 0.5, 1], [0.6, 0.4, 1]]
    history[0, :, 1] = [[0.1, 0.5, 1], [0.1, 0.5, 0], [0.6, 0.4, 1]]
    np.testing.assert_allclose(stay(history, 2)[0, :, 0], [[0.6, 0.4], [0.6, 0.4]])
    moved = constant_velocity(history, 3)
    np.testing.assert_allclose(moved[0, :, 0], [[0.8, 0.3], [1.0, 0.2], [1.0, 0.1]], atol=1e-6)
    np.testing.assert_allclose(moved[0, :, 1], [[0.6, 0.4]] * 3)  # unseen before: nothing to go on by
    np.testing.assert_array_equal(constant_velocity(history[:, -1:], 2), stay(history, 2))


def test_scores_by_hand() -> None:
    scores = score_video(KeypointDynamics(4), squares(), (1, 2, 5))  # untrained: as staying
    # The square reaches 2 pixels from its middle: after one step of 2 pixels the keypoint is on its rim.
    assert scores["objects"]["stay"] == {1: 1.0, 2: 0.5, 5: 0.5}
    assert scores["objects"]["network"] == scores["objects"]["stay"]
    assert scores["objects"]["velocity"] == {1: 1.0, 2: 1.0, 5: 1.0}
    # An object counts as moving beyond 3 pixels.
    assert math.isnan(scores["moving"]["stay"][1])
    assert (scores["moving"]["stay"][2], scores["moving"]["velocity"][2]) == (0.0, 1.0)
    assert (scores["keypoints"]["stay"][2], scores["keypoints"]["seen"][2]) == (0.5, 1.0)
    # Three active keypoints, of which one is off by 2 pixels a step: the median is 0.
    assert scores["error"]["stay"] == {1: 0.0, 2: 0.0, 5: 0.0}
    assert scores["error"]["seen"][5] == 0.0


def test_a_network_that_knows_the_answer() -> None:
    scores = score_video(Clairvoyant(4), squares(), (2, 5))
    assert scores["moving"]["network"] == {2: 1.0, 5: 1.0}
    assert scores["objects"]["network"] == {2: 0.5, 5: 0.5}  # which carries the other object's keypoint off


def test_a_keypoint_must_have_been_on_the_same_object() -> None:
    video = squares()
    assert video.masks is not None
    video.masks[8:] = np.array([0, 2, 1], np.uint8)[video.masks[8:]]  # the objects change their names
    scores = score_video(Clairvoyant(4), video, (5,))  # from frames 3 to 6, before it, to 8 to 11
    assert scores["objects"]["network"][5] == 0.0
    assert scores["keypoints"]["seen"][5] == 0.0


def test_objects_out_of_sight_do_not_count() -> None:
    video = squares()
    assert video.masks is not None
    video.masks[video.masks == 1] = 0
    scores = score_video(KeypointDynamics(4), video, (2,))
    assert scores["objects"]["stay"][2] == 1.0
    assert math.isnan(scores["moving"]["stay"][2])


def test_without_masks_there_is_the_error_alone() -> None:
    video = squares(masks=False)
    video.keypoints[:, 1:, 2] = 0.0
    scores = DynamicsScores((1, 2))
    scores.add(video.name, score_video(Clairvoyant(4), video, (1, 2)))
    assert scores.measures() == ["error"]
    assert scores.estimate("error", "stay", 2).mean == pytest.approx(4.0, abs=1e-4)
    assert scores.estimate("error", "network", 2).mean == pytest.approx(0.0, abs=1e-4)
    assert "objects: share" not in table(scores)


def test_windows_ahead_of_the_end_alone_are_scored() -> None:
    scores = score_video(KeypointDynamics(4), squares(6), (1, 2, 3))
    assert scores["objects"]["stay"][2] == 0.5  # one window, at frame 3
    assert math.isnan(scores["objects"]["stay"][3])


def test_predictions_of_a_video_are_told_what_was_done() -> None:
    class Obedient(KeypointDynamics):
        """Moves right by as many hundredths as the action's number."""

        def forward(self, history: Tensor, actions: Tensor | None = None) -> Tensor:
            assert actions is not None
            moved = history[:, -1, :, :3].clone()
            moved[..., 0] += actions[:, None] / 100
            return moved

    silent = squares(7)
    video = KeypointVideo("told", silent.frames, silent.keypoints, np.array([0, 1, 2, 3, 4, 5]))
    ends, history, predicted = predict_video(Obedient(4, num_actions=6), video, 2)
    assert ends.tolist() == [3, 4, 5]
    assert history.shape == (3, 4, 4, 3)
    moved: NDArray[np.float32] = predicted[:, :, 1, 0] - 0.72
    np.testing.assert_allclose(moved, [[0.03, 0.07], [0.04, 0.09], [0.05, 0.10]], atol=1e-6)


def test_estimates_average_over_environments_and_pair_videos() -> None:
    scores = DynamicsScores((2, 5))
    for name, frames in (("a", 12), ("a", 20), ("a", 16), ("b", 12)):
        scores.add(name, score_video(Clairvoyant(4), squares(frames), (2, 5)))
    spoilt = score_video(Clairvoyant(4), squares(), (2, 5))
    spoilt["objects"]["network"][2] = 0.1
    scores.add("b", spoilt)
    found = scores.estimate("objects", "network", 2)
    assert found.mean == pytest.approx((0.5 + 0.3) / 2)
    assert found.low < found.mean < found.high
    assert scores.estimate("objects", "network", 2, minus="velocity", name="a").mean == pytest.approx(-0.5)
    content = scores.to_json()
    assert list(content) == ["mean", "a", "b"]
    assert content["b"]["objects"]["network"]["2"]["mean"] == pytest.approx(0.3)
    assert content["a"]["moving"]["network minus stay"]["5"] == {"mean": 1.0, "interval": [1.0, 1.0]}
    shown = table(scores)
    assert "network minus velocity" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert max(map(len, LEGEND.splitlines())) <= 110
