from __future__ import annotations

from collections.abc import Callable

import pytest

from manual_clock import ManualClock
from portcast.web.keepalive import Keepalive, shared

INTERVAL_S = 25.0
TIMEOUT_S = 8.0


class Client:
    """A connection that keeps what the wheel asks of it, with the time."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.keepalive_slot = -1
        self.is_ping_pending = False
        self.pings: list[float] = []
        self.timed_out_at: float | None = None
        self.on_ping: Callable[[], object] = lambda: None

    def send_ping(self) -> None:
        self.pings.append(self._clock.time())
        self.on_ping()

    def ping_timed_out(self) -> None:
        assert self.timed_out_at is None, "once"
        self.timed_out_at = self._clock.time()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def wheel(clock: ManualClock) -> Keepalive:
    return Keepalive(clock, interval_s=INTERVAL_S, timeout_s=TIMEOUT_S)


def joined(wheel: Keepalive, clock: ManualClock) -> Client:
    client = Client(clock)
    wheel.add(client)
    return client


def pinged(wheel: Keepalive, clock: ManualClock) -> Client:
    """A client that has just been pinged."""
    client = joined(wheel, clock)
    while not client.pings:
        clock.advance(1)
    return client


def test_first_pings_are_spread(wheel: Keepalive, clock: ManualClock) -> None:
    """A thousand clients that reconnect together must not be pinged together for ever."""
    begun = clock.time()
    clients = [joined(wheel, clock) for _ in range(500)]
    clock.advance(INTERVAL_S + 1)
    moments = [client.pings[0] - begun for client in clients]
    assert min(moments) >= INTERVAL_S / 2
    assert max(moments) <= INTERVAL_S + 1
    assert len(set(moments)) >= 10


def test_one_timer_serves_all(wheel: Keepalive, clock: ManualClock) -> None:
    """A timer per connection would cost more than the connection's own state."""
    clients = [joined(wheel, clock) for _ in range(100)]
    for _ in range(60):
        clock.advance(1)
        for client in clients:
            if client.is_ping_pending:
                wheel.answered(client)
        assert clock.timers == 1
    assert all(len(client.pings) >= 2 for client in clients)


def test_what_is_due_happens_within_a_second(wheel: Keepalive, clock: ManualClock) -> None:
    """Never early, at most a bucket late, for pings and for timeouts."""
    client = pinged(wheel, clock)
    wheel.answered(client)
    answered_at = clock.time()
    clock.advance(INTERVAL_S + 1)
    assert INTERVAL_S <= client.pings[1] - answered_at <= INTERVAL_S + 1
    clock.advance(TIMEOUT_S + 1)
    assert client.timed_out_at is not None
    assert TIMEOUT_S <= client.timed_out_at - client.pings[1] <= TIMEOUT_S + 1


def test_a_pong_in_time_keeps_a_client(wheel: Keepalive, clock: ManualClock) -> None:
    """The next ping is due an interval later, and nothing times out before."""
    client = pinged(wheel, clock)
    clock.advance(TIMEOUT_S - 1)
    wheel.answered(client)
    clock.advance(INTERVAL_S - 1)
    assert (len(client.pings), client.timed_out_at) == (1, None)


def test_who_timed_out_is_forgotten(wheel: Keepalive, clock: ManualClock) -> None:
    """Nothing more is asked of a connection that ends."""
    client = pinged(wheel, clock)
    clock.advance(TIMEOUT_S + 1)
    assert client.timed_out_at is not None
    clock.advance(3 * INTERVAL_S)
    assert len(client.pings) == 1
    assert clock.timers == 0


@pytest.mark.parametrize("was_pinged", [False, True], ids=["before a ping", "after a ping"])
def test_who_was_removed_is_left_alone(wheel: Keepalive, clock: ManualClock, was_pinged: bool) -> None:
    """A lost connection must not be written to, nor ended twice."""
    client = pinged(wheel, clock) if was_pinged else joined(wheel, clock)
    wheel.remove(client)
    clock.advance(3 * INTERVAL_S)
    assert len(client.pings) == was_pinged
    assert client.timed_out_at is None


def test_removing_one_leaves_the_others(wheel: Keepalive, clock: ManualClock) -> None:
    """They may stand in the same bucket."""
    clients = [joined(wheel, clock) for _ in range(50)]
    for client in clients[::2]:
        wheel.remove(client)
    clock.advance(INTERVAL_S + 1)
    assert [len(client.pings) for client in clients] == [0, 1] * 25


