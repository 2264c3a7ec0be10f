from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import time

import pytest

from portcast.brokers.base import Deliver
from portcast.config import GatewayOptions, ListenerOptions
from portcast.delivery import OutboxLimits
from portcast.errors import ListenError, TopicError
from portcast.events import ConnectionClosed, DrainFinished, DrainStarted, HandlerAbandoned, ListenerStarted
from portcast.framing import LineFraming
from portcast.history import HistoryLimits
from portcast.listen_url import ListenerConfig, listener_from_url
from portcast.publication import Meta, Position, Run
from portcast.runtime import Connection, ListenerPlan, Node
from portcast.topic_table import TopicTable
from portcast.topics import validate_topic
from runtime_kit import (
    LIMITS,
    Device,
    Events,
    FakeEncoding,
    FakeHandler,
    FakeSink,
    eventually,
    free_port,
    subscribe,
    turns,
)

pytestmark = pytest.mark.anyio


class FakeBroker:
    """Numbers publications and hands them to the hub; the rest of a broker is not the node's concern."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = False
        self._offsets: dict[str, int] = {}
        self._sequence = 0
        self._deliver: Deliver = lambda run: None

    def bind(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def start(self) -> None:
        self.calls.append("start")
        if self.fails:
            raise ConnectionRefusedError("no broker")

    async def stop(self) -> None:
        self.calls.append("stop")

    def publish_nowait(self, topic: str, payloads: Sequence[bytes], now: float, meta: Meta | None = None) -> Position:
        validate_topic(topic)
        offset = self._offsets.get(topic, 0)
        self._offsets[topic] = offset + len(payloads)
        self._deliver(Run(topic, "e", offset + 1, self._sequence + 1, now, list(payloads), meta))
        self._sequence += len(payloads)
        return Position("e", offset + len(payloads))


class Running:
    """A node at work."""

    def __init__(self, node: Node, broker: FakeBroker, events: Events) -> None:
        self.node = node
        self.broker = broker
        self.events = events
        self.devices: list[Device] = []

    async def connect(self, index: int = 0) -> Device:
        device = await Device.connect(self.node.listeners[index].address)
        self.devices.append(device)
        return device

    async def connected(self, index: int = 0) -> tuple[Device, Connection]:
        before = {connection.id for connection in self.node.registry}
        device = await self.connect(index)
        await eventually(lambda: len(self.node.registry) > len(before))
        (connection,) = (c for c in self.node.registry if c.id not in before)
        return device, connection


def state_of(node: Node) -> str:
    """The state now: a type checker takes it for what it was when asked before."""
    return node.state


def relay(topic: str = "t", url: str = "0", **options: object) -> ListenerPlan:
    return ListenerPlan(listener_from_url(url, topic=topic, options=options))


def handled(handler: FakeHandler, url: str = "0") -> ListenerPlan:
    return ListenerPlan(listener_from_url(url), handler)


def make_node(
    *plans: ListenerPlan,
    drain_timeout_s: float = 5.0,
    outbox: OutboxLimits | None = None,
    broker: FakeBroker | None = None,
) -> tuple[Node, FakeBroker, Events]:
    events, broker = Events(), broker or FakeBroker()
    node = Node(
        plans,
        broker=broker,  # type: ignore[arg-type]  # the part of a broker that a node uses
        options=GatewayOptions(drain_timeout_s=drain_timeout_s),
        outbox=outbox or OutboxLimits(),
        topics=TopicTable(history=HistoryLimits(publications=0)),
        emit=events,
    )
    return node, broker, events


@asynccontextmanager
async def running(*plans: ListenerPlan, **options: object) -> AsyncIterator[Running]:
    node, broker, events = make_node(*plans, **options)  # type: ignore[arg-type]  # options of make_node
    await node.start()
    it = Running(node, broker, events)
    try:
        yield it
    finally:
        node.hurry()
        stopping = asyncio.ensure_future(node.stop())
        await turns(2)
        node.hurry()
        await stopping
        for device in it.devices:
            device.close()
        await eventually(lambda: not node.registry.tasks and not node.registry.sockets)


class TestStart:
    async def test_starts_every_listener_in_order(self) -> None:
        """Each says what it serves; then the node is ready."""
        handler = FakeHandler()
        async with running(relay("logs"), handled(handler)) as it:
            assert state_of(it.node) == "ready"
            assert [one.target for one in it.events.of(ListenerStarted)] == ["topic logs", "handler on_reading"]
            assert it.broker.calls == ["start"]
            assert it.node.descriptors > 0
            assert it.node.registry.max_connections > 0
        assert it.node.state == "stopped"
        assert it.broker.calls == ["start", "stop"]

    async def test_nothing_is_left_bound_if_one_listener_cannot_bind(self) -> None:
        """The error names that one; the others' ports are free again, and nothing was announced."""
        free = free_port()
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            node, broker, events = make_node(relay("a", str(free)), relay("b", str(other.getsockname()[1])))
            with pytest.raises(ListenError, match="in use"):
                await node.start()
            with socket.socket() as again:
                again.bind(("127.0.0.1", free))
                again.listen()
        assert (node.state, broker.calls, events.all) == ("starting", [], [])

    async def test_nothing_is_left_bound_if_the_broker_cannot_start(self) -> None:
        """As for a listener."""
        broker = FakeBroker()
        broker.fails = True
        node, _, events = make_node(relay(), broker=broker)
        with pytest.raises(ConnectionRefusedError):
            await node.start()
        with pytest.raises(ConnectionRefusedError):
            await Device.connect(node.listeners[0].address)
        assert events.all == []


