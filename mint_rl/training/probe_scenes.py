"""What probes are asked about: frames of MAGICAL with the simulator's state, and how wrong an answer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.experts import EXPERT_TASKS, expert
from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.names import TABLE, env_id, parse_env_id
from mint_rl.envs.magical.recording import LONGEST_BURST, VIDEO_NOISE, NoiseBursts
from mint_rl.envs.magical.state import BlockState, MagicalState

# Turned by a whole number of such parts of a circle a block looks the same; a circle has no angle to see.
_SYMMETRY = {"square": 4, "pentagon": 5, "star": 5}


class Quantity(NamedTuple):
    """One quantity of the state: a number, a place (x, y) or an angle (cos nα, sin nα)."""

    group: str  # what it is reported under
    size: int  # columns of the targets that hold it
    symmetry: int = 0  # n of an angle; 0 for what is no angle


@dataclass(frozen=True, eq=False)
class Scenes:
    """N frames of several episodes of one environment, and their states."""

    env_id: str
    frames: NDArray[np.uint8]  # (N, H, W, 3)
    targets: NDArray[np.float32]  # (N, Q) what `asked` describes, one quantity after another
    episodes: NDArray[np.int64]  # (N,) which episode, counted from 0
    asked: tuple[Quantity, ...]


def play_scenes(
    env: str,
    episodes: int,
    frames: int,
    seed: int,
    resolution: int = 96,
    progress: Callable[[], object] | None = None,
) -> Scenes:
    """Play episodes and keep about `frames` frames of them, evenly spread over time.

    Every other episode follows the scripted expert, with noise, where the task has one; the others explore.
    Episode i is reset with `seed` + i. Where blocks differ from episode to episode, in number, shape or
    colour, they are not asked about: nothing would tell which is which. `progress` is called after each.
    """
    task, variant = parse_env_id(env)
    world = MagicalEnv(task, variant, resolution=resolution)
    every = max(1, episodes * (TABLE[task].max_episode_steps + 1) // frames)
    images: list[NDArray[np.uint8]] = []
    states: list[MagicalState] = []
    lengths = []
    for number in range(seed, seed + episodes):
        before = len(images)
        _play(world, number, (number - seed) % 2 == 0 and task in EXPERT_TASKS, every, images, states)
        lengths.append(len(images) - before)
        if progress is not None:
            progress()
    alike = len({tuple((b.shape, b.colour) for b in state.blocks) for state in states}) == 1
    asked, targets = zip(*(_describe(state, state.blocks if alike else ()) for state in states), strict=True)
    return Scenes(
        env_id(task, variant),
        np.stack(images),
        np.array(targets, dtype=np.float32),
        np.repeat(np.arange(episodes), lengths),
        tuple(asked[0]),
    )


def _play(
    world: MagicalEnv,
    seed: int,
    scripted: bool,
    every: int,
    images: list[NDArray[np.uint8]],
    states: list[MagicalState],
) -> None:
    """One episode, of which every so manieth frame and its state are appended."""
    behaviour = expert(world.task) if scripted else Explorer(seed)
    noise = VIDEO_NOISE if scripted else 0.0
    bursts = NoiseBursts(noise, LONGEST_BURST, np.random.default_rng((4, seed)))
    frame, _ = world.reset(seed=seed)
    ended, step = False, 0
    while not ended:
        state = world.state()
        if step % every == 0:
            images.append(frame)  # type: ignore[arg-type]
            states.append(state)
        frame, _, _, ended, _ = world.step(bursts(behaviour(state)))
        step += 1


def _describe(state: MagicalState, blocks: Sequence[BlockState]) -> tuple[list[Quantity], list[float]]:
    """What is asked about a state, and the answers."""
    robot = state.robot
    asked = [Quantity("heading", 2, 1), Quantity("opening", 1), Quantity("robot", 2)]
    answers = [np.cos(robot.angle), np.sin(robot.angle), robot.finger_opening, robot.x, robot.y]
    for block in blocks:
        asked.append(Quantity("blocks", 2))
        answers += [block.x, block.y]
        symmetry = _SYMMETRY.get(block.shape, 0)
        if symmetry:
            asked.append(Quantity("block angles", 2, symmetry))
            answers += [np.cos(symmetry * block.angle), np.sin(symmetry * block.angle)]
    return asked, answers


def errors(
    predicted: NDArray[np.float32], true: NDArray[np.float32], asked: Sequence[Quantity]
) -> dict[str, NDArray[np.float64]]:
    """How wrong predictions (N, Q) are, by group (N,): the mean over the quantities of the group.

    Angles in degrees, up to 180/n for a shape of n-fold symmetry; places by their distance; numbers by the
    absolute difference.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    column = 0
    for quantity in asked:
        a, b = (part[:, column : column + quantity.size].astype(np.float64) for part in (predicted, true))
        if quantity.symmetry:
            between = np.arctan2(a[:, 1], a[:, 0]) - np.arctan2(b[:, 1], b[:, 0])
            error = np.degrees(np.abs(np.angle(np.exp(1j * between)))) / quantity.symmetry
        else:
            error = np.linalg.norm(a - b, axis=1)
        found.setdefault(quantity.group, []).append(error)
        column += quantity.size
    return {group: np.mean(parts, axis=0) for group, parts in found.items()}
