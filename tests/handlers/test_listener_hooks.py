from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from portcast import ConfigurationError, Connection, Gateway, LineFraming, PerConnection, Store
from portcast.events import CloseReason, Event, HandlerFailed
from portcast.handlers import DeclaredListener
from portcast.testing import ManualClock, TestDevice, in_memory

pytestmark = pytest.mark.anyio
URL = "tcp://127.0.0.1:9001"


def app_of(gateway: Gateway) -> FastAPI:
    app = FastAPI()
    app.include_router(gateway)
    return app


class Told:
    """A gateway whose hooks write down what they are told, and whether the socket is open then."""

    def __init__(self, **options: Any) -> None:
        self.log: list[object] = []
        self.events: list[Event] = []
        self.gateway = Gateway(on_event=self.events.append)
        self.listener: DeclaredListener = self.gateway.listen(URL, **options)
        self.app = app_of(self.gateway)

        @self.listener.on
        async def on_text(text: str, connection: Connection) -> None:
            self.log.append(text)
            if text == "fail":
                raise ValueError(text)
            if text == "close":
                connection.close()

        @self.listener.on_connect
        async def connected(connection: Connection) -> None:
            self.log.append(("connect", connection.is_open, connection.close_reason))

        @self.listener.on_disconnect
        def gone(connection: Connection, reason: str) -> None:
            self.log.append(("disconnect", reason, connection.is_open))

        @self.listener.on_error
        async def failed(error: Exception, connection: Connection) -> None:
            self.log.append(("error", type(error).__name__, connection.is_open))

        @self.listener.on_idle
        async def idle(connection: Connection) -> None:
            self.log.append(("idle", connection.is_open))
            await connection.send(b"ping")

    @property
    def failures(self) -> list[str]:
        return [one.handler for one in self.events if isinstance(one, HandlerFailed)]


async def test_beginning_and_end() -> None:
    """The first before any message, the last after all of them; half-closed, the device can still be told something."""
    told = Told()
    async with TestDevice(told.app) as device:
        await device.send(b"a\nb\n")
        device.end()
        await device.wait_closed()
    assert told.log == [("connect", True, None), "a", "b", ("disconnect", "peer_closed", True)]


async def test_a_device_that_says_nothing_has_them_too() -> None:
    """The task is there for the hooks alone."""
    told = Told()
    async with TestDevice(told.app) as device:
        await device.nothing()
        assert told.log == [("connect", True, None)]
        await device.reset()
        await device.wait_closed()
    assert told.log[1:] == [("disconnect", "reset", False)]


@pytest.mark.parametrize(
    ("sent", "options", "reason", "is_open"),
    [
        (b"close\nlost\n", {}, "closed", False),
        (b"\xff\n\xff\n", {"bad_frames": 2}, "bad_frames", True),
        (b"a" * 200, {"framing": None}, "oversize", True),
    ],
    ids=["closed", "bad frames", "oversize"],
)
async def test_ends_that_are_ours(sent: bytes, options: dict[str, Any], reason: str, is_open: bool) -> None:
    """The socket is open until the hook is done, unless the application closed it."""
    if "framing" in options:
        options["framing"] = LineFraming(max_frame=100)
    told = Told(**options)
    async with TestDevice(told.app) as device:
        await device.send(sent)
        assert await device.wait_closed() == reason
    assert told.log[-1] == ("disconnect", reason, is_open)
    assert sum(isinstance(one, tuple) and one[0] == "disconnect" for one in told.log) == 1


async def test_a_goodbye_arrives() -> None:
    """What `on_disconnect` sends is out before the socket is closed."""
    gateway = Gateway()
    listener = gateway.listen(URL, bad_frames=1)

    @listener
    async def on_text(text: str) -> None: ...

    @listener.on_disconnect
    async def goodbye(connection: Connection, reason: CloseReason) -> None:
        await connection.send(f"bye: {reason}".encode())

    async with TestDevice(app_of(gateway)) as device:
        await device.send(b"\xff\n")
        await device.expect(b"bye: bad_frames\n")


