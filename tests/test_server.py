"""Tests of `portcast.server`."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect

from gateway_serving import app_with, wait_until
from portcast import Gateway as RealGateway
from portcast.config import Address, GatewayOptions, HttpOptions
from portcast.errors import ListenError, PortcastError
from portcast.events import Event, LoopBlocked
from portcast.server import DrainingServer, serve, server_config
from socket_options import EXPECTED_OPTIONS, options_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOPBACK = Address("tcp", "127.0.0.1", 0)


class App:
    """A small ASGI application that notes what happens to it."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.notes: list[str] = []
        self.failure = failure

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            if self.failure is not None:
                raise self.failure
            self.notes.append("started")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.notes.append("stopped")
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            self.notes.append("websocket closed")
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})


class Gateway:
    """Notes the drain; waits in it for ``during``."""

    def __init__(self, app: App, during: Callable[[], Awaitable[None]] | None = None) -> None:
        self.app = app
        self.during = during

    async def drain(self) -> None:
        self.app.notes.append("drain")
        if self.during is not None:
            await self.during()
        self.app.notes.append("drained")


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything on both loops."""

    def with_loop(*arguments: Any, **options: Any) -> uvicorn.Config:
        return Config(*arguments, **{**options, "loop": request.param})

    Config = uvicorn.Config
    monkeypatch.setattr("portcast.server.uvicorn.Config", with_loop)


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs the time that a real stop gets at least."""
    monkeypatch.setattr("portcast.server.CLOSING_S", 0.3)
    monkeypatch.setattr("portcast.server.LEFT_BEHIND_S", 0.3)


@pytest.fixture(autouse=True)
def handlers_stay() -> Iterator[None]:
    """The signal handlers of whoever calls `serve` are theirs again afterwards."""
    before = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    assert {sig: signal.getsignal(sig) for sig in before} == before


def stop_when_ready(address: Address) -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_gateway_first_and_ends_with_status_0(sig: signal.Signals) -> None:
    """uvicorn by itself closes everything first and raises the signal once more at the end."""
    app = App()
    status = serve(app, Gateway(app), http=LOOPBACK, on_ready=lambda address: signal.raise_signal(sig))
    assert status == 0
    assert app.notes == ["started", "drain", "drained", "stopped"]


def test_websockets_are_open_during_the_drain() -> None:
    """What was received can only be delivered to a client that is still connected."""
    app = App()
    clients: list[asyncio.Task[None]] = []

    async def client(address: Address) -> None:
        async with connect(f"ws://{address.host_port}/", proxy=None) as websocket:
            signal.raise_signal(signal.SIGTERM)
            await websocket.wait_closed()
            app.notes.append(f"client saw {websocket.close_code}")

    async def during() -> None:
        app.notes.append("open" if not clients[0].done() else "closed")

    serve(
        app,
        Gateway(app, during),
        http=LOOPBACK,
        on_ready=lambda address: clients.append(asyncio.get_running_loop().create_task(client(address))),
    )
    assert app.notes.index("open") < app.notes.index("drained") < app.notes.index("websocket closed")
    assert "client saw 1012" in app.notes


