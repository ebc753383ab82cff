"""The environments' contract: the checks of gymnasium and SB3, seeds, scores, masks, copies, mistakes."""

from __future__ import annotations

import copy
import math
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from magical_rollouts import digest, random_actions, rollout

import mint_rl.envs.magical  # noqa: F401  (registers the environments)
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.names import ACTION_NAMES, TABLE, TASKS, VARIANTS, env_id
from mint_rl.errors import UserError

IDS = [env_id(task, variant) for task in TASKS for variant in VARIANTS[task]]
CORNER = "magical/MoveToCorner-Demo-v0"
OPEN, UP_OPEN, LEFT_OPEN, CLOSE = (
    ACTION_NAMES.index(name) for name in ("Open", "UpOpen", "LeftOpen", "Close")
)


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_accepts_every_id(name: str) -> None:
    check_env(gym.make(name, render_mode="rgb_array", disable_env_checker=True).unwrapped)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", IDS)
def test_stable_baselines_accepts_every_id(name: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gym.make(name, render_mode="rgb_array"))


@pytest.mark.parametrize("task", TASKS)
def test_episodes_end_by_truncation_with_a_score(task: str) -> None:
    env = gym.make(env_id(task), reward="score")
    env.reset(seed=0)
    limit = TABLE[task].max_episode_steps
    for _ in range(limit - 1):
        _, reward, terminated, truncated, info = env.step(OPEN)
        assert (reward, terminated, truncated, info) == (0.0, False, False, {})
    _, reward, terminated, truncated, info = env.step(OPEN)
    assert (terminated, truncated) == (False, True)
    assert type(info["eval_score"]) is float
    assert 0 <= info["eval_score"] < 1
    assert info["success"] is False
    assert reward == info["eval_score"]
    with pytest.raises(UserError, match=f"ended after {limit} steps: call reset"):
        env.step(OPEN)
    env.reset()
    env.step(OPEN)


def test_success_is_a_score_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    env = MagicalEnv("MoveToRegion")
    env.reset(seed=0)
    monkeypatch.setattr(env.world, "score", lambda: 1.0)
    for _ in range(env.max_episode_steps):
        _, reward, _, _, info = env.step(OPEN)
    assert (reward, info) == (0.0, {"eval_score": 1.0, "success": True})


def test_views_and_resolutions() -> None:
    both = MagicalEnv("MoveToCorner", view="both", resolution=384)
    allo, ego = (
        MagicalEnv("MoveToCorner", resolution=384),
        MagicalEnv("MoveToCorner", view="ego", resolution=384),
    )
    actions = random_actions(10)
    for pair, a, e in zip(rollout(both, actions), rollout(allo, actions), rollout(ego, actions), strict=True):
        assert both.observation_space.contains(pair)
        np.testing.assert_array_equal(pair["allo"], a)
        np.testing.assert_array_equal(pair["ego"], e)
    assert not np.array_equal(a, e)


@pytest.mark.parametrize("view", ["allo", "ego", "both"])
@pytest.mark.parametrize("resolution", [48, 96, 384])
def test_render_is_the_native_allocentric_picture(view: str, resolution: int) -> None:
    env = MagicalEnv("MatchRegions", view=view, resolution=resolution, render_mode="rgb_array")
    native = MagicalEnv("MatchRegions", resolution=384)
    rollout(env, random_actions(6))
    np.testing.assert_array_equal(env.render(), rollout(native, random_actions(6))[-1])
    assert native.render() is None


def test_observations_are_not_overwritten_by_later_steps() -> None:
    env = MagicalEnv("MoveToCorner")
    first, _ = env.reset(seed=0)
    kept = first.copy()
    for _ in range(5):
        env.step(UP_OPEN)
    np.testing.assert_array_equal(first, kept)


def test_a_seed_decides_the_episodes_that_follow_it() -> None:
    def scenes(env: MagicalEnv) -> list[str]:
        return [digest([env.reset(seed=seed)[0]]) for seed in (5, None, None, 5, None, 2**40)]

    ours = scenes(MagicalEnv("MakeLine", "TestAll"))
    assert ours == scenes(MagicalEnv("MakeLine", "TestAll"))
    assert ours[:2] == ours[3:5]
    assert len(set(ours)) == 4


