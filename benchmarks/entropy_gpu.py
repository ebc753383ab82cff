"""Local entropy on a GPU: a batch of 64 images, ours beside the paper's own design (part of entropy.py).

    python benchmarks/entropy_gpu.py             # the part of entropy.py that needs a GPU, alone
    python benchmarks/entropy_gpu.py --sizes 96x96 --regions 3 --require

"kernel" rows are the bare launches on float32 (hard bins: uint8) without a border, the others the public
function with replicated border. The paper's design is given its input, the unfolded regions, for nothing;
unfolding has a row of its own. Times are medians by CUDA events, each over as many calls as make some
milliseconds; memory is the most beyond what was held before, in multiples of the float32 images.

The bound is what counting instructions gives: for every strip of an image and every bin that is visited in
it, the time of the busiest part of a multiprocessor: its four schedulers with an instruction a cycle each,
its special functions (an instruction of a warp in two cycles) or its shuffles and look-ups (in one cycle). Of
the paper's design it counts the special functions alone, four for every value of a region and bin. Without a
GPU only the bounds are printed, for the multiprocessors and the clock given.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from entropy_opponents import BANDWIDTH, PaperEntropy, photograph
from torch import Tensor

from mint_rl.cuda import launch
from mint_rl.cuda.compile import FORWARD_ROWS
from mint_rl.entropy import local_entropy, reference

BATCH = 64
HARD, SOFT, BOTH = "hard", "soft", "soft and gradient"
KERNELS = {HARD: "  kernel, hard", SOFT: "  kernel, soft"}
BY_BINS, PAPER, PAPER_BOTH = "PyTorch, bin by bin", "paper's design", "paper's design and gradient"
AGAINST = {BY_BINS: SOFT, PAPER: SOFT, PAPER_BOTH: BOTH}
FASTER = {HARD: 50, SOFT: 25}  # than the paper's design: the targets for 320×480 and region 3
MOST_OF_BOUND = 3


class Speed(NamedTuple):
    """Of a GPU: its multiprocessors, and their cycles in a millisecond."""

    processors: int
    cycles: float


def on_the_gpu(sizes: list[tuple[int, int]], regions: list[int], turns: int) -> list[str]:
    """Print the tables; return which targets were missed."""
    speed = this_gpu()
    print(f"\n{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{speed.processors} multiprocessors at {speed.cycles / 1e3:.0f} MHz at most")
    paper = PaperEntropy()
    missed = []
    for size, region in ((size, region) for size in sizes for region in regions):
        levels = photograph(size).cuda().repeat(BATCH, 1, 1, 1)
        times, memory = measure(levels, region, paper, turns)
        print(f"\n{BATCH}×3×{size[0]}×{size[1]}, region {region}")
        print(f"{'':28}{'ms':>10}{'slower':>10}{'memory':>10}")
        for name, milliseconds in times.items():
            slower = f"{milliseconds / times[AGAINST[name]]:.1f}×" if name in AGAINST else ""
            print(f"{name:28}{milliseconds:10.3f}{slower:>10}{memory[name]:9.1f}×")
        target = size == (320, 480) and region == 3
        for name, kernel in KERNELS.items():
            faster = times[PAPER] / times[name]
            of_bound = times[kernel] / bound_milliseconds(levels, region, name == SOFT, speed)
            print(f"{name}: {faster:.0f} times as fast as the paper's; kernel / bound = {of_bound:.2f}")
            if target and faster < FASTER[name]:
                missed.append(f"GPU, {name}: {faster:.0f} times as fast as the paper's, not {FASTER[name]}")
            if target and of_bound > MOST_OF_BOUND:
                missed.append(f"GPU, {name}: {of_bound:.1f} times the bound, not {MOST_OF_BOUND}")
    return missed


def measure(
    levels: Tensor, region: int, paper: PaperEntropy, turns: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds and memory of every contender."""
    images = levels / 255
    leaf = images.clone().requires_grad_()
    if not launch.ready(images, region) or not launch.ready(levels, region):
        raise SystemExit("the kernels cannot be compiled or loaded: see the warning above")
    unfolded = paper.regions(images, region)
    grad = torch.ones_like(launch.soft_entropy(images, region, BANDWIDTH))

    def both() -> object:
        return torch.autograd.grad(local_entropy(leaf, region, "soft", BANDWIDTH).sum(), leaf)

    def papers_both() -> object:
        return paper.forward(unfolded), paper.backward(unfolded, grad.flatten())

    runs: dict[str, Callable[[], object]] = {
        HARD: lambda: local_entropy(levels, region),
        KERNELS[HARD]: lambda: launch.hard_entropy(levels, region),
        SOFT: lambda: local_entropy(images, region, "soft", BANDWIDTH),
        KERNELS[SOFT]: lambda: launch.soft_entropy(images, region, BANDWIDTH),
        BOTH: both,
        "  kernel, gradient": lambda: launch.soft_entropy_backward(images, grad, region, BANDWIDTH),
        BY_BINS: lambda: reference.soft_entropy(images, region, BANDWIDTH),
        PAPER: lambda: paper.forward(unfolded),
        PAPER_BOTH: papers_both,
        "  unfolding for it": lambda: paper.regions(images, region),
    }
    times, memory = {}, {}
    for name, run in runs.items():
        times[name] = milliseconds_of(run, turns)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        memory[name] = (torch.cuda.max_memory_allocated() - before) / images.nbytes
    return times, memory


