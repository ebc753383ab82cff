"""Motion: friction and collisions as mechanics has them, and objects that are gone once they have left."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mint_rl.data.bouncing.motion import RATE, simulate
from mint_rl.data.bouncing.scene import Thing
from mint_rl.errors import UserError


def disc(x: float, speed: float, frame: int = 0, material: str = "rubber", y: float = 0.5) -> Thing:
    return Thing("disc", "red", material, 0.08, frame, (x, y), 0.0, (speed, 0.0), 0.0)


def test_friction_slows_at_a_constant_rate_and_metal_slides_further() -> None:
    rubber = simulate([disc(0.2, 0.3)], (4.0, 1.0), 200).poses[:, 0]
    assert rubber[-1, 0] - 0.2 == pytest.approx(0.3**2 / (2 * 0.12), rel=0.03)  # v² / 2a
    stopped = int(np.ceil(0.3 / 0.12 * RATE)) + 1
    assert (rubber[stopped:] == rubber[stopped]).all()
    metal = simulate([disc(0.2, 0.3, material="metal")], (4.0, 1.0), 200).poses[:, 0]
    assert metal[-1, 0] - 0.2 == pytest.approx(0.3**2 / (2 * 0.05), rel=0.03)


def test_a_head_on_collision_of_equals_passes_the_speed_on() -> None:
    motion = simulate([disc(0.2, 0.6), disc(0.6, 0.0)], (4.0, 1.0), 40)
    ((frame, *both),) = motion.hits
    assert both == [0, 1]
    speeds = np.diff(motion.poses[..., 0], axis=0) * RATE
    before, after = speeds[frame - 2], speeds[frame + 2]
    assert before[1] == 0
    assert after[1] == pytest.approx((1 + 0.85**2) / 2 * before[0], rel=0.08)
    assert after[0] == pytest.approx((1 - 0.85**2) / 2 * before[0], abs=0.03)


def test_objects_never_overlap_by_much() -> None:
    motion = simulate([disc(0.2, 0.9), disc(0.6, 0.0), disc(0.8, -0.5)], (1.0, 1.0), 60)
    assert len(motion.hits) >= 2
    x = motion.poses[..., 0]
    apart = np.stack([np.abs(x[:, a] - x[:, b]) for a, b in ((0, 1), (1, 2), (0, 2))])
    assert np.nanmin(apart) > 2 * 0.08 - 0.01


def test_objects_come_at_their_frame_and_are_gone_once_they_have_left() -> None:
    motion = simulate([disc(-0.1, 0.9, frame=7)], (1.0, 1.0), 60)
    there = motion.present[:, 0]
    first, last = np.flatnonzero(there)[[0, -1]]
    assert first == 7
    assert there[first : last + 1].all()
    assert last < 59
    assert 1.0 + 0.08 - 0.9 / RATE < motion.poses[last, 0, 0] < 1.0 + 0.08 + 0.05


def test_what_has_no_room_to_appear_waits() -> None:
    motion = simulate([disc(0.1, 0.25), disc(0.1, 0.1, frame=1)], (4.0, 1.0), 60)
    first = int(np.flatnonzero(motion.present[:, 1])[0])
    assert motion.poses[first, 0, 0] - 0.1 > 2 * 0.08
    assert not motion.hits


def test_a_missing_pymunk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymunk", None)
    with pytest.raises(
        UserError, match=r"^making videos of bouncing objects needs pymunk 5\.6\.0.*mint-rl\[magical\]'$"
    ):
        simulate([disc(0.5, 0)], (1.0, 1.0), 2)
