"""Tests of `portcast.observability.counters`."""

from __future__ import annotations

import pytest

from portcast.events import (
    CloseReason,
    ConnectionClosed,
    ConnectionOpened,
    DrainStarted,
    Event,
    SubscriberClosed,
)
from portcast.observability.counters import Count, Counters, event_name
from portcast.types import ConnectionId, ListenerName


def opened(listener: str = "a") -> ConnectionOpened:
    return ConnectionOpened(ConnectionId("c1"), ListenerName(listener), "127.0.0.1:5")


def closed(reason: CloseReason, listener: str = "a") -> ConnectionClosed:
    return ConnectionClosed(
        ConnectionId("c1"),
        ListenerName(listener),
        "127.0.0.1:5",
        reason,
        "",
        3,
        100,
        7,
        1.5,
        undelivered=2,
        skipped_bytes=5,
    )


def test_events_are_counted_by_listener_and_reason() -> None:
    counters = Counters()
    for event in (opened(), opened("b"), closed("oversize"), closed("oversize"), closed("drain", "b")):
        counters(event)
    statistics = counters.statistics()
    assert statistics.counts == (
        Count("connection_closed", "a", "oversize", 2),
        Count("connection_closed", "b", "drain", 1),
        Count("connection_opened", "a", "", 1),
        Count("connection_opened", "b", "", 1),
    )
    assert statistics.total("connection_closed") == 3
    assert statistics.total("connection_closed", listener="a") == 2
    assert statistics.total("connection_closed", reason="drain") == 1
    assert statistics.total("connection_closed", listener="a", reason="drain") == 0


def test_what_connections_and_subscribers_carried_is_summed() -> None:
    counters = Counters()
    counters(closed("drain"))
    counters(closed("reset"))
    counters(SubscriberClosed("s1", "ws", "slow", 10, 4, 1.0))
    statistics = counters.statistics()
    assert (statistics.frames, statistics.bytes_received, statistics.bytes_sent) == (6, 200, 14)
    assert (statistics.undelivered, statistics.delivered, statistics.dropped) == (4, 10, 4)
    assert statistics.skipped_bytes == 10


def test_a_snapshot_does_not_change() -> None:
    counters = Counters()
    counters(opened())
    snapshot = counters.statistics()
    counters(opened())
    assert snapshot.total("connection_opened") == 1


def test_free_text_reasons_cannot_make_counters_without_end() -> None:
    """What a peer can vary must not become a key."""
    counters = Counters()
    for number in range(100):
        counters(SubscriberClosed(f"s{number}", "ws", f"slow: {number} missed", 0, 0, 1.0))
        counters(SubscriberClosed(f"s{number}", "centrifuge", f"user {number}", 0, 0, 1.0, 4500))
    counts = counters.statistics().counts
    assert counts == (Count("subscriber_closed", "", "4500", 100), Count("subscriber_closed", "", "slow", 100))


@pytest.mark.parametrize(
    ("event", "name"), [(opened(), "connection_opened"), (DrainStarted(1, 2, 3.0), "drain_started")]
)
def test_event_names(event: Event, name: str) -> None:
    assert event_name(event) == name
