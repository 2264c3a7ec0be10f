from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from asgi_fakes import until
from gateway_serving import app_with, feed, http, port_of, running
from portcast import (
    Connection,
    ConnectionClosedError,
    DeviceRouter,
    Gateway,
    GatewayOptions,
    HistoryLimits,
    Key,
    ListenError,
    Meta,
    OutboxLimits,
    Position,
    Publication,
    Store,
    StoreFull,
    TagError,
    TopicError,
    TopicOptions,
)
from portcast.centrifuge.codes import PERMISSION_DENIED
from portcast.centrifuge.messages import SubscribeRequest
from portcast.centrifuge_options import CentrifugeOptions
from portcast.codecs import TextCodec
from portcast.config import parse_address
from portcast.delivery import Batch
from portcast.errors import CodecError, ConfigurationError
from portcast.events import ConnectionClosed, DrainFinished, DrainStarted, Event, ListenerStarted, LoopBlocked
from portcast.framing import FixedLengthFraming
from portcast.listen_url import listener_from_url
from portcast.permissions import ChannelPermissions
from portcast.testing import Subscription, TestDevice, in_memory
from portcast.web.encodings import WebSocketPlain
from portcast.web.sdk_access import Caller, Grant
from portcast.web.transports import TransportProbe

pytestmark = pytest.mark.anyio

LOCAL = "tcp://127.0.0.1:0"


def _history(gateway: Gateway, topic: str) -> list[bytes]:
    node = gateway._running()
    return [one.data for one in node.broker.history(topic, since=None, limit=100, is_reverse=False, now=node.now())]


class NeverReading:
    """A sink whose client takes nothing."""

    buffered = 0

    def write(self, batch: Batch) -> bool:
        return False

    def write_now(self, items: Sequence[object]) -> bool:
        return False

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...


class Reading(BaseModel):
    sensor: str
    celsius: float


# Inclusion


async def test_include_router_is_enough() -> None:
    """Listeners live in the lifespan of the app: they accept inside of it and not outside."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="logs")
    app = app_with(gateway)
    assert not gateway.is_running
    async with app.router.lifespan_context(app):
        assert gateway.is_running
        port = port_of(gateway)
        await feed(gateway, b"a\nb\n")
        await until(lambda: _history(gateway, "logs") == [b"a", b"b"], "two frames")
    assert not gateway.is_running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_the_lifespan_may_be_used_by_itself() -> None:
    """``FastAPI(lifespan=…)`` with the gateway's, or nested routers: wherever it is, it runs once."""
    gateway = Gateway()
    gateway.relay(LOCAL)
    outer = APIRouter()
    outer.include_router(gateway)
    app = FastAPI()
    app.include_router(outer)
    async with app.router.lifespan_context(app):
        assert gateway.listeners[0].state == "accepting"


async def test_including_it_twice_is_a_clear_error() -> None:
    """The listeners can be bound once; silently dropping one of the two would surprise later."""
    gateway = Gateway()
    gateway.relay(LOCAL)
    app = FastAPI()
    app.include_router(gateway)
    app.include_router(gateway, prefix="/again")
    with pytest.raises(ConfigurationError, match="included twice"):
        async with app.router.lifespan_context(app):
            pass
    assert not gateway.is_running


async def test_two_gateways_in_one_app() -> None:
    """Two objects are two gateways, each with its listeners and topics."""
    one, two = Gateway(), Gateway()
    one.relay(LOCAL, topic="x")
    two.relay(LOCAL, topic="x")
    app = app_with(one, prefix="/one")
    app.include_router(two, prefix="/two")
    async with app.router.lifespan_context(app):
        await feed(two, b"a\n")
        await until(lambda: _history(two, "x") == [b"a"], "a frame")
        assert _history(one, "x") == []


