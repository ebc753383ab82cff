"""Kernels that put polygons and outlines into pixels exactly as the OpenGL driver did that MAGICAL's frames come from.

A picture is a (H, W) array of uint32: instance id in the top byte, then blue, green, red. Row 0 is at the top.

- Polygons: corners snapped to 1/256 pixel; a pixel is filled when its centre is inside, half-open to the right
  and downwards, so neighbours never fill a pixel twice. All integers: exact.
- Outlines: each side is a rectangle with soft edges (Mesa's antialiased lines): coverage is
  sat(w - |d|) · min(sat(h - |l|), sat(2h - 1)), with d and l the distances from the middle of the side across and
  along it, w half the line's width plus a half (1 for lines up to a pixel wide), h half its length plus a half.
  Coverage is rounded to 8 bits; the old and the new colour are weighted and rounded apart.
- Dashes: each side is clipped to the picture, then walked pixel by pixel; the position in the dash pattern runs
  on from side to side.

The kernels are compiled when this module is first imported (seconds) and kept on disk by numba. Each has exactly
one signature, so processes that start at the same time write the same files; where no cache can be
written or read, they are compiled in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

SOLID = 0xFFFF
# Corners and lines are moved by this many pixels to the left and down: a coordinate that lies exactly between two
# pixels then falls as it did in the driver's single-precision arithmetic.
NUDGE = 1e-5


class Primitives(NamedTuple):
    """P polygons and outlines in drawing order, over V vertices, moved by C matrices.

    vertices: float64 (V, 2) in their own coordinates. starts: int64 (P + 1,), vertices of p are starts[p]:starts[p+1].
    matrix: int64 (P,), row of the matrices that places p. colour: uint32 (P,), as in a picture.
    width: float64 (P,), pixels, 0 for filled polygons. stipple: int64 (P,), dash pattern of outlines.
    """

    vertices: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]
    matrix: npt.NDArray[np.int64]
    colour: npt.NDArray[np.uint32]
    width: npt.NDArray[np.float64]
    stipple: npt.NDArray[np.int64]


_i, _f, _u = types.int64, types.float64, types.uint32
_picture, _image, _marks = types.uint32[:, ::1], types.uint8[:, :, ::1], types.uint8[:, ::1]
_ints, _floats, _table = types.int64[::1], types.float64[::1], types.float64[:, ::1]
_primitives = types.NamedTuple((_table, _ints, _ints, types.uint32[::1], _floats, _ints), Primitives)


def _kernel(signature: Any) -> Callable[[Any], Any]:
    """`numba.njit` for one signature, cached on disk where that is possible."""

    def compile_(function: Any) -> Any:
        try:
            return njit(signature, cache=True)(function)
        except (
            Exception
        ):  # no writable folder, a full disk, a damaged cache: a compiler error comes up again below
            return njit(signature)(function)

    return compile_


@_kernel(types.void(_picture, _marks, _i, _i, _i, _i, _u))
def fill_row(picture, touched, tile, y, x0, x1, colour):
    """Fill the pixels x0 ≤ x < x1 of row y and mark their tiles. All must lie inside the picture."""
    for x in range(x0, x1):
        picture[y, x] = colour
    for t in range(x0 // tile, (x1 - 1) // tile + 1):
        touched[y // tile, t] = 1


@_kernel(types.void(_picture, _marks, _i, _ints, _ints, _i, _u, _ints, _ints))
def fill_polygon(picture, touched, tile, xs, ys, n, colour, left, right):
    """Fill a convex polygon of n corners, given in 1/256 pixel with pixel (0, 0) centred on the origin.

    `left` and `right` are scratch space for one entry a row.
    """
    height, width = picture.shape
    top = bottom = ys[0]
    for i in range(1, n):
        top = min(top, ys[i])
        bottom = max(bottom, ys[i])
    first, last = (
        max(-(-top >> 8), 0),
        min(-(-bottom >> 8), height),
    )  # rows whose centres are in [top, bottom)
    for row in range(first, last):
        left[row] = width
        right[row] = 0
    for i in range(n):
        x0, y0, x1, y1 = xs[i], ys[i], xs[(i + 1) % n], ys[(i + 1) % n]
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        edge_first, edge_last = max(-(-y0 >> 8), 0), min(-(-y1 >> 8), height)
        if edge_first >= edge_last:
            continue
        # The edge crosses a row at x0 + (256·row - y0)·(x1 - x0)/(y1 - y0). Keep the ceiling of that in pixels as
        # `column` + `rest`/`whole` with -whole < rest ≤ 0, and step it from row to row.
        whole = 256 * (y1 - y0)
        across = x0 * (y1 - y0) + (256 * edge_first - y0) * (x1 - x0)
        column = -(-across // whole)
        rest = across - column * whole
        slope = 256 * (x1 - x0) // whole
        slope_rest = 256 * (x1 - x0) - slope * whole
        for row in range(edge_first, edge_last):
            left[row] = min(left[row], column)
            right[row] = max(right[row], column)
            column += slope
            rest += slope_rest
            if rest > 0:
                column += 1
                rest -= whole
    for row in range(first, last):
        x0, x1 = max(left[row], 0), min(right[row], width)
        if x0 < x1:
            fill_row(picture, touched, tile, row, x0, x1, colour)


@_kernel(_u(_u, _u, _i))
def blend(below, above, alpha):
    """`above` over `below` with alpha in 0..255; the id is that of the colour which covers more than half."""
    result = (above if alpha >= 128 else below) & 0xFF000000
    for shift in (0, 8, 16):
        old, new = (below >> shift) & 0xFF, (above >> shift) & 0xFF
        result |= ((old * (255 - alpha) + 127) // 255 + (new * alpha + 127) // 255) << shift
    return result


@_kernel(types.void(_picture, _marks, _i, _f, _f, _f, _f, _f, _u))
def draw_segment(picture, touched, tile, x0, y0, x1, y1, half_width, colour):
    """Blend one antialiased segment; coordinates in pixels with the corner of pixel (0, 0) as the origin."""
    height, width = picture.shape
    length = math.hypot(x1 - x0, y1 - y0)
    if length == 0.0:
        return
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    cx, cy = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    half_length = 0.5 * length + 0.5
    reach_x = abs(ux) * half_length + abs(uy) * half_width
    reach_y = abs(uy) * half_length + abs(ux) * half_width
    top, bottom = max(math.floor(cy - reach_y - 0.5), 0), min(math.ceil(cy + reach_y + 0.5), height)
    left, right = max(math.floor(cx - reach_x - 0.5), 0), min(math.ceil(cx + reach_x + 0.5), width)
    most = min(max(2.0 * half_length - 1.0, 0.0), 1.0)
    for y in range(top, bottom):
        py = y + 0.5 - cy
        for x in range(left, right):
            px = x + 0.5 - cx
            across = half_width - abs(px * uy - py * ux)
            along = half_length - abs(px * ux + py * uy)
            if across <= 0.0 or along <= 0.0:
                continue
            alpha = int(min(across, 1.0) * min(along, 1.0, most) * 255.0 + 0.5)
            if alpha > 0:
                picture[y, x] = blend(picture[y, x], colour, alpha)
                touched[y // tile, x // tile] = 1


@_kernel(types.void(_picture, _marks, _i, _f, _f, _f, _f, _f, _u, _i, _f))
def draw_dashes(picture, touched, tile, x0, y0, x1, y1, half_width, colour, stipple, walked):
    """Draw the set bits of a dash pattern along a segment that is entered after `walked` pixels of the outline."""
    length = math.hypot(x1 - x0, y1 - y0)
    if length == 0.0:
        return
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    start = -1.0  # of the current dash; negative in a gap
    for k in range(math.ceil(length) + 1):
        here = min(float(k), length)
        drawn = here < length and (stipple >> ((int(walked) + k) & 15)) & 1 == 1
        if drawn and start < 0.0:
            start = here
        elif not drawn and start >= 0.0:
            draw_segment(
                picture, touched, tile,
                x0 + start * dx, y0 + start * dy, x0 + here * dx, y0 + here * dy, half_width, colour,
            )  # fmt: skip
            start = -1.0


@_kernel(types.UniTuple(_f, 2)(_f, _f, _f, _f, _f, _f))
def clip(x0, y0, x1, y1, width, height):
    """The part t0 ≤ t ≤ t1 of a segment that lies in the picture (Liang and Barsky, 1984); t0 > t1 if none does."""
    t0, t1 = 0.0, 1.0
    dx, dy = x1 - x0, y1 - y0
    for speed, room in ((-dx, x0), (dx, width - x0), (-dy, y0), (dy, height - y0)):
        if speed < 0.0:
            t0 = max(t0, room / speed)
        elif speed > 0.0:
            t1 = min(t1, room / speed)
        elif room < 0.0:
            return 1.0, 0.0
    return t0, t1


@_kernel(types.void(_picture, _marks, _i, _floats, _floats, _i, _f, _i, _u))
def draw_outline(picture, touched, tile, xs, ys, n, line_width, stipple, colour):
    """Draw the closed outline of n corners, in pixels with the corner of pixel (0, 0) as the origin."""
    height, width = picture.shape
    half_width = 1.0 if line_width <= 1.0 else 0.5 * line_width + 0.5
    walked = 0.0
    for i in range(n):
        x0, y0, dx, dy = xs[i], ys[i], xs[(i + 1) % n] - xs[i], ys[(i + 1) % n] - ys[i]
        t0, t1 = clip(x0, y0, x0 + dx, y0 + dy, width, height)
        if t0 >= t1:
            continue
        xa, ya, xb, yb = x0 + t0 * dx, y0 + t0 * dy, x0 + t1 * dx, y0 + t1 * dy
        if stipple == SOLID:
            draw_segment(picture, touched, tile, xa, ya, xb, yb, half_width, colour)
        else:
            draw_dashes(picture, touched, tile, xa, ya, xb, yb, half_width, colour, stipple, walked)
            walked += math.hypot(xb - xa, yb - ya)


@_kernel(types.void(_picture, _marks, _i, _primitives, _table, _i, _i))
def draw(picture, touched, tile, primitives, matrices, first, last):
    """Draw the primitives first ≤ p < last over the picture and mark the tiles they touch (tile pixels a side).

    matrices: (C, 6), from a primitive's own coordinates to pixels with y upwards.
    """
    height = picture.shape[0]
    starts = primitives.starts
    most = 0
    for p in range(first, last):
        most = max(most, starts[p + 1] - starts[p])
    xs, ys = np.empty(most, np.float64), np.empty(most, np.float64)
    snapped_xs, snapped_ys = np.empty(most, np.int64), np.empty(most, np.int64)
    left, right = np.empty(height, np.int64), np.empty(height, np.int64)
    for p in range(first, last):
        m = matrices[primitives.matrix[p]]
        n = starts[p + 1] - starts[p]
        for i in range(n):
            x, y = primitives.vertices[starts[p] + i]
            xs[i] = m[0] * x + m[1] * y + m[2] - NUDGE
            ys[i] = height - (m[3] * x + m[4] * y + m[5]) + NUDGE
        colour, width = primitives.colour[p], primitives.width[p]
        if width > 0.0:
            draw_outline(picture, touched, tile, xs, ys, n, width, primitives.stipple[p], colour)
        else:
            for i in range(n):
                snapped_xs[i] = math.floor((xs[i] - 0.5) * 256.0 + 0.5)
                snapped_ys[i] = math.floor((ys[i] - 0.5) * 256.0 + 0.5)
            fill_polygon(picture, touched, tile, snapped_xs, snapped_ys, n, colour, left, right)


@_kernel(types.void(_picture, _marks, _i, _picture))
def restore(picture, touched, tile, background):
    """Copy the touched tiles from the background and clear their marks."""
    for ty in range(touched.shape[0]):
        for tx in range(touched.shape[1]):
            if touched[ty, tx]:
                touched[ty, tx] = 0
                for y in range(ty * tile, (ty + 1) * tile):
                    for x in range(tx * tile, (tx + 1) * tile):
                        picture[y, x] = background[y, x]


@_kernel(types.void(_picture, _marks, _i, _i, _image))
def average(picture, touched, tile, factor, image):
    """Average factor × factor pixels into each pixel of the RGB image, inside the touched tiles only.

    Rounds as OpenCV's INTER_AREA: half to even on the single-precision mean, but half up for factor 2.
    """
    scale = np.float32(1.0) / np.float32(factor * factor)
    per_tile = tile // factor
    for ty in range(touched.shape[0]):
        for tx in range(touched.shape[1]):
            if not touched[ty, tx]:
                continue
            for row in range(ty * per_tile, (ty + 1) * per_tile):
                for column in range(tx * per_tile, (tx + 1) * per_tile):
                    # Red and blue add up side by side in one word: at most 16² · 255 < 2¹⁶ each.
                    red_blue, green = np.uint32(0), np.uint32(0)
                    for y in range(row * factor, (row + 1) * factor):
                        for x in range(column * factor, (column + 1) * factor):
                            red_blue += picture[y, x] & np.uint32(0xFF00FF)
                            green += (picture[y, x] >> np.uint32(8)) & np.uint32(0xFF)
                    sums = (red_blue & np.uint32(0xFFFF), green, red_blue >> np.uint32(16))
                    for channel in range(3):
                        if factor == 2:
                            image[row, column, channel] = (sums[channel] + np.uint32(2)) >> np.uint32(2)
                        else:
                            image[row, column, channel] = np.rint(np.float32(sums[channel]) * scale)


@_kernel(types.void(_picture, _i, _marks))
def instance_ids(picture, factor, ids):
    """The instance id of the pixel just right of and below the middle of each factor × factor block."""
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            ids[y, x] = picture[y * factor + factor // 2, x * factor + factor // 2] >> np.uint32(24)


@_kernel(_i(_table, _floats, _ints, _ints, _table, _ints, _i))
def place(poses, camera, chain_starts, chain_members, matrices, matrix_of, unmoved):
    """Bring the (C, 6) matrices up to date and return how many of the first `unmoved` primitives stay where they were.

    poses: (T, 3), x, y and angle of each transform. camera: (6,), applied last. chain_members: transforms of each
    chain from the outermost in, those of matrix c at chain_starts[c]:chain_starts[c+1].
    matrix_of: (P,), the matrix of each primitive.
    """
    moved = np.empty(matrices.shape[0], np.uint8)
    for c in range(matrices.shape[0]):
        m0, m1, m2, m3, m4, m5 = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
        for k in range(chain_starts[c], chain_starts[c + 1]):
            x, y, angle = poses[chain_members[k]]
            cos, sin = math.cos(angle), math.sin(angle)
            m2, m5 = m0 * x + m1 * y + m2, m3 * x + m4 * y + m5
            m0, m1 = m0 * cos + m1 * sin, m1 * cos - m0 * sin
            m3, m4 = m3 * cos + m4 * sin, m4 * cos - m3 * sin
        moved[c] = 0
        for j, value in enumerate((m0, m1, m2, m3, m4, m5)):
            if matrices[c, j] != value:
                moved[c] = 1
                matrices[c, j] = value
    for p in range(unmoved):
        if moved[matrix_of[p]]:
            return p
    return unmoved
