"""Does `KeypointObs` keep memory that it should give back? Wrapped steps without end, and what they hold.

    python benchmarks/soak.py
    python benchmarks/soak.py --steps 20000 --num-envs 8

Prints the memory that the process holds more than after the first steps; fails from `--limit` on.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs import vector
from mint_rl.envs.keypoint_obs import KeypointObs

ENV = "magical/MoveToCorner-TestJitter-v0"
REPORTS = 10


def held_memory() -> float:
    """The memory that this process has asked for and holds now, in memory or swapped out, in MB (Linux).

    Without the pages of files, such as libraries, which come and go with what else the machine does.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "VmSwap:"))) / 1e3


def soak(env: Any, steps: int, settle: int) -> Iterator[tuple[int, float]]:
    """Step an environment, or a vector environment, and yield steps and growth in MB, ten times.

    settle: steps before the first measurement: caches fill, and the allocator finds its size. A step of a
    vector environment counts once for each environment.
    """
    many = isinstance(env, gym.vector.VectorEnv)
    width = env.num_envs if many else 1
    env.reset(seed=0)
    env.action_space.seed(0)
    held, done = 0.0, -settle
    for report in range(REPORTS + 1):
        while done < report * steps // REPORTS:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            done += width
            if not many and (terminated or truncated):
                env.reset()
        gc.collect()
        if report == 0:
            held = held_memory()
        else:
            yield done, held_memory() - held


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default=ENV)
    parser.add_argument("--encoder", default="magical")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--settle", type=int, default=5000, help="steps before the first measurement")
    parser.add_argument("--num-envs", type=int, default=1, help="from 2 on, the vector wrapper")
    parser.add_argument("--limit", type=float, default=20.0, help="MB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    if arguments.num_envs > 1:
        env: Any = vector.KeypointObs(gym.make_vec(arguments.env, arguments.num_envs), arguments.encoder)
    else:
        env = KeypointObs(gym.make(arguments.env), arguments.encoder)
    growth, start = 0.0, time.process_time()
    for done, growth in soak(env, arguments.steps, arguments.settle):
        seconds = time.process_time() - start
        print(f"{done:>10,} steps {growth:+8.2f} MB {seconds:>7.0f} CPU s", flush=True)
    if growth >= arguments.limit:
        print(f"memory grew by {growth:.1f} MB, {arguments.limit} MB is the limit", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