async def test_lifespans_of_the_user_run_around_it() -> None:
    """The app's, and one given to the gateway; their states are merged, and the gateway's is in it."""
    order: list[str] = []
    gateway: Gateway

    @asynccontextmanager
    async def of_the_app(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        order.append("app")
        yield {"db": "the pool"}
        order.append(f"app ends, gateway running: {gateway.is_running}")

    @asynccontextmanager
    async def of_the_gateway(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        order.append("gateway")
        yield {"own": 1}
        order.append(f"gateway ends, running: {gateway.is_running}")

    gateway = Gateway(lifespan=of_the_gateway)
    app = FastAPI(lifespan=of_the_app)
    app.include_router(gateway)
    async with app.router.lifespan_context(app) as state:
        assert state == {"db": "the pool", "own": 1, "portcast": gateway}
    assert order == ["app", "gateway", "gateway ends, running: False", "app ends, gateway running: False"]


async def test_the_same_app_starts_again() -> None:
    """As under a test client that is entered twice; positions of the first life are not taken for the second's."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="x")
    app = app_with(gateway)
    positions = []
    for _ in range(2):
        async with app.router.lifespan_context(app):
            await feed(gateway, b"a\n")
            await until(lambda: _history(gateway, "x") == [b"a"], "a frame")
            positions.append(gateway.publish_nowait("x", b"b"))
    assert positions[0].offset == positions[1].offset == 2
    assert positions[0].epoch != positions[1].epoch


# Failing starts


async def test_a_port_in_use_stops_the_start_and_leaves_nothing() -> None:
    """The error names the address; no listener that came before it stays bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = Gateway()
        gateway.relay(LOCAL, topic="free")
        gateway.relay(f"tcp://127.0.0.1:{taken.getsockname()[1]}", topic="taken")
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        app = app_with(gateway)
        with pytest.raises(ListenError, match=str(taken.getsockname()[1])):
            async with app.router.lifespan_context(app):
                pass
    assert not gateway.is_running
    assert {number: signal.getsignal(number) for number in before} == before
    async with app.router.lifespan_context(app):  # now the port is free
        assert gateway.is_running


@pytest.mark.parametrize("http_port", [9001, 9002])
async def test_ports_that_clash_are_found_before_anything_is_bound(http_port: int) -> None:
    """With the HTTP address, if the runner tells it, and among each other; the error names both."""
    gateway = Gateway()
    gateway.http_address = parse_address(f"127.0.0.1:{http_port}", "--http")
    gateway.relay("9001")
    gateway.relay("9002?topic=x")
    with pytest.raises(ConfigurationError, match=rf"127.0.0.1:{http_port}.*HTTP"):
        async with running(gateway):
            pass
    gateway = Gateway()
    gateway.relay("9001")
    gateway.relay("tcp://0.0.0.0:9001?topic=x")
    with pytest.raises(ConfigurationError, match="9001"):
        async with running(gateway):
            pass


async def test_a_handler_that_cannot_be_called_stops_the_start() -> None:
    """The error names it and its parameter, before anything is bound."""
    gateway = Gateway()

    @gateway.listen(LOCAL)
    async def handle(message: bytes, other: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"handle.*'other'|handle.*'message'"):
        async with running(gateway):
            pass


async def test_a_user_lifespan_that_fails_is_passed_on() -> None:
    """Nothing of the gateway has started then."""

    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    gateway = Gateway(lifespan=broken)
    with pytest.raises(ValueError, match="no database"):
        async with running(gateway):
            pass
    assert not gateway.is_running


# Handlers


async def test_the_probe_is_outermost_while_the_gateway_runs() -> None:
    """It is put around the middleware of the running application, and an application started again collects none."""
    app = app_with(Gateway())
    async with app.router.lifespan_context(app):
        assert app.middleware_stack is None, "a lifespan without the application, as in tests, is left alone"
    app.middleware_stack = stack = app.build_middleware_stack()
    for _ in range(2):
        async with app.router.lifespan_context(app):
            assert isinstance(app.middleware_stack, TransportProbe)
            assert app.middleware_stack.app is stack
        assert app.middleware_stack is stack


async def test_handlers_feel_like_path_operations() -> None:
    """A model per message, dependencies shared with HTTP, the gateway and its store by their types."""
    gateway = Gateway()

    def get_unit() -> str:
        return "°C"

    @gateway.listen(LOCAL)
    async def on_reading(
        reading: Reading,
        connection: Connection,
        the: Gateway,
        store: Store,
        unit: Annotated[str, Depends(get_unit)],
    ) -> None:
        store.set(reading.sensor, f"{reading.celsius} {unit}")
        await the.publish(f"sensors/{reading.sensor}", reading)
        await connection.send(b"ok")

    async with running(gateway):
        async with await anyio.connect_tcp("127.0.0.1", port_of(gateway)) as device:
            await device.send(b'{"sensor": "a", "celsius": 1.5}\n')
            assert await device.receive() == b"ok\n"
        assert _history(gateway, "sensors/a") == [b'{"sensor":"a","celsius":1.5}']
        assert gateway.store.get("a") == "1.5 °C"


async def test_overrides_of_the_app_are_honoured() -> None:
    """As they are when the app starts, so that a test replaces a dependency for HTTP and TCP alike."""
    gateway = Gateway()
    got: list[str] = []

    def get_session() -> str:
        return "the real one"

    def get_fake() -> Iterator[str]:
        yield "a fake"

    @gateway.listen(LOCAL)
    async def handle(message: bytes, session: Annotated[str, Depends(get_session)]) -> None:
        got.append(session)

    app = app_with(gateway)
    app.dependency_overrides[get_session] = get_fake
    for expected in ("a fake", "the real one"):
        async with app.router.lifespan_context(app):
            await feed(gateway, b"x\n")
            await until(lambda: got, "the handler")
        assert got.pop() == expected
        app.dependency_overrides.clear()


async def test_it_runs_in_a_plain_starlette_app() -> None:
    """No overrides there; the lifespan is all that is needed."""
    gateway = Gateway()

    @gateway.listen(LOCAL)
    async def handle(message: str) -> None:
        gateway.store.set("got", message)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with gateway.lifespan_context(app):
            yield

    app = Starlette(lifespan=lifespan)
    async with app.router.lifespan_context(app):
        await feed(gateway, b"x\n")
        await until(lambda: gateway.store.get("got") == "x", "the message")


async def test_listeners_may_be_declared_after_the_inclusion() -> None:
    """They are read at start; modules that declare handlers may be imported after the app is made."""
    gateway = Gateway()
    app = app_with(gateway)
    gateway.add_relay(listener_from_url(LOCAL, topic="late", framing=FixedLengthFraming(2)))

    @gateway.listen(LOCAL, codec=TextCodec(), name="later")
    async def handle(message: str) -> None: ...

    async with app.router.lifespan_context(app):
        assert gateway.listeners[0].target == "topic late"
        assert gateway.listeners[1].name == "later"
        await feed(gateway, b"abcd")
        await until(lambda: _history(gateway, "late") == [b"ab", b"cd"], "two frames")


async def test_groups_of_listeners() -> None:
    """An app spreads its handlers over files; each file has a router, as for HTTP."""
    gateway = Gateway()
    scales = DeviceRouter(topic_prefix="scales/")
    scales.relay(LOCAL, topic="a")

    @scales.listen(LOCAL)
    async def on_weight(weight: str, the: Gateway) -> None:
        the.publish_nowait("weights", weight)

    gateway.include_devices(scales)
    async with running(gateway):
        await feed(gateway, b"1\n")
        await feed(gateway, b"2\n", 1)
        await until(lambda: _history(gateway, "scales/a") == [b"1"], "the relay")
        await until(lambda: _history(gateway, "weights") == [b"2"], "the handler")


async def test_the_store_is_shared_with_http() -> None:
    """TCP handlers count, an HTTP route shows, and none of the updates is lost."""
    gateway = Gateway()
    app = app_with(gateway)

    async def add(old: int) -> int:
        await asyncio.sleep(0)
        return old + 1

    @gateway.listen(LOCAL)
    async def count(message: bytes, store: Store) -> None:
        await store.update("n", add, 0)

    @app.get("/count")
    async def show(request: Request) -> dict[str, object]:
        return {"n": gateway.store.get("n", 0)}

    async with app.router.lifespan_context(app), http(app) as client:
        for _ in range(5):
            await feed(gateway, b"x\n" * 10)
        await until(lambda: gateway.store.get("n") == 50, "all updates")
        assert (await client.get("/count")).json() == {"n": 50}


LATEST = Key("latest", "", notify=True)


async def test_changes_of_the_store_are_topics() -> None:
    """A subscriber begins with the last value, then sees each change; wildcards must begin with ``$store``."""
    gateway = Gateway()

    @gateway.listen(LOCAL)
    async def keep(message: str) -> None:
        gateway.store.set(LATEST.at("a"), message)

    gateway.store.set(LATEST.at("early"), "0")
    async with TestDevice(gateway) as device, Subscription(gateway) as everything:
        await device.send(b"1\n")
        await until(lambda: gateway.store.get(LATEST.at("a")) == "1", "the handler")
        async with Subscription(gateway, "$store/#", history=2) as live:
            await live.expect("$store/latest/early", {"value": "0", "is_set": True})
            await live.expect("$store/latest/a", {"value": "1", "is_set": True})
            await device.send(b"2\n")
            await live.expect("$store/latest/a", {"value": "2", "is_set": True})
        await everything.nothing()
    gateway.store.set(LATEST, "stopped")


async def test_a_slow_subscriber_of_the_store_gets_the_newest_of_each_key() -> None:
    """What was true for a moment is not worth waiting for; the last value of every key is."""
    gateway = Gateway(outbox=OutboxLimits(soft_messages=1))
    async with in_memory(gateway), Subscription(gateway, "$store/#") as live:
        live.stop_taking()
        for value in range(50):
            gateway.store.set(LATEST.at("a"), str(value))
            gateway.store.set(LATEST.at("b"), str(value))
            await asyncio.sleep(0)
        live.take_again()
        seen: dict[str, bytes] = {}
        while len(seen) < 2 or b"49" not in seen["$store/latest/a"] or b"49" not in seen["$store/latest/b"]:
            await live._changes.until(lambda: live._sink.items, 10)
            item = live._sink.items.popleft()
            if isinstance(item, Publication):
                seen[item.topic] = item.data
        assert live.closed is None


async def test_what_a_former_process_kept_of_the_store_is_taken_back(tmp_path: Path) -> None:
    """History outlives the process and the store does not: its topics say so, instead of what is no more."""
    options = GatewayOptions(state_dir=str(tmp_path))
    gateway = Gateway(options=options)
    async with running(gateway):
        gateway.store.set(LATEST, "1")
    other = Gateway(options=options)
    async with running(other):
        assert _history(other, "$store/latest") == [b'{"value":null,"is_set":false}']


async def test_the_store_has_room_for_so_many() -> None:
    """The option of the process reaches it."""
    gateway = Gateway(options=GatewayOptions(store_keys=1))
    gateway.store.set("a", 1)
    with pytest.raises(StoreFull):
        gateway.store.set("b", 1)


# Publishing


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        pytest.param(b"\xff", b"\xff", id="bytes"),
        pytest.param("grüße", "grüße".encode(), id="text"),
        pytest.param(Reading(sensor="a", celsius=1), b'{"sensor":"a","celsius":1.0}', id="model"),
        pytest.param({"a": [1, None]}, b'{"a":[1,null]}', id="JSON"),
    ],
)
async def test_publish_takes_values(value: object, payload: bytes) -> None:
    """Bytes as they are, text as UTF-8, everything else as JSON; with or without waiting."""
    gateway = Gateway()
    async with running(gateway):
        first = await gateway.publish("a", value)
        second = gateway.publish_nowait("a", value)
        assert (first.offset, second.offset) == (1, 2)
        assert _history(gateway, "a") == [payload, payload]


