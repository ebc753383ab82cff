"""Learning dynamics: windows and losses by hand, what can be learned is learned, and whole small runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.dynamics import DynamicsNetworkConfig, KeypointDynamics, load_dynamics
from mint_rl.training.dynamics import DynamicsConfig, learn_dynamics
from mint_rl.training.dynamics_data import Batch, KeypointVideo, Windows
from mint_rl.training.dynamics_loop import DynamicsTraining, followed, rollout_losses


def video(places: NDArray[np.float64], actions: NDArray[np.int64] | None = None) -> KeypointVideo:
    """Places (T, K, 2) as a video whose keypoints are all active."""
    keypoints = np.concatenate([places, np.ones((*places.shape[:2], 1))], axis=2).astype(np.float32)
    return KeypointVideo("made up", np.zeros((len(places), 12, 12, 3), np.uint8), keypoints, actions)


def test_windows_stay_within_their_videos() -> None:
    first, second = (
        np.arange(n)[:, None, None] / 10 + np.zeros((n, 2, 2)) + start for n, start in ((5, 0), (4, 7))
    )
    windows = Windows([video(first), video(second)], history=3)
    assert len(windows) == 3  # those that end at frames 2 and 3 of the first video and 2 of the second
    batch = windows.batch(torch.arange(3), steps=2)
    np.testing.assert_allclose(batch.history[:, :, 0, 0], [[0, 0.1, 0.2], [0.1, 0.2, 0.3], [7, 7.1, 7.2]])
    np.testing.assert_allclose(batch.targets[:, :, 1, 1], [[0.3, 0.4], [0.4, 0.4], [7.3, 7.3]])
    assert batch.known.tolist() == [[True, True], [True, False], [True, False]]
    assert batch.actions is None
    np.testing.assert_allclose(windows.movements(), np.full((6, 2), 0.1), atol=1e-6)


def test_actions_are_those_between_a_frame_and_the_next() -> None:
    places = np.zeros((4, 2, 2))
    windows = Windows(
        [video(places, np.array([10, 11, 12])), video(places, np.array([20, 21, 22]))], history=2
    )
    actions = windows.batch(torch.arange(4), steps=2).actions
    assert actions is not None
    known = windows.batch(torch.arange(4), steps=2).known
    assert actions[known].tolist() == [11, 12, 12, 21, 22, 22]


def test_a_keypoint_is_followed_until_it_vanishes_or_jumps() -> None:
    now = torch.tensor([[[0.5, 0.5, 1.0]] * 4])
    later = now.expand(3, 4, 3).clone()[None]
    later[0, 1, 1, 0] = 0.65  # jumps, and comes back
    later[0, 2, 2, 2] = 0.0  # vanishes
    later[0, :, 3, 0] = torch.tensor([0.58, 0.66, 0.74])  # moves fast
    expected = [[True, True, True, True], [True, False, True, True], [True, False, False, True]]
    assert followed(now, later)[0].tolist() == expected
    now[..., 1, 2] = 0.0  # was not there to begin with
    assert not followed(now, later)[0, :, 1].any()


def test_losses_by_hand() -> None:
    history = torch.tensor([[[[0.5, 0.5, 1.0], [0.1, 0.1, 1.0]]]])
    targets = torch.tensor([[[[0.52, 0.5, 1.0], [0.8, 0.8, 1.0]], [[0.0, 0.0, 0.0], [0.8, 0.8, 1.0]]]])
    predicted = torch.tensor([[[[0.50, 0.505, 0.9], [0.1, 0.1, 0.5]], [[0.5, 0.5, 0.2], [0.8, 0.8, 0.6]]]])
    known = torch.tensor([[True, False]])
    losses = rollout_losses(predicted, Batch(history, targets, known, None), torch.tensor([0.01, 0.01]))
    # Of the first step the first keypoint alone counts, the second jumps: |2| − ½ and ½·0.5².
    torch.testing.assert_close(losses["place_loss"], torch.tensor(1.5 + 0.125))
    torch.testing.assert_close(losses["status_loss"], -torch.tensor([0.9, 0.5]).log().mean())
    torch.testing.assert_close(losses["loss"], losses["place_loss"] + 0.5 * losses["status_loss"])


def pushed(number: int, seed: int, told: bool) -> list[KeypointVideo]:
    """Two keypoints: where the first has gone from the last frame but one to the last, the second goes next.

    The first goes left or right at random; `told` videos know where, as actions 0 and 1.
    """
    videos = []
    for index in range(number):
        rng = np.random.default_rng((seed, index))
        actions = rng.integers(0, 2, 29)
        moves = 0.02 * (2 * actions - 1)
        first = 0.5 + np.concatenate([[0.0], moves]).cumsum()
        second = 0.5 + np.concatenate([[0.0, 0.0], moves[:-1]]).cumsum()
        places = np.stack([first, second], axis=1)[..., None] * np.array([1.0, 0.0]) + np.array([0.0, 0.5])
        videos.append(video(places, actions if told else None))
    return videos


def errors(rounds: int, told: bool, folder: Path) -> NDArray[np.float64]:
    """How far the prediction of the next place is off, in steps, of both keypoints, after training."""
    options: dict[str, Any] = {
        "steps": 250,
        "validate_every": 125,
        "unroll": 2,
        "batch": 64,
        "learning_rate": 1e-2,
    }
    config = DynamicsConfig(average=0.9, **options)
    torch.manual_seed(0)
    model = KeypointDynamics(2, 0, 4, 2 if told else 0, DynamicsNetworkConfig(hidden=16, rounds=rounds))
    DynamicsTraining(config, model, pushed(20, 0, told), pushed(3, 1, told)).train(folder)
    batch = Windows(pushed(4, 2, told), 4).batch(torch.arange(100), 1)
    with torch.no_grad():
        predicted = model.roll_out(batch.history, 1, batch.actions)
    found: NDArray[np.float64] = (predicted - batch.targets)[:, 0, :, 0].abs().mean(dim=0).numpy() / 0.02
    return found


def test_messages_carry_what_one_keypoint_does_to_another(tmp_path: Path) -> None:
    first, second = errors(rounds=1, told=False, folder=tmp_path)
    assert first > 0.8  # random
    assert second < 0.25
    assert errors(rounds=0, told=False, folder=tmp_path)[1] > 0.8


def test_actions_tell_where_a_keypoint_goes(tmp_path: Path) -> None:
    assert errors(rounds=0, told=True, folder=tmp_path)[0] < 0.25


def test_training_stops_where_held_out_videos_get_no_better(tmp_path: Path) -> None:
    config = DynamicsConfig(steps=400, validate_every=10, patience=2, learning_rate=0.05, batch=16)
    rng = np.random.default_rng(0)
    noise = [video(0.5 + 0.05 * rng.standard_normal((8, 2, 2))) for _ in range(3)]
    training = DynamicsTraining(config, KeypointDynamics(2), noise[:2], noise[2:])
    assert not training.train(tmp_path)
    assert training.done < 400
    assert training.done == training.kept_step + 20
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    best = min(records, key=lambda record: record["valid_loss"])
    assert best["step"] == training.kept_step
    assert training.validate()["valid_loss"] == pytest.approx(best["valid_loss"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained encoder whose keypoints are all active."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    KeypointEncoder(EncoderConfig(num_keypoints=8, gamma=0.1)).save_pretrained(folder)
    return str(folder)


def tiny(encoder: str, folder: Path, **changes: Any) -> DynamicsConfig:
    options: dict[str, Any] = {
        "envs": ["MoveToRegion-TestJitter"], "encoder": encoder, "out": str(folder), "episodes": 3,
        "test_episodes": 2, "steps": 6, "validate_every": 3, "batch": 8, "unroll": 2, "horizons": [1, 3],
    }  # fmt: skip
    return DynamicsConfig(**{**options, **changes})


def test_a_run_leaves_model_encoder_and_scores(encoder: str, tmp_path: Path) -> None:
    said: list[str] = []
    result = learn_dynamics(tiny(encoder, tmp_path / "run", actions=True), say=said.append)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.json", "log.jsonl", "metrics.json", "model", "tensorboard"}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(result.metrics))
    env = "magical/MoveToRegion-TestJitter-v0"
    assert metrics["videos"] == {"training": {env: 2}, "validation": {env: 1}, "test": {env: 2}}
    row = metrics["scores"]["mean"]["objects"]["network minus stay"]["3"]
    assert row["interval"][0] <= row["mean"] <= row["interval"][1]
    table = "\n".join(said)
    for part in ("steps ahead", "objects: share", "network minus velocity", "seen"):
        assert part in table
    loaded = load_dynamics(tmp_path / "run")
    found = KeypointEncoder.from_pretrained(tmp_path / "run" / "model" / "encoder")
    keypoints = found.encode(np.asarray(result.test[0].frames[:4]), descriptors=True)
    assert loaded.predict(keypoints, action=1).shape == (8, 3)
    again = learn_dynamics(tiny(encoder, tmp_path / "again", actions=True), say=lambda _: None)
    assert again.metrics["scores"] == metrics["scores"]


def test_every_seed_is_tested_on_the_same_videos(encoder: str, tmp_path: Path) -> None:
    one, other = (
        learn_dynamics(tiny(encoder, tmp_path / str(seed), seed=seed, steps=1), say=lambda _: None)
        for seed in (0, 5)
    )
    for first, second in zip(one.test, other.test, strict=True):
        assert np.array_equal(first.keypoints, second.keypoints)
    assert one.metrics["scores"]["mean"]["error"]["stay"] == other.metrics["scores"]["mean"]["error"]["stay"]


def test_ctrl_c_keeps_what_was_trained(encoder: str, tmp_path: Path) -> None:
    def interrupt(step: int, values: dict[str, float]) -> None:
        signal.raise_signal(signal.SIGINT)

    said: list[str] = []
    result = learn_dynamics(tiny(encoder, tmp_path), [interrupt], said.append)
    assert result.interrupted
    assert result.steps == 3
    assert any("stopped after 3 of 6 steps" in line for line in said)
    history = result.test[0].keypoints[:4]
    np.testing.assert_array_equal(load_dynamics(tmp_path).predict(history), result.model.predict(history))
    assert "scores" not in json.loads((tmp_path / "metrics.json").read_text())


def test_an_earlier_run_is_not_replaced_unasked(encoder: str, tmp_path: Path) -> None:
    learn_dynamics(tiny(encoder, tmp_path), say=lambda _: None)
    before = (tmp_path / "metrics.json").read_text()
    with pytest.raises(UserError, match="holds an earlier run"):
        learn_dynamics(tiny(encoder, tmp_path), say=lambda _: None)
    assert (tmp_path / "metrics.json").read_text() == before
    learn_dynamics(tiny(encoder, tmp_path, overwrite=True, seed=1), say=lambda _: None)
    assert (tmp_path / "metrics.json").read_text() != before


def test_a_loss_that_is_no_number_is_said(tmp_path: Path) -> None:
    config = DynamicsConfig(steps=30, learning_rate=1e30, gradient_clip=1e30)
    still = [video(np.random.default_rng(n).random((8, 2, 2)) * 0.05) for n in range(2)]
    with pytest.raises(
        UserError, match=r"training diverged: the loss of step \d+ is nan; lower learning_rate"
    ):
        DynamicsTraining(config, KeypointDynamics(2), still[:1], still[1:]).train(tmp_path)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"unroll": 0}, "'unroll' must be at least 1"),
        ({"horizons": [0, 1]}, "'horizons' must hold different numbers of steps"),
        ({"horizons": []}, "'horizons' must hold"),
        ({"envs": ["MakeLines"]}, "did you mean 'MakeLine'"),
        ({"envs": []}, "nothing to learn from"),
        ({"behaviour": "human"}, "unknown behaviour"),
        ({"average": 1.0}, "'average' must be below 1"),
        ({"test_share": 1.0}, "'test_share' must be from 0 to below 1"),
        ({"seed": 499_990}, "begin at the seed 500000"),
        ({"learning_rate": 0.0}, "'learning_rate' must be above 0"),
        ({"data": ["x.hdf5"], "actions": True, "stride": 2}, "stride must be 1"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError) as caught:
        DynamicsConfig(**changes)
    assert part in str(caught.value)
    with pytest.raises(UserError, match="'rounds' must be at least 0"):
        DynamicsNetworkConfig(rounds=-1)
