"""Tests of `portcast.runtime.wall_time`."""

from __future__ import annotations

import pytest

from portcast.runtime.wall_time import STEP_S, WallTime


class Clocks:
    """Three clocks that go on as the test says."""

    def __init__(self) -> None:
        self.loop = 10.0
        self.monotonic = 500.0
        self.wall = 1_800_000_000.0

    def advance(self, seconds: float, *, loop_s: float | None = None) -> None:
        self.loop += seconds if loop_s is None else loop_s
        self.monotonic += seconds
        self.wall += seconds

    def wall_time(self) -> WallTime:
        return WallTime(lambda: self.loop, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


def test_a_stamp_has_one_time() -> None:
    """However old the loop's clock is when it is asked: uvloop's stands still during a tick."""
    clocks = Clocks()
    wall_time = clocks.wall_time()
    first = wall_time(9.0)
    assert first == 1_800_000_000.0 - 1
    for seconds, loop_s in [(0.0007, 0.0), (0.0005, 0.001), (3.0, 0.0), (1.0, 4.0)]:
        clocks.advance(seconds, loop_s=loop_s)
        assert wall_time(9.0) == first


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 2 * STEP_S, -2 * STEP_S])
def test_the_systems_clock_is_set(step_s: float) -> None:
    """A machine without a battery for its clock begins in 1970; it must not stay there."""
    clocks = Clocks()
    wall_time = clocks.wall_time()
    before = wall_time(10.0)
    clocks.advance(1.0)
    clocks.wall += step_s
    assert wall_time(10.0) == pytest.approx(before + step_s, abs=1e-6)


def test_small_corrections_change_nothing_until_they_add_up() -> None:
    """NTP moves the clock by fractions of a millisecond a second."""
    clocks = Clocks()
    wall_time = clocks.wall_time()
    before = wall_time(10.0)
    clocks.wall += STEP_S * 0.6
    assert wall_time(10.0) == before
    clocks.wall += STEP_S * 0.6
    assert wall_time(10.0) == pytest.approx(before + STEP_S * 1.2, abs=1e-6)


def test_made_in_a_long_tick() -> None:
    """The loop's clock was two seconds old; its next tick tells."""
    clocks = Clocks()
    clocks.advance(2.0, loop_s=0.0)
    wall_time = clocks.wall_time()
    clocks.loop += 2.0
    assert wall_time(clocks.loop) == pytest.approx(clocks.wall, abs=1e-6)


def test_the_real_clocks() -> None:
    """By default."""
    assert WallTime(lambda: 5.0)(5.0) == pytest.approx(WallTime(lambda: 7.0)(7.0), abs=1)
