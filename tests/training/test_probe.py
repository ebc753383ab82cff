"""`mint-rl keypoints probe`: what is asked, how it is judged, what is read, and the verb itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mint_rl.cli import main
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.training.probe import ProbeConfig, cross_validate, probe_encoder
from mint_rl.training.probe_inputs import control_inputs, shift_change
from mint_rl.training.probe_models import linear_probe
from mint_rl.training.probe_scenes import Quantity, Scenes, errors, play_scenes
from mint_rl.training.probe_table import table


def _turns(*degrees: float, fold: int = 1) -> NDArray[np.float32]:
    angles = fold * np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_errors_by_hand() -> None:
    heading = Quantity("heading", 2, 1)
    wrong = errors(3.0 * _turns(350, 90, 181), _turns(10, 90, 0), [heading])
    np.testing.assert_allclose(wrong["heading"], [20, 0, 179], atol=1e-3)
    square = Quantity("block angles", 2, 4)
    wrong = errors(_turns(80, 44, fold=4), _turns(0, 0, fold=4), [square])
    np.testing.assert_allclose(wrong["block angles"], [10, 44], atol=1e-3)
    places = [Quantity("blocks", 2), Quantity("opening", 1), Quantity("blocks", 2)]
    wrong = errors(np.float32([[0, 0, 0.5, 1, 1]]), np.float32([[3, 4, 0.25, 1, 2]]), places)
    assert {group: values.tolist() for group, values in wrong.items()} == {"blocks": [3.0], "opening": [0.25]}


def test_scenes_hold_the_states_of_their_frames() -> None:
    scenes = play_scenes("MoveToCorner-TestJitter", 3, 30, seed=5)
    assert scenes.env_id == "magical/MoveToCorner-TestJitter-v0"
    assert len(scenes.frames) == len(scenes.targets) == len(scenes.episodes) == 30
    np.testing.assert_array_equal(np.bincount(scenes.episodes), [10, 10, 10])
    world = MagicalEnv("MoveToCorner", "TestJitter")
    frame, _ = world.reset(seed=6)
    np.testing.assert_array_equal(frame, scenes.frames[10])
    robot, block = world.state().robot, world.state().blocks[0]
    assert block.shape == "square"
    by_hand = [
        math.cos(robot.angle), math.sin(robot.angle), robot.finger_opening, robot.x, robot.y,
        block.x, block.y, math.cos(4 * block.angle), math.sin(4 * block.angle),
    ]  # fmt: skip
    np.testing.assert_allclose(scenes.targets[10], by_hand, rtol=1e-6)
    assert sum(quantity.size for quantity in scenes.asked) == len(by_hand)
    again = play_scenes("MoveToCorner-TestJitter", 3, 30, seed=5)
    np.testing.assert_array_equal(scenes.frames, again.frames)


def test_only_blocks_that_can_be_told_apart_are_asked_about() -> None:
    line = play_scenes("MakeLine", 1, 5, seed=0).asked
    assert [q.symmetry for q in line if q.group == "block angles"] == [5, 5, 5]  # the fourth is a circle
    assert sum(q.group == "blocks" for q in line) == 4
    assert {q.group for q in play_scenes("MoveToCorner-TestColour", 4, 8, seed=0).asked} == {
        "heading", "opening", "robot",
    }  # fmt: skip


def _made_up_scenes(number: int = 240) -> Scenes:
    """Headings at random, six episodes."""
    angles = np.random.default_rng(0).uniform(-180, 180, number)
    return Scenes(
        "made up",
        np.zeros((number, 8, 8, 3), np.uint8),
        _turns(*angles),
        np.repeat(np.arange(6), number // 6),
        (Quantity("heading", 2, 1),),
    )


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    scenes = _made_up_scenes()
    poses = np.full((240, 2, 3), 0.5, np.float32)
    told = np.concatenate([poses, np.repeat(scenes.targets[:, None], 2, 1)], 2)
    wrong = {
        name: cross_validate(linear_probe, nodes, scenes, folds=3, seed=0)["heading"]
        for name, nodes in (("poses", poses), ("told", told))
    }
    assert len(wrong["told"]) == 6
    assert max(wrong["told"]) < 2
    assert min(wrong["poses"]) > 60


def test_every_episode_is_predicted_by_a_probe_that_has_not_seen_it() -> None:
    scenes = _made_up_scenes()
    nodes = np.zeros((240, 1, 4), np.float32)
    nodes[:, 0, 3] = scenes.episodes
    seen = []

    def spy(split: object, seed: int) -> NDArray[np.float32]:
        fitted, tuned, asked = (
            {round(float(value), 3) for value in part[:, -1]}
            for part in (split.inputs, split.tuning_inputs, split.test_inputs)  # type: ignore[attr-defined]
        )
        assert len(fitted) + len(tuned) + len(asked) == len(fitted | tuned | asked) == 6
        seen.append(len(asked))
        return np.zeros((len(split.test_inputs), 2), np.float32)  # type: ignore[attr-defined]

    cross_validate(spy, nodes, scenes, folds=3, seed=1)
    assert seen == [2, 2, 2]


class Follower(KeypointEncoder):
    """One keypoint on the white pixel, with its column modulo 3 as descriptor, and one in the middle."""

    def encode(  # type: ignore[override]
        self, frames: NDArray[np.uint8], descriptors: bool = False, batch_size: int = 8
    ) -> NDArray[np.float32]:
        found = np.full((len(frames), 2, 5), 0.5, np.float32)
        found[..., 2] = 1.0
        for t, frame in enumerate(frames):
            row, column = np.argwhere(frame[..., 0] == 255)[0]
            found[t, 0] = column / 95, row / 95, 1.0, column % 3, 7.0
        found[:, 1, 3:] = 1.0, 8.0
        return found if descriptors else found[..., :3]


def test_what_a_shift_changes() -> None:
    frames = np.zeros((30, 96, 96, 3), np.uint8)
    for t in range(30):
        frames[t, 40, 20 + t] = 255
    follower = Follower(EncoderConfig(num_keypoints=2))
    kept, change = shift_change(follower, frames, 3)
    assert (kept, change) == (0.5, 0.0)
    kept, change = shift_change(follower, frames, 1)
    # The one in the middle is within 1.5 pixels of where it should be, and never changes.
    assert kept == 1.0
    column = np.array([t % 3 for t in range(20, 50)])
    deviation = np.concatenate([column, np.ones(30)]).std()
    jumps = ((column + 1) % 3 - column) ** 2
    # Half of the moves are downwards, half of the keypoints stay, half of the features never change.
    assert change == pytest.approx(math.sqrt(jumps.mean() / (2 * deviation**2) / 8), rel=1e-3)


def test_controls_have_their_shapes() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=4, gamma=0.1)).eval()
    frames = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), np.uint8)
    controls = control_inputs(encoder, frames, seed=0)
    shapes = {name: nodes.shape for name, nodes in controls.items()}
    assert shapes == {
        "random network": (5, 4, 11),
        "keypoints + random descriptors": (5, 4, 11),
        "descriptors on a grid": (5, 25, 11),
        "keypoints + RGB patches": (5, 4, 30),
    }
    assert (controls["random network"][..., 2] > 0.5).all()
    poses = encoder.encode(frames)
    np.testing.assert_array_equal(controls["keypoints + RGB patches"][..., :3], poses)
    grey = np.full((2, 96, 96, 3), 255, np.uint8)
    assert (control_inputs(encoder, grey, 0)["keypoints + RGB patches"][..., 3:] == 0.5).all()


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    folder = str(KeypointEncoder(EncoderConfig(num_keypoints=4, gamma=0.1)).save_pretrained(tmp_path / "run"))
    other = f"{folder}:descriptors=crops12"
    words = ["--envs", "MoveToRegion", "--episodes", "6", "--folds", "2", "--frames", "60", "--no-controls"]
    out = tmp_path / "probe.json"
    assert main(["keypoints", "probe", folder, other, *words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("linear: keypoints + descriptors") == 2
    assert f"minus {folder}" in printed
    content = json.loads(out.read_text())
    found = content["encoders"][other]["environments"]["magical/MoveToRegion-Demo-v0"]
    low, high = found["probes"]["linear"]["keypoints"]["heading"]["interval"]
    assert low <= found["probes"]["linear"]["keypoints"]["heading"]["mean"] <= high
    assert set(found["shifts"]) == {"1", "2", "3"}
    assert content["encoders"][other]["descriptor_features"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name at least one"),
        (["magicul"], "unknown encoder 'magicul'"),
        (["magical", "--folds", "1"], "'folds' must be at least 2"),
        (["magical", "--episodes", "5"], "4 folds need 12 episodes or more"),
        (["magical", "--frames", "3"], "'frames' must be at least 40"),
        (["magical", "--envs", "MakeLyne"], "did you mean 'MakeLine'"),
        (["magical", "--seed", "-1"], "'seed' must be from 0"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keypoints", "probe", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_an_environment_without_blocks_has_dashes() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=3, gamma=0.1)).eval()
    config = ProbeConfig(episodes=6, folds=2, controls=False)
    result = probe_encoder("it", encoder, [play_scenes("MoveToRegion", 6, 24, seed=0)], config)
    (line,) = [line for line in table(result).splitlines() if line.startswith("  linear: keypoints  ")]
    assert line.split()[-2:] == ["–", "–"]
