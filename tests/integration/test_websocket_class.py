"""`WebSocketProtocol` in real uvicorn servers, with real clients, beside uvicorn's own class where both must agree."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from fastapi import FastAPI, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from asgi_fakes import Message, until
from gateway_serving import Served, serving, uvicorn_process
from portcast.web import keepalive
from portcast.web.websocket_frames import deflated_frames, frames
from portcast.web.websocket_protocol import CLOSE_S, WebSocketProtocol
from websocket_kit import App, Owner, Receive, Send, accepting, batch, detaching

pytestmark = pytest.mark.anyio

OURS = "portcast.web.websocket_protocol:WebSocketProtocol"
UVICORNS = "websockets-sansio"
LIMIT = 65_536
"""Bytes of a message."""
SLACK_S = 1.5
"""What a loaded machine may add to a deadline."""

both = pytest.mark.parametrize("ws", [OURS, UVICORNS], ids=["ours", "uvicorn's"])
plain_and_tls = pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate, its key, and what a client trusts."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return folder / "cert.pem", folder / "key.pem", context


class Server:
    """A server, and how its clients connect."""

    def __init__(self, served: Served, context: ssl.SSLContext | None) -> None:
        self.served = served
        self.context = context
        self._writers: list[asyncio.StreamWriter] = []

    def client(self, path: str = "/", **options: Any) -> connect:
        """A `websockets` client, to be entered."""
        options = {"compression": None, "proxy": None, "max_queue": None, "max_size": None, **options}
        scheme = "wss" if self.context else "ws"
        return connect(f"{scheme}://localhost:{self.served.port}{path}", ssl=self.context, **options)

    async def raw(
        self, head: bytes = b"", *, behind: bytes = b"", receive_buffer: int | None = None
    ) -> tuple[asyncio.StreamReader, Any]:
        """A client that speaks bytes, once its handshake was accepted."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.served.port))
        name = "localhost" if self.context else None
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096, ssl=self.context, server_hostname=name)
        self._writers.append(writer)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + head + b"\r\n" + behind
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return reader, writer

    def abort_clients(self) -> None:
        """Leave nothing behind: uvloop cannot be closed while a transport has something to write."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def server(
    app: Any,
    ws: str = OURS,
    certificates: tuple[Path, Path, ssl.SSLContext] | None = None,
    **config: Any,
) -> AsyncIterator[Server]:
    """Serve an ASGI application; nothing of it is left when the block ends."""
    options: dict[str, Any] = {"lifespan": "off", "ws_max_size": LIMIT, "timeout_graceful_shutdown": 5}
    if certificates is not None:
        options |= {"ssl_certfile": certificates[0], "ssl_keyfile": certificates[1]}
    async with serving(app, ws=ws, **{**options, **config}) as served:
        at = Server(served, certificates[2] if certificates else None)
        try:
            yield at
        finally:
            at.abort_clients()


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame."""
    return Frame(Opcode(opcode), payload).serialize(mask=True)


async def turns() -> None:
    """Let the loop, on which both sides run, do all it can."""
    for _ in range(100):
        await anyio.lowlevel.checkpoint()


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Send back what comes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


# Applications run unchanged


