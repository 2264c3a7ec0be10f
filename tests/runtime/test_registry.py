from __future__ import annotations

from typing import cast

import pytest

from manual_clock import ManualClock
from portcast.events import ConnectionRefused
from portcast.runtime import Connection, Registry
from portcast.types import ConnectionId
from runtime_kit import eventually, recording, serving


class FakeConnection:
    """What the registry knows of a connection: its id and its deadlines."""

    def __init__(self, number: int, registry: Registry | None = None) -> None:
        self.id = ConnectionId(f"{number:012x}")
        self.checked: list[float] = []
        self._registry = registry

    def check_deadlines(self, now: float) -> None:
        self.checked.append(now)
        if self._registry is not None:
            self._registry.forget(as_connection(self))


def as_connection(fake: FakeConnection) -> Connection:
    return cast("Connection", fake)


def test_knows_its_connections() -> None:
    """By id, in the order of their coming, from add to forget."""
    registry = Registry(ManualClock(), max_connections=10)
    one, other = as_connection(FakeConnection(1)), as_connection(FakeConnection(2))
    registry.add(one)
    registry.add(other)
    assert (len(registry), list(registry)) == (2, [one, other])
    assert registry.get(one.id) is one
    assert registry.get("nobody") is None
    registry.forget(one)
    registry.forget(one)
    assert list(registry) == [other]


def test_may_be_changed_while_it_is_walked() -> None:
    """Ending a connection in a walk over all must not break the walk."""
    registry = Registry(ManualClock(), max_connections=10)
    for number in range(3):
        registry.add(as_connection(FakeConnection(number)))
    for connection in registry:
        registry.forget(connection)
    assert len(registry) == 0


def test_counts_sockets_against_the_budget() -> None:
    """Sockets count from accept to close, known connections or not."""
    registry = Registry(ManualClock(), max_connections=2)
    registry.socket_opened()
    assert registry.has_room
    registry.socket_opened()
    assert not registry.has_room
    registry.socket_closed()
    assert (registry.has_room, registry.sockets) == (True, 1)


def test_tells_all_listeners_of_room() -> None:
    """Each closed socket is told to everybody who asked: any of them may be waiting."""
    registry = Registry(ManualClock(), max_connections=1)
    told: list[str] = []
    registry.when_room(lambda: told.append("a"))
    registry.when_room(lambda: told.append("b"))
    registry.socket_opened()
    registry.socket_closed()
    assert told == ["a", "b"]


def test_one_ticker_watches_all_deadlines_while_there_are_any() -> None:
    """It starts with the first connection, ends after the last, and starts again."""
    clock = ManualClock(now=0.0)
    registry = Registry(clock, max_connections=10, tick_s=1.0)
    assert clock.timers == 0
    one, other = FakeConnection(1), FakeConnection(2)
    registry.add(as_connection(one))
    registry.add(as_connection(other))
    assert clock.timers == 1
    clock.advance(2.5)
    assert (one.checked, other.checked) == ([1.0, 2.0], [1.0, 2.0])
    registry.forget(as_connection(one))
    registry.forget(as_connection(other))
    clock.advance(1.0)
    assert clock.timers == 0
    registry.add(as_connection(one))
    clock.advance(1.0)
    assert one.checked == [1.0, 2.0, 4.5]


def test_a_deadline_may_end_the_connection() -> None:
    """Connections go in the middle of the ticker's walk."""
    clock = ManualClock(now=0.0)
    registry = Registry(clock, max_connections=10, tick_s=1.0)
    connections = [FakeConnection(number, registry) for number in range(3)]
    for connection in connections:
        registry.add(as_connection(connection))
    clock.advance(1.0)
    assert [one.checked for one in connections] == [[1.0]] * 3
    assert (len(registry), clock.timers) == (0, 0)


def test_close_stops_the_ticker() -> None:
    """Nothing is left on the loop."""
    clock = ManualClock()
    registry = Registry(clock, max_connections=10)
    registry.close()
    registry.add(as_connection(FakeConnection(1)))
    registry.close()
    assert clock.timers == 0


def test_a_lost_connection_is_told_before_its_room_is_given_away() -> None:
    """To whoever keeps something for it."""
    registry = Registry(ManualClock(), max_connections=1)
    told: list[tuple[Connection, int]] = []
    registry.when_lost(lambda connection: told.append((connection, registry.sockets)))
    registry.socket_opened()
    connection = as_connection(FakeConnection(1))
    registry.connection_lost(connection)
    assert told == [(connection, 1)]
    assert registry.has_room


@pytest.mark.anyio
async def test_reads_nobody_while_it_is_paused() -> None:
    """Whoever is connected waits and loses nothing; whoever comes is reset, counted, and may come later."""
    async with serving(recording()) as it:
        device, connection = await it.connected()
        it.registry.pause(True)
        assert not connection.is_reading
        await device.send(b"late\n")
        newcomer = await it.connect()
        assert await newcomer.receive_all() == b""
        (refused,) = it.events.of(ConnectionRefused)
        assert refused.reason == "memory"
        assert it.listener.statistics().errors == {"memory": 1}
        assert connection.frames == 0
        it.registry.pause(False)
        await eventually(lambda: connection.frames == 1, "it was not read")
        await it.connected()


@pytest.mark.anyio
async def test_a_connection_on_its_way_in_is_paused_too() -> None:
    """As one in a handshake: it was accepted before, and is read later."""
    async with serving(recording()) as it:
        await it.connected()
        (connection,) = it.registry
        it.registry.is_paused = True
        it.registry.add(connection)
        assert not connection.is_reading
        it.registry.pause(False)
        assert connection.is_reading


@pytest.mark.anyio
async def test_a_full_consumer_stays_unread_when_memory_is_enough() -> None:
    """Each reason not to read ends by itself."""
    async with serving(recording(pauses=True)) as it:
        device, connection = await it.connected()
        await device.send(b"x\n")
        await eventually(lambda: not connection.is_reading, "it is read")
        it.registry.pause(True)
        it.registry.pause(False)
        assert not connection.is_reading
        it.registry.pause(True)
        connection.resume_reading()
        assert not connection.is_reading
        it.registry.pause(False)
        assert connection.is_reading


@pytest.mark.anyio
async def test_reads_count_against_the_allowance() -> None:
    """Whoever spends the last of it has memory looked at, before the frames are handled."""
    async with serving(recording()) as it:
        spent: list[float] = []
        it.registry.allowance.left = 3
        it.registry.allowance.spent = lambda: spent.append(it.registry.allowance.left)
        device, connection = await it.connected()
        await device.send(b"x\n")
        await eventually(lambda: connection.frames == 1, "a frame")
        assert spent == []
        await device.send(b"y\n")
        await eventually(lambda: connection.frames == 2, "a frame")
        assert spent == [-1]
