"""Sharing over the Hugging Face hub, with a stand-in for its library: nothing leaves this machine."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from mint_rl.envs.keypoint_obs import KeypointObs, keypoint_space
from mint_rl.errors import UserError
from mint_rl.hub import is_hub_id
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.policies.base import PolicyContext
from mint_rl.policies.checkpoint import load_policy, push_policy
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy

K = 4


class StandIn(ModuleType):
    """The few functions of huggingface_hub that are used, on a folder: <root>/<user>/<name>/<revision>."""

    def __init__(self, root: Path) -> None:
        super().__init__("huggingface_hub")
        self.root = root
        self.private: dict[str, bool] = {}

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        source = self.root / repo_id / (revision or "main")
        if not source.is_dir():
            raise RuntimeError(f"404 Client Error: {repo_id}\nMany more lines.")
        target = self.root / "cache" / repo_id / (revision or "main")
        for path in source.rglob("*"):
            name = str(path.relative_to(source))
            if path.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / name)
        return str(target)

    def HfApi(self) -> StandIn:  # the library's name
        return self

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.private[repo_id] = private

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> str:
        if repo_id not in self.private:
            raise RuntimeError("the repository does not exist")
        shutil.copytree(folder_path, self.root / repo_id / "main", dirs_exist_ok=True)
        return f"https://hub/{repo_id}/commit/1"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.chdir(tmp_path)
    stand_in = StandIn(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    return stand_in


@pytest.fixture
def encoder() -> KeypointEncoder:
    torch.manual_seed(0)
    return KeypointEncoder(EncoderConfig(num_keypoints=K, gamma=0.5, gate=0.2))


def policy(encoder: KeypointEncoder) -> MLPKeypointPolicy:
    made = MLPKeypointPolicy(
        batch_space(keypoint_space(K), 2), spaces.Discrete(3), config=MLPConfig(hidden=8)
    )
    made.context = PolicyContext("magical/MoveToCorner-Demo-v0", {}, encoder, "magical")
    return made


def test_an_encoder_there_and_back(hub: StandIn, encoder: KeypointEncoder) -> None:
    assert encoder.push_to_hub("someone/corner", private=True) == "https://hub/someone/corner/commit/1"
    assert hub.private == {"someone/corner": True}
    stored = sorted(path.name for path in (hub.root / "someone/corner/main").iterdir())
    assert stored == ["README.md", "config.json", "model.safetensors"]
    card = (hub.root / "someone/corner/main/README.md").read_text()
    assert 'encoder="someone/corner"' in card
    again = KeypointEncoder.from_pretrained("someone/corner")
    assert again.config == encoder.config
    for name, value in encoder.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert load_encoder("someone/corner").config == encoder.config


def test_only_what_is_read_is_fetched(hub: StandIn, encoder: KeypointEncoder) -> None:
    encoder.push_to_hub("someone/corner")
    (hub.root / "someone/corner/main/pytorch_model.bin").write_text("evil")
    KeypointEncoder.from_pretrained("someone/corner")
    fetched = sorted(path.name for path in (hub.root / "cache/someone/corner/main").iterdir())
    assert fetched == ["config.json", "model.safetensors"]


def test_a_revision_is_another_encoder(hub: StandIn, encoder: KeypointEncoder) -> None:
    encoder.push_to_hub("someone/corner")
    main = hub.root / "someone/corner/main"
    shutil.copytree(main, main.parent / "v2")
    config = json.loads((main / "config.json").read_text())
    (main.parent / "v2/config.json").write_text(json.dumps({**config, "gamma": 3.0}))
    assert KeypointEncoder.from_pretrained("someone/corner", revision="v2").config.gamma == 3.0
    assert KeypointEncoder.from_pretrained("someone/corner").config.gamma == 0.5


def test_a_folder_comes_before_the_hub(hub: StandIn, encoder: KeypointEncoder) -> None:
    encoder.save_pretrained("runs/encoder")
    assert KeypointEncoder.from_pretrained("runs/encoder").config == encoder.config
    assert not hub.root.exists()


def test_the_wrapper_remembers_the_id(hub: StandIn, encoder: KeypointEncoder) -> None:
    encoder.push_to_hub("someone/corner")
    env = KeypointObs(gym.make("magical/MoveToCorner-Demo-v0"), encoder="someone/corner")
    rebuilt = gym.make(env.spec)  # type: ignore[arg-type]
    assert (rebuilt.reset(seed=0)[0] == env.reset(seed=0)[0]).all()


def test_a_policy_there_and_back(hub: StandIn, encoder: KeypointEncoder) -> None:
    pushed = policy(encoder)
    push_policy(pushed, "someone/policy")
    again = load_policy("someone/policy")
    for name, value in pushed.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert again.context is not None
    assert again.context.encoder is not None
    assert again.context.encoder.config == encoder.config


def test_what_the_hub_does_not_have_is_said_in_one_sentence(hub: StandIn, encoder: KeypointEncoder) -> None:
    for read, kind in ((load_encoder, "encoder"), (load_policy, "policy")):
        with pytest.raises(UserError) as caught:
            read("someone/nothing")
        assert str(caught.value) == (
            f"there is no {kind} folder 'someone/nothing', and cannot read 'someone/nothing' from the "
            "Hugging Face hub: 404 Client Error: someone/nothing"
        )
    with pytest.raises(UserError, match="'corner' is no name on the Hugging Face hub: write it as user/name"):
        encoder.push_to_hub("corner")


def test_without_the_library_the_extra_is_named(
    encoder: KeypointEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    actions: list[Callable[[], Any]] = [
        lambda: KeypointEncoder.from_pretrained("someone/corner"),
        lambda: encoder.push_to_hub("someone/corner"),
        lambda: push_policy(policy(encoder), "someone/corner"),
        lambda: load_policy("someone/corner"),
    ]
    for action in actions:
        with pytest.raises(UserError, match=r"needs the extra 'hub': pip install 'mint-rl\[hub\]'"):
            action()


@pytest.mark.parametrize("source", ["a/b/c", "./a", "../a", "/a/b", "a", "~/a", "a/", "a b/c", ""])
def test_paths_are_no_ids(source: str) -> None:
    assert not is_hub_id(source)


@pytest.mark.skipif(importlib.util.find_spec("huggingface_hub") is None, reason="huggingface_hub is missing")
def test_the_library_takes_what_the_stand_in_takes() -> None:
    import huggingface_hub

    for owner, name in (
        (huggingface_hub, "snapshot_download"),
        (huggingface_hub.HfApi, "create_repo"),
        (huggingface_hub.HfApi, "upload_folder"),
    ):
        wanted = set(inspect.signature(getattr(StandIn, name)).parameters)
        assert wanted <= set(inspect.signature(getattr(owner, name)).parameters) | {"self"}
