"""The part of entropy.py that needs a GPU: a batch of 64 images, our kernels beside the paper's design.

The bound printed is what counting the kernels' instructions gives: for every strip of an image and every bin
that is visited in it, the time of the busiest unit of a multiprocessor (arithmetic, special functions, or
shuffles and look-ups, which take one instruction of a warp in 1/4, 2 and 1 cycles).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from entropy_opponents import BANDWIDTH, PaperEntropy, photograph
from torch import Tensor

from mint_rl.cuda import launch
from mint_rl.cuda.compile import FORWARD_ROWS
from mint_rl.entropy import reference

PAPER, PAPER_GRADIENT = "paper's design, unfolded", "paper's gradient, unfolded"


def on_the_gpu(regions: list[int], turns: int) -> list[str]:
    """Print the tables; return which targets were missed."""
    print(f"\n64×3×320×480 on {torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    paper = PaperEntropy()
    levels = photograph((320, 480)).cuda().repeat(64, 1, 1, 1)
    missed = []
    for region in regions:
        times, memory = measure(levels, region, paper, turns)
        print(f"\nregion {region}\n{'':28}{'ms':>10}{'memory':>10}")
        for name, milliseconds in times.items():
            print(f"{name:28}{milliseconds:10.2f}{memory[name]:9.1f}×")
        for name, target in (("hard", 50), ("soft", 25)):
            faster, bound = times[PAPER] / times[name], bound_milliseconds(levels, region, name == "soft")
            print(f"{name}: {faster:.0f} times as fast as the paper's design; the bound is {bound:.2f} ms")
            if region == 3 and faster < target:
                missed.append(f"GPU, {name}: {faster:.0f} times as fast as the paper's design, not {target}")
            if region == 3 and times[name] > 3 * bound:
                missed.append(f"GPU, {name}: {times[name] / bound:.1f} times the bound, not 3")
    return missed


def measure(
    levels: Tensor, region: int, paper: PaperEntropy, turns: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds, and the most memory beyond what was held before in multiples of the float32 input."""
    images = levels / 255
    if not launch.ready(images, region) or not launch.ready(levels, region):
        raise SystemExit("the kernels cannot be compiled or loaded: see the warning above")
    unfolded = paper.regions(images, region)
    grad = torch.ones_like(launch.soft_entropy(images, region, BANDWIDTH))
    runs: dict[str, Callable[[], object]] = {
        "hard": lambda: launch.hard_entropy(levels, region),
        "soft": lambda: launch.soft_entropy(images, region, BANDWIDTH),
        "gradient": lambda: launch.soft_entropy_backward(images, grad, region, BANDWIDTH),
        "PyTorch, bin by bin": lambda: reference.soft_entropy(images, region, BANDWIDTH),
        PAPER: lambda: paper.forward(unfolded),
        PAPER_GRADIENT: lambda: paper.backward(unfolded, grad.flatten()),
    }
    times, memory = {}, {}
    for name, run in runs.items():
        times[name] = milliseconds_of(run, turns if name in ("hard", "soft", "gradient") else 3)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        memory[name] = (torch.cuda.max_memory_allocated() - before) / images.nbytes
    return times, memory


def milliseconds_of(run: Callable[[], object], turns: int) -> float:
    run()
    times = []
    for _ in range(turns):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def bound_milliseconds(levels: Tensor, region: int, soft: bool) -> float:
    """The bound for images of three channels, on the current device."""
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
    processors = torch.cuda.get_device_properties(levels.device).multi_processor_count
    return bins * cycles / processors / clock_rate()


def clock_rate() -> int:
    """The highest clock of the current device in kHz: cycles a millisecond."""
    from cuda.bindings import driver

    attribute = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_CLOCK_RATE
    return int(driver.cuDeviceGetAttribute(attribute, torch.cuda.current_device())[1])


def visited_bins(levels: Tensor, region: int, reach: int) -> int:
    """How many bins the warps visit in all: the levels in each strip and `reach` on either side of them."""
    rows, columns = FORWARD_ROWS + region - 1, 32
    total = 0
    for image in levels:
        strips = image.unfold(1, rows, FORWARD_ROWS).unfold(2, columns, 33 - region)
        strips = strips.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1).long()
        occurs = torch.zeros(len(strips), 256, device=levels.device).scatter_(1, strips, 1.0)
        if reach:
            occurs = torch.nn.functional.max_pool1d(occurs[:, None], 2 * reach + 1, 1, reach)
        total += int(occurs.sum())
    return total
