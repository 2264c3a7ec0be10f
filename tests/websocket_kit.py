"""`WebSocketProtocol` on a transport without a socket, and the client that speaks to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from asgi_fakes import Message, until
from portcast.delivery import Batch
from portcast.web.websocket_protocol import WebSocketProtocol

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Transport(asyncio.Transport):
    """A transport whose peer takes everything, until it is told to be stuck.

    Attributes:
        written: what the protocol wrote.
        buffered: what it says that it holds back.
        is_stuck: `close` waits for a peer that does not read, as a real one does.
        is_tls: it cannot close one direction only.
    """

    def __init__(self, protocol: asyncio.Protocol, **extra: Any) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.9", 40_000), **extra})
        self.protocol = protocol
        self.written = bytearray()
        self.buffered = 0
        self.is_stuck = False
        self.is_tls = False
        self.is_eof_written = False
        self.is_aborted = False
        self.is_paused = False
        self.closes = 0
        self.pauses = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closing(), "written after close"
        assert not self.is_eof_written, "written after write_eof"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def can_write_eof(self) -> bool:
        return not self.is_tls

    def write_eof(self) -> None:
        assert not self.is_tls
        self.is_eof_written = True

    def close(self) -> None:
        self.closes += 1
        if not self.is_stuck:
            self._lose(None)

    def abort(self) -> None:
        self.is_aborted = True
        self._lose(None)

    def is_closing(self) -> bool:
        return self.closes > 0 or self.is_aborted

    def pause_reading(self) -> None:
        self.is_paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        self.is_paused = False

    def breaks(self, error: Exception | None = None) -> None:
        """Lose the connection, as when the client resets it or ends without a word."""
        self._lose(error or ConnectionResetError())

    def _lose(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)


class Wire:
    """One client of an ASGI application.

    Attributes:
        protocol: the server's side.
        client: the client's side, which reads what the server wrote.
    """

    def __init__(self, app: App, *, client: dict[str, Any] | None = None, extra: Any = None, **config: Any) -> None:
        options = {"log_config": None, "lifespan": "off", "interface": "asgi3", "ws_ping_interval": None}
        self.config = uvicorn.Config(app, **{**options, **config})
        self.config.load()
        self.state = ServerState()
        self.protocol = WebSocketProtocol(self.config, self.state, {"shared": [1]})
        self.transport = Transport(self.protocol, **(extra or {}))
        self.protocol.connection_made(self.transport)
        self.client = ClientProtocol(parse_uri("ws://127.0.0.1:8000/chat%20room?a=%20b"), **(client or {}))
        self._events: list[Any] = []

    # The client speaks

    def ask(self, *headers: tuple[str, str], **changed: str | None) -> None:
        """Send the handshake, with more headers, or with others of those that it has."""
        request = self.client.connect()
        for name, value in changed.items():
            del request.headers[name.replace("_", "-")]
            if value is not None:
                request.headers[name.replace("_", "-")] = value
        for name, value in headers:
            request.headers.set_insecure(name, value)
        self.client.send_request(request)
        self.send(b"".join(self.client.data_to_send()))

    def send(self, data: bytes) -> None:
        """Let bytes arrive."""
        self.protocol.data_received(data)

    def text(self, message: str, *, fin: bool = True) -> None:
        """Send a text message, or its first fragment."""
        self.read()
        self.client.send_text(message.encode(), fin)
        self.send(b"".join(self.client.data_to_send()))

    # The client reads

    def read(self) -> list[Any]:
        """Let the client read; return all that it has read so far."""
        data = bytes(self.transport.written)
        self.transport.written.clear()
        if data:
            self.client.receive_data(data)
        self._events += self.client.events_received()
        return self._events

    @property
    def response(self) -> Response:
        """The answer to the handshake."""
        first = self.read()[0]
        assert isinstance(first, Response)
        return first

    @property
    def frames(self) -> list[Frame]:
        """What followed it."""
        return [one for one in self.read() if isinstance(one, Frame)]

    @property
    def messages(self) -> list[str | bytes]:
        """The messages among it; the server sends them in one frame each."""
        return [
            bytes(one.data).decode() if one.opcode is Opcode.TEXT else bytes(one.data)
            for one in self.frames
            if one.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]

    @property
    def close(self) -> Close | None:
        """The close frame, if one came."""
        return next((Close.parse(one.data) for one in self.frames if one.opcode is Opcode.CLOSE), None)

    @property
    def connections(self) -> list[object]:
        """The connections that uvicorn knows of."""
        return list(self.state.connections)

    async def opened(self) -> None:
        """Shake hands."""
        self.ask()
        await until(lambda: self.protocol.is_open, "the handshake")
        assert self.response.status_code == 101

    async def lost(self) -> None:
        """Wait for the end of the connection."""
        await until(lambda: not self.connections, "the end of the connection")

    async def returned(self) -> None:
        """Wait for the end of the ASGI call."""
        await until(lambda: not self.state.tasks, "the end of the ASGI call")


class Owner:
    """Who owns a detached connection, and keeps what it is told."""

    def __init__(self) -> None:
        self.drained = 0
        self.endings: list[str] = []

    def on_written(self, count: int, size: int) -> None:
        raise AssertionError("this sink writes a batch as a whole")

    def on_drained(self) -> None:
        self.drained += 1

    def ended(self, reason: str) -> None:
        self.endings.append(reason)


def batch(*items: bytes) -> Batch:
    """Frames as a batch."""
    return Batch(items, len(items), sum(map(len, items)))


async def accepting(scope: Message, receive: Receive, send: Send) -> None:
    """An application that accepts, and ends with the client."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def detaching(
    owner: Any, on_message: Callable[[str | bytes], None] | None = None, before: Callable[[], object] = lambda: None
) -> App:
    """An application that accepts, gives the connection to an owner and returns."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        before()
        connection: WebSocketProtocol = scope["extensions"]["portcast.sink"]
        connection.bind(owner)
        connection.detach(on_message)

    return app
