"""The orderly stop under plain ``uvicorn app:app``, which knows nothing of the gateway."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from gateway_serving import Uvicorn, is_open, uvicorn_process, wait_until
from portcast.signals import ONE_SIGNAL_S

APP = """
import asyncio
from fastapi import FastAPI
from portcast import Connection, Gateway, GatewayOptions

gateway = Gateway(options=GatewayOptions(drain_timeout_s={drain_s}))
gateway.relay("tcp://127.0.0.1:0", topic="t")

@gateway.listen("tcp://127.0.0.1:0")
async def work(message: str, connection: Connection) -> None:
    if message == "stuck":
        await asyncio.Event().wait()
    await asyncio.sleep(float(message))
    await gateway.publish("done", message)
    await connection.send(b"done")

app = FastAPI()
app.include_router(gateway)

@app.get("/buffered")
async def buffered() -> list[int]:
    sinks = [one.sink for one in gateway._running().hub.subscribers]
    return [one._transport.get_write_buffer_size() for one in sinks]
"""


class App:
    """The application in its process."""

    def __init__(self, server: Uvicorn) -> None:
        self.server = server
        self.relay, self.handler = server.listener_ports

    def websocket(self, path: str = "/ws") -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.server.port}{path}", compression=None, proxy=None, ping_interval=None)

    def device(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=10)

    def wait_frames(self, number: int, listener: int = 0) -> None:
        wait_until(
            lambda: self.server.get("/api/listeners").json()["listeners"][listener]["frames"] == number,
            f"{number} frames",
        )

    def wait_subscribed(self, number: int = 1) -> None:
        wait_until(lambda: self.server.get("/api/listeners").json()["subscribers"] == number, "the subscription")

    def ended_within(self, seconds: float) -> int:
        """Wait for the end; return the exit status."""
        started = time.monotonic()
        try:
            status = self.server.process.wait(seconds)
        except Exception:
            raise AssertionError(f"it did not end within {seconds} s; it wrote:\n{self.server.log}") from None
        assert time.monotonic() - started <= seconds
        return status


@contextmanager
def running(folder: Path, *arguments: str, drain_s: float = 10) -> Iterator[App]:
    with uvicorn_process(folder, APP.format(drain_s=drain_s), *arguments) as server:
        yield App(server)


def _rest(client: ClientConnection) -> tuple[list[str | bytes], int, str]:
    """Everything until the close, its code and reason."""
    found: list[str | bytes] = []
    with pytest.raises(ConnectionClosed) as closed:
        found.extend(iter(lambda: client.recv(10), None))
    assert closed.value.rcvd is not None, "the connection ended without a close frame"
    return found, closed.value.rcvd.code, closed.value.rcvd.reason


def _stuck(app: App) -> socket.socket:
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", app.server.port))
    stuck.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert stuck.recv(12) == b"HTTP/1.1 101"
    app.wait_subscribed()
    return stuck


both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@both_loops
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_what_was_received_is_delivered_and_then_1012(tmp_path: Path, loop: str, number: int) -> None:
    """Frames that are in the kernel when the signal comes reach every WebSocket before its close frame."""
    lines = [f"line {i}" for i in range(2000)]
    with running(tmp_path, "--loop", loop) as app, app.websocket() as client, app.device(app.relay) as device:
        app.wait_subscribed()
        device.sendall("".join(f"{line}\n" for line in lines).encode())
        app.server.signal(number)
        found, code, reason = _rest(client)
        assert (code, reason) == (1012, "server is restarting")
        assert found == lines
        assert device.recv(1) == b""
        assert app.ended_within(5) in (-number, 0)  # uvicorn raises the signal again at its end
        assert "Traceback" not in app.server.log


@both_loops
def test_busy_handlers_finish_while_the_rest_is_closed(tmp_path: Path, loop: str) -> None:
    """Not ready and not accepting from the signal on; the device gets its answer, the browser the last message."""
    with running(tmp_path, "--loop", loop) as app, app.websocket() as client, app.device(app.handler) as device:
        app.wait_subscribed()
        device.sendall(b"1.0\n")
        app.wait_frames(1, listener=1)
        app.server.signal()
        wait_until(lambda: not is_open(app.relay), "the listener to close")
        answer = app.server.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "draining")
        assert app.server.get("/health/live").status_code == 200
        assert not is_open(app.handler)
        with app.websocket() as late:
            assert _rest(late)[1] == 1013
        assert app.server.get("/events").status_code == 503
        assert device.recv(100) == b"done\n"
        assert _rest(client) == (["1.0"], 1012, "server is restarting")
        app.ended_within(5)


def test_a_handler_that_never_returns_does_not_outlive_the_drain(tmp_path: Path) -> None:
    """It is cancelled within the deadline, and costs no WebSocket its goodbye."""
    with running(tmp_path, drain_s=1) as app, app.websocket() as client, app.device(app.handler) as device:
        app.wait_subscribed()
        device.sendall(b"stuck\n")
        app.wait_frames(1, listener=1)
        app.server.signal()
        assert _rest(client) == ([], 1012, "server is restarting")
        app.ended_within(4)
        assert "Application shutdown complete" in app.server.log


@both_loops
def test_a_second_signal_ends_it_at_once(tmp_path: Path, loop: str) -> None:
    """Whatever the first one waits for: a handler, or a client that never reads."""
    with (
        running(tmp_path, "--loop", loop, drain_s=60) as app,
        _stuck(app),
        app.device(app.handler) as device,
        app.device(app.relay) as feeding,
    ):
        device.sendall(b"stuck\n")
        app.wait_frames(1, listener=1)
        feeding.sendall((b"x" * 60_000 + b"\n") * 80)
        app.server.signal()
        wait_until(lambda: not is_open(app.relay), "the listener to close")
        time.sleep(ONE_SIGNAL_S)
        app.server.signal()
        app.ended_within(4)


@both_loops
def test_a_client_that_never_reads_does_not_hang_it(tmp_path: Path, loop: str) -> None:
    """uvicorn waits for its connections without end; ours are gone by then."""
    with running(tmp_path, "--loop", loop, drain_s=2) as app, _stuck(app), app.device(app.relay) as device:
        device.sendall((b"x" * 60_000 + b"\n") * 80)  # more than the kernel takes, less than the hard limit
        app.server.signal()
        app.ended_within(6)
        assert "Application shutdown complete" in app.server.log


@both_loops
def test_nor_does_one_that_left_a_little_unread(tmp_path: Path, loop: str) -> None:
    """The server took everything, so no outbox knows; but its transport would wait for ever to be empty."""
    with running(tmp_path, "--loop", loop, drain_s=5) as app, _stuck(app):
        server = app.server

        def has_a_little_left() -> bool:
            (size,) = server.get("/buffered").json()
            if size == 0:
                server.http.post("/api/topics/t", content=b"x" * 20_000)
            return bool(0 < size < 60_000)

        wait_until(has_a_little_left, "bytes in the transport")
        server.signal()
        app.ended_within(5)
        assert "Application shutdown complete" in server.log


def test_event_streams_end_with_it(tmp_path: Path) -> None:
    """In order, after the last event; an open stream does not hold the server up."""
    with running(tmp_path) as app:
        with app.server.http.stream("GET", "/events/t") as answer:
            app.wait_subscribed()
            with app.device(app.relay) as device:
                device.sendall(b"last\n")
                app.server.signal()
                text = "".join(answer.iter_text())
        assert text.startswith(": connected\n\n")
        assert text.endswith("data: last\n\n: closing 1012 server is restarting\n\n")
        app.ended_within(5)
