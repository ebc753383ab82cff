"""Labels beside points that crowd."""

from __future__ import annotations

import numpy as np

from mint_rl.viz.labels import write_labels

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def written(points: list[tuple[int, int]], colours: list[tuple[int, int, int]]) -> np.ndarray:
    picture = np.zeros((120, 120, 3), np.uint8)
    texts = [str(number + 10) for number in range(len(points))]
    write_labels(picture, texts, np.array(points), colours, radius=4, scale=0.4)
    return picture


def place_of(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """The mean column and row of the strokes of one colour."""
    rows, columns = np.nonzero((picture == colour).all(-1))
    return float(columns.mean()), float(rows.mean())


def test_alone_a_label_stands_to_the_upper_right() -> None:
    x, y = place_of(written([(60, 60)], [RED]), RED)
    assert x > 64
    assert y < 60


def test_at_the_border_a_label_stays_inside() -> None:
    x, y = place_of(written([(118, 1)], [RED]), RED)
    assert x < 114
    assert y > 1


def test_neighbours_do_not_share_a_place() -> None:
    picture = written([(60, 60), (66, 60), (63, 55)], [RED, GREEN, BLUE])
    places = [place_of(picture, colour) for colour in (RED, GREEN, BLUE)]
    for one in range(3):
        for other in range(one):
            assert np.hypot(*np.subtract(places[one], places[other])) > 8
