"""KeypointObs for vector environments: what each environment would give alone, under every autoreset."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from picture_envs import ID, Many, Pictures

import mint_rl.envs.keypoint_obs as single
import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs.vector import KeypointObs
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder

N, STEPS, TOLERANCE = 3, 9, 1e-5
VIEWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "box": ({}, {"descriptors": True}),
    "dict": ({"entries": True}, {"format": "dict", "key": "camera", "pixels": True}),
    "graph": ({}, {"format": "graph", "coordinates": "pixels"}),
    "stack": ({"axes": "TCHW"}, {"format": "dict", "pixels": True}),
    "render": (
        {"axes": None, "render_mode": "rgb_array"},
        {"source": "render", "format": "dict", "pixels": True},
    ),
}
# What is rendered after a same-step autoreset is no longer the final picture.
SEEN = [(n, m) for n in VIEWS for m in AutoresetMode if (n, m) != ("render", AutoresetMode.SAME_STEP)]


def _make(index: int, made: dict[str, Any]) -> gym.Env[Any, Any]:
    """Episodes of 3, 4 and 5 steps, so that some end while others go on."""
    return gym.make(ID, **made, length=3 + index)


def _functions(made: dict[str, Any]) -> list[Callable[[], gym.Env[Any, Any]]]:
    return [functools.partial(_make, index, made) for index in range(N)]


def _close(one: Any, other: Any) -> bool:
    """Equal in form, and in numbers to the tolerance; None only where the other is None."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, np.ndarray) and one.dtype == object:
        return len(one) == len(other) and all(map(_close, one, other))
    if one is None or other is None:
        return one is other
    one, other = np.asarray(one), np.asarray(other)
    return (
        one.dtype == other.dtype and one.shape == other.shape and bool(np.allclose(one, other, 0, TOLERANCE))
    )


def _play(envs: VectorEnv[Any, Any, Any], seed: int = 7) -> list[Any]:
    """Observations and infos of a reset and some steps; ended episodes are reset by hand where they must."""
    seen: list[Any] = [envs.reset(seed=seed)]
    for step in range(STEPS):
        observations, _, ended, _, infos = envs.step(np.arange(N) + step & 1)
        assert envs.observation_space.contains(observations)
        seen.append((observations, {name: infos[name] for name in infos if "final_obs" in name}))
        if envs.metadata["autoreset_mode"] == AutoresetMode.DISABLED and ended.any():
            seen.append(envs.reset(seed=[step] * N, options={"reset_mask": ended}))
    envs.close()
    return seen


@pytest.mark.parametrize(("name", "mode"), SEEN)
def test_each_environment_is_seen_as_it_would_be_alone(
    encoder: KeypointEncoder, name: str, mode: AutoresetMode
) -> None:
    """The twin gives what wrapping each environment gives, the final observations included."""
    made, view = VIEWS[name]
    alone = [
        lambda make=make: single.KeypointObs(make(), encoder, **view)  # type: ignore[misc]
        for make in _functions(made)
    ]
    wanted = _play(SyncVectorEnv(alone, autoreset_mode=mode))
    twin = KeypointObs(SyncVectorEnv(_functions(made), autoreset_mode=mode), encoder, **view)
    assert twin.single_observation_space == alone[0]().observation_space
    seen = _play(twin)
    assert _close(seen, wanted)
    finals = [info["final_obs"] for _, info in wanted if "final_obs" in info]
    assert (len(finals) > 2) == (mode == AutoresetMode.SAME_STEP)


@pytest.mark.parametrize(("name", "mode"), [pair for pair in SEEN if pair[0] != "stack"])
def test_tracks_are_those_of_each_episode(tracking: KeypointEncoder, name: str, mode: AutoresetMode) -> None:
    """They begin where an episode does, whichever way it is reset, and go on while others end."""
    test_each_environment_is_seen_as_it_would_be_alone(tracking, name, mode)


@pytest.mark.parametrize(("tensors", "final"), [(False, "batch"), (False, "list"), (True, "batch")])
def test_tracks_in_custom_vector_environments(tracking: KeypointEncoder, tensors: bool, final: str) -> None:
    """Of a batch of final frames, those of episodes that go on are not seen twice."""
    test_custom_vector_environments(tracking, tensors, final)


def test_tracks_and_stacks(tracking: KeypointEncoder) -> None:
    made, view = VIEWS["stack"]
    with pytest.raises(
        UserError, match="gives stacks of frames, of which tracks would see each several times"
    ):
        KeypointObs(SyncVectorEnv(_functions(made)), tracking, **view)


