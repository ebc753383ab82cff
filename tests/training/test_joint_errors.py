"""`mint-rl keypoints joints`: an encoder that knows the joints, one that does not, and one that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mint_rl.cli import main
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.training import joint_errors as module
from mint_rl.training.joint_errors import explored, joint_errors


class _Knowing:
    """Finds every joint, each moved right by `off` pixels."""

    num_keypoints = 7

    def __init__(self, joints: NDArray[np.float64], off: float) -> None:
        self.joints, self.off = joints, off

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.dstack([self.joints + np.array([self.off / 95, 0.0]), np.ones(self.joints.shape[:2])])


def test_joints_that_are_found_have_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, joints = explored("MoveToRegion-TestAll", 1)
    assert (frames.shape, joints.shape) == ((40, 96, 96, 3), (40, 7, 2))
    monkeypatch.setattr(module, "load_encoder", lambda source: _Knowing(joints, off=3.0))
    errors = joint_errors("any", episodes=1, say=lambda line: None)
    np.testing.assert_allclose(errors["encoder"], 3.0)
    # The body is its own middle; the tips are about 15 pixels away from it, and as far again when turned.
    assert errors["turned"][0] == pytest.approx(3.0)
    assert errors["turned"][4] > 20
    assert errors["random"].mean() > errors["mean pose"].mean() > 15


def test_the_command_prints_a_line_for_each_control(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = EncoderConfig(num_keypoints=7, network="skeleton", heatmap="softmax", status="always")
    KeypointEncoder(config).save_pretrained(tmp_path)
    assert main(["keypoints", "joints", str(tmp_path), "--episodes", "1"]) == 0
    printed = capsys.readouterr().out
    assert "40 frames of MoveToRegion-TestAll: body, left eye" in printed
    for name in ("encoder", "turned", "mean pose", "random"):
        (numbers,) = re.findall(rf"^{name} +(.*)$", printed, re.MULTILINE)
        assert len(re.findall(r"\d+\.\d", numbers)) == 9  # seven joints, their mean, and that in percent


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KeypointEncoder(EncoderConfig(num_keypoints=4)).save_pretrained(tmp_path)
    assert main(["keypoints", "joints", str(tmp_path)]) == 2
    assert "has 4 keypoints, the robot 7 joints" in capsys.readouterr().err
    assert main(["keypoints", "joints", str(tmp_path), "--episodes", "0"]) == 2
    assert "episodes must be at least 1" in capsys.readouterr().err
