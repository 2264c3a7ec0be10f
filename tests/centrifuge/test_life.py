"""What ends a connection by time, in each of its states."""

from __future__ import annotations

import pytest

from portcast.centrifuge.codes import CONNECTION_EXPIRED, NO_PONG, SERVER_ERROR, STALE
from portcast.centrifuge.deadlines import FOREVER, NEVER, Lifetime
from portcast.centrifuge.life import Life, State
from portcast.centrifuge.options import SessionOptions
from portcast.topics import validate_filter, validate_topic

OPTIONS = SessionOptions("portcast", validate_filter, validate_topic)


@pytest.fixture
def life() -> Life:
    return Life(OPTIONS, 100.0, 13.0)


def test_a_client_that_says_nothing_is_stale(life: Life) -> None:
    """10 s, absolute."""
    assert life.state is State.WAITING
    assert life.deadline() == 110.0
    assert life.verdict(109.9) is None
    assert life.verdict(110.0) is STALE


def test_an_app_that_does_not_decide_is_not_the_clients_fault(life: Life) -> None:
    """3004 lets it come back; its time counts from the command."""
    life.connecting(109.0)
    assert life.state is State.CONNECTING
    assert life.verdict(118.9) is None
    assert life.verdict(119.0) is SERVER_ERROR


def test_a_refused_client_must_leave(life: Life) -> None:
    """It keeps the deadline that it had."""
    life.connecting(101.0)
    life.refused()
    assert life.state is State.REFUSED
    assert life.verdict(111.0) is STALE


def test_nothing_beats_before_the_client_is_connected(life: Life) -> None:
    """Pings may come, and pongs are expected, from then on."""
    life.stop(101.0)
    life.resume(101.0)
    assert not life.ping(1000.0)
    assert not life.pong(101.0)


def test_a_connected_client_lives_by_its_heartbeat(life: Life) -> None:
    """The first ping at its drawn time; 3012 if the pong does not come in 8 s, during which no command was open."""
    life.connecting(101.0)
    life.connected(FOREVER, 102.0)
    assert life.state is State.CONNECTED
    assert life.deadline() == 115.0
    assert life.ping(115.0)
    assert life.deadline() == 123.0
    life.stop(116.0)
    assert life.verdict(130.0) is None
    assert life.deadline() == 140.0
    life.resume(130.0)
    assert life.verdict(136.9) is None
    assert life.verdict(137.0) is NO_PONG
    assert life.pong(137.0)
    assert life.verdict(137.0) is None


def test_a_lifetime_ends_after_its_grace_unless_it_is_kept(life: Life) -> None:
    """3005 at ttl + 25 s for a token; a new one counts from its arrival."""
    life.connected(Lifetime(60, True), 100.0)
    assert life.is_refreshed_by_client
    assert life.verdict(184.9) is None
    assert life.verdict(185.0) is CONNECTION_EXPIRED
    life.keep(Lifetime(10), 150.0)
    assert not life.is_refreshed_by_client
    assert life.verdict(160.0) is CONNECTION_EXPIRED


def test_the_end_leaves_no_deadline(life: Life) -> None:
    """Nothing is to be done for what has ended."""
    life.connected(Lifetime(60, True), 100.0)
    life.ping(113.0)
    life.end()
    assert life.state is State.ENDED
    assert life.deadline() == NEVER
    assert life.verdict(1e9) is None
    assert not life.ping(1e9)