def test_seeds_give_magicals_own_scenes() -> None:
    """As `seed(7)` and `reset()` of the published environment place the blocks."""
    env = MagicalEnv("ClusterShape", "TestAll")
    env.reset(seed=7)
    own = env.world._world
    own.seed(7)
    own.reset()
    positions = [tuple(e.shape_body.position) for e in own._entities if hasattr(e, "shape_body")]
    assert [(block.x, block.y) for block in env.state().blocks] == positions


def test_environments_do_not_disturb_each_other() -> None:
    kinds = [
        ("MakeLine", "TestAll", "allo"),
        ("MakeLine", "TestAll", "ego"),
        ("MoveToCorner", "Demo", "allo"),
    ]
    alone = [rollout(MagicalEnv(t, v, view=view), random_actions(40), seed=1) for t, v, view in kinds]
    envs = [MagicalEnv(t, v, view=view) for t, v, view in kinds]
    together = [[env.reset(seed=1)[0]] for env in envs]
    for action in random_actions(40):
        for frames, env in zip(together, envs, strict=True):
            frames.append(env.step(action)[0])
    assert [digest(frames) for frames in together] == [digest(frames) for frames in alone]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_continue_as_the_original(duplicate) -> None:
    env = MagicalEnv("MakeLine", "TestAll", view="both", render_mode="rgb_array")
    rollout(env, random_actions(60), seed=3)
    twin = duplicate(env)
    assert twin.state() == env.state()
    np.testing.assert_array_equal(twin.render(), env.render())
    np.testing.assert_array_equal(twin.instance_mask(), env.instance_mask())
    for action in random_actions(60, seed=9):
        ours, theirs = env.step(action)[0], twin.step(action)[0]
        assert digest(ours.values()) == digest(theirs.values())
    assert digest(env.reset()[0].values()) == digest(twin.reset()[0].values())


