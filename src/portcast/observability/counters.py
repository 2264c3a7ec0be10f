"""Counts of what happened, for statistics and metrics."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

from portcast.events import ConnectionClosed, Event, SubscriberClosed


@dataclass(frozen=True, slots=True)
class Count:
    """How often one kind of thing happened.

    Attributes:
        event: the event's class in snake case: ``connection_closed``.
        listener: the listener's name; empty for events that have none.
        reason: the event's reason; empty for events that have none. Of a subscriber the close code that it was told,
            and the first word of the reason if it was told none.
        value: how often, since the counters were made.
    """

    event: str
    listener: str
    reason: str
    value: int


@dataclass(frozen=True, slots=True)
class CounterStatistics:
    """A snapshot of all counters.

    Attributes:
        counts: by event, listener and reason, sorted.
        frames: whole frames of connections that have ended.
        bytes_received: of connections that have ended.
        bytes_sent: of connections that have ended.
        skipped_bytes: what framings threw away of connections that have ended.
        undelivered: frames received but not handled when their connection was aborted.
        delivered: publications written to subscribers that have left.
        dropped: publications not written to subscribers that have left.
    """

    counts: tuple[Count, ...]
    frames: int
    bytes_received: int
    bytes_sent: int
    undelivered: int
    skipped_bytes: int
    delivered: int
    dropped: int

    def total(self, event: str, *, listener: str | None = None, reason: str | None = None) -> int:
        """Return the sum of the counts of one event; None stands for every listener, every reason."""
        return sum(
            count.value
            for count in self.counts
            if count.event == event and listener in {None, count.listener} and reason in {None, count.reason}
        )


class Counters:
    """Counts events; an instance is an `Emit`.

    Its size is bounded by event classes x listeners x reasons: no connection, device or topic has a counter of its
    own, and reasons of subscribers, which are free text, are counted by their close code or their first word.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._sums: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        """Count one event."""
        listener = getattr(event, "listener", "")
        self._counts[event_name(event), listener, _reason(event)] += 1
        if isinstance(event, ConnectionClosed):
            self._sums["frames"] += event.frames
            self._sums["bytes_received"] += event.bytes_received
            self._sums["bytes_sent"] += event.bytes_sent
            self._sums["undelivered"] += event.undelivered
            self._sums["skipped_bytes"] += event.skipped_bytes
        elif isinstance(event, SubscriberClosed):
            self._sums["delivered"] += event.delivered
            self._sums["dropped"] += event.dropped

    def statistics(self) -> CounterStatistics:
        """Return a snapshot."""
        counts = tuple(Count(*key, value) for key, value in sorted(self._counts.items()))
        sums = self._sums
        return CounterStatistics(
            counts,
            frames=sums["frames"],
            bytes_received=sums["bytes_received"],
            bytes_sent=sums["bytes_sent"],
            undelivered=sums["undelivered"],
            skipped_bytes=sums["skipped_bytes"],
            delivered=sums["delivered"],
            dropped=sums["dropped"],
        )


def event_name(event: Event) -> str:
    """Return the name of an event's class in snake case: ``connection_closed``."""
    return _snake_case(type(event).__name__)


@cache
def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _reason(event: Event) -> str:
    reason: str = getattr(event, "reason", "")
    if isinstance(event, SubscriberClosed):
        if event.code:
            return str(event.code)
        return re.split(r"[^\w-]", reason, maxsplit=1)[0][:32]
    return reason
