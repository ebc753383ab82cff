"""Videos: the same from a seed in any process, objects that keep their ids, and lives that are eventful."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from mint_rl.data.bouncing import TEST_SEED, BouncingConfig, bouncing_video, masked_bouncing, parse_bouncing
from mint_rl.data.bouncing.videos import BouncingVideo, chosen_frames, is_bouncing, keypoint_area
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.errors import UserError
from mint_rl.training.keypoint_evaluation import HELD_OUT_SEED

DIGEST = (
    "import hashlib\n"
    "from mint_rl.data.bouncing import bouncing_video\n"
    "video = bouncing_video(3)\n"
    "print(hashlib.sha256(video.frames.tobytes() + video.masks.tobytes()).hexdigest())"
)


@pytest.fixture(scope="module")
def videos() -> list[MaskedVideo]:
    return list(masked_bouncing(4))


def test_a_seed_gives_the_same_video_in_another_process() -> None:
    bouncing_video(4)  # whatever was made before changes nothing
    video = bouncing_video(3)
    here = hashlib.sha256(video.frames.tobytes() + video.masks.tobytes()).hexdigest()
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, env=variables)
    assert done.stdout.strip() == here, done.stderr


def test_seeds_give_different_videos_and_those_to_test_on_have_their_own() -> None:
    assert TEST_SEED == HELD_OUT_SEED
    short = BouncingConfig(frames=8)
    test = list(masked_bouncing(3, config=short))
    training = [bouncing_video(seed, config=short) for seed in range(3)]
    seen = {video.frames.tobytes() for video in test + training}
    assert len(seen) == 6
    assert np.array_equal(test[1].frames, bouncing_video(TEST_SEED + 1, config=short).frames)
    with pytest.raises(UserError, match=f"seeds below {TEST_SEED} are those to train on.* got 7"):
        next(masked_bouncing(1, seed=7))


@pytest.mark.parametrize("size", [(96, 96), (320, 480)])
def test_shapes_and_ids(size: tuple[int, int]) -> None:
    video = bouncing_video(0, size, BouncingConfig(frames=4))
    assert video.frames.shape == (4, *size, 3)
    assert video.masks.shape == (4, *size)
    assert (video.frames.dtype, video.masks.dtype) == (np.uint8, np.uint8)
    assert video.keypoint_area == keypoint_area(*size)
    assert set(np.unique(video.masks)) <= {0, *video.objects}


def test_the_keypoint_area_is_the_mean_area_of_objects(videos: list[MaskedVideo]) -> None:
    whole = [
        max(int((mask == number).sum()) for mask in video.masks)
        for video in videos
        for number in video.objects
    ]
    assert np.mean(whole) == pytest.approx(keypoint_area(96, 96), rel=0.25)


def test_videos_are_as_long_as_clevrers(videos: list[MaskedVideo]) -> None:
    assert {len(video) for video in videos} == {128}


def test_ids_follow_objects_from_frame_to_frame(videos: list[MaskedVideo]) -> None:
    """An object is where it was but for a step, in its own colour, and out of sight only once it has gone."""
    for video in videos:
        for number in video.objects:
            places, colours = [], []
            for frame, mask in zip(video.frames, video.masks, strict=True):
                found = np.argwhere(mask == number)
                if len(found) > 60:
                    places.append(found.mean(0))
                    colours.append(np.median(frame[mask == number], axis=0))
                elif places and len(found) == 0:
                    places.append(np.full(2, np.nan))
            seen = np.array(places)
            steps = np.linalg.norm(np.diff(seen, axis=0), axis=1)
            assert np.nanmax(steps, initial=0) < 8  # pixels: less than an object is wide
            assert np.ptp(colours, axis=0).max(initial=0) < 60
            gone = np.isnan(seen[:, 0]) if len(seen) else np.zeros(0, bool)
            assert (np.diff(gone.astype(int)) >= 0).all(), "an object came back"


def test_objects_enter_leave_and_collide_and_one_is_always_in_sight() -> None:
    for seed in range(12):
        video = BouncingVideo(seed)
        drawn = [np.bincount(video.draw(frame)[1].ravel(), minlength=13)[1:] for frame in range(128)]
        area = np.array(drawn)[:, : len(video.things)]
        whole = area.max(0) > 80
        assert (whole & (area[0] == 0)).any(), f"nothing enters in video {seed}"
        assert (whole & (area[-1] < area.max(0) / 2)).any(), f"nothing leaves in video {seed}"
        assert (area.sum(1) > 0).all(), f"the table of video {seed} is empty at times"
        assert video.motion.hits, f"nothing collides in video {seed}"


def test_settings_in_a_word() -> None:
    assert parse_bouncing("bouncing") == BouncingConfig()
    word = "bouncing:frames=20,objects=4,shadows=false"
    assert parse_bouncing(word) == BouncingConfig(frames=20, objects=4, shadows=False)
    assert is_bouncing(word)
    assert not is_bouncing("./bouncing")
    assert not is_bouncing("bouncing.mp4")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bouncing:frams=3", r"unknown setting of bouncing 'frams' \(did you mean 'frames'\?\)"),
        ("bouncing:frames=1", "need at least 2 frames, got frames=1"),
        ("bouncing:frames=some", "sets frames to 'some', which is no whole number"),
        ("bouncing:objects=13", "have room for 2 to 12 objects, got objects=13"),
        ("bouncing:shadows=no", "sets shadows to 'no': write true or false"),
    ],
)
def test_settings_that_cannot_be(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_bouncing(word)


def test_which_frames_are_left() -> None:
    assert chosen_frames(10, None, 1, None).tolist() == list(range(10))
    assert chosen_frames(10, None, 3, 2).tolist() == [0, 3]
    assert chosen_frames(10, 10.0, 1, None).tolist() == [0, 2, 5, 7]  # at 0, 0.1, 0.2, 0.3 s of 25 a second
    assert chosen_frames(4, 50.0, 1, None).tolist() == [0, 0, 1, 1, 2, 2, 3]
