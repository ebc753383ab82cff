"""Second peaks on the CPU: a numba kernel that reads the feature maps twice, keypoints innermost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy import float32, int32

from mint_rl.compiled import kernel

_maps = types.Array(types.float32, 4, "C", readonly=True)
_NONE = float32(-1e4)  # the height of a peak that is not there; what lies within `apart` is as low


@kernel(
    types.void(_maps, types.float32, types.float32[:, :, ::1], types.float32[:, ::1]),
    lazy=True,
    nogil=True,
)
def second_places(maps: Any, apart_squared: Any, places: Any, heights: Any) -> None:
    """Places and heights of the second peaks, see `second_peaks`.

    maps: (N, h, w, K). apart_squared: in squared image sides. places: (N, K, 2) x, y in [0, 1], written.
    heights: (N, K) without softplus, written; −10⁴ where there is none.
    """
    count, height, width, keypoints = maps.shape
    across, down = max(width - 1, 1), max(height - 1, 1)
    highest, at = np.empty(keypoints, float32), np.empty(keypoints, int32)
    beside, where = np.empty(keypoints, float32), np.empty(keypoints, int32)
    far_across, far_down = np.empty((width, keypoints), float32), np.empty(keypoints, float32)
    for n in range(count):
        highest[:] = maps[n, 0, 0]
        at[:] = 0
        for y in range(height):
            for x in range(width):
                line, place = maps[n, y, x], int32(y * width + x)
                for k in range(keypoints):
                    higher = line[k] > highest[k]
                    highest[k] = line[k] if higher else highest[k]
                    at[k] = place if higher else at[k]
        for x in range(width):
            for k in range(keypoints):
                far_across[x, k] = float32((x - at[k] % width) / across) ** 2
        beside[:] = _NONE
        where[:] = 0
        for y in range(height):
            for k in range(keypoints):
                far_down[k] = float32((y - at[k] // width) / down) ** 2
            for x in range(width):
                line, squared, place = maps[n, y, x], far_across[x], int32(y * width + x)
                for k in range(keypoints):
                    higher = line[k] > beside[k] and squared[k] + far_down[k] >= apart_squared
                    beside[k] = line[k] if higher else beside[k]
                    where[k] = place if higher else where[k]
        for k in range(keypoints):
            row, column = where[k] // width, where[k] % width
            around = _NONE
            for y in range(max(row - 1, 0), min(row + 2, height)):
                for x in range(max(column - 1, 0), min(column + 2, width)):
                    around = max(around, maps[n, y, x, k])
            places[n, k, 0], places[n, k, 1] = column / across, row / down
            heights[n, k] = beside[k] if beside[k] >= around else _NONE
