"""Which blocks to move where, so that all of them stand in a line: the plan of the MakeLine expert.

A plan keeps two blocks where they are and gives every other one a slot on the line through them. Plans are
compared by what they cost from here, with the robot and the blocks where they are now. Carrying a plan out
makes it cheaper and leaves the others as they are, and a block that has reached its slot needs no move any
more: so the best plan of the moment is the one that was begun, and nothing has to be remembered.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mint_rl.envs.magical.motion import Point

# MAGICAL's score wants every block within 0.18 of a line through two of them, and neighbours along it at most
# 0.42 apart (magical/benchmarks/make_line.py). The finished line is better than that by a margin: who learns
# from pictures when to stop is off by some hundredths, and must not fail by it (`benchmarks/exact_state.py`).
_OFF_LINE, _GAP = 0.15, 0.39
# A free block stands on the line within the first of these; a block in the gripper within the second, much
# narrower one, so that it is let go where it belongs and nothing that comes after moves it off its slot.
_STANDS_OFF_LINE = {False: 0.15, True: 0.04}
_STANDS_ALONG = {False: 0.10, True: 0.03}
_SPACING = 0.28  # of the slots that extend a line at its ends
_NARROWEST = 0.26  # spacing of slots between two blocks: fingers must fit in, blocks have a radius of 0.12
# Widest spacing with 0, 1, 2 slots between the two blocks that stay: errors of placing must leave it below
# the gap.
_WIDEST = (0.405, 0.36, 0.33)
_ARENA = 0.82  # slots lie within this: a block against the wall is hard to place

# Costs, in arena units of driving.
_PER_MOVE = 1.0  # to grasp, to let go, to back away
_CARRYING = 1.3  # for each unit of way carried
_LET_GO = 1.5  # of the block in the gripper, for another one
_DETOUR, _CROWDED, _AT_WALL = 0.45, 1.5, 0.3
_STRETCHED = 10.0  # for each unit that slots lie wider than _SPACING
_CLEARANCE = 0.33  # robot's radius and block's radius
_REACH = 0.3  # from the robot to the block that it carries


class Move(NamedTuple):
    """Take a block, by its number, to a place."""

    block: int
    target: Point


class _Line(NamedTuple):
    """Places for the blocks `others` on the line through the block `origin` and the block `towards`."""

    origin: int
    towards: int
    others: tuple[int, ...]
    along: tuple[float, ...]  # distances of the places from `origin`; negative away from `towards`
    slack: float  # how far from its place along the line a block may stand
    price: float


def is_line(points: Sequence[Point]) -> bool:
    """Whether MAGICAL would give the full score, with a little to spare."""
    for origin, towards in itertools.combinations(points, 2):
        seen = [_on_line(origin, towards, point) for point in points]
        along = sorted(position for position, _ in seen)
        close = all(b - a <= _GAP for a, b in itertools.pairwise(along))
        if close and all(abs(off) <= _OFF_LINE for _, off in seen):
            return True
    return False


def next_move(
    points: Sequence[Point], robot: Point, held: int | None = None, gripped: int | None = None
) -> Move | None:
    """The first move of the cheapest plan; None when the blocks stand in a line or no plan fits the arena.

    `gripped` is the number of the block between the fingers, `held` the same if they have closed. While a
    block is held it is not enough that the blocks are a line: it has to lie well within its slot, unless it
    is one of the two that stay.
    """
    if held is None and is_line(points):
        return None
    best: tuple[float, Move | None] | None = None
    lines = list(_lines_through_two(points)) or list(_lines_through_one(points))
    for line in lines:
        for moves in _assignments(line, points, held):
            if not moves and held is None:
                continue  # as good as done, and yet no line: another plan mends it
            for order in itertools.permutations(moves):
                price = line.price + _cost(order, points, robot, gripped)
                if best is None or price < best[0]:
                    best = price, order[0] if order else None
    return best[1] if best else None


def _lines_through_two(points: Sequence[Point]) -> Iterator[_Line]:
    """Lines that keep two blocks, with the others evenly between them and beyond them on both sides."""
    for pair in itertools.combinations(range(len(points)), 2):
        gap = math.dist(points[pair[0]], points[pair[1]])
        others = tuple(number for number in range(len(points)) if number not in pair)
        for inside in range(len(others) + 1):
            spacing = gap / (inside + 1)
            if spacing > _WIDEST[inside] or (inside and spacing < _NARROWEST):
                continue
            for before in range(len(others) - inside + 1):
                after = len(others) - inside - before
                along = [spacing * (k + 1) for k in range(inside)]
                along += [-_SPACING * (k + 1) for k in range(before)]
                along += [gap + _SPACING * (k + 1) for k in range(after)]
                # two neighbours may both stand off their places, one that stays does not
                neighbours = 2 if max(before, inside, after) > 1 else 1
                slack = (_GAP - max(spacing if inside else 0.0, _SPACING)) / neighbours
                price = _STRETCHED * max(0.0, spacing - _SPACING)
                line = _Line(*pair, others, tuple(along), slack, price)
                if _fits_arena(line, points):
                    yield line


def _lines_through_one(points: Sequence[Point]) -> Iterator[_Line]:
    """Lines that keep one block and run towards another one: for when no two are at a useful distance."""
    for pair in itertools.permutations(range(len(points)), 2):
        others = tuple(number for number in range(len(points)) if number != pair[0])
        for before in range(len(others) + 1):
            along = [-_SPACING * (k + 1) for k in range(before)]
            along += [_SPACING * (k + 1) for k in range(len(others) - before)]
            line = _Line(*pair, others, tuple(along), slack=0.05, price=0.0)
            if _fits_arena(line, points):
                yield line


def _fits_arena(line: _Line, points: Sequence[Point]) -> bool:
    return all(max(abs(place.x), abs(place.y)) <= _ARENA for place in _places(line, points))


def _places(line: _Line, points: Sequence[Point]) -> list[Point]:
    origin, towards = points[line.origin], points[line.towards]
    share = 1.0 / (math.dist(origin, towards) or 1.0)
    dx, dy = share * (towards.x - origin.x), share * (towards.y - origin.y)
    return [Point(origin.x + distance * dx, origin.y + distance * dy) for distance in line.along]


def _assignments(line: _Line, points: Sequence[Point], held: int | None) -> Iterator[tuple[Move, ...]]:
    """For every way to give the places to the blocks, the moves that are still to be made."""
    origin, towards = points[line.origin], points[line.towards]
    seen = {block: _on_line(origin, towards, points[block]) for block in line.others}
    for slots in itertools.permutations(zip(line.along, _places(line, points), strict=True)):
        yield tuple(
            Move(block, place)
            for block, (position, place) in zip(line.others, slots, strict=True)
            if not _stands(seen[block], position, line.slack, block == held)
        )


def _stands(seen: tuple[float, float], position: float, slack: float, held: bool) -> bool:
    """Whether a block, seen from the line, is at its position on it."""
    along, off = seen
    return abs(off) <= _STANDS_OFF_LINE[held] and abs(along - position) <= min(slack, _STANDS_ALONG[held])


def _on_line(origin: Point, towards: Point, point: Point) -> tuple[float, float]:
    """Where a point is along the line and how far to its left."""
    length = math.dist(origin, towards) or 1.0
    dx, dy = (towards.x - origin.x) / length, (towards.y - origin.y) / length
    x, y = point.x - origin.x, point.y - origin.y
    return x * dx + y * dy, y * dx - x * dy


def _cost(order: Sequence[Move], points: Sequence[Point], robot: Point, gripped: int | None) -> float:
    """What the moves cost in this order: driving, carrying, going around, places that are hard to reach."""
    where = list(points)
    here = robot
    price = _LET_GO if gripped is not None and order and order[0].block != gripped else 0.0
    for block, target in order:
        source = where[block]
        others = [where[other] for other in range(len(where)) if other != block]
        carried = math.dist(source, target)
        price += _PER_MOVE + math.dist(here, source) + _CARRYING * carried
        price += _DETOUR * sum(distance_to_segment(other, here, source) < _CLEARANCE for other in others)
        price += _DETOUR * sum(distance_to_segment(other, source, target) < _CLEARANCE for other in others)
        price += _CROWDED * sum(math.dist(other, target) < _NARROWEST for other in others)
        price += _AT_WALL * (max(abs(source.x), abs(source.y)) > _ARENA)
        share = _REACH / max(carried, _REACH)
        here = Point(target.x + share * (source.x - target.x), target.y + share * (source.y - target.y))
        where[block] = target
    return price


def distance_to_segment(point: Point, start: Point, end: Point) -> float:
    """The distance from a point to the straight way from `start` to `end`."""
    dx, dy = end.x - start.x, end.y - start.y
    length = dx * dx + dy * dy
    share = ((point.x - start.x) * dx + (point.y - start.y) * dy) / length if length > 0 else 0.0
    share = min(1.0, max(0.0, share))
    return math.dist(point, (start.x + share * dx, start.y + share * dy))
