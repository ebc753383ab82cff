"""The rasteriser against slow and plain oracles."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_rl.envs.magical import averaging, raster
from mint_rl.envs.magical.canvas import RESOLUTIONS, SIZE, pack

HEIGHT, WIDTH, TILE = 16, 24, 4
COLOUR = pack((0.8, 0.4, 0.1), 7)
BLANK = pack((0.2, 0.9, 1.0), 3)

coordinate = st.floats(-20, 40, allow_nan=False, width=32)
point = st.tuples(coordinate, coordinate)


def blank_surface() -> raster.Surface:
    return raster.Surface(
        np.full((HEIGHT, WIDTH), BLANK, np.uint32), np.zeros((HEIGHT // TILE, WIDTH // TILE), np.uint8), TILE
    )


def assert_changes_are_marked(surface: raster.Surface) -> None:
    changed = (surface.pixels != BLANK).reshape(HEIGHT // TILE, TILE, WIDTH // TILE, TILE).any((1, 3))
    assert (surface.touched[changed] == 1).all()


def convex_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Andrew's monotone chain."""

    def half(ordered: list[tuple[int, int]]) -> list[tuple[int, int]]:
        chain: list[tuple[int, int]] = []
        for p in ordered:
            while len(chain) > 1 and (
                (chain[-1][0] - chain[-2][0]) * (p[1] - chain[-2][1])
                <= (chain[-1][1] - chain[-2][1]) * (p[0] - chain[-2][0])
            ):
                chain.pop()
            chain.append(p)
        return chain[:-1]

    ordered = sorted(set(points))
    return half(ordered) + half(ordered[::-1]) if len(ordered) > 1 else ordered


def centre_is_inside(corners: list[tuple[int, int]], x: int, y: int) -> bool:
    """Even-odd rule in exact arithmetic: an odd number of edges cross the height y at or left of x."""
    inside = False
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if min(y0, y1) <= y < max(y0, y1):
            inside ^= x0 + Fraction((y - y0) * (x1 - x0), y1 - y0) <= x
    return inside


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(-3000, 9000), st.integers(-3000, 7000)), min_size=3, max_size=12))
def test_polygons_fill_the_pixels_whose_centres_are_inside(points: list[tuple[int, int]]) -> None:
    corners = convex_hull(points)
    surface = blank_surface()
    xs, ys = np.array(corners, np.int64).T.copy()
    raster.fill_polygon(
        surface, xs, ys, len(corners), COLOUR, np.empty(HEIGHT, np.int64), np.empty(HEIGHT, np.int64)
    )
    expected = [[centre_is_inside(corners, 256 * x, 256 * y) for x in range(WIDTH)] for y in range(HEIGHT)]
    np.testing.assert_array_equal(surface.pixels == COLOUR, expected)
    assert_changes_are_marked(surface)


