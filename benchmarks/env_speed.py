"""How many steps does a MAGICAL environment make per CPU-second, and what does drawing cost beside physics?

    python benchmarks/env_speed.py
    python benchmarks/env_speed.py --tasks MoveToCorner MakeLine --json speed.json
    python benchmarks/env_speed.py --tasks MoveToCorner --require 0.45

"Physics" is the same environment, episodes and actions with drawing left out. All settings of a task take
turns in one run, and each counts by its fastest turn: what else the machine does hardly disturbs their
ratios.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mint_rl.envs.magical.env import Image, MagicalEnv
from mint_rl.envs.magical.names import ACTION_NAMES, TASKS
from mint_rl.files import write_text

SETTINGS: dict[str, dict[str, Any]] = {
    "allo 96": {"view": "allo", "resolution": 96},
    "allo 384": {"view": "allo", "resolution": 384},
    "ego 96": {"view": "ego", "resolution": 96},
}


class Undrawn(MagicalEnv):
    """The environment with drawing switched off."""

    _nothing = np.zeros((96, 96, 3), np.uint8)

    def _observe(self) -> Image:
        return self._nothing


def cpu_seconds(env: MagicalEnv, episodes: int) -> float:
    """CPU time of whole episodes, resets included, with random actions that are each kept for four steps."""
    actions = np.random.default_rng(0).integers(
        len(ACTION_NAMES), size=(episodes, env.max_episode_steps // 4 + 1)
    )
    plans = np.repeat(actions, 4, axis=1)[:, : env.max_episode_steps].tolist()
    start = time.process_time()
    for episode, plan in enumerate(plans):
        env.reset(seed=episode)
        for action in plan:
            env.step(action)
    return time.process_time() - start


def measure(task: str, steps: int, turns: int) -> dict[str, float]:
    """Steps per CPU-second of a task's Demo variant: without drawing, and for each of `SETTINGS`."""
    envs: dict[str, MagicalEnv] = {"physics": Undrawn(task)}
    envs |= {name: MagicalEnv(task, **arguments) for name, arguments in SETTINGS.items()}
    limit = envs["physics"].max_episode_steps
    episodes = max(steps // limit, 1)
    fastest = dict.fromkeys(envs, float("inf"))
    for _ in range(turns):
        for name, env in envs.items():
            fastest[name] = min(fastest[name], cpu_seconds(env, episodes))
    return {name: episodes * limit / seconds for name, seconds in fastest.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK", help="all by default"
    )
    parser.add_argument("--steps", type=int, default=1000, help="steps of each setting in each turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the steps per CPU-second here too")
    parser.add_argument("--require", type=float, help="fail unless allo 96 reaches this share of physics")
    arguments = parser.parse_args()

    print("steps per CPU-second (share of physics alone)")
    print(f"{'task':<14}{'physics':>9}" + "".join(f"{name:>16}" for name in SETTINGS))
    results = {}
    for task in arguments.tasks:
        speed = results[task] = measure(task, arguments.steps, arguments.turns)
        shares = {name: speed[name] / speed["physics"] for name in SETTINGS}
        row = "".join(f"{speed[name]:>9,.0f} ({shares[name]:4.0%})" for name in SETTINGS)
        print(f"{task:<14}{speed['physics']:>9,.0f}{row}", flush=True)
    if arguments.json:
        write_text(arguments.json, json.dumps(results, indent=2) + "\n")
    least = min(speed["allo 96"] / speed["physics"] for speed in results.values())
    if arguments.require is not None and least < arguments.require:
        print(
            f"drawing is too slow: {least:.0%} of physics alone, {arguments.require:.0%} required",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