def fastapi_app(seen: list[Any]) -> FastAPI:
    """What applications do, and what they then see."""
    app = FastAPI()

    @app.websocket("/talk/{room}")
    async def talk(websocket: WebSocket, room: str) -> None:
        await websocket.accept(subprotocol="chat", headers=[(b"x-room", room.encode())])
        async for text in websocket.iter_text():
            await websocket.send_text(f"{room}: {text}")
            await websocket.send_bytes(text.encode())
        seen.append("left")

    @app.websocket("/close")
    async def close(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000, "enough")

    @app.websocket("/refuse")
    async def refuse(websocket: WebSocket) -> None:
        raise WebSocketException(1008, "not you")

    @app.websocket("/object")
    async def object_(websocket: WebSocket) -> None:
        await websocket.accept()
        raise WebSocketException(1008, "not that")

    @app.websocket("/deny")
    async def deny(websocket: WebSocket) -> None:
        await websocket.send_denial_response(JSONResponse({"why": "who?"}, 401, {"www-authenticate": "Bearer"}))

    @app.websocket("/wait")
    async def wait(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as error:
            seen.append((error.code, error.reason))

    @app.websocket("/fail")
    async def fail(websocket: WebSocket) -> None:
        raise ValueError("broken")

    @app.websocket("/nothing")
    async def nothing(websocket: WebSocket) -> None:
        pass

    return app


@both
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_conversation(ws: str, compression: str | None) -> None:
    """Text and binary, both ways, until the client leaves."""
    seen: list[Any] = []
    async with server(fastapi_app(seen), ws) as at:
        async with at.client("/talk/a%20b", subprotocols=["mqtt", "chat"], compression=compression) as client:
            assert client.subprotocol == "chat"
            assert client.response is not None
            assert client.response.headers["x-room"] == "a b"
            for text in ("one", "zwei €" * 100):
                await client.send(text)
                assert [await client.recv(), await client.recv()] == [f"a b: {text}", text.encode()]
        await until(lambda: seen == ["left"], "the endpoint's end")


@both
@pytest.mark.parametrize(
    ("path", "code", "reason"), [("/close", 4000, "enough"), ("/object", 1008, "not that")], ids=["close", "exception"]
)
async def test_the_application_closes(ws: str, path: str, code: int, reason: str) -> None:
    """With code and reason."""
    async with server(fastapi_app([]), ws) as at, at.client(path) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (code, reason)


@both
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/refuse", 403, b""),
        ("/deny", 401, b'{"why":"who?"}'),
        ("/fail", 500, b"Internal Server Error"),
        ("/nothing", 500, b"Internal Server Error"),
        ("/unknown", 403, b""),
    ],
)
async def test_the_application_refuses(ws: str, path: str, status: int, body: bytes) -> None:
    """An HTTP response with status, headers and body."""
    async with server(fastapi_app([]), ws) as at:
        with pytest.raises(InvalidStatus) as caught:
            async with at.client(path):
                pass
        response = caught.value.response
        assert (response.status_code, bytes(response.body or b"")) == (status, body)
        if path == "/deny":
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.headers["content-type"] == "application/json"


@both
async def test_the_application_hears_why_the_client_left(ws: str) -> None:
    """`WebSocketDisconnect` has the client's code and reason."""
    seen: list[Any] = []
    async with server(fastapi_app(seen), ws) as at:
        async with at.client("/wait") as client:
            await client.close(4001, "bye")
        await until(lambda: seen, "the endpoint's end")
    assert seen == [(4001, "bye")]


@pytest.mark.parametrize(("ws", "code"), [(OURS, 1006), (UVICORNS, 1005)], ids=["ours", "uvicorn's"])
async def test_the_application_hears_that_the_client_is_lost(ws: str, code: int) -> None:
    """1006 says that no close frame came (RFC 6455 §7.1.5); uvicorn says 1005, a close frame without a code."""
    seen: list[Any] = []
    async with server(fastapi_app(seen), ws) as at, at.client("/wait") as client:
        client.transport.abort()
        await until(lambda: seen, "the endpoint's end")
    assert [one[0] for one in seen] == [code]


@both
async def test_the_server_stops(ws: str) -> None:
    """1012 for the client, and for the application."""
    seen: list[Any] = []
    async with server(fastapi_app(seen), ws) as at, at.client("/wait") as client:
        at.served.begin_stop()
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
    assert [one[0] for one in seen] == [1012]


