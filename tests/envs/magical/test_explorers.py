"""The explorer moves what there is, goes everywhere, and is decided by its seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.names import TABLE, TASKS


def walk(task: str, seed: int, episodes: int = 3) -> dict[str, object]:
    """What happens in some episodes, physics only."""
    from mint_rl.envs.magical.simulator import World

    world = World(task, "Demo")
    actions: list[int] = []
    places: set[tuple[int, int]] = set()
    openings: list[float] = []
    headings: set[int] = set()
    travelled = np.zeros(0)
    for episode in range(episodes):
        explorer = Explorer(seed + episode)
        world.reset(0)
        before = np.array([(block.x, block.y) for block in world.state().blocks]).reshape(-1, 2)
        travelled = np.zeros(len(before)) if episode == 0 else travelled
        for _ in range(TABLE[task].max_episode_steps):
            actions.append(explorer(world.state()))
            world.step(actions[-1])
            state = world.state()
            after = np.array([(block.x, block.y) for block in state.blocks]).reshape(-1, 2)
            travelled += np.linalg.norm(after - before, axis=1)
            before = after
            places.add((math.floor(2 * state.robot.x), math.floor(2 * state.robot.y)))
            headings.add(math.floor(state.robot.angle / (math.pi / 4)))
            openings.append(state.robot.finger_opening)
    return {
        "actions": actions,
        "places": places,
        "headings": headings,
        "openings": openings,
        "travelled": travelled,
    }


@pytest.mark.parametrize("task", TASKS)
def test_it_explores_every_task(task: str) -> None:
    seen = walk(task, seed=0)
    places, headings, openings, travelled = (
        seen[name] for name in ("places", "headings", "openings", "travelled")
    )
    assert len(places) >= 7  # of the 16 fields of a 4×4 board, 9 of them on the way between two others
    assert len(headings) >= 6  # of 8 sectors
    assert min(openings) < 0.3
    assert max(openings) > 0.38
    if len(travelled):
        assert (travelled > 0.2).mean() >= 0.7  # most blocks were moved, by more than a block's width


def test_its_seed_decides() -> None:
    assert walk("MakeLine", 1, episodes=1)["actions"] == walk("MakeLine", 1, episodes=1)["actions"]
    assert walk("MakeLine", 1, episodes=1)["actions"] != walk("MakeLine", 2, episodes=1)["actions"]