async def test_faults() -> None:
    """Of the handler and of the codec, each once, after the negative acknowledgement; the next message is handled."""
    told = Told(nack=lambda message, error: b"no")
    async with TestDevice(told.app) as device:
        await device.send(b"fail\n\xff\nnext\n")
        await device.expect(b"no\n")
        await device.handled()
        assert told.log[1:] == ["fail", ("error", "ValueError", True), ("error", "CodecError", True), "next"]
        assert told.failures == [f"{Told.__init__.__qualname__}.<locals>.on_text"]


async def test_silence() -> None:
    """Once for each silence, at half of the deadline; whoever answers stays, whoever does not is closed."""
    told, clock = Told(idle_timeout=20), ManualClock()
    async with in_memory(told.app, clock=clock), TestDevice(told.app) as device:
        clock.advance(9)
        await device.nothing()
        clock.advance(2)
        await device.expect(b"ping\n")
        clock.advance(5)
        await device.nothing()
        await device.send(b"pong\n")
        clock.advance(9)
        await device.nothing()
        clock.advance(2)
        await device.expect(b"ping\n")
        clock.advance(11)
        assert await device.wait_closed() == "idle_timeout"
    assert told.log == [
        ("connect", True, None),
        ("idle", True),
        "pong",
        ("idle", True),
        ("disconnect", "idle_timeout", True),
    ]


async def test_silence_alone_needs_no_task() -> None:
    """A device that is silent has one only while the hook is called."""
    gateway, clock = Gateway(), ManualClock()
    listener = gateway.listen(URL, idle_timeout=20)

    @listener
    async def on_text(text: str) -> None: ...

    @listener.on_idle
    async def idle(connection: Connection) -> None:
        await connection.send(b"ping")

    async with in_memory(gateway, clock=clock), TestDevice(gateway) as device:
        tasks = gateway.node.registry.tasks
        assert not tasks
        clock.advance(11)
        await device.expect(b"ping\n")
        await device.nothing()
        clock.advance(2)
        await device.nothing()
        assert not tasks


async def test_a_busy_handler_is_not_disturbed() -> None:
    """Silence is told between messages; if something came meanwhile, there is none."""
    gateway, clock, log = Gateway(), ManualClock(), list[str]()
    listener = gateway.listen(URL, idle_timeout=20)
    go_on = asyncio.Event()

    @listener
    async def on_text(text: str) -> None:
        log.append(text)
        await go_on.wait()

    @listener.on_idle
    def idle() -> None:
        log.append("idle")

    async with in_memory(gateway, clock=clock), TestDevice(gateway) as device:
        await device.send(b"a\n")
        clock.advance(11)
        await device.send(b"b\n")
        go_on.set()
        await device.handled()
        assert log == ["a", "b"]
        clock.advance(11)
        await device.nothing()
        assert log == ["a", "b", "idle"]


async def test_a_hook_that_fails_costs_itself_only() -> None:
    """Counted and logged once, under its name; the connection goes on, and the other hooks are called."""
    events: list[Event] = []
    gateway, log = Gateway(on_event=events.append), list[str]()
    listener = gateway.listen(URL)

    @listener
    async def on_text(text: str) -> None:
        log.append(text)
        raise ValueError(text)

    def bad(name: str) -> Callable[[], None]:
        def hook() -> None:
            log.append(name)
            raise SystemExit(name) if name == "connect" else RuntimeError(name)

        return hook

    listener.on_connect(bad("connect"))
    listener.on_error(bad("error"))
    listener.on_disconnect(bad("disconnect"))
    async with TestDevice(app_of(gateway)) as device:
        await device.send(b"a\n")
        await device.handled()
        await device.close()
    assert log == ["connect", "a", "error", "disconnect"]
    names = [one.handler.partition(":")[0] for one in events if isinstance(one, HandlerFailed)]
    assert [name for name in names if name.startswith("on_")] == ["on_connect", "on_error", "on_disconnect"]
    assert len(names) == 4