@both
@plain_and_tls
async def test_the_scope(ws: str, is_tls: bool, certificates: tuple[Path, Path, ssl.SSLContext]) -> None:
    """The same from both classes, on real addresses."""
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await accepting(scope, receive, send)

    async with (
        server(app, ws, certificates if is_tls else None, root_path="/base") as at,
        at.client("/a%20b?c=%20d", additional_headers={"X-Name": "zo\xeb"}) as client,
    ):
        own = client.local_address
    scope = scopes[0]
    assert scope["scheme"] == ("wss" if is_tls else "ws")
    assert (scope["client"], scope["server"]) == (own[:2], ("127.0.0.1", at.served.port))
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/base", "/base/a b", b"/base/a%20b")
    assert scope["query_string"] == b"c=%20d"
    assert (b"x-name", "zo\xeb".encode("latin-1")) in scope["headers"] or ws == UVICORNS
    assert scope["extensions"]["websocket.http.response"] == {}


@both
async def test_the_state_of_the_lifespan(ws: str) -> None:
    """What the start made is there."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"database": "open"}

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/")
    async def state(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.state.database)

    async with server(app, ws, lifespan="on") as at, at.client() as client:
        assert await client.recv() == "open"


@both
async def test_a_slow_client_makes_the_application_wait(ws: str) -> None:
    """`send` waits while the transport is full, and everything arrives."""
    sent = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "websocket.accept"})
        for _ in range(400):
            await send({"type": "websocket.send", "bytes": b"x" * 60_000})
            sent += 1

    async with server(app, ws) as at:
        reader, _ = await at.raw(receive_buffer=4096)
        last = -1
        while sent != last:  # until it waits
            last = sent
            await turns()
        assert 0 < sent < 400
        total = 0
        with anyio.fail_after(10):
            while data := await reader.read(1 << 20):
                total += len(data)
        assert sent == 400
        assert total >= 400 * 60_004


@both
async def test_a_client_makes_itself_wait(ws: str) -> None:
    """Reading pauses while the application does not receive, and nothing is lost when it does."""
    go_on = anyio.Event()
    received = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal received
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (await receive())["type"] == "websocket.receive":
            received += 1

    async with server(app, ws) as at:
        _, writer = await at.raw()
        sent = 0
        while sent < 1000 and not writer.transport.get_write_buffer_size():
            writer.write(masked(0x2, b"x" * 60_000))
            sent += 1
            await turns()
        assert sent < 1000, "the server read on"
        go_on.set()
        await until(lambda: received == sent, "all messages")


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wheel turn fifty times as fast."""
    monkeypatch.setattr(keepalive, "SLOT_S", 0.02)


@pytest.mark.usefixtures("quick_pings")
async def test_pongs_are_seen_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose messages wait is not taken for dead, neither meanwhile nor afterwards."""
    go_on = anyio.Event()
    timeouts = pongs = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    def timed_out(self: WebSocketProtocol) -> None:
        nonlocal timeouts
        timeouts += 1
        time_out(self)

    def answered(self: keepalive.Keepalive, connection: keepalive.Pinged) -> None:
        nonlocal pongs
        pongs += 1
        answer(self, connection)

    time_out, answer = WebSocketProtocol.ping_timed_out, keepalive.Keepalive.answered
    monkeypatch.setattr(WebSocketProtocol, "ping_timed_out", timed_out)
    monkeypatch.setattr(keepalive.Keepalive, "answered", answered)
    async with server(app, ws_ping_interval=0.05, ws_ping_timeout=0.5) as at, at.client() as client:
        for number in range(40):
            await client.send(str(number))
        await until(lambda: timeouts >= 2, "pings that nobody could answer")
        go_on.set()
        assert [await client.recv() for _ in range(40)] == [str(number) for number in range(40)]
        before = pongs
        await until(lambda: pongs >= before + 3, "pongs")
        await client.send("still here")
        assert await client.recv() == "still here"


@pytest.mark.usefixtures("quick_pings")
async def test_a_client_that_does_not_answer_pings_is_removed() -> None:
    """Gone within interval and timeout."""
    owner = Owner()
    async with server(detaching(owner), ws_ping_interval=0.2, ws_ping_timeout=0.2) as at:
        reader, _ = await at.raw()
        begun = time.monotonic()
        assert await reader.read() == b"\x89\x04ping"
        assert time.monotonic() - begun < 0.4 + SLACK_S
        assert owner.endings == ["no pong"]


def test_starlettes_test_client_is_another_server() -> None:
    """An application that can use the extension must do without it there."""
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json("portcast.sink" in websocket.scope["extensions"])

    with TestClient(app).websocket_connect("/") as client:
        assert client.receive_json() is False


# The end of the call


@pytest.mark.parametrize(
    ("error", "code"), [(None, 1000), (ValueError("broken"), 1011), (FileNotFoundError("no data"), 1011)], ids=str
)
async def test_the_end_of_the_call_closes_the_connection(error: Exception | None, code: int) -> None:
    """With a close frame; an `OSError` of the application's own is an error as any other."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        if error is not None:
            raise error

    async with server(app) as at, at.client() as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == code


