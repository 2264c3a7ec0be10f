"""Unix time for what is stamped by the loop's clock: the same each time that it is asked for one stamp.

The difference of the two clocks is measured once, not each time: uvloop's `time()` is as old as the loop's tick, so two
measurements differ by milliseconds. It is measured anew when

* the system's clock was set, or the machine slept: it has moved against the monotonic one by more than `STEP_S`;
* the difference turns out smaller by more than that: then the loop's clock was old when it was measured. An old one
  makes the difference too large, never too small, as the loop's clock is read first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_S = 0.1
"""Most that a time may be wrong; above what slewing (NTP) and a busy tick do in a moment, below what people notice."""


class WallTime:
    """See the theory on top of the module."""

    __slots__ = ("_monotonic", "_now", "_offset", "_system", "_wall")

    def __init__(
        self,
        now: Callable[[], float],
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Measure the difference of the clocks.

        Args:
            now: returns what stamps are made of, monotonic seconds.
            wall: returns Unix seconds.
            monotonic: returns seconds by which to see that ``wall`` was set.
        """
        self._now = now
        self._wall = wall
        self._monotonic = monotonic
        self._offset, self._system = self._measure()

    def __call__(self, at: float) -> float:
        """Turn a stamp into Unix seconds."""
        offset, system = self._measure()
        if offset < self._offset - STEP_S or abs(system - self._system) > STEP_S:
            self._offset, self._system = offset, system
        return self._offset + at

    def _measure(self) -> tuple[float, float]:
        now, monotonic = self._now(), self._monotonic()
        wall = self._wall()
        return wall - now, wall - monotonic
