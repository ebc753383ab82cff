"""Numba kernels of local entropy: histograms that slide along a row.

Each step adds the values of the column that enters the region and takes away those of the column that leaves.
The histograms count in whole numbers (soft weights in fixed point), so taking away is exact: nothing drifts.
The columns lie side by side, `columns[x, row % region, channel]` flattened, and a new row of the image
overwrites the oldest one; the order within a column does not matter.

Indices are unsigned because numba wraps negative ones round, which costs a third of the time.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numpy import float32, int32, int64, uint32, uint64

from mint_rl.compiled import kernel

Array = npt.NDArray[Any]

FRACTION_BITS = 40  # of the fixed-point values of n ln n
# Bins are added and taken away in blocks of this many, a whole number of vectors on every processor.
BLOCK = 16
BINS = 256
# Below this share of one value a bin is as good as empty; its logarithm only ever meets weights as small.
SMALLEST = 1e-12
# Above this steepness float32 cannot carry an exponential across the window, which is then five bins at most.
STEEPEST = 16.0
# A value reaches the bins within this many bandwidths: e⁻¹⁸ of it lies beyond.
REACH = 18.0

_fast = {"contract", "reassoc", "nsz", "arcp"}
_loop = njit(error_model="numpy", fastmath=_fast)
_inlined = njit(inline="always", error_model="numpy", fastmath=_fast)
_lazy_kernel = functools.partial(kernel, lazy=True, nogil=True)
_i8, _f4, _f8 = types.int64, types.float32, types.float64
_levels = types.Array(types.uint8, 3, "C", readonly=True)
_values = types.Array(types.float32, 3, "C", readonly=True)
_messages = types.Array(types.float32, 2, "C", readonly=True)


@_lazy_kernel(types.void(_levels, _i8[::1], _i8, _i8, _i8, _f4[:, ::1]))
def hard_rows(levels: Array, gains: Array, region: Any, start: Any, stop: Any, entropy: Array) -> None:
    """Rows start..stop of the hard entropy of one image.

    levels: (C, H, W). gains: (M + 1,), (n+1) ln (n+1) − n ln n in fixed point for n < M, then M ln M.
    entropy: (H − region + 1, W − region + 1), written: ln M − (1/M) Σ n ln n.
    """
    channels, _, width = levels.shape
    per_column = uint64(channels * region)
    per_region = channels * region * region
    whole = gains[per_region]
    scale = 1.0 / (per_region * 2.0**FRACTION_BITS)
    one, one_more = uint32(1), uint64(1)
    columns = np.empty(width * channels * region, np.uint8)
    count = np.empty(BINS, np.uint32)
    for y in range(start, stop + region - 1):
        for channel in range(channels):
            position = uint64((y % region) * channels + channel)
            row = levels[channel, y]
            for x in range(width):
                columns[position] = row[x]
                position += per_column
        top = y - region + 1
        if top < start:
            continue
        count[:] = 0
        total = int64(0)
        enter = leave = uint64(0)
        for x in range(width):
            for _ in range(per_column):
                level = columns[enter]
                enter += one_more
                before = count[level]
                total += gains[before]
                count[level] = before + one
            if x < region - 1:
                continue
            entropy[top, x - region + 1] = (whole - total) * scale
            for _ in range(per_column):
                level = columns[leave]
                leave += one_more
                after = count[level] - one
                total -= gains[after]
                count[level] = after


@_inlined
def _log(x: Any) -> Any:
    """ln x in float32, for x > 0: Cephes' logf, written out because a call to a library is not vectorised."""
    bits = uint32(float32(x).view(np.uint32) + uint32(0x3F800000 - 0x3F3504F3))
    exponent = float32(int32(bits >> uint32(23)) - int32(127))
    mantissa = uint32((bits & uint32(0x007FFFFF)) + uint32(0x3F3504F3)).view(np.float32)
    z = mantissa - float32(1)
    square = z * z
    p = float32(7.0376836292e-2)
    p = p * z - float32(1.1514610310e-1)
    p = p * z + float32(1.1676998740e-1)
    p = p * z - float32(1.2420140846e-1)
    p = p * z + float32(1.4249322787e-1)
    p = p * z - float32(1.6668057665e-1)
    p = p * z + float32(2.0000714765e-1)
    p = p * z - float32(2.4999993993e-1)
    p = p * z + float32(3.3333331174e-1)
    return (p * z * square - float32(0.5) * square + z) + exponent * float32(0.693147180559945)