@pytest.mark.parametrize("vector_class", [SyncVectorEnv, AsyncVectorEnv])
def test_vector_environments(vector_class) -> None:
    """Two episodes side by side equal the single ones, and the last info arrives."""
    actions = random_actions(TABLE["MoveToRegion"].max_episode_steps)
    makers = [lambda: gym.make("magical/MoveToRegion-TestAll-v0")] * 2
    envs = vector_class(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
    try:
        frames = [envs.reset(seed=4)[0].copy()]
        for action in actions:
            observation, _, _, truncated, info = envs.step([action] * 2)
            frames.append(observation.copy())
    finally:
        envs.close()
    assert truncated.all()
    assert info["_eval_score"].all()
    for i in range(2):
        single = MagicalEnv("MoveToRegion", "TestAll")
        assert digest(frame[i] for frame in frames) == digest(rollout(single, actions, seed=4 + i))
        assert info["eval_score"][i] == single.score()


def test_a_spec_makes_the_same_environment_again() -> None:
    env = gym.make("magical/MakeLine-TestShape-v0", view="ego", resolution=48, reward="score")
    again = gym.make(env.spec)
    assert again.observation_space == env.observation_space
    np.testing.assert_array_equal(again.reset(seed=2)[0], env.reset(seed=2)[0])


def test_state_of_the_demo_scene() -> None:
    """The start of MoveToCorner-Demo, from magical/benchmarks/move_to_corner.py."""
    env = MagicalEnv("MoveToCorner")
    env.reset(seed=0)
    state = env.state()
    assert (state.robot.x, state.robot.y) == (0.4, 0.0)
    assert state.robot.angle == pytest.approx(0.55 * math.pi)
    assert state.robot.finger_opening == pytest.approx(math.pi / 8)
    (block,) = state.blocks
    assert (block.x, block.y, block.shape, block.colour) == (0.1, -0.65, "square", "red")
    assert block.angle == pytest.approx(0.13 * math.pi)
    assert state.to_array().shape == (8 + 4,)
    for _ in range(12):
        env.step(CLOSE)
    assert env.state().robot.finger_opening == pytest.approx(0, abs=0.02)


def test_the_robot_drives_where_it_looks_and_turns_left() -> None:
    env = MagicalEnv("MoveToRegion")
    env.reset(seed=0)
    start = env.state().robot
    for _ in range(3):
        env.step(UP_OPEN)
    robot = env.state().robot
    assert (robot.vx, robot.vy) == pytest.approx(
        (-0.8 * math.sin(start.angle), 0.8 * math.cos(start.angle)), rel=1e-3
    )
    env.step(LEFT_OPEN)
    assert env.state().robot.angle > start.angle
    assert env.state().robot.angular_velocity > 0


def test_state_of_regions() -> None:
    """(x, y) of MAGICAL's regions is their upper left corner; ours their centre."""
    env = MagicalEnv("FixColour")
    env.reset(seed=0)
    state = env.state()
    assert [region.colour for region in state.regions] == ["green", "green", "red"]
    region = state.regions[0]
    assert (region.x, region.y) == pytest.approx((-0.032 + 0.468 / 2, 0.348 - 0.427 / 2))
    assert (region.width, region.height) == (0.468, 0.427)
    vector = state.to_array()
    assert vector.dtype == np.float32
    assert len(vector) == 8 + 4 * 3 + 4 * 3
    np.testing.assert_allclose(vector[-12:-8], [region.x, region.y, region.width, region.height], rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("resolution", [96, 384])
def test_instance_masks_lie_on_the_objects(task: str, resolution: int) -> None:
    env = MagicalEnv(task, resolution=resolution)
    env.reset(seed=0)
    for action in random_actions(8):
        env.step(action)
    mask, names, state = env.instance_mask(), env.instance_names(), env.state()
    assert mask.shape == (resolution, resolution)
    assert mask.dtype == np.uint8
    assert names[0] == "background"
    assert len(names) == 2 + len(state.blocks) + len(state.regions)
    assert set(np.unique(mask)) <= set(names)

    def id_at(x: float, y: float) -> int:
        half = resolution / 2
        return int(mask[int(half - y / 1.02 * half), int(half + x / 1.02 * half)])

    robot = state.robot
    assert names[id_at(robot.x, robot.y)] == "robot"
    for i, block in enumerate(state.blocks, start=2):
        assert names[i] == f"{block.colour} {block.shape}"
        if math.hypot(block.x - robot.x, block.y - robot.y) > 0.5:  # else the fingers may cover it
            assert id_at(block.x, block.y) == i
    for i, region in enumerate(state.regions, start=2 + len(state.blocks)):
        assert names[i] == f"{region.colour} region"
        corner = id_at(region.x - 0.48 * region.width, region.y + 0.48 * region.height)
        assert corner == i or 0 < corner < 2 + len(state.blocks)


def test_ego_masks_have_the_robot_at_its_place() -> None:
    env = MagicalEnv("MoveToCorner", view="ego")
    env.reset(seed=0)
    assert env.instance_mask()[round(96 * 0.85), 48] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"view": "eggo"}, "unknown view 'eggo' (did you mean 'ego'?); known: allo, ego, both"),
        ({"resolution": 100}, "resolution is 100 but must be one of 24, 32, 48, 64, 96, 128, 192, 384"),
        ({"resolution": None}, "resolution is None but must be one of 24, 32, 48, 64, 96, 128, 192, 384"),
        ({"render_mode": "human"}, "unknown render_mode 'human'; known: rgb_array, None"),
        ({"reward": "dense"}, "unknown reward 'dense'; known: zero, score"),
        ({"task": "MoveToCorne"}, "unknown task 'MoveToCorne' (did you mean 'MoveToCorner'?)"),
        ({"variant": "TestLayout"}, "unknown variant of MoveToCorner 'TestLayout'"),
    ],
)
def test_arguments_that_do_not_exist(arguments: dict, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        MagicalEnv(**{"task": "MoveToCorner"} | arguments)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("action", [-1, 18, 0.5, None, "Open", np.array([1, 2])])
def test_actions_that_do_not_exist(action) -> None:
    env = MagicalEnv("MoveToCorner")
    env.reset(seed=0)
    with pytest.raises(UserError, match="must be an integer from 0 to 17"):
        env.step(action)


@pytest.mark.parametrize("action", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_actions_of_every_integer_type(action) -> None:
    env = MagicalEnv("MoveToCorner")
    env.reset(seed=0)
    env.step(action)
    assert env._actions == [3]


@pytest.mark.parametrize("method", ["state", "score", "instance_mask", "instance_names", "render"])
def test_nothing_to_see_before_the_first_reset(method: str) -> None:
    with pytest.raises(UserError, match="call reset"):
        getattr(MagicalEnv("MoveToCorner", render_mode="rgb_array"), method)()


def test_stepping_before_the_first_reset() -> None:
    with pytest.raises(UserError, match="call reset"):
        MagicalEnv("MoveToCorner").step(OPEN)
