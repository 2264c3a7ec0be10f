"""Pings and pong deadlines of all WebSockets, with one timer for all of them.

A timer per connection costs more than the connection's own state. Every connection waits for one thing at a time
(its next ping, or the pong), so it stands in exactly one bucket of a wheel; a bucket is a second, number ``n`` is due
at ``n * SLOT_S``. One ticker empties the buckets that are due. It runs only while there are connections.

Invariants: no bucket is empty; none is numbered below ``_next``; the timer runs exactly while there is a bucket, and
is due with bucket ``_next``.
"""

from __future__ import annotations

import random
from typing import Protocol

from portcast.runtime.clock import Clock, Timer

SLOT_S = 1.0
"""Width of a bucket: what is due happens up to that much later, never earlier."""


class Pinged(Protocol):
    """A connection, as the wheel sees it."""

    keepalive_slot: int
    """Its bucket; -1 for none. Kept by the wheel."""
    is_ping_pending: bool
    """True from ping to pong. Kept by the wheel."""

    def send_ping(self) -> None:
        """Send a ping."""
        ...

    def ping_timed_out(self) -> None:
        """End: no pong came in time."""
        ...


class Keepalive:
    """The wheel."""

    def __init__(self, clock: Clock, *, interval_s: float, timeout_s: float | None) -> None:
        """Make an empty wheel; it starts with the first connection.

        Args:
            clock: an event loop.
            interval_s: from pong to the next ping.
            timeout_s: for the pong; None to send pings and not to care.
        """
        self._clock = clock
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._slots: dict[int, set[Pinged]] = {}
        self._next = 0
        self._timer: Timer | None = None

    def add(self, connection: Pinged) -> None:
        """Begin with a connection: its first ping comes at a random moment of the second half of an interval.

        Without that a thousand clients that reconnect together would be pinged together for ever.
        """
        share = 0.5 + random.random() / 2  # noqa: S311 - spreads load, protects nothing
        self._put(connection, self._interval_s * share)

    def remove(self, connection: Pinged) -> None:
        """Forget a connection. Does nothing for one that is not here."""
        slot = self._slots.get(connection.keepalive_slot)
        if slot is not None:
            slot.discard(connection)
            if not slot:
                del self._slots[connection.keepalive_slot]
        connection.keepalive_slot = -1
        if not self._slots and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self, connection: Pinged) -> None:
        """Note a pong, or another sign of life: the next ping is due an interval from now."""
        connection.is_ping_pending = False
        self.remove(connection)
        self._put(connection, self._interval_s)

    def _put(self, connection: Pinged, delay_s: float) -> None:
        now = self._clock.time()
        number = int((now + delay_s) / SLOT_S) + 1
        connection.keepalive_slot = number
        self._slots.setdefault(number, set()).add(connection)
        if self._timer is None:
            self._next = int(now / SLOT_S) + 1
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_at(self._next * SLOT_S, self._tick)

    def _tick(self) -> None:
        now = int(self._clock.time() / SLOT_S)
        # Several buckets are due after the loop was blocked. Pongs may have come that nobody could read: uvloop calls
        # timers before it looks at sockets. So nobody times out now; they have one more second.
        is_late = now > self._next
        while self._next <= now:
            number = self._next
            self._next += 1
            for connection in self._slots.pop(number, ()):
                # One of them may have removed another.
                if connection.keepalive_slot == number:
                    self._turn(connection, is_late)
        if self._slots:
            self._arm()
        else:
            self._timer = None

    def _turn(self, connection: Pinged, is_late: bool) -> None:
        connection.keepalive_slot = -1
        if not connection.is_ping_pending:
            connection.is_ping_pending = self._timeout_s is not None
            self._put(connection, self._interval_s if self._timeout_s is None else self._timeout_s)
            connection.send_ping()
        elif is_late:
            self._put(connection, 0)
        else:
            connection.ping_timed_out()


def shared(clock: Clock, key: object, interval_s: float, timeout_s: float | None) -> Keepalive:
    """Return the wheel that all connections of one server share.

    Args:
        clock: the loop of the server.
        key: the server's state, which outlives its connections and takes the wheel along when it goes.
        interval_s: as for `Keepalive`.
        timeout_s: as for `Keepalive`.
    """
    wheel: Keepalive | None = getattr(key, _ATTRIBUTE, None)
    if wheel is None:
        wheel = Keepalive(clock, interval_s=interval_s, timeout_s=timeout_s)
        setattr(key, _ATTRIBUTE, wheel)
    return wheel


_ATTRIBUTE = "_portcast_keepalive"
