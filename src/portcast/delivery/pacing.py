"""When to flush: at the end of the tick, and never for more than a given share of the loop.

A flush that took ``d`` seconds forbids the next one before ``d * (1 / duty - 1)`` seconds after its end. An idle
server therefore adds no latency, a loaded one spends at most ``duty`` of its loop in flushing, batches grow with load
by themselves, and device reads are never starved (design: adaptive batching, with the measured table).

A short flush rests for longer than that: for `SHORT` times as long as it took, up to `REST_S`. Without it a server
whose flush takes half of the time between two messages writes each message by itself, and spends most of the core on
writes that nobody would have missed: seen with 500 subscribers at 1000 messages/s.
"""

from __future__ import annotations

SHORT = 8.0
"""With 10 subscribers a flush takes 20 µs, and rests for 160."""
REST_S = 0.003
"""Later than that a longer flush rests as the duty says. Twice this is what a message may wait for more."""


class FlushPacer:
    """Says how long a flush has to wait."""

    __slots__ = ("_not_before", "_rest")

    def __init__(self, duty: float) -> None:
        self._rest = 1.0 / duty - 1.0
        self._not_before = 0.0

    def flushed(self, started: float, ended: float) -> None:
        """Note a flush that took from ``started`` to ``ended``, seconds on one monotonic clock."""
        took = ended - started
        self._not_before = ended + self._rest * max(took, min(REST_S, SHORT * took))

    def delay(self, now: float) -> float:
        """Return how many seconds the next flush must wait; 0 or less means this tick."""
        return self._not_before - now