async def test_a_per_connection_handler_has_hooks() -> None:
    """Its failure is an error, and the reason of the end."""
    gateway, log = Gateway(), list[object]()
    listener = gateway.listen(URL, idle_timeout=20)

    @listener
    async def serve(connection: Connection) -> None:
        async for frame in connection:
            if frame == b"end":
                return
            int(frame)

    @listener.on_error
    def failed(error: Exception) -> None:
        log.append(type(error).__name__)

    @listener.on_disconnect
    def gone(reason: str, connection: Connection) -> None:
        log.append((reason, connection.is_open))

    @listener.on_idle
    def idle() -> None:
        log.append("idle")

    clock = ManualClock()
    async with in_memory(gateway, clock=clock):
        async with TestDevice(gateway) as device:
            clock.advance(11)
            await device.nothing()
            await device.send(b"1\nend\n")
            await device.wait_closed()
        assert log == ["idle", ("closed", True)]
        async with TestDevice(gateway) as device:
            await device.send(b"x\n")
            await device.wait_closed()
        assert log[2:] == ["ValueError", ("handler_failed", True)]


async def test_dependencies() -> None:
    """Those of the connection are the handler's own and still there at the end; others are made for each call."""
    gateway, log = Gateway(), list[object]()
    listener = gateway.listen(URL)

    async def session(connection: Connection) -> AsyncIterator[list[str]]:
        log.append("open")
        yield []
        log.append("close")

    def unit(store: Store) -> Any:
        log.append("begin")
        yield store
        log.append("end")

    @listener.on_connect
    async def connected(
        texts: Annotated[list[str], PerConnection(session)], own: Annotated[Store, Depends(unit)]
    ) -> None:
        assert own is gateway.store
        texts.append("hello")

    @listener.on
    async def on_text(text: str, texts: Annotated[list[str], PerConnection(session)]) -> None:
        texts.append(text)

    @listener.on_disconnect
    async def gone(reason: str, gateway: Gateway, texts: Annotated[list[str], PerConnection(session)]) -> None:
        log.append(texts)

    async with TestDevice(app_of(gateway)) as device:
        await device.send(b"a\n")
        await device.close()
    assert log == ["open", "begin", "end", ["hello", "a"], "close"]


async def test_a_dependency_that_fails_at_connect_ends_the_connection_without_hooks() -> None:
    """There is nothing yet of which they could be told."""
    gateway, log = Gateway(), list[object]()
    listener = gateway.listen(URL)

    def session() -> None:
        raise OSError("no database")

    @listener.on
    async def on_text(text: str, _: Annotated[None, PerConnection(session)]) -> None: ...

    for declare in (listener.on_connect, listener.on_disconnect, listener.on_error):
        declare(lambda: log.append("told"))
    async with TestDevice(app_of(gateway)) as device:
        assert await device.wait_closed() == "handler_failed"
    assert log == []


def _yields() -> Any:
    yield


def _of_error(error: Exception) -> None: ...
def _of_reason(reason: str) -> None: ...
def _of_number(number: int) -> None: ...


@pytest.mark.parametrize(
    ("hook", "function", "problem"),
    [
        ("on_connect", _yields, "on_connect _yields: it yields"),
        ("on_connect", _of_reason, "on_connect _of_reason, parameter 'reason': nothing provides it"),
        ("on_idle", _of_number, "parameter 'number': nothing provides it"),
        ("on_error", _of_reason, "on_error is told of its error: Exception; write error: Exception"),
        ("on_disconnect", _of_error, "on_disconnect is told of its reason: str; write reason: str"),
    ],
)
async def test_what_a_hook_is_not_told_is_refused(hook: str, function: Any, problem: str) -> None:
    """At start, with the function's name."""
    gateway = Gateway()
    listener = gateway.listen(URL)

    @listener
    async def on_text(text: str) -> None: ...

    getattr(listener, hook)(function)
    with pytest.raises(ConfigurationError) as error:
        async with in_memory(gateway):
            pass
    assert problem in str(error.value)


async def test_silence_needs_a_deadline() -> None:
    """With `idle_timeout=0` nobody is ever silent for too long."""
    gateway = Gateway()
    listener = gateway.listen(URL, idle_timeout=0)

    @listener
    async def on_text(text: str) -> None: ...

    listener.on_idle(lambda: None)
    with pytest.raises(ConfigurationError, match="on_idle is never called; set idle_timeout= above 0"):
        async with in_memory(gateway):
            pass