class TestPublishing:
    async def test_a_relay_publishes_and_a_handler_is_called(self) -> None:
        """The two kinds of listener, side by side in one process."""
        handler = FakeHandler()
        sink = FakeSink(asyncio.get_running_loop())
        async with running(relay("logs"), handled(handler)) as it:
            subscribe(it.node.hub, sink, "logs")
            await (await it.connect(0)).send(b"line\n")
            await (await it.connect(1)).send(b"reading\n")
            await eventually(lambda: sink.messages == [b"line"] and handler.frames == [b"reading"])

    async def test_publish_returns_the_position(self) -> None:
        """With and without waiting."""
        async with running() as it:
            assert await it.node.publish("t", b"1") == Position("e", 1)
            assert it.node.publish_nowait("t", [b"2", b"3"]) == Position("e", 3)
            with pytest.raises(TopicError):
                await it.node.publish("a/+", b"1")

    async def test_meta_travels_with_what_is_published(self) -> None:
        """With and without waiting."""
        meta = Meta({"k": "v"})
        sink, encoding = FakeSink(asyncio.get_running_loop()), FakeEncoding()
        async with running() as it:
            it.node.hub.subscribe(["t"], encoding, sink, transport="test", bind=sink.bind)
            await it.node.publish("t", b"1", meta)
            it.node.publish_nowait("t", [b"2"])
            it.node.publish_nowait("t", [b"3", b"4"], meta)
            await eventually(lambda: len(sink.messages) == 4)
        assert [(run.payloads, run.meta) for run in encoding.encoded] == [
            ([b"1"], meta),
            ([b"2"], None),
            ([b"3", b"4"], meta),
        ]

    async def test_publish_waits_while_the_topic_is_held(self) -> None:
        """And `publish_nowait` never does."""
        sink = FakeSink()
        async with running(outbox=LIMITS) as it:
            subscribe(it.node.hub, sink)
            it.node.publish_nowait("t", [b"x"] * 11)
            await turns()
            waiting = asyncio.ensure_future(it.node.publish("t", b"later"))
            await turns()
            assert not waiting.done()
            it.node.publish_nowait("t", [b"now"])
            sink.finish()
            assert await waiting == Position("e", 13)

    async def test_cancelling_a_publish_that_waits_publishes_nothing(self) -> None:
        """As it says."""
        sink = FakeSink()
        async with running(outbox=LIMITS) as it:
            subscribe(it.node.hub, sink)
            it.node.publish_nowait("t", [b"x"] * 11)
            await turns()
            waiting = asyncio.ensure_future(it.node.publish("t", b"never"))
            await turns()
            waiting.cancel()
            await asyncio.wait([waiting])
            assert it.node.publish_nowait("t", [b"next"]) == Position("e", 12)

    async def test_time_is_the_loops_and_can_be_told_in_unix_seconds(self) -> None:
        """Publications are stamped by a clock that never goes back."""
        async with running() as it:
            assert it.node.now() == pytest.approx(asyncio.get_running_loop().time(), abs=1)
            assert it.node.unix_time(it.node.now()) == pytest.approx(time(), abs=1)


