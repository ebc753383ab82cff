"""How good are an encoder's keypoints on MAGICAL? Detection and tracking against the simulator's own masks.

    python benchmarks/encoder_quality.py magical
    python benchmarks/encoder_quality.py magical runs/pretrain-seed1 --variants TestLayout TestAll --gate 0.16

Plays seeded episodes, every other one by the scripted expert with noise bursts where the task has one, the
rest by the explorer, and prints one row an environment: DOP, TOP, UAK, RAK (appendix D of the MINT paper;
objects are the robot and the blocks, A_k = 180 px), the share of keypoints that are on the same object one
and twenty frames later, active keypoints, and the time a frame takes on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.experts import EXPERT_TASKS, expert
from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.names import VARIANTS, env_id
from mint_rl.envs.magical.recording import NoiseBursts
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.metrics import VideoMetrics, mean_metrics, video_metrics
from mint_rl.keypoints.pretrained import load_encoder

FIRST_SEED = 500_000  # far from the seeds of training rollouts and demonstrations
TASKS = ("MoveToRegion", "MoveToCorner", "MakeLine")


def play(
    task: str, variant: str, episodes: int, resolution: int
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], list[int]]]:
    """Frames, instance masks and the ids of robot and blocks of some episodes."""
    env = MagicalEnv(task, variant, resolution=resolution)
    played = []
    for episode in range(episodes):
        seed = FIRST_SEED + episode
        scripted = episode % 2 == 0 and task in EXPERT_TASKS
        behaviour = expert(task) if scripted else Explorer(seed)
        bursts = NoiseBursts(0.1 if scripted else 0.0, 6, np.random.default_rng(seed))
        frame, _ = env.reset(seed=seed)
        frames, masks = [frame], [env.instance_mask()]
        ended = False
        while not ended:
            frame, _, _, ended, _ = env.step(bursts(behaviour(env.state())))
            frames.append(frame)
            masks.append(env.instance_mask())
        objects = [1 + number for number in range(1 + len(env.state().blocks))]  # the robot, then the blocks
        played.append((np.stack(frames), np.stack(masks), objects))
    return played


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoders", nargs="+", help="shipped names, folders, or the authors' .pt files")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--variants", nargs="+", default=["Demo", "TestJitter"])
    parser.add_argument("--episodes", type=int, default=6, help="of each environment (6)")
    parser.add_argument("--gamma", type=float, help="instead of the encoder's own")
    parser.add_argument("--gate", type=float, help="instead of the encoder's own; 0 switches it off")
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoders: dict[str, KeypointEncoder] = {}
    for name in options.encoders:
        encoder = load_encoder(name)
        settings = {}
        if options.gamma is not None:
            settings["gamma"] = options.gamma
        if options.gate is not None:
            settings["gate"] = options.gate or None
        encoder.config = dataclasses.replace(encoder.config, **settings)
        encoders[name] = encoder
    rows: dict[str, dict[str, VideoMetrics]] = {name: {} for name in encoders}
    twenty: dict[str, dict[str, float]] = {name: {} for name in encoders}
    seconds = dict.fromkeys(encoders, 0.0)
    total = 0
    for task in options.tasks:
        for variant in options.variants:
            if variant not in VARIANTS[task]:
                continue
            videos = play(task, variant, options.episodes, options.resolution)
            total += sum(len(frames) for frames, _, _ in videos)
            for name, encoder in encoders.items():
                start = time.process_time()
                found = [encoder.encode(frames) for frames, _, _ in videos]
                seconds[name] += time.process_time() - start
                cases = [(k, masks, ids) for k, (_, masks, ids) in zip(found, videos, strict=True)]
                near, far = (
                    mean_metrics([video_metrics(*case, gap=gap) for case in cases]) for gap in (1, 20)
                )
                rows[name][env_id(task, variant)] = near
                twenty[name][env_id(task, variant)] = far.identity
    for name in encoders:
        config = encoders[name].config
        milliseconds = 1e3 * seconds[name] / total
        print(f"\n{name}  (γ = {config.gamma:g}, gate = {config.gate}; {milliseconds:.2f} ms a frame)")
        print(f"{'':38}   DOP    TOP    UAK    RAK  same+1 same+20 active")
        rows[name]["mean"] = mean_metrics(list(rows[name].values()))
        twenty[name]["mean"] = float(np.nanmean(list(twenty[name].values())))
        for env, m in rows[name].items():
            print(
                f"{env:38} {m.dop:6.3f} {m.top:6.3f} {m.uak:6.2f} {m.rak:6.2f} {m.identity:6.3f} "
                f"{twenty[name][env]:6.3f} {m.active:6.1f}"
            )
    if options.json:
        table = {
            name: {
                env: {**dataclasses.asdict(metrics), "identity_20": twenty[name][env]}
                for env, metrics in rows[name].items()
            }
            for name in encoders
        }
        options.json.write_text(json.dumps(table, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))
