"""Lifetimes end when they must, and only a pong answers a ping."""

from __future__ import annotations

import pytest

from portcast.centrifuge.deadlines import FOREVER, MAX_TTL_S, NEVER, Heartbeat, Lifetime
from portcast.centrifuge.options import SessionOptions
from portcast.topics import validate_filter, validate_topic

OPTIONS = SessionOptions("portcast", validate_filter, validate_topic)


@pytest.mark.parametrize(
    ("lifetime", "is_over", "told", "until"),
    [
        (FOREVER, False, (False, 0), NEVER),
        (Lifetime(None, True), False, (False, 0), NEVER),
        (Lifetime(60), False, (False, 0), 160.0),
        (Lifetime(60, True), False, (True, 60), 185.0),
        (Lifetime(0, True), True, (True, 0), 125.0),
        (Lifetime(-5), True, (False, 0), 95.0),
        (Lifetime(10**12, True), False, (True, MAX_TTL_S), 125.0 + MAX_TTL_S),
    ],
    ids=["forever", "forever, refreshed", "server", "client", "at its end", "over", "too long for 32 bits"],
)
def test_lifetimes(lifetime: Lifetime, is_over: bool, told: tuple[bool, int], until: float) -> None:
    """The client is told of what it may refresh, and has the grace for that only."""
    assert (lifetime.is_over, lifetime.told, lifetime.until(100.0, 25.0)) == (is_over, told, until)


def test_pings_come_at_their_interval_and_once_after_a_stall() -> None:
    """The first when it is drawn, the next ones 25 s after each; a loop that stood still does not burst."""
    heart = Heartbeat(OPTIONS, 13.0)
    assert heart.deadline() == 13.0
    assert not heart.ping(12.9)
    assert heart.ping(13.0)
    assert heart.pong(14.0)
    assert heart.deadline() == 38.0
    assert heart.ping(1000.0)
    assert not heart.ping(1000.0)
    assert heart.pong(1001.0)
    assert heart.deadline() == 1025.0


def test_a_pong_is_due_in_time() -> None:
    """8 s after the ping (Centrifugo: ``client.pong_timeout``)."""
    heart = Heartbeat(OPTIONS, 13.0)
    heart.ping(13.0)
    assert heart.deadline() == 21.0
    assert not heart.is_overdue(20.9)
    assert heart.is_overdue(21.0)


def test_a_pong_without_a_ping_is_refused() -> None:
    """Before the first ping, and a second time after one."""
    heart = Heartbeat(OPTIONS, 13.0)
    assert not heart.pong(1.0)
    heart.ping(13.0)
    assert heart.pong(14.0)
    assert not heart.pong(14.0)
    assert not heart.is_overdue(1e9)


def test_the_pong_clock_stands_still_and_goes_on_with_what_was_left() -> None:
    """A command in progress gives no more time than it takes: other traffic does not replace a pong."""
    heart = Heartbeat(OPTIONS, 0.0)
    heart.stop(0.0)
    heart.resume(0.0)
    heart.ping(0.0)
    heart.stop(5.0)
    assert heart.deadline() == 25.0
    assert not heart.is_overdue(19.0)
    heart.resume(20.0)
    assert heart.deadline() == 23.0
    assert heart.is_overdue(23.0)


def test_pings_go_on_while_the_clock_stands_still_and_each_pong_is_welcome() -> None:
    """A client leaves without pings; and it answers each of them, however late the server reads that."""
    heart = Heartbeat(OPTIONS, 0.0)
    heart.ping(0.0)
    heart.stop(1.0)
    heart.ping(25.0)
    heart.resume(40.0)
    assert heart.deadline() == 48.0
    assert heart.pong(41.0)
    assert heart.deadline() == 49.0
    assert heart.pong(42.0)
    assert not heart.pong(42.0)


def test_without_pongs_a_ping_expects_nothing() -> None:
    """A transport may want the traffic and not the answer."""
    heart = Heartbeat(SessionOptions("portcast", validate_filter, validate_topic, pong_s=0), 1.0)
    assert heart.ping(1.0)
    assert not heart.is_overdue(20.0)
    assert not heart.pong(2.0)


def test_without_pings_there_is_no_deadline() -> None:
    """The transport has pings of its own."""
    heart = Heartbeat(SessionOptions("portcast", validate_filter, validate_topic, ping_s=0), 1.0)
    assert not heart.ping(1e9)
    assert heart.deadline() == NEVER
