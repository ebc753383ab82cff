"""The entropy gate on the CPU: a numba kernel that goes over a frame once, a fifth of PyTorch's time.

A binarised image has two grey levels, so the entropy of a region depends on the number of its white values
alone: a table of M + 1 entropies takes the place of histograms.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numpy import int16, uint8

from mint_rl.compiled import kernel

_frames = types.Array(types.uint8, 4, "C", readonly=True)
_places = types.Array(types.int64, 3, "C", readonly=True)
_entropies = types.Array(types.float64, 1, "C", readonly=True)


@functools.cache
def entropies(values: int) -> npt.NDArray[np.float64]:
    """Entropy (nats) of a region of `values` values by how many of them are white: (values + 1,)."""
    share = np.arange(values + 1) / values
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(p > 0, p * np.log(p), 0.0) for p in (share, 1 - share)]
    return -(terms[0] + terms[1])


@kernel(
    types.void(_frames, _places, types.int64, types.int64, _entropies, types.float32[:, ::1]),
    lazy=True,
    nogil=True,
)
def binarised_entropy_around(
    frames: Any, places: Any, region: Any, size: Any, entropy_of: Any, around: Any
) -> None:
    """Mean entropy of the binarised frames in the box of `size`×`size` pixels around each place.

    frames: (N, H, W, C). places: (N, K, 2) column, row. region: side of an entropy's region. entropy_of: see
    `entropies`. around: (N, K), written. The frames' border is replicated, and cuts the boxes.
    """
    count, height, width, channels = frames.shape
    line = width * channels
    reach, box = region // 2, size // 2
    columns, sharp = np.empty(line, int16), np.empty(line, int16)
    white, sums = np.empty((height, width), uint8), np.empty(width, int16)
    whites = np.empty((height, width), int16)
    for n in range(count):
        frame = frames[n].reshape(height, line)
        for y in range(height):
            above, here, below = frame[max(y - 1, 0)], frame[y], frame[min(y + 1, height - 1)]
            for i in range(line):
                columns[i] = int16(above[i]) + int16(here[i]) + int16(below[i])
            # Ten times sharper than its blur (Σ3×3 + 4x)/13 is x above 127.5 where 94x − 9·Σ3×3 > 1657.5.
            for i in range(channels, line - channels):
                sharp[i] = int16(94) * here[i] - int16(9) * (
                    columns[i - channels] + columns[i] + columns[i + channels]
                )
            for c in range(channels):
                last = line - channels + c
                second = min(c + channels, last)
                sharp[c] = 94 * here[c] - 9 * (2 * columns[c] + columns[second])
                sharp[last] = 94 * here[last] - 9 * (2 * columns[last] + columns[max(last - channels, c)])
            for x in range(width):
                bright = 0
                for c in range(channels):
                    bright += sharp[x * channels + c] > 1657
                white[y, x] = bright
        for y in range(height):
            sums[:] = 0
            for dy in range(-reach, reach + 1):
                row = white[min(max(y + dy, 0), height - 1)]
                for x in range(width):
                    sums[x] += row[x]
            for x in range(width):
                whites[y, x] = 0
            for dx in range(-reach, reach + 1):
                for x in range(width):
                    whites[y, x] += sums[min(max(x + dx, 0), width - 1)]
        for k in range(places.shape[1]):
            left, right = max(places[n, k, 0] - box, 0), min(places[n, k, 0] + box + 1, width)
            top, bottom = max(places[n, k, 1] - box, 0), min(places[n, k, 1] + box + 1, height)
            total = 0.0
            for y in range(top, bottom):
                for x in range(left, right):
                    total += entropy_of[whites[y, x]]
            around[n, k] = total / ((right - left) * (bottom - top))
