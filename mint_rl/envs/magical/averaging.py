"""From the picture at 384×384 to the image of an observation: area averages and instance ids."""

from __future__ import annotations

import numpy as np
from numba import types

from mint_rl.compiled import kernel
from mint_rl.envs.magical.raster import SURFACE, Bytes, Pixels, Surface


@kernel(types.void(SURFACE, types.int64, types.uint8[:, :, ::1]))
def average(surface: Surface, factor: int, image: Bytes) -> None:
    """Average factor × factor pixels into every pixel of the RGB image, inside the touched tiles.

    Rounds as OpenCV's INTER_AREA: half to even on the single-precision mean, but half up for factor 2.
    Factors up to 16: red and blue are summed side by side in one word, 16² · 255 < 2¹⁶ each.
    """
    pixels, touched, tile = surface
    scale = np.float32(1.0) / np.float32(factor * factor)
    red_blue, green = np.empty(pixels.shape[1], np.uint32), np.empty(pixels.shape[1], np.uint32)
    for ty in range(touched.shape[0]):
        last = 0
        while last < touched.shape[1]:
            # The next run first ≤ tx < last of touched tiles.
            first = last
            while first < touched.shape[1] and not touched[ty, first]:
                first += 1
            last = first
            while last < touched.shape[1] and touched[ty, last]:
                last += 1
            columns = (last - first) * tile
            for row in range(ty * tile // factor, (ty + 1) * tile // factor):
                red_blue[:columns] = 0
                green[:columns] = 0
                for y in range(row * factor, (row + 1) * factor):
                    line = pixels[y, first * tile : last * tile]
                    for x in range(columns):
                        red_blue[x] += line[x] & np.uint32(0xFF00FF)
                        green[x] += (line[x] >> np.uint32(8)) & np.uint32(0xFF)
                out = image[row, first * tile // factor : last * tile // factor]
                for column in range(len(out)):
                    both, middle = np.uint32(0), np.uint32(0)
                    for x in range(column * factor, (column + 1) * factor):
                        both += red_blue[x]
                        middle += green[x]
                    for channel, total in enumerate(
                        (both & np.uint32(0xFFFF), middle, both >> np.uint32(16))
                    ):
                        if factor == 2:
                            out[column, channel] = (total + np.uint32(2)) >> np.uint32(2)
                        else:
                            out[column, channel] = np.rint(np.float32(total) * scale)


@kernel(types.void(types.uint32[:, ::1], types.int64, types.uint8[:, ::1]))
def instance_ids(pixels: Pixels, factor: int, ids: Bytes) -> None:
    """The id of the pixel just right of and below the middle of every factor × factor square, uint8."""
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            ids[y, x] = pixels[y * factor + factor // 2, x * factor + factor // 2] >> np.uint32(24)
