"""Recordings: labels are the expert's own, noise is where it says, seeds decide, and giving up is said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mint_rl.data.demonstrations import read_demonstrations, write_demonstrations
from mint_rl.envs.magical.experts import expert
from mint_rl.envs.magical.names import TABLE, TASKS
from mint_rl.envs.magical.recording import (
    NoiseBursts,
    collect_frames,
    collect_videos,
    record_demonstrations,
)
from mint_rl.envs.magical.simulator import World
from mint_rl.errors import UserError


def test_what_was_executed_leads_to_the_states_and_the_labels_are_the_experts() -> None:
    """Replayed in the bare simulator, the executed actions give the recorded states; asked there, the expert
    gives the recorded labels."""
    recorded = record_demonstrations(
        "MoveToCorner-TestJitter", episodes=3, seed=5, noise=0.2, longest_burst=3
    )
    assert recorded.env_id == "magical/MoveToCorner-TestJitter-v0"
    assert recorded.env_kwargs == {"view": "allo", "resolution": 96}
    world, act = World("MoveToCorner", "TestJitter"), expert("MoveToCorner")
    for demonstration in recorded:
        assert demonstration.score == 1.0
        assert demonstration.images.shape == (80, 96, 96, 3)
        assert demonstration.seed is not None
        assert demonstration.states is not None
        assert (demonstration.actions != demonstration.executed).any()
        world.reset(demonstration.seed)
        for step in range(80):
            state = world.state()
            np.testing.assert_array_equal(state.to_array(), demonstration.states[step])
            assert act(state) == demonstration.actions[step]
            world.step(int(demonstration.executed[step]))


def test_without_noise_the_expert_is_obeyed() -> None:
    recorded = record_demonstrations("MoveToRegion", episodes=2, noise=0.0)
    for demonstration in recorded:
        np.testing.assert_array_equal(demonstration.actions, demonstration.executed)
    assert recorded.source == "scripted expert, no noise, seed 0; dropped 0 of 2 attempts"


def test_the_seed_decides_and_attempts_are_numbered_from_it() -> None:
    one = record_demonstrations("MoveToRegion-TestLayout", episodes=4, seed=7)
    again = record_demonstrations("MoveToRegion-TestLayout", episodes=4, seed=7)
    seeds = [demonstration.seed for demonstration in one]
    assert seeds == sorted(seeds)
    assert seeds[0] >= 7
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.images, second.images)
        np.testing.assert_array_equal(first.executed, second.executed)
    # an episode does not depend on those recorded before it
    later = record_demonstrations("MoveToRegion-TestLayout", episodes=1, seed=seeds[2] or 0)
    np.testing.assert_array_equal(later[0].images, one[2].images)


def test_failures_are_dropped_and_counted() -> None:
    calls: list[tuple[int, int]] = []
    noisy = record_demonstrations(
        "MoveToRegion", episodes=5, noise=0.3, longest_burst=10, progress=lambda *done: calls.append(done)
    )
    attempts = max(demonstration.seed or 0 for demonstration in noisy) + 1
    assert attempts > 5
    assert f"dropped {attempts - 5} of {attempts} attempts" in noisy.source
    assert all(demonstration.score == 1.0 for demonstration in noisy)
    assert calls == [(kept, 5) for kept in range(1, 6)]


def test_too_much_noise_is_given_up_with_a_sentence() -> None:
    with pytest.raises(
        UserError, match=r"of 23 attempts at magical/MoveToCorner-Demo-v0 succeeded .* lower the noise"
    ):
        record_demonstrations("MoveToCorner", episodes=1, noise=1.0, longest_burst=50, seed=3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"env": "MoveToCornr"}, "unknown task 'MoveToCornr' .*did you mean 'MoveToCorner'"),
        ({"env": "MoveToCorner-TestJiter"}, "unknown variant of MoveToCorner 'TestJiter'"),
        ({"env": "ClusterShape"}, "no scripted expert for the task 'ClusterShape'"),
        ({"env": "MoveToCorner", "episodes": 0}, "episodes is 0"),
        ({"env": "MoveToCorner", "seed": -1}, "seed is -1"),
        ({"env": "MoveToCorner", "noise": 1.5}, "noise is 1.5"),
        ({"env": "MoveToCorner", "longest_burst": 0}, "longest_burst is 0"),
        ({"env": "MoveToCorner", "view": "alo"}, "unknown view 'alo'"),
        ({"env": "MoveToCorner", "resolution": 100}, "resolution"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        record_demonstrations(**arguments)  # type: ignore[arg-type]


def test_a_burst_holds_one_action_and_ends() -> None:
    bursts = NoiseBursts(0.1, 3, np.random.default_rng(0))
    done = [bursts(-1) for _ in range(20_000)]  # -1 marks the expert's action
    runs: list[list[int]] = []
    for action in done:
        if runs and runs[-1][0] == action:
            runs[-1].append(action)
        else:
            runs.append([action])
    noisy = [run for run in runs if run[0] != -1]
    assert {run[0] for run in noisy} == set(range(18))
    assert max(map(len, noisy)) <= 3 * 3  # bursts may follow each other with the same action
    # 9 free steps before a burst and 2 steps in it, on average
    assert np.mean(np.array(done) != -1) == pytest.approx(2 / 11, abs=0.01)


def test_recordings_survive_the_file(tmp_path: object) -> None:
    path = f"{tmp_path}/demos.hdf5"
    recorded = record_demonstrations("MoveToRegion", episodes=2)
    write_demonstrations(path, recorded)
    read = read_demonstrations(path)
    np.testing.assert_array_equal(read[1].images, recorded[1].images)
    assert read.source == recorded.source


def test_videos_of_all_eight_tasks() -> None:
    calls: list[tuple[int, int]] = []
    videos = collect_videos(episodes_per_task=2, seed=0, progress=lambda *done: calls.append(done))
    assert calls == [(done, 16) for done in range(1, 17)]
    assert [video.env_id for video in videos] == [
        f"magical/{task}-Demo-v0" for task in TASKS for _ in range(2)
    ]
    for video in videos:
        task = video.env_id.removeprefix("magical/").removesuffix("-Demo-v0")
        assert video.frames.shape == (TABLE[task].max_episode_steps, 96, 96, 3)
        assert video.frames.dtype == np.uint8
        changed = (video.frames[1:] != video.frames[:-1]).any((1, 2, 3)).mean()
        assert changed > 0.5, f"{video.env_id}: only {changed:.0%} of the frames differ from the one before"
    behaviours = {(video.env_id, video.behaviour) for video in videos}
    assert ("magical/MoveToCorner-Demo-v0", "scripted expert") in behaviours
    assert ("magical/MoveToCorner-Demo-v0", "explorer") in behaviours
    other = collect_frames(episodes_per_task=1, seed=1)
    assert len(other) == 8
    assert not np.array_equal(other[4], videos[8].frames)
    again = collect_frames(episodes_per_task=1, seed=0)  # more episodes do not change the first ones
    np.testing.assert_array_equal(again[4], videos[8].frames)


def test_neither_torch_nor_display_libraries_are_imported(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; from mint_rl.envs.magical.recording import record_demonstrations;"
        "record_demonstrations('MoveToRegion', 1);"
        "print({'torch', 'gym', 'pyglet', 'h5py', 'matplotlib'} & set(sys.modules))"
    )
    assert run_python(code).strip().splitlines()[-1] == "set()"
