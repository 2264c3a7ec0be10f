"""A loop without waiting: time stands still until a test moves it.

It offers what `portcast.runtime.clock.Clock` asks of an event loop. Callbacks run in the order in which a loop would
run them: those of a tick first, then the timers that are due, oldest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class ManualTimer:
    """A callback that may still be cancelled."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    @property
    def is_waiting(self) -> bool:
        """True until it has run or was cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Make sure that it does not run."""
        self._callback = None

    def run(self) -> None:
        """Run unless cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class ManualClock:
    """See the theory on top of the module."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._ready: deque[ManualTimer] = deque()
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._numbers = count()

    def time(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def call_soon(self, callback: Callable[[], object], /) -> ManualTimer:
        """Run in the next `tick`."""
        timer = ManualTimer(callback)
        self._ready.append(timer)
        return timer

    def call_at(self, when: float, callback: Callable[[], object], /) -> ManualTimer:
        """Run once the time is ``when``."""
        timer = ManualTimer(callback)
        heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    @property
    def timers(self) -> int:
        """Timers that have not run and were not cancelled."""
        return sum(timer.is_waiting for _, _, timer in self._timers)

    def tick(self) -> None:
        """Run what `call_soon` was given so far, and not what that calls for in turn."""
        for _ in range(len(self._ready)):
            self._ready.popleft().run()

    def settle(self) -> None:
        """Tick until nothing is left to run now."""
        for _ in range(10_000):
            if not self._ready:
                return
            self.tick()
        raise AssertionError("something calls itself without end")

    def advance(self, seconds: float) -> None:
        """Let time pass, running what becomes due, each at its own time."""
        end = self._now + seconds
        self.settle()
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heappop(self._timers)
            self._now = max(self._now, when)
            timer.run()
            self.settle()
        self._now = end