async def test_a_call_that_does_not_end_is_cancelled_by_the_servers_stop() -> None:
    """uvicorn waits ``timeout_graceful_shutdown`` seconds for its tasks, ours among them."""
    outcome: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise

    async with server(app, timeout_graceful_shutdown=1) as at, at.client():
        begun = time.monotonic()
        await at.served.stop()
        assert time.monotonic() - begun < 2 + SLACK_S
    assert outcome == ["cancelled"]


# Detachment


@plain_and_tls
async def test_a_detached_client(is_tls: bool, certificates: tuple[Path, Path, ssl.SSLContext]) -> None:
    """No task is left; frames go out, messages come in, and the owner hears of the end."""
    owner, messages, connections = Owner(), list[str | bytes](), list[WebSocketProtocol]()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        connections.append(scope["extensions"]["portcast.sink"])
        await detaching(owner, messages.append)(scope, receive, send)

    async with server(app, certificates=certificates if is_tls else None) as at:
        tasks = asyncio.all_tasks()
        reader, writer = await at.raw()
        await until(lambda: asyncio.all_tasks() <= tasks, "the end of the call")
        (connection,) = connections
        writer.write(masked(0x1, b"hello"))
        await until(lambda: messages == ["hello"], "the message")
        data = frames([b"a", b"\xff"])
        assert connection.write(batch(data))
        assert await reader.readexactly(len(data)) == data
        writer.write(masked(0x8, b"\x03\xe8"))
        assert await reader.read() == b"\x88\x02\x03\xe8"
        await until(lambda: owner.endings, "the end")
    assert owner.endings == ["client left"]


