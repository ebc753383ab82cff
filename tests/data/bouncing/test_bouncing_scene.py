"""Scenes: shapes of the area that is promised, objects that differ, rest apart and come from outside."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mint_rl.data.bouncing.scene import (
    COLOURS,
    MATERIALS,
    MEAN_AREA,
    RADII,
    SHAPES,
    corners,
    draw_scene,
)

TABLE = (1.5, 1.0)


def scenes(number: int = 60, most: int = 7):
    return [draw_scene(np.random.default_rng(seed), TABLE, 128, most) for seed in range(number)]


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_every_shape_has_the_area_of_its_disc(shape: str) -> None:
    points = corners(shape, 0.1)
    assert points is not None
    x, y = points.T
    shoelace = 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
    assert shoelace == pytest.approx(math.pi * 0.1**2)


def test_the_mean_area() -> None:
    assert corners("disc", 0.1) is None
    assert pytest.approx(math.pi * np.square(RADII).mean()) == MEAN_AREA


def test_objects_differ_and_all_kinds_occur() -> None:
    everything = [thing for things in scenes() for thing in things]
    assert {thing.shape for thing in everything} == set(SHAPES)
    assert {thing.colour for thing in everything} == set(COLOURS)
    assert {thing.material for thing in everything} == set(MATERIALS)
    assert {thing.radius for thing in everything} == set(RADII)
    for things in scenes():
        looks = [(thing.shape, thing.colour, thing.material) for thing in things]
        assert len(set(looks)) == len(looks) <= 7


def test_some_rest_some_move_and_some_come_from_outside() -> None:
    there = [thing for things in scenes() for thing in things if thing.frame == 0]
    assert any(thing.velocity == (0, 0) for thing in there)
    assert any(thing.velocity != (0, 0) for thing in there)
    for things in scenes():
        coming = [thing for thing in things if thing.frame > 0]
        assert coming
        for thing in coming:
            (x, y), (across, down) = thing.position, thing.velocity
            outside = max(-x, x - TABLE[0], -y, y - TABLE[1])
            assert outside > thing.reach
            inwards = across * (TABLE[0] / 2 - x) + down * (TABLE[1] / 2 - y)
            assert inwards > 0


def test_objects_lie_inside_and_apart() -> None:
    for things in scenes():
        there = [thing for thing in things if thing.frame == 0]
        for number, thing in enumerate(there):
            assert all(
                thing.reach < place < end - thing.reach
                for place, end in zip(thing.position, TABLE, strict=True)
            )
            for other in there[:number]:
                assert math.dist(thing.position, other.position) > thing.reach + other.reach


def test_few_objects() -> None:
    for things in scenes(most=2):
        assert 1 <= len(things) <= 2
