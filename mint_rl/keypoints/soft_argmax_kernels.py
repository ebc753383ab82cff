"""The soft-argmax on the CPU: a numba kernel that reads a feature map twice, in the order it has in memory.

PyTorch's version makes six copies of the maps, which takes nearly as long as the network itself. Here the
keypoints are the innermost axis, as the convolutions leave them, and every loop over them becomes vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numpy import float32, int32

from mint_rl.compiled import kernel

_maps = types.Array(types.float32, 4, "C", readonly=True)

# exp(x) = 2ⁿ·e^f with x = n·ln 2 + f, |f| ≤ ln 2 / 2; ln 2 in two parts, so that n·_LN2_HIGH is exact. Beyond
# the lowest x the result would not be a normal number.
_LOG2_E, _LN2_HIGH, _LN2_LOW = float32(1.44269504), float32(0.693359375), float32(-2.12194440e-4)
_LOWEST, _HALF, _ONE = float32(-87.0), float32(0.5), float32(1.0)
_3, _4, _5, _6 = (float32(1 / math.factorial(n)) for n in (3, 4, 5, 6))
_BIAS, _MANTISSA = int32(127), int32(23)  # of a float32's exponent


@kernel(
    types.void(_maps, types.float32, types.float32[:, :, ::1], types.float32[:, ::1]),
    lazy=True,
    nogil=True,
    fastmath={"nnan", "nsz", "contract"},
)
def expected_places(maps: Any, window: Any, places: Any, peaks: Any) -> None:
    """Places and heights of feature maps whose weights are exp(softplus(m)), see `soft_argmax`.

    maps: (N, h, w, K). window: in image sides; infinite for none. places: (N, K, 2) x, y in [0, 1], written.
    peaks: (N, K) the maps' maxima, without softplus, written.
    """
    count, height, width, keypoints = maps.shape
    line = width * keypoints
    highest, floor = np.empty(keypoints, float32), np.empty(keypoints, float32)
    at = np.empty(keypoints, int32)
    across, down = np.empty((width, keypoints), float32), np.empty((height, keypoints), float32)
    # As long as a line of the maps, not as the few keypoints: longer loops, less left over beside vectors.
    tops, rows = np.empty(line, float32), np.empty(line, int32)
    level, weights = np.empty(line, float32), np.empty(line, float32)
    powers = np.empty(line, int32)
    as_floats = powers.view(float32)
    mass, moment = np.empty(keypoints, float32), np.empty(keypoints, float32)
    sums = np.empty((3, keypoints), float32)
    for n in range(count):
        lines = maps[n].reshape(height, line)
        tops[:] = lines[0]
        rows[:] = 0
        for y in range(1, height):
            for i in range(line):
                higher = lines[y, i] > tops[i]
                tops[i] = lines[y, i] if higher else tops[i]
                rows[i] = int32(y) if higher else rows[i]
        highest[:] = tops[:keypoints]
        at[:] = 0
        for x in range(1, width):
            for k in range(keypoints):
                i, best = x * keypoints + k, at[k] * keypoints + k
                if tops[i] > highest[k] or (tops[i] == highest[k] and rows[i] < rows[best]):
                    highest[k], at[k] = tops[i], x
        for k in range(keypoints):
            above = max(highest[k], float32(0))
            floor[k] = math.exp(-above)
            column = at[k]
            row = rows[column * keypoints + k]
            for x in range(width):
                level[x * keypoints + k] = above
                across[x, k] = math.exp(-(((x - column) / (max(width - 1, 1) * window)) ** 2))
            for y in range(height):
                down[y, k] = math.exp(-(((y - row) / (max(height - 1, 1) * window)) ** 2))
        sums[:] = 0
        for y in range(height):
            for i in range(line):
                value = max(lines[y, i] - level[i], _LOWEST)
                power = np.floor(value * _LOG2_E + _HALF)
                rest = value - power * _LN2_HIGH - power * _LN2_LOW
                series = _3 + rest * (_4 + rest * (_5 + rest * _6))
                weights[i] = _ONE + rest + rest * rest * (_HALF + rest * series)
                powers[i] = (int32(power) + _BIAS) << _MANTISSA
            mass[:] = 0
            moment[:] = 0
            for x in range(width):
                place = float32(x / max(width - 1, 1))
                for k in range(keypoints):
                    i = x * keypoints + k
                    weight = (weights[i] * as_floats[i] + floor[k]) * across[x, k]
                    mass[k] += weight
                    moment[k] += weight * place
            place = float32(y / max(height - 1, 1))
            for k in range(keypoints):
                sums[0, k] += mass[k] * down[y, k]
                sums[1, k] += moment[k] * down[y, k]
                sums[2, k] += mass[k] * down[y, k] * place
        for k in range(keypoints):
            peaks[n, k] = highest[k]
            places[n, k, 0] = sums[1, k] / sums[0, k]
            places[n, k, 1] = sums[2, k] / sums[0, k]
