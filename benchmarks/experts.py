"""How well do the scripted experts do, with and without noise, in every variant of their tasks?

    python benchmarks/experts.py                      # 100 seeds a variant, all experts
    python benchmarks/experts.py --episodes 20 --task MoveToCorner --noise 0.4

Physics only, nothing is drawn. Prints the mean score, how many episodes got the full one, and after how many
steps they had it first. With --noise the robot is disturbed as in demonstrations. Without noise, variants
that leave the start alone (Demo, TestColour) repeat one episode.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

from mint_rl.envs.magical.env import SUCCESS
from mint_rl.envs.magical.experts import EXPERT_TASKS, expert
from mint_rl.envs.magical.names import TABLE, VARIANTS
from mint_rl.envs.magical.recording import LONGEST_BURST, NoiseBursts
from mint_rl.envs.magical.simulator import World


def episode(world: World, task: str, seed: int, noise: float) -> tuple[float, int | None]:
    """The score at the end, and the step after which it was first full."""
    act = expert(task)
    bursts = NoiseBursts(noise, LONGEST_BURST, np.random.default_rng((1, seed)))
    first = None
    world.reset(seed)
    for step in range(1, TABLE[task].max_episode_steps + 1):
        world.step(bursts(act(world.state())))
        if first is None and world.score() >= SUCCESS:
            first = step
    return world.score(), first


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=EXPERT_TASKS, action="append")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode; the others follow")
    parser.add_argument("--noise", type=float, default=0.0)
    options = parser.parse_args()
    print(f"{'task':<14}{'variant':<15}{'mean score':>11}{'full':>10}{'median step':>13}{'slowest':>9}")
    for task in options.task or EXPERT_TASKS:
        for variant in VARIANTS[task]:
            world = World(task, variant)
            seeds = range(options.seed, options.seed + options.episodes)
            results = [episode(world, task, seed, options.noise) for seed in seeds]
            scores = [score for score, _ in results]
            steps = [first for _, first in results if first is not None]
            full = sum(score >= SUCCESS for score in scores)
            median, slowest = (int(statistics.median(steps)), max(steps)) if steps else ("-", "-")
            print(
                f"{task:<14}{variant:<15}{statistics.mean(scores):>11.3f}"
                f"{full:>6}/{len(scores)}{median:>13}{slowest:>9}",
                flush=True,
            )


if __name__ == "__main__":
    main()