def test_tracks_of_an_episode_that_ended_before_others_were_reset(tracking: KeypointEncoder) -> None:
    """Under next-step autoreset a reset of some by a mask is not one of those that have just ended."""

    def play(envs: VectorEnv[Any, Any, Any]) -> list[Any]:
        seen = [envs.reset(seed=7, options={"reset_mask": np.ones(N, bool)})]
        seen += [envs.step(np.zeros(N, int))[0] for _ in range(3)]  # the first has ended
        seen.append(envs.reset(options={"reset_mask": np.array([False, True, False])})[0])
        return seen + [envs.step(np.ones(N, int))[0] for _ in range(2)]

    alone = [
        lambda make=make: single.KeypointObs(make(), tracking)  # type: ignore[misc]
        for make in _functions({})
    ]
    assert _close(play(KeypointObs(SyncVectorEnv(_functions({})), tracking)), play(SyncVectorEnv(alone)))


def test_tracks_remember(tracking: KeypointEncoder) -> None:
    """Without that, the test above would be about nothing."""
    twin = KeypointObs(SyncVectorEnv(_functions({})), tracking)
    twin.reset(seed=7)
    seen = [twin.step(np.zeros(N, int))[0] for _ in range(2)][-1]
    twin.view.begin()
    fresh = KeypointObs(SyncVectorEnv(_functions({})), tracking)
    fresh.reset(seed=7)
    fresh.step(np.zeros(N, int))
    fresh.view.begin()
    forgetful = fresh.step(np.zeros(N, int))[0]
    assert seen[..., 2].sum() > 0
    assert not np.allclose(seen, forgetful, atol=1e-3)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize(
    ("name", "shared"), [("box", True), ("box", False), ("dict", True), ("graph", False), ("stack", True)]
)
def test_processes_give_the_same(folder: str, name: str, shared: bool, mode: AutoresetMode) -> None:
    """Around asynchronous environments, and inside them."""
    made, view = VIEWS[name]
    wanted = _play(KeypointObs(SyncVectorEnv(_functions(made), autoreset_mode=mode), folder, **view))
    around = AsyncVectorEnv(_functions(made), shared_memory=shared, autoreset_mode=mode)
    assert _close(_play(KeypointObs(around, folder, **view)), wanted)
    inside = [
        lambda make=make: single.KeypointObs(make(), folder, **view)  # type: ignore[misc]
        for make in _functions(made)
    ]
    assert _close(_play(AsyncVectorEnv(inside, shared_memory=shared, autoreset_mode=mode)), wanted)


def test_rendered_pictures_of_processes(folder: str) -> None:
    made, view = VIEWS["render"]
    wanted = _play(KeypointObs(SyncVectorEnv(_functions(made)), folder, **view))
    assert _close(_play(KeypointObs(AsyncVectorEnv(_functions(made)), folder, **view)), wanted)


def test_the_real_thing(encoder: KeypointEncoder) -> None:
    """MAGICAL from jittered starts: 96×96 frames on a 48×48 encoder, one by one and together."""
    task = "magical/MoveToRegion-TestJitter-v0"
    envs = KeypointObs(gym.make_vec(task, num_envs=N), encoder, descriptors=True)
    seen = [envs.reset(seed=3)[0]] + [envs.step(np.array([1, 7, 12]))[0] for _ in range(3)]
    for index, action in enumerate((1, 7, 12)):
        env = single.KeypointObs(gym.make(task), encoder, descriptors=True)
        alone = [env.reset(seed=3 + index)[0]] + [env.step(action)[0] for _ in range(3)]
        np.testing.assert_allclose(np.stack(seen)[:, index], np.stack(alone), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("tensors", "final"), [(False, "batch"), (False, "list"), (True, "batch")])
def test_custom_vector_environments(encoder: KeypointEncoder, tensors: bool, final: str) -> None:
    """Batched final observations, lists of them, and observations that are tensors."""
    functions = [functools.partial(Pictures, length=3 + index) for index in range(N)]
    reference = KeypointObs(SyncVectorEnv(functions, autoreset_mode=AutoresetMode.SAME_STEP), encoder)
    custom = KeypointObs(Many(N, tensors, final), encoder)
    observations, _ = custom.reset(seed=7)
    assert isinstance(observations, torch.Tensor) == tensors
    np.testing.assert_allclose(observations, reference.reset(seed=7)[0], atol=TOLERANCE)
    ends = 0
    for step in range(STEPS):
        actions = np.arange(N) + step & 1
        observations, _, ended, _, infos = custom.step(actions)
        wanted, _, _, _, wanted_infos = reference.step(actions)
        np.testing.assert_allclose(observations, wanted, atol=TOLERANCE)
        if ended.any():
            assert len(infos["final_obs"]) == N
            for row in np.flatnonzero(ended):
                ends += 1
                wanted_final = wanted_infos["final_obs"][row]
                np.testing.assert_allclose(infos["final_obs"][row], wanted_final, atol=TOLERANCE)
    assert ends >= 5
    graphs = KeypointObs(Many(N, tensors), encoder, format="graph").reset(seed=7)[0]
    np.testing.assert_allclose(graphs[1].nodes, reference.reset(seed=7)[0][1], atol=TOLERANCE)