async def test_tags_travel_with_a_publication() -> None:
    """With or without waiting; none at all is no meta at all."""
    gateway = Gateway()
    async with running(gateway):
        await gateway.publish("a", "1", tags={"unit": "C"})
        gateway.publish_nowait("a", "2", tags={"unit": "C"})
        gateway.publish_nowait("a", "3", tags={})
        held = gateway._running().broker.history("a", since=None, limit=9, is_reverse=False, now=0.0)
        assert [one.meta for one in held] == [Meta({"unit": "C"}), Meta({"unit": "C"}), None]


async def test_what_cannot_be_published() -> None:
    """The error says whose fault it is, and nothing is published."""
    gateway = Gateway()
    async with running(gateway):
        with pytest.raises(TopicError):
            await gateway.publish("a/#", b"")
        with pytest.raises(TopicError):
            gateway.publish_nowait("", b"")
        with pytest.raises(CodecError):
            await gateway.publish("a", object())
        with pytest.raises(TagError):
            await gateway.publish("a", b"", tags={"": "v"})
        assert _history(gateway, "a") == []


async def test_outside_its_life_it_says_so() -> None:
    """A clear error instead of a message that goes nowhere."""
    gateway = Gateway()
    for use in (
        lambda: gateway.publish_nowait("a", b""),
        lambda: gateway.listeners,
        lambda: gateway.max_connections,
        lambda: gateway.connection("x"),
    ):
        with pytest.raises(RuntimeError, match="not running: it starts with the app"):
            use()
    with pytest.raises(RuntimeError, match="not running"):
        await gateway.publish("a", b"")
    await gateway.drain()
    gateway.hurry()


