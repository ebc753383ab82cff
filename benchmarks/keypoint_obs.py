"""What does `KeypointObs` cost: a step, a frame among many environments, the wait for one frame, and memory?

    python benchmarks/keypoint_obs.py
    python benchmarks/keypoint_obs.py --num-envs 1 8 --turns 3 --json keypoint_obs.json
    python benchmarks/keypoint_obs.py --published MINT_MAGICAL.pt --require 2.0

Everything runs on one thread. Times are CPU time, of settings that take turns in one run, each by its fastest
turn; the latency of single frames is on the wall clock too. Opponents see the same frames: NatureCNN is the
features extractor that Stable-Baselines3 puts on pixels, "published" the geometry of the authors' networks
(135×135 maps), with random weights unless a file is given.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs import vector
from mint_rl.envs.keypoint_obs import KeypointObs
from mint_rl.files import write_text
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.pretrained import load_encoder

ENV = "magical/MoveToCorner-TestJitter-v0"


class Recorded(VectorEnv[Any, Any, Any]):
    """Environments that play recorded frames, at the cost of copying them."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # as gymnasium has it

    def __init__(self, frames: NDArray[np.uint8], num_envs: int) -> None:
        self.num_envs, self.frames, self.place = num_envs, frames, 0
        self.single_observation_space = gym.spaces.Box(0, 255, frames.shape[1:], np.uint8)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.nothing = np.zeros(num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.frames[np.arange(self.num_envs) % len(self.frames)], {}

    def step(self, actions: Any) -> Any:
        self.place += 1
        observations = self.frames[(self.place + np.arange(self.num_envs)) % len(self.frames)]
        return observations, self.nothing, self.nothing > 0, self.nothing > 0, {}


def record(count: int) -> NDArray[np.uint8]:
    """Frames (count, 96, 96, 3) of episodes with random actions that are each kept for four steps."""
    env, generator, frames = gym.make(ENV), np.random.default_rng(0), []
    while len(frames) < count:
        frames.append(env.reset(seed=len(frames))[0])
        ended = False
        while not ended and len(frames) < count:
            action = int(generator.integers(18))
            for _ in range(4):
                if not ended:
                    frame, _, terminated, truncated, _ = env.step(action)
                    frames.append(frame)
                    ended = terminated or truncated
    return np.stack(frames[:count])


def fastest(settings: dict[str, Callable[[], Any]], repeats: int, turns: int) -> dict[str, float]:
    """CPU seconds of one call of each setting."""
    best = dict.fromkeys(settings, float("inf"))
    for _ in range(turns):
        for name, call in settings.items():
            call()
            start = time.process_time()
            for _ in range(repeats):
                call()
            best[name] = min(best[name], (time.process_time() - start) / repeats)
    return best


def stepping(env: gym.Env[Any, Any]) -> Callable[[], Any]:
    """A call steps the environment once, and begins a new episode where one ends."""
    generator = np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(int(generator.integers(18)))
        if terminated or truncated:
            env.reset()

    return step


def nature_cnn(frames: NDArray[np.uint8]) -> Callable[[], Any]:
    """A call extracts the features of the next frame as Stable-Baselines3 does before every action."""
    from stable_baselines3.common.torch_layers import NatureCNN

    height, width, channels = frames.shape[1:]
    network = NatureCNN(gym.spaces.Box(0, 255, (channels, height, width), np.uint8)).eval()
    pictures = iter_over(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))

    def forward() -> None:
        with torch.no_grad():
            network(torch.as_tensor(next(pictures)[None]).float() / 255)

    return forward


def encoding(encoder: KeypointEncoder, frames: NDArray[np.uint8]) -> Callable[[], Any]:
    """A call encodes the next frame."""
    pictures = iter_over(frames)
    return lambda: encoder.encode(next(pictures))


def iter_over(frames: NDArray[np.uint8]) -> Any:
    while True:
        yield from frames


def latencies(wrapped: KeypointObs, frames: NDArray[np.uint8], count: int) -> dict[str, float]:
    """Milliseconds that one observation takes, on the wall clock and of CPU.

    Percentiles 5, 50 and 99; on a busy machine the fifth is nearest to what it would take alone.
    """
    pictures, times = iter_over(frames), np.empty((count, 2))
    for index in range(-50, count):
        picture = next(pictures)
        start = time.perf_counter(), time.process_time()
        wrapped.observation(picture)
        if index >= 0:
            times[index] = time.perf_counter() - start[0], time.process_time() - start[1]
    shares = {f"p{percent}": 1e3 * np.percentile(times, percent, axis=0) for percent in (5, 50, 99)}
    return {
        f"{clock} {name}": float(shares[name][i])
        for i, clock in enumerate(("wall", "CPU"))
        for name in shares
    }


def peak_memory() -> float:
    """The most memory this process has held at once, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="magical", help="a shipped name or a folder")
    parser.add_argument("--published", type=Path, help="a file of the authors' weights")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--frames", type=int, default=2000, help="single frames whose latency is taken")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--require", type=float, help="fail unless the p50 of a frame is within so many ms")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    frames = record(240)
    bare = peak_memory()
    encoder = load_encoder(arguments.encoder)
    wrapped = KeypointObs(gym.make(ENV), encoder)
    single = latencies(wrapped, frames, arguments.frames)
    memory = {"one frame": peak_memory() - bare}
    print("one frame, ms: " + ", ".join(f"{name} {value:.2f}" for name, value in single.items()), flush=True)

    # Before the opponents, whose memory would count too.
    print(f"\n{'environments':>12}{'frames per CPU-second':>24}{'MB beyond a bare one':>22}")
    rates = {}
    for number in arguments.num_envs:
        envs = vector.KeypointObs(Recorded(frames, number), encoder)
        envs.reset()
        repeats = max(64 // number, 1)
        seconds = fastest({"step": lambda envs=envs: envs.step(None)}, repeats, arguments.turns)["step"]
        rates[number] = number / seconds
        memory[f"{number} environments"] = held = peak_memory() - bare
        print(f"{number:>12}{rates[number]:>24,.0f}{held:>22,.0f}", flush=True)

    published = load_encoder(arguments.published or KeypointEncoder(EncoderConfig.published(96, 96)))

    costs = fastest(
        {
            "bare step": stepping(gym.make(ENV)),
            "wrapped step": stepping(wrapped),
            "NatureCNN forward": nature_cnn(frames),
            "encoder alone": encoding(encoder, frames),
            "published geometry alone": encoding(published, frames),
        },
        repeats=80,
        turns=arguments.turns,
    )
    overhead = costs["wrapped step"] - costs["bare step"]
    print("\nCPU ms a step (in overheads of the wrapper)")
    for name, seconds in {**costs, "overhead of the wrapper": overhead}.items():
        print(f"{name:<28}{1e3 * seconds:>7.2f} ({seconds / overhead:.2f})")
    if arguments.json:
        figures = {"latency": single, "seconds": costs, "frames": rates, "memory": memory}
        write_text(arguments.json, json.dumps(figures, indent=2) + "\n")
    if arguments.require is not None and single["wall p50"] > arguments.require:
        print(f"a frame takes {single['wall p50']:.2f} ms, more than {arguments.require}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
