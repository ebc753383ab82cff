"""The static table of tasks against MAGICAL's own registrations, and the names that users type."""

from __future__ import annotations

import importlib
import sys
import types

import gymnasium
import pytest

from mint_rl.envs.magical import upstream
from mint_rl.envs.magical.names import ACTION_NAMES, TABLE, TASKS, VARIANTS, env_id, parse_env_id
from mint_rl.errors import UserError

IDS = [(task, variant) for task in TASKS for variant in VARIANTS[task]]


def registrations() -> dict[str, dict]:
    """What MAGICAL's `register_envs` registers, by id."""
    pytest.importorskip("cv2")
    found: dict[str, dict] = {}
    with upstream._stand_ins(upstream._package_folder()):
        gym = sys.modules["gym"]
        gym.Wrapper = gym.ObservationWrapper = object
        gym.register = lambda name, **rest: found.update({name: rest})
        for path, name in {
            "gym.envs.registration": "load",
            "gym.spaces": "Box",
            "gym.wrappers": "ResizeObservation",
        }.items():
            sys.modules[path] = types.ModuleType(path)
            setattr(sys.modules[path], name, object)
        sys.modules["gym.spaces"].Dict = object
        sys.modules["gym.envs"] = types.ModuleType("gym.envs")
        del sys.modules["magical.benchmarks"]
        importlib.import_module("magical.benchmarks").register_envs()
    return found


def test_the_table_is_what_magical_registers() -> None:
    theirs = {name: entry for name, entry in registrations().items() if name.count("-") == 2}
    assert {f"{task}-{variant}-v0" for task, variant in IDS} == set(theirs)
    assert len(theirs) == 60
    for task, variant in IDS:
        entry = theirs[f"{task}-{variant}-v0"]
        assert entry["entry_point"] == f"magical.benchmarks.{TABLE[task].module}:{TABLE[task].class_name}"
        assert entry["max_episode_steps"] == TABLE[task].max_episode_steps
        settings = entry["kwargs"]
        assert {k: v for k, v in settings.items() if k.startswith("rand_")} == TABLE[task].flags(variant)
        assert (settings["res_hw"], settings["fps"], settings["phys_steps"], settings["phys_iter"]) == (
            (384, 384),
            8,
            10,
            10,
        )


def test_action_names_are_magicals() -> None:
    theirs = upstream.load()["entities"].ACTION_NUMS_FLAGS_NAMES
    assert tuple(name for _, _, name in theirs) == ACTION_NAMES


@pytest.mark.parametrize(("task", "variant"), IDS)
def test_every_id_is_registered(task: str, variant: str) -> None:
    assert gymnasium.spec(env_id(task, variant)).kwargs == {"task": task, "variant": variant}
    assert parse_env_id(env_id(task, variant)) == (task, variant)


@pytest.mark.parametrize(
    "name", ["MoveToCorner", "MoveToCorner-Demo", "MoveToCorner-Demo-v0", "magical/MoveToCorner-Demo-v0"]
)
def test_short_names(name: str) -> None:
    assert parse_env_id(name) == ("MoveToCorner", "Demo")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MoveToCornr", "did you mean 'MoveToCorner'"),
        ("MoveToCorner-TestLayout", "known: Demo, TestJitter, TestColour, TestShape, TestDynamics, TestAll"),
        ("magical/MoveToCorner-Demo-v1", "does not name a MAGICAL environment"),
        ("CartPole-v1", "known: MoveToCorner"),
        ("", "does not name a MAGICAL environment"),
    ],
)
def test_unknown_names_are_told_in_a_sentence(name: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        parse_env_id(name)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)


def test_registering_is_quick_and_imports_little(run_python) -> None:
    loaded = run_python(
        "import sys, gymnasium, mint_rl.envs.magical\n"
        "assert 'magical/MakeLine-TestAll-v0' in gymnasium.registry\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    ).split()
    assert not {"torch", "numba", "pymunk", "magical", "gym"} & set(loaded)
