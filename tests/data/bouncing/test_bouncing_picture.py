"""Pictures: masks are where the objects are, by an independent count, and frames show them there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mint_rl.data.bouncing.picture import Painter
from mint_rl.data.bouncing.scene import COLOURS, MATERIALS, SHAPES, Thing, corners


def thing(shape: str, colour: str = "red", material: str = "rubber") -> Thing:
    return Thing(shape, colour, material, 0.09, 0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0)


def painter(*things: Thing, size: tuple[int, int] = (96, 96), shadows: bool = True) -> Painter:
    return Painter(things, size, np.random.default_rng(0), shadows)


def poses(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


NOWHERE = (np.nan, np.nan, np.nan)


def covered(shape: str, pose: tuple[float, float, float], size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie in a shape, by OpenCV's test, on an outline of 1/1000 pixel."""
    side = min(size)
    points = corners(shape, 0.09)
    if points is None:
        turns = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        points = 0.09 * np.stack([np.cos(turns), np.sin(turns)], 1)
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    placed = (points @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]) * side
    outline = placed.astype(np.float32)[:, None]
    inside = [
        [cv2.pointPolygonTest(outline, (column + 0.5, row + 0.5), False) >= 0 for column in range(size[1])]
        for row in range(size[0])
    ]
    return np.array(inside)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pose", [(0.5, 0.4, 0.7), (0.03, 0.97, 2.0), (1.2, 0.5, -1.0)])
def test_a_mask_is_the_pixels_whose_centres_the_object_covers(
    shape: str, pose: tuple[float, float, float]
) -> None:
    size = (60, 90)
    _, mask = painter(thing(shape), size=size).draw(poses(pose))
    expected = covered(shape, pose, size)
    assert expected.any()
    assert ((mask == 1) != expected).sum() <= 1  # a centre on the outline itself


@pytest.mark.parametrize("shape", SHAPES)
def test_frames_change_where_the_mask_is_and_hardly_elsewhere(shape: str) -> None:
    draw = painter(thing(shape), shadows=False).draw
    empty, none = draw(poses(NOWHERE))
    frame, mask = draw(poses((0.5, 0.4, 0.7)))
    assert not none.any()
    changed = (frame != empty).any(-1)
    assert changed[mask == 1].all()
    near = cv2.dilate((mask == 1).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert not changed[~near].any()  # edges are soft over a pixel, corners over two


def test_every_look_differs_from_the_table_where_frames_are_binarised() -> None:
    """Each object has a channel in which it is dark; table and shadows are light in all."""
    for colour in COLOURS:
        for material in MATERIALS:
            frame, mask = painter(thing("disc", colour, material)).draw(poses((0.5, 0.5, 0.0)))
            dark = (frame < 128).any(-1)
            assert dark[mask == 1].mean() > 0.6
            beyond = cv2.dilate((mask == 1).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
            assert not dark[beyond].any()


def test_shadows_darken_the_table_beside_an_object_and_no_object() -> None:
    two = (thing("disc"), thing("square", "blue"))
    places = poses((0.5, 0.5, 0.0), (0.69, 0.55, 0.3))
    with_shadows, mask = painter(*two).draw(places)
    without, same = painter(*two, shadows=False).draw(places)
    assert np.array_equal(mask, same)
    darker = without.astype(int) - with_shadows
    assert darker[mask == 0].max() > 10
    inner = cv2.erode((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not darker[inner].any()


def test_sizes_show_the_same_scene() -> None:
    places = poses((0.5, 0.4, 0.7), (0.8, 0.7, 0.0))
    two = (thing("bar"), thing("disc", "green", "metal"))
    small, small_mask = painter(*two).draw(places)
    large, large_mask = painter(*two, size=(384, 384)).draw(places)
    shrunk = cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 1
    for identity in (1, 2):
        assert (large_mask == identity).mean() == pytest.approx((small_mask == identity).mean(), rel=0.05)