def blend_slowly(below: np.ndarray, colour: int, alpha: np.ndarray) -> np.ndarray:
    def weighted(level, weight):
        product = level * weight
        return (product + product // 256 + 128) // 256

    result = np.where(alpha >= 128, colour >> 24, below >> 24).astype(np.int64) << 24
    for shift in (0, 8, 16):
        old, new = (below >> shift) & 0xFF, (colour >> shift) & 0xFF
        result |= (weighted(old, 255 - alpha) + weighted(new, alpha)) << shift
    return result


def draw_segment_slowly(pixels: np.ndarray, start, end, half_width: float) -> np.ndarray:
    """The formula of the module's docstring, over the whole picture."""
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    if length == 0:
        return pixels
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    px, py = x - 0.5 * (x0 + x1), y - 0.5 * (y0 + y1)
    half_length = 0.5 * length + 0.5
    across = np.clip(half_width - abs(px * uy - py * ux), 0, 1)
    along = np.clip(half_length - abs(px * ux + py * uy), 0, 1) * min(1, 2 - 1 / half_length)
    alpha = (across * along * 255 + 0.5).astype(np.int64)
    return np.where(alpha > 0, blend_slowly(pixels, COLOUR, alpha), pixels)


def assert_same_pictures(ours: np.ndarray, expected: np.ndarray) -> None:
    """Equal, but for channels that differ by one where the coverage lies on a rounding border."""
    channels = [picture.astype(np.uint32).view(np.uint8).astype(int) for picture in (ours, expected)]
    difference = abs(channels[0] - channels[1])
    assert difference.max() <= 1, difference.max()
    assert (difference > 0).sum() <= 2


@settings(max_examples=150, deadline=None)
@given(point, point, st.sampled_from([1.0, 1.75, 3.0]))
def test_segments_have_the_coverage_of_their_formula(start, end, half_width: float) -> None:
    surface = blank_surface()
    raster.draw_segment(surface, *start, *end, half_width, COLOUR)
    expected = draw_segment_slowly(np.full((HEIGHT, WIDTH), BLANK, np.int64), start, end, half_width)
    assert_same_pictures(surface.pixels, expected)
    assert_changes_are_marked(surface)


@settings(max_examples=150, deadline=None)
@given(point, point)
def test_clipping_keeps_what_is_in_the_picture(start, end) -> None:
    t0, t1 = raster.clip(*start, *end, WIDTH, HEIGHT)
    for t in np.linspace(0, 1, 101):
        x, y = (1 - t) * np.array(start) + t * np.array(end)
        margin = min(x, WIDTH - x, y, HEIGHT - y)
        if margin > 1e-9:
            assert t0 - 1e-9 <= t <= t1 + 1e-9
        elif margin < -1e-9:
            assert not t0 + 1e-9 < t < t1 - 1e-9


def test_dashes_run_on_from_side_to_side() -> None:
    """Around a rectangle of 10 by 6, eight pixels on and eight off: the short sides fall into the gaps."""
    xs, ys = np.array([4.0, 14.0, 14.0, 4.0]), np.array([3.0, 3.0, 9.0, 9.0])
    surface = blank_surface()
    raster.draw_outline(surface, xs, ys, 4, 1.0, 0x00FF, COLOUR)
    dashes = [((4, 3), (12, 3)), ((14, 9), (6, 9))]
    expected = np.full((HEIGHT, WIDTH), BLANK, np.int64)
    for start, end in dashes:
        expected = draw_segment_slowly(expected, start, end, 1.0)
    np.testing.assert_array_equal(surface.pixels, expected)


def test_solid_outlines_are_their_four_sides() -> None:
    corners = [(4.3, 3.1), (20.2, 5.0), (18.0, 12.7), (6.0, 11.0)]
    surface = blank_surface()
    raster.draw_outline(surface, *np.array(corners).T.copy(), 4, 2.5, raster.SOLID, COLOUR)
    expected = np.full((HEIGHT, WIDTH), BLANK, np.int64)
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        expected = draw_segment_slowly(expected, start, end, 1.75)
    assert_same_pictures(surface.pixels, expected)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_averages_are_those_of_opencv(resolution: int) -> None:
    cv2 = pytest.importorskip("cv2")
    factor = SIZE // resolution
    rng = np.random.default_rng(resolution)
    pixels = rng.integers(2**32, size=(SIZE, SIZE), dtype=np.uint32)
    # Flat halves of neighbouring levels make means that lie exactly between two values.
    pixels[: SIZE // 2] = np.where(rng.random((SIZE // 2, SIZE)) < 0.5, 0x00204060, 0x00214161)
    tile = factor if factor > 2 else 4
    surface = raster.Surface(pixels, np.ones((SIZE // tile, SIZE // tile), np.uint8), tile)
    image = np.zeros((resolution, resolution, 3), np.uint8)
    averaging.average(surface, factor, image)
    rgb = np.ascontiguousarray(pixels.view(np.uint8).reshape(SIZE, SIZE, 4)[..., :3])
    expected = cv2.resize(rgb, (resolution, resolution), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(image, expected)


def test_averaging_leaves_untouched_tiles_alone() -> None:
    pixels = np.full((SIZE, SIZE), COLOUR, np.uint32)
    touched = np.zeros((96, 96), np.uint8)
    touched[3, [0, 1, 5, 95]] = 1
    image = np.zeros((96, 96, 3), np.uint8)
    averaging.average(raster.Surface(pixels, touched, 4), 4, image)
    np.testing.assert_array_equal(image.any(-1), touched)
    np.testing.assert_array_equal(image[3, 95], [204, 102, 26])


def test_instance_ids_have_eight_bits() -> None:
    with pytest.raises(ValueError, match="8 bits"):
        pack((0, 0, 0), 256)
