"""What do windows save? The MINT loss from windows beside the paper's formulas over whole images.

    python benchmarks/mint_loss.py
    python benchmarks/mint_loss.py --size 240 320 --sigma 9 --tau 0.1

Forward and backward on one core, in turns; prints the time and the peak memory of each, their ratios, and how
far the values and gradients lie apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
from mint_rl.keypoints.mint import MintLossConfig, mint_loss
from tests.keypoints.dense_mint import dense_terms

Loss = Callable[[Tensor, Tensor], Tensor]


def measure(loss: Loss, coordinates: Tensor, status: Tensor) -> tuple[float, Tensor, Tensor]:
    """CPU seconds, value and gradient of one forward and backward pass."""
    inputs = coordinates.clone().requires_grad_(), status.clone().requires_grad_()
    start = time.process_time()
    value = loss(*inputs)
    value.backward()
    seconds = time.process_time() - start
    assert inputs[0].grad is not None
    return seconds, value.detach(), inputs[0].grad


def peak_bytes(loss: Loss, coordinates: Tensor, status: Tensor) -> int:
    """The most memory that tensors held at once, from the profiler's record of allocations."""
    with torch.profiler.profile(profile_memory=True) as profile:
        measure(loss, coordinates, status)
    held = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=[96, 96], help="height and width (96 96)")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--keypoints", type=int, default=25)
    parser.add_argument("--sigma", type=float, default=8.0)
    parser.add_argument("--tau", type=float, default=0.15)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = MintLossConfig(sigma=options.sigma, tau=options.tau)
    generator = torch.Generator().manual_seed(0)
    shape = (options.pairs, 1, options.keypoints, 2)
    first = torch.rand(shape, generator=generator)
    step = 0.02 * torch.randn(shape, generator=generator)
    coordinates = torch.cat([first, first + step], 1).clamp(0, 1)
    status = torch.rand(options.pairs, 2, options.keypoints, generator=generator)
    entropy = torch.rand(options.pairs, 2, *options.size, generator=generator)
    entropy = torch.where(entropy > 0.9, entropy, torch.zeros(()))

    losses: dict[str, Loss] = {
        "windows": lambda c, s: mint_loss(c, s, entropy, config).total,
        "whole images": lambda c, s: dense_terms(c, s, entropy, config)["total"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    results: dict[str, tuple[Tensor, Tensor]] = {}
    for _ in range(options.rounds + 1):
        for name, loss in losses.items():
            spent, *results[name] = measure(loss, coordinates, status)  # type: ignore[assignment]
            seconds[name].append(spent)
    memory = {name: peak_bytes(loss, coordinates, status) for name, loss in losses.items()}
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first is cold
    height, width = options.size
    print(f"{options.pairs} pairs of {height}x{width}, {options.keypoints} keypoints, one core")
    for name in losses:
        print(f"{name:13} {1e3 * medians[name]:8.1f} ms {memory[name] / 2**20:8.1f} MiB")
    (value, gradient), (plain_value, plain_gradient) = results["windows"], results["whole images"]
    print(f"faster by {medians['whole images'] / medians['windows']:.1f}", end=", ")
    print(f"leaner by {memory['whole images'] / memory['windows']:.1f}", end=", ")
    print(f"value apart by {abs(float(value - plain_value) / float(plain_value)):.1e}", end=" and ")
    print(f"gradient by {float((gradient - plain_gradient).norm() / plain_gradient.norm()):.1e} of its size")


if __name__ == "__main__":
    main()
