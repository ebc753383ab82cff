"""What dynamics are learned from: rollouts, demonstrations, videos; masks and actions where known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mint_rl.data.bouncing import TEST_SEED, BouncingConfig, bouncing_video
from mint_rl.data.demonstrations import DemonstrationSet, write_demonstrations
from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.envs.magical.recording import record_demonstrations
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.training.dynamics_config import DynamicsConfig
from mint_rl.training.dynamics_data import load_data
from mint_rl.training.keypoint_evaluation import HELD_OUT_SEED
from mint_rl.viz.overlay import write_png


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))


@pytest.fixture(scope="module")
def encoder() -> KeypointEncoder:
    torch.manual_seed(0)
    return KeypointEncoder(EncoderConfig(num_keypoints=6, gamma=0.1)).eval()


@pytest.fixture(scope="module")
def demos() -> DemonstrationSet:
    return record_demonstrations("MoveToCorner", 4, seed=0)


def written(folder: Path, demos: DemonstrationSet) -> str:
    write_demonstrations(folder / "demos.hdf5", demos)
    return str(folder / "demos.hdf5")


def config(*data: str, **changes: Any) -> DynamicsConfig:
    return DynamicsConfig(data=list(data), **changes)


def test_rollouts_to_test_on_have_seeds_of_their_own(encoder: KeypointEncoder) -> None:
    settings = config(envs=["MoveToRegion"], episodes=3, test_episodes=1, descriptors=False, actions=True)
    data = load_data(settings, encoder)
    assert [len(part) for part in data] == [2, 1, 1]
    (video,) = masked_episodes("MoveToRegion", 1, HELD_OUT_SEED)
    test = data.test[0]
    assert np.array_equal(test.frames, video.frames)
    assert np.array_equal(test.masks, video.masks)  # type: ignore[arg-type]
    assert np.array_equal(test.actions, video.actions)  # type: ignore[arg-type]
    assert test.objects == (1,)
    assert test.keypoints.shape == (41, 6, 3)
    np.testing.assert_array_equal(test.keypoints, encoder.encode(video.frames))


def test_demonstrations_know_masks_and_actions(
    encoder: KeypointEncoder, demos: DemonstrationSet, tmp_path: Path
) -> None:
    data = load_data(config(written(tmp_path, demos), actions=True), encoder)
    assert [len(part) for part in data] == [2, 1, 1]
    test = data.test[0]
    (original,) = (one for one in demos if np.array_equal(one.images, test.frames))
    assert test.actions is not None
    assert test.actions.tolist() == original.executed[:-1].tolist()
    assert test.objects == (1, 2)
    assert test.masks is not None
    assert np.median(original.images[0][test.masks[0] == 2], axis=0).tolist() == [
        245,
        129,
        165,
    ]  # the red block
    assert load_data(config(written(tmp_path, demos)), encoder).test[0].actions is None


def test_demonstrations_whose_masks_nobody_knows(
    encoder: KeypointEncoder, demos: DemonstrationSet, tmp_path: Path
) -> None:
    said: list[str] = []
    jittered = replace(demos, env_id="magical/MoveToCorner-TestJitter-v0")
    data = load_data(config(written(tmp_path, jittered)), encoder, said.append)
    assert data.test[0].masks is None
    assert any("no masks of objects" in line for line in said)


def test_frames_are_chosen_before_they_are_encoded(
    encoder: KeypointEncoder, demos: DemonstrationSet, tmp_path: Path
) -> None:
    settings = config(written(tmp_path, demos), stride=3, max_frames=9, max_videos=3)
    data = load_data(settings, encoder)
    assert [len(part) for part in data] == [1, 1, 1]
    assert data.test[0].keypoints.shape == (9, 6, 3 + encoder.descriptor_dim)
    assert any(np.array_equal(one.images[:27:3], data.test[0].frames) for one in demos)


def images(folder: Path, videos: int, frames: int = 6) -> str:
    """Folders of images, which are videos without masks."""
    for number in range(videos):
        (folder / f"v{number}").mkdir(parents=True)
        for frame in range(frames):
            picture = np.random.default_rng((number, frame)).integers(0, 255, (40, 60, 3), dtype=np.uint8)
            write_png(folder / f"v{number}" / f"{frame}.png", picture)
    return str(folder)


def test_any_videos(encoder: KeypointEncoder, tmp_path: Path) -> None:
    said: list[str] = []
    images(tmp_path, 5)
    images(tmp_path / "short", 1, frames=4)
    data = load_data(config(str(tmp_path)), encoder, said.append)
    assert [len(part) for part in data] == [3, 1, 1]
    assert data.test[0].frames.shape == (6, 96, 96, 3)  # as the encoder takes them
    assert data.test[0].masks is None
    assert any("1 videos have no more frames than the window of 4" in line for line in said)


def test_what_cannot_be_learned_from(
    encoder: KeypointEncoder, demos: DemonstrationSet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="of videos nobody knows what was done"):
        load_data(config(images(tmp_path / "a", 3), actions=True), encoder)
    with pytest.raises(UserError, match=r"need at least 3 videos of more than 4 frames.* but there are 2"):
        load_data(config(images(tmp_path / "b", 2)), encoder)
    with pytest.raises(UserError, match="'nowhere' does not exist"):
        load_data(config("nowhere"), encoder)
    with pytest.raises(UserError, match=r"'nowhere.hdf5' does not exist"):
        load_data(config("nowhere.hdf5"), encoder)


def test_bouncing_objects(encoder: KeypointEncoder, tmp_path: Path) -> None:
    settings = config("bouncing:frames=12", max_videos=3, test_episodes=2, stride=2, descriptors=False)
    data = load_data(settings, encoder)
    assert [len(part) for part in data] == [2, 1, 2]
    expected = bouncing_video(TEST_SEED, config=BouncingConfig(frames=12))
    test = data.test[0]
    assert np.array_equal(test.frames, expected.frames[::2])
    assert test.masks is not None
    assert np.array_equal(test.masks, expected.masks[::2])
    assert (test.name, test.objects) == ("bouncing", expected.objects)
    both = config(images(tmp_path, 3), "bouncing:frames=12", max_videos=3, test_episodes=1, size="24x36")
    assert [len(part) for part in load_data(both, encoder)] == [4, 1, 2]
    with pytest.raises(UserError, match="no more frames than the window of 4: make them longer"):
        load_data(config("bouncing:frames=4", max_videos=2, test_episodes=1), encoder)
