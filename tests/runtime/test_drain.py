from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portcast.events import (
    ConnectionClosed,
    DrainFinished,
    DrainStarted,
    HandlerAbandoned,
    ListenerStopped,
    SubscriberClosed,
)
from portcast.runtime import Connection, Hub, abort_all, drain
from runtime_kit import (
    Device,
    Events,
    FakeHandler,
    FakeSink,
    MakeConsumer,
    Publisher,
    Serving,
    eventually,
    handling,
    make_hub,
    relaying,
    serving,
    subscribe,
)

pytestmark = pytest.mark.anyio


class World:
    """A listener with a hub, and what a client sees of the end."""

    def __init__(self, it: Serving, hub: Hub, publisher: Publisher) -> None:
        self.it = it
        self.hub = hub
        self.publisher = publisher
        self.events: Events = it.events

    async def drain(self, timeout_s: float) -> float:
        """Drain, and return how many seconds that took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await drain([self.it.listener], self.it.registry, self.hub, timeout_s=timeout_s, emit=self.events)
        return loop.time() - started

    @property
    def finished(self) -> DrainFinished:
        (event,) = self.events.of(DrainFinished)
        return event

    async def busy(self, *lines: bytes) -> tuple[Device, Connection]:
        """Connect a device whose handler works on the first of its lines."""
        device, connection = await self.it.connected()
        await device.send(b"".join(line + b"\n" for line in lines or (b"1",)))
        await eventually(lambda: connection.is_busy and connection.frames == max(1, len(lines)))
        return device, connection


class Client(FakeSink):
    """A sink whose client leaves when it is told goodbye."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())

    def close(self, code: int, reason: str) -> None:
        super().close(code, reason)
        asyncio.get_running_loop().call_soon(self._owner.ended, "left")  # type: ignore[union-attr]  # bound by then


@asynccontextmanager
async def world(handler: FakeHandler | None = None, **options: Any) -> AsyncIterator[World]:
    """A relay to topic ``t``, or a handler."""
    hub = make_hub(asyncio.get_running_loop(), Events())
    publisher = Publisher(hub)
    make: MakeConsumer = handling(handler) if handler is not None else relaying(publisher.publish, hub)
    async with serving(make, **options) as it:
        yield World(it, hub, publisher)
    hub.abort()


async def test_an_idle_process_stops_at_once() -> None:
    """Idle connections do not hold the drain up; devices and subscribers are told."""
    async with world() as it:
        devices = [(await it.it.connected())[0] for _ in range(3)]
        client = Client()
        subscribe(it.hub, client)
        assert await it.drain(60) < 5
        for device in devices:
            assert await device.receive_all() == b""
        assert it.events.of(DrainStarted) == [DrainStarted(3, 1, 60)]
        assert (it.finished.is_clean, it.finished.detail) == (True, "")
        assert [event.reason for event in it.events.of(ConnectionClosed)] == ["drain"] * 3
        assert client.closed == [(1012, "server is restarting")]
        assert len(it.events.of(ListenerStopped)) == 1


async def test_every_frame_already_received_is_delivered() -> None:
    """Also what the kernel had received and we had not read; then the goodbye."""
    async with world() as it:
        client = Client()
        subscribe(it.hub, client)
        devices = [(await it.it.connected())[0] for _ in range(3)]
        for number, device in enumerate(devices):
            device.sock.send(b"".join(b"%d-%d\n" % (number, line) for line in range(1000)))
        await it.drain(10)
        for number in range(3):
            mine = [one for one in client.messages if bytes(one).startswith(b"%d-" % number)]  # type: ignore[call-overload]
            assert mine == [b"%d-%d" % (number, line) for line in range(1000)]
        assert client.closed == [(1012, "server is restarting")]
        assert it.finished.is_clean


async def test_busy_handlers_finish_what_was_received() -> None:
    """All of the inbox, and what they publish and answer on the way."""

    async def work(frame: bytes, connection: Connection) -> None:
        await asyncio.sleep(0.002)
        it.publisher("t", frame)
        await connection.send(frame)

    async with world(FakeHandler(work)) as it:
        client = Client()
        subscribe(it.hub, client)
        device, _ = await it.busy(*[b"%d" % number for number in range(20)])
        await it.drain(10)
        assert client.messages == [b"%d" % number for number in range(20)]
        assert await device.receive_all() == b"".join(b"%d\n" % number for number in range(20))
        assert it.finished.is_clean
        assert it.events.of(ConnectionClosed)[0].undelivered == 0


async def test_a_per_connection_handler_that_waits_for_a_frame_is_idle() -> None:
    """Its loop over frames ends, it returns, its dependencies are closed."""

    async def run(connection: Connection) -> None:
        async for _ in connection:
            pass
        await connection.send(b"goodbye")

    handler = FakeHandler(run=run)
    async with world(handler) as it:
        device, _ = await it.it.connected()
        assert await it.drain(60) < 5
        assert await device.receive_all() == b"goodbye\n"
        assert handler.closed_with == [None]
        assert it.finished.is_clean