# Options, events, the end


async def test_options_reach_what_they_are_for() -> None:
    """Each dataclass its own concern."""
    events: list[Event] = []
    gateway = Gateway(options=GatewayOptions(max_connections=7, drain_timeout_s=3), on_event=events.append)
    gateway.relay(LOCAL, name="one")
    async with running(gateway):
        assert gateway.max_connections == 7
        assert [one.listener for one in events if isinstance(one, ListenerStarted)] == ["one"]
    assert [one.deadline_s for one in events if isinstance(one, DrainStarted)] == [3]
    assert isinstance(events[-1], DrainFinished)
    assert events[-1].is_clean


async def test_history_outlives_the_gateway_in_its_state_dir(tmp_path: Path) -> None:
    """The whole of it, for any gateway with that directory, once; a directory that cannot be used is an error."""
    options = GatewayOptions(state_dir=str(tmp_path / "state"))
    gateway = Gateway(options=options)
    async with running(gateway):
        before = gateway.publish_nowait("a", "1")
    other = Gateway(options=options)
    async with running(other):
        assert other.publish_nowait("a", "2") == Position(before.epoch, 2)
        assert _history(other, "a") == [b"1", b"2"]
        unlucky = Gateway(options=options)
        async with running(unlucky):
            assert unlucky.publish_nowait("a", "x").epoch != before.epoch
    (tmp_path / "file").write_text("")
    refused = Gateway(options=GatewayOptions(state_dir=str(tmp_path / "file")))
    refused.relay(LOCAL)
    with pytest.raises(ConfigurationError, match="state_dir"):
        async with running(refused):
            pass