def test_all_environments_are_one_call_of_the_encoder(
    encoder: KeypointEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    encode = type(encoder).encode

    def counted(self: KeypointEncoder, frames: np.ndarray, *arguments: Any) -> Any:
        calls.append(len(frames))
        return encode(self, frames, *arguments)

    monkeypatch.setattr(type(encoder), "encode", counted)
    _play(KeypointObs(SyncVectorEnv(_functions({}), autoreset_mode=AutoresetMode.SAME_STEP), encoder))
    assert len(calls) == 1 + STEPS
    assert max(calls) > N  # final observations come along
    assert min(calls) == N


@pytest.mark.parametrize("name", VIEWS)
def test_seeds_copies_pickles_and_specifications(folder: str, name: str) -> None:
    made, view = VIEWS[name]
    envs = KeypointObs(SyncVectorEnv(_functions(made)), folder, **view)
    envs.reset(seed=5)
    envs.step(np.zeros(N, int))
    twins = [copy.deepcopy(envs), pickle.loads(pickle.dumps(envs))]
    wanted = envs.step(np.ones(N, int))[0]
    for twin in twins:
        assert data_equivalence(twin.step(np.ones(N, int))[0], wanted, exact=True)
    first = envs.reset(seed=5)[0]
    assert data_equivalence(envs.reset(seed=5)[0], first, exact=True)
    assert not data_equivalence(envs.reset(seed=6)[0], first)
    envs.close()
    assert envs.closed
    # A specification holds no vector wrappers, but it holds those of each environment.
    made_again = gym.make_vec(single.KeypointObs(gym.make(ID, **made), folder, **view).spec, num_envs=N)
    assert made_again.single_observation_space == envs.single_observation_space
    made_again.reset(seed=5)


def test_render_and_spaces(encoder: KeypointEncoder) -> None:
    envs = KeypointObs(SyncVectorEnv([lambda: Pictures(render_mode="rgb_array")] * 2), encoder, format="dict")
    envs.reset(seed=0)
    assert [picture.shape for picture in envs.render()] == [(48, 48, 3)] * 2
    assert envs.render_mode == "rgb_array"
    assert isinstance(envs.observation_space, spaces.Dict)
    assert envs.observation_space["nodes"].shape == (2, 6, 3)
    assert envs.observation_space["mask"].shape == (2, 6)
    assert envs.num_envs == 2
    assert envs.encoder is encoder


def test_bounds_of_what_is_passed_through_may_differ(encoder: KeypointEncoder) -> None:
    functions = [lambda side=side: Pictures(entries=True, size=(48, side)) for side in (48, 48)]
    envs = SyncVectorEnv(functions, observation_mode="different")
    envs.observation_space["arm"].high[1] = 7
    wrapped = KeypointObs(envs, encoder, format="dict", key="camera")
    assert isinstance(wrapped.observation_space, spaces.Dict)
    np.testing.assert_array_equal(wrapped.observation_space["arm"].high, [[48, 48], [7, 7]])


def test_what_cannot_be_wrapped(encoder: KeypointEncoder) -> None:
    made = VIEWS["render"][0]
    same = SyncVectorEnv(_functions(made), autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(UserError, match=r"cannot see how episodes of 'SyncVectorEnv' end .*NEXT_STEP"):
        KeypointObs(same, encoder, source="render")
    with pytest.raises(UserError, match="whose render_mode is None"):
        KeypointObs(SyncVectorEnv([Pictures]), encoder, source="render")
    with pytest.raises(UserError, match="unknown format"):
        KeypointObs(SyncVectorEnv([Pictures]), encoder, format="tensor")
    with pytest.raises(UserError, match=r"needs uint8 images, but 'CartPole-v1' gives .*source='render'"):
        KeypointObs(gym.make_vec("CartPole-v1", 2, "sync"), encoder)
    inside = [lambda: single.KeypointObs(Pictures(), encoder, format="graph")]
    with pytest.raises(
        UserError, match=r"AsyncVectorEnv cannot hold graphs in shared memory: choose .*'box'"
    ):
        AsyncVectorEnv(inside)


def test_images_that_are_not_what_was_promised(encoder: KeypointEncoder) -> None:
    class Liar(Many):
        def step(self, actions: Any) -> Any:
            images, *rest = super().step(actions)
            return images.astype(np.float32) / 255, *rest

    envs = KeypointObs(Liar(), encoder)
    envs.reset(seed=0)
    with pytest.raises(UserError, match=r"'Liar' gave a float32 image although .*uint8"):
        envs.step(np.zeros(N, int))
