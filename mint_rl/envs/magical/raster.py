"""Kernels that put polygons and outlines into pixels as the OpenGL driver did that drew MAGICAL's frames.

A picture is an (H, W) array of uint32: instance id in the top byte, then blue, green, red. Row 0 is the top.

- Polygons: corners snapped to 1/256 pixel; a pixel is filled when its centre is inside, half-open to the
  right and downwards, so neighbours never fill a pixel twice. All integers: exact.
- Outlines: each side is a rectangle with soft edges (Mesa's antialiased lines). Coverage is
  sat(w - |d|) · sat(h - |l|) · min(1, 2 - 1/h), with d and l the distances from the middle of the side across
  and along it, w half the line's width plus a half (1 for lines up to a pixel wide), h half its length plus a
  half; the last factor thins dashes shorter than a pixel. It is rounded to 8 bits; the old and the new colour
  are weighted with it and rounded apart, by shifts in place of a division by 255.
- Dashes: each side is clipped to the picture, then walked pixel by pixel; the position in the dash pattern
  runs on from side to side. Every outline begins the pattern anew. (The driver ran on from the outline before
  where the first side lay outside the picture: there alone a picture depended on earlier ones.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from mint_rl.compiled import kernel

SOLID = 0xFFFF
# Everything is moved by this many pixels to the left and down: what lies exactly between two pixels or two
# levels then falls as it did in the driver's single-precision arithmetic.
NUDGE = 1e-6

Bytes = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Surface(NamedTuple):
    """A picture to draw on.

    pixels: uint32 (H, W). touched: uint8 (H/tile, W/tile), 1 for every square of tile × tile pixels that
    something was drawn on.
    """

    pixels: Pixels
    touched: Bytes
    tile: int


class Primitives(NamedTuple):
    """P polygons and outlines in drawing order, over V vertices, moved by C matrices.

    vertices: float64 (V, 2), in their own coordinates. starts: int64 (P + 1,), primitive p has the vertices
    starts[p]:starts[p+1]. matrix: int64 (P,), the matrix that places it. colour: uint32 (P,), as in a
    picture. width: float64 (P,), in pixels, 0 for filled polygons. stipple: int64 (P,), an outline's dashes.
    """

    vertices: Floats
    starts: Ints
    matrix: Ints
    colour: Pixels
    width: Floats
    stipple: Ints


_i, _f, _u = types.int64, types.float64, types.uint32
_pixels, _bytes = types.uint32[:, ::1], types.uint8[:, ::1]
_ints, _floats, _table = types.int64[::1], types.float64[::1], types.float64[:, ::1]
SURFACE = types.NamedTuple((_pixels, _bytes, _i), Surface)
_primitives = types.NamedTuple((_table, _ints, _ints, types.uint32[::1], _floats, _ints), Primitives)


@kernel(types.void(SURFACE, _i, _i, _i))
def mark(surface: Surface, row: int, first: int, last: int) -> None:
    """Mark the tiles of the pixels first ≤ x < last in a row; they must lie in the picture."""
    line = surface.touched[row // surface.tile]
    for x in range(first // surface.tile, (last - 1) // surface.tile + 1):
        line[x] = 1


@kernel(types.void(SURFACE, _ints, _ints, _i, _u, _ints, _ints))
def fill_polygon(surface: Surface, xs: Ints, ys: Ints, n: int, colour: int, left: Ints, right: Ints) -> None:
    """Fill a convex polygon of n corners, in 1/256 pixel with the centre of pixel (0, 0) as the origin.

    `left` and `right` are scratch space, one entry for each row.
    """
    height, width = surface.pixels.shape
    top = bottom = ys[0]
    for i in range(1, n):
        top = min(top, ys[i])
        bottom = max(bottom, ys[i])
    # The rows whose centres lie in [top, bottom); >> 8 divides by 256 and rounds down.
    first, last = max(-(-top >> 8), 0), min(-(-bottom >> 8), height)
    for row in range(first, last):
        left[row] = width
        right[row] = 0
    for i in range(n):
        j = i - 1 if i > 0 else n - 1
        x0, y0, x1, y1 = xs[j], ys[j], xs[i], ys[i]
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        edge_first, edge_last = max(-(-y0 >> 8), 0), min(-(-y1 >> 8), height)
        if edge_first >= edge_last:
            continue
        # The edge crosses a row at x0 + (256·row - y0)·(x1 - x0)/(y1 - y0). In pixels that is
        # `column` + `rest`/`whole` with -whole < rest ≤ 0, so `column` is its ceiling. Step from row to row.
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
    tile = surface.tile
    tile_left, tile_right = width, 0
    for row in range(first, last):
        x0, x1 = max(left[row], 0), min(right[row], width)
        if x0 < x1:
            line = surface.pixels[row, x0:x1]
            for x in range(len(line)):
                line[x] = colour
            tile_left, tile_right = min(tile_left, x0), max(tile_right, x1)
        if (row + 1 == last or (row + 1) % tile == 0) and tile_left < tile_right:
            mark(surface, row, tile_left, tile_right)
            tile_left, tile_right = width, 0


@kernel(_u(_u, _u, _i))
def blend(below: int, above: int, alpha: int) -> int:
    """`above` over `below`, alpha in 0..255; the id is that of the colour which covers more than half."""
    result = (above if alpha >= 128 else below) & 0xFF000000
    for shift in (0, 8, 16):
        old = ((below >> shift) & 0xFF) * (255 - alpha)
        new = ((above >> shift) & 0xFF) * alpha
        result |= (((old + (old >> 8) + 128) >> 8) + ((new + (new >> 8) + 128) >> 8)) << shift
    return result


@kernel(types.void(SURFACE, _f, _f, _f, _f, _f, _u))
def draw_segment(
    surface: Surface, x0: float, y0: float, x1: float, y1: float, half_width: float, colour: int
) -> None:
    """Blend one antialiased segment, given in pixels from the upper left corner of the picture."""
    height, width = surface.pixels.shape
    length = math.hypot(x1 - x0, y1 - y0)
    if not length > 0.0:
        return
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    cx, cy = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    half_length = 0.5 * length + 0.5
    short = min(2.0 - 1.0 / half_length, 1.0)
    reach = abs(uy) * half_length + abs(ux) * half_width
    for y in range(max(math.floor(cy - reach - 0.5), 0), min(math.ceil(cy + reach + 0.5), height)):
        py = y + 0.5 - cy
        # Where this row crosses the rectangle: between its long sides and between its ends.
        low, high = -float(width), float(width)
        if abs(uy) > 1e-6:
            middle, spread = py * ux / uy, half_width / abs(uy)
            low, high = max(low, middle - spread), min(high, middle + spread)
        if abs(ux) > 1e-6:
            middle, spread = -py * uy / ux, half_length / abs(ux)
            low, high = max(low, middle - spread), min(high, middle + spread)
        left, right = max(math.floor(cx + low - 0.5), 0), min(math.ceil(cx + high + 0.5), width)
        if left >= right:
            continue
        mark(surface, y, left, right)
        for x in range(left, right):
            px = x + 0.5 - cx
            across = half_width - abs(px * uy - py * ux)
            along = half_length - abs(px * ux + py * uy)
            if across > 0.0 and along > 0.0:
                alpha = int(min(across, 1.0) * min(along, 1.0) * short * 255.0 + 0.5)
                surface.pixels[y, x] = blend(surface.pixels[y, x], colour, alpha)


@kernel(types.void(SURFACE, _f, _f, _f, _f, _f, _u, _i, _f))
def draw_dashes(
    surface: Surface,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    half_width: float,
    colour: int,
    stipple: int,
    walked: float,
) -> None:
    """Draw the set bits of a dash pattern along a segment that begins `walked` pixels into the outline."""
    length = math.hypot(x1 - x0, y1 - y0)
    if not length > 0.0:
        return
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    begin = -1.0  # of the current dash; negative in a gap
    for k in range(math.ceil(length) + 1):
        here = min(float(k), length)
        drawn = here < length and (stipple >> ((int(walked) + k) & 15)) & 1 == 1
        if drawn and begin < 0.0:
            begin = here
        elif not drawn and begin >= 0.0:
            xa, ya, xb, yb = x0 + begin * ux, y0 + begin * uy, x0 + here * ux, y0 + here * uy
            draw_segment(surface, xa, ya, xb, yb, half_width, colour)
            begin = -1.0


@kernel(types.UniTuple(_f, 2)(_f, _f, _f, _f, _f, _f))
def clip(x0: float, y0: float, x1: float, y1: float, width: float, height: float) -> tuple[float, float]:
    """The part t0 ≤ t ≤ t1 of a segment in the picture; t0 > t1 if there is none (Liang and Barsky, 1984)."""
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


@kernel(types.void(SURFACE, _floats, _floats, _i, _f, _i, _u))
def draw_outline(
    surface: Surface, xs: Floats, ys: Floats, n: int, line_width: float, stipple: int, colour: int
) -> None:
    """Draw the closed outline of n corners, in pixels from the upper left corner of the picture."""
    height, width = surface.pixels.shape
    half_width = 1.0 if line_width <= 1.0 else 0.5 * line_width + 0.5
    walked = 0.0
    for i in range(n):
        x0, y0 = xs[i], ys[i]
        dx, dy = xs[(i + 1) % n] - x0, ys[(i + 1) % n] - y0
        t0, t1 = clip(x0, y0, x0 + dx, y0 + dy, width, height)
        if t0 < t1:
            xa, ya, xb, yb = x0 + t0 * dx, y0 + t0 * dy, x0 + t1 * dx, y0 + t1 * dy
            if stipple == SOLID:
                draw_segment(surface, xa, ya, xb, yb, half_width, colour)
            else:
                draw_dashes(surface, xa, ya, xb, yb, half_width, colour, stipple, walked)
            walked += math.hypot(xb - xa, yb - ya)


@kernel(types.void(SURFACE, _primitives, _table, _i, _i))
def draw(surface: Surface, primitives: Primitives, matrices: Floats, first: int, last: int) -> None:
    """Draw the primitives first ≤ p < last.

    matrices: (C, 6), from a primitive's own coordinates to pixels with y upwards (see `place`).
    """
    height = surface.pixels.shape[0]
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
        if primitives.width[p] > 0.0:
            width, stipple = primitives.width[p], primitives.stipple[p]
            draw_outline(surface, xs, ys, n, width, stipple, primitives.colour[p])
        else:
            for i in range(n):
                snapped_xs[i] = math.floor((xs[i] - 0.5) * 256.0 + 0.5)
                snapped_ys[i] = math.floor((ys[i] - 0.5) * 256.0 + 0.5)
            fill_polygon(surface, snapped_xs, snapped_ys, n, primitives.colour[p], left, right)


@kernel(_i(_table, _floats, _ints, _ints, _table, _ints, _i))
def place(
    poses: Floats,
    camera: Floats,
    chain_starts: Ints,
    chain_members: Ints,
    matrices: Floats,
    matrix_of: Ints,
    unmoved: int,
) -> int:
    """Bring `matrices` up to date; return how many of the first `unmoved` primitives have stayed in place.

    poses: (T, 3), x, y and angle of every transform. camera: (6,), applied last. matrices: (C, 6), rows
    (a, b, c, d, e, f) for x' = a·x + b·y + c, y' = d·x + e·y + f; row c is the product of the camera and the
    transforms chain_members[chain_starts[c]:chain_starts[c+1]], the outermost first.
    matrix_of: (P,), the matrix of every primitive.
    """
    moved = np.zeros(len(matrices), np.uint8)
    for c in range(len(matrices)):
        m0, m1, m2, m3, m4, m5 = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
        for k in range(chain_starts[c], chain_starts[c + 1]):
            x, y, angle = poses[chain_members[k]]
            cos, sin = math.cos(angle), math.sin(angle)
            m2, m5 = m0 * x + m1 * y + m2, m3 * x + m4 * y + m5
            m0, m1 = m0 * cos + m1 * sin, m1 * cos - m0 * sin
            m3, m4 = m3 * cos + m4 * sin, m4 * cos - m3 * sin
        for j, value in enumerate((m0, m1, m2, m3, m4, m5)):
            if matrices[c, j] != value:
                moved[c] = 1
                matrices[c, j] = value
    for p in range(unmoved):
        if moved[matrix_of[p]]:
            return p
    return unmoved
