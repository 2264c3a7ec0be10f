"""A clock without waiting: time stands still until a test moves it.

It offers what `portcast.runtime.clock.Clock` asks of an event loop. Callbacks run in the order in which a loop would
run them: those of a tick first, then the timers that are due, oldest first.

Two ways to use it. By itself, under a hub or a registry in a synchronous test: then it also holds what `call_soon` is
given, until `ManualClock.tick`. Inside a running app (`portcast.testing.in_memory`), where `ticking` joins the two:
ticks are those of the real loop, and only what waits for a time waits for the test.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from portcast.runtime.clock import Clock, Timer


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
    """Seconds that pass when a test says so.

    ```python
    clock = ManualClock()
    async with in_memory(app, clock=clock) as gateway, TestDevice(gateway) as device:
        clock.advance(301)  # the idle timeout, 300 s, and the second between two looks at deadlines
        assert await device.wait_closed() == "idle_timeout"
    ```

    In an app it governs the deadlines of devices (first frame, idle, write), the patience with slow subscribers, the
    limits of their outboxes and the age of history. It does not govern what your own code waits for: ``asyncio.sleep``
    and ``asyncio.timeout`` take their time.
    """

    def __init__(self, now: float = 1000.0) -> None:
        """Begin at ``now`` seconds; any number will do, as on a monotonic clock."""
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
        """Let time pass, running what becomes due, each at its own time.

        Call it on the loop that runs the app. It returns before the app's tasks have run that this wakes up; whatever
        waits for their effect (`TestDevice.expect`, `Subscription.next`) lets them.

        Args:
            seconds: how many, at least 0. Deadlines of devices are looked at once a second: pass one second more.
        """
        end = self._now + seconds
        self.settle()
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heappop(self._timers)
            self._now = max(self._now, when)
            timer.run()
            self.settle()
        self._now = end


def ticking(clock: ManualClock) -> Clock:
    """Return a clock for a running app: the time and timers of ``clock``, and the ticks of the running loop."""
    return _Ticking(clock)


class _Ticking:
    """See `ticking`."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.time()

    def call_soon(self, callback: Callable[[], object], /) -> Timer:
        return asyncio.get_running_loop().call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        return self._clock.call_at(when, callback)