def _client_resets(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _client_leaves(writer: asyncio.StreamWriter) -> None:
    writer.close()


def _client_half_closes(writer: asyncio.StreamWriter) -> None:
    writer.write_eof()


def _client_closes(writer: asyncio.StreamWriter) -> None:
    writer.write(masked(0x8, b"\x03\xe8"))


@pytest.mark.parametrize("end", [_client_resets, _client_leaves, _client_half_closes, _client_closes])
@pytest.mark.parametrize("is_full", [False, True], ids=["idle", "full"])
async def test_the_owner_hears_of_every_end(end: Callable[[asyncio.StreamWriter], None], is_full: bool) -> None:
    """Once, also of a client that ended while much was on its way to it."""
    owner, connections = Owner(), list[WebSocketProtocol]()
    app = detaching(owner)

    async def keeping(scope: Message, receive: Receive, send: Send) -> None:
        connections.append(scope["extensions"]["portcast.sink"])
        await app(scope, receive, send)

    async with server(keeping) as at:
        _, writer = await at.raw(receive_buffer=4096)
        await until(lambda: connections and connections[0].is_open, "the connection")
        if is_full:
            while connections[0].write(batch(frames([b"x" * 60_000]))):
                await anyio.lowlevel.checkpoint()
        end(writer)
        await until(lambda: owner.endings, "the end", CLOSE_S + SLACK_S)
    assert len(owner.endings) == 1
    assert owner.endings[0] in ("client left", "connection lost")


@plain_and_tls
async def test_the_owner_hears_when_there_is_room_again(
    is_tls: bool, certificates: tuple[Path, Path, ssl.SSLContext]
) -> None:
    """A batch is one write, however large; nothing of it is lost."""
    connections = list[WebSocketProtocol]()
    owner = Owner()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        connections.append(scope["extensions"]["portcast.sink"])
        await detaching(owner)(scope, receive, send)

    async with server(app, certificates=certificates if is_tls else None) as at:
        reader, _ = await at.raw(receive_buffer=4096)
        await until(lambda: connections and connections[0].is_open, "the connection")
        one = batch(frames([b"x" * 1000] * 60))
        written = 0
        while connections[0].write(one):
            written += len(one.items[0])  # type: ignore[arg-type]
            await anyio.lowlevel.checkpoint()
        written += len(one.items[0])  # type: ignore[arg-type]
        assert owner.drained == 0
        with anyio.fail_after(10):
            while written:
                written -= len(await reader.read(1 << 20))
        await until(lambda: owner.drained, "room")


# Peers that do not behave


async def stuck(at: Server, connections: list[WebSocketProtocol]) -> asyncio.StreamWriter:
    """A client that does not read, for whom much waits."""
    _, writer = await at.raw(receive_buffer=4096)
    await until(lambda: connections and connections[-1].is_open, "the connection")
    while connections[-1].write(batch(frames([b"x" * 60_000]))):
        await anyio.lowlevel.checkpoint()
    return writer  # type: ignore[no-any-return]


def keeping(connections: list[WebSocketProtocol], app: App) -> App:
    """An application that shows its connections."""

    async def kept(scope: Message, receive: Receive, send: Send) -> None:
        connections.append(scope["extensions"]["portcast.sink"])
        await app(scope, receive, send)

    return kept


@plain_and_tls
async def test_a_client_that_does_not_read_is_removed_in_time(
    is_tls: bool, certificates: tuple[Path, Path, ssl.SSLContext]
) -> None:
    """Faults, row 1: `close` alone would wait for its reading, which may never come."""
    owner, connections = Owner(), list[WebSocketProtocol]()
    async with server(keeping(connections, detaching(owner)), certificates=certificates if is_tls else None) as at:
        await stuck(at, connections)
        begun = time.monotonic()
        connections[0].close(3008, "slow consumer")
        await until(lambda: owner.endings, "the end")
        assert CLOSE_S - 0.1 <= time.monotonic() - begun <= CLOSE_S + SLACK_S
    assert owner.endings == ["slow consumer"]


@plain_and_tls
@pytest.mark.parametrize("is_detached", [True, False], ids=["detached", "application"])
async def test_a_client_that_does_not_read_does_not_hold_the_servers_stop(
    is_detached: bool, is_tls: bool, certificates: tuple[Path, Path, ssl.SSLContext]
) -> None:
    """uvicorn waits for its connections, without an end unless it is told one."""
    connections = list[WebSocketProtocol]()
    app = keeping(connections, detaching(Owner()) if is_detached else accepting)
    config: dict[str, Any] = {"timeout_graceful_shutdown": None}
    async with server(app, certificates=certificates if is_tls else None, **config) as at:
        await stuck(at, connections)
        begun = time.monotonic()
        await at.served.stop()
        assert time.monotonic() - begun < CLOSE_S + SLACK_S


@plain_and_tls
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(0x2, b"x" * (LIMIT + 1)) + b"x" * 2_000_000, 1009),
        (masked(0x1, b"\xff") + masked(0x1, b"x" * 60_000) * 30, 1007),
        (b"\x81\x01a" + b"x" * 2_000_000, 1002),
    ],
    ids=["large", "UTF-8", "not masked"],
)
async def test_a_client_that_still_sends_sees_why_it_is_refused(
    data: bytes, code: int, is_tls: bool, certificates: tuple[Path, Path, ssl.SSLContext]
) -> None:
    """A socket closed over unread data is reset, and the close frame lost: so it is not closed at once."""
    async with server(echo, certificates=certificates if is_tls else None) as at:
        reader, writer = await at.raw()
        writer.write(data)
        with anyio.fail_after(5):
            head = await reader.readexactly(4)
        assert (head[0], int.from_bytes(head[2:], "big")) == (0x88, code)


