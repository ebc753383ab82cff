"""Local entropy on the CPU: divides the work among threads and hands it to the numba kernels.

The threads are Python's, as many as `torch.get_num_threads()`; the kernels release the GIL. numba's own
thread pools are avoided: one aborts the process when two threads of the program call it at once, the other in
a forked child, and both count their threads apart from PyTorch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mint_rl.entropy import cpu_kernels as kernels
from mint_rl.entropy import reference

# Fixed-point weights have 24 bits behind the point, as float32 has, and no fewer than 22: from there on the
# rounding would show in the entropy. The 31 bits of a bin then hold regions of so many values; for more
# there is the PyTorch version.
MOST_VALUES = 2**31 // 2**22 - 1
# A thread pays from about three milliseconds of work on: this many values of hard entropy.
VALUES_PER_THREAD = 1_000_000
SOFT_COST = 12  # of a value, in values of hard entropy
FEWEST_ROWS = 16  # in a band; its first rows have to be weighed twice


class SoftPlan(NamedTuple):
    """What the soft kernels need to know of the bandwidth; see `cpu_kernels.soft_rows`."""

    steepness: float
    window: int
    ladder: npt.NDArray[np.float32]
    bits: int


def hard_entropy(images: Tensor, region: int) -> Tensor:
    """As `reference.hard_entropy`, on the CPU."""
    levels = reference.to_levels(images.detach())
    count, channels, height, width = levels.shape
    entropy = images.new_empty((count, height - region + 1, width - region + 1), dtype=torch.float32)
    source, target = levels.contiguous().numpy(), entropy.numpy()
    gains = _gains(channels * region**2)

    def run(image: int, start: int, stop: int) -> None:
        kernels.hard_rows(source[image], gains, region, start, stop, target[image])

    _in_bands(run, count, height - region + 1, levels.numel())
    return entropy


def soft_entropy(images: Tensor, region: int, bandwidth: float) -> Tensor:
    """As `reference.soft_entropy`, for float32 or uint8 on the CPU."""
    count, channels, height, width = images.shape
    if channels * region**2 > MOST_VALUES:
        return reference.soft_entropy(images, region, bandwidth)
    entropy = images.new_empty((count, height - region + 1, width - region + 1), dtype=torch.float32)
    source, target = images.detach().contiguous().numpy(), entropy.numpy()
    plan = _plan(bandwidth, channels * region**2)
    no_values, no_levels = (np.empty((channels, 0, width), kind) for kind in (np.float32, np.uint8))

    def run(image: int, start: int, stop: int) -> None:
        levels = source.dtype == np.uint8
        values_and_levels = (no_values, source[image]) if levels else (source[image], no_levels)
        kernels.soft_rows(*values_and_levels, region, *plan, start, stop, target[image])

    _in_bands(run, count, height - region + 1, SOFT_COST * images.numel())
    return entropy


def soft_entropy_backward(images: Tensor, grad: Tensor, region: int, bandwidth: float) -> Tensor:
    """As `reference.soft_entropy_backward`, for float32 on the CPU.

    Its rounding is about 1e-6/bandwidth of the largest `grad`: all there is of the gradient of a flat image.
    """
    count, channels, height, _ = images.shape
    if channels * region**2 > MOST_VALUES:
        return reference.soft_entropy_backward(images, grad, region, bandwidth)
    result = images.new_empty(images.shape)
    source, target = images.detach().contiguous().numpy(), result.numpy()
    messages = grad.detach().contiguous().numpy()
    plan = _plan(bandwidth, channels * region**2)

    def run(image: int, start: int, stop: int) -> None:
        kernels.soft_backward_rows(source[image], messages[image], region, *plan, start, stop, target[image])

    _in_bands(run, count, height, 2 * SOFT_COST * images.numel())
    return result


def _in_bands(run: Callable[[int, int, int], None], count: int, rows: int, cost: float) -> None:
    """Call run(image, start, stop) until all rows of all images are done, on as many threads as pay."""
    threads = min(torch.get_num_threads(), int(cost // VALUES_PER_THREAD))
    if threads <= 1:
        for image in range(count):
            run(image, 0, rows)
        return
    # Four pieces a thread, so that none waits long for the last one; whole images where there are enough.
    bands = min(-(-4 * threads // count), max(rows // FEWEST_ROWS, 1))
    edges = [rows * band // bands for band in range(bands + 1)]
    pieces = [(image, edges[b], edges[b + 1]) for image in range(count) for b in range(bands)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda piece: run(*piece), pieces))


@functools.lru_cache(maxsize=8)
def _gains(per_region: int) -> npt.NDArray[np.int64]:
    """What n ln n gains from n to n + 1, for n < M, then M ln M, as whole numbers that add up exactly."""
    n = np.arange(per_region + 1, dtype=np.float64)
    totals = np.rint(n * np.log(np.maximum(n, 1)) * 2.0**kernels.FRACTION_BITS).astype(np.int64)
    return np.append(np.diff(totals), totals[-1])


@functools.lru_cache(maxsize=8)
def _plan(bandwidth: float, per_region: int) -> SoftPlan:
    steepness = 1 / (255 * bandwidth)
    window = int(min(kernels.BINS, math.ceil(2 * kernels.REACH / steepness) + 2))
    bits = min(24, int(math.log2((2**31 - 1) / per_region)))
    edge = np.arange(-(-window // kernels.BLOCK) * kernels.BLOCK)
    exponent = np.where(edge < window, np.minimum((edge - window / 2) * steepness, 80), 87)
    ladder = np.exp(exponent).astype(np.float32)
    ladder[0] = 0  # the first bin is open below; edges from the end of the window on are out of reach
    return SoftPlan(steepness, window, ladder, bits)
