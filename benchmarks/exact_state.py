"""How well can a scripted expert be cloned by somebody who sees everything?

    python benchmarks/exact_state.py                                     # the protocol's 50 demonstrations
    python benchmarks/exact_state.py --task MakeLine --start TestJitter --demos 200 --relative

A flat network (two hidden layers of 256) learns the expert's actions from the simulator's exact state, with
demonstrations as `mint-rl demos record` makes them, and plays on the seeds of `mint-rl benchmark`. What it
does not reach is lost to cloning this expert from so many demonstrations, not to vision: the mark that
policies on keypoints are measured by. With --relative it is also told where the blocks lie as the robot sees
them, which is what the expert decides by. With --poses it is not told how fast the robot moves and turns, nor
how far its gripper is open: what a picture tells least of.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mint_rl.envs.magical.experts import EXPERT_TASKS
from mint_rl.envs.magical.motion import COASTING_SECONDS
from mint_rl.envs.magical.names import ACTION_NAMES, IDLE, TABLE
from mint_rl.envs.magical.recording import NOISE, record_demonstrations
from mint_rl.envs.magical.simulator import World
from mint_rl.training.evaluate import TEST_SEED
from mint_rl.training.rollout import choose_action

SMALLEST = 24  # pixels: the pictures are not looked at
BATCH, RATE, WEIGHT_DECAY, WARMUP = 128, 1e-3, 1e-2, 0.1
ROBOT = 8  # numbers of a state that are the robot's (`MagicalState.to_array`); blocks and regions have 4 each
POSE = 4  # of them are place and heading; then come velocity, turning rate and the gripper's opening

View = Callable[[Tensor], Tensor]


def demonstrations(task: str, variant: str, count: int, noise: float) -> tuple[Tensor, Tensor]:
    """States (N, S) and the expert's actions (N,) in `count` demonstrations of `mint-rl demos record`."""
    recorded = list(record_demonstrations(f"{task}-{variant}", count, noise=noise, resolution=SMALLEST))
    states = np.concatenate([episode.states for episode in recorded])
    return torch.from_numpy(states), torch.from_numpy(
        np.concatenate([episode.actions for episode in recorded])
    )


def relative(states: Tensor) -> Tensor:
    """States (N, S) and, for each block, where it lies from the robot when that has come to rest."""
    robot, blocks = states[:, :ROBOT], states[:, ROBOT:].unflatten(1, (-1, 4))
    x, y = (robot[:, :2] + COASTING_SECONDS * robot[:, 4:6]).unsqueeze(2).unbind(1)
    cos, sin = robot[:, 2:4].unsqueeze(2).unbind(1)
    dx, dy = blocks[..., 0] - x, blocks[..., 1] - y
    side, ahead = cos * dx + sin * dy, cos * dy - sin * dx
    distance = torch.hypot(dx, dy) + 1e-6
    seen = [side, ahead, distance, side / distance, ahead / distance]
    return torch.cat([states, *seen], dim=1)


def poses(states: Tensor) -> Tensor:
    """States (N, S) without velocity, turning rate and opening."""
    return torch.cat([states[:, :POSE], torch.zeros_like(states[:, POSE:ROBOT]), states[:, ROBOT:]], dim=1)


def clone(states: Tensor, labels: Tensor, steps: int, seed: int, idle_weight: float) -> nn.Module:
    """The network, with its inputs standardised."""
    torch.manual_seed(seed)
    mean, deviation = states.mean(dim=0), states.std(dim=0) + 1e-3
    inputs = (states - mean) / deviation
    network = nn.Sequential(
        nn.Linear(states.shape[1], 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, len(ACTION_NAMES)),
    )  # fmt: skip
    weights = torch.ones(len(ACTION_NAMES))
    weights[IDLE] = idle_weight
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=WARMUP)
    for _ in range(steps):
        drawn = torch.randint(len(states), (BATCH,))
        loss = nn.functional.cross_entropy(network(inputs[drawn]), labels[drawn], weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    first = network[0]
    with torch.no_grad():  # the standardisation becomes part of the first layer
        first.weight /= deviation
        first.bias -= first.weight @ mean
    return network


def play(network: nn.Module, view: View, task: str, variant: str, seed: int, temperature: float) -> float:
    """The score of one episode."""
    world, generator = World(task, variant), np.random.default_rng(seed)
    world.reset(seed)
    for _ in range(TABLE[task].max_episode_steps):
        with torch.no_grad():
            logits = network(view(torch.from_numpy(world.state().to_array())[None]))[0]
        world.step(choose_action(logits.double().numpy(), temperature, generator))
    return world.score()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=EXPERT_TASKS, action="append", help="default: all")
    parser.add_argument("--start", default="Demo", help="variant of the demonstrations")
    parser.add_argument("--demos", type=int, default=50)
    parser.add_argument("--noise", type=float, default=NOISE)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--idle-weight", type=float, default=1.0, help="as of 'mint-rl bc'")
    parser.add_argument("--seeds", type=int, default=2, help="training seeds")
    parser.add_argument("--variant", default="TestJitter", help="where it is tested")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument(
        "--relative", action="store_true", help="also where blocks are as the robot sees them"
    )
    parser.add_argument("--poses", action="store_true", help="without speeds and the gripper's opening")
    options = parser.parse_args()
    torch.set_num_threads(1)

    def view(states: Tensor) -> Tensor:
        seen = poses(states) if options.poses else states
        return relative(seen) if options.relative else seen

    for task in options.task or EXPERT_TASKS:
        clock = time.process_time()
        states, labels = demonstrations(task, options.start, options.demos, options.noise)
        recording = time.process_time() - clock
        print(
            f"{task}: {options.demos} demonstrations from {options.start}, {recording:.0f} CPU s", flush=True
        )
        means = []
        for seed in range(options.seeds):
            clock = time.process_time()
            network = clone(view(states), labels, options.steps, seed, options.idle_weight)
            training = time.process_time() - clock
            with torch.no_grad():
                accuracy = (network(view(states)).argmax(dim=1) == labels).float().mean().item()
            scores = [
                play(network, view, task, options.variant, TEST_SEED + episode, options.temperature)
                for episode in range(options.episodes)
            ]
            means.append(float(np.mean(scores)))
            print(
                f"  seed {seed}: {options.variant} {means[-1]:.3f} over {len(scores)} episodes, "
                f"{accuracy:.2f} of the expert's actions, {training:.0f} CPU s of training",
                flush=True,
            )
        print(f"  mean over {len(means)} seeds: {np.mean(means):.3f}", flush=True)


if __name__ == "__main__":
    main()
