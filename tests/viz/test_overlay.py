"""Keypoints in pictures: where they are drawn, and what is left alone."""

from pathlib import Path

import cv2
import numpy as np

from mint_rl.viz.overlay import contact_sheet, draw_keypoints, draw_trails, keypoint_colours, write_png


def _frame(value: int = 0) -> np.ndarray:
    return np.full((96, 96, 3), value, dtype=np.uint8)


def test_a_keypoint_is_drawn_in_its_colour_at_its_place() -> None:
    keypoints = np.array([[0.25, 0.75, 1.0], [0.5, 0.5, 0.0]], dtype=np.float32)
    picture = draw_keypoints(_frame(), keypoints, size=385)
    assert picture.shape == (385, 385, 3)
    np.testing.assert_array_equal(picture[288, 96], keypoint_colours(2)[0])
    # The second keypoint is inactive, and the rest of the picture is untouched.
    changed = np.argwhere(picture.any(axis=2))
    assert np.abs(changed - [288, 96]).max() < 10


def test_the_given_frame_is_not_changed() -> None:
    frame = _frame(7)
    draw_keypoints(frame, np.array([[0.5, 0.5, 1.0]], dtype=np.float32), size=96)
    assert (frame == 7).all()


def test_a_trail_joins_positions_only_where_the_keypoint_was_active() -> None:
    def at(x: float, status: float) -> np.ndarray:
        return np.array([[x, 0.5, status]], dtype=np.float32)

    joined = draw_trails(_frame(), [at(0.1, 1), at(0.9, 1)], size=201)
    broken = draw_trails(_frame(), [at(0.1, 0), at(0.9, 1)], size=201)
    assert joined[100, 100].any()
    assert not broken[100, 100].any()


def test_colours_are_distinct() -> None:
    assert len({tuple(c) for c in keypoint_colours(25)}) == 25


def test_contact_sheet_places_pictures_row_by_row() -> None:
    sheet = contact_sheet([_frame(i) for i in range(3)], columns=2, gap=1)
    assert sheet.shape == (195, 195, 3)
    assert sheet[1, 1, 0] == 0
    assert sheet[1, 98, 0] == 1
    assert sheet[98, 1, 0] == 2
    assert sheet[98, 98, 0] == 255


def test_png_keeps_every_pixel_in_rgb_order(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(path))[:, :, ::-1], picture)


def test_pictures_keep_their_shape() -> None:
    wide = np.zeros((40, 60, 3), np.uint8)
    points = np.array([[1.0, 1.0, 1.0]], dtype=np.float32)
    picture = draw_keypoints(wide, points, size=96)
    assert picture.shape == (64, 96, 3)
    np.testing.assert_array_equal(picture[63, 95], keypoint_colours(1)[0])
    assert draw_keypoints(np.zeros((60, 41, 3), np.uint8), points, size=30).shape == (30, 20, 3)


def test_inactive_keypoints_are_circles_on_request() -> None:
    off = np.array([[0.5, 0.5, 0.0]], dtype=np.float32)
    assert not draw_keypoints(_frame(), off, size=201).any()
    circle = draw_keypoints(_frame(), off, size=201, inactive=True)
    assert circle.any()
    assert not circle[100, 100].any()  # hollow


def test_old_parts_of_a_trail_are_fainter() -> None:
    history = [np.array([[x, 0.5, 1.0]], dtype=np.float32) for x in (0.1, 0.3, 0.5, 0.9)]
    picture = draw_trails(_frame(), history, size=201, length=3).astype(int)
    old, middle, recent = (picture[100, x].sum() for x in (40, 80, 140))
    assert 0 < old < middle < recent
    assert not draw_trails(_frame(), history, size=201, length=1)[100, 80].any()


def test_a_trail_of_no_length_is_the_keypoints_alone() -> None:
    history = [np.array([[x, 0.5, 1.0]], dtype=np.float32) for x in (0.1, 0.9)]
    np.testing.assert_array_equal(
        draw_trails(_frame(), history, size=96, length=0), draw_keypoints(_frame(), history[-1], size=96)
    )


def test_edges_join_active_keypoints() -> None:
    keypoints = np.array([[0.1, 0.5, 1], [0.9, 0.5, 1], [0.5, 0.9, 0]], dtype=np.float32)
    for drawn in (draw_keypoints, lambda frame, points, **more: draw_trails(frame, [points], **more)):
        picture = drawn(_frame(255), keypoints, size=201, edges=((0, 1), (1, 2)))
        assert (picture[100, 100] < 60).all()  # halfway between the first two, dark but for its edge
        assert (picture[140, 140] == 255).all()  # halfway to the one that is inactive
        assert (drawn(_frame(255), keypoints, size=201)[100, 100] == 255).all()