async def test_topics_have_their_history() -> None:
    """By filter, by namespace and by listener, whose word is stronger; the first of two listeners counts."""
    gateway = Gateway(
        history=HistoryLimits(publications=4),
        topics={"few/#": TopicOptions(history=2), "none:": TopicOptions(history=0)},
    )
    gateway.relay(LOCAL, topic="few/listened", history=3, patience=7)
    gateway.relay(LOCAL, topic="few/listened", history=1)
    async with running(gateway):
        for topic in ("few/1", "none:1", "few/listened", "other"):
            for _ in range(5):
                gateway.publish_nowait(topic, "x")
        held = {topic: len(_history(gateway, topic)) for topic in ("few/1", "none:1", "few/listened", "other")}
        assert held == {"few/1": 2, "none:1": 0, "few/listened": 3, "other": 4}
        audiences = gateway._running().hub._audiences
        assert (audiences.of("few/1").policy, audiences.of("none:1").policy) == ("catch_up", "disconnect")
        assert (audiences.of("few/listened").patience_s, audiences.of("few/1").patience_s) == (7, 0.5)


async def test_events_may_be_watched_for_a_while() -> None:
    """Beside `on_event`; one that raises keeps them from nobody."""
    events: list[Event] = []
    gateway = Gateway()
    gateway.relay(LOCAL)

    def raising(event: Event) -> None:
        raise ZeroDivisionError

    stop_watching = gateway.watch(events.append)
    gateway.watch(raising)()
    async with running(gateway):
        assert [type(one) for one in events] == [ListenerStarted]
        stop_watching()
    assert len(events) == 1