@_loop
def _weigh(
    values: Array, positions: Array, offset: Any, steepness: Any, window: Any, ladder: Array, one: Any,
    shares: Array, first: Array, weights: Array, slopes: Array,
) -> None:  # fmt: skip
    """Soft weights of `values` in [0, 1]: n = positions[i] + offset gets first[n] and weights[n·stride …].

    shares: scratch, (stride + 1,), with a last 0: the shares of a value above the lower edge of each bin.
    What lies outside the window, e⁻¹⁸ of a value, goes to its outermost bins.
    slopes: derivatives of the weights with respect to the sigmoid's argument; left alone when empty.
    """
    stride = uint64(ladder.size)
    half = float32(0.5)
    for i in range(values.size):
        level = values[i] * 255.0
        start = min(max(int64(math.floor(level + 0.5 - REACH / steepness)), 0), BINS - window)
        if steepness <= STEEPEST:  # one exponential, carried from edge to edge
            middle = (start - 0.5 - level + window * 0.5) * steepness
            at_middle = float32(math.exp(float32(middle)))
            for j in range(stride):
                shares[j] = float32(1) / (float32(1) + min(at_middle * ladder[j], float32(1e12)))
        else:
            shares[0] = 1
            for j in range(1, window):
                argument = (start + j - 0.5 - level) * steepness
                shares[uint64(j)] = float32(1 / (1 + math.exp(min(max(argument, -80.0), 80.0))))
        value = uint64(positions[i] + offset)
        first[value] = start
        base = value * stride
        for j in range(stride):
            weights[base + j] = int32(shares[j] * one + half) - int32(shares[j + uint64(1)] * one + half)
        if slopes.size > 0:
            for j in range(stride):
                here, above = shares[j], shares[j + uint64(1)]
                slopes[base + j] = here * (float32(1) - here) - above * (float32(1) - above)


@_inlined
def _add(histogram: Array, bin_: Any, weights: Array, base: Any, stride: Any, sign: Any) -> None:
    for block in range(uint64(0), stride, uint64(BLOCK)):
        for j in range(BLOCK):
            histogram[bin_ + block + uint64(j)] += sign * weights[base + block + uint64(j)]


@_inlined
def _dot(slopes: Array, base: Any, messages: Array, bin_: Any, stride: Any) -> Any:
    total = float32(0)
    for block in range(uint64(0), stride, uint64(BLOCK)):
        for j in range(BLOCK):
            total += slopes[base + block + uint64(j)] * messages[bin_ + block + uint64(j)]
    return total


@_loop
def _entropy_of(histogram: Array, low: Any, high: Any, scale: Any) -> Any:
    """−Σ p ln p over the bins low..high, p = scale·histogram."""
    total = float32(0)
    for k in range(uint64(low), uint64(high)):
        p = float32(histogram[k]) * scale
        total += p * _log(p)
    return -total


@_loop
def _scaled_logs(
    histogram: Array, low: Any, high: Any, scale: Any, factor: Any, logs: Array, base: Any
) -> None:
    """logs[base …] = factor·ln p for the bins low..high."""
    for k in range(uint64(low), uint64(high)):
        logs[base + k] = factor * _log(max(float32(histogram[k]) * scale, float32(SMALLEST)))


@_lazy_kernel(types.void(_values, _levels, _i8, _f8, _i8, _f4[::1], _i8, _i8, _i8, _f4[:, ::1]))
def soft_rows(
    values: Array, levels: Array, region: Any, steepness: Any, window: Any, ladder: Array, bits: Any,
    start: Any, stop: Any, entropy: Array,
) -> None:  # fmt: skip
    """Rows start..stop of the soft entropy of one image, given as `values` in [0, 1] or as `levels`.

    values, levels: (C, H, W); the other one has no rows.
    steepness: 1/(255·B). window: how many bins a value reaches.
    ladder: (stride,), exp(steepness·(j − window/2)) for the lower edge of bin j of the window, but 0 for the
    first bin, which is open, and huge beyond the last.
    bits: weights are whole numbers, with 2^bits for one.
    entropy: (H − region + 1, W − region + 1), rows start..stop are written.
    """
    channels, width = values.shape[0], values.shape[2]
    stride = uint64(ladder.size)
    per_column = channels * region
    one = float32(2.0**bits)
    scale = float32(1.0 / (per_column * region * 2.0**bits))
    tabled = levels.shape[1] > 0
    distinct = BINS if tabled else width * per_column
    shares = np.zeros(ladder.size + 1, np.float32)
    weights = np.empty(distinct * ladder.size, np.int32)
    first = np.empty(distinct, np.int32)
    no_slopes = np.empty(0, np.float32)
    columns = np.arange(width * per_column)  # which of the weights each value has
    places = np.arange(0, width * per_column, per_column)
    if tabled:
        grey = (np.arange(BINS) / 255.0).astype(np.float32)
        _weigh(grey, np.arange(BINS), 0, steepness, window, ladder, one, shares, first, weights, no_slopes)
    lowest, highest = np.empty(width, np.int32), np.empty(width, np.int32)
    histogram = np.empty(BINS + ladder.size, np.int32)
    for y in range(start, stop + region - 1):
        for channel in range(channels):
            slot = (y % region) * channels + channel
            if tabled:
                for x in range(width):
                    columns[places[x] + slot] = levels[channel, y, x]
            else:
                row = values[channel, y]
                _weigh(row, places, slot, steepness, window, ladder, one, shares, first, weights, no_slopes)
        top = y - region + 1
        if top < start:
            continue
        histogram[:] = 0
        enter = leave = uint64(0)
        for x in range(width):
            low, high = int32(BINS), int32(0)
            for _ in range(per_column):
                value = uint64(columns[enter])
                enter += uint64(1)
                _add(histogram, uint64(first[value]), weights, value * stride, stride, int32(1))
                low, high = min(low, first[value]), max(high, first[value])
            lowest[x], highest[x] = low, high
            left = x - region + 1
            if left < 0:
                continue
            for i in range(left, x):
                low, high = min(low, lowest[i]), max(high, highest[i])
            entropy[top, left] = _entropy_of(histogram, low, min(high + window, BINS), scale)
            for _ in range(per_column):
                value = uint64(columns[leave])
                leave += uint64(1)
                _add(histogram, uint64(first[value]), weights, value * stride, stride, int32(-1))