async def test_a_flood_of_pings_from_a_client_that_does_not_read() -> None:
    """Faults, row 15: bounded memory, and one answer when it reads again."""
    connections = list[WebSocketProtocol]()
    async with server(keeping(connections, detaching(Owner()))) as at:
        writer = await stuck(at, connections)
        before = connections[0].transport.get_write_buffer_size()
        for _ in range(20):
            writer.write(masked(0x9, b"x" * 100) * 1000)
            await writer.drain()
        assert connections[0].transport.get_write_buffer_size() <= before


async def test_bytes_behind_the_request_do_no_harm() -> None:
    """RFC 6455 §4.1 forbids them. uvicorn's h11 loses what comes in one piece with the request; nothing hangs."""
    async with server(echo) as at:
        reader, writer = await at.raw(behind=masked(0x1, b"early"))
        writer.write(masked(0x1, b"late"))
        data = await reader.readuntil(b"late")
        assert data in (frames([b"late"]), frames([b"early", b"late"]))


# permessage-deflate


async def test_shared_compressed_frames_on_a_real_client() -> None:
    """Mixed with what the application sends itself, and with what comes back."""
    connections = list[WebSocketProtocol]()
    async with (
        server(keeping(connections, echo), ws_per_message_deflate=True) as at,
        at.client(compression="deflate") as compressing,
        at.client() as plain,
    ):
        assert [one.is_deflated for one in connections] == [True, False]
        for number in range(30):
            shared = [b"shared %d " % number * 40, b"small"]
            for client, connection in zip((compressing, plain), connections, strict=True):
                await client.send(f"own {number} " * 40)
                assert await client.recv() == f"own {number} " * 40
                make = deflated_frames if connection.is_deflated else frames
                connection.write(batch(make(shared)))
                assert [await client.recv(), await client.recv()] == [one.decode() for one in shared]


async def test_deflate_only_where_it_is_configured() -> None:
    """It is off by default in `portcast serve`."""
    async with server(echo, ws_per_message_deflate=False) as at, at.client(compression="deflate") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        await client.send("a" * 500)
        assert await client.recv() == "a" * 500


