from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from portcast.runtime import Connection, Hub
from portcast.runtime.relay import MOST_AT_ONCE
from runtime_kit import FakeSink, Publisher, Serving, eventually, make_hub, relaying, serving, subscribe, turns

pytestmark = pytest.mark.anyio


class Sent:
    """Keeps what a relay publishes."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, topic: str, payloads: Sequence[bytes]) -> None:
        assert topic == "t"
        self.frames += payloads


class FakeHub:
    """Holds the topic while told to."""

    def __init__(self) -> None:
        self.is_holding = True
        self._callbacks: list[object] = []

    def is_held(self, name: str) -> bool:
        return self.is_holding

    def when_released(self, name: str, callback: object) -> None:
        self._callbacks.append(callback)

    def release(self) -> None:
        self.is_holding = False
        self.let_in()

    def let_in(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()  # type: ignore[operator]  # a callback is what was given


async def held(it: Serving) -> tuple[object, Connection]:
    """Connect a device whose first frames are held."""
    device, connection = await it.connected()
    await device.send(b"1\n2\n")
    await eventually(lambda: connection.is_busy)
    return device, connection


async def test_frames_go_straight_to_the_topic() -> None:
    """In order, without a task, and the connection is never busy."""
    sent = Sent()
    hub = make_hub(asyncio.get_running_loop())
    async with serving(relaying(sent, hub)) as it:
        device, connection = await it.connected()
        await device.send(b"1\n2\n")
        await device.send(b"3\n")
        await eventually(lambda: sent.frames == [b"1", b"2", b"3"])
        assert not connection.is_busy
        assert not it.registry.tasks
        device.end()
        await it.until_done()
        assert (it.events.closed.reason, it.events.closed.frames) == ("peer_closed", 3)
    hub.abort()


async def test_while_the_topic_is_held_frames_wait_and_the_device_is_not_read() -> None:
    """One read's worth waits here, the rest with the device; all come on release, in order."""
    sent, hub = Sent(), FakeHub()
    async with serving(relaying(sent, hub)) as it:  # type: ignore[arg-type]  # the part of a hub that a relay uses
        device, connection = await it.connected()
        await device.send(b"1\n")
        await eventually(lambda: connection.is_busy)
        assert not connection.is_reading
        await device.send(b"2\n")
        await turns(20)
        assert (sent.frames, connection.frames) == ([], 1)
        hub.release()
        await eventually(lambda: sent.frames == [b"1", b"2"])
        assert connection.is_reading
        assert not connection.is_busy


async def test_frames_that_come_while_some_wait_are_kept_behind_them() -> None:
    """A read that was under way when reading stopped."""
    sent, hub = Sent(), FakeHub()
    async with serving(relaying(sent, hub)) as it:  # type: ignore[arg-type]  # the part of a hub that a relay uses
        _, connection = await held(it)
        connection.data_received(b"3\n")
        hub.release()
        assert sent.frames == [b"1", b"2", b"3"]


async def test_a_long_read_asks_again_and_again() -> None:
    """One read may hold a hundred thousand tiny frames: after so many the topic may be held again."""
    published: list[int] = []
    hub = FakeHub()

    def publish(topic: str, payloads: Sequence[bytes]) -> None:
        published.append(len(payloads))
        hub.is_holding = True

    async with serving(relaying(publish, hub)) as it:  # type: ignore[arg-type]  # the part of a hub that a relay uses
        _, connection = await it.connected()
        hub.is_holding = False
        connection.data_received(b"x\n" * (2 * MOST_AT_ONCE + 1))
        assert published == [MOST_AT_ONCE]
        assert not connection.is_reading
        hub.let_in()
        assert published == [MOST_AT_ONCE], "still held"
        hub.release()
        assert published == [MOST_AT_ONCE] * 2
        assert connection.is_busy
        hub.release()
        assert published == [MOST_AT_ONCE, MOST_AT_ONCE, 1]
        assert not connection.is_busy
        assert connection.is_reading


async def test_held_frames_are_published_when_the_device_has_gone_meanwhile() -> None:
    """What was received is not lost with the socket; the connection is known until then."""
    sent, hub = Sent(), FakeHub()
    async with serving(relaying(sent, hub)) as it:  # type: ignore[arg-type]  # the part of a hub that a relay uses
        _, connection = await held(it)
        connection._transport.abort()
        await eventually(lambda: not it.registry.sockets)
        assert len(it.registry) == 1
        hub.release()
        assert sent.frames == [b"1", b"2"]
        await it.until_done()
        assert (it.events.closed.reason, it.events.closed.undelivered) == ("reset", 0)


async def test_the_drain_waits_for_held_frames() -> None:
    """An orderly end leaves them their turn."""
    sent, hub = Sent(), FakeHub()
    async with serving(relaying(sent, hub)) as it:  # type: ignore[arg-type]  # the part of a hub that a relay uses
        _, connection = await held(it)
        connection.end("drain")
        assert connection.is_busy
        hub.release()
        await it.until_done()
        assert sent.frames == [b"1", b"2"]
        assert (it.events.closed.reason, it.events.closed.undelivered) == ("drain", 0)


@pytest.mark.parametrize("how", ["abort", "close"])
async def test_what_is_lost_is_counted(how: str) -> None:
    """Held frames of a connection that ends at once are lost, and a later release changes nothing."""
    sent, hub = Sent(), FakeHub()
    async with serving(relaying(sent, hub)) as it:  # type: ignore[arg-type]  # the part of a hub that a relay uses
        _, connection = await held(it)
        if how == "abort":
            connection.abort("aborted")
        else:
            connection.close()
        await it.until_done()
        hub.release()
        assert (sent.frames, it.events.closed.undelivered) == ([], 2)


async def test_nobody_receives_from_a_relay() -> None:
    """There is no handler; and there is nothing to abandon."""
    async with serving(relaying(Sent(), make_hub(asyncio.get_running_loop()))) as it:
        _, connection = await it.connected()
        with pytest.raises(RuntimeError, match="no handler"):
            await connection.receive()
        connection._consumer.abandon()
        assert connection.is_open


async def bulk(hub: Hub, sink: FakeSink, lines: int) -> None:
    """Send lines through a relay to a subscriber that takes a batch at a time, in its own time."""
    publisher = Publisher(hub)
    subscribe(hub, sink, "t")
    async with serving(relaying(publisher.publish, hub)) as it:
        device, _ = await it.connected()
        sending = asyncio.ensure_future(device.send(b"".join(b"%d\n" % number for number in range(lines))))
        await eventually(lambda: len(sink.messages) == lines)
        await sending


async def test_a_bulk_feed_reaches_a_healthy_subscriber_whole() -> None:
    """`cat big.log | nc`: the device is slowed by TCP, the subscriber misses nothing, nothing is reordered."""
    hub = make_hub(asyncio.get_running_loop())
    sink = FakeSink(asyncio.get_running_loop())
    await bulk(hub, sink, 100_000)
    assert sink.messages == [b"%d" % number for number in range(100_000)]
    assert hub.statistics().removed == 0
    assert hub.statistics().slow > 1, "it was held again and again"
    hub.abort()