async def test_a_handler_that_never_returns_is_cancelled_before_the_deadline() -> None:
    """It costs its own message; the others, and the goodbye to subscribers, are not affected."""

    async def work(frame: bytes, connection: Connection) -> None:
        if frame == b"stuck":
            await asyncio.Event().wait()
        it.publisher("t", frame)

    async with world(FakeHandler(work), target="handler on_reading") as it:
        client = Client()
        subscribe(it.hub, client)
        await it.busy(b"stuck", b"never handled")
        other, _ = await it.it.connected()
        await other.send(b"fine\n")
        await eventually(lambda: client.messages == [b"fine"])
        assert await it.drain(0.5) < 2
        assert (it.finished.is_clean, it.finished.detail) == (
            False,
            "1 handler cancelled (on_reading), 1 device aborted",
        )
        assert client.closed == [(1012, "server is restarting")]
        assert client.aborted == 0
        undelivered = {event.reason: event.undelivered for event in it.events.of(ConnectionClosed)}
        assert undelivered == {"drain": 2}
        assert not it.it.registry.tasks


@pytest.mark.row(23)
async def test_a_handler_that_ignores_its_cancellation_is_abandoned() -> None:
    """The deadline holds, and it is named."""
    stop = asyncio.Event()

    async def stubborn(frame: bytes, connection: Connection) -> None:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    async with world(FakeHandler(stubborn)) as it:
        client = Client()
        subscribe(it.hub, client)
        _, connection = await it.busy()
        await it.it.connected()
        assert await it.drain(0.3) < 2
        (abandoned,) = it.events.of(HandlerAbandoned)
        assert abandoned.connection_id == connection.id
        assert len(it.it.registry) == 0
        assert client.closed == [(1012, "server is restarting")]
        stop.set()


async def test_a_subscriber_that_does_not_read_is_aborted() -> None:
    """It gets its time, not more; what waited for it is counted."""
    async with world() as it:
        healthy, stuck = Client(), FakeSink()
        subscribe(it.hub, healthy)
        subscribe(it.hub, stuck)
        it.publisher("t", b"1")
        assert await it.drain(0.3) < 2
        assert healthy.messages == [b"1"]
        assert (stuck.closed, stuck.aborted) == ([(1012, "server is restarting")], 1)
        assert it.finished.detail == "1 subscriber aborted"
        assert it.hub.statistics().dropped == 1


async def test_a_device_that_does_not_read_is_aborted() -> None:
    """A close would wait for it for ever."""
    async with world(write_buffer_bytes=1024) as it:
        device, connection = await it.it.connected(receive_buffer=4096)
        await eventually(lambda: not connection.send_nowait(b"x" * 10_000))
        assert await it.drain(0.3) < 2
        assert it.finished.detail == "1 device aborted"
        assert device.sock.fileno() >= 0


async def test_frames_that_wait_for_a_held_topic_are_published_or_counted() -> None:
    """The slow subscriber that holds them keeps the drain for its patience only."""
    async with world() as it:
        stuck, healthy = FakeSink(), Client()
        subscribe(it.hub, stuck, "t")
        subscribe(it.hub, healthy, "t")
        it.publisher("t", *[b"x"] * 11)
        await eventually(lambda: it.hub.is_held("t") and len(healthy.messages) == 11)
        device, _ = await it.busy(b"held")
        await it.drain(1.5)
        assert healthy.messages[-1] == b"held"
        (closed,) = it.events.of(ConnectionClosed)
        assert (closed.reason, closed.undelivered) == ("drain", 0)
        assert await device.receive_all() == b""


async def test_no_time_at_all() -> None:
    """drain_timeout=0 stops at once, and nobody is accused of having been abandoned."""

    async def work(frame: bytes, connection: Connection) -> None:
        await asyncio.Event().wait()

    async with world(FakeHandler(work)) as it:
        subscribe(it.hub, FakeSink())
        await it.it.connected()
        await it.busy()
        assert await it.drain(0) < 2
        assert it.events.of(HandlerAbandoned) == []
        assert len(it.it.registry) == 0
        assert not it.finished.is_clean


async def test_a_sender_that_never_pauses_does_not_hold_it_up() -> None:
    """What the kernel has is read for a moment only; then reading ends."""
    async with world() as it:
        device, _ = await it.it.connected()

        async def flood() -> None:
            while True:
                await device.send(b"line\n" * 1000)

        sending = asyncio.ensure_future(flood())
        assert await it.drain(60) < 5
        sending.cancel()
        await asyncio.wait([sending])
        assert it.finished.is_clean


async def test_cancelling_it_says_so() -> None:
    """Connections stay open for whoever aborts them next."""

    async def work(frame: bytes, connection: Connection) -> None:
        await asyncio.Event().wait()

    async with world(FakeHandler(work)) as it:
        _, connection = await it.busy()
        draining = asyncio.ensure_future(it.drain(60))
        await eventually(lambda: connection.is_closing)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        assert (it.finished.is_clean, it.finished.detail) == (False, "cut short")
        assert connection.is_open
        await abort_all(it.it.registry, it.hub, until=0)
        assert len(it.it.registry) == 0
        assert not it.it.registry.tasks


async def test_abort_all_ends_everybody() -> None:
    """Devices, subscribers and whoever waits for a topic."""
    async with world() as it:
        device, _ = await it.it.connected()
        sink = FakeSink()
        subscribe(it.hub, sink)
        await abort_all(it.it.registry, it.hub, until=asyncio.get_running_loop().time() + 5)
        assert await device.receive_all() == b""
        assert sink.aborted == 1
        assert (len(it.it.registry), it.hub.subscribers) == (0, ())
        assert [event.reason for event in it.events.of(ConnectionClosed)] == ["aborted"]
        assert it.events.of(SubscriberClosed) == [], "the hub of this world tells others"
