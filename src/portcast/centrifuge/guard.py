"""The guard against a client that can never keep up: so many gaps a minute, then it must go.

Each gap costs the server a recovery. A client that is told of one subscribes again at once (centrifuge-js,
``_setSubscribing``), so without the guard a slow one would recover for ever instead of being closed as slow.
"""

from __future__ import annotations

WINDOW_S = 60.0
"""The minute; it slides, so that no two bursts can meet at its border."""


class GapGuard:
    """Counts the gaps of one connection. Invariant: it remembers at most ``limit`` times, rising."""

    __slots__ = ("_limit", "_times")

    def __init__(self, limit: int) -> None:
        """Prepare a guard.

        Args:
            limit: gaps within `WINDOW_S` that are allowed; 0 allows none.
        """
        self._limit = limit
        self._times: list[float] = []

    def allows(self, now: float) -> bool:
        """Count a gap; return False if it is one too many. One that is not allowed is not counted.

        Args:
            now: monotonic seconds.
        """
        times = self._times
        while times and times[0] <= now - WINDOW_S:
            del times[0]
        if len(times) >= self._limit:
            return False
        times.append(now)
        return True
