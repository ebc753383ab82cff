"""The word `bouncing` among files and folders: read through the cache, with the flags of every video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_videos import counting_frames, write_clip

from mint_rl.data.bouncing import TEST_SEED, BouncingConfig, bouncing_video
from mint_rl.data.bouncing.videos import TRAINING_VIDEOS, chosen_frames
from mint_rl.data.videos import VideoConfig, VideoSet, open_videos
from mint_rl.data.videos.search import find_clips
from mint_rl.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


def opened(*data: str, **settings: object) -> VideoSet:
    return open_videos(VideoConfig(data=list(data), **settings), lambda line: None)  # type: ignore[arg-type]


def test_videos_to_train_on() -> None:
    videos = opened("bouncing:frames=10", max_videos=2)
    assert videos.size == (96, 96)
    assert videos.names == ["bouncing, seed 0", "bouncing, seed 1"]
    for seed, video in enumerate(videos):
        expected = bouncing_video(seed, config=BouncingConfig(frames=10)).frames
        np.testing.assert_array_equal(video[:], expected)


def test_as_many_as_are_asked_for() -> None:
    assert len(find_clips(VideoConfig(data=["bouncing"]))) == TRAINING_VIDEOS
    assert len(find_clips(VideoConfig(data=["bouncing"], max_videos=150))) == 150
    with pytest.raises(UserError, match=f"there are {TEST_SEED} videos of bouncing to train on"):
        find_clips(VideoConfig(data=["bouncing"], max_videos=TEST_SEED + 1))


def test_size_and_choice_of_frames() -> None:
    videos = opened("bouncing:frames=20", max_videos=1, size="320x480", fps=10.0, stride=2, max_frames=3)
    whole = bouncing_video(0, (320, 480), BouncingConfig(frames=20)).frames
    np.testing.assert_array_equal(videos[0][:], whole[chosen_frames(20, 10.0, 2, 3)])


def test_another_setting_or_size_is_another_video_of_the_cache() -> None:
    words = ("bouncing:frames=4", "bouncing:frames=5", "bouncing:frames=4,shadows=false")
    prints = [opened(word, max_videos=1).fingerprint() for word in words]
    assert len(set(prints)) == 3
    assert opened(words[0], max_videos=1).fingerprint() == prints[0]
    assert opened(words[0], max_videos=1, size="48x48").size == (48, 48)


def test_beside_files(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.avi", counting_frames(6))
    videos = opened(str(tmp_path / "clip.avi"), "bouncing:frames=4", size="48x48", max_videos=2)
    assert videos.names == [str(tmp_path / "clip.avi"), "bouncing, seed 1"]  # evenly over all there are
    assert len(find_clips(VideoConfig(["bouncing", str(tmp_path / "clip.avi")]))) == TRAINING_VIDEOS + 1


def test_a_folder_of_that_name_is_given_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "bouncing" / "clip.avi", counting_frames(6))
    monkeypatch.chdir(tmp_path)
    (clip,) = find_clips(VideoConfig(data=["./bouncing"]))
    assert clip.name.endswith("clip.avi")
    assert len(find_clips(VideoConfig(data=["bouncing"]))) == TRAINING_VIDEOS