def test_removing_twice_or_a_stranger_does_nothing(wheel: Keepalive, clock: ManualClock) -> None:
    """A connection that was refused has never been added."""
    wheel.remove(Client(clock))
    client = joined(wheel, clock)
    wheel.remove(client)
    wheel.remove(client)
    assert clock.timers == 0


def test_the_timer_runs_only_while_there_are_connections(wheel: Keepalive, clock: ManualClock) -> None:
    """Connections that come and go leave nothing behind."""
    for _ in range(100):
        client = joined(wheel, clock)
        assert clock.timers == 1
        clock.advance(0.7)
        wheel.remove(client)
        assert clock.timers == 0
    assert not wheel._slots


def test_one_of_a_bucket_may_remove_another(wheel: Keepalive, clock: ManualClock) -> None:
    """The end of one connection may end another, which must not be pinged nor come back into the wheel."""
    first, second = Client(clock), Client(clock)
    for client, other in ((first, second), (second, first)):
        wheel.add(client)
        wheel.answered(client)  # both an interval from now
        client.on_ping = lambda other=other: wheel.remove(other)  # type: ignore[misc]
    clock.advance(INTERVAL_S + 1)
    assert sorted([len(first.pings), len(second.pings)]) == [0, 1]
    assert clock.timers == 1


def test_the_last_one_may_leave_while_it_is_pinged(wheel: Keepalive, clock: ManualClock) -> None:
    """Then the timer stops; and starts again, once, for who comes in the same moment."""
    client = joined(wheel, clock)
    late: list[Client] = []

    def leave() -> None:
        wheel.remove(client)
        late.append(joined(wheel, clock))

    client.on_ping = leave
    clock.advance(INTERVAL_S + 1)
    assert late
    assert clock.timers == 1
    clock.advance(INTERVAL_S + 1)
    assert len(late[0].pings) == 1


class BlockedClock(ManualClock):
    """A clock that jumps: the loop did not run meanwhile."""

    def jump(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._now += seconds


def test_a_blocked_loop_does_not_kill_those_whose_pong_waits() -> None:
    """uvloop calls timers before it reads sockets: after a long block every pong would be late."""
    clock = BlockedClock()
    wheel = Keepalive(clock, interval_s=INTERVAL_S, timeout_s=TIMEOUT_S)
    alive, dead = joined(wheel, clock), joined(wheel, clock)
    for client in (alive, dead):
        wheel.answered(client)  # both an interval from now
    clock.advance(INTERVAL_S + 1)
    assert (len(alive.pings), len(dead.pings)) == (1, 1)
    clock.jump(TIMEOUT_S + 10)
    clock.advance(0)
    assert (alive.timed_out_at, dead.timed_out_at) == (None, None)
    wheel.answered(alive)  # its pong lay in the socket
    clock.advance(2)
    assert alive.timed_out_at is None
    assert dead.timed_out_at is not None


def test_a_blocked_loop_pings_all_that_are_due() -> None:
    """Several buckets are due at once; none is lost."""
    clock = BlockedClock()
    wheel = Keepalive(clock, interval_s=INTERVAL_S, timeout_s=TIMEOUT_S)
    clients = [joined(wheel, clock) for _ in range(50)]
    clock.jump(10 * INTERVAL_S)
    clock.advance(0)
    assert [len(client.pings) for client in clients] == [1] * 50
    assert clock.timers == 1


def test_a_timer_that_fires_early_does_nothing_yet(wheel: Keepalive, clock: ManualClock) -> None:
    """An event loop may call back up to its clock's resolution too soon."""
    client = joined(wheel, clock)
    wheel._tick()
    assert not client.pings
    clock.advance(INTERVAL_S + 1)
    assert len(client.pings) == 1


def test_without_a_timeout_pings_go_on_unanswered(clock: ManualClock) -> None:
    """``ws_ping_timeout`` None means that nobody waits for pongs; proxies still see traffic."""
    wheel = Keepalive(clock, interval_s=INTERVAL_S, timeout_s=None)
    client = joined(wheel, clock)
    clock.advance(4 * (INTERVAL_S + 1))
    assert len(client.pings) >= 3
    assert client.timed_out_at is None


def test_the_connections_of_one_server_share_a_wheel(clock: ManualClock) -> None:
    """And two servers in one process do not: their intervals differ."""

    class Server:
        pass

    one, other = Server(), Server()
    wheel = shared(clock, one, 1, 1)
    assert shared(clock, one, 1, 1) is wheel
    assert shared(clock, other, 1, 1) is not wheel
