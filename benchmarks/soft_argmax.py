"""What does the kernel of the soft-argmax save, of its own time and of a frame's?

    python benchmarks/soft_argmax.py
    python benchmarks/soft_argmax.py --encoder runs/encoder --turns 20

On one thread and frames of MoveToCorner: our kernel, the same in PyTorch's operations, and the textbook's
formula (softplus, window, softmax, expectation), in turns; then whole frames with the kernel and without.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.keypoints.pretrained import load_encoder

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.keypoints.textbook_soft_argmax import textbook_soft_argmax

# The package has a function of that name.
ours = importlib.import_module("mint_rl.keypoints.soft_argmax")


def in_turns(functions: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median CPU milliseconds of each, after a turn to warm up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(turns + 1):
        for name, function in functions.items():
            start = time.thread_time()
            function()
            if turn:
                times[name].append(1e3 * (time.thread_time() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="magical", help="a shipped name or a folder")
    parser.add_argument("--turns", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder(options.encoder)
    window = encoder.config.window or 0.2
    env = gym.make("magical/MoveToCorner-TestJitter-v0")
    frame, _ = env.reset(seed=0)
    frames = [frame] + [env.step(env.action_space.sample())[0] for _ in range(7)]
    kernels_of = ours.kernels_of
    for number in (1, 8):
        batch = np.stack(frames[:number])
        with torch.no_grad():
            maps = encoder._maps(encoder.normalise(torch.from_numpy(batch)))[-1]
            found = in_turns(
                {
                    "kernel": lambda maps=maps: ours.soft_argmax(maps, window),
                    "PyTorch": lambda maps=maps: ours.portable_soft_argmax(maps, window),
                    "textbook": lambda maps=maps: textbook_soft_argmax(maps, window),
                },
                options.turns,
            )

        def encode(kernel: bool, batch: np.ndarray = batch) -> None:
            ours.kernels_of = kernels_of if kernel else lambda module: None
            encoder.encode(batch)

        whole = in_turns({"kernel": lambda: encode(True), "PyTorch": lambda: encode(False)}, options.turns)
        ours.kernels_of = kernels_of
        for what, times in (("soft-argmax", found), ("encode", whole)):
            ratios = ", ".join(
                f"{name} {ms:.2f} ms ({ms / times['kernel']:.1f}×)" for name, ms in times.items()
            )
            print(f"{what}, {number} frame{'s' * (number > 1)}: {ratios}")


if __name__ == "__main__":
    main()