async def test_a_bomb_is_refused_before_it_goes_off() -> None:
    """Faults, row 13: 14 KiB on the wire, 15 MiB in memory. Only as much as the limit is ever inflated."""
    compressor = zlib.compressobj(wbits=-12)
    bomb = (compressor.compress(bytes(15 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(bomb) < 20_000
    data = bytearray(masked(0x2, bomb))
    data[0] |= 0x40
    async with server(echo, ws_per_message_deflate=True) as at:
        reader, writer = await at.raw(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
        gc.collect()
        tracemalloc.start()
        try:
            writer.write(bytes(data))
            head = await reader.readexactly(4)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (head[0], int.from_bytes(head[2:], "big")) == (0x88, 1009)
        assert peak < 1_000_000


# As users start it


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_command_line(anyio_backend: str, tmp_path: Path) -> None:
    """``uvicorn --ws``, with its defaults."""
    source = """
        from fastapi import FastAPI, WebSocket
        app = FastAPI()

        @app.websocket("/")
        async def echo(websocket: WebSocket):
            await websocket.accept()
            async for text in websocket.iter_text():
                await websocket.send_text(text + str("portcast.sink" in websocket.scope["extensions"]))
    """
    with uvicorn_process(tmp_path, source, "--ws", OURS) as running:
        async with connect(f"ws://127.0.0.1:{running.port}/", proxy=None) as client:
            await client.send("a")
            assert await client.recv() == "aTrue"
        assert '"WebSocket /" [accepted]' in running.log
        running.signal()
        running.process.wait(10)
        assert "Traceback" not in running.log


# Autobahn

KOSOKU = "kosoku==0.1.0"
ROOT = Path(__file__).parents[2]

ACCEPTED_FAILURES = {
    "7.1.5": "a close frame within a fragmented message: `websockets` calls it a violation (1002), as uvicorn does",
    "13.3.2": "wants a server window of 9 bits, smaller than that of the frames that all share: deflate is declined",
    "13.5.2": "the same, without context takeover",
}
"""Cases that do not pass, by id, with the reason."""
DEFLATE_CASES = ("12.1.2", "12.1.3", "13.1.2", "13.2.2", "13.3.2", "13.4.2", "13.5.2", "13.6.2", "13.7.2")
"""A thousand messages each; all of 12 and 13 take minutes. Not among them: cases with a message that would not shrink,
which we send as it is (12.1.1, 12.2.*): kosoku breaks there ("Strings must be encoded before hashing")."""
SELECTIONS = {
    "plain": ["-x", "9.*", "-x", "12.*", "-x", "13.*"],
    "deflate": [part for case in DEFLATE_CASES for part in ("-i", case)],
}
MIN_CASES = {"plain": 247, "deflate": len(DEFLATE_CASES)}


@pytest.fixture(scope="module")
def kosoku() -> Path:
    """The Autobahn cases, in an environment of their own."""
    program = ROOT / ".cache" / "kosoku" / "bin" / "kosoku"
    program.parents[2].mkdir(exist_ok=True)
    with (program.parents[2] / "kosoku.lock").open("w") as lock:
        # Tests run in several processes, which must not make it at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _install_kosoku(program.parents[1])
    return program


def _install_kosoku(folder: Path) -> None:
    uv = next(ROOT.glob(".tools/uv-*/bin/uv"), None)
    assert uv is not None, "`make setup` puts uv into .tools"
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder],
        [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", KOSOKU],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        if done.returncode != 0 and "error sending request" in done.stderr.lower():
            pytest.skip(f"package index unreachable: {KOSOKU} cannot be installed")
        assert done.returncode == 0, done.stderr


@pytest.mark.timeout(120)
@pytest.mark.parametrize("selection", SELECTIONS)
async def test_autobahn(selection: str, kosoku: Path, tmp_path: Path) -> None:
    """Faults, row 12: every case passes, strictly or not, except those that are listed with their reason."""
    async with server(echo, ws_max_size=32 << 20, ws_per_message_deflate=selection == "deflate") as at:
        options = [*SELECTIONS[selection], "-p", "8", "-o", str(tmp_path), f"127.0.0.1:{at.served.port}"]
        with anyio.fail_after(100):
            done = await anyio.run_process([str(kosoku), *options], check=False)
    cases: dict[str, dict[str, Any]]
    (cases,) = json.loads((tmp_path / "index.json").read_text("utf-8")).values()
    assert len(cases) >= MIN_CASES[selection], done.stdout.decode() + done.stderr.decode()
    fine = ("OK", "NON-STRICT", "INFORMATIONAL")
    failed = {name for name, case in cases.items() if not {case["behavior"], case["behaviorClose"]} <= {*fine}}
    expected = {name for name in ACCEPTED_FAILURES if name in cases}
    assert failed == expected, {name: cases.get(name) for name in failed ^ expected}
