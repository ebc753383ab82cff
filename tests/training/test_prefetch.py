"""Batches come in order, ready in time, and bring their errors with them."""

from __future__ import annotations

import threading
import time

import pytest

from mint_rl.training.prefetch import Prefetch


def test_batches_come_in_order_from_the_step_asked_for() -> None:
    with Prefetch(lambda step: step * 10, range(7, 12)) as batches:
        assert list(batches) == [70, 80, 90, 100, 110]
        assert list(batches) == []


def test_two_batches_are_made_ahead_and_no_more() -> None:
    made: list[int] = []
    enough = threading.Event()

    def make(step: int) -> int:
        made.append(step)
        if step == 3:  # two are ready, and this one waits for a place
            enough.set()
        return step

    with Prefetch(make, range(1, 100), depth=2) as batches:
        assert enough.wait(10)
        time.sleep(0.05)
        assert made == [1, 2, 3]
        assert next(batches) == 1


def test_what_goes_wrong_is_raised_where_its_batch_would_have_come() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise OSError("the disk is gone")
        return step

    with Prefetch(make, range(1, 5)) as batches:
        assert next(batches) == 1
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is gone"):
                next(batches)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with Prefetch(lambda step: step, range(10**9)) as batches:
        assert next(batches) == 0
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_waiting_is_counted() -> None:
    with Prefetch(lambda step: time.sleep(0.02), range(5)) as slow:
        list(slow)
    assert slow.waits >= 3
    assert slow.waited > 0.03
    with Prefetch(lambda step: step, range(5)) as quick:
        for _ in quick:
            time.sleep(0.02)
    assert quick.waits == 0
    assert quick.waited == 0.0
