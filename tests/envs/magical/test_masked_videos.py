"""Episodes with masks: repeatable by seed, behaved as asked, and by colour as by the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from mint_rl.data.demonstrations import DemonstrationSet
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.envs.magical.colour_masks import colour_masked
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.envs.magical.recording import record_demonstrations
from mint_rl.errors import UserError


def only(env: str, seed: int = 0, **settings: object) -> MaskedVideo:
    (video,) = masked_episodes(env, 1, seed, **settings)  # type: ignore[arg-type]
    return video


def test_frames_and_masks_of_whole_episodes() -> None:
    first, second = masked_episodes("MoveToCorner-TestJitter", 2, seed=7)
    assert first.name == "magical/MoveToCorner-TestJitter-v0"
    assert first.frames.shape == (81, 96, 96, 3)
    assert first.masks.shape == (81, 96, 96)
    assert first.objects == (1, 2)
    assert first.keypoint_area == 180
    assert first.actions is not None
    assert first.actions.shape == (80,)
    assert np.array_equal(second.frames, only("MoveToCorner-TestJitter", 8).frames)
    assert not np.array_equal(first.frames[0], second.frames[0])


def test_masks_belong_to_the_frames() -> None:
    video = only("MoveToCorner-Demo", noise=0.0)
    for frame, mask in zip(video.frames[::20], video.masks[::20], strict=True):
        assert np.median(frame[mask == 1], 0).tolist() == [162, 163, 175]  # the robot's grey
        assert np.median(frame[mask == 2], 0).tolist() == [245, 129, 165]  # the red block
    assert not np.array_equal(video.masks[0], video.masks[-1])


def test_who_acts() -> None:
    def at_the_corner(video: MaskedVideo) -> bool:
        """Whether the block, id 2, ends in the upper left."""
        rows, columns = np.nonzero(video.masks[-1] == 2)
        return bool(rows.mean() < 30 and columns.mean() < 30)

    calm = [only("MoveToCorner", seed, behaviour="expert", noise=0.0) for seed in (0, 1)]
    assert all(at_the_corner(video) for video in calm)
    assert np.array_equal(calm[0].frames, calm[1].frames)  # Demo has one start and the expert no memory
    noisy = [only("MoveToCorner", seed, noise=0.1) for seed in (0, 1)]
    assert not np.array_equal(noisy[0].frames, noisy[1].frames)
    assert not any(at_the_corner(only("MoveToCorner", seed, behaviour="explorer")) for seed in (0, 1))
    assert len(only("FixColour-TestLayout")) == 61  # no expert: the explorer


def test_larger_frames_have_larger_keypoints() -> None:
    video = only("MoveToRegion", resolution=192)
    assert video.masks.shape[1:] == (192, 192)
    assert video.keypoint_area == 720


def test_bad_requests() -> None:
    with pytest.raises(UserError, match="unknown behaviour 'lazy'; known: auto, expert, explorer"):
        only("MoveToCorner", behaviour="lazy")
    with pytest.raises(UserError, match="no scripted expert for the task 'FindDupe'"):
        only("FindDupe", behaviour="expert")
    with pytest.raises(UserError, match="noise is 2"):
        only("MoveToCorner", noise=2)
    with pytest.raises(UserError, match="every frame needs one mask"):
        MaskedVideo("x", np.zeros((2, 4, 4, 3), np.uint8), np.zeros((3, 4, 4), int), (1,), 1.0)
    with pytest.raises(UserError, match="must be uint8"):
        MaskedVideo("x", np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), int), (1,), 1.0)


@pytest.mark.parametrize("task", ["MoveToCorner", "MakeLine", "MoveToRegion"])
def test_masks_by_colour_are_the_simulators_and_a_rim(task: str) -> None:
    demonstrations = record_demonstrations(task, 1, noise=0.1)
    (video,) = colour_masked(demonstrations)
    world = MagicalEnv(task)
    world.reset(seed=demonstrations[0].seed)
    overlaps = []
    for mask, action in zip(video.masks, demonstrations[0].executed, strict=True):
        true = world.instance_mask()
        for block in video.objects[1:]:
            inside = (true == block).sum()
            overlaps.append(((true == block) & (mask == block)).sum() / inside)
            assert (mask == block).sum() < 2.3 * inside
        robot = (true == 1) & (mask == 1)
        assert robot.sum() > 0.95 * (mask == 1).sum() - 60  # but for the rim
        assert robot.sum() > 0.55 * (true == 1).sum()  # but for the fingers
        world.step(int(action))
    assert not overlaps or min(overlaps) > 0.8


def test_where_colours_do_not_tell_objects_apart() -> None:
    shown = record_demonstrations("MoveToRegion", 1, noise=0.0)
    for env, message in (
        ("magical/FindDupe-Demo-v0", "no two blocks share a colour"),
        ("magical/MoveToRegion-TestColour-v0", "need a Demo scene"),
    ):
        with pytest.raises(UserError, match=message):
            colour_masked(DemonstrationSet(env, shown.demonstrations))
    with pytest.raises(UserError, match="--view allo"):
        colour_masked(DemonstrationSet(shown.env_id, shown.demonstrations, {"view": "ego"}))


def test_actions_lead_from_frame_to_frame() -> None:
    video = only("MoveToCorner-TestJitter", 3)
    world = MagicalEnv("MoveToCorner", "TestJitter")
    frame, _ = world.reset(seed=3)
    assert video.actions is not None
    for step, action in enumerate(video.actions):
        assert np.array_equal(frame, video.frames[step])
        frame, *_ = world.step(int(action))
    assert np.array_equal(frame, video.frames[-1])


def test_actions_that_do_not_fit_the_frames() -> None:
    frames, masks = np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 4, 4), np.uint8)
    with pytest.raises(UserError, match="there must be one between every two frames"):
        MaskedVideo("squares", frames, masks, (1,), 1.0, np.zeros(3, np.int64))
