"""The WebSocket class on a transport without a socket: nothing is raised, answers are bounded, and it ends.

An input: a mode, then what a client sends; from its first byte on, or after a handshake, with compression or without,
and to an application that receives by itself or to a detached connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from portcast.web.websocket_protocol import WebSocketProtocol
from websocket_kit import Owner, Transport, accepting, detaching

MAX_MESSAGE = 2000
_RAW, _DEFLATE, _DETACHED = 1, 2, 4
PIECE = 97
"""Bytes of a read."""

_REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)
_EXTENSION = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def _frame(opcode: Opcode, data: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    made = bytes(Frame(opcode, data, fin).serialize(mask=True))
    return bytes((made[0] | rsv1 << 6,)) + made[1:]


_TALK = [
    _frame(Opcode.TEXT, b'{"subscribe":{"channel":"a"}}') + _frame(Opcode.PING, b"?"),
    _frame(Opcode.BINARY, b"a" * 200, fin=False) + _frame(Opcode.PONG, b"") + _frame(Opcode.CONT, b"b"),
    _frame(Opcode.CLOSE, b"\x03\xe8bye"),
    _frame(Opcode.TEXT, b"\xcaH\xcd\xc9\xc9W(\xcf/\xcaI\x01\0", rsv1=True),
    _frame(Opcode.TEXT, "€".encode()[:2], fin=False) + _frame(Opcode.CONT, "€".encode()[2:]),
    _frame(Opcode.BINARY, b"a" * 1900),
]
SEEDS = [
    bytes((_RAW,)) + _REQUEST % b"",
    bytes((_RAW,)) + _REQUEST % _EXTENSION + _TALK[0],
    bytes((_RAW,)) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    *(bytes((mode,)) + data for data in _TALK for mode in (0, _DEFLATE, _DETACHED, _DEFLATE | _DETACHED)),
]

_loop: asyncio.AbstractEventLoop | None = None
_problems: list[str] = []
_configs: dict[bool, uvicorn.Config] = {}
_longest = 0


def _note(message: str | bytes) -> None:
    global _longest
    _longest = max(_longest, len(message))


def _config(*, is_detached: bool) -> uvicorn.Config:
    if is_detached not in _configs:
        app: Any = detaching(Owner(), _note) if is_detached else accepting
        config = uvicorn.Config(
            app, log_config=None, lifespan="off", interface="asgi3", ws_ping_interval=None, ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=True,
        )  # fmt: skip
        config.load()
        _configs[is_detached] = config
    return _configs[is_detached]


def run(data: bytes) -> None:
    """Send all of it in pieces, then break the connection."""
    global _loop
    if not data:
        return
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.set_exception_handler(lambda loop, context: _problems.append(str(context)))
    _loop.run_until_complete(_talk(data[0], data[1:]))
    assert not _problems, _problems.pop()
    assert _longest <= MAX_MESSAGE, f"a message of {_longest} bytes"


async def _talk(mode: int, data: bytes) -> None:
    state = ServerState()
    protocol = WebSocketProtocol(_config(is_detached=bool(mode & _DETACHED)), state, {})
    transport = Transport(protocol)
    protocol.connection_made(transport)
    if not mode & _RAW:
        await _send(protocol, transport, _REQUEST % (_EXTENSION if mode & _DEFLATE else b""))
        assert transport.written.startswith(b"HTTP/1.1 101 ")
        transport.written.clear()
    for at in range(0, len(data), PIECE):
        await _send(protocol, transport, data[at : at + PIECE])
    # A pong is as long as its ping; errors and the close frame are short.
    assert len(transport.written) <= len(data) + 1000, f"{len(transport.written)} bytes for {len(data)}"
    if not transport.is_closing():
        transport.breaks()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not state.connections, "it is never lost"
    assert not state.tasks, "the application is never ended"


async def _send(protocol: WebSocketProtocol, transport: Transport, data: bytes) -> None:
    if not transport.is_closing():
        protocol.data_received(data)
    for _ in range(4):
        await asyncio.sleep(0)
