"""Keypoint dynamics: what the network knows before training, what it may look at, how it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.policies.dynamics import DynamicsNetworkConfig, KeypointDynamics, load_dynamics

K, D, T = 5, 2, 4


def model(actions: int = 0, rounds: int = 1, trained: bool = True) -> KeypointDynamics:
    torch.manual_seed(0)
    network = KeypointDynamics(K, D, T, actions, DynamicsNetworkConfig(hidden=8, rounds=rounds))
    if trained:  # as far as it matters here: the decoder answers
        torch.nn.init.normal_(network.decoder[-1].weight)
    return network.eval()


def histories(number: int = 3, frames: int = T) -> Tensor:
    torch.manual_seed(1)
    found = torch.rand(number, frames, K, 3 + D)
    found[..., 2] = 1.0
    return found


def test_before_training_everything_stays_where_and_as_it_is() -> None:
    history = histories()
    history[:, -1, 0, 2] = 0.0
    following = model(trained=False)(history)
    assert torch.equal(following[..., :2], history[:, -1, :, :2])
    active = following[..., 2] > 0.5
    assert not active[:, 0].any()
    assert active[:, 1:].all()


def test_movement_is_predicted_in_units_of_the_training_set() -> None:
    network = model(trained=False)
    moved = torch.tensor([[0.02, 0.0], [-0.02, 0.01], [0.02, -0.01], [-0.02, 0.0], [0.5, 0.5]])
    network.fit(histories().flatten(0, 1), moved)
    # The last is a jump. By hand: deviations of (2, −2, 2, −2) and (0, 1, −1, 0), in hundredths, with n − 1.
    expected = torch.tensor([(16 / 3) ** 0.5, (2 / 3) ** 0.5]) / 100
    torch.testing.assert_close(network.scale, expected + 1e-4)
    torch.nn.init.ones_(network.decoder[-1].bias)
    history = histories()
    following = network(history)
    torch.testing.assert_close(following[..., :2] - history[:, -1, :, :2], network.scale.expand(3, K, 2))


def test_places_of_frames_that_did_not_see_a_keypoint_are_not_looked_at() -> None:
    history = histories()
    history[:, 1, 2, 2] = 0.0
    elsewhere = history.clone()
    elsewhere[:, 1, 2, :2] = 0.9
    assert torch.equal(model()(history), model()(elsewhere))
    seen = history.clone()
    seen[:, 1, 2, 2] = 1.0
    assert not torch.equal(model()(history), model()(seen))


@pytest.mark.parametrize(("rounds", "told"), [(0, False), (1, True), (2, True)])
def test_keypoints_know_of_each_other_by_interaction_alone(rounds: int, told: bool) -> None:
    history = histories()
    other = history.clone()
    other[:, :, 0, :2] += 0.05
    changed = model(rounds=rounds)(history) != model(rounds=rounds)(other)
    assert changed[:, 0].any()
    assert bool(changed[:, 1:].any()) is told


def test_a_rollout_goes_on_from_its_own_predictions() -> None:
    network, history = model(actions=3), histories()
    actions = torch.tensor([[0, 2], [1, 0], [2, 2]])
    first = network(history, actions[:, 0])
    fed = torch.cat([first[..., :2].clamp(0, 1), first[..., 2:], history[:, -1, :, 3:]], dim=-1)
    second = network(torch.cat([history[:, 1:], fed[:, None]], dim=1), actions[:, 1])
    torch.testing.assert_close(network.roll_out(history, 2, actions), torch.stack([first, second], dim=1))


def test_predict_takes_one_history_or_several_of_any_length() -> None:
    network, history = model(), histories(frames=6).numpy()
    following = network.predict(history)
    assert following.shape == (3, K, 3)
    assert following.dtype == np.float32
    np.testing.assert_allclose(network.predict(history[0]), following[0], atol=1e-6)
    np.testing.assert_array_equal(network.predict(history[:, -T:]), following)  # the last frames count
    padded = np.concatenate([history[:, :1]] * 3 + [history[:, 1:2]], axis=1)
    np.testing.assert_array_equal(network.predict(history[:, :2]), network.predict(padded))
    ahead = network.forecast(history[0], 3)
    assert ahead.shape == (3, K, 3)
    np.testing.assert_array_equal(ahead[0], network.predict(history[0]))


def test_predict_with_actions() -> None:
    network, history = model(actions=3), histories().numpy()
    several = network.predict(history, action=[0, 1, 2])
    np.testing.assert_allclose(network.predict(history[1], action=1), several[1], atol=1e-6)
    assert not np.allclose(network.predict(history[1], action=2), several[1])


@pytest.mark.parametrize(
    ("actions", "shape", "given", "part"),
    [
        (0, (T, K, 3), None, "reads histories of shape (frames, 5, 5)"),
        (0, (T, K + 1, 3 + D), None, "reads histories of shape"),
        (0, (0, K, 3 + D), None, "reads histories of shape"),
        (0, (T, K, 3 + D), 1, "was trained without actions: give none"),
        (3, (T, K, 3 + D), None, "is told which of 3 actions is done: give it too"),
        (3, (T, K, 3 + D), 3, "actions are from 0 to 2, but 3 to 3 are given"),
        (3, (T, K, 3 + D), 0.5, "need whole numbers of shape (1, 1)"),
        (3, (2, T, K, 3 + D), [0], "need whole numbers of shape (2, 1)"),
    ],
)
def test_what_cannot_be_predicted_from(
    actions: int, shape: tuple[int, ...], given: object, part: str
) -> None:
    with pytest.raises(UserError) as caught:
        model(actions).predict(np.zeros(shape, np.float32), given)
    assert part in str(caught.value)


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    network, history = model(actions=3), histories().numpy()
    network.fit(histories().flatten(0, 1), 0.03 * torch.randn(20, 2))
    network.save_pretrained(tmp_path / "run" / "model")
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        loaded = load_dynamics(folder)
        np.testing.assert_array_equal(loaded.predict(history, [0, 1, 2]), network.predict(history, [0, 1, 2]))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder 'nowhere'"):
        load_dynamics("nowhere")
    with pytest.raises(UserError, match=r"holds no dynamics model: config.json and model.safetensors"):
        load_dynamics(tmp_path)
    model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())

    def written(**changes: object) -> None:
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))

    written(format="mint-rl policy")
    with pytest.raises(UserError, match="does not describe a dynamics model of this version"):
        load_dynamics(tmp_path)
    written(network={"hidden": 8, "depth": 3})
    with pytest.raises(UserError, match="does not describe a dynamics model"):
        load_dynamics(tmp_path)
    written(num_keypoints="many")
    with pytest.raises(UserError, match="does not describe a dynamics model"):
        load_dynamics(tmp_path)
    written(num_keypoints=6)
    with pytest.raises(UserError, match="are not those of the model in"):
        load_dynamics(tmp_path)
    written()
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(UserError, match="is damaged or not a safetensors file"):
        load_dynamics(tmp_path)
