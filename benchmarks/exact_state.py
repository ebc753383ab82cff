"""How well can a scripted expert be cloned by somebody who sees everything?

    python benchmarks/exact_state.py                                     # the protocol's 50 demonstrations
    python benchmarks/exact_state.py --task MakeLine --start TestJitter --demos 200 --relative

A flat network (two hidden layers of 256) learns the expert's actions from the simulator's exact state, with
demonstrations as `mint-rl demos record` makes them, and plays on the seeds of `mint-rl benchmark`. What it
does not reach is lost to cloning this expert from so many demonstrations, not to vision: the mark that
policies on keypoints are measured by. With --relative it is also told where the blocks lie as the robot sees
them, which is what the expert decides by. With --poses it is not told how fast the robot moves and turns, nor
how far its gripper is open: what a picture tells least of. --earlier and --actions add what a policy could
remember: where the robot was in the last steps, and what it did there itself.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

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
MOVED = 5.0  # earlier poses as differences to the present one, times this


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


@dataclass
class View:
    """What the network is given of an episode so far."""

    relative: bool
    poses: bool
    earlier: int
    actions: int

    def __call__(self, states: Tensor, executed: Tensor) -> Tensor:
        """(T, F), a row for each of the states (T, S); executed: (T,), what was done at each of them."""
        seen = poses(states) if self.poses else states
        parts = [relative(seen) if self.relative else seen]
        steps = torch.arange(len(states))
        for back in range(1, self.earlier + 1):
            before = states[(steps - back).clamp(min=0), :POSE]
            parts.append(MOVED * (before - states[:, :POSE]))
        for back in range(1, self.actions + 1):
            done = nn.functional.one_hot(executed[(steps - back).clamp(min=0)], len(ACTION_NAMES))
            parts.append(done * (steps >= back)[:, None])
        return torch.cat(parts, dim=1).float()


def clone(seen: Tensor, labels: Tensor, steps: int, seed: int, idle_weight: float) -> nn.Module:
    """The network, with its inputs (N, F) standardised."""
    torch.manual_seed(seed)
    mean, deviation = seen.mean(dim=0), seen.std(dim=0) + 1e-3
    inputs = (seen - mean) / deviation
    network = nn.Sequential(
        nn.Linear(seen.shape[1], 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, len(ACTION_NAMES)),
    )  # fmt: skip
    weights = torch.ones(len(ACTION_NAMES))
    weights[IDLE] = idle_weight
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=WARMUP)
    for _ in range(steps):
        drawn = torch.randint(len(seen), (BATCH,))
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
    remembered = 1 + max(view.earlier, view.actions)
    states, executed = [], []
    for _ in range(TABLE[task].max_episode_steps):
        states = [*states, world.state().to_array()][-remembered:]
        executed = [*executed, 0][-remembered:]  # the action to come is not looked at
        with torch.no_grad():
            seen = view(torch.from_numpy(np.stack(states)), torch.tensor(executed))
            logits = network(seen[-1:])[0]
        executed[-1] = choose_action(logits.double().numpy(), temperature, generator)
        world.step(executed[-1])
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
    parser.add_argument("--earlier", type=int, default=0, help="poses of so many steps before")
    parser.add_argument("--actions", type=int, default=0, help="its own actions in so many steps before")
    options = parser.parse_args()
    torch.set_num_threads(1)
    view = View(options.relative, options.poses, options.earlier, options.actions)
    for task in options.task or EXPERT_TASKS:
        clock = time.process_time()
        recorded = list(
            record_demonstrations(
                f"{task}-{options.start}", options.demos, noise=options.noise, resolution=SMALLEST
            )
        )
        parts = [
            view(torch.from_numpy(episode.states), torch.from_numpy(episode.executed)) for episode in recorded
        ]
        seen, labels = torch.cat(parts), torch.cat([torch.from_numpy(e.actions) for e in recorded])
        recording = time.process_time() - clock
        print(
            f"{task}: {options.demos} demonstrations from {options.start}, {recording:.0f} CPU s", flush=True
        )
        means = []
        for seed in range(options.seeds):
            clock = time.process_time()
            network = clone(seen, labels, options.steps, seed, options.idle_weight)
            training = time.process_time() - clock
            with torch.no_grad():
                accuracy = (network(seen).argmax(dim=1) == labels).float().mean().item()
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