async def test_what_runs_is_known_to_the_packages_above() -> None:
    """And only while it runs."""
    gateway = Gateway()
    async with running(gateway):
        assert gateway.node.listeners is gateway.listeners
    with pytest.raises(RuntimeError, match="not running"):
        _ = gateway.node


async def test_topics_have_their_patience() -> None:
    """By filter; where there is no patience a slow subscriber never holds anybody."""
    gateway = Gateway(outbox=OutboxLimits(soft_messages=1), topics={"rude/#": TopicOptions(patience_s=0)})
    async with running(gateway):
        hub = gateway._running().hub
        subscriber = hub.subscribe(["#"], WebSocketPlain(), NeverReading(), transport="test")
        for topic in ("rude/a", "polite"):
            gateway.publish_nowait(topic, b"1")
            gateway.publish_nowait(topic, b"2")
        assert (hub.is_held("rude/a"), hub.is_held("polite")) == (False, True)
        subscriber.abort("over")


@pytest.mark.parametrize(("publications", "policy"), [(100, "catch_up"), (0, "disconnect")])
async def test_the_default_policy_knows_whether_there_is_history(publications: int, policy: str) -> None:
    """Nobody can catch up from what is not kept."""
    gateway = Gateway(history=HistoryLimits(publications=publications))
    async with running(gateway):
        subscriber = gateway._running().hub.subscribe(["#"], WebSocketPlain(), NeverReading(), transport="test")
        assert subscriber.outbox.policy == policy
        subscriber.abort("over")


async def test_a_connection_is_found_by_its_id() -> None:
    """So that an HTTP route can speak to a device."""
    gateway = Gateway()

    @gateway.listen(LOCAL)
    async def echo(connection: Connection) -> None:
        async for frame in connection:
            gateway.store.set(frame.decode(), connection.id)

    async with running(gateway):
        async with await anyio.connect_tcp("127.0.0.1", port_of(gateway)) as device:
            await device.send(b"hello\n")
            await until(lambda: "hello" in gateway.store, "the handler")
            number = gateway.store.get("hello", "")
            connection = gateway.connection(number)
            assert connection is not None
            await connection.send(b"from HTTP")
            assert await device.receive() == b"from HTTP\n"
        await until(lambda: gateway.connection(number) is None, "the end")
        with pytest.raises(ConnectionClosedError):
            await connection.send(b"too late")


async def test_a_drain_may_be_begun_by_the_application() -> None:
    """Once; the end of the lifespan then finds it over."""
    events: list[Event] = []
    gateway = Gateway(on_event=events.append)
    gateway.relay(LOCAL)
    async with running(gateway):
        await gateway.drain()
        assert gateway.listeners[0].state == "stopped"
        gateway.hurry()  # nothing is left to hurry
        await gateway.drain()
    assert sum(isinstance(one, DrainFinished) for one in events) == 1