def milliseconds_of(run: Callable[[], object], turns: int) -> float:
    """Median milliseconds of a call; slow ones get fewer turns, fast ones several calls a turn."""

    def timed(calls: int) -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls

    timed(3)
    once = timed(1)
    calls = min(max(int(2 / once), 1), 20)
    return statistics.median(timed(calls) for _ in range(turns if once < 20 else 3))


def bound_milliseconds(levels: Tensor, region: int, soft: bool, speed: Speed) -> float:
    """The bound for uint8 images (N, 3, H, W) without a border."""
    rows, sums = FORWARD_ROWS + region - 1, region - 1
    if soft:
        # A row: three terms, their sum and its difference. An output: two sums, share, limit, p log p.
        arithmetic, special = 12 * rows + FORWARD_ROWS * (2 * sums + 3), rows + FORWARD_ROWS
        shuffles = FORWARD_ROWS * sums
    else:
        # A row: three comparisons and additions. An output: two sums and the total; one look-up.
        arithmetic, special = 6 * rows + FORWARD_ROWS * (2 * sums + 1), 0
        shuffles = FORWARD_ROWS * (sums + 1)
    cycles = max((arithmetic + special + shuffles) / 4, 2 * special, shuffles)
    bins = visited_bins(levels, region, launch.soft_bins(BANDWIDTH)[2] if soft else 0)
    return bins * cycles / speed.processors / speed.cycles


def papers_bound_milliseconds(levels: Tensor, region: int, speed: Speed) -> float:
    count, channels, height, width = levels.shape
    regions = count * (height - region + 1) * (width - region + 1)
    warps = 256 // 32
    return regions * warps * channels * region**2 * 4 * 2 / speed.processors / speed.cycles


def visited_bins(levels: Tensor, region: int, reach: int) -> int:
    """How many bins the warps visit in all: the levels in each strip and `reach` on either side of them."""
    rows, columns = FORWARD_ROWS + region - 1, 32
    _, across, down = launch.grid(1, *levels.shape[2:], region)
    below = FORWARD_ROWS * (down - 1) + rows - levels.shape[2]
    right = (33 - region) * (across - 1) + columns - levels.shape[3]
    total = 0
    for image in levels:
        filled = torch.nn.functional.pad(image[None].float(), (0, right, 0, below), mode="replicate")[0]
        strips = filled.unfold(1, rows, FORWARD_ROWS).unfold(2, columns, 33 - region)
        strips = strips.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1).long()
        occurs = torch.zeros(len(strips), 256, device=levels.device).scatter_(1, strips, 1.0)
        if reach:
            occurs = torch.nn.functional.max_pool1d(occurs[:, None], 2 * reach + 1, 1, reach)
        total += int(occurs.sum())
    return total


def this_gpu() -> Speed:
    from cuda.bindings import driver

    attribute = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_CLOCK_RATE
    device = torch.cuda.current_device()
    status, kilohertz = driver.cuDeviceGetAttribute(attribute, device)
    assert status == driver.CUresult.CUDA_SUCCESS, status
    return Speed(torch.cuda.get_device_properties(device).multi_processor_count, kilohertz)


def only_bounds(sizes: list[tuple[int, int]], regions: list[int], speed: Speed) -> None:
    print(f"GPU: not measured, there is none. Bounds in ms for {BATCH} images on a GPU with")
    print(f"{speed.processors} multiprocessors at {speed.cycles / 1e3:.0f} MHz:")
    print(f"\n{'':28}{'hard':>10}{'soft':>10}{'paper':>10}")
    for size, region in ((size, region) for size in sizes for region in regions):
        levels = photograph(size)
        bounds = [BATCH * bound_milliseconds(levels, region, soft, speed) for soft in (False, True)]
        bounds.append(BATCH * papers_bound_milliseconds(levels, region, speed))
        print(f"{f'{size[0]}×{size[1]}, region {region}':28}" + "".join(f"{bound:10.2f}" for bound in bounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["96x96", "320x480"], help="height x width")
    parser.add_argument("--regions", type=int, nargs="+", default=[3, 5, 7])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--require", action="store_true", help="fail unless the targets are met")
    parser.add_argument("--processors", type=int, default=132, help="of an absent GPU; an H200 has 132")
    parser.add_argument("--megahertz", type=float, default=1980, help="of an absent GPU; an H200 has 1980")
    arguments = parser.parse_args()
    sizes = [(int(height), int(width)) for height, width in (size.split("x") for size in arguments.sizes)]
    if not torch.cuda.is_available():
        only_bounds(sizes, arguments.regions, Speed(arguments.processors, 1e3 * arguments.megahertz))
        sys.exit(1 if arguments.require else 0)
    missed = on_the_gpu(sizes, arguments.regions, arguments.turns)
    print("\n" + ("\n".join(f"missed: {target}" for target in missed) or "all targets measured are met"))
    sys.exit(1 if missed and arguments.require else 0)


if __name__ == "__main__":
    main()
