"""Policy checkpoints: a round trip changes nothing, a damaged folder is refused with a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from safetensors.torch import load_file, save_file

from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.checkpoint import load_policy, save_policy
from mint_rl.policies.cnn import CNNConfig, CNNPolicy
from mint_rl.policies.interaction import InteractionConfig, KeypointPolicy
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.policies.set_transformer import SetTransformerConfig, SetTransformerPolicy
from mint_rl.policies.space_json import space_from_json, space_to_json

K, D = 5, 10


def keypoint_policy(cls: type[ImitationPolicy], config: Any) -> ImitationPolicy:
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=K)).eval()
    policy = cls(batch_space(keypoint_space(K, D), 4), spaces.Discrete(18), config=config)
    policy.network.fit_inputs(torch.randn(20, K, 3 + D))
    policy.context = PolicyContext("magical/MakeLine-Demo-v0", {"view": "ego"}, encoder, "magical", 1.0, 2)
    return policy


def cnn_policy() -> ImitationPolicy:
    policy = CNNPolicy(
        spaces.Box(0, 255, (4, 96, 96, 3), np.uint8), spaces.Discrete(18), config=CNNConfig(width=0.05)
    )
    policy(torch.zeros(2, 4, 96, 96, 3))  # moves the running means of the batch normalisation
    policy.context = PolicyContext("magical/MoveToCorner-Demo-v0", {})
    return policy


POLICIES = {
    "interaction": lambda: keypoint_policy(KeypointPolicy, InteractionConfig(hidden=8)),
    "set-transformer": lambda: keypoint_policy(SetTransformerPolicy, SetTransformerConfig(hidden=8, chunk=3)),
    "mlp": lambda: keypoint_policy(MLPKeypointPolicy, MLPConfig(hidden=8)),
    "cnn": cnn_policy,
}


@pytest.mark.parametrize("name", POLICIES)
def test_round_trip(name: str, tmp_path: Path) -> None:
    policy = POLICIES[name]()
    policy.set_training_mode(False)
    save_policy(policy, tmp_path / "run" / "policy")
    loaded = load_policy(tmp_path / "run" / "policy")
    assert type(loaded) is type(policy)
    assert loaded.config == policy.config
    assert loaded.observation_space == policy.observation_space
    assert loaded.action_space == policy.action_space
    assert not loaded.training
    observations = torch.as_tensor(np.stack([policy.observation_space.sample() for _ in range(2)]))
    with torch.no_grad():
        for before, after in zip(policy.plan(observations), loaded.plan(observations), strict=True):
            assert (before is None and after is None) or torch.equal(before, after)
    assert loaded.context is not None
    assert policy.context is not None
    for name in ("env_id", "env_kwargs", "encoder_name", "temperature", "chunk"):
        assert getattr(loaded.context, name) == getattr(policy.context, name)
    # A run folder is as good as the checkpoint in it.
    assert load_policy(tmp_path / "run").config == policy.config


def test_is_self_contained(tmp_path: Path) -> None:
    policy = POLICIES["mlp"]()
    save_policy(policy, tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    context = load_policy(tmp_path / "b").context
    assert context is not None
    assert context.encoder is not None
    assert policy.context is not None
    assert policy.context.encoder is not None
    frame = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        context.encoder.encode(frame, descriptors=True),
        policy.context.encoder.encode(frame, descriptors=True),
    )
    names = sorted(
        str(path.relative_to(tmp_path / "b")) for path in (tmp_path / "b").rglob("*") if path.is_file()
    )
    assert names == ["config.json", "encoder/config.json", "encoder/model.safetensors", "model.safetensors"]


def test_saving_again_into_the_same_folder(tmp_path: Path) -> None:
    policy = POLICIES["interaction"]()
    save_policy(policy, tmp_path)
    save_policy(load_policy(tmp_path), tmp_path)
    assert torch.equal(load_policy(tmp_path).action_net.weight, policy.action_net.weight)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_policy(POLICIES["mlp"](), tmp_path)
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**description, **changes}))


def test_missing_folder_and_files(saved: Path) -> None:
    with pytest.raises(UserError, match="there is no policy folder"):
        load_policy(saved / "nothing")
    (saved / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no policy: config\.json and model\.safetensors are expected"):
        load_policy(saved)


def test_missing_encoder(saved: Path) -> None:
    shutil.rmtree(saved / "encoder")
    with pytest.raises(UserError, match="encoder"):
        load_policy(saved)


def test_an_encoder_folder_is_no_policy(saved: Path) -> None:
    with pytest.raises(UserError, match="is not a policy's description: it has no 'format'"):
        load_policy(saved / "encoder")


def test_damaged_files(saved: Path) -> None:
    data = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        load_policy(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        load_policy(saved)


def test_weights_that_do_not_fit(saved: Path) -> None:
    edit(saved, config={"name": "mlp", "hidden": 9})
    with pytest.raises(UserError, match=r"have shape \(.*\), but config.json beside it describes"):
        load_policy(saved)
    edit(saved, config={"name": "mlp", "hidden": 8})
    weights = load_file(saved / "model.safetensors")
    save_file({**weights, "extra": torch.zeros(1)}, saved / "model.safetensors")
    with pytest.raises(UserError, match="holds weights 'extra'"):
        load_policy(saved)
    del weights["action_net.bias"]
    save_file(weights, saved / "model.safetensors")
    with pytest.raises(UserError, match=r"has no weights 'action_net\.bias'"):
        load_policy(saved)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format_version": 99}, "version 99, not 'mint-rl policy', version 1"),
        ({"policy": "mlpp"}, "unknown policy 'mlpp'"),
        ({"config": {"hiden": 8}}, "unknown option 'hiden'"),
        ({"config": {"hidden": "8"}}, "'hidden' in .* must be of type int"),
        ({"observation_space": {"type": "Graph"}}, "unknown kind of space 'Graph'"),
        ({"observation_space": 3}, "is not a policy's description"),
        ({"context": {}}, "it has no 'env_id'"),
    ],
)
def test_foreign_descriptions(saved: Path, changes: dict[str, Any], sentence: str) -> None:
    edit(saved, **changes)
    with pytest.raises(UserError, match=sentence):
        load_policy(saved)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(18),
        spaces.Discrete(3, start=-1),
        spaces.Box(0, 255, (4, 96, 96, 3), np.uint8),
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
        batch_space(keypoint_space(5, 2), 4),
        spaces.Box(np.array([[0.0, 0.5], [0.25, 0.125]]), np.ones((2, 2)), dtype=np.float64),
    ],
)
def test_spaces_survive_json(space: spaces.Space[Any]) -> None:
    text = json.dumps(space_to_json(space), allow_nan=False)
    assert len(text) < 1000
    assert space_from_json(json.loads(text)) == space


def test_other_spaces_are_refused() -> None:
    with pytest.raises(UserError, match="not MultiBinary"):
        space_to_json(spaces.MultiBinary(3))