async def test_hurry_aborts_what_is_left_at_once() -> None:
    """A handler that never returns does not hold up who asked twice."""
    events: list[Event] = []
    gateway = Gateway(on_event=events.append)

    @gateway.listen(LOCAL)
    async def stuck(message: bytes) -> None:
        await asyncio.Event().wait()

    async with running(gateway), await anyio.connect_tcp("127.0.0.1", port_of(gateway)) as device:
        await device.send(b"x\n")
        await until(lambda: gateway.listeners[0].statistics().frames, "the frame")
        gateway.hurry()
        assert not any(isinstance(one, ConnectionClosed) for one in events), "no drain has begun"
        drain = asyncio.ensure_future(gateway.drain())
        await until(lambda: gateway.listeners[0].state == "stopped", "the drain")
        gateway.hurry()
        await asyncio.wait([drain])
        await until(lambda: any(isinstance(one, ConnectionClosed) for one in events), "the abort")
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await device.receive()
    (closed,) = [one for one in events if isinstance(one, ConnectionClosed)]
    assert closed.undelivered == 1


async def test_cancelling_the_lifespan_stops_it() -> None:
    """As a server does that runs out of patience: nothing stays bound."""
    gateway = Gateway()
    gateway.relay(LOCAL)
    port = 0

    async def live() -> None:
        nonlocal port
        async with running(gateway):
            port = port_of(gateway)
            await asyncio.Event().wait()

    task = asyncio.ensure_future(live())
    await until(lambda: port, "the start")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not gateway.is_running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


# The rules for SDK clients


async def test_rules_are_there_while_it_runs() -> None:
    """They are made at start, of what was given."""
    permissions = {"news:": ChannelPermissions(subscribe="anyone")}
    gateway = Gateway(permissions=permissions, history=HistoryLimits(publications=0))
    with pytest.raises(RuntimeError, match="not running"):
        _ = gateway._access
    async with running(gateway):
        nobody = Caller("c", "", b"", {}, HTTPConnection({"type": "http"}))
        assert gateway._access.subscribe(nobody, SubscribeRequest("news:1")) == Grant(mode="none")
        assert gateway._access.subscribe(nobody, SubscribeRequest("other")) == PERMISSION_DENIED
    with pytest.raises(RuntimeError, match="not running"):
        _ = gateway._access


async def test_an_open_address_without_rules_is_refused() -> None:
    """Before anything is bound; where the address is not known, clients are looked at one by one."""
    gateway = Gateway()
    gateway.http_address = parse_address("0.0.0.0:8000")
    with pytest.raises(ConfigurationError, match="nothing says who may"):
        async with running(gateway):
            pass
    assert not gateway.is_running
    gateway = Gateway(centrifuge=CentrifugeOptions(insecure=True))
    gateway.http_address = parse_address("0.0.0.0:8000")
    async with running(gateway):
        assert gateway.is_running


def test_permissions_are_checked_where_they_are_written() -> None:
    """The traceback shows the line."""
    with pytest.raises(ConfigurationError, match=r'permissions\."a/#/b"'):
        Gateway(permissions={"a/#/b": ChannelPermissions()})


async def test_uvicorns_own_lines_hold_no_credentials() -> None:
    """Its access log has whole queries."""
    async with running(Gateway()):
        record = logging.makeLogRecord({"name": "uvicorn.access", "msg": "GET /ws?token=secret-value"})
        assert logging.getLogger("uvicorn.access").filter(record)
        assert "secret-value" not in record.getMessage()


async def test_a_handler_that_blocks_the_loop_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """The watchdog works embedded, too: one line in the log, and receivers of events hear of it on the loop."""
    seen: list[Event] = []
    gateway = Gateway(on_event=seen.append)

    @gateway.listen("tcp://127.0.0.1:0")
    async def on_reading(message: bytes) -> None:
        time.sleep(1.2)  # that is the point

    async with running(gateway):
        device = socket.create_connection(("127.0.0.1", gateway.listeners[0].address.port))
        with device:
            device.sendall(b"x\n")
            await until(lambda: any(isinstance(one, LoopBlocked) for one in seen), "it was not reported")
    (event,) = [one for one in seen if isinstance(one, LoopBlocked)]
    assert event.handler.endswith("on_reading")
    assert "on_reading (tests/test_gateway.py:" in event.stack
    assert [one.getMessage()[:12] for one in caplog.records].count("loop blocked") == 1
