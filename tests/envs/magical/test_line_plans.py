"""Plans for MakeLine: a line is what MAGICAL scores as one, and carrying out the moves makes one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_rl.envs.magical.line_plans import Move, distance_to_segment, is_line, next_move
from mint_rl.envs.magical.motion import Point

coordinate = st.floats(-0.8, 0.8)
points = st.lists(st.builds(Point, coordinate, coordinate), min_size=3, max_size=4)


def row(*along: float, angle: float = 0.3) -> list[Point]:
    return [Point(position * math.cos(angle), position * math.sin(angle)) for position in along]


def test_a_row_is_a_line_until_a_gap_or_an_outlier() -> None:
    assert is_line(row(-0.45, -0.1, 0.25, 0.6))
    assert is_line(row(0.6, -0.1, 0.25, -0.45))  # whatever the order
    assert not is_line(row(-0.45, -0.1, 0.35, 0.7))  # a gap of 0.45
    bent = row(-0.45, -0.1, 0.25, 0.6, angle=0.0)
    assert is_line([*bent[:2], Point(0.25, 0.14), bent[3]])
    assert not is_line([*bent[:2], Point(0.25, 0.2), bent[3]])


@given(points)
@settings(max_examples=300, deadline=None)
def test_a_line_has_magicals_full_score(blocks: list[Point]) -> None:
    """Against MAGICAL's own definition, which is a little more generous."""
    from mint_rl.envs.magical import upstream

    longest_line = upstream.load()["make_line"].longest_line
    if min(math.dist(a, b) for i, a in enumerate(blocks) for b in blocks[:i]) < 0.01:
        return  # MAGICAL divides by the distance
    if is_line(blocks):
        assert longest_line(np.array(blocks), inlier_dist=0.18, max_separation=0.42) == len(blocks)


def test_the_block_that_is_missing_is_moved_into_the_gap() -> None:
    blocks = [*row(-0.35, 0.3, 0.6, angle=0.0), Point(-0.1, -0.7)]
    move = next_move(blocks, Point(0.0, -0.3))
    assert move is not None
    assert move.block == 3
    assert move.target.y == pytest.approx(0.0)
    assert -0.35 + 0.26 < move.target.x < 0.3 - 0.26  # between its neighbours, with room for the fingers


def test_nothing_to_do_in_a_line() -> None:
    assert next_move(row(-0.45, -0.1, 0.25, 0.6), Point(0.7, -0.7)) is None


def test_a_block_in_the_gripper_is_let_go_only_well_within_its_slot() -> None:
    """A line that was finished at its very edge teaches clones to stop where they fail."""
    for off, done in ((0.02, True), (0.12, False)):
        blocks = [Point(-0.42, 0.0), Point(-0.14, 0.0), Point(0.14, off), Point(0.42, 0.0)]
        assert next_move(blocks, Point(0.14, -0.3)) is None  # nobody would fetch it again
        assert (next_move(blocks, Point(0.14, -0.3), held=2, gripped=2) is None) == done


def test_the_block_in_the_gripper_goes_first_when_it_matters_little() -> None:
    blocks = [*row(-0.15, 0.15, angle=0.0), Point(-0.4, -0.6), Point(0.4, -0.6)]
    free = [next_move(blocks, Point(0.0, -0.6), held=block, gripped=block) for block in (2, 3)]
    assert [move.block for move in free if move] == [2, 3]


@given(points, st.builds(Point, coordinate, coordinate))
@settings(max_examples=200, deadline=None)
def test_carrying_out_the_moves_makes_a_line(blocks: list[Point], robot: Point) -> None:
    """Each block is put exactly where the plan says: after a few moves there is nothing left to do, and the
    plan of the moment was never given up for a longer one."""
    blocks = list(blocks)
    if min(math.dist(a, b) for i, a in enumerate(blocks) for b in blocks[:i]) < 0.24:
        return  # blocks cannot overlap
    for _ in range(5):
        move = next_move(blocks, robot)
        if move is None:
            break
        assert isinstance(move, Move)
        assert max(map(abs, move.target)) <= 0.82
        blocks[move.block] = robot = move.target
    assert is_line(blocks)


def test_distances_to_a_way() -> None:
    start, end = Point(0.0, 0.0), Point(2.0, 0.0)
    assert distance_to_segment(Point(1.0, 0.5), start, end) == pytest.approx(0.5)
    assert distance_to_segment(Point(-3.0, 4.0), start, end) == pytest.approx(5.0)
    assert distance_to_segment(Point(3.0, 0.0), start, start) == pytest.approx(3.0)