async def stuck(frame: bytes, connection: Connection) -> None:
    await asyncio.Event().wait()


class TestDrain:
    async def test_a_second_call_waits_for_the_first(self) -> None:
        """Signal and lifespan both ask; there is one drain."""
        async with running(relay()) as it:
            first, second = (asyncio.ensure_future(it.node.drain()) for _ in range(2))
            await asyncio.sleep(0)
            assert state_of(it.node) == "draining"
            await asyncio.gather(first, second)
            await it.node.stop()
            await it.node.stop()
            assert len(it.events.of(DrainStarted)) == len(it.events.of(DrainFinished)) == 1
            assert it.node.state == "stopped"

    async def test_cancelling_a_caller_does_not_stop_the_drain(self) -> None:
        """Whoever waits may go; the drain ends all the same."""
        async with running(relay()) as it:
            caller = asyncio.ensure_future(it.node.drain())
            await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait([caller])
            await it.node.drain()
            assert it.events.of(DrainFinished)[0].is_clean

    @pytest.mark.parametrize("wait", [0, 1, 20], ids=["at once", "soon", "later"])
    async def test_hurry_ends_it_at_once(self, wait: int) -> None:
        """Whatever is left is aborted, whoever waits returns, long before the deadline."""
        async with running(handled(FakeHandler(stuck)), drain_timeout_s=60) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: connection.is_busy)
            draining = asyncio.ensure_future(it.node.drain())
            await asyncio.sleep(0)
            await turns(wait)
            it.node.hurry()
            it.node.hurry()
            await draining
            assert await device.receive_all() == b""
            await eventually(lambda: it.events.of(ConnectionClosed))
            assert it.events.closed.undelivered == 1
            assert not it.node.registry.tasks

    async def test_hurry_without_a_drain_does_nothing(self) -> None:
        """Before and after."""
        async with running(relay()) as it:
            it.node.hurry()
            assert it.node.state == "ready"
            await it.node.drain()
            it.node.hurry()
            assert it.events.of(DrainFinished)[0].is_clean

    async def test_a_cancelled_stop_aborts_what_is_left(self) -> None:
        """A server that gives up on us finds nothing bound, nothing running, and the broker let go."""
        async with running(handled(FakeHandler(stuck)), drain_timeout_s=60) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: connection.is_busy)
            stopping = asyncio.ensure_future(it.node.stop())
            await turns(10)
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            assert it.node.state == "stopped"
            assert it.broker.calls == ["start", "stop"]
            assert not it.node.registry.tasks
            assert it.events.of(HandlerAbandoned) == []
            with pytest.raises(ConnectionRefusedError):
                await it.connect()


async def test_a_plan_says_where_frames_go() -> None:
    """In words, for the start block and the API."""
    config: ListenerConfig = listener_from_url("8001", topic="logs")
    assert ListenerPlan(config).target == "topic logs"
    assert ListenerPlan(config, FakeHandler()).target == "handler on_reading"
    assert (config.framing, config.options) == (LineFraming(), ListenerOptions())