def test_ready_is_said_when_http_answers() -> None:
    app = App()
    seen: list[str] = []

    async def ask(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        seen.append((await reader.read()).decode())
        writer.close()
        signal.raise_signal(signal.SIGTERM)

    tasks: list[asyncio.Task[None]] = []
    serve(
        app,
        Gateway(app),
        http=LOOPBACK,
        on_ready=lambda address: tasks.append(asyncio.get_running_loop().create_task(ask(address))),
    )
    assert seen[0].startswith("HTTP/1.1 200")
    assert "server:" not in seen[0].lower()


@pytest.mark.parametrize(("allowed", "status"), [((), b"421"), (("x.example",), b"200")])
def test_names_are_checked_on_loopback(allowed: tuple[str, ...], status: bytes) -> None:
    """A page whose name was made to point to this machine must not read what devices send."""
    app = App()
    answers: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async def ask(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n")
        answers.append(await reader.read())
        writer.close()
        signal.raise_signal(signal.SIGTERM)

    serve(
        app,
        Gateway(app),
        http=LOOPBACK,
        options=HttpOptions(allowed_hosts=allowed),
        on_ready=lambda address: tasks.append(asyncio.get_running_loop().create_task(ask(address))),
    )
    assert answers[0].split(b" ")[1] == status


def test_half_a_head_is_not_waited_for() -> None:
    """The deadline is that of the options."""
    app = App()
    answers: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async def dawdle(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        answers.append(await reader.read())
        writer.close()
        signal.raise_signal(signal.SIGTERM)

    serve(
        app,
        Gateway(app),
        http=LOOPBACK,
        options=HttpOptions(request_timeout_s=0.1),
        on_ready=lambda address: tasks.append(asyncio.get_running_loop().create_task(dawdle(address))),
    )
    assert answers[0].startswith(b"HTTP/1.1 408 ")


def test_the_stop_begins_with_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the next tick, which may be 0.1 s away: so long devices would be accepted still."""
    monkeypatch.setattr("portcast.server.TICK_S", 60.0)
    app, tasks, begun = App(), [], time.monotonic()

    async def stop() -> None:
        await asyncio.sleep(0)  # it waits for its next tick by now
        signal.raise_signal(signal.SIGTERM)

    def ready(address: Address) -> None:
        tasks.append(asyncio.get_running_loop().create_task(stop()))

    assert serve(app, Gateway(app), http=LOOPBACK, on_ready=ready) == 0
    assert time.monotonic() - begun < 10


def test_a_second_signal_stops_at_once() -> None:
    app = App()

    async def during() -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    begun = time.monotonic()
    status = serve(app, Gateway(app, during), http=LOOPBACK, on_ready=stop_when_ready, drain_timeout_s=60)
    assert status == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 5
    assert "drained" not in app.notes


def test_the_same_signal_at_once_is_the_same_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor, a shell and make may each send one; after the time it is a second one."""
    app = App()
    server = DrainingServer(server_config(app, HttpOptions()), Gateway(app), 1.0, lambda: None)
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    assert (server.stopped_by, server.is_forced) == (signal.SIGTERM, False)
    monkeypatch.setattr("portcast.server.ONE_SIGNAL_S", 0.0)
    server.handle_exit(signal.SIGTERM, None)
    assert server.is_forced


def test_after_the_drain_further_signals_change_nothing() -> None:
    """Everything is delivered, so the stop was in order whatever comes while the lifespan ends."""

    class Late(App):
        async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)
            if scope["type"] == "lifespan":
                signal.raise_signal(signal.SIGINT)
                self.notes.append("after the signal")

    app = Late()
    assert serve(app, Gateway(app), http=LOOPBACK, on_ready=stop_when_ready) == 0
    assert app.notes == ["started", "drain", "drained", "stopped", "after the signal"]


def test_a_closed_terminal_is_a_stop_unless_that_is_ignored() -> None:
    """``nohup portcast serve`` goes on."""
    app = App()
    assert serve(app, Gateway(app), http=LOOPBACK, on_ready=lambda a: signal.raise_signal(signal.SIGHUP)) == 0
    assert "drained" in app.notes
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        seen: list[Any] = []

        def ready(address: Address) -> None:
            seen.append(signal.getsignal(signal.SIGHUP))
            stop_when_ready(address)

        assert serve(app, Gateway(app), http=LOOPBACK, on_ready=ready) == 0
        assert seen == [signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_drain_that_hangs_is_ended_by_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    async def during() -> None:
        await asyncio.sleep(60)

    status = serve(app, Gateway(app, during), http=LOOPBACK, on_ready=stop_when_ready, drain_timeout_s=0)
    assert status == 0
    assert app.notes == ["started", "drain", "stopped"]
    assert "drain did not end in time" in caplog.text


def test_a_drain_that_fails_does_not_keep_the_process(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    async def during() -> None:
        raise RuntimeError("no")

    assert serve(app, Gateway(app, during), http=LOOPBACK, on_ready=stop_when_ready) == 0
    assert app.notes[-1] == "stopped"
    assert "drain failed" in caplog.text


def test_a_task_that_swallows_its_cancellation_does_not_keep_the_process(caplog: pytest.LogCaptureFixture) -> None:
    """`asyncio.run` would wait for it for ever."""
    app = App()
    tasks: list[asyncio.Task[None]] = []
    stop = False

    async def stubborn() -> None:
        while not stop:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    def ready(address: Address) -> None:
        tasks.append(asyncio.get_running_loop().create_task(stubborn()))
        signal.raise_signal(signal.SIGTERM)

    assert serve(app, Gateway(app), http=LOOPBACK, on_ready=ready) == 0
    assert "tasks left behind count=1" in caplog.text
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to be left behind
    stop = True


@pytest.mark.parametrize("failure", [ListenError("tcp://127.0.0.1:1", "in use"), PortcastError("no"), ValueError("no")])
def test_what_the_lifespan_raises_reaches_the_caller_and_nothing_listens(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn would log a traceback and exit with status 3."""
    app = App(failure)
    address = LOOPBACK.with_port(free_port())
    with pytest.raises(type(failure)) as caught:
        serve(app, Gateway(app), http=address)
    assert caught.value is failure
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    with socket.socket() as probe:
        assert probe.connect_ex((address.host, address.port)) == errno.ECONNREFUSED


def test_a_lifespan_that_only_says_that_it_failed() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(PortcastError, match="lifespan failed to start"):
        serve(app, Gateway(App()), http=LOOPBACK)


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\nbad\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"],
)
def test_faults_of_peers_are_not_in_uvicorns_words(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """They name nobody and are not limited; our events do and are."""
    caplog.set_level(logging.WARNING)
    app, events = App(), list[Event]()
    answers = list[bytes]()

    def ask(address: Address) -> None:
        def run() -> None:
            with socket.create_connection(("127.0.0.1", address.port)) as client:
                client.settimeout(5)
                client.sendall(request_)
                answers.append(client.recv(100))
            signal.raise_signal(signal.SIGTERM)

        threading.Thread(target=run, daemon=True).start()

    assert serve(app, Gateway(app), http=LOOPBACK, emit=events.append, on_ready=ask) == 0
    assert answers[0].startswith(b"HTTP/1.1 ")
    assert not [one for one in caplog.records if one.name == "uvicorn.error"]


def test_a_lifespan_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(60)

    assert serve(app, Gateway(App()), http=LOOPBACK, on_ready=stop_when_ready, drain_timeout_s=0) == 0
    assert "lifespan did not end in time" in caplog.text


def test_a_signal_during_the_start_stops_in_order() -> None:
    app = App()
    is_ready = False

    class Early(App):
        async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
            signal.raise_signal(signal.SIGTERM)
            await app(scope, receive, send)

    def ready(address: Address) -> None:
        nonlocal is_ready
        is_ready = True

    assert serve(Early(), Gateway(app), http=LOOPBACK, on_ready=ready) == 0
    assert app.notes == ["started", "drain", "drained", "stopped"]
    assert not is_ready


def test_a_gateway_that_chained_the_signals_is_overruled() -> None:
    """Otherwise the second signal would be, for us, the first."""
    app = App()
    chained: list[int] = []

    class Chaining(App):
        async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
            signal.signal(signal.SIGTERM, lambda number, frame: chained.append(number))
            await app(scope, receive, send)

    assert serve(Chaining(), Gateway(app), http=LOOPBACK, on_ready=stop_when_ready) == 0
    assert chained == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


@pytest.mark.row(29)
def test_an_occupied_http_port_is_found_before_anything_starts() -> None:
    app = App()
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            serve(app, Gateway(app), http=LOOPBACK.with_port(port))
    assert app.notes == []
    assert str(caught.value).startswith(f"http://127.0.0.1:{port}: the HTTP port is already in use")
    assert "portcast serve" in caught.value.hint
    assert "--http" in caught.value.hint


def test_a_port_that_is_taken_between_binding_and_listening() -> None:
    """Two starts at the same moment may both bind; the second to listen must say what the matter is."""
    app = App()
    port = free_port()

    class Late(App):
        async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            await app(scope, receive, send)

    with socket.socket() as other, pytest.raises(ListenError, match="already in use"):
        serve(Late(), Gateway(app), http=LOOPBACK.with_port(port))


@pytest.mark.row(32)
def test_what_the_kernel_hides_of_a_client_is_limited() -> None:
    """Accepted sockets inherit it on both loops: a client that does not read cannot look healthy for megabytes."""
    app = App()
    seen: dict[str, int] = {}

    async def look(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sock = send.__self__.transport.get_extra_info("socket")  # type: ignore[attr-defined]
            with socket.socket(fileno=os.dup(sock.fileno())) as accepted:
                seen.update(options_of(accepted))
        await app(scope, receive, send)

    tasks: list[asyncio.Task[None]] = []

    async def ask(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
        signal.raise_signal(signal.SIGTERM)

    serve(
        look,
        Gateway(app),
        http=LOOPBACK,
        on_ready=lambda address: tasks.append(asyncio.get_running_loop().create_task(ask(address))),
    )
    assert seen == EXPECTED_OPTIONS


def test_uvicorn_is_told_our_limits() -> None:
    config = server_config(App(), HttpOptions(max_message_bytes=99, ping_interval_s=3, ping_timeout_s=2))
    assert (config.ws_max_size, config.ws_ping_interval, config.ws_ping_timeout) == (99, 3, 2)
    assert config.timeout_graceful_shutdown is not None
    assert [config.ws_per_message_deflate, config.access_log, config.proxy_headers] == [False] * 3
    assert server_config(App(), HttpOptions(deflate=True)).ws_per_message_deflate is True


def test_a_gateway_can_tell_our_server_by_its_signal_handler() -> None:
    server = DrainingServer(server_config(App(), HttpOptions()), Gateway(App()), 1.0, lambda: None)
    owner: Any = getattr(server.handle_exit, "__self__", None)
    assert owner.drains_gateway


@pytest.mark.row(17)
def test_a_handler_that_blocks_the_loop_is_reported_while_it_does() -> None:
    """Under our runner, too: within a second, by its name, and health checks tell afterwards how long all waited."""
    events: list[Event] = []
    gateway = RealGateway(options=GatewayOptions(block_limit_s=0.2), on_event=events.append)
    ready: dict[str, Any] = {}

    @gateway.listen("tcp://127.0.0.1:0")
    async def on_reading(message: bytes) -> None:
        time.sleep(0.8)  # that is the point

    def work(address: Address) -> None:
        try:
            with socket.create_connection(("127.0.0.1", gateway.listeners[0].address.port)) as device:
                device.sendall(b"x\n")
                wait_until(lambda: any(isinstance(one, LoopBlocked) for one in events), "the report")
            with httpx.Client(trust_env=False) as client:
                ready.update(client.get(f"http://{address.host_port}/health/ready").json())
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    threads: list[threading.Thread] = []

    def begin(address: Address) -> None:
        threads.append(threading.Thread(target=work, args=(address,)))
        threads[0].start()

    assert serve(app_with(gateway), gateway, http=LOOPBACK, on_ready=begin) == 0
    threads[0].join()
    (event,) = [one for one in events if isinstance(one, LoopBlocked)]
    assert event.handler.endswith("on_reading")
    assert 0.2 <= event.seconds < 0.8
    assert "on_reading (tests/test_server.py:" in event.stack
    assert ready["status"] == "ready"
    assert ready["loop"]["blocked"] == 1
    assert 0.3 < ready["loop"]["worst_lag"] < 2
    assert ready["loop"]["lag"] <= ready["loop"]["worst_lag"]
