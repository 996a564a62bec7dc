"""A stopwatch adds up what its clock says, stage by stage."""

from __future__ import annotations

import pytest

from blindsight.holder.stopwatch import Stopwatch


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def timed(watch, clock, stage, seconds, error=None):
    with watch.timing(stage):
        clock.now += seconds
        if error:
            raise error


def test_a_stage_that_comes_again_is_added_up():
    clock = Clock()
    watch = Stopwatch(["read", "write"], clock)
    for seconds in (1, 2, 4):
        timed(watch, clock, "read", seconds)
    timed(watch, clock, "write", 0.5)
    assert watch.seconds() == {"read": 7, "write": 0.5, "total": 7.5}


def test_stages_that_never_came_are_shown_in_their_order():
    assert list(Stopwatch(["b", "a"], Clock()).seconds()) == ["b", "a", "total"]


def test_the_total_counts_what_no_stage_counts():
    clock = Clock()
    watch = Stopwatch(["read"], clock)
    clock.now += 3
    timed(watch, clock, "read", 1)
    assert watch.seconds() == {"read": 1, "total": 4}


def test_a_stage_that_fails_has_taken_its_time():
    clock = Clock()
    watch = Stopwatch(["read"], clock)
    with pytest.raises(OSError, match="gone"):
        timed(watch, clock, "read", 2, OSError("gone"))
    assert watch.seconds()["read"] == 2


def test_seconds_are_rounded_to_milliseconds():
    clock = Clock()
    watch = Stopwatch(["read"], clock)
    timed(watch, clock, "read", 0.12345)
    assert watch.seconds()["read"] == 0.123