@_lazy_kernel(
    types.void(_values, _messages, _i8, _f8, _i8, _f4[::1], _i8, _i8, _i8, types.float32[:, :, ::1])
)
def soft_backward_rows(
    values: Array, grad: Array, region: Any, steepness: Any, window: Any, ladder: Array, bits: Any,
    start: Any, stop: Any, result: Array,
) -> None:  # fmt: skip
    """Rows start..stop of the gradient of the soft entropy of one image with respect to `values`.

    grad: (H − region + 1, W − region + 1), of the entropy. result: (C, H, W), rows start..stop are written.
    The others as in `soft_rows`. The result does not depend on how an image is divided into rows.
    """
    channels, height, width = values.shape
    stride, padded = uint64(ladder.size), uint64(BINS + ladder.size)
    per_column = channels * region
    one = float32(2.0**bits)
    scale = float32(1.0 / (per_column * region * 2.0**bits))
    # ∂L/∂x = −(1/M) Σ_k w'_k A_k, and the sigmoid's argument moves 255·steepness = 1/B times as fast as x.
    factor = float32(-255.0 * steepness / (per_column * region))
    shares = np.zeros(ladder.size + 1, np.float32)
    weights = np.empty(width * per_column * ladder.size, np.int32)
    slopes = np.empty(width * per_column * ladder.size, np.float32)
    first = np.empty(width * per_column, np.int32)
    places = np.arange(0, width * per_column, per_column)
    lowest, highest = np.empty(width, np.int32), np.empty(width, np.int32)
    histogram = np.empty(BINS + ladder.size, np.int32)
    logs = np.zeros(
        region * (BINS + ladder.size), np.float32
    )  # grad·ln p of the last `region` outputs of the row
    messages = np.zeros(BINS + ladder.size, np.float32)  # their sum
    top_first, top_stop = max(start - region + 1, 0), min(stop, height - region + 1)
    lefts = width - region + 1
    result[:, start:stop] = 0
    for y in range(top_first, top_stop + region - 1):
        for channel in range(channels):
            slot = (y % region) * channels + channel
            row = values[channel, y]
            _weigh(row, places, slot, steepness, window, ladder, one, shares, first, weights, slopes)
        top = y - region + 1
        if top < top_first:
            continue
        histogram[:] = 0
        for x in range(width):
            low, high = int32(BINS), int32(0)
            for value in range(uint64(x * per_column), uint64((x + 1) * per_column)):
                _add(histogram, uint64(first[value]), weights, value * stride, stride, int32(1))
                low, high = min(low, first[value]), max(high, first[value])
            lowest[x], highest[x] = low, high
            if x < region - 1:
                continue
            left = x - region + 1
            for i in range(left, x):
                low, high = min(low, lowest[i]), max(high, highest[i])
            place = uint64(left % region) * padded
            _scaled_logs(histogram, low, min(high + window, BINS), scale, grad[top, left], logs, place)
            for value in range(uint64(left * per_column), uint64((left + 1) * per_column)):
                _add(histogram, uint64(first[value]), weights, value * stride, stride, int32(-1))
            # Column `left` has met its last region in this row; after the last region, so have the others.
            for column in range(left, left + 1 if left < lefts - 1 else width):
                bottom, end = uint64(lowest[column]), uint64(min(highest[column] + window, BINS))
                for k in range(bottom, end):
                    messages[k] = 0
                for i in range(max(column - region + 1, 0), left + 1):
                    place = uint64(i % region) * padded
                    for k in range(bottom, end):
                        messages[k] += logs[place + k]
                for inside in range(max(top, start), min(top + region, stop)):
                    for channel in range(channels):
                        n = uint64(places[column] + (inside % region) * channels + channel)
                        product = _dot(slopes, n * stride, messages, uint64(first[n]), stride)
                        result[channel, inside, column] += factor * product
